"""Journals as lines of JSON, out and in again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from life.aios.errors import ConflictError, EventConflictError, JournalDamagedError, MalformedEventError
from life.aios.events import Custom, UserMessage
from life.aios.ids import encode_ulid
from life.aios.ports.journal import EventQuery
from life.aios.record import Actor, NewEvent, Schema, Stream, encode_record
from life.lago.export import Imported, export_records, import_records
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import ManualClock
from life.testing.journal import Maker

EVERYTHING = EventQuery()
PAYLOADS = [
    (b'{"type":"UserMessage","content":"hi"}', "UserMessage"),
    (b'{"type":"UserMessage","content":"hi","later":[1,2.50,1e2]}', "UserMessage"),
    (b'{"content":"first" , "type":"UserMessage"}', "UserMessage"),
    (b'{"type":"VisionResult","labels":["cat"],"nested":{"deep":null}}', "VisionResult"),
    (b'{"type":"Custom","event_type":"finance.reserved","data":{"amount_atomic":"10"}}', "Custom"),
    ('{"type":"UserMessage","content":"Grüße \u2028 🌍"}'.encode(), "UserMessage"),
    (b'{"no":"tag"}', "Unknown"),
]
some_id = st.one_of(
    st.binary(min_size=16, max_size=16).map(encode_ulid), st.text("abcXYZ019-_/:.~", min_size=1, max_size=30)
)
# Built from printable characters and not filtered: three of four texts are not, and rejecting them failed a run now and then.
some_name = st.text(st.characters(categories=("L", "M", "N", "P", "S"), include_characters=" "), max_size=5)
maybe_id = st.none() | some_id
some_event = st.builds(
    lambda event_id, stream, payload, **fields: NewEvent(
        event_id=event_id,
        session_id=stream[0],
        branch_id=stream[1],
        payload=payload[0],
        kind_name=payload[1],
        **fields,
    ),
    event_id=some_id,
    stream=st.sampled_from([("s", "main"), ("s", "side"), ("other/one", "main")]),
    payload=st.sampled_from(PAYLOADS),
    agent_id=some_id,
    timestamp_us=st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999),
    actor=st.builds(Actor, st.sampled_from(["user", "agent", "system"]), st.none() | some_name),
    schema=st.builds(Schema, some_name, some_name),
    causation_id=maybe_id,
    correlation_id=maybe_id,
    trace_id=maybe_id | st.just("0af7651916cd43dd8448eb211c80319c"),
    span_id=maybe_id | st.just("b7ad6b7169203331"),
)


async def exported(journal: MemoryJournal | SqliteJournal, query: EventQuery = EVERYTHING) -> list[bytes]:
    """All lines of an export."""
    return [line async for line in export_records(journal, query)]


@given(st.lists(some_event, max_size=12, unique_by=lambda event: event.event_id))
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
def test_out_and_in_again_is_the_same_journal(events: list[NewEvent]) -> None:
    """Any events: the imported journal exports the very same lines, digests included."""

    async def check() -> None:
        first, second = MemoryJournal(), MemoryJournal()
        await first.append(events)
        lines = await exported(first)
        assert all(b"\n" not in line for line in lines)
        assert await import_records(second, lines) == Imported(len(events), 0)
        assert await exported(second) == lines

    asyncio.run(check())


async def test_a_large_journal_between_engines(tmp_path: Path) -> None:
    """More events than one page or batch, from memory to disk; running it twice stores nothing twice."""
    main, side = Maker(), Maker("session-2", seed="2")
    journal = MemoryJournal()
    await journal.append([(main, side)[number % 2].event() for number in range(1203)])
    lines = await exported(journal)

    async def stream() -> AsyncIterator[bytes]:
        for line in lines:
            yield line + b"\n"
            yield b"\n"

    async with SqliteJournal.open(tmp_path / "journal.db", clock=ManualClock()) as copy:
        assert await import_records(copy, stream()) == Imported(1203, 0)
        assert await import_records(copy, lines) == Imported(0, 1203)
        assert await exported(copy) == lines
        assert await exported(copy, EventQuery("session-2", "main", after_sequence=600)) == [lines[1201]]
        assert len(await exported(copy, EventQuery("session-1"))) == 602


async def test_an_interrupted_import_goes_on() -> None:
    """What is there already is passed over; the rest follows."""
    maker = Maker()
    journal, copy = MemoryJournal(), MemoryJournal()
    await journal.append(maker.events(10))
    lines = await exported(journal)
    await import_records(copy, lines[:4])
    assert await import_records(copy, lines) == Imported(6, 4)
    assert await exported(copy) == lines


async def test_lines_that_were_changed_are_found() -> None:
    """A digest that does not follow names stream and sequence; nothing of its batch is stored."""
    maker = Maker()
    journal = MemoryJournal()
    await journal.append(maker.events(5))
    lines = await exported(journal)
    changed = [*lines[:2], lines[2].replace(b"message 2", b"message X"), *lines[3:]]
    copy = MemoryJournal()
    with pytest.raises(JournalDamagedError) as caught:
        await import_records(copy, changed)
    assert (caught.value.session_id, caught.value.sequence) == ("session-1", 3)
    assert await copy.read(EventQuery()) == []


async def test_lines_that_are_missing_or_out_of_order() -> None:
    """A sequence that cannot follow is a conflict; asked for, an excerpt gets sequences of its own."""
    maker = Maker()
    journal = MemoryJournal()
    await journal.append(maker.events(5))
    lines = await exported(journal)
    for wrong in (lines[2:], [lines[0], lines[2]], [lines[1], lines[0]]):
        with pytest.raises(ConflictError, match="Line"):
            await import_records(MemoryJournal(), wrong)
    excerpt = MemoryJournal()
    assert await import_records(excerpt, lines[2:], renumber=True) == Imported(3, 0)
    assert [record.sequence for record in await excerpt.read(EventQuery())] == [1, 2, 3]


async def test_lines_that_are_no_records() -> None:
    """The line is named."""
    maker = Maker()
    journal = MemoryJournal()
    await journal.append(maker.events(1))
    (line,) = await exported(journal)
    for wrong in (b"{}", b"nonsense", b"[1]", line.replace(b'"content"', b'"contents"')):
        with pytest.raises(MalformedEventError, match=r"Lines? "):
            await import_records(MemoryJournal(), [line, b"", wrong])
    other = line.replace(b"message 0", b"message 1")
    with pytest.raises(EventConflictError):
        await import_records(journal, [other])


async def test_older_spellings_are_imported() -> None:
    """Envelopes of the original, in both of its spellings, become records with sequences of ours."""
    lines = [
        b'{"event_id":"e1","session_id":"GOLDEN","branch_id":"main","seq":0,"timestamp":1700000000000000,"payload":'
        b'{"type":"Message","role":"user","content":"hi"},"metadata":{"aios.run_id":"run-1"},"schema_version":1}',
        b'{"event_id":"e2","session_id":"GOLDEN","branch_id":"main","seq":0,"timestamp":1700000001000000,'
        b'"parent_id":"e1","payload":{"type":"VisionResult","labels":["cat"]},"metadata":{},"schema_version":1}',
        b'{"event_id":"e3","session_id":"GOLDEN","agent_id":"a","branch_id":"feature-x","seq":9,"ts_ms":1700000002000000,'
        b'"parent_event_id":"e2","actor":{"type":"user"},"kind":{"type":"UserMessage","content":"x"}}',
    ]
    journal = MemoryJournal()
    with pytest.raises(ConflictError):  # the third carries a sequence that can't be
        await import_records(journal, lines)
    await import_records(journal, lines, renumber=True)
    records = await journal.read(EventQuery())
    assert [record.sequence for record in records] == [1, 2, 1]
    assert [record.causation_id for record in records] == [None, "e1", "e2"]
    assert records[0].correlation_id == "run-1"
    assert records[1].kind == Custom(event_type="VisionResult", data={"labels": ["cat"]})
    assert records[2].kind == UserMessage(content="x")
    assert records[2].stream == Stream("GOLDEN", "feature-x")
    again = MemoryJournal()
    await import_records(again, await exported(journal))
    assert [encode_record(record) for record in await again.read(EventQuery())] == [
        encode_record(record) for record in records
    ]
