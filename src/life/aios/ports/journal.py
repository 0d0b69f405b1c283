"""The journal: the only truth.

Append-only streams of events, one per (session, branch). Every engine passes `life.testing.journal`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from life.aios.record import EventRecord, NewEvent, Stream


class Head(NamedTuple):
    """The end of a stream: its last sequence (0 when empty) and the chain's digest there (64 hex digits, zeros when empty)."""

    sequence: int
    digest: str


class Appended(NamedTuple):
    """What became of one event of a batch."""

    sequence: int
    position: int
    digest: str
    duplicate: bool
    """True when the very same event was stored before; the other fields are those of the stored one."""


class EventQuery(NamedTuple):
    """Which events to read, in the order of their stream (when a session is named with a branch) or of the journal."""

    session_id: str | None = None
    branch_id: str | None = None
    after_sequence: int = 0
    """Exclusive; only with session and branch."""
    before_sequence: int | None = None
    """Exclusive; only with session and branch."""
    after_position: int = 0
    """Exclusive; the cursor for reading over streams."""
    kinds: tuple[str, ...] = ()
    """Kind names to include; empty means all."""


class Journal(Protocol):
    """Durable, ordered, idempotent. Methods may be called from any task of the event loop that opened the journal."""

    async def append(
        self, events: Sequence[NewEvent], *, expected: Mapping[Stream, int] | None = None
    ) -> list[Appended]:
        """Store all events or none, in the order given, and return once their bytes are on disk.

        The events may belong to several streams. An event id that is already stored with the same content (stream,
        agent, actor, kind bytes, causation; the time may differ) counts as done (`duplicate`); with other content the
        whole batch fails with EventConflictError. `expected` names heads that must hold before the batch, otherwise
        SequenceConflictError. A known kind with an unfit payload is a MalformedEventError. No room: JournalFullError.
        After a crash the batch is there whole or not at all, and appending it again is safe. A cancelled caller's
        events may still be stored.
        """
        ...

    async def read(self, query: EventQuery, *, limit: int = 500) -> list[EventRecord]:
        """At most `limit` (1..10,000) stored events that match, oldest first. Never cached, never partial."""
        ...

    async def get(self, event_id: str) -> EventRecord | None:
        """The event with this id, if it is stored."""
        ...

    async def head(self, stream: Stream) -> Head:
        """The end of a stream."""
        ...

    async def streams(self, session_id: str | None = None) -> list[Stream]:
        """All streams (of one session), in the order of their first event."""
        ...

    def subscribe(self, query: EventQuery) -> AsyncIterator[EventRecord]:
        """Every matching event after the query's cursor exactly once, in order: history first, then live, without end.

        A slow consumer is served from storage; nothing is lost or repeated, memory stays bounded. Events of other
        processes that share the journal appear too. Closing the iterator (`aclose`) frees everything.
        """
        ...
