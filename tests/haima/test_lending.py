"""Credit lines: the state machine, the money, the clock (haima.md §1.7, §7 haima-core/lending.rs; W17, W18, W25 to W29)."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from life.aios.errors import InvalidInputError
from life.aios.ports.journal import EventQuery
from life.aios.record import AGENT
from life.haima.accounts import wallet_of
from life.haima.errors import (
    CreditLineStateError,
    CreditRefusedError,
    EvidenceInvalidError,
    EvidenceUsedError,
    IdempotencyConflictError,
    InsufficientBalanceError,
    InsufficientCreditError,
    NoCreditLineError,
)
from life.haima.events.accounts import CommandDone, LedgerPosted
from life.haima.events.credit import (
    CreditAssessed,
    CreditDrawn,
    CreditLineOpened,
    CreditLineStatusChanged,
    CreditPaymentMissed,
    CreditRefused,
    CreditRepaid,
    CreditStatementIssued,
    CreditStatementSettled,
    InterestAccrued,
)
from life.haima.house import Key
from life.haima.house_state import decode, encode
from life.haima.lending import LendingTerms
from life.haima.lending_state import Line
from life.haima.lending_work import INCOME, LENDER, RECEIVABLE, debt_of, debts_hold
from life.testing.clock import ManualClock
from tests.haima.credit_kit import DAY_US, LENDER_ADDRESS, Bank, address, earned, fresh, key, mode, open_bank, paid
from tests.haima.faulty_journal import CrashError, FaultyJournal
from tests.haima.house_kit import OUTSIDE, fund, house_events, moving, replayed

A = "agent-a"


async def with_line(*, premium: bool = True) -> Bank:
    """A lender, and an agent with an open line."""
    bank = await open_bank()
    await bank.good(A, premium=premium)
    opened = await bank.desk.open(A, fresh())
    assert opened.answer.status == "opened"
    return bank


def line(bank: Bank) -> Line:
    found = bank.house.state.lending.line(A)
    assert found is not None
    return found


async def check_books(bank: Bank) -> None:
    """The journal gives the live state; debts and lines agree; money is neither made nor lost."""
    state = await bank.house.catch_up()
    assert encode(state) == await replayed(bank.journal)
    assert encode(decode(encode(state))) == encode(state)
    assert debts_hold(state.lending, state.accounts)
    assert sum(state.accounts.balances.values()) == 0


async def kinds(bank: Bank) -> list[type]:
    return [type(event) for event in await house_events(bank.journal)]


# ---- opening (W25, W27)


@pytest.mark.parametrize(
    ("premium", "limit", "bps", "tier"), [(True, 10_000_000, 500, "premium"), (False, 100_000, 1_000, "standard")]
)
async def test_a_line_opens_with_the_limit_and_rate_of_its_tier(premium: bool, limit: int, bps: int, tier: str) -> None:
    """W25: the score comes from the journal alone, and is stored with what it decided."""
    bank = await with_line(premium=premium)
    opened = line(bank)
    assert (opened.tier, opened.limit_micro_usd, opened.interest_rate_bps) == (tier, limit, bps)
    assert (opened.status, opened.principal_micro_usd, opened.available_micro_usd) == ("active", 0, limit)
    credit = [kind for kind in await kinds(bank) if kind not in (LedgerPosted, CommandDone)]
    assert credit == [CreditAssessed, CreditLineOpened]
    await check_books(bank)


async def test_an_agent_without_a_score_gets_no_line() -> None:
    """Refused with a stable code, and the refusal is an event."""
    bank = await open_bank()
    with pytest.raises(CreditRefusedError) as refused:
        await bank.desk.open("nobody", fresh())
    assert (refused.value.code, refused.value.status) == ("haima.insufficient_credit_score", 422)
    assert CreditRefused in await kinds(bank)
    assert bank.house.state.lending.lines == {}


async def test_a_second_opening_finds_the_first() -> None:
    """W27: a hundred openings at once, from two processes, make one line and wipe nothing."""
    bank = await with_line()
    await bank.desk.draw(A, 1_000, fresh())
    other = await open_bank(journal=FaultyJournal(bank.journal.inner), clock=bank.clock, seed="o", capital_micro=0)
    answers = await asyncio.gather(*(which.desk.open(A, fresh()) for which in [bank, other] * 50))
    assert {one.answer.status for one in answers} == {"exists"}
    assert {one.answer.credit_line.drawn_micro_usd for one in answers} == {1_000}
    await check_books(bank)


async def test_openings_that_race_make_one_line() -> None:
    """W27: none is there yet; two processes open at the same time."""
    bank = await open_bank()
    await bank.good(A)
    other = await open_bank(journal=FaultyJournal(bank.journal.inner), clock=bank.clock, seed="o", capital_micro=0)
    answers = await asyncio.gather(*(which.desk.open(A, fresh()) for which in [bank, other] * 10))
    assert sorted(one.answer.status for one in answers) == ["exists"] * 19 + ["opened"]
    assert len({one.answer.credit_line.line_id for one in answers}) == 1


async def test_a_smaller_limit_may_be_wanted_and_a_larger_one_not() -> None:
    """Within the tier's own."""
    bank = await open_bank()
    await bank.good(A)
    with pytest.raises(CreditRefusedError) as refused:
        await bank.desk.open(A, fresh(), limit_micro=10_000_001)
    assert refused.value.reason == "limit_above_tier"
    opened = await bank.desk.open(A, fresh(), limit_micro=5_000)
    assert opened.answer.credit_line.limit_micro_usd == 5_000
    await bank.desk.draw(A, 3_000, fresh())
    with pytest.raises(CreditRefusedError) as below:
        await bank.desk.modify(A, fresh(), limit_micro=2_999)
    assert below.value.reason == "limit_below_drawn"
    assert (await bank.desk.modify(A, fresh(), limit_micro=3_000)).answer.credit_line.limit_micro_usd == 3_000
    assert (await bank.desk.modify(A, fresh())).answer.credit_line.limit_micro_usd == 10_000_000


# ---- draws


async def test_draws_within_exactly_and_over_the_limit() -> None:
    """The principal is the sum; the next micro-credit too many is refused and draws nothing."""
    bank = await with_line(premium=False)
    first = await bank.desk.draw(A, 40_000, fresh())
    assert (first.answer.approved, first.answer.new_balance, first.answer.available) == (True, 40_000, 60_000)
    exact = await bank.desk.draw(A, 60_000, fresh())
    assert (exact.answer.new_balance, exact.answer.available) == (100_000, 0)
    with pytest.raises(InsufficientCreditError) as refused:
        await bank.desk.draw(A, 1, fresh())
    assert (refused.value.code, refused.value.status) == ("haima.insufficient_credit", 402)
    assert line(bank).principal_micro_usd == 100_000
    accounts = bank.house.state.accounts
    assert accounts.balance(wallet_of(A)) == 100_000
    assert accounts.balance(LENDER) == 100_000_000 - 100_000
    assert accounts.balance(debt_of(A)) == -accounts.balance(RECEIVABLE) == -100_000
    await check_books(bank)


async def test_a_draw_of_nothing_is_approved_and_does_nothing() -> None:
    """haima.md §1.7."""
    bank = await with_line()
    drawn = await bank.desk.draw(A, 0, fresh())
    assert (drawn.answer.approved, drawn.answer.drawn_amount) == (True, 0)
    assert CreditDrawn not in await kinds(bank)


@pytest.mark.parametrize("amount", [-1, 10**15 + 1, 2**63])
async def test_an_amount_must_be_one(amount: int) -> None:
    """Negative and impossible amounts never reach a rule."""
    bank = await with_line()
    with pytest.raises(InvalidInputError):
        await bank.desk.draw(A, amount, fresh())
    with pytest.raises(InvalidInputError):
        await bank.desk.repay(A, amount, fresh())


async def test_nobody_draws_without_a_line_or_on_a_frozen_one() -> None:
    """Refused, each with its own code, and each an event."""
    bank = await open_bank()
    await bank.good(A)
    with pytest.raises(NoCreditLineError):
        await bank.desk.draw(A, 1, fresh())
    await bank.desk.open(A, fresh())
    await bank.desk.freeze(A, fresh())
    with pytest.raises(CreditLineStateError) as refused:
        await bank.desk.draw(A, 1, fresh())
    assert (refused.value.code, refused.value.line_status) == ("haima.credit_line_state", "frozen")
    refusals = [event.code for event in await house_events(bank.journal) if isinstance(event, CreditRefused)]
    assert refusals == ["haima.no_credit_line", "haima.credit_line_state"]


async def test_a_lender_without_money_lends_none() -> None:
    """Lending makes no money (invariant 4)."""
    bank = await open_bank(capital_micro=500)
    await bank.good(A)
    await bank.desk.open(A, fresh())
    with pytest.raises(CreditRefusedError) as refused:
        await bank.desk.draw(A, 501, fresh())
    assert refused.value.reason == "lender_out_of_funds"
    await bank.desk.draw(A, 500, fresh())
    await check_books(bank)


async def test_the_same_draw_twice_is_one_draw() -> None:
    """The key decides; another amount under it is a conflict."""
    bank = await with_line()
    first = await bank.desk.draw(A, 100, key("d"))
    again = await bank.desk.draw(A, 100, key("d"))
    assert (again.answer, again.repeated) == (first.answer, True)
    with pytest.raises(IdempotencyConflictError):
        await bank.desk.draw(A, 200, Key("test", "d", b"another"))
    assert line(bank).principal_micro_usd == 100


async def test_sixty_four_draws_at_once_never_exceed_the_limit() -> None:
    """Two processes and 64 tasks on a limit of 100,000."""
    bank = await with_line(premium=False)
    other = await open_bank(journal=FaultyJournal(bank.journal.inner), clock=bank.clock, seed="o", capital_micro=0)
    outcomes = await asyncio.gather(
        *(which.desk.draw(A, 7_000, fresh()) for which in [bank, other] * 32), return_exceptions=True
    )
    assert sum(not isinstance(one, BaseException) for one in outcomes) == 14
    assert {type(one) for one in outcomes if isinstance(one, BaseException)} == {InsufficientCreditError}
    await check_books(bank)
    assert line(bank).principal_micro_usd == 98_000


# ---- repayment (W26)


async def test_interest_is_paid_first_then_principal_and_the_surplus_stays() -> None:
    """Partial, exact and over; every micro-credit lands where it belongs."""
    bank = await with_line(premium=False)
    await bank.desk.draw(A, 100_000, fresh())
    await fund(bank.house, wallet_of(A), 50_000)
    await bank.later(30, tick=False)
    part = (await bank.desk.repay(A, 1_000, fresh())).answer
    assert (part.interest_portion, part.principal_portion, part.remaining_balance) == (821, 179, 99_821)
    whole = (await bank.desk.repay(A, 120_000, fresh())).answer
    assert (whole.amount_micro_usd, whole.interest_portion, whole.remaining_balance) == (99_821, 0, 0)
    accounts = bank.house.state.accounts
    assert accounts.balance(wallet_of(A)) == 150_000 - 100_821
    assert accounts.balance(INCOME) == 821
    assert accounts.balance(LENDER) == 100_000_000
    assert accounts.balance(debt_of(A)) == 0
    await check_books(bank)


async def test_repaying_needs_money() -> None:
    """W26: a bare number repays nothing; what was drawn and spent must come from somewhere."""
    bank = await with_line()
    await bank.desk.draw(A, 1_000, fresh())
    await bank.house.decide(moving(wallet_of(A), OUTSIDE, 900))
    with pytest.raises(InsufficientBalanceError):
        await bank.desk.repay(A, 1_000, fresh())
    refusals = [event.code for event in await house_events(bank.journal) if isinstance(event, CreditRefused)]
    assert refusals == ["haima.insufficient_balance"]
    assert (await bank.desk.repay(A, 100, fresh())).answer.remaining_balance == 900
    await check_books(bank)


async def test_a_settled_payment_repays_once() -> None:
    """Evidence from the journal: to the lender's address, from the agent's own wallet, counted once for ever, also when two
    processes bring it at the same time. What is left over is the agent's."""
    bank = await with_line()
    await bank.desk.draw(A, 1_000, fresh())
    payment = earned("lender", address(A), 1_500, bank.clock.now_us(), payee=LENDER_ADDRESS, payment_id="pay-1")
    await bank.journal.append([payment])
    other = await open_bank(journal=FaultyJournal(bank.journal.inner), clock=bank.clock, seed="o", capital_micro=0)
    outcomes = await asyncio.gather(
        *(which.desk.repay_with_payment(A, payment.event_id, fresh()) for which in [bank, other] * 4),
        return_exceptions=True,
    )
    done = [one for one in outcomes if not isinstance(one, BaseException)]
    assert {type(one) for one in outcomes if isinstance(one, BaseException)} == {EvidenceUsedError}
    assert [one.answer.amount_micro_usd for one in done] == [1_000]
    await check_books(bank)
    accounts = bank.house.state.accounts
    assert accounts.balance(wallet_of(A)) == 1_500
    assert accounts.balance("external:network:eip155:4020402") == -1_500
    # the very same payment, booked a second time under another event id, is the same payment
    copy = earned("lender", address(A), 1_500, bank.clock.now_us(), payee=LENDER_ADDRESS, payment_id="pay-1")
    await bank.journal.append([copy])
    with pytest.raises(EvidenceUsedError):
        await bank.desk.repay_with_payment(A, copy.event_id, fresh())


@pytest.mark.parametrize("lie", ["unknown", "other_payee", "other_payer", "not_a_payment", "nothing", "by_the_agent"])
async def test_evidence_that_shows_something_else_is_refused(lie: str) -> None:
    """W26: events that do not exist, somebody else's payments, payments to others, the agent's own words."""
    bank = await with_line()
    await bank.desk.draw(A, 1_000, fresh())
    now = bank.clock.now_us()
    event = earned(
        "lender",
        address("stranger" if lie == "other_payer" else A),
        0 if lie == "nothing" else 1_000,
        now,
        payee=address("shop") if lie == "other_payee" else LENDER_ADDRESS,
        payment_id="p",
    )
    if lie == "not_a_payment":
        event = paid(A, LENDER_ADDRESS, 1_000, now)
    if lie == "by_the_agent":
        event = msgspec.structs.replace(event, actor=AGENT)
    await bank.journal.append([event])
    with pytest.raises(EvidenceInvalidError):
        await bank.desk.repay_with_payment(A, "nothing-here" if lie == "unknown" else event.event_id, fresh())
    assert line(bank).principal_micro_usd == 1_000
    refusals = [event.code for event in await house_events(bank.journal) if isinstance(event, CreditRefused)]
    assert refusals == ["haima.evidence_invalid"]


async def test_every_refusal_is_an_event() -> None:
    """Invariant 10: whatever is asked of a line that is not there."""
    bank = await open_bank()
    await bank.good(A)
    asked = [bank.desk.modify(A, fresh()), bank.desk.freeze(A, fresh()), bank.desk.unfreeze(A, fresh())]
    asked += [bank.desk.close(A, fresh())]
    for work in asked:
        with pytest.raises(NoCreditLineError):
            await work
    with pytest.raises(NoCreditLineError):
        await bank.desk.repay(A, 1, fresh())
    refused = [event.operation for event in await house_events(bank.journal) if isinstance(event, CreditRefused)]
    assert refused == ["modify", "freeze", "unfreeze", "close", "repay"]


async def test_repaying_nothing_owed_takes_nothing() -> None:
    """The surplus is not touched."""
    bank = await with_line()
    await fund(bank.house, wallet_of(A), 10)
    record = (await bank.desk.repay(A, 10, fresh())).answer
    assert (record.amount_micro_usd, record.remaining_balance) == (0, 0)
    assert bank.house.state.accounts.balance(wallet_of(A)) == 10
    assert CreditRepaid not in await kinds(bank)


# ---- freeze, unfreeze, close


async def test_freeze_and_unfreeze() -> None:
    """Idempotent, refused where the table has no arrow; a frozen line can be repaid."""
    bank = await with_line()
    await bank.desk.draw(A, 1_000, fresh())
    with pytest.raises(CreditLineStateError):
        await bank.desk.unfreeze(A, fresh())
    assert (await bank.desk.freeze(A, fresh())).answer.status == "frozen"
    assert (await bank.desk.freeze(A, fresh())).answer.status == "unchanged"
    assert (await bank.desk.repay(A, 100, fresh())).answer.remaining_balance == 900
    assert line(bank).status == "frozen"
    assert (await bank.desk.unfreeze(A, fresh())).answer.credit_line.status == "active"


async def test_a_line_closes_when_nothing_is_owed_and_can_be_opened_again() -> None:
    """Principal and interest both zero; a closed line gives nothing, and does not block another one."""
    bank = await with_line()
    await bank.desk.draw(A, 1_000_000, fresh())
    with pytest.raises(CreditLineStateError):
        await bank.desk.close(A, fresh())
    await bank.later(1, tick=False)
    await fund(bank.house, wallet_of(A), 1_000)
    await bank.desk.repay(A, 1_000_000, fresh())
    with pytest.raises(CreditLineStateError):  # the interest came first, so some principal is left
        await bank.desk.close(A, fresh())
    await bank.desk.repay(A, 1_000, fresh())
    closed = (await bank.desk.close(A, fresh())).answer
    assert (closed.status, closed.credit_line.available_micro_usd) == ("closed", 0)
    assert (await bank.desk.close(A, fresh())).answer.status == "unchanged"
    for work in (bank.desk.freeze(A, fresh()), bank.desk.draw(A, 1, fresh()), bank.desk.modify(A, fresh())):
        with pytest.raises(CreditLineStateError):
            await work
    again = (await bank.desk.open(A, fresh())).answer
    assert again.status == "opened"
    assert again.credit_line.line_id != closed.credit_line.line_id
    await check_books(bank)


async def test_interest_takes_room() -> None:
    """Defect (b): what is charged counts against the limit."""
    bank = await with_line(premium=False)
    await bank.desk.draw(A, 99_000, fresh())
    await bank.later(30, tick=False)
    with pytest.raises(InsufficientCreditError):
        await bank.desk.draw(A, 1_000, fresh())
    await bank.desk.draw(A, 100, fresh())


# ---- the clock (W29)


async def test_the_score_moves_the_limit_but_never_below_what_is_drawn() -> None:
    """Defect (c): a lower score lowers, a higher one raises again."""
    bank = await with_line()
    await bank.desk.draw(A, 400_000, fresh())
    await bank.trust(A, 0.1)
    await bank.time.run()
    lower = line(bank)
    assert (lower.tier, lower.limit_micro_usd, lower.interest_rate_bps) == ("standard", 400_000, 1_000)
    assert lower.available_micro_usd == 0
    await bank.trust(A, 0.95)
    await bank.time.run()
    assert (line(bank).tier, line(bank).limit_micro_usd) == ("premium", 10_000_000)
    await check_books(bank)


async def test_a_new_rate_holds_from_its_own_day_on() -> None:
    """Half a year at 5 %, half a year at 10 %: each time at its own rate, whenever the clock looked."""
    bank = await with_line()
    await bank.desk.draw(A, 100_000, fresh())
    await bank.later(182.625, tick=False)
    await bank.trust(A, 0.1)
    await bank.journal.append([mode(A, "hustle", bank.clock.now_us() - 30 * DAY_US)])
    await bank.desk.modify(A, fresh())
    assert line(bank).interest_rate_bps == 1_000
    assert line(bank).interest_micro_usd == 2_500
    await bank.later(182.625, tick=False)
    await bank.desk.repay(A, 1, fresh())
    assert line(bank).interest_micro_usd == 2_500 + 5_000 - 1


async def test_falling_trust_freezes_and_rising_trust_lets_unfreeze() -> None:
    """Automatic, with its reason; unfreezing is refused as long as it lasts."""
    bank = await with_line()
    await bank.trust(A, 0.9, "degrading")
    await bank.time.run()
    assert (line(bank).status, line(bank).status_reason) == ("frozen", "trust_degrading")
    with pytest.raises(CreditLineStateError):
        await bank.desk.unfreeze(A, fresh())
    await bank.trust(A, 0.9, "stable")
    assert (await bank.desk.unfreeze(A, fresh())).answer.status == "unfrozen"


async def test_falling_trust_stops_a_draw_at_once() -> None:
    """No clock needs to have looked in between: a draw is decided by the score of now."""
    bank = await with_line()
    await bank.trust(A, 0.9, "degrading")
    with pytest.raises(CreditLineStateError):
        await bank.desk.draw(A, 1, fresh())
    assert line(bank).status == "frozen"


async def test_losing_the_tier_freezes() -> None:
    """Stale trust and lost modes: tier none."""
    bank = await open_bank()
    now = bank.clock.now_us()
    await bank.journal.append([paid(A, address("x"), 10, now)])
    await bank.trust(A, 0.9)
    await bank.desk.open(A, fresh())
    assert line(bank).tier in ("micro", "standard")
    await bank.later(31)
    assert (line(bank).status, line(bank).status_reason) == ("frozen", "tier_loss")


async def test_a_statement_cycle_that_is_paid() -> None:
    """Statement, due date, minimum, and paid within grace: on time."""
    bank = await with_line(premium=False)
    await bank.desk.draw(A, 100_000, fresh())
    await fund(bank.house, wallet_of(A), 10_000)
    await bank.later(29)
    assert line(bank).statement is None
    await bank.later(1)
    issued = line(bank).statement
    assert issued is not None
    assert (issued.balance_micro_usd, issued.minimum_micro_usd) == (100_821, 821 + 5_000)
    assert issued.due_at_us == bank.clock.now_us() + 15 * DAY_US
    assert issued.late_at_us == issued.due_at_us + 3 * DAY_US
    await bank.later(17.9)
    await bank.desk.repay(A, 5_000, fresh())
    assert line(bank).statement is not None
    await bank.desk.repay(A, 821, fresh())
    assert line(bank).statement is None
    settled = [event for event in await house_events(bank.journal) if isinstance(event, CreditStatementSettled)]
    assert [event.on_time for event in settled] == [True]
    await bank.later(1)
    assert line(bank).status == "active"
    assert (await bank.desk.assess(A)).factors.payment_history_ppm == round(6 / 7 * 1_000_000)
    await check_books(bank)


async def test_a_missed_payment_freezes_then_defaults_and_stays_due() -> None:
    """W29: nobody has to press a button; the bureau's default window begins; the debt goes on."""
    bank = await with_line(premium=False)
    await bank.desk.draw(A, 100_000, fresh())
    await bank.later(30)
    await bank.later(18.001)
    assert (line(bank).status, line(bank).status_reason) == ("frozen", "missed_payment")
    with pytest.raises(CreditLineStateError):
        await bank.desk.unfreeze(A, fresh())
    await bank.later(29)
    assert line(bank).status == "frozen"
    await bank.later(1.1)
    assert line(bank).status == "defaulted"
    conduct = (await bank.desk.read()).book.conduct(A)
    assert (conduct.defaults, conduct.missed) == (1, 1)
    before = line(bank).owed_micro_usd
    await bank.later(10)
    assert line(bank).owed_micro_usd > before
    with pytest.raises(CreditLineStateError):
        await bank.desk.freeze(A, fresh())
    await fund(bank.house, wallet_of(A), 50_000)
    await bank.desk.repay(A, 150_000, fresh())
    assert line(bank).status == "defaulted"
    assert (await bank.desk.close(A, fresh())).answer.status == "closed"
    await check_books(bank)


async def test_a_missed_payment_that_is_made_good_can_be_unfrozen() -> None:
    """Late is late in the history, but the line lives on."""
    bank = await with_line(premium=False)
    await bank.desk.draw(A, 100_000, fresh())
    await bank.later(30)
    await bank.later(19)
    await bank.desk.repay(A, 20_000, fresh())
    assert line(bank).statement is None
    assert (await bank.desk.unfreeze(A, fresh())).answer.status == "unfrozen"
    settled = [event for event in await house_events(bank.journal) if isinstance(event, CreditStatementSettled)]
    assert [event.on_time for event in settled] == [False]
    assert (await kinds(bank)).count(CreditPaymentMissed) == 1


async def test_doing_the_work_twice_does_nothing_the_second_time() -> None:
    """Idempotent at every moment of a line's life, also from another process."""
    bank = await with_line(premium=False)
    await bank.desk.draw(A, 100_000, fresh())
    other = await open_bank(journal=FaultyJournal(bank.journal.inner), clock=bank.clock, seed="o", capital_micro=0)
    for days in (0.5, 29.6, 10, 9, 20, 11, 30):
        await bank.later(days)
        count = len(await house_events(bank.journal))
        assert await bank.time.run() == 0
        assert await other.time.run() == 0
        assert len(await house_events(bank.journal)) == count


async def test_two_clocks_at_once_issue_one_statement() -> None:
    """Two processes race for the same work."""
    bank = await with_line(premium=False)
    await bank.desk.draw(A, 100_000, fresh())
    other = await open_bank(journal=FaultyJournal(bank.journal.inner), clock=bank.clock, seed="o", capital_micro=0)
    await bank.later(31, tick=False)
    await asyncio.gather(bank.time.run(), other.time.run())
    assert (await kinds(bank)).count(CreditStatementIssued) == 1
    assert (await kinds(bank)).count(InterestAccrued) == 1
    await check_books(bank)


async def test_a_clock_that_stood_still_does_not_punish() -> None:
    """Half a year without the job: one statement, due from now on, nobody is late for what was never said."""
    bank = await with_line(premium=False)
    await bank.desk.draw(A, 50_000, fresh())
    await bank.later(180)
    statement = line(bank).statement
    assert statement is not None
    assert statement.number == 1
    assert statement.due_at_us > bank.clock.now_us()
    assert line(bank).interest_micro_usd == round(50_000 * 0.1 * 180 / 365.25)


async def test_a_clock_that_jumps_back_charges_nothing_twice() -> None:
    """Interest is counted up to a moment once."""
    bank = await with_line(premium=False)
    await bank.desk.draw(A, 100_000, fresh())
    await bank.later(30)
    owed = line(bank).owed_micro_usd
    bank.clock.step_wall_us(-20 * DAY_US)
    await bank.time.run()
    await bank.desk.repay(A, 1, fresh())
    assert line(bank).owed_micro_usd == owed - 1
    bank.clock.advance_us(20 * DAY_US)
    await bank.time.run()
    assert line(bank).owed_micro_usd == owed - 1
    await check_books(bank)


def test_terms_that_can_not_be_right_are_refused() -> None:
    """Windows are positive, parts are parts."""
    for wrong in ({"cycle_us": 0}, {"grace_us": -1}, {"minimum_bps": 10_001}, {"default_window_us": 0}):
        with pytest.raises(ValueError, match="must"):
            LendingTerms(**wrong)


# ---- the facilitator's question (W17, W18)


async def test_a_limit_admits_its_amount_once_a_day() -> None:
    """W17: a limit of 100,000 does not let through endless payments of 100,000; asking again for the same payment is not
    another exposure; after a day there is room again."""
    bank = await open_bank()
    await bank.good(A, premium=False)
    assert await bank.desk.may_settle(A, 60_000, "p1")
    assert await bank.desk.may_settle(A, 60_000, "p1")
    assert not await bank.desk.may_settle(A, 60_000, "p2")
    assert await bank.desk.may_settle(A, 40_000, "p3")
    assert (await bank.desk.check(A, 1)).approved is False
    bank.clock.advance_us((24 * 60 + 1) * 60_000_000)
    assert await bank.desk.may_settle(A, 60_000, "p2")


async def test_check_and_settlement_have_one_rule_for_unknown_agents() -> None:
    """W18: both refuse; what is owed counts in both; a frozen line gives nothing."""
    bank = await open_bank()
    assert not await bank.desk.may_settle("nobody", 1, "p")
    assert not (await bank.desk.check("nobody", 1)).approved
    assert not await bank.desk.may_settle("not an id", 1, "p")
    await bank.good(A, premium=False)
    await bank.desk.open(A, fresh())
    await bank.desk.draw(A, 90_000, fresh())
    assert (await bank.desk.check(A, 10_001)).remaining_limit == 10_000
    assert not await bank.desk.may_settle(A, 10_001, "p")
    assert await bank.desk.may_settle(A, 10_000, "p")
    await bank.desk.freeze(A, fresh())
    assert not (await bank.desk.check(A, 0)).approved


async def test_exposures_race_under_one_limit() -> None:
    """Two processes, 40 payments of 10,000 under 100,000: ten go through."""
    bank = await open_bank()
    await bank.good(A, premium=False)
    other = await open_bank(journal=FaultyJournal(bank.journal.inner), clock=bank.clock, seed="o", capital_micro=0)
    may = await asyncio.gather(
        *([bank, other][number % 2].desk.may_settle(A, 10_000, f"p{number}") for number in range(40))
    )
    assert sum(may) == 10


# ---- crashes


@pytest.mark.parametrize("point", range(7))
@pytest.mark.parametrize("when", ["crash_before", "crash_after"])
async def test_a_crash_anywhere_in_a_lines_life_changes_nothing(point: int, when: str) -> None:
    """Every command repeated with its key after a crash at any write gives the life that no crash gives."""

    async def live(bank: Bank) -> None:
        await bank.desk.open(A, key("open"))
        await bank.desk.draw(A, 70_000, key("draw"))
        await bank.desk.draw(A, 20_000, key("draw-2"))
        await bank.desk.repay(A, 5_000, key("repay"))
        await bank.desk.freeze(A, key("freeze"))
        await bank.desk.unfreeze(A, key("unfreeze"))
        await bank.time.run()

    clock = ManualClock()
    bank = await open_bank(clock=clock)
    await bank.good(A, premium=False)
    bank.journal.faults = [*["none"] * point, when]  # type: ignore[list-item]
    try:
        await live(bank)
    except CrashError:
        pass
    survivor = await open_bank(journal=FaultyJournal(bank.journal.inner), clock=clock, seed="next", capital_micro=0)
    await live(survivor)
    await check_books(survivor)
    survived = line(survivor)
    assert (survived.principal_micro_usd, survived.status) == (85_000, "active")
    assert survivor.house.state.accounts.balance(wallet_of(A)) == 85_000
    kinds_ = await kinds(survivor)
    assert (kinds_.count(CreditDrawn), kinds_.count(CreditRepaid), kinds_.count(CreditLineStatusChanged)) == (2, 1, 2)


async def test_every_posting_of_a_long_life_balances() -> None:
    """Read back from the journal, entry by entry."""
    bank = await with_line(premium=False)
    await bank.desk.draw(A, 100_000, fresh())
    for _ in range(5):
        await bank.later(30)
        await bank.desk.repay(A, 9_000, fresh())
    postings = [event for event in await house_events(bank.journal) if isinstance(event, LedgerPosted)]
    assert len(postings) > 8
    assert all(sum(entry.amount_micro for entry in posting.entries) == 0 for posting in postings)
    assert len(await bank.journal.read(EventQuery(), limit=10_000)) > 20
    await check_books(bank)
