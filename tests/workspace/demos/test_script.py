"""Playing a script: a pure function of the request, whatever was compacted, branched or asked."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.json import Json
from life.aios.ports.provider import ChatMessage, ModelRequest, TextBlock, ToolResultBlock, ToolUseBlock
from life.workspace.demos.catalogue import SLUGS, demo
from life.workspace.demos.demo import Demo, Turn
from life.workspace.demos.script import next_turn


def person(words: str, *, before: str = "") -> ChatMessage:
    texts = (TextBlock(before), TextBlock(words)) if before else (TextBlock(words),)
    return ChatMessage("user", texts)


def answered(turn: Turn, results: list[Json], number: int) -> list[ChatMessage]:
    """A turn as it stands in the conversation, with its results."""
    calls = [(f"call-{number}-{place}", call) for place, call in enumerate(turn.calls)]
    said = ChatMessage(
        "assistant", (TextBlock(turn.text), *(ToolUseBlock(name, call.tool, call.arguments) for name, call in calls))
    )
    if not calls:
        return [said]
    given_back = tuple(
        ToolResultBlock(name, json.dumps(result)) for (name, _), result in zip(calls, results, strict=True)
    )
    return [said, ChatMessage("user", given_back)]


def played(found: Demo, prompt: str, results: Json) -> list[Turn]:
    """Every turn of a script, each call answered with `results`."""
    messages = [person(prompt)]
    turns: list[Turn] = []
    while True:
        turn = next_turn(found, ModelRequest(messages=tuple(messages)))
        turns.append(turn)
        if not turn.calls:
            return turns
        messages += answered(turn, [results] * len(turn.calls), len(turns))


@pytest.mark.parametrize("slug", SLUGS)
def test_every_script_is_played_from_its_words_to_its_end(slug: str) -> None:
    """Turn by turn, in order, whatever the tools answer; what they did not report is said to be missing, never made up."""
    found = demo(slug)
    for each in (*found.ui.suggestions, *found.branches):
        turns = played(found, each.prompt, {})
        assert len(turns) == len(found.script[each.script].turns)
        assert "{{" not in "".join(turn.text for turn in turns)


def test_results_are_quoted_in_their_places() -> None:
    """A named call's result, also JSON within its text; numbers as people write them, and as numbers where a value stands alone."""
    found = demo("ingest")
    prompt = found.ui.suggestions[0].prompt
    first = next_turn(found, ModelRequest(messages=(person(prompt),)))
    messages = [person(prompt), *answered(first, [{"blob": "b1", "bytes": 1234567, "pages": 3}], 1)]
    second = next_turn(found, ModelRequest(messages=tuple(messages)))
    assert second.text.startswith("1,234,567 bytes on 3 pages.")
    assert second.calls[0].arguments == {"blob": "b1"}


def test_spanish_numbers_are_written_in_spanish() -> None:
    """Points for thousands, a comma for fractions, in text and in money."""
    turns = played(
        demo("materiales"),
        demo("materiales").ui.suggestions[0].prompt,
        {
            "median": 26900.5,
            "spread_percent": 2.4,
            "quotes": {"la-forja": {"price_cop": 26900, "settlement": {"amount_micro": 100}}},
        },
    )
    assert "26.900" in turns[-1].text
    assert "26.900,5 COP" in turns[-1].text
    assert "0,0001 USD" in turns[-1].text
    assert "sin dato" in turns[-1].text


def test_a_shortened_conversation_goes_on_where_it_was() -> None:
    """After a compaction the answers that left are counted, and the words beside the summary still name the script."""
    found = demo("sentinel")
    prompt = found.ui.suggestions[0].prompt
    turns = found.script["audit"].turns
    kept = answered(turns[4], [{}, {}], 5)
    summary = person(prompt, before="[compressed-summary]\nwhat happened")
    turn = next_turn(found, ModelRequest(messages=(summary, *kept), earlier_answers=4))
    assert turn.text == turns[5].text


def test_the_last_known_words_choose_the_script() -> None:
    """A second suggestion in the same session begins its own script; what the runtime told stands before the words."""
    found = demo("sentinel")
    first, second = found.ui.suggestions[1], found.ui.suggestions[2]
    messages = [person(first.prompt)]
    for number, turn in enumerate(found.script[first.script].turns):
        messages += answered(turn, [{}] * len(turn.calls), number)
    messages.append(person(second.prompt, before="<material>notes</material>"))
    turn = next_turn(found, ModelRequest(messages=tuple(messages)))
    assert turn.text == found.script[second.script].turns[0].text


@pytest.mark.parametrize("slug", SLUGS)
def test_other_words_get_an_honest_answer(slug: str) -> None:
    """It says that it is a script, what it can play, and calls no tool; in the demo's language."""
    found = demo(slug)
    turn = next_turn(found, ModelRequest(messages=(person("Do something else."),)))
    assert not turn.calls
    assert ("guion" if found.language == "es" else "script") in turn.text
    assert all(each.label in turn.text for each in found.ui.suggestions)


def test_a_call_that_went_otherwise_changes_what_is_said() -> None:
    """`instead` speaks only for its call and its outcome; where it ends the run, the turn's calls are not made."""
    found = demo("sentinel-pro")
    prompt = found.ui.suggestions[0].prompt
    first = found.script["audit"].turns[0]

    def second(content: str, *, is_error: bool) -> Turn:
        said = ChatMessage("assistant", (TextBlock(first.text), ToolUseBlock("c", "request_payment", {})))
        result = ChatMessage("user", (ToolResultBlock("c", content, is_error),))
        return next_turn(found, ModelRequest(messages=(person(prompt), said, result)))

    paid = second('{"settlement": {"amount_micro": 500000}}', is_error=False)
    assert paid.text.startswith("Settled: 0.50 USD")
    assert paid.calls
    for content in ('{"error": "No."}', "No."):
        refused = second(content, is_error=True)
        assert refused.text.startswith("Nothing was paid (No.)")
        assert not refused.calls


def test_after_the_end_it_says_so() -> None:
    """Words that follow the script's end are not answered with its beginning."""
    found = demo("sentinel")
    prompt = found.ui.suggestions[1].prompt
    messages = [person(prompt)]
    for number, turn in enumerate(found.script["closure"].turns):
        messages += answered(turn, [{}] * len(turn.calls), number)
    messages.append(person("And now?"))
    turn = next_turn(found, ModelRequest(messages=tuple(messages)))
    assert "I am the script" in turn.text


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(result=_JSON, slug=st.sampled_from(SLUGS))
def test_whatever_tools_answer_the_script_goes_on(result: Json, slug: str) -> None:
    """No result, however odd, stops it or leaves a placeholder; the same conversation gives the same turns."""
    found = demo(slug)
    prompt = found.ui.suggestions[0].prompt
    turns = played(found, prompt, result)
    assert len(turns) == len(found.script[found.ui.suggestions[0].script].turns)
    assert turns == played(found, prompt, result)
