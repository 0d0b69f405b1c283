"""Rules about room to think: the context, the run's tokens, the health of what is known."""

from __future__ import annotations

from typing import Final

from life.aios.events.codec import custom
from life.autonomic.context_ruling import context_advice
from life.autonomic.decisions import GatingDecision
from life.autonomic.events import ROLLBACK_REQUESTED, RollbackRequested
from life.autonomic.state import HomeostaticState

PRESSURE_TOKENS: Final = 2048
EXHAUSTED_TOKENS: Final = 1024
EXHAUSTED_CALLS: Final = 2
HEALTHY: Final = 0.70
VERY_UNHEALTHY: Final = 0.50
UNDIGESTED: Final = 50
STALE_INDEX_MS: Final = 3_600_000
REGRESSIONS: Final = 4


def context_pressure(state: HomeostaticState) -> GatingDecision | None:
    """The context has to be shortened: until it is, a standard model and short answers."""
    advice = context_advice(state)
    if advice.ruling not in ("compress", "emergency"):
        return None
    return GatingDecision(
        rule_id="context_pressure",
        rationale=f"{advice.rationale} It should come down to {advice.target_tokens} tokens.",
        preferred_model="standard",
        max_tokens_next_turn=PRESSURE_TOKENS,
    )


def token_exhaustion(state: HomeostaticState) -> GatingDecision | None:
    """Less than a tenth of the run's tokens left: finish what was begun."""
    left = state.cognitive.fraction_left
    if left is None or left >= state.thresholds.tokens_left:
        return None
    return GatingDecision(
        rule_id="token_exhaustion",
        rationale=f"{state.cognitive.tokens_remaining} tokens are left for this run.",
        max_tool_calls_per_tick=EXHAUSTED_CALLS,
        max_tokens_next_turn=EXHAUSTED_TOKENS,
    )


def knowledge_health(state: HomeostaticState) -> GatingDecision | None:
    """What is known is in a poor state, undigested, or has not been indexed for an hour."""
    cognitive = state.cognitive
    poor = cognitive.knowledge_note_count > 0 and cognitive.knowledge_health < HEALTHY
    undigested = cognitive.observation_count - 10 * cognitive.compaction_count > UNDIGESTED
    indexed_ms = cognitive.knowledge_last_indexed_ms
    stale = indexed_ms > 0 and state.last_event_ms - indexed_ms > STALE_INDEX_MS
    if not (poor or undigested or stale):
        return None
    found = [
        *([f"the knowledge index scores {cognitive.knowledge_health:.2f}"] if poor else []),
        *([f"{cognitive.observation_count} observations wait to be summed up"] if undigested else []),
        *(["the index is older than an hour"] if stale else []),
    ]
    return GatingDecision(
        rule_id="knowledge_health",
        rationale=f"Knowledge: {', '.join(found)}.",
        restrict_expensive_tools=poor and cognitive.knowledge_health < VERY_UNHEALTHY,
    )


def knowledge_regression(state: HomeostaticState) -> GatingDecision | None:
    """Promoted thresholds have done worse four times in a row: nothing is changed on their strength, and they go back."""
    promoted = state.cognitive.knowledge_promotion
    if promoted.active_version is None or promoted.rollback_requested or promoted.regression_evaluations < REGRESSIONS:
        return None
    reason = f"Version {promoted.active_version} fell short {promoted.regression_evaluations} times in a row."
    request = RollbackRequested(
        artifact="knowledge_thresholds", rollback_to=promoted.rollback_target or "", reason=reason
    )
    return GatingDecision(
        rule_id="knowledge_regression",
        rationale=reason,
        restrict_side_effects=True,
        advisory_events=() if promoted.rollback_target is None else (custom(ROLLBACK_REQUESTED, request),),
    )
