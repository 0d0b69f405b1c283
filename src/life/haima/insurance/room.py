"""What insurance knows: products, the pool, quotes, policies and claims, folded from events (HM-FOLD, haima.md §1.15).

A room of the house (life.haima.house_state). Reserves are not here: they are the balance of the pool's account, so that
they can't differ from the money that was collected. Exposure is the cover that is left on active policies.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from life.haima.accounts import account
from life.haima.events.accounts import LedgerPosted
from life.haima.events.finance_event import FinanceEvent
from life.haima.events.insurance import (
    ClaimDenied,
    ClaimPaid,
    ClaimSubmitted,
    ClaimVerified,
    ClaimWithdrawn,
    InsuranceProduct,
    InsuranceQuoted,
    PolicyIssued,
    PolicyStatusChanged,
    PoolOpened,
    PoolStatusChanged,
    PremiumCollected,
    ProductListed,
    ProviderRegistered,
)
from life.haima.insurance.parameters import DAY_S, DEFAULT_COMMISSION_BPS, PPM
from life.haima.insurance.pricing import ClaimsHistory

ClaimStatus = Literal["submitted", "approved", "denied", "paid", "under_review", "withdrawn"]
PolicyStatus = Literal["active", "expired", "cancelled", "exhausted"]
PoolStatus = Literal["active", "paused", "winding_down"]

DAY_US: Final = DAY_S * 1_000_000
OPEN_CLAIMS: Final[tuple[ClaimStatus, ...]] = ("submitted", "approved", "under_review")


class Pool(msgspec.Struct, kw_only=True):
    """The members' own money, and what it stands for."""

    pool_id: str
    name: str
    management_fee_bps: int
    min_reserve_ratio_ppm: int
    status: PoolStatus = "active"
    coverage_outstanding_micro_usd: int = 0
    active_policies: int = 0
    premiums_micro_usd: int = 0
    payouts_micro_usd: int = 0
    fee_charged_until_us: int = 0

    @property
    def account(self) -> str:
        """Where its reserves stand."""
        return account("premium_pool", "pool", self.pool_id)


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """Who carries the risk, and its share of the premium."""

    provider_id: str
    name: str
    commission_bps: int = DEFAULT_COMMISSION_BPS
    active: bool = True


class Policy(msgspec.Struct, kw_only=True):
    """Cover that was paid for."""

    policy_id: str
    agent_id: str
    product_id: str
    product_type: str
    pool_id: str
    coverage_limit_micro_usd: int
    deductible_micro_usd: int
    premium_micro_usd: int
    effective_from_us: int
    effective_until_us: int
    status: PolicyStatus = "active"
    claims_paid_micro_usd: int = 0
    claims_count: int = 0

    @property
    def remaining_micro_usd(self) -> int:
        """What is left of the cover."""
        return self.coverage_limit_micro_usd - self.claims_paid_micro_usd


class Claim(msgspec.Struct, kw_only=True):
    """A loss that somebody reports."""

    claim_id: str
    policy_id: str
    agent_id: str
    incident_type: str
    claimed_amount_micro_usd: int
    description: str
    evidence_event_ids: tuple[str, ...]
    session_id: str | None
    incident_at_us: int
    filed_at_us: int
    status: ClaimStatus = "submitted"
    payout_micro_usd: int = 0
    confidence_ppm: int | None = None
    notes: tuple[str, ...] = ()
    resolved_at_us: int | None = None


class Insurance(msgspec.Struct, kw_only=True):
    """The room."""

    products: dict[str, InsuranceProduct] = {}
    providers: dict[str, Provider] = {}
    pools: dict[str, Pool] = {}
    quotes: dict[str, InsuranceQuoted] = {}
    """Open ones; binding uses a quote up."""
    policies: dict[str, Policy] = {}
    policies_by_agent: dict[str, list[str]] = {}
    claims: dict[str, Claim] = {}
    evidence: dict[str, str] = {}
    """Event id to the claim that it bears out."""
    history: dict[str, ClaimsHistory] = {}
    claims_filed: int = 0

    def apply(self, event: FinanceEvent, at_us: int) -> None:
        """Fold one event in; what does not fit changes nothing."""
        match event:
            case ProductListed():
                self.products[event.product.product_id] = event.product
            case ProviderRegistered():
                self.providers[event.provider_id] = Provider(
                    provider_id=event.provider_id,
                    name=event.name,
                    commission_bps=event.commission_bps,
                    active=event.active,
                )
            case PoolOpened():
                self._open_pool(event, at_us)
            case PoolStatusChanged() if event.pool_id in self.pools:
                self.pools[event.pool_id].status = event.status
            case InsuranceQuoted():
                self._quote(event, at_us)
            case PolicyIssued():
                self._issue(event)
            case PremiumCollected() if event.policy_id in self.policies:
                pool = self.pools.get(self.policies[event.policy_id].pool_id)
                if pool is not None:
                    pool.premiums_micro_usd += event.amount_micro_usd
            case LedgerPosted(reason="fee") if event.cause_id in self.pools:
                pool = self.pools[event.cause_id]
                pool.fee_charged_until_us += (at_us - pool.fee_charged_until_us) // DAY_US * DAY_US
            case PolicyStatusChanged():
                self._end(event)
            case ClaimSubmitted() | ClaimVerified() | ClaimDenied() | ClaimPaid() | ClaimWithdrawn():
                self._claim(event, at_us)
            case _:
                pass

    def of_agent(self, agent_id: str) -> list[Policy]:
        """An agent's policies, oldest first."""
        return [self.policies[policy_id] for policy_id in self.policies_by_agent.get(agent_id, ())]

    def history_of(self, agent_id: str) -> ClaimsHistory:
        """What an agent's claims came to so far."""
        return self.history.get(agent_id, ClaimsHistory())

    # ---- one kind of event each

    def _open_pool(self, event: PoolOpened, at_us: int) -> None:
        self.pools.setdefault(
            event.pool_id,
            Pool(
                pool_id=event.pool_id,
                name=event.name,
                management_fee_bps=event.management_fee_bps,
                min_reserve_ratio_ppm=event.min_reserve_ratio_ppm,
                fee_charged_until_us=at_us,
            ),
        )

    def _quote(self, event: InsuranceQuoted, at_us: int) -> None:
        self.quotes[event.quote_id] = event
        late = [quote_id for quote_id, quote in self.quotes.items() if quote.valid_until_us <= at_us]
        for quote_id in late:
            del self.quotes[quote_id]

    def _issue(self, event: PolicyIssued) -> None:
        if event.policy_id in self.policies:
            return
        if event.quote_id is not None:
            self.quotes.pop(event.quote_id, None)
        policy = self.policies[event.policy_id] = Policy(
            policy_id=event.policy_id,
            agent_id=event.agent_id,
            product_id=event.product_id or "",
            product_type=event.product_type,
            pool_id=event.pool_id or event.provider_id,
            coverage_limit_micro_usd=event.coverage_micro_usd,
            deductible_micro_usd=event.deductible_micro_usd,
            premium_micro_usd=event.premium_micro_usd,
            effective_from_us=event.effective_from_us,
            effective_until_us=event.effective_until_us,
        )
        self.policies_by_agent.setdefault(event.agent_id, []).append(event.policy_id)
        pool = self.pools.get(policy.pool_id)
        if pool is not None:
            pool.active_policies += 1
            pool.coverage_outstanding_micro_usd += policy.coverage_limit_micro_usd

    def _end(self, event: PolicyStatusChanged) -> None:
        policy = self.policies.get(event.policy_id)
        if policy is None or policy.status != "active":
            return
        policy.status = event.status
        pool = self.pools.get(policy.pool_id)
        if pool is not None:
            pool.active_policies -= 1
            pool.coverage_outstanding_micro_usd -= policy.remaining_micro_usd

    def _claim(
        self, event: ClaimSubmitted | ClaimVerified | ClaimDenied | ClaimPaid | ClaimWithdrawn, at_us: int
    ) -> None:
        if isinstance(event, ClaimSubmitted):
            self._file(event, at_us)
            return
        claim = self.claims.get(event.claim_id)
        if claim is None or claim.status not in OPEN_CLAIMS:
            return
        match event:
            case ClaimVerified():
                claim.confidence_ppm, claim.notes = event.confidence_ppm, event.notes
                for event_id in event.valid_event_ids:
                    self.evidence.setdefault(event_id, claim.claim_id)
                if event.decision is not None:
                    claim.status = event.decision
                    claim.resolved_at_us = at_us if event.decision == "denied" else None
            case ClaimDenied():
                claim.status, claim.resolved_at_us = "denied", at_us
                claim.notes = (*claim.notes, event.reason)
            case ClaimWithdrawn():
                claim.status, claim.resolved_at_us = "withdrawn", at_us
            case ClaimPaid():
                claim.status, claim.resolved_at_us = "paid", at_us
                claim.payout_micro_usd = event.payout_micro_usd
                self._use_up(claim)

    def _file(self, event: ClaimSubmitted, at_us: int) -> None:
        if event.claim_id in self.claims:
            return
        self.claims_filed += 1
        self.claims[event.claim_id] = Claim(
            claim_id=event.claim_id,
            policy_id=event.policy_id,
            agent_id=event.agent_id,
            incident_type=event.incident_type,
            claimed_amount_micro_usd=event.claimed_amount_micro_usd,
            description=event.description,
            evidence_event_ids=event.evidence_event_ids,
            session_id=event.session_id,
            incident_at_us=event.incident_at_us,
            filed_at_us=at_us,
        )

    def _use_up(self, claim: Claim) -> None:
        before = self.history_of(claim.agent_id)
        self.history[claim.agent_id] = ClaimsHistory(
            approved_claims=before.approved_claims + 1,
            total_payout_micro_usd=before.total_payout_micro_usd + claim.payout_micro_usd,
        )
        policy = self.policies.get(claim.policy_id)
        if policy is None:
            return
        policy.claims_paid_micro_usd += claim.payout_micro_usd
        policy.claims_count += 1
        pool = self.pools.get(policy.pool_id)
        if pool is None:
            return
        pool.payouts_micro_usd += claim.payout_micro_usd
        if policy.status == "active":
            pool.coverage_outstanding_micro_usd -= claim.payout_micro_usd


def reserve_ratio_ppm(reserves_micro_usd: int, coverage_micro_usd: int) -> int:
    """Reserves as a share of the cover they stand for; one million when nothing is covered."""
    if coverage_micro_usd <= 0:
        return PPM
    return max(0, reserves_micro_usd) * PPM // coverage_micro_usd
