"""One subscription: what waits for one subscriber, and where it could look before the next entry."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, NamedTuple, Protocol

from life.spaces.engine.port import Update
from life.spaces.errors import SlowConsumerError, SpacesError, StaleSequenceError, UnauthenticatedError
from life.spaces.events import Entry
from life.spaces.identity import Caller
from life.spaces.model import Channel, Row, Space
from life.spaces.queries import TableQuery, matches, table_of
from life.spaces.state import State
from life.spaces.visibility import Sight

BACKLOG_PAGE: Final = 256
"""Entries that a resuming subscriber reads from the log at once."""

Backlog = Callable[[int, int], list[Entry]]
"""Reads the log: at most so many entries after a position."""


class Source(Protocol):
    """The fan-out, as a subscription knows it."""

    @property
    def state(self) -> State:
        """What everything is judged against."""
        ...

    def forget(self, subscription: LiveSubscription) -> None:
        """Stop telling it."""
        ...

    def past(self, subscription: LiveSubscription, entry: Entry) -> Update | None:
        """What an entry of the past means to it now."""
        ...


class Places(NamedTuple):
    """Where a subscriber looks into: what is compared before and after a change of rights."""

    spaces: frozenset[int]
    channels: frozenset[int]
    conversations: frozenset[int]
    moderated: frozenset[int]
    """Spaces whose moderators' tables it sees."""
    administered: frozenset[int]


NOWHERE: Final = Places(frozenset(), frozenset(), frozenset(), frozenset(), frozenset())


class LiveSubscription:
    """A subscription (life.spaces.engine.port.Subscription)."""

    def __init__(
        self,
        fanout: Source,
        caller: Caller,
        queries: Sequence[TableQuery],
        *,
        position: int,
        limit: int,
        session_id: str | None,
    ) -> None:
        self.caller = caller
        self.session_id = session_id
        self.sight = Sight(fanout.state, caller)
        self.queries = tuple(queries)
        self.by_table: dict[type[Row], list[TableQuery]] = {}
        for query in queries:
            self.by_table.setdefault(table_of(query), []).append(query)
        self.unfiltered = frozenset(
            table for table, wanted in self.by_table.items() if any(not query.where for query in wanted)
        )
        self.places = NOWHERE
        self._fanout = fanout
        self._limit = limit
        self._queue: deque[Update] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._error: SpacesError | None = None
        self._position = position
        self._initial: tuple[Row, ...] = ()
        self._backlog: Backlog | None = None
        self._cursor = position
        self.dropped = 0
        """Transient updates that a full queue had no room for."""

    @property
    def position(self) -> int:
        """See the port."""
        return self._position

    @property
    def initial(self) -> tuple[Row, ...]:
        """See the port."""
        return self._initial

    def start(self, rows: Sequence[Row]) -> None:
        """The rows it begins with."""
        self._initial = tuple(rows)

    @property
    def waiting(self) -> int:
        """How many updates wait."""
        return len(self._queue)

    def resume(self, backlog: Backlog, since: int) -> None:
        """Begin after an earlier position: what was missed is read from the log, page by page, before anything new."""
        self._backlog, self._cursor, self._position = backlog, since, since
        self._read_on()
        if self._error is not None:
            raise self._error

    def _read_on(self) -> None:
        """A page of what was missed. At the log's end the subscription is live."""
        assert self._backlog is not None
        page = self._backlog(self._cursor, BACKLOG_PAGE)
        for entry in page:
            self._cursor = entry.position
            try:
                update = self._fanout.past(self, entry)
            except StaleSequenceError as error:
                self.fail(error)
                return
            if update is not None:
                self._queue.append(update)
        if self._cursor >= self._fanout.state.position or not page:
            self._backlog = None

    def wants(self, row: Row) -> bool:
        """Whether a query asks for this row."""
        table = type(row)
        queries = self.by_table.get(table)
        if queries is None:
            return False
        return table in self.unfiltered or any(matches(query, row) for query in queries)

    def saw(self, row: Row) -> bool:
        """Whether the subscriber could see a row that an entry has just removed: judged by where it could look before that entry, for the
        rules that hid it (membership, overrides, the channel itself) may be gone with it."""
        places = self.places
        match row.SIGHT:
            case "channel":
                channel_id = row.id if isinstance(row, Channel) else getattr(row, "channel_id", 0)
                return channel_id in places.channels
            case "space":
                return getattr(row, "space_id", 0) in places.spaces
            case "listed":
                return isinstance(row, Space) and (row.visibility != "private" or row.id in places.spaces)
            case "conversation":
                own_id = getattr(row, "id", 0)
                return getattr(row, "conversation_id", own_id) in places.conversations
            case "admins":
                return getattr(row, "space_id", 0) in places.administered
            case "moderators":
                owned = any(getattr(row, field) == self.caller.identity for field in row.OWNERS)
                return owned or getattr(row, "space_id", 0) in places.moderated
            case _:
                return self.sight.sees(row)

    def push(self, update: Update) -> None:
        """Queue an update; never blocks, never grows without bound."""
        if self._error is not None:
            return
        if self._backlog is not None:  # still reading older entries; this one follows from the log
            self.dropped += update.transient is not None
            return
        if len(self._queue) >= self._limit:
            if update.transient is not None:
                self.dropped += 1
                return
            kept = [waiting for waiting in self._queue if waiting.transient is None]
            self.dropped += len(self._queue) - len(kept)
            if len(kept) >= self._limit:
                self.fail(SlowConsumerError("The subscriber reads too slowly.", details={"position": self._position}))
                return
            self._queue = deque(kept)
        self._queue.append(update)
        self._ring()

    def fail(self, error: SpacesError) -> None:
        """End it with an error, which the subscriber gets after what is queued is dropped."""
        if self._error is None:
            self._error = error
            self._queue.clear()
            self._fanout.forget(self)
            self._ring()

    def _ring(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def take(self) -> list[Update]:
        """Everything that waits, at once; empty when nothing does. The error when it has ended."""
        if self._error is not None:
            raise self._error
        taken = list(self._queue)
        self._queue.clear()
        self._position = next((update.position for update in reversed(taken) if update.position), self._position)
        return taken

    async def ready(self) -> None:
        """Wait until `take` gives something."""
        while not self._queue and self._error is None:
            if self._backlog is not None:
                await asyncio.sleep(0)
                self._read_on()
                continue
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None

    async def _iterate(self) -> AsyncIterator[Update]:
        while True:
            await self.ready()
            if self._error is not None:
                raise self._error
            update = self._queue.popleft()
            if update.position:
                self._position = update.position
            yield update

    def __aiter__(self) -> AsyncIterator[Update]:
        """See the port."""
        return self._iterate()

    async def aclose(self) -> None:
        """See the port."""
        self.fail(UnauthenticatedError("The subscription is closed."))
