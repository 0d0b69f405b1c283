"""What the tools have in common: the agent's seat, whom it knows, where channels are, and what each session has seen of its hires."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from life.aios.errors import ToolError
from life.aios.ids import derived_event_id
from life.aios.ports.clock import Clock
from life.aios.ports.tools import ToolContext
from life.spaces.hiring.desk import Hire, HiringDesk
from life.spaces.hiring.peers import PeerBook, rows_of
from life.spaces.model import Channel, DirectMessage, Message, Row, Tombstone
from life.spaces.seat import OpenSeat, Seat
from life.spaces.tools.telling import JsonMap, Quoted, hire_changed

AutoLimit = Callable[[], int]
"""Up to which price (micro-credits) the payment policy asks nobody, at this moment."""
WasApproved = Callable[[ToolContext], Awaitable[bool]]
"""Whether a person agreed to the call of this context."""
_KEPT: Final = 4_096


class Room:
    """See the module."""

    def __init__(
        self,
        open_seat: OpenSeat,
        hiring: HiringDesk,
        people: PeerBook,
        clock: Clock,
        *,
        auto_limit: AutoLimit,
        was_approved: WasApproved,
    ) -> None:
        self.open_seat = open_seat
        self.hiring = hiring
        self.people = people
        self.clock = clock
        self.auto_limit = auto_limit
        self.was_approved = was_approved
        self._seen: OrderedDict[tuple[str, str], str] = OrderedDict()

    async def channel(self, seat: Seat, named: str | int, space: int) -> Channel:
        """The channel of a number or a name; ToolError when it is not there (for us)."""
        if isinstance(named, str) and named.isascii() and named.isdigit():
            named = int(named)
        if isinstance(named, int):
            found = await rows_of(seat, "channel", {"id": named})
        else:
            wanted = named.removeprefix("#").casefold()
            rows = await rows_of(seat, "channel", {"space_id": space})
            found = tuple(row for row in rows if isinstance(row, Channel) and row.name.casefold() == wanted)
        if not found or not isinstance(found[0], Channel):
            raise ToolError(
                f"There is no channel {str(named)[:64]!r} here. spaces_list_channels names those there are."
            )
        return found[0]

    async def quoted(self, seat: Seat, rows: Sequence[Row]) -> list[Quoted]:
        """Messages with their authors; other rows are left out."""
        return [
            Quoted(row, await self.people.peer(seat, row.sender))
            for row in rows
            if isinstance(row, Message | DirectMessage | Tombstone)
        ]

    def noticed(self, context: ToolContext, hires: Sequence[Hire]) -> tuple[tuple[str, JsonMap], ...]:
        """Events for those whose state this session had not seen yet. Questions are told of by the tools that ask."""
        notes = []
        for hire in hires:
            if hire.kind != "hire":
                continue
            place = (context.session_id, hire.hire_id)
            was = self._seen.get(place, "")
            if was != hire.state:
                notes.append(hire_changed(hire, was, self.clock.now_us()))
            self.remember(context, hire)
        return tuple(notes)

    def remember(self, context: ToolContext, hire: Hire) -> None:
        """This session knows the state of a hire."""
        place = (context.session_id, hire.hire_id)
        self._seen[place] = hire.state
        self._seen.move_to_end(place)
        while len(self._seen) > _KEPT:
            self._seen.popitem(last=False)


def client_id(context: ToolContext, what: str = "message") -> str:
    """The id of what a call makes, the same for every attempt of the call."""
    return derived_event_id("spaces.tools", what, context.idempotency_key)
