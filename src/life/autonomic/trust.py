"""The trust score: how far an agent can be relied on, from what was recorded, and from nothing else.

    operational = 0.6 uptime + 0.4 (1 - error rate) - min(0.05 streak, 0.5)
    cognitive   = 0.5 completion + 0.5 (1 - context pressure)
    economic    = 0.5 mode score + 0.5 (1 - costs / (costs + balance))
    score       = 0.35 operational + 0.30 cognitive + 0.35 economic

An agent that nobody has seen is not certified: below five recorded outcomes the tier is `unverified`, whatever the sum.
Source: autonomic.md §10.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from life.aios.state import EconomicMode
from life.autonomic.state import HomeostaticState

Tier = Literal["certified", "trusted", "provisional", "unverified"]
Trajectory = Literal["improving", "stable", "degrading"]

THRESHOLDS: Final[dict[Tier, float]] = {"certified": 0.90, "trusted": 0.75, "provisional": 0.50, "unverified": 0.0}
MIN_EVIDENCE: Final = 5
_MODE_SCORE: Final[dict[EconomicMode, float]] = {"sovereign": 1.0, "conserving": 0.75, "hustle": 0.5, "hibernate": 0.1}


class OperationalFactors(msgspec.Struct, frozen=True, kw_only=True):
    """`avg_latency_ms` is the mean time of a run, start to finish."""

    uptime_ratio: float
    error_rate: float
    avg_latency_ms: int


class CognitiveFactors(msgspec.Struct, frozen=True, kw_only=True):
    """`context_utilization` is the free part of the window: 1 is good."""

    task_completion_rate: float
    context_utilization: float


class EconomicFactors(msgspec.Struct, frozen=True, kw_only=True):
    """`credit_utilization` is the spent part: 0 is good."""

    payment_history_score: float
    credit_utilization: float
    economic_mode: EconomicMode


class OperationalTrust(msgspec.Struct, frozen=True, kw_only=True):
    """Does it work?"""

    score: float
    factors: OperationalFactors


class CognitiveTrust(msgspec.Struct, frozen=True, kw_only=True):
    """Is there room to think?"""

    score: float
    factors: CognitiveFactors


class EconomicTrust(msgspec.Struct, frozen=True, kw_only=True):
    """Can it pay?"""

    score: float
    factors: EconomicFactors


class TrustComponents(msgspec.Struct, frozen=True, kw_only=True):
    """The three parts of the score."""

    operational: OperationalTrust
    cognitive: CognitiveTrust
    economic: EconomicTrust


class TrustScore(msgspec.Struct, frozen=True, kw_only=True):
    """The score, what it is made of, and how much was seen (`evidence`: recorded outcomes)."""

    agent_id: str
    score: float
    tier: Tier
    trajectory: Trajectory
    evidence: int
    components: TrustComponents
    tier_thresholds: dict[Tier, float]


def trust_score(state: HomeostaticState) -> TrustScore:
    """The trust score of this state."""
    components = TrustComponents(
        operational=_operational(state), cognitive=_cognitive(state), economic=_economic(state)
    )
    score = 0.35 * components.operational.score + 0.30 * components.cognitive.score + 0.35 * components.economic.score
    return TrustScore(
        agent_id=state.agent_id,
        score=round(score, 2),
        tier=_tier(score, state.events),
        trajectory=_trajectory(state),
        evidence=state.events,
        components=components,
        tier_thresholds=dict(THRESHOLDS),
    )


def _operational(state: HomeostaticState) -> OperationalTrust:
    pillar = state.operational
    total = pillar.total_successes + pillar.total_errors
    uptime = round(pillar.total_successes / total if total else 1.0, 2)
    errors = round(pillar.total_errors / total if total else 0.0, 2)
    score = uptime * 0.6 + (1 - errors) * 0.4 - min(0.05 * pillar.error_streak, 0.5)
    factors = OperationalFactors(uptime_ratio=uptime, error_rate=errors, avg_latency_ms=pillar.mean_run_ms)
    return OperationalTrust(score=_rounded(score), factors=factors)


def _cognitive(state: HomeostaticState) -> CognitiveTrust:
    turns, streak = state.cognitive.turns_completed, state.operational.error_streak
    completion = round(turns / (turns + streak) if turns else 0.5, 2)
    room = round(1 - state.cognitive.context_pressure, 2)
    factors = CognitiveFactors(task_completion_rate=completion, context_utilization=room)
    return CognitiveTrust(score=_rounded(0.5 * completion + 0.5 * room), factors=factors)


def _economic(state: HomeostaticState) -> EconomicTrust:
    pillar = state.economic
    whole = pillar.lifetime_costs + max(0, pillar.balance_micro_credits or 0)
    used = round(pillar.lifetime_costs / whole if whole and pillar.balance_micro_credits is not None else 0.0, 2)
    history = _MODE_SCORE[pillar.mode]
    factors = EconomicFactors(payment_history_score=history, credit_utilization=used, economic_mode=pillar.mode)
    return EconomicTrust(score=_rounded(0.5 * history + 0.5 * (1 - used)), factors=factors)


def _tier(score: float, evidence: int) -> Tier:
    if evidence < MIN_EVIDENCE:
        return "unverified"
    return next(tier for tier, threshold in THRESHOLDS.items() if score >= threshold)


def _trajectory(state: HomeostaticState) -> Trajectory:
    if state.eval.count and abs(state.eval.quality_trend) > 0.01:
        return "improving" if state.eval.quality_trend > 0 else "degrading"
    if state.operational.error_streak >= 3:
        return "degrading"
    if state.events > MIN_EVIDENCE and state.operational.total_errors == 0:
        return "improving"
    return "stable"


def _rounded(score: float) -> float:
    return round(min(1.0, max(0.0, score)), 2)
