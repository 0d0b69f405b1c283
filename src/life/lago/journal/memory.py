"""The journal in memory: the same behaviour as on disk, but gone with the process.

For tests, and for daemons that say so visibly. It is written without any of the on-disk engine's parts except admission
and the chain, so that each engine is a check on the other.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence

from life.aios.errors import EventConflictError, JournalUnavailableError, SequenceConflictError
from life.aios.ports.journal import Appended, EventQuery, Head
from life.aios.record import EventRecord, NewEvent, Stream
from life.lago.journal import chain
from life.lago.journal.admission import Admission
from life.lago.journal.subscription import Bells, Page, Subscription, check_limit, check_query

_GENESIS_HEX = chain.GENESIS.hex()


class MemoryJournal:
    """A journal without a disk (life.aios.ports.journal.Journal). Records it gives out are the stored ones: immutable."""

    def __init__(self) -> None:
        self._admission = Admission()
        self._records: list[EventRecord] = []
        self._streams: dict[Stream, list[EventRecord]] = {}
        self._by_id: dict[str, EventRecord] = {}
        self._bells = Bells()
        self._closed = False

    async def __aenter__(self) -> MemoryJournal:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Forget everything. Subscriptions end with JournalUnavailableError."""
        self._closed = True
        self._bells.fail(_closed_error())

    async def append(
        self, events: Sequence[NewEvent], *, expected: Mapping[Stream, int] | None = None
    ) -> list[Appended]:
        """See life.aios.ports.journal.Journal; "on disk" means in memory here."""
        self._check_open()
        self._admission.admit(events, expected)
        earlier = self._resolve(events)
        if not events or any(known is None for known in earlier):
            self._check_expected(expected or {})
        fresh: dict[str, EventRecord] = {}
        outcome: list[Appended] = []
        for event, known in zip(events, earlier, strict=True):
            record = known or fresh.get(event.event_id)
            duplicate = record is not None
            if record is None:
                record = fresh[event.event_id] = self._store(event)
            outcome.append(Appended(record.sequence, record.position, record.digest or "", duplicate))
        self._bells.ring({record.stream for record in fresh.values()})
        return outcome

    async def read(self, query: EventQuery, *, limit: int = 500) -> list[EventRecord]:
        """See life.aios.ports.journal.Journal."""
        self._check_open()
        return self._scan(check_query(query), check_limit(limit)).records

    async def get(self, event_id: str) -> EventRecord | None:
        """See life.aios.ports.journal.Journal."""
        self._check_open()
        return self._by_id.get(event_id)

    async def head(self, stream: Stream) -> Head:
        """See life.aios.ports.journal.Journal."""
        self._check_open()
        return self._head(stream)

    async def streams(self, session_id: str | None = None) -> list[Stream]:
        """See life.aios.ports.journal.Journal."""
        self._check_open()
        return [stream for stream in self._streams if session_id in (None, stream.session_id)]

    def subscribe(self, query: EventQuery) -> Subscription:
        """See life.aios.ports.journal.Journal."""
        self._check_open()
        return Subscription(self._bells, self._scan, query)

    @property
    def listeners(self) -> int:
        """How many subscriptions are open."""
        return len(self._bells)

    def _check_open(self) -> None:
        if self._closed:
            raise _closed_error()

    def _head(self, stream: Stream) -> Head:
        records = self._streams.get(stream)
        if not records:
            return Head(0, _GENESIS_HEX)
        return Head(records[-1].sequence, records[-1].digest or "")

    def _resolve(self, events: Sequence[NewEvent]) -> list[EventRecord | None]:
        """For each event the stored one with its id; EventConflictError where they differ."""
        seen: dict[str, NewEvent] = {}
        known: list[EventRecord | None] = []
        for event in events:
            stored = self._by_id.get(event.event_id)
            other = stored or seen.get(event.event_id)
            if other is not None and not _same_content(event, other):
                raise EventConflictError(event.event_id)
            seen[event.event_id] = event
            known.append(stored)
        return known

    def _check_expected(self, expected: Mapping[Stream, int]) -> None:
        for stream, sequence in expected.items():
            actual = self._head(stream).sequence
            if actual != sequence:
                raise SequenceConflictError(stream.session_id, stream.branch_id, expected=sequence, actual=actual)

    def _store(self, event: NewEvent) -> EventRecord:
        stream = event.stream
        previous = self._head(stream)
        record = EventRecord(
            event_id=event.event_id,
            session_id=event.session_id,
            branch_id=event.branch_id,
            agent_id=event.agent_id,
            sequence=previous.sequence + 1,
            timestamp_us=event.timestamp_us,
            actor=event.actor,
            schema=event.schema,
            kind_name=event.kind_name,
            payload=event.payload,
            causation_id=event.causation_id,
            correlation_id=event.correlation_id,
            trace_id=event.trace_id,
            span_id=event.span_id,
            position=len(self._records) + 1,
        )
        record.digest = chain.event_digest(previous.digest, record)
        self._records.append(record)
        self._streams.setdefault(stream, []).append(record)
        self._by_id[record.event_id] = record
        return record

    def _scan(self, query: EventQuery, limit: int) -> Page:
        records = self._matching(query)
        page: list[EventRecord] = []
        last: EventRecord | None = None
        more = False
        for record in records:
            if len(page) == limit:
                more = True
                break
            last = record
            if not query.kinds or record.kind_name in query.kinds:
                page.append(record)
        if last is None:
            return Page([], query, more=False)
        if query.branch_id is not None:
            return Page(page, query._replace(after_sequence=last.sequence), more)
        return Page(page, query._replace(after_position=last.position), more)

    def _matching(self, query: EventQuery) -> Iterable[EventRecord]:
        """What lies behind the query's cursor, of every kind."""
        if query.session_id is None:
            return self._records[query.after_position :]
        if query.branch_id is None:
            behind = self._records[query.after_position :]
            return (record for record in behind if record.session_id == query.session_id)
        records = self._streams.get(Stream(query.session_id, query.branch_id), [])
        start = max(
            query.after_sequence, bisect.bisect_right(records, query.after_position, key=lambda record: record.position)
        )
        end = len(records) if query.before_sequence is None else max(query.before_sequence - 1, 0)
        return records[start:end]


def _same_content(event: NewEvent, other: NewEvent | EventRecord) -> bool:
    return (
        event.stream == other.stream
        and event.agent_id == other.agent_id
        and event.actor == other.actor
        and event.kind_name == other.kind_name
        and event.payload == other.payload
        and event.causation_id == other.causation_id
    )


def _closed_error() -> JournalUnavailableError:
    return JournalUnavailableError("The journal is closed.")
