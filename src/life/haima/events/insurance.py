"""Insurance: cover, premiums, claims, the pool (haima.md §1.12 to §1.14)."""

from __future__ import annotations

from life.haima.events.finance_event import FinanceEvent


class PolicyIssued(FinanceEvent, frozen=True, kw_only=True):
    """Cover was bought."""

    policy_id: str
    agent_id: str
    product_type: str
    coverage_micro_usd: int
    premium_micro_usd: int
    provider_id: str


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


class ClaimVerified(FinanceEvent, frozen=True, kw_only=True):
    """A claim was checked against evidence."""

    claim_id: str
    policy_id: str
    incident_confirmed: bool
    confidence: float
    evidence_events_validated: int


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
