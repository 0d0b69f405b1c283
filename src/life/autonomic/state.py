"""What homeostasis knows, as plain frozen data. How it comes about is `life.autonomic.fold` and `life.autonomic.economy`.

    HomeostaticState   one session: the three pillars and the side inputs
    OperationalPillar  does it work: successes and errors, recently and over all
    CognitivePillar    is there room to think: tokens, context, memory, knowledge
    EconomicPillar     can it pay: balance, burn, spend velocity; one for all sessions of the agent

Times are milliseconds since the epoch, taken from events; money is micro-credits; ratios are 0..1. Recent means the last
`RECENT_OUTCOMES` outcomes within `RECENT_MS`. Documents written before a field existed are read with its default.

Source: autonomic.md §2, §3.4.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from life.aios.state import EconomicMode, OperatingMode
from life.autonomic.hysteresis import HysteresisGate
from life.autonomic.thresholds import Thresholds

RECENT_OUTCOMES: Final = 20
RECENT_MS: Final = 30 * 60_000

MAX_RUNWAY_DAYS: Final = 36_500
"""A hundred years: longer runways are told as this."""

DEFAULT_TOKEN_BUDGET: Final = 120_000
DEFAULT_CONTEXT_WINDOW: Final = 200_000

ModelTier = Literal["budget", "standard", "flagship"]
TIERS: Final[tuple[ModelTier, ...]] = ("budget", "standard", "flagship")
"""Cheapest first."""

ERROR_GATE: Final = Thresholds().error_gate
DILATION_GATE: Final = Thresholds().dilation_gate
VELOCITY_GATE: Final = Thresholds().velocity_gate


class OperationalPillar(msgspec.Struct, frozen=True, kw_only=True):
    """Does it work? A refused call is no error: the gate did its work, and the model is told."""

    mode: OperatingMode = "execute"
    error_streak: int = 0
    total_errors: int = 0
    total_successes: int = 0
    total_denials: int = 0
    recent_outcomes: int = 0
    recent_errors: int = 0
    error_gate: HysteresisGate = ERROR_GATE
    last_tick_ms: int = 0
    mean_run_ms: int = 0
    """Start to finish, over the last ten runs; 0 before the first one has finished."""

    @property
    def recent_error_rate(self) -> float:
        """Errors among the recent outcomes; 0 when there are none."""
        return self.recent_errors / self.recent_outcomes if self.recent_outcomes else 0.0


class KnowledgePromotion(msgspec.Struct, frozen=True, kw_only=True):
    """The promoted set of knowledge thresholds, and how it has done since."""

    active_version: str | None = None
    rollback_target: str | None = None
    trial_id: str | None = None
    baseline_score: float | None = None
    promoted_score: float | None = None
    health_threshold: float | None = None
    promoted_at_ms: int = 0
    regression_evaluations: int = 0
    last_regression_score: float | None = None
    last_regression_ms: int = 0
    rollback_requested: bool = False
    rollback_requested_ms: int = 0


class CognitivePillar(msgspec.Struct, frozen=True, kw_only=True):
    """Is there room to think? `context_*` speak of the last prompt, `tokens_*` of the open run's budget."""

    total_tokens_used: int = 0
    tokens_used: int = 0
    """By the open run (or the last one)."""
    tokens_remaining: int = DEFAULT_TOKEN_BUDGET
    context_tokens: int = 0
    context_window: int = DEFAULT_CONTEXT_WINDOW
    context_pressure: float = 0.0
    turns_completed: int = 0
    tool_density: float = 0.0
    """Tool calls per run, over the last ten."""
    turns_since_compact: int = 0
    dilation_gate: HysteresisGate = DILATION_GATE
    observation_count: int = 0
    memory_commit_count: int = 0
    compaction_count: int = 0
    knowledge_health: float = 1.0
    knowledge_note_count: int = 0
    knowledge_search_count: int = 0
    knowledge_last_indexed_ms: int = 0
    knowledge_promotion: KnowledgePromotion = KnowledgePromotion()

    @property
    def fraction_left(self) -> float | None:
        """Of the run's tokens; None when there is nothing to share out."""
        whole = self.tokens_used + self.tokens_remaining
        return self.tokens_remaining / whole if whole else None


class EconomicPillar(msgspec.Struct, frozen=True, kw_only=True):
    """Can it pay? `balance_micro_credits` is None while nobody has said what the agent may spend; then nothing is held back
    for want of means, and only the spend velocity governs."""

    identity_address: str | None = None
    balance_micro_credits: int | None = None
    lifetime_revenue: int = 0
    lifetime_costs: int = 0
    monthly_burn_estimate: int = 0
    mode: EconomicMode = "sovereign"
    mode_since_ms: int = 0
    cost_last_5min: int = 0
    last_cost_event_ms: int = 0
    velocity_gate: HysteresisGate = VELOCITY_GATE
    wallet_balance_micro: int | None = None
    """What the chain said last; for people. It is not added to the balance: a wallet holds what the balance paid for."""

    @property
    def runway_days(self) -> float | None:
        """How long the balance lasts at this burn; None when there is no end in sight or nothing to measure it by."""
        if self.balance_micro_credits is None or self.monthly_burn_estimate <= 0:
            return None
        days = max(0, self.balance_micro_credits) * 30 * 1000 // self.monthly_burn_estimate
        return min(days, MAX_RUNWAY_DAYS * 1000) / 1000


class StrategyInput(msgspec.Struct, frozen=True, kw_only=True):
    """What planning reported."""

    drift_alerts: int = 0
    decisions_logged: int = 0
    critiques_completed: int = 0
    last_strategy_event_ms: int = 0


class EvaluationInput(msgspec.Struct, frozen=True, kw_only=True):
    """What evaluations said: a moving average over scores (weight 0.3 for a new one)."""

    inline_eval_count: int = 0
    async_eval_count: int = 0
    aggregate_quality_score: float = 1.0
    quality_trend: float = 0.0
    last_eval_ms: int = 0

    @property
    def count(self) -> int:
        """Evaluations of both kinds."""
        return self.inline_eval_count + self.async_eval_count


class BeliefInput(msgspec.Struct, frozen=True, kw_only=True):
    """What identity knows of capabilities, peers and violations."""

    capability_count: int = 0
    trust_peer_count: int = 0
    average_trust: float = 1.0
    min_trust: float = 1.0
    reputation_score: float = 1.0
    """Average trust less 0.05 for each violation: a later trust update can't erase one."""
    violations: int = 0
    last_belief_event_ms: int = 0


class HomeostaticState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the rules look at."""

    agent_id: str = ""
    session_id: str = ""
    operational: OperationalPillar = OperationalPillar()
    cognitive: CognitivePillar = CognitivePillar()
    economic: EconomicPillar = EconomicPillar()
    strategy: StrategyInput = StrategyInput()
    eval: EvaluationInput = EvaluationInput()
    belief: BeliefInput = BeliefInput()
    thresholds: Thresholds = Thresholds()
    """What it is judged by."""
    awake_until_ms: int = 0
    """Until when a person lets the session work although there are no means."""
    now_ms: int = 0
    """The moment that this state is about."""
    last_event_seq: int = 0
    last_event_ms: int = 0
    events: int = 0
    """Outcomes, runs and costs that this was made from: the evidence."""
