"""Reading: heads and single events from the leader, pages from any replica up to where the leader says they must reach."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Final, NamedTuple

from life.aios.errors import JournalDamagedError
from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord, Stream
from life.lago.journal import chain
from life.lago.journal.chain import compact_id
from life.lago.journal.nats.connection import REQUEST_TIMEOUT_S, Connection, UnreachableError
from life.lago.journal.nats.messages import Descriptions, Message, key_of, unwrap
from life.lago.journal.nats.stream import last_position
from life.lago.journal.nats.subjects import MARK_EVERY, Subjects, stream_of
from life.lago.journal.subscription import Page

PAGE_EVENTS: Final = 500
"""How many messages are asked for at once, at most; the memory a reader needs is bounded by it and by PAGE_BYTES."""

_LAG_RETRY_S: Final = 0.01


class HeadAt(NamedTuple):
    """The end of a stream: sequence and digest (GENESIS when it is empty), and the position of its last event."""

    sequence: int
    digest: bytes
    position: int


class Found(NamedTuple):
    """An event's message, if it is stored, and the position of its id (0 when there is none)."""

    message: Message | None
    identity: int


EMPTY: Final = HeadAt(0, chain.GENESIS, 0)


class Reader:
    """Reads one journal. For one event loop."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._subjects = subjects
        self._descriptions = Descriptions()

    async def head(self, stream: Stream) -> HeadAt:
        """The end of a stream, from the leader."""
        message = await self._connection.last(self._subjects.event(stream))
        if message is None:
            return EMPTY
        _, wired = unwrap(message)
        return HeadAt(wired.sequence, wired.digest, message.position)

    async def find(self, event_id: str) -> Found:
        """What is stored under an event id, from the leader.

        An id without its event is what a server leaves that ran out of room in the middle of a batch; it is vacant.
        """
        identity = await self._connection.last(self._subjects.identity(event_id))
        if identity is None:
            return Found(None, 0)
        message = await self._connection.at(identity.position + 1)
        if message is None or not self._is_event(message) or key_of(unwrap(message)[1]) != compact_id(event_id):
            return Found(None, identity.position)
        return Found(message, identity.position)

    def record(self, message: Message) -> EventRecord:
        """The event of a message."""
        return self._descriptions.record(message)

    async def streams(self, session_id: str | None) -> list[Stream]:
        """All streams in the order of their first event."""
        found: list[Stream] = []
        subject = self._subjects.beginnings(session_id)
        end = await self._end_of(subject)
        position = 0
        lag = _Lag()
        while position < end:
            page = await self._connection.page(subject, position + 1, PAGE_EVENTS)
            found += [stream_of(message.subject) for message in page.messages]
            if page.messages:
                position = page.messages[-1].position
                lag.over()
            else:
                await lag.wait()
        return list(dict.fromkeys(found))

    async def target(self, query: EventQuery) -> int:
        """The position of the last event that a reader of this query must have looked at, from the leader."""
        if query.session_id is None:
            return await last_position(self._connection, self._subjects.name)
        return await self._end_of(self._subjects.events(query.session_id, query.branch_id))

    async def begin(self, query: EventQuery) -> int | None:
        """The position to begin at, by the mark before `after_sequence`; None when the stream is not that long yet."""
        start = query.after_position + 1
        if query.session_id is None or query.branch_id is None or query.after_sequence < MARK_EVERY:
            return start
        stream = Stream(query.session_id, query.branch_id)
        mark = await self._connection.last(self._subjects.mark(stream, query.after_sequence // MARK_EVERY))
        return None if mark is None else max(start, mark.position)

    async def scan(self, query: EventQuery, start: int, limit: int) -> Page:
        """Matching events of one page from position `start`; `after` is the query that goes on behind what was looked at."""
        page = await self._connection.page(
            self._subjects.events(query.session_id, query.branch_id), start, min(limit, PAGE_EVENTS)
        )
        if not page.messages:
            return Page([], query, more=False)
        records = [self._descriptions.record(message) for message in page.messages]
        last = records[-1]
        after = query._replace(after_position=last.position)
        if query.branch_id is not None:
            _check_steps(records)
            after = after._replace(after_sequence=max(last.sequence, query.after_sequence))
            before = query.before_sequence
            records = [
                record
                for record in records
                if record.sequence > query.after_sequence and (before is None or record.sequence < before)
            ]
        if query.kinds:
            records = [record for record in records if record.kind_name in query.kinds]
        return Page(records, after, more=page.more)

    async def read(self, query: EventQuery, limit: int) -> list[EventRecord]:
        """At most `limit` events, up to where the journal ended when this was called."""
        before = query.before_sequence
        if before is not None and before <= query.after_sequence + 1:
            return []
        end = await self.target(query)
        start = await self.begin(query)
        if start is None:
            return []
        records: list[EventRecord] = []
        lag = _Lag()
        while start <= end and len(records) < limit:
            # Behind a mark there may be events before the cursor; ask for those as well.
            wanted = limit - len(records) if query.after_sequence == 0 else PAGE_EVENTS
            page = await self.scan(query, start, PAGE_EVENTS if query.kinds else wanted)
            records += page.records[: limit - len(records)]
            if page.after.after_position >= start:
                start = page.after.after_position + 1
                if before is not None and page.after.after_sequence >= before - 1:
                    break
                query = page.after
                lag.over()
            else:
                await lag.wait()
                end = await self._last_event(end)
        return records

    async def _last_event(self, end: int) -> int:
        """`end`, or the last event before it when something else stands there."""
        message = await self._connection.at(end)
        if message is not None and self._is_event(message):
            return end
        return min(end, await self._end_of(self._subjects.events(None, None)))

    def _is_event(self, message: Message) -> bool:
        return message.subject.startswith(f"{self._subjects.name}.e.")

    async def _end_of(self, subject: str) -> int:
        message = await self._connection.last(subject)
        return 0 if message is None else message.position


class _Lag:
    """Waiting for the replica that answers to have what the leader has."""

    def __init__(self) -> None:
        self._since: float | None = None

    async def wait(self) -> None:
        """A moment; UnreachableError when it takes too long, so that the whole question is asked again."""
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since = now
        if now - self._since > REQUEST_TIMEOUT_S:
            raise UnreachableError("the servers that answer lag behind the leader")
        await asyncio.sleep(_LAG_RETRY_S)

    def over(self) -> None:
        """It has moved on."""
        self._since = None


def _check_steps(records: list[EventRecord]) -> None:
    """A stream counts without gaps; anything else is damage, and shown as such."""
    for earlier, later in pairwise(records):
        if later.sequence != earlier.sequence + 1:
            raise JournalDamagedError(
                later.session_id,
                later.branch_id,
                later.sequence,
                expected=f"sequence {earlier.sequence + 1}",
                found=f"sequence {later.sequence} at position {later.position}",
            )
