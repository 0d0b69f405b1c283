"""Lending: what may be decided about a credit line, as rules of the house (haima.md §1.7, HM-LEND).

    (none), closed   open       active      the score gives a tier
    active           draw       active      not more than is available, and than the lender has
    any              repay      same        interest first, then principal; only with money: from the agent's wallet account,
                                            or by a settled payment to the lender that was not counted before
    active, frozen   freeze     frozen
    frozen           unfreeze   active      when what froze it is over
    active, frozen   default    defaulted   by the clock, a window after a missed payment
    any              close      closed      nothing is owed

Each decision first charges the interest up to now, so principal and rate only ever change at a time up to which interest is
counted. Money: a draw moves cash from the lender's account to the agent's and books the debt (`credit_line` against
`receivable`) beside it; interest raises the debt; a repayment moves cash back, interest to `interest_income`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import msgspec

from life.haima.accounts import account, wallet_of
from life.haima.credit import TERMS, Assessment
from life.haima.errors import (
    CreditLineStateError,
    CreditRefusedError,
    InsufficientBalanceError,
    InsufficientCreditError,
    NoCreditLineError,
)
from life.haima.events.accounts import Entry, LedgerPosted
from life.haima.events.credit import (
    CreditDrawn,
    CreditLineOpened,
    CreditRepaid,
    RepaymentSource,
)
from life.haima.house import Decision
from life.haima.house_state import HouseState
from life.haima.lending_state import Line
from life.haima.lending_work import (
    CAPITAL,
    DAY_US,
    INCOME,
    LENDER,
    RECEIVABLE,
    LineAnswer,
    LineWork,
    check_amount,
    debt_of,
)

Purpose = Literal["task_payment", "prepay", "overdraft"]


class LendingTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a line is opened with, for its whole life."""

    cycle_us: int = 30 * DAY_US
    """A statement is issued for every cycle that ends with something owed."""
    payment_window_us: int = 15 * DAY_US
    """From the statement to the due date."""
    grace_us: int = 3 * DAY_US
    """After the due date. Paid by then is on time."""
    default_window_us: int = 30 * DAY_US
    """After a missed payment."""
    minimum_bps: int = 500
    """Of the principal, beside all interest."""
    minimum_floor_micro_usd: int = 100

    def __post_init__(self) -> None:
        if min(self.cycle_us, self.payment_window_us, self.default_window_us, self.minimum_bps) <= 0:
            raise ValueError("Windows and the minimum must be positive.")
        if self.grace_us < 0 or self.minimum_floor_micro_usd < 0 or self.minimum_bps > 10_000:
            raise ValueError("Grace and the floor must not be negative, and the minimum is part of the whole.")


class DrawResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A draw (haima.md §1.7). `new_balance` is the principal."""

    approved: bool
    drawn_amount: int
    new_balance: int
    available: int
    interest_accrued: int
    reason: str | None = None


class RepaymentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was applied of a repayment. `remaining_balance` is the principal."""

    agent_id: str
    amount_micro_usd: int
    interest_portion: int
    principal_portion: int
    remaining_balance: int
    repaid_at_us: int


class SettledPayment(NamedTuple):
    """Money of an agent's that reached the lender outside the house, as the journal shows it."""

    evidence: str
    """The payment itself (network, token, payer, nonce or transaction), so that it counts once."""
    event_id: str
    network: str
    amount_micro: int


LineRule = Callable[[HouseState, int], Decision[LineAnswer]]


def open_line(assessed: Assessment, *, line_id: str, terms: LendingTerms, limit_micro: int | None = None) -> LineRule:
    """Open a line with the limit and the rate of the agent's tier, or with a smaller limit. One that is not closed stays
    as it is (`exists`)."""
    if limit_micro is not None:
        check_amount(limit_micro)

    def rule(state: HouseState, now_us: int) -> Decision[LineAnswer]:
        work = LineWork(state, assessed.agent_id, now_us)
        line = work.line
        if line is not None and line.status != "closed":
            return work.answer("exists")
        work.note_score(assessed)
        given = TERMS[assessed.tier]
        if given.tier == "none":
            raise work.refuse("open", _score_too_low(assessed))
        if limit_micro is not None and limit_micro > given.limit_micro_usd:
            raise work.refuse("open", _limit_too_high(limit_micro, given.limit_micro_usd), limit_micro)
        work.write(
            CreditLineOpened(
                line_id=line_id,
                agent_id=work.agent_id,
                tier=given.tier,
                limit_micro_usd=given.limit_micro_usd if limit_micro is None else limit_micro,
                interest_rate_bps=given.interest_rate_bps,
                requested_limit_micro_usd=limit_micro,
                cycle_us=terms.cycle_us,
                payment_window_us=terms.payment_window_us,
                grace_us=terms.grace_us,
                default_window_us=terms.default_window_us,
                minimum_bps=terms.minimum_bps,
                minimum_floor_micro_usd=terms.minimum_floor_micro_usd,
            )
        )
        if assessed.trust_is_degrading:
            work.freeze("trust_degrading")
        return work.answer("opened")

    return rule


def modify_line(assessed: Assessment, *, limit_micro: int | None) -> LineRule:
    """Another limit: at least what is drawn, at most what the tier gives now. None asks for all that the tier gives."""
    if limit_micro is not None:
        check_amount(limit_micro)

    def rule(state: HouseState, now_us: int) -> Decision[LineAnswer]:
        work = LineWork(state, assessed.agent_id, now_us)
        line = _line_of(work, "modify", limit_micro)
        if line.status in ("closed", "defaulted"):
            raise work.refuse("modify", CreditLineStateError(line.status, f"The line is {line.status}."), limit_micro)
        work.reassess(assessed)
        given = TERMS[assessed.tier]
        if given.tier == "none":
            raise work.refuse("modify", _score_too_low(assessed), limit_micro)
        if limit_micro is not None and limit_micro > given.limit_micro_usd:
            raise work.refuse("modify", _limit_too_high(limit_micro, given.limit_micro_usd), limit_micro)
        drawn = work.need().principal_micro_usd
        if limit_micro is not None and limit_micro < drawn:
            error = CreditRefusedError(
                "limit_below_drawn",
                f"{drawn} micro-credits are drawn; the limit can't be less.",
                details={"drawn_micro_usd": drawn, "limit_micro_usd": limit_micro},
            )
            raise work.refuse("modify", error, limit_micro)
        work.set_limit(given.tier, limit_micro, "requested")
        return work.answer("modified" if work.events else "unchanged")

    return rule


def draw(
    assessed: Assessment, amount_micro: int, *, purpose: Purpose, posting_id: str
) -> Callable[[HouseState, int], Decision[DrawResult]]:
    """Money from the lender into the agent's wallet account. Zero is approved and does nothing."""
    check_amount(amount_micro, zero=True)

    def rule(state: HouseState, now_us: int) -> Decision[DrawResult]:
        work = LineWork(state, assessed.agent_id, now_us)
        line = _line_of(work, "draw", amount_micro)
        if line.status == "active":
            work.reassess(assessed)
        if work.need().status != "active":
            status = work.need().status
            error = CreditLineStateError(status, f"The line is {status}; nothing can be drawn.")
            raise work.refuse("draw", error, amount_micro)
        if amount_micro == 0:
            return Decision(work.events, _drawn(work, 0, 0))
        interest = work.accrue()
        line = work.need()
        if amount_micro > line.available_micro_usd:
            short = InsufficientCreditError(asked_micro=amount_micro, available_micro=line.available_micro_usd)
            raise work.refuse("draw", short, amount_micro)
        if amount_micro > work.accounts.balance(LENDER):
            raise work.refuse("draw", _lender_is_out(), amount_micro)
        entries = (
            Entry(LENDER, -amount_micro),
            Entry(wallet_of(work.agent_id), amount_micro),
            Entry(debt_of(work.agent_id), -amount_micro),
            Entry(RECEIVABLE, amount_micro),
        )
        work.post(posting_id, entries, "draw")
        work.write(
            CreditDrawn(
                line_id=line.line_id,
                agent_id=work.agent_id,
                amount_micro_usd=amount_micro,
                purpose=purpose,
                posting_id=posting_id,
            )
        )
        return Decision(work.events, _drawn(work, amount_micro, interest))

    return rule


def repay(
    agent_id: str, amount_micro: int, *, posting_id: str, payment: SettledPayment | None = None
) -> Callable[[HouseState, int], Decision[RepaymentRecord]]:
    """Money back to the lender: from the agent's wallet account, or (`payment`) what arrived from outside.

    Interest is paid first, then principal. What is left over stays in the wallet account; of a payment from outside it
    goes there. InsufficientBalanceError when the wallet account holds less than what would be applied.
    """
    check_amount(amount_micro)

    def rule(state: HouseState, now_us: int) -> Decision[RepaymentRecord]:
        work = LineWork(state, agent_id, now_us)
        _line_of(work, "repay", amount_micro)
        work.accrue()
        line = work.need()
        interest = min(amount_micro, line.interest_micro_usd)
        principal = min(amount_micro - interest, line.principal_micro_usd)
        applied = interest + principal
        _post_repayment(work, posting_id, interest, principal, amount_micro, payment)
        if applied:
            source: RepaymentSource = "wallet" if payment is None else "payment"
            work.write(
                CreditRepaid(
                    line_id=line.line_id,
                    agent_id=agent_id,
                    amount_micro_usd=applied,
                    interest_portion_micro_usd=interest,
                    principal_portion_micro_usd=principal,
                    source=source,
                    posting_id=posting_id,
                    evidence=None if payment is None else payment.event_id,
                )
            )
            work.settle_statement()
        record = RepaymentRecord(
            agent_id=agent_id,
            amount_micro_usd=applied,
            interest_portion=interest,
            principal_portion=principal,
            remaining_balance=work.need().principal_micro_usd,
            repaid_at_us=now_us,
        )
        return Decision(work.events, record)

    return rule


def freeze_line(agent_id: str) -> LineRule:
    """Freeze it by hand. A frozen line stays frozen; closed and defaulted ones can't be."""

    def rule(state: HouseState, now_us: int) -> Decision[LineAnswer]:
        work = LineWork(state, agent_id, now_us)
        line = _line_of(work, "freeze")
        if line.status not in ("active", "frozen"):
            raise work.refuse("freeze", CreditLineStateError(line.status, f"The line is {line.status}."))
        return work.answer("frozen" if work.freeze("operator") else "unchanged")

    return rule


def unfreeze_line(assessed: Assessment) -> LineRule:
    """Make it active again, when what froze it is over: nothing is overdue, the score gives a tier, trust is not falling."""

    def rule(state: HouseState, now_us: int) -> Decision[LineAnswer]:
        work = LineWork(state, assessed.agent_id, now_us)
        line = _line_of(work, "unfreeze")
        if line.status != "frozen":
            raise work.refuse("unfreeze", CreditLineStateError(line.status, f"The line is {line.status}, not frozen."))
        work.reassess(assessed)
        statement = line.statement
        if statement is not None and statement.missed_at_us is not None:
            message = f"A payment is overdue: {statement.open_micro_usd} micro-credits."
            raise work.refuse("unfreeze", CreditLineStateError(line.status, message))
        if assessed.tier == "none":
            raise work.refuse("unfreeze", _score_too_low(assessed))
        if assessed.trust_is_degrading:
            raise work.refuse("unfreeze", CreditLineStateError(line.status, "The agent's trust is falling."))
        work.move("active", "operator")
        return work.answer("unfrozen")

    return rule


def close_line(agent_id: str) -> LineRule:
    """Close it for good; refused while anything is owed, the interest up to now included."""

    def rule(state: HouseState, now_us: int) -> Decision[LineAnswer]:
        work = LineWork(state, agent_id, now_us)
        line = _line_of(work, "close")
        if line.status == "closed":
            return work.answer("unchanged")
        if line.principal_micro_usd:
            work.accrue()
        if work.need().owed_micro_usd:
            message = f"{line.owed_micro_usd} micro-credits are still owed."
            raise work.refuse("close", CreditLineStateError(line.status, message))
        work.move("closed", "requested")
        return work.answer("closed")

    return rule


def seed_lender(amount_micro: int, *, posting_id: str) -> Callable[[HouseState, int], Decision[LedgerPosted]]:
    """The operator's capital, for agents to draw on."""
    check_amount(amount_micro)

    def rule(_state: HouseState, _now_us: int) -> Decision[LedgerPosted]:
        entries = (Entry(CAPITAL, -amount_micro), Entry(LENDER, amount_micro))
        posted = LedgerPosted(posting_id=posting_id, entries=entries, reason="seed", memo="capital for lending")
        return Decision([posted], posted)

    return rule


def _post_repayment(
    work: LineWork, posting_id: str, interest: int, principal: int, amount: int, payment: SettledPayment | None
) -> None:
    applied = interest + principal
    own = wallet_of(work.agent_id)
    if payment is None:
        held = work.accounts.balance(own)
        if held < applied:
            short = InsufficientBalanceError(own, needed_micro=applied, available_micro=held)
            raise work.refuse("repay", short, amount)
        taken = [Entry(own, -applied)]
    else:
        taken = [Entry(account("external", "network", payment.network), -amount), Entry(own, amount - applied)]
    entries = [
        *taken,
        Entry(INCOME, interest),
        Entry(LENDER, principal),
        Entry(debt_of(work.agent_id), applied),
        Entry(RECEIVABLE, -applied),
    ]
    work.post(posting_id, entries, "repayment")


def _line_of(work: LineWork, operation: str, amount_micro: int | None = None) -> Line:
    try:
        return work.need()
    except NoCreditLineError as error:
        raise work.refuse(operation, error, amount_micro) from None


def _drawn(work: LineWork, amount_micro: int, interest_micro: int) -> DrawResult:
    line = work.need()
    return DrawResult(
        approved=True,
        drawn_amount=amount_micro,
        new_balance=line.principal_micro_usd,
        available=line.available_micro_usd,
        interest_accrued=interest_micro,
    )


def _score_too_low(assessed: Assessment) -> CreditRefusedError:
    return CreditRefusedError(
        "insufficient_credit_score",
        "The agent's score gives no credit.",
        details={
            "score_ppm": assessed.score_ppm,
            "needed_ppm": 300_000,
            "missing": ",".join(assessed.factors.missing()),
        },
    )


def _limit_too_high(asked_micro: int, most_micro: int) -> CreditRefusedError:
    return CreditRefusedError(
        "limit_above_tier",
        f"The agent's tier gives at most {most_micro} micro-credits.",
        details={"limit_micro_usd": asked_micro, "tier_limit_micro_usd": most_micro},
    )


def _lender_is_out() -> CreditRefusedError:
    return CreditRefusedError(
        "lender_out_of_funds",
        "The lender has not enough money for this draw now.",
        step="The operator adds capital with `haima credit fund`.",
    )
