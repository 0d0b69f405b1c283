"""Whether the context should be left alone, may grow, or must be shortened.

The pressure is the last prompt's share of the model's window, so it falls when the context was compacted. The soft zone
has a gate (enter 0.60, leave 0.45): near its edge the ruling does not flap. Source: autonomic.md §6.1; checks in its order.
"""

from __future__ import annotations

from typing import Final

from life.autonomic.decisions import ContextAdvice, Ruling
from life.autonomic.state import HomeostaticState

HARD: Final = 0.85
EMERGENCY: Final = 0.95
TARGET: Final = 0.35
EMERGENCY_TARGET: Final = 0.25
DEEP_WORK_DENSITY: Final = 2.0
STREAK_LIMIT: Final = 2
STALE_TURNS: Final = 15
FALLING_TREND: Final = -0.02
LOW_QUALITY: Final = 0.65
GOOD_QUALITY: Final = 0.75


def context_advice(state: HomeostaticState) -> ContextAdvice:
    """The ruling for this state."""
    cognitive, quality = state.cognitive, state.eval
    pressure = cognitive.context_pressure
    if pressure >= EMERGENCY:
        return _advice(state, "emergency", f"The context is {pressure:.0%} full.")
    if pressure >= HARD:
        return _advice(state, "compress", f"The context is {pressure:.0%} full.")
    if not cognitive.dilation_gate.active:
        return _advice(state, "breathe", f"The context is {pressure:.0%} full; there is room.")
    if state.operational.error_streak >= STREAK_LIMIT:
        return _advice(
            state, "compress", f"{state.operational.error_streak} errors in a row with a context {pressure:.0%} full."
        )
    if quality.quality_trend < FALLING_TREND or quality.aggregate_quality_score < LOW_QUALITY:
        return _advice(
            state, "compress", f"Quality is {quality.aggregate_quality_score:.2f} ({quality.quality_trend:+.2f})."
        )
    if cognitive.turns_since_compact >= STALE_TURNS and cognitive.tool_density < DEEP_WORK_DENSITY:
        return _advice(
            state, "compress", f"{cognitive.turns_since_compact} turns since the context was last shortened."
        )
    if cognitive.tool_density >= DEEP_WORK_DENSITY and quality.quality_trend >= 0:
        return _advice(state, "dilate", "Deep work, and going well: the context is left alone.")
    if quality.quality_trend >= 0 and quality.aggregate_quality_score >= GOOD_QUALITY:
        return _advice(state, "dilate", f"Quality is {quality.aggregate_quality_score:.2f}: the context may grow.")
    return _advice(state, "breathe", "The signals are inconclusive.")


def _advice(state: HomeostaticState, ruling: Ruling, rationale: str) -> ContextAdvice:
    shares = {"compress": TARGET, "emergency": EMERGENCY_TARGET}
    share = shares.get(ruling)
    return ContextAdvice(
        ruling=ruling,
        pressure=state.cognitive.context_pressure,
        target_tokens=None if share is None else int(share * state.cognitive.context_window),
        rationale=rationale,
    )
