"""Rules about conduct: errors, plans that drift, poor results, poor standing."""

from __future__ import annotations

from typing import Final

from life.autonomic.decisions import GatingDecision
from life.autonomic.state import HomeostaticState

ERROR_CALLS: Final = 3
DRIFT_ALERTS: Final = 3
DECISIONS: Final = 10
EVALUATIONS: Final = 3
POOR_QUALITY: Final = 0.4
FAIR_QUALITY: Final = 0.6
QUALITY_CALLS: Final = 3
POOR_REPUTATION: Final = 0.5
POOR_TRUST: Final = 0.3
STANDING_TOKENS: Final = 2048


def error_rate(state: HomeostaticState) -> GatingDecision | None:
    """Too many of the recent outcomes are errors: look, don't touch, and slowly."""
    operational = state.operational
    if not operational.error_gate.active:
        return None
    return GatingDecision(
        rule_id="error_rate",
        rationale=f"{operational.recent_errors} of the last {operational.recent_outcomes} outcomes were errors.",
        restrict_side_effects=True,
        max_tool_calls_per_tick=ERROR_CALLS,
    )


def strategy_advisory(state: HomeostaticState) -> GatingDecision | None:
    """Planning has something to say; nothing is held back for it."""
    strategy = state.strategy
    found = [
        *([f"{strategy.drift_alerts} drift alerts"] if strategy.drift_alerts > DRIFT_ALERTS else []),
        *([f"{strategy.decisions_logged} decisions logged"] if strategy.decisions_logged > DECISIONS else []),
        *([f"{strategy.critiques_completed} critiques"] if strategy.critiques_completed > 0 else []),
    ]
    if not found:
        return None
    return GatingDecision(rule_id="strategy_advisory", rationale=f"Strategy: {', '.join(found)}.")


def eval_quality(state: HomeostaticState) -> GatingDecision | None:
    """Evaluations say the results are poor."""
    quality = state.eval.aggregate_quality_score
    if state.eval.count < EVALUATIONS or quality >= FAIR_QUALITY:
        return None
    rationale = f"Quality is {quality:.2f} over {state.eval.count} evaluations."
    if quality >= POOR_QUALITY:
        return GatingDecision(rule_id="eval_quality", rationale=rationale)
    return GatingDecision(
        rule_id="eval_quality",
        rationale=rationale,
        restrict_expensive_tools=True,
        preferred_model="budget",
        max_tool_calls_per_tick=QUALITY_CALLS,
    )


def belief_regulation(state: HomeostaticState) -> GatingDecision | None:
    """Violations, or peers that trust the agent little."""
    belief = state.belief
    if belief.violations > 0 and belief.reputation_score < POOR_REPUTATION:
        return GatingDecision(
            rule_id="belief_regulation",
            rationale=f"{belief.violations} policy violations; the reputation is {belief.reputation_score:.2f}.",
            restrict_side_effects=True,
            preferred_model="budget",
            max_tokens_next_turn=STANDING_TOKENS,
        )
    if belief.trust_peer_count > 0 and belief.average_trust < POOR_TRUST:
        return GatingDecision(
            rule_id="belief_regulation",
            rationale=f"{belief.trust_peer_count} peers trust the agent {belief.average_trust:.2f} on average.",
            preferred_model="budget",
            max_tokens_next_turn=STANDING_TOKENS,
        )
    return None
