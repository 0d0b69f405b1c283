"""What a score is, and the events that carry scores (nous.md §1, §4).

eval.InlineCompleted   a heuristic's score
eval.AsyncCompleted    a judge's scores
eval.QualityChanged    the session's quality over all: a moving average, weight 0.3 for a new score
eval.judge_failed      a judge gave no answer that can be used
eval.egri_outcome      everything about one run, for whoever evolves thresholds
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, Literal

import msgspec

from life.aios.errors import InvalidInputError

INLINE_COMPLETED: Final = "eval.InlineCompleted"
ASYNC_COMPLETED: Final = "eval.AsyncCompleted"
QUALITY_CHANGED: Final = "eval.QualityChanged"
JUDGE_FAILED: Final = "eval.judge_failed"
EGRI_OUTCOME: Final = "eval.egri_outcome"

Layer = Literal["reasoning", "action", "execution", "safety", "cost"]
Timing = Literal["inline", "async"]
Hook = Literal["before_model_call", "after_model_call", "pre_tool_call", "post_tool_call", "on_run_finished"]
Label = Literal["good", "warning", "critical"]

GOOD: Final = 0.8
WARNING: Final = 0.5
VIOLATION: Final = 0.3


class EvalScore(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One score, 0 to 1; InvalidInputError for anything else."""

    evaluator: str
    value: float
    layer: Layer
    timing: Timing = "inline"
    explanation: str | None = None

    def __post_init__(self) -> None:
        if math.isnan(self.value) or not 0.0 <= self.value <= 1.0:
            raise InvalidInputError(f"A score is between 0 and 1; {self.evaluator} gave {self.value}.")

    @property
    def label(self) -> Label:
        """`good` from 0.8, `warning` from 0.5, else `critical`."""
        return label_of(self.value)


def label_of(value: float) -> Label:
    """The label of a value."""
    return "good" if value >= GOOD else "warning" if value >= WARNING else "critical"


def aggregate(scores: Iterable[EvalScore]) -> float | None:
    """The mean over the layers' means, so that a layer with many scores does not drown the others; None without scores."""
    layers: dict[str, list[float]] = {}
    for score in scores:
        layers.setdefault(score.layer, []).append(score.value)
    means = [sum(values) / len(values) for values in layers.values()]
    return sum(means) / len(means) if means else None


class InlineCompleted(msgspec.Struct, frozen=True, kw_only=True):
    """A heuristic's score of a run."""

    evaluator: str
    score: float
    label: Label
    layer: Layer
    session_id: str
    run_id: str
    explanation: str | None = None


class JudgedScore(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of a judge's scores."""

    evaluator: str
    value: float
    label: Label
    layer: Layer
    explanation: str | None = None


class AsyncCompleted(msgspec.Struct, frozen=True, kw_only=True):
    """A judge's scores of a run."""

    evaluator: str
    scores: tuple[JudgedScore, ...]
    session_id: str
    run_id: str
    duration_ms: int


class QualityChanged(msgspec.Struct, frozen=True, kw_only=True):
    """The quality of a session over all its scores."""

    session_id: str
    aggregate_quality: float
    trend: float
    inline_count: int
    async_count: int


class JudgeFailed(msgspec.Struct, frozen=True, kw_only=True):
    """No score: the judge was late, broke off, or answered something else."""

    session_id: str
    run_id: str
    reason: str


class EgriOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """A run's scores by evaluator, with their `aggregate`."""

    score: dict[str, float]
    constraints_passed: bool
    constraint_violations: tuple[str, ...]


class EgriReported(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one run, as a trial."""

    session_id: str
    trial_id: str
    outcome: EgriOutcome


def inline_event(score: EvalScore, session_id: str, run_id: str) -> InlineCompleted:
    """The event of a heuristic's score."""
    return InlineCompleted(
        evaluator=score.evaluator,
        score=score.value,
        label=score.label,
        layer=score.layer,
        session_id=session_id,
        run_id=run_id,
        explanation=score.explanation,
    )


def egri_outcome(scores: Iterable[EvalScore]) -> EgriOutcome:
    """The outcome of a run; every score below 0.3 violates a constraint."""
    found = list(scores)
    values = {score.evaluator: score.value for score in found}
    overall = aggregate(found)
    violations = tuple(score.evaluator for score in found if score.value < VIOLATION)
    return EgriOutcome(
        score=values if overall is None else {**values, "aggregate": overall},
        constraints_passed=not violations,
        constraint_violations=violations,
    )
