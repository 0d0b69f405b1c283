"""The one record, and the older spellings."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.envelope import LEGACY_ACTOR, UNKNOWN_AGENT, decode_record
from life.aios.errors import MalformedEventError
from life.aios.events import Custom, UserMessage, encode_kind
from life.aios.record import (
    DEFAULT_SCHEMA,
    USER,
    EventRecord,
    EventWriter,
    Stream,
    encode_record,
    format_timestamp,
    parse_timestamp,
)
from life.testing.clock import ManualClock, SeededEntropy

# The three spellings of one fact, after aios.md §3 and the fixtures described in aios.md §17 (Lago's shape).
RECORD = {
    "event_id": "E1",
    "session_id": "S",
    "agent_id": "A",
    "branch_id": "main",
    "sequence": 3,
    "timestamp": "2023-11-14T22:13:20.000000Z",
    "actor": {"type": "user"},
    "schema": {"name": "aios-protocol", "version": "0.1.0"},
    "causation_id": "E0",
    "correlation_id": "R",
    "kind": {"type": "UserMessage", "content": "hi"},
}
ENVELOPE = {
    "event_id": "E1",
    "session_id": "S",
    "agent_id": "A",
    "branch_id": "main",
    "seq": 3,
    "ts_ms": 1_700_000_000_000_000,
    "actor": {"type": "user"},
    "parent_event_id": "E0",
    "kind": {"type": "UserMessage", "content": "hi"},
    "metadata": {"aios.correlation_id": "R"},
    "schema_version": 1,
}
LAGO = {
    "event_id": "E1",
    "session_id": "S",
    "branch_id": "main",
    "seq": 3,
    "timestamp": 1_700_000_000_000_000,
    "parent_id": "E0",
    "payload": {"type": "UserMessage", "content": "hi"},
    "metadata": {},
    "schema_version": 1,
}


def read(shape: dict[str, object]) -> EventRecord:
    return decode_record(json.dumps(shape).encode())


def test_all_three_spellings_tell_the_same() -> None:
    """Sequence, time, cause and kind agree; what Lago's shape lacks gets stable defaults."""
    ours, envelope, lago = read(RECORD), read(ENVELOPE), read(LAGO)
    for record in (ours, envelope, lago):
        assert (record.sequence, record.timestamp_us, record.causation_id) == (3, 1_700_000_000_000_000, "E0")
        assert record.kind == UserMessage(content="hi")
    assert ours.correlation_id == envelope.correlation_id == "R"
    assert (lago.agent_id, lago.actor) == (UNKNOWN_AGENT, LEGACY_ACTOR)
    assert read(LAGO) == read(LAGO), "reading twice gives the same record"


def test_our_own_spelling_is_written() -> None:
    """Exactly the fields of ARCHITECTURE decision 1, absent ones left out."""
    assert json.loads(encode_record(read(RECORD))) == RECORD


def test_unknown_kinds_and_extra_fields_survive_byte_for_byte() -> None:
    """What this version does not understand is written back unchanged."""
    for kind in ('{"type":"VisionResult","boxes":[1, 2]}', '{"type":"UserMessage","content":"hi","tone":"soft"}'):
        text = json.dumps(RECORD | {"kind": "K"}).replace('"K"', kind).encode()
        record = decode_record(text)
        assert kind.encode() in encode_record(record)
    assert isinstance(decode_record(json.dumps(RECORD | {"kind": {"type": "V"}}).encode()).kind, Custom)


@pytest.mark.parametrize("missing", ["event_id", "session_id", "timestamp", "kind"])
def test_a_record_without_what_it_needs_is_refused(missing: str) -> None:
    """With the journal's own error."""
    with pytest.raises(MalformedEventError):
        read({name: value for name, value in RECORD.items() if name != missing})


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"null", b"\xff\xfe", b'{"event_id":1}'])
def test_garbage_is_refused(data: bytes) -> None:
    """Never another exception."""
    with pytest.raises(MalformedEventError):
        decode_record(data)


@pytest.mark.parametrize("timestamp", ["yesterday", "2023-11-14T22:13:20", "2023-99-14T22:13:20Z", True, None])
def test_a_time_that_is_none_is_refused(timestamp: object) -> None:
    """No silent zero, no local time."""
    with pytest.raises(MalformedEventError):
        read(RECORD | {"timestamp": timestamp})


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_timestamps_round_trip_to_the_microsecond(timestamp_us: int) -> None:
    """RFC 3339 with six digits and back, for every year that has four digits."""
    text = format_timestamp(timestamp_us)
    assert len(text) == len("2026-11-20T07:23:00.000001Z")
    assert parse_timestamp(text) == timestamp_us


@pytest.mark.parametrize(
    ("text", "timestamp_us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00.5+01:00", 500_000),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000_123_456),  # chrono writes nine digits
    ],
)
def test_times_of_others(text: str, timestamp_us: int) -> None:
    """Offsets, fewer digits and more."""
    assert parse_timestamp(text) == timestamp_us


@given(st.text(max_size=20), st.text(max_size=8), st.integers(0, 2**53))
def test_any_content_round_trips(content: str, session_id: str, sequence: int) -> None:
    """Quotes, line breaks and control characters included; the record stays on one line."""
    record = EventRecord(
        event_id="E",
        session_id=session_id,
        branch_id="main",
        agent_id="A",
        sequence=sequence,
        timestamp_us=1,
        actor=USER,
        schema=DEFAULT_SCHEMA,
        kind_name="UserMessage",
        payload=encode_kind(UserMessage(content=content)),
    )
    data = encode_record(record)
    assert b"\n" not in data
    again = decode_record(data)
    assert (again.session_id, again.sequence, again.kind) == (session_id, sequence, UserMessage(content=content))


def test_a_writer_fills_in_what_all_its_events_share() -> None:
    """Stream, agent, actor, time and a fresh id; each can be told otherwise."""
    writer = EventWriter(ManualClock(), SeededEntropy(), agent_id="A", stream=Stream("S", "b"), actor=USER)
    first = writer.event(UserMessage(content="hi"), causation_id="c")
    second = writer.event(UserMessage(content="hi"), event_id="fixed")
    assert (first.stream, first.agent_id, first.actor, first.causation_id) == (Stream("S", "b"), "A", USER, "c")
    assert (second.event_id, first.kind_name) == ("fixed", "UserMessage")
    assert first.event_id != second.event_id


def test_the_run_becomes_the_correlation_where_there_is_none() -> None:
    """`run_id` beside the event or in its metadata; an event's own correlation id wins."""
    plain = {name: value for name, value in ENVELOPE.items() if name != "metadata"}
    assert read(plain | {"run_id": "run-1"}).correlation_id == "run-1"
    assert read(plain | {"metadata": {"aios.run_id": "run-1"}}).correlation_id == "run-1"
    assert read(ENVELOPE | {"run_id": "run-1"}).correlation_id == "R"
    assert read(RECORD | {"run_id": "run-1"}).correlation_id == "R"


def test_a_kind_over_several_lines_is_read_as_one() -> None:
    """Indented JSON of other programs: the record that comes of it fits on a line again."""
    record = decode_record(json.dumps(RECORD, indent=2).encode())
    assert record.kind == UserMessage(content="hi")
    assert b"\n" not in encode_record(record)
    assert json.loads(encode_record(record)) == RECORD
