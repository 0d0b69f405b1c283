"""How the state vector moves (aios.md §6, with its FIXes).

The vector is observation and advice; limits, approvals and the model end a run, modes never do.

* A new objective starts at progress 0 with the default uncertainty and no error streak.
* A successful call: progress +0.12 (below 0.96 while the run is open: only its end is the end), uncertainty ×0.85.
  Calls that change something add 0.2 to the side-effect pressure; read-only calls, which look before the next leap, and
  finished steps take from it.
* A failed call: streak +1, uncertainty +0.18. A refused one, or a model call that broke off: streak +1, uncertainty +0.15.
* Context pressure is the prompt's share of the model's window, as the provider counted it.

All values stay within their bounds whatever an imported journal says. Floats here are advice, never money.
"""

from __future__ import annotations

from typing import Final

import msgspec

from life.aios.state import AgentStateVector, OperatingMode, RiskLevel

CONTEXT_WINDOW_TOKENS: Final = 200_000
"""The window that context pressure is measured against."""

OPEN_PROGRESS_MAX: Final = 0.96
BREAKER_STREAK: Final = 3
MATERIAL_CHANGE: Final = 0.25
"""A ratio that moved this far since it was last written is worth an event of its own."""

_STEP_DECAY: Final = 0.8
_RATIOS: Final = ("progress", "uncertainty", "context_pressure", "side_effect_pressure", "human_dependency")


def new_objective(vector: AgentStateVector) -> AgentStateVector:
    """The vector at the start of a run."""
    fresh = AgentStateVector()
    return _judged(
        msgspec.structs.replace(
            vector, progress=0.0, uncertainty=fresh.uncertainty, error_streak=0, human_dependency=0.0
        )
    )


def call_succeeded(vector: AgentStateVector, *, read_only: bool) -> AgentStateVector:
    """After a tool call that worked."""
    pressure = vector.side_effect_pressure * _STEP_DECAY if read_only else vector.side_effect_pressure + 0.2
    return _judged(
        msgspec.structs.replace(
            vector,
            progress=min(OPEN_PROGRESS_MAX, vector.progress + 0.12),
            uncertainty=max(0.05, vector.uncertainty * 0.85),
            error_streak=0,
            side_effect_pressure=min(1.0, pressure),
        )
    )


def call_failed(vector: AgentStateVector) -> AgentStateVector:
    """After a tool call that failed."""
    return _judged(
        msgspec.structs.replace(
            vector,
            error_streak=min(vector.error_streak + 1, 1_000_000),
            uncertainty=min(1.0, vector.uncertainty + 0.18),
            side_effect_pressure=vector.side_effect_pressure * 0.5,
        )
    )


def call_refused(vector: AgentStateVector) -> AgentStateVector:
    """After a denied call or a model call that broke off."""
    return _judged(
        msgspec.structs.replace(
            vector,
            error_streak=min(vector.error_streak + 1, 1_000_000),
            uncertainty=min(1.0, vector.uncertainty + 0.15),
        )
    )


def step_finished(vector: AgentStateVector) -> AgentStateVector:
    """After a step: side effects fade."""
    return _judged(msgspec.structs.replace(vector, side_effect_pressure=vector.side_effect_pressure * _STEP_DECAY))


def prompt_counted(
    vector: AgentStateVector, prompt_tokens: int, window_tokens: int = CONTEXT_WINDOW_TOKENS
) -> AgentStateVector:
    """After a model call with a prompt of this size."""
    return _judged(
        msgspec.structs.replace(vector, context_pressure=min(1.0, max(0, prompt_tokens) / max(1, window_tokens)))
    )


def run_completed(vector: AgentStateVector) -> AgentStateVector:
    """After a run whose objective was reached."""
    return _judged(msgspec.structs.replace(vector, progress=1.0))


def waiting_for_person(vector: AgentStateVector) -> AgentStateVector:
    """While only a person can move things."""
    return _judged(msgspec.structs.replace(vector, human_dependency=1.0))


def person_decided(vector: AgentStateVector) -> AgentStateVector:
    """After the person has."""
    return _judged(msgspec.structs.replace(vector, human_dependency=0.0))


def bounded(vector: AgentStateVector) -> AgentStateVector:
    """A vector from a journal, every ratio within 0..1 and the streak a small natural number."""
    return msgspec.structs.replace(
        vector,
        error_streak=min(max(vector.error_streak, 0), 1_000_000),
        **{name: _ratio(getattr(vector, name)) for name in _RATIOS},
    )


def estimate_mode(vector: AgentStateVector, *, open_run: bool, waiting: bool, denied: bool) -> OperatingMode:
    """The mode that fits, first match wins. Advice: no mode ends a run."""
    if waiting:
        return "ask_human"
    if vector.error_streak >= BREAKER_STREAK or denied:
        return "recover"
    if vector.progress >= 0.98 and not open_run:
        return "sleep"
    if vector.context_pressure > 0.8 or vector.uncertainty > 0.65:
        return "explore"
    return "verify" if vector.side_effect_pressure > 0.6 else "execute"


def changed_materially(before: AgentStateVector | None, after: AgentStateVector) -> bool:
    """Whether `after` says something that the last written vector did not."""
    if before is None:
        return True
    return before.risk_level != after.risk_level or any(
        abs(getattr(before, name) - getattr(after, name)) >= MATERIAL_CHANGE for name in _RATIOS
    )


def _judged(vector: AgentStateVector) -> AgentStateVector:
    """The vector with the risk level and the human dependency that follow from its ratios."""
    risk: RiskLevel = "low"
    if vector.uncertainty > 0.75 or vector.side_effect_pressure > 0.7:
        risk = "high"
    elif vector.uncertainty > 0.45 or vector.side_effect_pressure > 0.4:
        risk = "medium"
    leaning = max(vector.human_dependency, 0.6) if vector.error_streak >= 2 else vector.human_dependency
    if vector.error_streak == 0 and vector.human_dependency < 1.0:
        leaning = 0.0
    return msgspec.structs.replace(vector, risk_level=risk, human_dependency=leaning)


def _ratio(value: float) -> float:
    return min(1.0, max(0.0, value))
