"""A session's history, in blocks: the folded state at a block's beginning and the events that follow it.

A block is what `life.workspace.positions` keeps a state for, so that a session of any length opens with its last block, and going anywhere
costs one. Three readers give the same: over an open journal, over a daemon's workspace routes, over the events of a recording. They only read;
none of them knows a provider, a tool or a key.

Source: workspace-ui.md WS-EVT-5, WS-REP-4, WS-TUI-1.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import msgspec

from life.aios.errors import NotFoundError
from life.aios.ports.blobs import Blobs
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, Stream, format_timestamp
from life.cli.chat.describe import name_of
from life.workspace.fold import advance
from life.workspace.positions import EVERY, Positions
from life.workspace.state import State, encode_state
from life.workspace.values import fields, fields_of, text

if TYPE_CHECKING:
    from life.arcan.approvals import PendingApproval
    from life.haima.approval_desk import ApprovalDesk
    from life.haima.approvals import Ticket

DECIDES: Final = "chat"
"""Who decides about payments, in the journal."""

MOST_FOUND: Final = 500
MOST_FILE_BYTES: Final = 2 * 1_048_576
_PAGE: Final = 1000


class Block(NamedTuple):
    """A stretch of a branch."""

    head: int
    """The branch's last event."""
    base: int
    state: bytes
    """The state after event `base` (`encode_state`)."""
    records: Sequence[EventRecord]
    """The events that follow, oldest first."""


class Wanted(NamedTuple):
    """What is looked for: words, and the beginnings of kinds; `unlike` are beginnings of kinds that are left out."""

    words: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()

    def fits(self, record: EventRecord) -> bool:
        """Whether an event is one of those."""
        if self.kinds or self.unlike:
            name = name_of(record)
            if self.kinds and not name.startswith(self.kinds):
                return False
            if self.unlike and name.startswith(self.unlike):
                return False
        if not self.words:
            return True
        content = record.payload.decode(errors="replace").casefold()
        return all(word in content for word in self.words)


class Found(NamedTuple):
    """Sequences, newest first; `complete` says whether that is all."""

    sequences: tuple[int, ...]
    complete: bool


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The payment policy's figures, in micro-credits."""

    enabled: bool = False
    network: str = ""
    auto_approve_micro: int = 0
    most_per_payment_micro: int = 0
    most_per_session_micro: int = 0


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Whose sessions these are."""

    version: str = ""
    agent: str = ""
    agent_id: str = ""
    did: str = ""
    wallet: str = ""
    custody: str = ""
    provider: str = ""
    journal: str = ""
    payments: Limits | None = None
    tools: tuple[str, ...] = ()


class PaymentQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that waits for a person."""

    ticket_id: str
    code: str
    amount_micro: int
    network: str
    payee: str
    resource_url: str
    expires_at: str
    reason: str | None = None
    expected: str | None = None
    session_id: str | None = None


class Reader(Protocol):
    """Where history comes from."""

    async def block(self, stream: Stream, at: int | None = None) -> Block:
        """The block that holds event `at` (the head unless told); NotFoundError."""
        ...

    async def search(self, stream: Stream, wanted: Wanted, through: int) -> Found:
        """Events up to `through` that fit, at most MOST_FOUND."""
        ...

    async def content(self, stream: Stream, hash: str) -> bytes:
        """A file's content by the hash that an event named; NotFoundError."""
        ...

    async def money(self, session_id: str) -> Sequence[EventRecord]:
        """The wallets' events that concern the session, oldest first."""
        ...

    async def about(self) -> About | None:
        """Whose sessions these are; None where nobody can tell."""
        ...

    async def deadlines(self) -> Mapping[str, int]:
        """When calls that wait are refused by themselves: microseconds since the epoch, by approval id. Those that never are, are not in it."""
        ...

    async def payments(self) -> Sequence[PaymentQuestion]:
        """Payments that wait for a person."""
        ...

    async def decide_payment(self, ticket_id: str, *, approved: bool, reason: str | None) -> None:
        """A person's word about one. Errors say who was first."""
        ...


class JournalReader:
    """Over an open journal."""

    def __init__(
        self,
        journal: Journal,
        positions: Positions,
        blobs: Blobs,
        *,
        about: Callable[[], About | None] = lambda: None,
        desk: ApprovalDesk | None = None,
        pending: Callable[[], Awaitable[Sequence[PendingApproval]]] | None = None,
    ) -> None:
        """Without a `desk` nobody decides about payments here, without `pending` nobody about calls."""
        self.journal = journal
        self._positions = positions
        self._blobs = blobs
        self._about = about
        self._desk = desk
        self._pending = pending

    async def block(self, stream: Stream, at: int | None = None) -> Block:
        """See Reader."""
        head = (await self.journal.head(stream)).sequence
        if head == 0:
            raise NotFoundError("There is no such branch.")
        wanted = head if at is None else at
        if wanted > head:
            raise NotFoundError(f"The branch ends at event {head}.")
        base = max(0, (wanted - 1) // EVERY * EVERY)
        state = await self._positions.at(stream, base)
        records = await self.journal.read(EventQuery(*stream, after_sequence=base), limit=EVERY)
        return Block(max(head, records[-1].sequence if records else 0), base, encode_state(state), records)

    async def search(self, stream: Stream, wanted: Wanted, through: int) -> Found:
        """See Reader."""
        found: list[int] = []
        async for record in self._backwards(stream, through):
            if wanted.fits(record):
                if len(found) == MOST_FOUND:
                    return Found(tuple(found), complete=False)
                found.append(record.sequence)
        return Found(tuple(found), complete=True)

    async def _backwards(self, stream: Stream, through: int) -> AsyncIterator[EventRecord]:
        before = through + 1
        while before > 1:
            after = max(0, before - 1 - _PAGE)
            query = EventQuery(*stream, after_sequence=after, before_sequence=before)
            for record in reversed(await self.journal.read(query, limit=_PAGE)):
                yield record
            before = after + 1

    async def content(self, stream: Stream, hash: str) -> bytes:
        """See Reader."""
        return await self._blobs.get(hash, max_bytes=MOST_FILE_BYTES)

    async def money(self, session_id: str) -> Sequence[EventRecord]:
        """See Reader."""
        concerned: set[str] = set()
        records: list[EventRecord] = []
        for stream in await self.journal.streams():
            if not stream.session_id.startswith("wallet:"):
                continue
            after = 0
            while page := await self.journal.read(EventQuery(*stream, after_sequence=after), limit=_PAGE):
                records += [record for record in page if _concerns(record, session_id, concerned)]
                after = page[-1].sequence
        return records

    async def about(self) -> About | None:
        """See Reader."""
        return self._about()

    async def deadlines(self) -> Mapping[str, int]:
        """See Reader."""
        return {} if self._pending is None else expiries(await self._pending())

    async def payments(self) -> Sequence[PaymentQuestion]:
        """See Reader."""
        if self._desk is None:
            return ()
        return [_question(ticket) for ticket in (await self._desk.page()).tickets]

    async def decide_payment(self, ticket_id: str, *, approved: bool, reason: str | None) -> None:
        """See Reader."""
        if self._desk is None:
            raise NotFoundError("There is no question with this id.", details={"ticket_id": ticket_id[:64]})
        await self._desk.decide(ticket_id, approved=approved, by=DECIDES, reason=reason)


def expiries(pending: Sequence[PendingApproval]) -> dict[str, int]:
    """When each is refused by itself."""
    return {one.approval_id: one.expires_us for one in pending if one.expires_us is not None}


def _question(ticket: Ticket) -> PaymentQuestion:
    asked = ticket.request
    return PaymentQuestion(
        ticket_id=ticket.ticket_id,
        code=asked.code,
        amount_micro=asked.amount_micro,
        network=asked.network,
        payee=asked.payee,
        resource_url=asked.resource_url,
        expires_at=format_timestamp(ticket.expires_at_us),
        reason=asked.reason or None,
        expected=asked.expected,
        session_id=asked.session_id,
    )


def _concerns(record: EventRecord, session_id: str, concerned: set[str]) -> bool:
    """Whether a wallet's event is about a payment of the session; `concerned` are those payments, and grows."""
    data = fields(fields_of(record.payload).get("data"))
    payment = text(data.get("payment_id")) or text(data.get("purchase_id"))
    if text(data.get("session_id")) == session_id:
        concerned.add(payment)
        return True
    return payment != "" and payment in concerned


class ListReader:
    """Over the events of a recording, oldest first. A branch's events stand behind those of its parent that it inherits."""

    def __init__(self, records: Sequence[EventRecord]) -> None:
        if not records:
            raise NotFoundError("The recording has no events.")
        self.records = records
        self._streams: dict[Stream, list[EventRecord]] = {}
        self._kept: dict[tuple[Stream, int], bytes] = {}
        state = State()
        for record in records:
            own = self._streams.setdefault(record.stream, [])
            if not own:
                # What a branch begins with is what was there before its first event.
                self._kept[record.stream, 0] = encode_state(state)
            own.append(record)
            advance(state, record)
            if len(own) % EVERY == 0:
                self._kept[record.stream, len(own)] = encode_state(state)

    @property
    def last(self) -> Stream:
        """The branch of the last event."""
        return self.records[-1].stream

    def of(self, stream: Stream) -> list[EventRecord]:
        """A branch's own events."""
        own = self._streams.get(stream)
        if own is None:
            raise NotFoundError("There is no such branch in the recording.")
        return own

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Every branch."""
        return tuple(self._streams)

    async def block(self, stream: Stream, at: int | None = None) -> Block:
        """See Reader."""
        own = self.of(stream)
        wanted = len(own) if at is None else at
        if wanted > len(own):
            raise NotFoundError(f"The branch ends at event {len(own)}.")
        base = max(0, (wanted - 1) // EVERY * EVERY)
        return Block(len(own), base, self._kept[stream, base], own[base : base + EVERY])

    async def search(self, stream: Stream, wanted: Wanted, through: int) -> Found:
        """See Reader."""
        fits = [record.sequence for record in reversed(self.of(stream)[:through]) if wanted.fits(record)]
        return Found(tuple(fits[:MOST_FOUND]), complete=len(fits) <= MOST_FOUND)

    async def content(self, stream: Stream, hash: str) -> bytes:
        """See Reader; what a tool was told to write, as there are no files beside a recording."""
        for place, record in enumerate(self.records):
            told = fields_of(record.payload)
            if hash not in (told.get("blob_hash"), told.get("content_hash")):
                continue
            path = text(told.get("path")).removeprefix("/")
            for before in reversed(self.records[max(0, place - 40) : place]):
                given = fields(fields_of(before.payload).get("arguments"))
                if before.kind_name == "ToolCallRequested" and text(given.get("path")) == path and "content" in given:
                    return text(given["content"]).encode()
        raise NotFoundError("The content is not in this recording.")

    async def money(self, session_id: str) -> Sequence[EventRecord]:
        """See Reader."""
        return ()

    async def about(self) -> About | None:
        """See Reader."""
        return None

    async def deadlines(self) -> Mapping[str, int]:
        """See Reader."""
        return {}

    async def payments(self) -> Sequence[PaymentQuestion]:
        """See Reader."""
        return ()

    async def decide_payment(self, ticket_id: str, *, approved: bool, reason: str | None) -> None:
        """See Reader."""
        raise NotFoundError("There is no question with this id.", details={"ticket_id": ticket_id[:64]})
