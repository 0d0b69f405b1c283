"""The agent's state vector, budget, modes and gating profile (aios.md §6).

Values are plain data; how they move is the runtime's fold (`life.arcan.state`). Ratios are 0..1.
"""

from __future__ import annotations

from typing import Literal

import msgspec

OperatingMode = Literal["explore", "execute", "verify", "recover", "ask_human", "sleep"]
RiskLevel = Literal["low", "medium", "high", "critical"]
Phase = Literal["perceive", "deliberate", "gate", "execute", "commit", "reflect", "sleep"]
SpanStatus = Literal["ok", "error", "timeout", "cancelled"]
ApprovalDecision = Literal["approved", "denied", "timeout"]
PolicyDecisionKind = Literal["allow", "deny", "require_approval"]
SnapshotType = Literal["full", "incremental"]
SteeringMode = Literal["collect", "steer", "followup", "interrupt"]
MemoryScope = Literal["session", "user", "agent", "org"]
EconomicMode = Literal["sovereign", "conserving", "hustle", "hibernate"]


class TokenUsage(msgspec.Struct, frozen=True):
    """Tokens as the provider counted them. What a provider does not tell stays unset and is left out on the wire."""

    prompt_tokens: int = 0
    """All of the prompt, what came from a cache or went into one included."""
    completion_tokens: int = 0
    """All of the answer, reasoning included."""
    total_tokens: int = 0
    cached_prompt_tokens: int | msgspec.UnsetType = msgspec.UNSET
    """Of the prompt: read from the vendor's prompt cache."""
    cache_write_tokens: int | msgspec.UnsetType = msgspec.UNSET
    """Of the prompt: written into it."""
    reasoning_tokens: int | msgspec.UnsetType = msgspec.UNSET
    """Of the answer: thinking that is not shown as text."""
    cost_micro: int | msgspec.UnsetType = msgspec.UNSET
    """Micro-USD, rounded up, by the price table in force; unset when the model's price is not known."""


class BudgetState(msgspec.Struct, frozen=True):
    """What a run may still use. `cost_remaining_usd` is advice for people; money that moves is counted in Haima."""

    tokens_remaining: int = 120_000
    time_remaining_ms: int = 300_000
    cost_remaining_usd: float = 5.0
    tool_calls_remaining: int = 48
    error_budget_remaining: int = 8


class AgentStateVector(msgspec.Struct, frozen=True):
    """How the agent is doing, as the runtime estimates it."""

    progress: float = 0.0
    uncertainty: float = 0.7
    risk_level: RiskLevel = "low"
    budget: BudgetState = BudgetState()
    error_streak: int = 0
    context_pressure: float = 0.1
    side_effect_pressure: float = 0.0
    human_dependency: float = 0.0


class GatingProfile(msgspec.Struct, frozen=True):
    """What homeostasis currently permits per tick."""

    allow_side_effects: bool = True
    require_approval_for_risk: RiskLevel = "high"
    max_tool_calls_per_tick: int = 10
    max_file_mutations_per_tick: int = 5
    allow_network: bool = True
    allow_shell: bool = True
