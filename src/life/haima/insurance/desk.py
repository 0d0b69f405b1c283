"""Selling cover and paying claims (HM-INS, haima.md §1.13, §4.5).

    quote → bind: the premium leaves the agent's account in the same batch that issues the policy, or there is no policy
    claim → verify: the journal is asked → approved and paid in one batch | denied | under review, for an adjudicator

Everything is decided on the house's stream, so a quote is bound once, a claim is paid once, and the pool never pays what it
does not hold. The desk reads evidence before it decides, and decides on the state as it is then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Literal

import msgspec

from life.aios.errors import ConflictError, InvalidInputError, NotFoundError
from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.haima.accounts import account, move, wallet_of
from life.haima.errors import (
    ClaimRefusedError,
    CoverRefusedError,
    PoolReservesError,
    QuoteExpiredError,
)
from life.haima.events import FinanceEvent
from life.haima.events.accounts import Entry, LedgerPosted, PostingReason
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
    PoolContribution,
    PoolOpened,
    PoolPayout,
    PoolStatusChanged,
    PremiumCollected,
    ProductListed,
    ProviderRegistered,
    RiskAssessed,
)
from life.haima.house import Decision, House, Key
from life.haima.house_state import HouseState
from life.haima.insurance import parameters
from life.haima.insurance.evidence import MAX_EVIDENCE, Evidence, EvidenceReader
from life.haima.insurance.parameters import PPM, TIER_SCORES_PPM, YEAR_S
from life.haima.insurance.pricing import (
    RiskAssessment,
    RiskFactors,
    assess,
    commission_micro,
    payout_micro,
    premium_micro,
)
from life.haima.insurance.room import DAY_US, Claim, Insurance, Policy, Pool, reserve_ratio_ppm

RiskReader = Callable[[str], Awaitable[RiskFactors]]
"""What is known of an agent, derived from the journal."""

MAX_DESCRIPTION_CHARS: Final = 2_000


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """A price for cover."""

    quote_id: str
    agent_id: str
    product_id: str
    product_type: str
    coverage_micro_usd: int
    deductible_micro_usd: int
    premium_micro_usd: int
    period_secs: int
    provider_id: str
    valid_until_us: int
    risk_assessment: RiskAssessment


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """Cover that is in force."""

    policy_id: str
    premium_collected_micro_usd: int
    commission_micro_usd: int
    commission_rate_bps: int
    effective_until_us: int


class Filed(msgspec.Struct, frozen=True, kw_only=True):
    """A claim was taken down."""

    claim_id: str
    policy_id: str
    claimed_amount_micro_usd: int


class ClaimDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a claim."""

    claim_id: str
    status: Literal["paid", "denied", "under_review", "withdrawn"]
    payout_micro_usd: int = 0
    confidence_ppm: int = 0
    notes: tuple[str, ...] = ()


class Contributed(msgspec.Struct, frozen=True, kw_only=True):
    """Money went into a pool."""

    pool_id: str
    amount_micro_usd: int
    pool_reserves_after_micro_usd: int


class Count(msgspec.Struct, frozen=True):
    """How many."""

    count: int


class InsuranceDesk:
    """The commands of insurance. Belongs to one event loop."""

    def __init__(
        self, house: House, clock: Clock, entropy: Entropy, *, risk: RiskReader, evidence: EvidenceReader
    ) -> None:
        self._house = house
        self._clock = clock
        self._entropy = entropy
        self._risk = risk
        self._evidence = evidence

    @property
    def room(self) -> Insurance:
        """What insurance knows. For reading."""
        return self._house.state.insurance

    def reserves_micro(self, pool: Pool) -> int:
        """What a pool holds."""
        return self._house.state.accounts.balance(pool.account)

    # ---- the operator's

    async def open_pool(
        self,
        *,
        pool_id: str = parameters.POOL_ID,
        name: str = "Life Network Self-Insurance Pool",
        seed_micro_usd: int = 0,
        seeded_from: str | None = None,
        management_fee_bps: int = parameters.MANAGEMENT_FEE_BPS,
        min_reserve_ratio_ppm: int = parameters.MIN_RESERVE_RATIO_PPM,
        products: tuple[InsuranceProduct, ...] = parameters.PRODUCTS,
    ) -> Count:
        """Open a pool with its provider and products, once; a pool that is open already stays as it is.

        The seed is money from `seeded_from`, an account of the house; nothing is made out of nothing.
        """
        if seed_micro_usd < 0 or not 0 <= management_fee_bps <= 10_000 or not 0 <= min_reserve_ratio_ppm <= PPM:
            raise InvalidInputError("A pool's seed, fee or reserve ratio can't be right.")
        if seed_micro_usd and seeded_from is None:
            raise InvalidInputError("A seed comes from an account; name it.")
        for product in products:
            parameters.check_product(product)
        posting_id = new_id(self._clock, self._entropy)

        def rule(state: HouseState, _now_us: int) -> Decision[Count]:
            if pool_id in state.insurance.pools:
                return Decision((), Count(0))
            events: list[FinanceEvent] = [
                PoolOpened(
                    pool_id=pool_id,
                    name=name,
                    management_fee_bps=management_fee_bps,
                    min_reserve_ratio_ppm=min_reserve_ratio_ppm,
                ),
                ProviderRegistered(provider_id=pool_id, name=name, commission_bps=parameters.DEFAULT_COMMISSION_BPS),
                *(ProductListed(product=product) for product in products),
            ]
            if seed_micro_usd and seeded_from is not None:
                target = account("premium_pool", "pool", pool_id)
                events.append(_posting(posting_id, move(seeded_from, target, seed_micro_usd), "seed", cause_id=pool_id))
            return Decision(events, Count(1))

        return (await self._house.decide(rule)).answer

    async def charge_management_fee(self, pool_id: str) -> Count:
        """Take the fee for whole days that are over, from the reserves to the platform; how many micro-USD."""
        posting_id = new_id(self._clock, self._entropy)

        def rule(state: HouseState, now_us: int) -> Decision[Count]:
            pool = _pool(state, pool_id)
            days = max(0, now_us - pool.fee_charged_until_us) // DAY_US
            reserves = state.accounts.balance(pool.account)
            fee = reserves * pool.management_fee_bps * days * parameters.DAY_S // (10_000 * YEAR_S)
            if fee <= 0:
                return Decision((), Count(0))
            posting = _posting(
                posting_id,
                move(pool.account, account("fee_income", "platform", "house"), fee),
                "fee",
                cause_id=pool_id,
                memo=f"management fee for {days} days",
            )
            return Decision((posting,), Count(fee))

        return (await self._house.decide(rule)).answer

    # ---- selling

    async def assess_risk(self, agent_id: str) -> RiskAssessment:
        """The agent's risk as of now. Reads only."""
        return assess(await self._risk(agent_id), self.room.history_of(agent_id))

    async def quote(
        self, agent_id: str, product_type: str, coverage_micro_usd: int, *, provider_id: str | None = None
    ) -> Quote:
        """A price, good for a day. NotFoundError without such a product; CoverRefusedError when the agent can't be insured,
        its trust is below the product's tier, or the pool is paused."""
        factors = await self._risk(agent_id)
        quote_id = new_id(self._clock, self._entropy)

        def rule(state: HouseState, now_us: int) -> Decision[Quote]:
            room = state.insurance
            product = _product(room, product_type, provider_id)
            assessment = assess(factors, room.history_of(agent_id))
            premium = premium_micro(product, coverage_micro_usd, assessment.multiplier_ppm)
            _check_cover(state, product, factors, assessment)
            quoted = InsuranceQuoted(
                quote_id=quote_id,
                agent_id=agent_id,
                product_id=product.product_id,
                coverage_micro_usd=coverage_micro_usd,
                deductible_micro_usd=product.default_deductible_micro_usd,
                premium_micro_usd=premium,
                period_secs=product.period_secs,
                provider_id=product.provider_id,
                risk_ppm=assessment.risk_ppm,
                multiplier_ppm=assessment.multiplier_ppm,
                valid_until_us=now_us + parameters.QUOTE_LIFE_S * 1_000_000,
            )
            answer = Quote(
                quote_id=quote_id,
                agent_id=agent_id,
                product_id=product.product_id,
                product_type=product.product_type,
                coverage_micro_usd=coverage_micro_usd,
                deductible_micro_usd=quoted.deductible_micro_usd,
                premium_micro_usd=premium,
                period_secs=product.period_secs,
                provider_id=product.provider_id,
                valid_until_us=quoted.valid_until_us,
                risk_assessment=assessment,
            )
            return Decision((_assessed(agent_id, assessment), quoted), answer)

        return (await self._house.decide(rule)).answer

    async def bind(self, quote_id: str, agent_id: str, *, key: Key) -> Bound:
        """Buy the quoted cover: the premium is collected and the policy issued in one batch.

        NotFoundError for a quote that is unknown, used or somebody else's; QuoteExpiredError; InsufficientBalanceError when
        the agent's account does not hold the premium; PoolReservesError when the pool may not take on this much.
        """
        policy_id = new_id(self._clock, self._entropy)
        posting_id = new_id(self._clock, self._entropy)

        def rule(state: HouseState, now_us: int) -> Decision[Bound]:
            room = state.insurance
            quote = room.quotes.get(quote_id)
            if quote is None or quote.agent_id != agent_id:
                raise NotFoundError("There is no such open quote for this agent.", details={"quote_id": quote_id})
            if quote.valid_until_us <= now_us:
                raise QuoteExpiredError(quote_id)
            product = room.products[quote.product_id]
            pool = _pool(state, product.provider_id)
            provider = room.providers.get(product.provider_id)
            rate_bps = provider.commission_bps if provider is not None else parameters.DEFAULT_COMMISSION_BPS
            commission = commission_micro(quote.premium_micro_usd, rate_bps)
            _check_pool(
                state, pool, more_micro=quote.premium_micro_usd - commission, covering_micro=quote.coverage_micro_usd
            )
            until_us = now_us + quote.period_secs * 1_000_000
            entries = [
                Entry(wallet_of(agent_id), -quote.premium_micro_usd),
                Entry(pool.account, quote.premium_micro_usd - commission),
            ]
            if commission:
                entries.append(Entry(account("fee_income", "provider", product.provider_id), commission))
            events = (
                _posting(posting_id, tuple(entries), "premium", cause_id=policy_id),
                PolicyIssued(
                    policy_id=policy_id,
                    agent_id=agent_id,
                    product_type=product.product_type,
                    coverage_micro_usd=quote.coverage_micro_usd,
                    premium_micro_usd=quote.premium_micro_usd,
                    provider_id=product.provider_id,
                    quote_id=quote_id,
                    product_id=product.product_id,
                    pool_id=pool.pool_id,
                    deductible_micro_usd=quote.deductible_micro_usd,
                    effective_from_us=now_us,
                    effective_until_us=until_us,
                ),
                PremiumCollected(
                    policy_id=policy_id,
                    agent_id=agent_id,
                    amount_micro_usd=quote.premium_micro_usd,
                    commission_micro_usd=commission,
                ),
            )
            answer = Bound(
                policy_id=policy_id,
                premium_collected_micro_usd=quote.premium_micro_usd,
                commission_micro_usd=commission,
                commission_rate_bps=rate_bps,
                effective_until_us=until_us,
            )
            return Decision(events, answer)

        return (await self._house.decide(rule, key=key, answer_type=Bound)).answer

    async def contribute(self, agent_id: str, amount_micro_usd: int, *, pool_id: str, key: Key) -> Contributed:
        """An agent puts money of its account into a pool. InvalidInputError unless the amount is positive."""
        posting_id = new_id(self._clock, self._entropy)

        def rule(state: HouseState, _now_us: int) -> Decision[Contributed]:
            pool = _pool(state, pool_id)
            entries = move(wallet_of(agent_id), pool.account, amount_micro_usd)
            after = state.accounts.balance(pool.account) + amount_micro_usd
            events: list[FinanceEvent] = [
                _posting(posting_id, entries, "contribution", cause_id=pool_id),
                PoolContribution(pool_id=pool_id, agent_id=agent_id, amount_micro_usd=amount_micro_usd),
            ]
            events += _pool_status(pool, after, pool.coverage_outstanding_micro_usd)
            answer = Contributed(
                pool_id=pool_id, amount_micro_usd=amount_micro_usd, pool_reserves_after_micro_usd=after
            )
            return Decision(events, answer)

        return (await self._house.decide(rule, key=key, answer_type=Contributed)).answer

    async def expire(self) -> Count:
        """End the policies whose time is over and that no open claim holds open; how many. Safe to repeat."""

        def rule(state: HouseState, now_us: int) -> Decision[Count]:
            room = state.insurance
            over = [
                policy
                for policy in room.policies.values()
                if policy.status == "active" and policy.effective_until_us <= now_us
            ]
            events: list[FinanceEvent] = [PolicyStatusChanged(policy_id=p.policy_id, status="expired") for p in over]
            freed: dict[str, int] = {}
            for policy in over:
                freed[policy.pool_id] = freed.get(policy.pool_id, 0) + policy.remaining_micro_usd
            for pool_id, coverage in freed.items():
                pool = room.pools.get(pool_id)
                if pool is not None:
                    reserves = state.accounts.balance(pool.account)
                    events += _pool_status(pool, reserves, pool.coverage_outstanding_micro_usd - coverage)
            return Decision(events, Count(len(over)))

        return (await self._house.decide(rule)).answer

    # ---- claims

    async def file_claim(
        self,
        agent_id: str,
        policy_id: str,
        *,
        incident_type: str,
        claimed_amount_micro_usd: int,
        incident_at_us: int,
        evidence_event_ids: tuple[str, ...],
        description: str = "",
        session_id: str | None = None,
        key: Key,
    ) -> Filed:
        """Take a claim down. NotFoundError unless the policy is this agent's; ClaimRefusedError when it does not cover this
        incident, this time, or this much; InvalidInputError for words that can't be right."""
        if claimed_amount_micro_usd <= 0:
            raise InvalidInputError("A claim must be for a positive amount.")
        if len(description) > MAX_DESCRIPTION_CHARS or len(evidence_event_ids) > MAX_EVIDENCE:
            raise InvalidInputError(
                f"A claim has at most {MAX_DESCRIPTION_CHARS} characters of description and {MAX_EVIDENCE} events."
            )
        if not evidence_event_ids:
            raise InvalidInputError("A claim names the events that bear it out.")
        claim_id = new_id(self._clock, self._entropy)

        def rule(state: HouseState, now_us: int) -> Decision[Filed]:
            policy = state.insurance.policies.get(policy_id)
            if policy is None or policy.agent_id != agent_id:
                raise NotFoundError("This agent has no such policy.", details={"policy_id": policy_id})
            _check_claim(policy, incident_type, claimed_amount_micro_usd, incident_at_us, now_us)
            submitted = ClaimSubmitted(
                claim_id=claim_id,
                policy_id=policy_id,
                agent_id=agent_id,
                incident_type=incident_type,
                claimed_amount_micro_usd=claimed_amount_micro_usd,
                description=description,
                evidence_event_ids=evidence_event_ids,
                session_id=session_id,
                incident_at_us=incident_at_us,
            )
            answer = Filed(claim_id=claim_id, policy_id=policy_id, claimed_amount_micro_usd=claimed_amount_micro_usd)
            return Decision((submitted,), answer)

        return (await self._house.decide(rule, key=key, answer_type=Filed)).answer

    async def verify_claim(self, claim_id: str) -> ClaimDecision:
        """Ask the journal, decide, and pay when it bears the claim out. A claim that is decided stays decided: the answer is
        then what it was."""
        claim, policy = self._find(self._house.state, claim_id)
        if claim.status not in ("submitted", "under_review"):
            return _decided(claim)
        evidence = await self._evidence.read(claim, policy)
        posting_id = new_id(self._clock, self._entropy)

        def rule(state: HouseState, _now_us: int) -> Decision[ClaimDecision]:
            now_claim, now_policy = self._find(state, claim_id)
            if now_claim.status not in ("submitted", "under_review"):
                return Decision((), _decided(now_claim))
            return _verify(state, now_claim, now_policy, evidence, posting_id)

        return (await self._house.decide(rule)).answer

    async def adjudicate(self, claim_id: str, *, approve: bool, by: str, reason: str) -> ClaimDecision:
        """An adjudicator decides a claim that is under review. ConflictError when it is not; PoolReservesError when the pool
        can't pay."""
        posting_id = new_id(self._clock, self._entropy)

        def rule(state: HouseState, _now_us: int) -> Decision[ClaimDecision]:
            claim, policy = self._find(state, claim_id)
            if claim.status != "under_review":
                raise ConflictError(f"The claim is {claim.status}, not under review.", details={"claim_id": claim_id})
            said = f"{by}: {reason}"
            if not approve:
                denied = ClaimDenied(claim_id=claim_id, policy_id=policy.policy_id, reason=said)
                return Decision((denied,), ClaimDecision(claim_id=claim_id, status="denied", notes=(said,)))
            payout = _payout(claim, policy)
            pool = _pool(state, policy.pool_id)
            if payout > state.accounts.balance(pool.account):
                raise PoolReservesError(pool.pool_id)
            answer = ClaimDecision(claim_id=claim_id, status="paid", payout_micro_usd=payout, notes=(said,))
            return Decision(_pay(state, pool, claim, policy, payout, posting_id), answer)

        return (await self._house.decide(rule)).answer

    async def withdraw_claim(self, claim_id: str, agent_id: str) -> None:
        """The claimant takes an undecided claim back; ConflictError when it is decided."""

        def rule(state: HouseState, _now_us: int) -> Decision[Count]:
            claim, policy = self._find(state, claim_id)
            if claim.agent_id != agent_id:
                raise NotFoundError("This agent has no such claim.", details={"claim_id": claim_id})
            if claim.status not in ("submitted", "under_review"):
                raise ConflictError(f"The claim is {claim.status} already.", details={"claim_id": claim_id})
            return Decision((ClaimWithdrawn(claim_id=claim_id, policy_id=policy.policy_id),), Count(1))

        await self._house.decide(rule)

    def _find(self, state: HouseState, claim_id: str) -> tuple[Claim, Policy]:
        claim = state.insurance.claims.get(claim_id)
        policy = state.insurance.policies.get(claim.policy_id) if claim is not None else None
        if claim is None or policy is None:
            raise NotFoundError("There is no such claim.", details={"claim_id": claim_id})
        return claim, policy


# ---- rules


def _product(room: Insurance, product_type: str, provider_id: str | None) -> InsuranceProduct:
    """The product of this type, of the preferred provider where it has one; otherwise the first by its id."""
    fitting = sorted(
        (p for p in room.products.values() if p.active and p.product_type == product_type),
        key=lambda product: (product.provider_id != provider_id, product.product_id),
    )
    if not fitting:
        raise NotFoundError(f"No cover of the type {product_type[:64]!r} is on offer.")
    return fitting[0]


def _pool(state: HouseState, pool_id: str) -> Pool:
    pool = state.insurance.pools.get(pool_id)
    if pool is None:
        raise NotFoundError("There is no such pool.", details={"pool_id": pool_id})
    return pool


def _check_cover(
    state: HouseState, product: InsuranceProduct, factors: RiskFactors, assessment: RiskAssessment
) -> None:
    if not assessment.insurable:
        raise CoverRefusedError(f"This agent can't be insured: {assessment.denial_reason}.")
    if factors.trust_ppm < TIER_SCORES_PPM[product.min_trust_tier]:
        raise CoverRefusedError(f"{product.name} needs the trust tier {product.min_trust_tier!r}.")
    pool = _pool(state, product.provider_id)
    if pool.status != "active":
        raise CoverRefusedError(f"The pool is {pool.status} and sells no cover now.")


def _check_pool(state: HouseState, pool: Pool, *, more_micro: int, covering_micro: int) -> None:
    if pool.status != "active":
        raise CoverRefusedError(f"The pool is {pool.status} and sells no cover now.")
    reserves = state.accounts.balance(pool.account) + more_micro
    coverage = pool.coverage_outstanding_micro_usd + covering_micro
    if reserve_ratio_ppm(reserves, coverage) < pool.min_reserve_ratio_ppm:
        raise PoolReservesError(pool.pool_id)


def _check_claim(policy: Policy, incident_type: str, amount_micro: int, incident_at_us: int, now_us: int) -> None:
    if policy.status not in ("active", "expired"):
        raise ClaimRefusedError(f"The policy is {policy.status}.")
    if incident_type != policy.product_type:
        raise ClaimRefusedError(f"The policy covers {policy.product_type}, not {incident_type[:64]}.")
    if not policy.effective_from_us <= incident_at_us < policy.effective_until_us or incident_at_us > now_us:
        raise ClaimRefusedError("The incident is not within the time of the cover.")
    if now_us >= policy.effective_until_us + parameters.CLAIM_GRACE_S * 1_000_000:
        raise ClaimRefusedError("It is too late for claims on this policy.")
    if amount_micro > policy.remaining_micro_usd:
        raise ClaimRefusedError(f"Only {policy.remaining_micro_usd} micro-USD of the cover are left.")


def _payout(claim: Claim, policy: Policy) -> int:
    return payout_micro(claim.claimed_amount_micro_usd, policy.deductible_micro_usd, policy.remaining_micro_usd)


def _verify(
    state: HouseState, claim: Claim, policy: Policy, evidence: Evidence, posting_id: str
) -> Decision[ClaimDecision]:
    used = state.insurance.evidence
    valid = tuple(
        event_id for event_id in evidence.valid_event_ids if used.get(event_id, claim.claim_id) == claim.claim_id
    )
    notes = evidence.notes + tuple(
        f"{event_id}: an earlier claim used it" for event_id in evidence.valid_event_ids if event_id not in valid
    )
    ratio_ppm = len(valid) * PPM // evidence.total if evidence.total else 0
    confirmed = bool(valid) and ratio_ppm >= parameters.CONFIRMED_PPM
    ceiling = evidence.documented_micro_usd or policy.remaining_micro_usd
    consistent = claim.claimed_amount_micro_usd <= min(ceiling, policy.remaining_micro_usd)
    covered = policy.effective_from_us <= claim.incident_at_us < policy.effective_until_us
    confidence_ppm = ratio_ppm // 2 + (300_000 if consistent else 0) + (200_000 if covered else 0)
    payout = _payout(claim, policy)
    pool = _pool(state, policy.pool_id)
    decision: Literal["approved", "denied", "under_review"]
    if confirmed and consistent and covered and confidence_ppm >= parameters.APPROVE_PPM:
        decision = "approved"
        if payout > state.accounts.balance(pool.account):
            decision, notes = "under_review", (*notes, "the pool does not hold the payout")
    elif confidence_ppm < parameters.DENY_PPM or not valid:
        decision = "denied"
    else:
        decision = "under_review"
    verified = ClaimVerified(
        claim_id=claim.claim_id,
        policy_id=policy.policy_id,
        incident_confirmed=confirmed,
        confidence=confidence_ppm / PPM,
        evidence_events_validated=len(valid),
        evidence_events_total=evidence.total,
        confidence_ppm=confidence_ppm,
        amount_consistent=consistent,
        policy_active_at_incident=covered,
        decision=decision,
        valid_event_ids=valid if decision != "denied" else (),
        notes=notes,
    )
    if decision == "approved":
        answer = ClaimDecision(
            claim_id=claim.claim_id, status="paid", payout_micro_usd=payout, confidence_ppm=confidence_ppm, notes=notes
        )
        return Decision((verified, *_pay(state, pool, claim, policy, payout, posting_id)), answer)
    status: Literal["denied", "under_review"] = "denied" if decision == "denied" else "under_review"
    answer = ClaimDecision(claim_id=claim.claim_id, status=status, confidence_ppm=confidence_ppm, notes=notes)
    if decision == "denied":
        reason = "; ".join(notes) or "the journal does not bear it out"
        return Decision(
            (verified, ClaimDenied(claim_id=claim.claim_id, policy_id=policy.policy_id, reason=reason)), answer
        )
    return Decision((verified,), answer)


def _pay(
    state: HouseState, pool: Pool, claim: Claim, policy: Policy, payout: int, posting_id: str
) -> tuple[FinanceEvent, ...]:
    """The events of one payout: money, claim and what is left of policy and pool."""
    after = state.accounts.balance(pool.account) - payout
    events: list[FinanceEvent] = []
    if payout:
        entries = move(pool.account, wallet_of(claim.agent_id), payout)
        events.append(_posting(posting_id, entries, "payout", cause_id=claim.claim_id, session_id=claim.session_id))
    events.append(
        ClaimPaid(
            claim_id=claim.claim_id,
            policy_id=policy.policy_id,
            agent_id=claim.agent_id,
            payout_micro_usd=payout,
            source="pool",
        )
    )
    if payout:
        events.append(
            PoolPayout(
                pool_id=pool.pool_id,
                claim_id=claim.claim_id,
                amount_micro_usd=payout,
                reserves_after_micro_usd=after,
            )
        )
    coverage = pool.coverage_outstanding_micro_usd
    if policy.status == "active":
        coverage -= payout
        if policy.remaining_micro_usd == payout:
            events.append(PolicyStatusChanged(policy_id=policy.policy_id, status="exhausted"))
    events += _pool_status(pool, after, coverage)
    return tuple(events)


def _pool_status(pool: Pool, reserves_micro: int, coverage_micro: int) -> list[FinanceEvent]:
    """The pool stops selling below its ratio, and goes on at it."""
    ratio_ppm = reserve_ratio_ppm(reserves_micro, coverage_micro)
    if pool.status == "active" and ratio_ppm < pool.min_reserve_ratio_ppm:
        return [PoolStatusChanged(pool_id=pool.pool_id, status="paused", reason=f"reserve ratio {ratio_ppm} ppm")]
    if pool.status == "paused" and ratio_ppm >= pool.min_reserve_ratio_ppm:
        return [PoolStatusChanged(pool_id=pool.pool_id, status="active", reason=f"reserve ratio {ratio_ppm} ppm")]
    return []


def _assessed(agent_id: str, assessment: RiskAssessment) -> RiskAssessed:
    return RiskAssessed(
        agent_id=agent_id,
        risk_score=assessment.risk_ppm / PPM,
        risk_rating=assessment.rating,
        premium_multiplier=assessment.multiplier_ppm / PPM,
        insurable=assessment.insurable,
        model=assessment.model,
    )


def _decided(claim: Claim) -> ClaimDecision:
    assert claim.status in ("paid", "denied", "withdrawn")  # an approved claim is paid in the same batch
    return ClaimDecision(
        claim_id=claim.claim_id,
        status=claim.status,
        payout_micro_usd=claim.payout_micro_usd,
        confidence_ppm=claim.confidence_ppm or 0,
        notes=claim.notes,
    )


def _posting(
    posting_id: str,
    entries: tuple[Entry, ...],
    reason: PostingReason,
    *,
    cause_id: str,
    memo: str = "",
    session_id: str | None = None,
) -> LedgerPosted:
    return LedgerPosted(
        posting_id=posting_id, entries=entries, reason=reason, memo=memo, cause_id=cause_id, session_id=session_id
    )
