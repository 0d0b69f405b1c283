"""The events of autonomic: `Custom` under `autonomic.*`, typed (autonomic.md §14).

    autonomic.CreditDeposited       what the agent may spend grew (a budget, a top-up)
    autonomic.CostCharged           a charge that no other event carries
    autonomic.EconomicModeChanged   the recorded mode moved
    autonomic.GatingDecision        the profile changed: what is permitted now, and why
    autonomic.RegulatorFailed       the regulator could not answer; the safe profile holds
    autonomic.Woken                 a person lets a session work without means, for a while
    autonomic.RollbackRequested     promoted thresholds should go back

Amounts are micro-credits. `rules` is the version of the rules (`life.autonomic.rules.VERSION`).
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from life.aios.state import EconomicMode, GatingProfile

PREFIX: Final = "autonomic."
CREDIT_DEPOSITED: Final = "autonomic.CreditDeposited"
COST_CHARGED: Final = "autonomic.CostCharged"
ECONOMIC_MODE_CHANGED: Final = "autonomic.EconomicModeChanged"
GATING_DECISION: Final = "autonomic.GatingDecision"
REGULATOR_FAILED: Final = "autonomic.RegulatorFailed"
ROLLBACK_REQUESTED: Final = "autonomic.RollbackRequested"
WOKEN: Final = "autonomic.Woken"

STREAM_NAME: Final = "autonomic:agent"
"""The stream of what concerns the agent and no session: deposits, charges, its mode. No session can have this id."""


class CreditDeposited(msgspec.Struct, frozen=True, kw_only=True):
    """The agent may spend this much more; `balance_after` is what it may spend in all."""

    amount_micro_credits: int
    source: str
    balance_after: int


class CostCharged(msgspec.Struct, frozen=True, kw_only=True):
    """A cost that is not a model call's nor a payment's. `balance_after` is for people; the amount counts."""

    amount_micro_credits: int
    reason: str
    balance_after: int | None = None


class EconomicModeChanged(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The recorded mode moved."""

    from_: EconomicMode
    to: EconomicMode
    reason: str


class GatingDecisionMade(msgspec.Struct, frozen=True, kw_only=True):
    """The profile of a session changed. `rules_fired` names them in order; `rationale` says why, a line each."""

    session_id: str
    economic_mode: EconomicMode
    rationale: tuple[str, ...]
    rules_fired: tuple[str, ...]
    gates: GatingProfile
    max_tokens_next_turn: int | None
    preferred_model: str | None
    allow_expensive_tools: bool
    allow_replication: bool
    rules: int
    """Version of the rules."""
    as_of_sequence: int
    """Last event of the session that the decision rests on."""


class RegulatorFailed(msgspec.Struct, frozen=True, kw_only=True):
    """The regulator could not answer; which profile holds instead."""

    session_id: str
    error: str
    profile: Literal["safe", "open", "last_known"]


class Woken(msgspec.Struct, frozen=True, kw_only=True):
    """Until `until_ms` (milliseconds since the epoch) the session works as in hustle, although the agent hibernates."""

    session_id: str
    by: str
    until_ms: int
    reason: str = ""


class RollbackRequested(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody should put this back."""

    artifact: str
    rollback_to: str
    reason: str
