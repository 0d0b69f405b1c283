"""The nine heuristics at their corners, and the golden cases of nous.md §8."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios import events
from life.aios.errors import InvalidInputError
from life.aios.events import Kind
from life.aios.json import JsonObject
from life.aios.state import TokenUsage
from life.autonomic.evaluation.heuristics import (
    HEURISTICS,
    argument_validity,
    budget_adherence,
    evaluate,
    knowledge_coverage,
    knowledge_freshness,
    step_efficiency,
    token_efficiency,
    tool_correctness,
)
from life.autonomic.evaluation.run_facts import RunFacts
from life.autonomic.evaluation.scores import EvalScore, aggregate, egri_outcome, label_of
from tests.autonomic.vitals import named, stream


def facts_of(*kinds: Kind) -> RunFacts:
    """The facts of a run with these events."""
    facts = RunFacts()
    for one in stream(*kinds):
        facts.apply(one)
    return facts


def a_run(
    *, prompt: int, completion: int, used: int, left: int, steps: int, calls: int = 0, errors: int = 0
) -> RunFacts:
    """A run of the golden cases: the call of these tokens, `used` of its budget used and `left` left."""
    usage = TokenUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
    rest = used - prompt - completion
    kinds: list[Kind] = [
        events.UserMessage(content="do it"),
        events.RunStarted(provider="p", max_iterations=24),
        named("arcan.run_limits", max_tokens=used + left),
        events.Message(role="assistant", content="plan", token_usage=usage),
    ]
    if rest > 0:
        more = TokenUsage(prompt_tokens=rest, completion_tokens=0, total_tokens=rest)
        kinds.append(events.Message(role="assistant", content="", token_usage=more))
    for number in range(calls):
        kinds.append(events.ToolCallRequested(call_id=f"c{number}", tool_name="t", arguments={"x": 1}))
        kinds.append(
            events.ToolCallCompleted(
                tool_run_id=f"r{number}",
                call_id=f"c{number}",
                tool_name="t",
                result="",
                duration_ms=1,
                status="error" if number < errors else "ok",
            )
        )
    kinds.append(events.RunFinished(reason="completed", total_iterations=steps, final_answer="done"))
    return facts_of(*kinds)


@pytest.mark.parametrize(
    ("facts", "ranges"),
    [
        (
            a_run(prompt=500, completion=150, used=650, left=99_350, steps=1),
            {"token_efficiency": (0.8, 1), "budget_adherence": (0.99, 1), "step_efficiency": (0.9, 1)},
        ),
        (
            a_run(prompt=2_000, completion=800, used=2_800, left=97_200, steps=3, calls=5, errors=1),
            {
                "token_efficiency": (0.6, 1),
                "budget_adherence": (0.95, 1),
                "tool_correctness": (0.7, 0.9),
                "step_efficiency": (0.8, 0.95),
            },
        ),
    ],
    ids=["simple chat", "tool use"],
)
def test_golden_cases(facts: RunFacts, ranges: dict[str, tuple[float, float]]) -> None:
    """nous.md §8."""
    scores = {score.evaluator: score.value for score in evaluate(facts)}
    for name, (low, high) in ranges.items():
        assert low <= scores[name] <= high, name
    if not facts.calls:
        assert "tool_correctness" not in scores and "safety_compliance" not in scores


@pytest.mark.parametrize(
    ("prompt", "completion", "value"),
    [(100, 0, 1.0), (100, 50, 1.0), (100, 175, 0.5), (100, 300, 0.0), (100, 900, 0.0), (0, 10, None)],
)
def test_token_efficiency(prompt: int, completion: int, value: float | None) -> None:
    """1 up to half, 0 from three times, linear between; nothing without a prompt."""
    assert token_efficiency(prompt, completion) == value


SCHEMA: JsonObject = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "count": {"type": "integer"}, "flag": {"type": "boolean"}},
    "required": ["path", "count"],
}


@pytest.mark.parametrize(
    ("schema", "arguments", "value"),
    [
        (SCHEMA, {"path": "a", "count": 1}, 1.0),
        (SCHEMA, {"path": "a"}, 2 / 3),
        (SCHEMA, {"path": 5, "count": 1}, 0.75),
        (SCHEMA, {"path": "a", "count": True}, 0.75),
        (SCHEMA, {}, 0.0),
        (SCHEMA, "not an object", 0.0),
        (None, {"path": "a"}, None),
        ({"type": "object"}, {"path": "a"}, None),
        ({"required": 5, "properties": []}, {"path": "a"}, None),
    ],
)
def test_argument_validity(schema: JsonObject | None, arguments: object, value: float | None) -> None:
    """Required fields and declared types; a schema that says nothing gives nothing."""
    assert argument_validity(schema, arguments) == value  # type: ignore[arg-type]


def test_the_other_formulas() -> None:
    """At their corners."""
    assert (budget_adherence(1, 3), budget_adherence(0, 0)) == (0.75, None)
    assert (tool_correctness(4, 1), tool_correctness(0, 0)) == (0.75, None)
    assert (step_efficiency(6, 24), step_efficiency(30, 24), step_efficiency(None, 24), step_efficiency(1, 0)) == (
        0.75,
        0.0,
        None,
        None,
    )
    assert [knowledge_freshness(age, notes) for age, notes in [(0, 0), (3_600_001, 5), (3_600_000, 5), (None, 5)]] == [
        0.0,
        0.5,
        1.0,
        None,
    ]
    assert (knowledge_coverage(3, 1), knowledge_coverage(0, 0)) == (0.75, None)


def test_missing_input_is_no_score() -> None:
    """Never a penalty: a run of which nothing is known has no scores, and no scores have no aggregate."""
    assert evaluate(RunFacts()) == []
    assert aggregate([]) is None
    assert len({heuristic.name for heuristic in HEURISTICS}) == 9


def test_values_and_labels() -> None:
    """0 to 1 and nothing else; good from 0.8, warning from 0.5."""
    assert [label_of(value) for value in (0.8, 0.79, 0.5, 0.49)] == ["good", "warning", "warning", "critical"]
    for value in (-0.01, 1.01, float("nan")):
        with pytest.raises(InvalidInputError):
            EvalScore(evaluator="e", value=value, layer="cost")


def test_layers_count_the_same() -> None:
    """Many scores of one layer do not drown another."""
    many = [EvalScore(evaluator=f"e{n}", value=1.0, layer="safety") for n in range(9)]
    assert aggregate([*many, EvalScore(evaluator="x", value=0.0, layer="cost")]) == 0.5


def test_the_outcome_names_what_was_violated() -> None:
    """Every score below 0.3."""
    scores = [EvalScore(evaluator=name, value=value, layer="cost") for name, value in (("a", 0.29), ("b", 0.3))]
    outcome = egri_outcome(scores)
    assert (outcome.constraints_passed, outcome.constraint_violations) == (False, ("a",))
    assert set(outcome.score) == {"a", "b", "aggregate"}


@given(st.integers(-10, 10**9), st.integers(-10, 10**9), st.integers(-5, 100), st.integers(-5, 100))
def test_every_score_is_a_share(prompt: int, completion: int, steps: int, most: int) -> None:
    """Whatever a journal says."""
    usage = TokenUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=0)
    facts = facts_of(
        events.RunStarted(provider="p", max_iterations=most),
        named("arcan.run_limits", max_tokens=prompt),
        events.Message(role="assistant", content="", token_usage=usage),
        events.KnowledgeEvaluated(
            health_score=prompt / 7, note_count=steps, contradictions=0, missing_pages=most, orphans=0
        ),
        events.RunFinished(reason="completed", total_iterations=steps),
    )
    assert all(0.0 <= score.value <= 1.0 for score in evaluate(facts))
