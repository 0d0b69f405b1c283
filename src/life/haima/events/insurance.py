"""Insurance: cover, premiums, claims, the pool (haima.md §1.12 to §1.14)."""

from __future__ import annotations

from typing import Literal

import msgspec

from life.haima.events.finance_event import FinanceEvent


class InsuranceProduct(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can be insured. `base_rate_bps` is a year's price of full cover at a multiplier of one."""

    product_id: str
    product_type: Literal["task_failure", "financial_error", "data_breach", "sla_penalty"]
    name: str
    base_rate_bps: int
    min_coverage_micro_usd: int
    max_coverage_micro_usd: int
    default_deductible_micro_usd: int
    period_secs: int
    min_trust_tier: Literal["any", "provisional", "trusted", "certified"]
    provider_id: str
    active: bool = True


class PolicyIssued(FinanceEvent, frozen=True, kw_only=True):
    """Cover was bought."""

    policy_id: str
    agent_id: str
    product_type: str
    coverage_micro_usd: int
    premium_micro_usd: int
    provider_id: str
    quote_id: str | None = None
    product_id: str | None = None
    pool_id: str | None = None
    deductible_micro_usd: int = 0
    effective_from_us: int = 0
    effective_until_us: int = 0


class PremiumCollected(FinanceEvent, frozen=True, kw_only=True):
    """A premium came in."""

    policy_id: str
    agent_id: str
    amount_micro_usd: int
    commission_micro_usd: int


class ClaimSubmitted(FinanceEvent, frozen=True, kw_only=True):
    """An insured agent reports a loss."""

    claim_id: str
    policy_id: str
    agent_id: str
    incident_type: str
    claimed_amount_micro_usd: int
    description: str = ""
    evidence_event_ids: tuple[str, ...] = ()
    session_id: str | None = None
    incident_at_us: int = 0


class ClaimVerified(FinanceEvent, frozen=True, kw_only=True):
    """A claim was checked against evidence."""

    claim_id: str
    policy_id: str
    incident_confirmed: bool
    confidence: float
    """As the original writes it, for its readers; `confidence_ppm` is what was decided on."""
    evidence_events_validated: int
    evidence_events_total: int = 0
    confidence_ppm: int = 0
    amount_consistent: bool = False
    policy_active_at_incident: bool = False
    decision: Literal["approved", "denied", "under_review"] | None = None
    valid_event_ids: tuple[str, ...] = ()
    """The evidence that held. It is used up: no other claim can be borne out by it."""
    notes: tuple[str, ...] = ()


class ClaimPaid(FinanceEvent, frozen=True, kw_only=True):
    """A claim was paid; `source` is `pool` or a provider id."""

    claim_id: str
    policy_id: str
    agent_id: str
    payout_micro_usd: int
    source: str


class ClaimDenied(FinanceEvent, frozen=True, kw_only=True):
    """A claim was refused."""

    claim_id: str
    policy_id: str
    reason: str


class PoolContribution(FinanceEvent, frozen=True, kw_only=True):
    """Money went into the pool."""

    pool_id: str
    agent_id: str
    amount_micro_usd: int


class PoolPayout(FinanceEvent, frozen=True, kw_only=True):
    """Money left the pool."""

    pool_id: str
    claim_id: str
    amount_micro_usd: int
    reserves_after_micro_usd: int


class RiskAssessed(FinanceEvent, frozen=True, kw_only=True):
    """An agent's risk was rated."""

    agent_id: str
    risk_score: float
    risk_rating: str
    premium_multiplier: float
    insurable: bool
    model: str | None = None


# --- additions (HM-INS) -----------------------------------------------------------------------------------------------


class ProductListed(FinanceEvent, frozen=True, kw_only=True):
    """A product is on offer from now on, or no longer (`product.active`)."""

    product: InsuranceProduct


class ProviderRegistered(FinanceEvent, frozen=True, kw_only=True):
    """Somebody carries risk, for a share of the premium."""

    provider_id: str
    name: str
    commission_bps: int
    active: bool = True


class PoolOpened(FinanceEvent, frozen=True, kw_only=True):
    """A pool of the members' own money. What it starts with comes by a posting."""

    pool_id: str
    name: str
    management_fee_bps: int
    min_reserve_ratio_ppm: int


class PoolStatusChanged(FinanceEvent, frozen=True, kw_only=True):
    """A pool stopped or went on selling cover."""

    pool_id: str
    status: Literal["active", "paused", "winding_down"]
    reason: str


class InsuranceQuoted(FinanceEvent, frozen=True, kw_only=True):
    """A price for cover, good until it expires, for one binding."""

    quote_id: str
    agent_id: str
    product_id: str
    coverage_micro_usd: int
    deductible_micro_usd: int
    premium_micro_usd: int
    period_secs: int
    provider_id: str
    risk_ppm: int
    multiplier_ppm: int
    valid_until_us: int


class PolicyStatusChanged(FinanceEvent, frozen=True, kw_only=True):
    """Cover ended: its time is over, it is used up, or its holder or the operator ended it."""

    policy_id: str
    status: Literal["expired", "cancelled", "exhausted"]
    reason: str = ""


class ClaimWithdrawn(FinanceEvent, frozen=True, kw_only=True):
    """The claimant took a claim back before it was decided."""

    claim_id: str
    policy_id: str
