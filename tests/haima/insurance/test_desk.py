"""Selling cover and paying claims: the promises of HM-INS, and the attacks of haima.md §8.5 (W38 to W46)."""

from __future__ import annotations

import asyncio

import pytest

from life.aios.errors import ConflictError, InvalidInputError, NotFoundError
from life.haima import events
from life.haima.accounts import account, wallet_of
from life.haima.errors import (
    ClaimRefusedError,
    CoverRefusedError,
    IdempotencyConflictError,
    InsufficientBalanceError,
    PoolReservesError,
    QuoteExpiredError,
)
from life.haima.house import House, Key
from life.haima.house_state import encode
from life.haima.insurance.parameters import CLAIM_GRACE_S, DAY_S, POOL_ID, QUOTE_LIFE_S
from life.haima.insurance.pricing import RiskFactors
from tests.haima.insurance.kit import AGENT_ID, Office, open_office

S = 1_000_000


def _pool_status(office: Office) -> str:
    return office.desk.room.pools[POOL_ID].status


async def test_the_premium_is_collected_before_the_cover_begins() -> None:
    """W40: the agent pays, the pool holds the premium less the commission, and both stand in one batch."""
    async with open_office() as office:
        bound = await office.cover()
        assert bound.premium_collected_micro_usd == 17_882
        assert bound.commission_micro_usd == 2_682
        assert office.balance(wallet_of(AGENT_ID)) == 10_000_000 - 17_882
        assert office.reserves == 100_000_000 + 17_882 - 2_682
        assert office.balance(account("fee_income", "provider", POOL_ID)) == 2_682
        assert office.desk.room.policies[bound.policy_id].status == "active"


async def test_no_money_no_cover() -> None:
    """W40: an agent that can't pay the premium gets no policy, and nothing moves."""
    async with open_office(funds_micro=0) as office:
        quote = await office.desk.quote(AGENT_ID, "task_failure", 10_000_000)
        with pytest.raises(InsufficientBalanceError):
            await office.desk.bind(quote.quote_id, AGENT_ID, key=office.key())
        assert office.desk.room.policies == {}
        assert office.reserves == 100_000_000


async def test_a_quote_binds_once_for_its_agent_in_its_time() -> None:
    """A second binding, somebody else's, and one after a day are refused; the same key gets the same answer."""
    async with open_office() as office:
        quote = await office.desk.quote(AGENT_ID, "task_failure", 10_000_000)
        with pytest.raises(NotFoundError):
            await office.desk.bind(quote.quote_id, "agent-2", key=office.key())
        key = Key("agent-1", "k", quote.quote_id.encode())
        first = await office.desk.bind(quote.quote_id, AGENT_ID, key=key)
        assert await office.desk.bind(quote.quote_id, AGENT_ID, key=key) == first
        with pytest.raises(NotFoundError):
            await office.desk.bind(quote.quote_id, AGENT_ID, key=office.key())
        with pytest.raises(IdempotencyConflictError):
            await office.desk.bind(quote.quote_id, AGENT_ID, key=Key("agent-1", "k", b"another request"))
        late = await office.desk.quote(AGENT_ID, "task_failure", 10_000_000)
        office.clock.advance_us(QUOTE_LIFE_S * S)
        with pytest.raises(QuoteExpiredError):
            await office.desk.bind(late.quote_id, AGENT_ID, key=office.key())
        assert len(office.desk.room.policies) == 1


async def test_many_bindings_at_once_make_one_policy() -> None:
    """W44: eight tasks with one quote; one wins, and the premium is taken once."""
    async with open_office() as office:
        quote = await office.desk.quote(AGENT_ID, "task_failure", 10_000_000)
        tries = [office.desk.bind(quote.quote_id, AGENT_ID, key=office.key()) for _ in range(8)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
        assert office.balance(wallet_of(AGENT_ID)) == 10_000_000 - 17_882


async def test_trust_below_the_tier_and_risk_beyond_reason_get_no_quote() -> None:
    """The product's tier is asked of Autonomic's score, and a degrading agent is refused."""
    async with open_office() as office:
        office.factors["new"] = RiskFactors(trust_ppm=499_999)
        with pytest.raises(CoverRefusedError, match="provisional"):
            await office.desk.quote("new", "task_failure", 10_000_000)
        office.factors["worse"] = RiskFactors(trust_ppm=900_000, trust_is_degrading=True)
        with pytest.raises(CoverRefusedError, match="degrading"):
            await office.desk.quote("worse", "task_failure", 10_000_000)
        with pytest.raises(NotFoundError):
            await office.desk.quote(AGENT_ID, "flood", 10_000_000)


async def test_a_claim_that_the_journal_bears_out_is_paid() -> None:
    """Three events of three: confirmed, consistent, covered; the payout is the loss less the deductible."""
    async with open_office() as office:
        bound = await office.cover()
        evidence = [await office.fail() for _ in range(3)]
        claim_id = await office.claim(bound.policy_id, 950_000, *evidence, session_id="session")
        before, reserves = office.balance(wallet_of(AGENT_ID)), office.reserves
        decision = await office.desk.verify_claim(claim_id)
        assert (decision.status, decision.payout_micro_usd, decision.confidence_ppm) == ("paid", 900_000, 1_000_000)
        assert office.balance(wallet_of(AGENT_ID)) == before + 900_000
        assert office.reserves == reserves - 900_000
        assert office.desk.room.claims[claim_id].status == "paid"


async def test_a_claim_is_paid_once_however_often_it_is_verified() -> None:
    """W39: at once and again, the answer is the first one and the money moves once."""
    async with open_office() as office:
        bound = await office.cover()
        claim_id = await office.claim(bound.policy_id, 950_000, await office.fail())
        before = office.balance(wallet_of(AGENT_ID))
        answers = await asyncio.gather(*(office.desk.verify_claim(claim_id) for _ in range(8)))
        again = await office.desk.verify_claim(claim_id)
        assert {answer.payout_micro_usd for answer in (*answers, again)} == {900_000}
        assert office.balance(wallet_of(AGENT_ID)) == before + 900_000
        with pytest.raises(ConflictError):
            await office.desk.adjudicate(claim_id, approve=True, by="adjudicator", reason="once more")
        with pytest.raises(ConflictError):
            await office.desk.withdraw_claim(claim_id, AGENT_ID)


async def test_words_are_no_evidence() -> None:
    """W38: ids that nobody stored, however many, get nothing."""
    async with open_office() as office:
        bound = await office.cover()
        claim_id = await office.claim(bound.policy_id, 950_000, *(f"invented-{n}" for n in range(20)))
        decision = await office.desk.verify_claim(claim_id)
        assert (decision.status, decision.payout_micro_usd) == ("denied", 0)
        assert "invented-3: it is not in the journal" in decision.notes


async def test_evidence_must_be_of_the_agent_the_session_the_time_and_the_kind() -> None:
    """W38: each kind of unfit event is named and counts for nothing."""
    async with open_office() as office:
        early = await office.fail()
        office.clock.advance_us(S)
        bound = await office.cover()
        office.clock.advance_us(S)
        broken = await office.fail()
        office.broken.add(broken)
        unfit = [
            early,
            await office.fail(agent_id="agent-2"),
            await office.fail(session_id="elsewhere"),
            await office.pay(5),
            broken,
        ]
        claim_id = await office.claim(bound.policy_id, 950_000, *unfit, session_id="session")
        decision = await office.desk.verify_claim(claim_id)
        assert decision.status == "denied"
        reasons = [note.partition(": ")[2] for note in decision.notes]
        assert reasons == [
            "it happened outside the time of the cover",
            "it is not of this agent",
            "it is of another session",
            "its kind shows no task failure",
            "the journal does not hold up to it",
        ]


async def test_an_event_bears_out_one_claim_only() -> None:
    """W38: the same loss can't be paid twice under another claim or another policy."""
    async with open_office() as office:
        first, second = await office.cover(), await office.cover()
        event = await office.fail()
        assert (await office.desk.verify_claim(await office.claim(first.policy_id, 950_000, event))).status == "paid"
        again = await office.desk.verify_claim(await office.claim(second.policy_id, 950_000, event))
        assert (again.status, again.payout_micro_usd) == ("denied", 0)
        assert again.notes == (f"{event}: an earlier claim used it",)


async def test_a_claim_beyond_what_the_events_show_goes_to_a_person() -> None:
    """The events name a loss of 200,000; who claims more is looked at by an adjudicator, and paid only by one."""
    async with open_office() as office:
        bound = await office.cover("financial_error")
        event = await office.pay(200_000)
        claim_id = await office.claim(bound.policy_id, 900_000, event, incident_type="financial_error")
        assert (await office.desk.verify_claim(claim_id)).status == "under_review"
        decision = await office.desk.adjudicate(claim_id, approve=False, by="dora", reason="not shown")
        assert decision.status == "denied"
        assert (await office.desk.verify_claim(claim_id)).status == "denied"
        other = await office.claim(bound.policy_id, 900_000, await office.pay(1), incident_type="financial_error")
        await office.desk.verify_claim(other)
        paid = await office.desk.adjudicate(other, approve=True, by="dora", reason="invoice seen")
        assert (paid.status, paid.payout_micro_usd) == ("paid", 800_000)


async def test_a_late_task_is_evidence_for_the_agent_that_had_it() -> None:
    """Events that the house wrote about a task count for the task's agent: for an SLA penalty when it was late."""
    async with open_office() as office:
        bound = await office.cover("sla_penalty")

        async def verified(outcome: str, task_id: str = "task-1") -> str:
            event = events.TaskVerified(
                task_id=task_id,
                contract_id="c",
                outcome=outcome,
                price_micro_credits=300_000,
                criteria_passed=0,
                criteria_total=1,
            )
            return await office.happen(events.as_kind(event), agent_id="house", session_id="finance:house-2")

        for outcome, task_id, status in (
            ("success", "task-1", "denied"),
            ("failure", "task-1", "denied"),
            ("timeout", "task-2", "denied"),
            ("timeout", "task-1", "paid"),
        ):
            event = await verified(outcome, task_id)
            claim_id = await office.claim(bound.policy_id, 300_000, event, incident_type="sla_penalty")
            assert (await office.desk.verify_claim(claim_id)).status == status


async def test_a_claim_must_fit_its_policy() -> None:
    """Another kind, another time, too much, nothing at all, somebody else's policy: refused before it is taken down."""
    async with open_office() as office:
        bound = await office.cover()
        event = await office.fail()
        with pytest.raises(ClaimRefusedError, match="covers task_failure"):
            await office.claim(bound.policy_id, 1, event, incident_type="data_breach")
        with pytest.raises(ClaimRefusedError, match="left"):
            await office.claim(bound.policy_id, 10_000_001, event)
        with pytest.raises(InvalidInputError):
            await office.claim(bound.policy_id, 0, event)
        with pytest.raises(InvalidInputError):
            await office.claim(bound.policy_id, 1)
        with pytest.raises(NotFoundError):
            await office.claim(bound.policy_id, 1, event, agent_id="agent-2")
        office.clock.advance_us(30 * DAY_S * S)
        with pytest.raises(ClaimRefusedError, match="not within"):
            await office.claim(bound.policy_id, 1, event)
        office.clock.advance_us(CLAIM_GRACE_S * S)
        with pytest.raises(ClaimRefusedError):
            await office.claim(bound.policy_id, 1, event)
        assert office.desk.room.claims == {}


async def test_a_policy_is_exhausted_when_its_cover_is_used_up_and_not_before() -> None:
    """Payouts together never exceed the cover (invariant 6)."""
    async with open_office() as office:
        bound = await office.cover(coverage_micro=1_000_000)
        for claimed, payout, status in ((600_000, 550_000, "active"), (450_000, 400_000, "active")):
            claim_id = await office.claim(bound.policy_id, claimed, await office.fail())
            assert (await office.desk.verify_claim(claim_id)).payout_micro_usd == payout
            assert office.desk.room.policies[bound.policy_id].status == status
        with pytest.raises(ClaimRefusedError):
            await office.claim(bound.policy_id, 100_000, await office.fail())


async def test_a_pool_below_its_ratio_sells_nothing() -> None:
    """W43: cover that the reserves can't stand for is not sold; a pool that fell below its ratio is paused, and goes on
    when money came in."""
    async with open_office(seed_micro=150_000) as office:
        with pytest.raises(PoolReservesError):
            await office.cover(coverage_micro=10_000_000)
        bound = await office.cover(coverage_micro=1_000_000)
        claim_id = await office.claim(bound.policy_id, 150_000, await office.fail())
        assert (await office.desk.verify_claim(claim_id)).payout_micro_usd == 100_000
        assert _pool_status(office) == "paused"
        with pytest.raises(CoverRefusedError):
            await office.desk.quote(AGENT_ID, "task_failure", 100_000)
        await office.desk.contribute(AGENT_ID, 500_000, pool_id=POOL_ID, key=office.key())
        assert _pool_status(office) == "active"


async def test_a_pool_never_pays_what_it_does_not_hold() -> None:
    """W41: a claim that is in the right waits for an adjudicator until the reserves are there; nothing is booked before."""
    async with open_office(seed_micro=1_600_000) as office:
        policies = [await office.cover(coverage_micro=2_000_000) for _ in range(5)]
        for place, bound in enumerate(policies):
            claim_id = await office.claim(bound.policy_id, 1_500_000, await office.fail())
            decision = await office.desk.verify_claim(claim_id)
            if place == 0:
                assert decision.status == "paid"
                continue
            assert (decision.status, decision.payout_micro_usd) == ("under_review", 0)
            assert "the pool does not hold the payout" in decision.notes
            with pytest.raises(PoolReservesError):
                await office.desk.adjudicate(claim_id, approve=True, by="dora", reason="due")
            break
        assert office.reserves >= 0


async def test_contributions_are_positive_and_paid() -> None:
    """W42: nothing negative, nothing that the agent does not hold."""
    async with open_office() as office:
        for amount in (0, -1):
            with pytest.raises(InvalidInputError):
                await office.desk.contribute(AGENT_ID, amount, pool_id=POOL_ID, key=office.key())
        with pytest.raises(InsufficientBalanceError):
            await office.desk.contribute(AGENT_ID, 10_000_001, pool_id=POOL_ID, key=office.key())
        assert office.reserves == 100_000_000


async def test_policies_expire_and_free_what_they_covered() -> None:
    """W43: the job ends what is over, once, and the pool's exposure goes back."""
    async with open_office() as office:
        await office.cover()
        assert office.desk.room.pools[POOL_ID].coverage_outstanding_micro_usd == 10_000_000
        assert (await office.desk.expire()).count == 0
        office.clock.advance_us(30 * DAY_S * S)
        assert (await office.desk.expire()).count == 1
        assert (await office.desk.expire()).count == 0
        pool = office.desk.room.pools[POOL_ID]
        assert (pool.coverage_outstanding_micro_usd, pool.active_policies) == (0, 0)


async def test_the_management_fee_is_charged_for_days_that_are_over() -> None:
    """2.5 % a year of the reserves; a year in one step and day by day differ only by compounding."""
    async with open_office() as office:
        assert (await office.desk.charge_management_fee(POOL_ID)).count == 0
        office.clock.advance_us(365 * DAY_S * S)
        fee = (await office.desk.charge_management_fee(POOL_ID)).count
        assert 2_498_000 < fee < 2_500_000
        assert (await office.desk.charge_management_fee(POOL_ID)).count == 0
        assert office.balance(account("fee_income", "platform", "house")) == fee


async def test_a_pool_is_opened_once_and_seeded_with_money_from_somewhere() -> None:
    """Nothing is made out of nothing: a seed needs an account that it comes from."""
    async with open_office() as office:
        with pytest.raises(InvalidInputError):
            await office.desk.open_pool(pool_id="other", seed_micro_usd=5)
        assert (await office.desk.open_pool(seed_micro_usd=0)).count == 0
        assert sum(office.house.state.accounts.balances.values()) == 0


async def test_the_journal_alone_gives_the_same_insurance() -> None:
    """Invariant 5: another process that reads the journal knows the same, byte for byte."""
    async with open_office() as office:
        bound = await office.cover()
        for claimed in (950_000, 60_000):
            await office.desk.verify_claim(await office.claim(bound.policy_id, claimed, await office.fail()))
        await office.desk.verify_claim(await office.claim(bound.policy_id, 60_000, "nothing"))
        other = House(office.journal, office.clock, office.entropy, agent_id="house")
        await other.open()
        assert encode(other.state) == encode(office.house.state)
