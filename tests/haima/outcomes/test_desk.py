"""Taking, judging and paying for work: HM-OUTCOME and HM-BILL, and the attacks of haima.md §8.4 (W31 to W37)."""

from __future__ import annotations

import asyncio

import pytest

from life.aios.errors import ConflictError, InvalidInputError, NotFoundError
from life.haima.accounts import account
from life.haima.errors import (
    InsufficientBalanceError,
    QuoteExpiredError,
    RoleRefusedError,
    TrustTooLowError,
)
from life.haima.events.tasks import Criterion, RefundTerms
from life.haima.house import House
from life.haima.house_state import encode
from life.haima.outcomes.answers import Subject
from life.haima.outcomes.verifiers import Found
from tests.haima.outcomes.kit import AGENT, ARBITER, CUSTOMER, REVIEWER, contract, open_workshop

UNIT = Criterion(type="tests_passed", scope="unit")
LINT = Criterion(type="custom", description="clean", approver="customer")
S = 1_000_000


async def test_work_that_succeeds_is_paid_out_of_what_was_put_aside() -> None:
    """The customer pays at acceptance, the agent gets it when every criterion holds, and the bill is paid."""
    async with open_workshop() as shop:
        taken = await shop.accept(complexity="standard")
        assert taken.price_micro_credits == 2_690_000
        assert shop.wallet(CUSTOMER) == 10_000_000 - 2_690_000
        await shop.deliver()
        await shop.desk.judge("task-1", 1, REVIEWER, passed=True)
        decision = await shop.decide()
        assert (decision.status, decision.outcome, decision.price_micro_credits) == ("paid", "success", 2_690_000)
        assert shop.wallet(AGENT) == 2_690_000
        assert [bill.status for bill in shop.desk.room.bills.values()] == ["paid"]
        assert shop.desk.room.open_tasks == {}


async def test_a_task_is_decided_when_all_have_spoken_and_not_before() -> None:
    """W33, W34: a criterion without a word leaves the task open; a verifier that can't say is asked again."""
    async with open_workshop() as shop:
        await shop.accept()
        await shop.deliver()
        assert (await shop.desk.verify("task-1")).awaiting == (0, 1)
        assert (await shop.decide()).awaiting == (1,)
        assert (await shop.desk.judge("task-1", 1, REVIEWER, passed=True)).awaiting == ()
        assert (await shop.desk.verify("task-1")).status == "paid"


async def test_a_partial_success_is_paid_in_part() -> None:
    """W37: one of two criteria earns half; the other half goes back."""
    async with open_workshop(contract(UNIT, LINT)) as shop:
        await shop.accept(contract_id="other")
        await shop.deliver()
        await shop.desk.judge("task-1", 1, CUSTOMER, passed=False, details="not clean")
        decision = await shop.decide()
        assert (decision.outcome, decision.price_micro_credits, decision.refund_micro_credits) == (
            "partial_success",
            500_000,
            500_000,
        )
        assert (shop.wallet(AGENT), shop.wallet(CUSTOMER)) == (500_000, 9_500_000)


async def test_work_that_fails_goes_back_by_the_contract() -> None:
    """With auto_refund by its percentage, the rest to the agent; without it the money waits for a decision."""
    half = contract(refund=RefundTerms(refund_percentage=50), contract_id="half")
    waits = contract(refund=RefundTerms(auto_refund=False), contract_id="waits")
    async with open_workshop(half, waits) as shop:
        await shop.accept("t1", "half")
        await shop.deliver("t1")
        assert (await shop.decide("t1", passed=False)).status == "refunded"
        assert (shop.wallet(AGENT), shop.wallet(CUSTOMER)) == (500_000, 9_500_000)
        await shop.accept("t2", "waits")
        await shop.deliver("t2")
        assert (await shop.decide("t2", passed=False)).status == "verified"
        assert shop.balance(account("escrow", "task", "t2")) == 1_000_000
        refunded = await shop.desk.refund("t2", ARBITER, reason="it failed", key=shop.key())
        assert refunded.refund_micro_credits == 1_000_000
        assert shop.balance(account("escrow", "task", "t2")) == 0


async def test_only_those_who_are_named_may_act() -> None:
    """W31: agent, customer, approver and arbiter each do their own part; nobody judges their own work."""
    async with open_workshop(contract(UNIT, LINT)) as shop:
        await shop.accept(contract_id="other")
        stranger = Subject("stranger")
        with pytest.raises(RoleRefusedError):
            await shop.desk.submit("task-1", stranger, "mine", key=shop.key())
        await shop.deliver()
        for nobody in (stranger, AGENT, Subject(AGENT.id, frozenset({"customer-1"}))):
            with pytest.raises(RoleRefusedError):
                await shop.desk.judge("task-1", 1, nobody, passed=True)
        with pytest.raises(InvalidInputError):
            await shop.desk.judge("task-1", 0, CUSTOMER, passed=True)
        with pytest.raises(RoleRefusedError):
            await shop.desk.dispute("task-1", AGENT, "no")
        with pytest.raises(RoleRefusedError):
            await shop.desk.refund("task-1", CUSTOMER, reason="I want it back", key=shop.key())
        await shop.desk.dispute("task-1", CUSTOMER, "not what I asked for")
        with pytest.raises(RoleRefusedError):
            await shop.desk.resolve_dispute("task-1", CUSTOMER, to_agent_micro=0, reason="mine")


async def test_everything_happens_once() -> None:
    """W32: accepting, delivering, judging, verifying and refunding again changes nothing or is refused."""
    async with open_workshop(contract(LINT)) as shop:
        await shop.accept(contract_id="other")
        with pytest.raises(ConflictError):
            await shop.accept(contract_id="other")
        await shop.deliver()
        with pytest.raises(ConflictError):
            await shop.deliver()
        await shop.desk.judge("task-1", 0, CUSTOMER, passed=True)
        await shop.desk.judge("task-1", 0, CUSTOMER, passed=False)
        decisions = await asyncio.gather(*(shop.desk.verify("task-1") for _ in range(8)))
        assert {decision.status for decision in decisions} == {"paid"}
        assert shop.wallet(AGENT) == 1_000_000
        await shop.desk.refund("task-1", AGENT, reason="a present", key=shop.key())
        assert (shop.wallet(AGENT), shop.wallet(CUSTOMER)) == (0, 10_000_000)
        with pytest.raises(ConflictError):
            await shop.desk.refund("task-1", AGENT, reason="again", key=shop.key())
        assert shop.desk.room.refunds_micro_credits == 1_000_000


async def test_a_refund_never_exceeds_what_was_received() -> None:
    """W35: nothing came in, nothing goes back."""
    async with open_workshop(contract(LINT)) as shop:
        await shop.accept(contract_id="other", escrow=False)
        await shop.deliver()
        await shop.desk.judge("task-1", 0, CUSTOMER, passed=True)
        assert (await shop.desk.verify("task-1")).status == "billed"
        with pytest.raises(ConflictError):
            await shop.desk.refund("task-1", AGENT, reason="none", key=shop.key())


async def test_late_work_times_out_and_delivered_work_does_not() -> None:
    """W35: past deadline and grace the price is zero and the money goes back; who delivered in time waits for the judges."""
    async with open_workshop(contract(LINT)) as shop:
        await shop.accept("late", "other")
        await shop.accept("done", "other")
        await shop.deliver("done")
        shop.clock.advance_us((3600 + 300) * S)
        assert (await shop.desk.expire_overdue()).task_ids == ()
        shop.clock.advance_us(S)
        assert (await shop.desk.expire_overdue()).task_ids == ("late",)
        assert (await shop.desk.expire_overdue()).task_ids == ()
        assert shop.desk.room.tasks["late"].outcome == "timeout"
        assert shop.wallet(CUSTOMER) == 9_000_000
        with pytest.raises(ConflictError):
            await shop.deliver("late")
        await shop.desk.judge("done", 0, CUSTOMER, passed=True)
        assert (await shop.desk.verify("done")).status == "paid"


async def test_a_delivery_and_the_sla_monitor_cannot_both_win() -> None:
    """At once, in either order: the task is delivered or timed out, and its money moves once."""
    async with open_workshop(contract(LINT)) as shop:
        for number in range(6):
            task_id = f"t{number}"
            await shop.accept(task_id, "other")
        shop.clock.advance_us(3901 * S)
        work = [shop.deliver(f"t{number}") for number in range(6)]
        outcomes = await asyncio.gather(*work[:3], shop.desk.expire_overdue(), *work[3:], return_exceptions=True)
        delivered = [task for task in shop.desk.room.tasks.values() if task.status == "submitted"]
        late = [task for task in shop.desk.room.tasks.values() if task.outcome == "timeout"]
        assert len(delivered) + len(late) == 6
        assert sum(isinstance(outcome, ConflictError) for outcome in outcomes) == len(late)
        assert shop.wallet(CUSTOMER) == 4_000_000 + 1_000_000 * len(late)


async def test_a_dispute_holds_the_money_until_an_arbiter_splits_it() -> None:
    """Within the window the customer can object; afterwards the money is released by itself."""
    async with open_workshop(contract(LINT, dispute_window_seconds=3600)) as shop:
        for task_id in ("t1", "t2"):
            await shop.accept(task_id, "other")
            await shop.deliver(task_id)
            await shop.desk.judge(task_id, 0, CUSTOMER, passed=True)
            assert (await shop.desk.verify(task_id)).status == "billed"
        await shop.desk.dispute("t1", CUSTOMER, "on second thoughts")
        shop.clock.advance_us(3600 * S)
        assert (await shop.desk.release_due()).task_ids == ("t2",)
        assert shop.wallet(AGENT) == 1_000_000
        with pytest.raises(InvalidInputError):
            await shop.desk.resolve_dispute("t1", ARBITER, to_agent_micro=1_000_001, reason="more")
        split = await shop.desk.resolve_dispute("t1", ARBITER, to_agent_micro=300_000, reason="half done")
        assert (split.status, split.refund_micro_credits) == ("paid", 700_000)
        assert (shop.wallet(AGENT), shop.wallet(CUSTOMER)) == (1_300_000, 8_700_000)
        with pytest.raises(ConflictError):
            await shop.desk.dispute("t2", CUSTOMER, "too late")


async def test_a_bill_is_paid_in_parts_and_what_is_too_much_is_seen() -> None:
    """HM-BILL: part payments are allocated, more than is owed is refused from an account and kept apart from outside."""
    async with open_workshop(contract(LINT)) as shop:
        await shop.accept(contract_id="other", escrow=False)
        await shop.deliver()
        await shop.desk.judge("task-1", 0, CUSTOMER, passed=True)
        await shop.desk.verify("task-1")
        (bill_id,) = shop.desk.room.bills
        with pytest.raises(RoleRefusedError):
            await shop.desk.pay_bill(bill_id, AGENT, 1, key=shop.key())
        with pytest.raises(InvalidInputError):
            await shop.desk.pay_bill(bill_id, CUSTOMER, 1_000_001, key=shop.key())
        part = await shop.desk.pay_bill(bill_id, CUSTOMER, 400_000, key=shop.key())
        assert (part.status, part.open_micro_credits) == ("part_paid", 600_000)
        rest = await shop.desk.allocate_payment("task-1", "payment-9", 700_000, network="eip155:84532")
        assert rest is not None
        assert (rest.status, rest.open_micro_credits, rest.overpaid_micro_credits) == ("paid", 0, 100_000)
        assert await shop.desk.allocate_payment("task-1", "payment-9", 700_000, network="eip155:84532") is None
        assert shop.wallet(AGENT) == 1_100_000
        assert shop.desk.room.tasks["task-1"].status == "paid"


async def test_a_bill_can_be_given_up_by_its_payee_only() -> None:
    """A void bill owes nothing."""
    async with open_workshop(contract(LINT)) as shop:
        await shop.accept(contract_id="other", escrow=False)
        await shop.deliver()
        await shop.desk.judge("task-1", 0, CUSTOMER, passed=True)
        await shop.desk.verify("task-1")
        (bill_id,) = shop.desk.room.bills
        with pytest.raises(RoleRefusedError):
            await shop.desk.void_bill(bill_id, CUSTOMER, reason="no")
        assert (await shop.desk.void_bill(bill_id, AGENT, reason="friends")).status == "void"
        with pytest.raises(ConflictError):
            await shop.desk.void_bill(bill_id, AGENT, reason="again")


async def test_quotes_hold_for_a_day_and_trust_is_read_when_the_task_is_taken() -> None:
    """The quoted price stands even when trust changes; too little trust is refused at any time."""
    async with open_workshop() as shop:
        quote = await shop.desk.quote("simple", AGENT.id, "critical")
        assert quote.price_micro_credits == 4_700_000
        shop.trust[AGENT.id] = 1_000_000
        taken = await shop.desk.accept("t1", "simple", AGENT.id, "critical", quote_id=quote.quote_id, key=shop.key())
        assert taken.price_micro_credits == 4_700_000
        assert shop.desk.room.tasks["t1"].trust_ppm == 1_000_000
        with pytest.raises(NotFoundError):
            await shop.desk.accept("t2", "simple", AGENT.id, "critical", quote_id=quote.quote_id, key=shop.key())
        late = await shop.desk.quote("simple", AGENT.id, "simple")
        shop.clock.advance_us(24 * 3600 * S)
        with pytest.raises(QuoteExpiredError):
            await shop.desk.accept("t2", "simple", AGENT.id, "simple", quote_id=late.quote_id, key=shop.key())
        shop.trust[AGENT.id] = 299_999
        with pytest.raises(TrustTooLowError):
            await shop.desk.quote("simple", AGENT.id, "simple")
        with pytest.raises(TrustTooLowError):
            await shop.accept("t2")


async def test_money_that_was_put_aside_is_never_asked_for_again() -> None:
    """Until the window is over the bill can't be paid a second time, over HTTP, by a payment that comes in, or be given up with
    the money left over; then it is paid once."""
    async with open_workshop(contract(LINT, dispute_window_seconds=3600)) as shop:
        await shop.accept("t", "other")
        await shop.deliver("t")
        await shop.desk.judge("t", 0, CUSTOMER, passed=True)
        assert (await shop.desk.verify("t")).status == "billed"
        bill = shop.desk.room.tasks["t"].bill_id
        assert bill is not None
        before = shop.wallet(CUSTOMER)
        with pytest.raises(ConflictError):
            await shop.desk.pay_bill(bill, CUSTOMER, 1_000_000, key=shop.key())
        with pytest.raises(ConflictError):
            await shop.desk.void_bill(bill, AGENT, reason="never mind")
        assert await shop.desk.allocate_payment("t", "payment-1", 1_000_000, network="eip155:8453") is None
        shop.clock.advance_us(3600 * S)
        assert (await shop.desk.release_due()).task_ids == ("t",)
        assert (shop.wallet(CUSTOMER), shop.wallet(AGENT)) == (before, 1_000_000)
        assert shop.balance(account("escrow", "task", "t")) == 0
        assert (await shop.desk.release_due()).task_ids == ()


async def test_an_escrow_needs_money_and_a_customer() -> None:
    """Nothing is taken on without it."""
    async with open_workshop(funds_micro=0) as shop:
        with pytest.raises(InsufficientBalanceError):
            await shop.accept()
        with pytest.raises(InvalidInputError):
            await shop.desk.accept("t", "simple", AGENT.id, "simple", escrow=True, key=shop.key())
        with pytest.raises(InvalidInputError):
            await shop.accept(customer=AGENT)
        with pytest.raises(NotFoundError):
            await shop.accept(contract_id="unknown")
        assert shop.desk.room.tasks == {}


async def test_a_contract_never_changes() -> None:
    """The same one again is fine, another one under its id is not."""
    async with open_workshop(contract(UNIT)) as shop:
        await shop.desk.register(contract(UNIT))
        with pytest.raises(ConflictError):
            await shop.desk.register(contract(LINT))


async def test_a_verdict_that_comes_while_another_decides_changes_nothing() -> None:
    """A verifier that answers after the task timed out finds it decided."""
    async with open_workshop(contract(UNIT)) as shop:
        await shop.accept(contract_id="other")
        shop.clock.advance_us(3901 * S)
        await shop.desk.expire_overdue()
        shop.tests.word = Found(True)
        assert (await shop.desk.verify("task-1")).outcome == "timeout"
        assert shop.wallet(AGENT) == 0


async def test_the_journal_alone_gives_the_same_workshop() -> None:
    """Invariant 5: another process that reads the journal knows the same, byte for byte."""
    async with open_workshop(contract(UNIT, LINT, dispute_window_seconds=60)) as shop:
        for number in range(4):
            await shop.accept(f"t{number}", "other", escrow=number % 2 == 0)
            await shop.deliver(f"t{number}")
            await shop.desk.judge(f"t{number}", 1, CUSTOMER, passed=number < 2)
            await shop.decide(f"t{number}", passed=number != 3)
        shop.clock.advance_us(60 * S)
        await shop.desk.release_due()
        other = House(shop.journal, shop.clock, shop.entropy, agent_id="house")
        await other.open()
        assert encode(other.state) == encode(shop.house.state)
        assert sum(shop.house.state.accounts.balances.values()) == 0
