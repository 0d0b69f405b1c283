"""From events to structured messages: one copy of everything, every call with its result, the same bytes every time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from life.aios import events
from life.aios.events import Kind, encode_kind
from life.aios.ports.provider import ChatMessage, TextBlock, ToolResultBlock, ToolUseBlock
from life.arcan.conversation import MAX_RESULT_CHARACTERS, NO_RESULT, Conversation, result_text, shortened
from life.arcan.state import fold
from tests.arcan.any_events import record_of


def conversation(*kinds: Kind) -> tuple[ChatMessage, ...]:
    """The messages of these events."""
    records = [record_of(encode_kind(kind), number, 0, f"e{number}", None) for number, kind in enumerate(kinds, 1)]
    return fold("s", records).conversation.messages()


def user(text: str) -> ChatMessage:
    """A user turn."""
    return ChatMessage("user", (TextBlock(text),))


def assistant(text: str) -> ChatMessage:
    """An assistant turn."""
    return ChatMessage("assistant", (TextBlock(text),))


def call(call_id: str) -> Kind:
    """A request for a tool."""
    return events.ToolCallRequested(call_id=call_id, tool_name="look", arguments={"path": call_id})


def result(call_id: str, text: str, status: str = "ok") -> Kind:
    """A tool's outcome."""
    return events.ToolCallCompleted(
        tool_run_id="r",
        call_id=call_id,
        tool_name="look",
        result=text,
        duration_ms=0,
        status=status,  # type: ignore[arg-type]
    )


def test_calls_and_results_are_structured() -> None:
    """Text and calls share one assistant turn; results follow in one user turn, in the order of the calls."""
    messages = conversation(
        events.UserMessage(content="Look."),
        events.Message(role="assistant", content="Looking."),
        call("call-1"),
        call("call-2"),
        result("call-2", "two"),
        events.ToolCallFailed(call_id="call-1", tool_name="look", error="Not permitted."),
        events.StepFinished(index=0, stop_reason="tool_call", directive_count=2),
        events.Message(role="assistant", content="Done."),
    )
    assert messages == (
        user("Look."),
        ChatMessage(
            "assistant",
            (
                TextBlock("Looking."),
                ToolUseBlock("call-1", "look", {"path": "call-1"}),
                ToolUseBlock("call-2", "look", {"path": "call-2"}),
            ),
        ),
        ChatMessage(
            "user", (ToolResultBlock("call-1", "Not permitted.", True), ToolResultBlock("call-2", "two", False))
        ),
        assistant("Done."),
    )


def test_both_spellings_of_text_are_one() -> None:
    """TextDelta and AssistantTextDelta, Message and AssistantMessageCommitted; deltas followed by their message count once."""
    expected = (user("Hi."), assistant("Hello there."))
    whole = "Hello there."
    assert conversation(events.UserMessage(content="Hi."), events.Message(role="assistant", content=whole)) == expected
    assert (
        conversation(
            events.UserMessage(content="Hi."), events.AssistantMessageCommitted(role="assistant", content=whole)
        )
        == expected
    )
    for delta in (events.TextDelta, events.AssistantTextDelta):
        pieces = [events.UserMessage(content="Hi."), delta(delta="Hello "), delta(delta="there.")]
        assert conversation(*pieces) == expected
        assert conversation(*pieces, events.Message(role="assistant", content=whole)) == expected


def test_the_objective_stands_there_once() -> None:
    """Older journals carry the user's words as DeliberationProposed; where both stand, one counts."""
    said = events.DeliberationProposed(summary="Build it.")
    assert conversation(said) == (user("Build it."),)
    assert conversation(events.UserMessage(content="Build it."), said) == (user("Build it."),)
    assert conversation(events.DeliberationProposed(summary="")) == ()
    answered = events.Message(role="assistant", content="Again?")
    assert conversation(said, answered, said) == (user("Build it."), assistant("Again?"), user("Build it."))


def test_an_answer_that_only_the_end_shows() -> None:
    """Imported runs without any message show their final answer; others do not say it twice."""
    started = events.RunStarted(provider="p", max_iterations=1)
    finished = events.RunFinished(reason="completed", total_iterations=1, final_answer="Forty-two.")
    assert conversation(events.UserMessage(content="?"), started, finished) == (user("?"), assistant("Forty-two."))
    spoken = events.Message(role="assistant", content="Forty-two.")
    assert conversation(events.UserMessage(content="?"), started, spoken, finished) == (
        user("?"),
        assistant("Forty-two."),
    )


def test_a_call_without_result_gets_one_that_says_so() -> None:
    """Vendors refuse a call without its result: when its turn is over, the missing one is said to be missing; a result
    that comes later is too late."""
    messages = conversation(call("call-1"), events.UserMessage(content="Well?"), result("call-1", "late"))
    assert messages == (
        ChatMessage("assistant", (ToolUseBlock("call-1", "look", {"path": "call-1"}),)),
        ChatMessage("user", (ToolResultBlock("call-1", NO_RESULT, True),)),
        user("Well?"),
    )


def test_the_first_result_of_a_call_counts() -> None:
    """A repeated outcome does not stand there twice."""
    messages = conversation(call("call-1"), result("call-1", "first"), result("call-1", "second"))
    assert messages[-1] == ChatMessage("user", (ToolResultBlock("call-1", "first", False),))


def test_text_before_a_call_belongs_to_its_turn() -> None:
    """Imported deltas that lead to a call stay with it when the next message comes."""
    messages = conversation(
        events.TextDelta(delta="Looking."),
        call("call-1"),
        result("call-1", "x"),
        events.Message(role="assistant", content="Seen."),
    )
    assert messages[0].content[0] == TextBlock("Looking.")
    assert messages[-1] == assistant("Seen.")


def test_long_results_are_shortened_for_the_model_only() -> None:
    """Beginning and end with a note; the event keeps everything."""
    long = "a" * MAX_RESULT_CHARACTERS + "THE END"
    messages = conversation(call("call-1"), result("call-1", long))
    block = messages[-1].content[0]
    assert isinstance(block, ToolResultBlock)
    assert len(block.content) < MAX_RESULT_CHARACTERS + 100
    assert block.content.endswith("THE END") and "7 characters left out" in block.content


@given(st.text())
def test_short_results_are_left_alone(text: str) -> None:
    """Nothing is changed that need not be."""
    assert shortened(text) == text
    assert result_text(text) == text


def test_other_results_are_json() -> None:
    """Objects become JSON text, in their own order."""
    assert result_text({"b": 1, "a": [True, None]}) == '{"b":1,"a":[true,null]}'


@given(st.lists(st.sampled_from(["user", "assistant", "delta", "call", "result", "seal"]), max_size=30))
def test_sealed_turns_never_change(moves: list[str]) -> None:
    """The conversation only grows at its end: what was sealed stays, whatever comes."""
    current = Conversation()
    calls = 0
    for move in moves:
        before = current.sealed
        match move:
            case "user":
                current = current.user_said("u")
            case "assistant":
                current = current.assistant_said("a")
            case "delta":
                current = current.assistant_wrote("d")
            case "call":
                calls += 1
                current = current.tool_requested(f"call-{calls}", "look", {})
            case "result":
                current = current.tool_answered(f"call-{calls}", "r", is_error=False)
            case _:
                current = current.seal()
        assert current.sealed[: len(before)] == before
        assert current.messages()[: len(current.sealed)] == current.sealed
