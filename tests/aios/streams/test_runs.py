"""The assistant's output is told once, in whatever order pieces and stored events come."""

from __future__ import annotations

from life.aios import events
from life.aios.events import Kind, encode_kind
from life.aios.record import DEFAULT_SCHEMA, SYSTEM, EventRecord
from life.aios.streams.runs import Part, RunReader, StepEnded, TextEnded, TextPiece


def told(*entries: tuple[int, Kind] | tuple[int, Kind, str]) -> list[Part]:
    """What a reader says; entries are (sequence, kind), and for pieces (sequence 0) the message they belong to."""
    reader = RunReader()
    parts: list[Part] = []
    for number, (sequence, kind, *message) in enumerate(entries):
        parts += reader.read(
            EventRecord(
                event_id=f"e{number}" if sequence else "",
                session_id="s",
                branch_id="main",
                agent_id="a",
                sequence=sequence,
                timestamp_us=1_700_000_000_000_000 + number,
                actor=SYSTEM,
                schema=DEFAULT_SCHEMA,
                kind_name=type(kind).__name__,
                payload=encode_kind(kind),
                causation_id=message[0] if message else None,
            )
        )
    return parts


def shape(parts: list[Part]) -> list[str]:
    """Text as it is, the rest by name."""
    return [part.text if isinstance(part, TextPiece) else type(part).__name__ for part in parts]


FIRST = events.Message(role="assistant", content="Looking.")
CALL = events.ToolCallRequested(call_id="c", tool_name="t", arguments={})
RESULT = events.ToolCallCompleted(tool_run_id="r", tool_name="t", result="x", duration_ms=1, status="ok", call_id="c")
END = events.StepFinished(index=0, stop_reason="tool_call", directive_count=1)
SECOND = events.Message(role="assistant", content="Here it is.")
LAST = events.StepFinished(index=1, stop_reason="completed", directive_count=0)
DONE = events.RunFinished(reason="completed", total_iterations=2, final_answer="Here it is.")
START = events.RunStarted(provider="p", max_iterations=3)


def piece(text: str, index: int) -> events.AssistantTextDelta:
    """A live piece."""
    return events.AssistantTextDelta(delta=text, index=index)


STORED = shape(told((1, START), (2, FIRST), (3, CALL), (4, RESULT), (5, END), (6, SECOND), (7, LAST), (8, DONE)))


def test_pieces_that_overtake_the_end_of_the_step_are_told_once() -> None:
    """The end of a step waits for the disk, the next message does not: nothing is repeated, and the steps stand as stored."""
    live = told(
        (1, START),
        (2, FIRST),
        (3, CALL),
        (4, RESULT),
        (0, piece("Here ", 0), "m2"),
        (5, END),
        (0, piece("it is.", 5), "m2"),
        (6, SECOND),
        (7, LAST),
        (8, DONE),
    )
    assert "".join(part.text for part in live if isinstance(part, TextPiece)) == "Looking.Here it is."
    merged = [word for word in shape(live) if word != "it is."]
    assert [word.replace("Here ", "Here it is.") for word in merged] == STORED


def test_a_message_that_is_asked_for_again_in_its_step_ends_it_once_more() -> None:
    """A broken answer and its repetition share a step; each text ends, and so does the step after them."""
    parts = told(
        (1, START),
        (0, piece("Hal", 0), "m1"),
        (2, events.Message(role="assistant", content="Hal")),
        (0, piece("Half", 0), "m2"),
        (3, events.Message(role="assistant", content="Half")),
        (4, LAST),
        (5, DONE),
    )
    assert shape(parts) == ["RunOpened", "Hal", "TextEnded", "StepEnded", "Half", "TextEnded", "StepEnded", "RunEnded"]
    assert sum(isinstance(part, TextEnded) for part in parts) == sum(isinstance(part, StepEnded) for part in parts) == 2
