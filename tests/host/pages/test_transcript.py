"""A session's events as turns."""

from __future__ import annotations

from collections.abc import Sequence

from life.aios import events
from life.aios.record import AGENT, EventRecord, EventWriter, Stream
from life.arcan.events import RunInDoubt, run_in_doubt
from life.host.pages.transcript import MAX_TEXT, Turn, transcript
from life.testing.clock import ManualClock, SeededEntropy


def told(*kinds: events.Kind) -> list[Turn]:
    writer = EventWriter(ManualClock(), SeededEntropy(), agent_id="a", stream=Stream("s"), actor=AGENT)
    return transcript([_record(writer, kind, number) for number, kind in enumerate(kinds, 1)])


def _record(writer: EventWriter, kind: events.Kind, sequence: int) -> EventRecord:
    event = writer.event(kind)
    return EventRecord(
        event_id=event.event_id,
        session_id=event.session_id,
        branch_id=event.branch_id,
        agent_id=event.agent_id,
        sequence=sequence,
        timestamp_us=event.timestamp_us,
        actor=event.actor,
        schema=event.schema,
        kind_name=event.kind_name,
        payload=event.payload,
    )


def states(kinds: Sequence[events.Kind]) -> list[str]:
    """The state of the one tool turn after each of the events."""
    return [told(*kinds[:count])[0].state for count in range(1, len(kinds) + 1)]


ASKED = events.ToolCallRequested(call_id="c", tool_name="http_fetch", arguments={"url": "http://x"})


def test_a_call_has_one_turn_that_says_how_it_stands() -> None:
    """Asked, waiting for approval, in doubt, done: the same turn throughout."""
    approval = events.ApprovalRequested(
        approval_id="p", call_id="c", tool_name="http_fetch", arguments={"url": "http://x"}, risk="low"
    )
    doubt = run_in_doubt(RunInDoubt(tool_run_id="t", call_id="c", tool_name="http_fetch", explanation="?"))
    assert states([ASKED, approval]) == ["asked", "waits for approval"]
    assert states([ASKED, doubt]) == ["asked", "in doubt"]
    failed = events.ToolCallFailed(call_id="c", tool_name="http_fetch", error="no")
    assert len(told(ASKED, approval, doubt, failed)) == 1
    assert told(ASKED, failed)[0].tone == "bad"


def test_a_run_that_waits_is_taken_up_once_for_the_reader() -> None:
    """Ten restarts in a row are one note; a later one is another."""
    turns = told(*[events.SessionResumed()] * 10, events.UserMessage(content="hi"), events.SessionResumed())
    assert [turn.kind for turn in turns] == ["note", "user", "note"]


def test_long_results_are_cut_with_a_count() -> None:
    """The page stays readable and says how much is missing."""
    turns = told(ASKED, events.ToolCallFailed(call_id="c", tool_name="http_fetch", error="x" * (MAX_TEXT + 7)))
    assert turns[0].text.endswith("… 7 more characters in the journal")


def test_events_about_unknown_calls_change_nothing() -> None:
    """Total: an outcome without its request, an unknown kind, an odd payload."""
    doubt = events.Custom(event_type="arcan.run_in_doubt", data={"call_id": 5})
    odd = events.Custom(event_type="arcan.run_in_doubt", data=[1])
    assert told(events.ToolCallFailed(call_id="z", tool_name="t", error="no"), doubt, odd) == []
