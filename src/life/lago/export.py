"""Journals as lines: one JSON record per line, out and in again.

What goes out is the record of life.aios.record with the kind's stored bytes, so unknown kinds and fields survive. What
comes in may also be one of the older spellings (life.aios.envelope). An import checks before it stores: a record that
carries a digest must have the digest that the chain gives at that place, and a record that carries a sequence must land on it.
A redacted event keeps the digest it had, if its redaction, which follows later in the same lines, says so (life.lago.journal.redacted):
`redactions_in` looks for them beforehand.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, runtime_checkable

from life.aios.envelope import decode_record
from life.aios.errors import ConflictError, JournalDamagedError, MalformedEventError
from life.aios.ports.journal import EventQuery, Head, Journal
from life.aios.record import EventRecord, NewEvent, Stream, encode_record
from life.lago.journal import chain
from life.lago.journal.redacted import Claimed, Redaction, Stub, is_covered, read_redaction, read_stub

_REDACTION: Final = b'"lago.redaction"'

BATCH_EVENTS: Final = 500
"""How many events are read or stored at a time."""


@runtime_checkable
class AdoptsDigests(Protocol):
    """A journal that can take redacted events with the digests they had."""

    async def adopt_digest(self, event_id: str, digest: str) -> None:
        """See life.lago.journal.sqlite.SqliteJournal."""
        ...


class Imported(NamedTuple):
    """What an import did."""

    stored: int
    already_there: int


async def export_records(journal: Journal, query: EventQuery = EventQuery()) -> AsyncIterator[bytes]:  # noqa: B008
    """Every matching event that is stored now, as one line of JSON without its line break, oldest first."""
    while True:
        records = await journal.read(query, limit=BATCH_EVENTS)
        for record in records:
            yield encode_record(record)
        if len(records) < BATCH_EVENTS:
            return
        last = records[-1]
        if query.branch_id is not None:
            query = query._replace(after_sequence=last.sequence)
        else:
            query = query._replace(after_position=last.position)


def redactions_in(lines: Iterable[bytes]) -> dict[str, Redaction]:
    """The redactions among exported lines, by their event's id; for `import_records`. Lines that are no records are passed over."""
    found: dict[str, Redaction] = {}
    for line in lines:
        if _REDACTION not in line:
            continue
        try:
            record = decode_record(line)
        except MalformedEventError:
            continue
        redaction = read_redaction(record.payload)
        if redaction is not None:
            found[record.event_id] = redaction
    return found


async def import_records(
    journal: Journal,
    lines: Iterable[bytes] | AsyncIterable[bytes],
    *,
    renumber: bool = False,
    redactions: Mapping[str, Redaction] = MappingProxyType({}),
) -> Imported:
    """Append the events of `lines` (blank lines are skipped), 500 per transaction; what is stored already is passed over.

    MalformedEventError names the line that is no record. JournalDamagedError when a record's digest is not the one that
    the chain gives there. ConflictError when a record's sequence is not the next one of its stream; with `renumber` the
    events get new sequences instead (and new digests), as an excerpt of a journal needs. An import that stopped half-way
    can be run again. Redacted events come in only with their `redactions` (JournalDamagedError for a stub without one); if the import
    stops between the two, the journal does not verify until it was run again.
    """
    run = _Import(journal, renumber=renumber, redactions=redactions)
    if isinstance(lines, AsyncIterable):
        async for line in lines:
            await run.take(line)
    else:
        for line in lines:
            await run.take(line)
    await run.flush()
    return Imported(run.stored, run.already_there)


class _Import:
    def __init__(self, journal: Journal, *, renumber: bool, redactions: Mapping[str, Redaction]) -> None:
        self._journal = journal
        self._redactions = redactions
        self._renumber = renumber
        self._heads: dict[Stream, Head] = {}
        self._batch: list[NewEvent] = []
        self._waiting: set[str] = set()
        self._expected: dict[Stream, int] = {}
        self._line = 0
        self.stored = 0
        self.already_there = 0

    async def take(self, line: bytes) -> None:
        """One line of the import."""
        self._line += 1
        if not line.strip():
            return
        try:
            record = decode_record(line)
        except MalformedEventError as error:
            raise MalformedEventError(f"Line {self._line}: {error.message}") from None
        stub = None if self._renumber or not record.digest else read_stub(record.payload)
        if stub is not None:
            await self._take_redacted(record, str(record.digest), stub)
            return
        is_new = record.event_id not in self._waiting and await self._journal.get(record.event_id) is None
        if is_new and not self._renumber:
            await self._check(record)
        self._waiting.add(record.event_id)
        self._batch.append(new_event(record))
        if len(self._batch) >= BATCH_EVENTS:
            await self.flush()

    async def flush(self) -> None:
        """Store what waits."""
        batch, self._batch = self._batch, []
        expected, self._expected = self._expected, {}
        self._waiting.clear()
        try:
            appended = await self._journal.append(batch, expected=expected)
        except MalformedEventError as error:
            raise MalformedEventError(
                f"Lines {self._line - len(batch) + 1} to {self._line}: {error.message}", details=error.details
            ) from None
        duplicates = sum(one.duplicate for one in appended)
        self.stored += len(appended) - duplicates
        self.already_there += duplicates

    async def _take_redacted(self, record: EventRecord, digest: str, stub: Stub) -> None:
        """A redacted event: when its redaction says so, it is stored by itself and then given the digest that it had."""
        await self.flush()
        stored = await self._journal.get(record.event_id)
        if stored is not None and stored.digest == digest:
            self.already_there += 1
            return
        if not isinstance(self._journal, AdoptsDigests):
            raise ConflictError(
                f"Line {self._line}: this journal can't take redacted events as they are.",
                next_step="Import into a file, or let the events get new sequences (--renumber).",
            )
        if stored is None:
            record.digest = None
            await self._check(record)
            plain = self._heads[record.stream].digest
        else:
            plain = str(stored.digest)
        claim = Claimed(*record.stream, record.sequence, stub.redaction, digest, plain)
        if plain != digest and not is_covered(claim, await self._redaction(stub.redaction)):
            found = f"{plain}, and no redaction says so"
            raise JournalDamagedError(*record.stream, record.sequence, expected=digest, found=found)
        if stored is None:
            self._batch.append(new_event(record))
            await self.flush()
        await self._journal.adopt_digest(record.event_id, digest)
        self._heads[record.stream] = Head(record.sequence, digest)

    async def _redaction(self, event_id: str) -> Redaction | None:
        """A redaction, from the lines or from the journal."""
        known = self._redactions.get(event_id)
        record = None if known is not None else await self._journal.get(event_id)
        return known if record is None else read_redaction(record.payload)

    async def _check(self, record: EventRecord) -> None:
        """The record must be the next of its stream, with the digest that follows from the one before."""
        stream = record.stream
        head = self._heads.get(stream) or await self._journal.head(stream)
        if record.sequence not in (0, head.sequence + 1):
            raise ConflictError(
                f"Line {self._line}: {stream} sequence {record.sequence} can't follow sequence {head.sequence}.",
                next_step="Import the events before it first, or let the events get new sequences.",
            )
        self._expected.setdefault(stream, head.sequence)
        placed = head.sequence + 1
        claimed = record.digest if record.sequence else None
        record.sequence = placed
        digest = chain.event_digest(head.digest, record)
        if claimed is not None and claimed != digest:
            raise JournalDamagedError(stream.session_id, stream.branch_id, placed, expected=claimed, found=digest)
        self._heads[stream] = Head(placed, digest)


def new_event(record: EventRecord) -> NewEvent:
    """A stored event as a new one: the same id and content, for another journal."""
    return NewEvent(
        event_id=record.event_id,
        session_id=record.session_id,
        branch_id=record.branch_id,
        agent_id=record.agent_id,
        timestamp_us=record.timestamp_us,
        payload=record.payload,
        kind_name=record.kind_name,
        actor=record.actor,
        schema=record.schema,
        causation_id=record.causation_id,
        correlation_id=record.correlation_id,
        trace_id=record.trace_id,
        span_id=record.span_id,
    )
