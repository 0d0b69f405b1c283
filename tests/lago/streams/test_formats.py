"""Frames of the golden run, in every format."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from life.aios import events
from life.aios.errors import InvalidInputError, JournalUnavailableError
from life.aios.events import Kind
from life.aios.events.codec import encode_kind
from life.aios.record import AGENT, DEFAULT_SCHEMA, EventRecord
from life.aios.streams.frames import render
from life.aios.streams.resume import machine_at, run_beginning
from life.lago.journal.memory import MemoryJournal
from life.lago.streams.catalogue import FORMATS as CATALOGUE
from life.lago.streams.catalogue import find_format
from tests.lago.streams.golden_run import FIXTURES, FORMATS, STREAM, format_of, golden_records, new_events, told


def a_record(kind: Kind, sequence: int, *, causation_id: str | None = None) -> EventRecord:
    """A record of the golden stream."""
    return EventRecord(
        event_id=f"event-{sequence}",
        session_id=STREAM.session_id,
        branch_id=STREAM.branch_id,
        agent_id="agent",
        sequence=sequence,
        timestamp_us=1,
        actor=AGENT,
        schema=DEFAULT_SCHEMA,
        kind_name=type(kind).__name__,
        payload=encode_kind(kind),
        causation_id=causation_id,
    )


def text_of(name: str, frames: bytes) -> str:
    """The assistant's text in a format's frames."""
    text = ""
    for line in frames.split(b"\n"):
        if not line.startswith(b"data: {"):
            continue
        data = json.loads(line[6:])
        if name.startswith("openai"):
            text += "".join(choice["delta"].get("content", "") for choice in data.get("choices", []))
        elif name == "anthropic" and data["type"] == "content_block_delta":
            text += data["delta"].get("text", "")
        elif name == "vercel" and data["type"] == "text-delta":
            text += data["delta"]
    return text


@pytest.mark.parametrize("name", FORMATS)
async def test_golden_frames(name: str) -> None:
    """Each format's frames of the golden run are those of the fixture, byte for byte."""
    frames = b"".join(told(format_of(name), await golden_records()))
    assert frames == (FIXTURES / f"golden.{name}.sse").read_bytes()


@pytest.mark.parametrize("name", FORMATS)
async def test_an_id_stands_on_the_last_frame_of_an_event_only(name: str) -> None:
    """A cut between two frames of an event makes the client ask for the whole event again."""
    for sequence, frames in enumerate(told(format_of(name), await golden_records()), 1):
        blocks = frames.split(b"\n\n")[:-1]
        assert [b"id: " in block for block in blocks] == [False] * (len(blocks) - 1) + [True] * bool(blocks)
        assert not blocks or b"id: %d\n" % sequence in blocks[-1]


@pytest.mark.parametrize("name", FORMATS)
async def test_a_machine_is_the_same_wherever_it_was_folded_from(name: str) -> None:
    """Resumed behind any event, in the middle of a run or not, a stream goes on as if it had never been cut."""
    records = await golden_records()
    whole = told(format_of(name), records)
    async with MemoryJournal() as journal:
        await journal.append(new_events())
        for cursor in range(len(records) + 1):
            machine = await machine_at(journal, STREAM, format_of(name), cursor)
            rest = [render(machine.feed(record), record.sequence) for record in records[cursor:]]
            assert rest == whole[cursor:], cursor


@pytest.mark.parametrize("name", ["openai", "anthropic", "vercel"])
async def test_only_the_assistant_speaks_and_says_everything_once(name: str) -> None:
    """Streamed text is not sent again by its message; words of other roles never are."""
    text = text_of(name, b"".join(told(format_of(name), await golden_records())))
    expected = 'I look into it.It says "Hello".A word outside of a run.I begOnly an answer.Unfinished '
    assert text == expected


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=6),
    st.integers(0, 6),
    st.sampled_from(["openai", "anthropic", "vercel"]),
)
def test_pieces_and_the_message_that_closes_them_are_told_once(pieces: list[str], known: int, name: str) -> None:
    """However much of a message came in pieces, the client ends up with exactly its content."""
    records = [a_record(events.RunStarted(provider="p", max_iterations=1), 1)]
    records += [a_record(events.TextDelta(delta=piece), 2 + at) for at, piece in enumerate(pieces[:known])]
    records.append(a_record(events.Message(role="assistant", content="".join(pieces)), len(records) + 1))
    assert text_of(name, b"".join(told(format_of(name), records))) == "".join(pieces)


@pytest.mark.parametrize("name", ["openai", "anthropic", "vercel"])
def test_ephemeral_pieces_overlap_and_miss(name: str) -> None:
    """Pieces with offsets: an overlap is cut, one behind a gap is left to the message; ephemerals have no id."""
    machine = format_of(name).machine()
    pieces = [("Hel", 0), ("Hello", 0), ("gap", 9)]
    frames = [
        render(machine.feed(a_record(events.AssistantTextDelta(delta=text, index=at), 0, causation_id="m")), 0)
        for text, at in pieces
    ]
    frames.append(render(machine.feed(a_record(events.Message(role="assistant", content="Hello you"), 1)), 1))
    assert [text_of(name, each) for each in frames] == ["Hel", "lo", "", " you"]
    assert not any(b"id: " in line[:4] for each in frames[:3] for line in each.split(b"\n"))


async def test_where_a_run_begins() -> None:
    """The search looks behind the last run's beginning, however far it is."""
    async with MemoryJournal() as journal:
        await journal.append(new_events())
        assert await run_beginning(journal, STREAM, 10) == 2
        assert await run_beginning(journal, STREAM, 23) == 22
        assert await run_beginning(journal, STREAM, 2) == 2
        long = next(event for event in new_events() if event.kind_name == "PhaseEntered")
        await journal.append([msgspec.structs.replace(long, event_id=f"phase-{number}") for number in range(3000)])
        assert await run_beginning(journal, STREAM, 3032) == 30


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_what_breaks_off_says_so(name: str) -> None:
    """An error is one frame of the format, without an id."""
    frame = find_format(name).error(JournalUnavailableError("The journal is gone."))
    assert b"The journal is gone." in frame
    assert frame.endswith(b"\n\n") and b"id: " not in frame


def test_formats_that_do_not_exist_are_refused() -> None:
    """An unknown name, and usage where there is none to include."""
    with pytest.raises(InvalidInputError):
        find_format("msn")
    with pytest.raises(InvalidInputError):
        find_format("vercel", with_usage=True)
