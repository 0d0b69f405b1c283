"""One decision about one credit line, worked out step by step on a copy (haima.md §1.7, HM-LEND).

The steps that the rules of `life.haima.lending` and `life.haima.lending_clock` are made of: charging the interest, following a
score, freezing, settling a statement; each adds its events and changes the copy as the fold will.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from life.aios.errors import InvalidInputError, LifeError
from life.aios.ids import check_id
from life.haima.accounts import Accounts, account
from life.haima.credit import TERMS, Assessment
from life.haima.errors import (
    NoCreditLineError,
)
from life.haima.events import FinanceEvent
from life.haima.events.accounts import Entry, LedgerPosted, PostingReason
from life.haima.events.credit import (
    CreditAssessed,
    CreditLimitChanged,
    CreditLineStatusChanged,
    CreditRefused,
    CreditStatementSettled,
    InterestAccrued,
    LineStatus,
    StatusReason,
    Tier,
)
from life.haima.house import Decision, RefusedError
from life.haima.house_state import HouseState
from life.haima.lending_interest import accrue
from life.haima.lending_state import Lending, Line

LENDER: Final = account("wallet", "pool", "lending")
"""The lender's cash: what can be drawn."""
INCOME: Final = account("interest_income", "pool", "lending")
RECEIVABLE: Final = account("receivable", "pool", "lending")
CAPITAL: Final = account("external", "platform", "lending-capital")

DAY_US: Final = 86_400_000_000
MAX_AMOUNT_MICRO: Final = 10**15


class CreditLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line as the API shows it; times in microseconds since the epoch."""

    line_id: str
    agent_id: str
    tier: Tier
    limit_micro_usd: int
    drawn_micro_usd: int
    available_micro_usd: int
    interest_rate_bps: int
    accrued_interest_micro_usd: int
    opened_at_us: int
    last_draw_at_us: int | None
    last_accrual_at_us: int
    status: LineStatus
    status_reason: StatusReason
    statement: StatementView | None


class StatementView(msgspec.Struct, frozen=True, kw_only=True):
    """What is due."""

    number: int
    balance_micro_usd: int
    minimum_micro_usd: int
    paid_micro_usd: int
    due_at_us: int
    late_at_us: int
    missed_at_us: int | None


class LineAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command about a line."""

    status: Literal["opened", "exists", "modified", "unchanged", "frozen", "unfrozen", "closed"]
    credit_line: CreditLine


def view(line: Line) -> CreditLine:
    """The line as the API shows it."""
    statement = line.statement
    return CreditLine(
        line_id=line.line_id,
        agent_id=line.agent_id,
        tier=line.tier,
        limit_micro_usd=line.limit_micro_usd,
        drawn_micro_usd=line.principal_micro_usd,
        available_micro_usd=line.available_micro_usd,
        interest_rate_bps=line.interest_rate_bps,
        accrued_interest_micro_usd=line.interest_micro_usd,
        opened_at_us=line.opened_at_us,
        last_draw_at_us=line.last_draw_at_us,
        last_accrual_at_us=line.accrued_until_us,
        status=line.status,
        status_reason=line.status_reason,
        statement=None
        if statement is None
        else StatementView(
            number=statement.number,
            balance_micro_usd=statement.balance_micro_usd,
            minimum_micro_usd=statement.minimum_micro_usd,
            paid_micro_usd=statement.paid_micro_usd,
            due_at_us=statement.due_at_us,
            late_at_us=statement.late_at_us,
            missed_at_us=statement.missed_at_us,
        ),
    )


class LineWork:
    """One decision about one agent's line, worked out on a copy: its events, and the line as they leave it."""

    def __init__(self, state: HouseState, agent_id: str, now_us: int) -> None:
        self.agent_id = check_agent(agent_id)
        self.now_us = now_us
        self.events: list[FinanceEvent] = []
        self.accounts = state.accounts
        self._earlier = state.lending.assessed.get(agent_id)
        found = state.lending.line(agent_id)
        self._fold = Lending(lines={} if found is None else {agent_id: _copy(found)})

    @property
    def line(self) -> Line | None:
        """The line so far."""
        return self._fold.line(self.agent_id)

    def need(self) -> Line:
        """The line; NoCreditLineError when there is none."""
        line = self.line
        if line is None:
            raise NoCreditLineError(self.agent_id)
        return line

    def write(self, event: FinanceEvent) -> None:
        """Add an event."""
        self.events.append(event)
        self._fold.apply(event, self.now_us)

    def post(self, posting_id: str, entries: Sequence[Entry], reason: PostingReason) -> None:
        """Add a posting, of the entries that say something."""
        kept = tuple(entry for entry in entries if entry.amount_micro)
        if kept:
            cause = self.need().line_id
            self.write(LedgerPosted(posting_id=posting_id, entries=kept, reason=reason, cause_id=cause))

    def accrue(self) -> int:
        """Charge the interest up to now; how much it was. Nothing is written when nothing changes."""
        line = self.need()
        elapsed_us = self.now_us - line.accrued_until_us
        if elapsed_us <= 0:
            return 0
        charged, remainder = accrue(
            line.principal_micro_usd, line.interest_rate_bps, elapsed_us, line.interest_remainder
        )
        self.write(
            InterestAccrued(
                line_id=line.line_id,
                agent_id=self.agent_id,
                principal_micro_usd=line.principal_micro_usd,
                charged_micro_usd=charged,
                remainder=remainder,
                until_us=self.now_us,
            )
        )
        debt = (Entry(debt_of(self.agent_id), -charged), Entry(RECEIVABLE, charged))
        self.post(f"{line.line_id}:interest:{self.now_us}", debt, "interest")
        return charged

    def note_score(self, assessed: Assessment) -> None:
        """Keep a score that something is decided by, unless it says what the last one said."""
        factors = assessed.factors
        event = CreditAssessed(
            agent_id=self.agent_id,
            model=assessed.model,
            score_ppm=assessed.score_ppm,
            tier=assessed.tier,
            limit_micro_usd=assessed.limit_micro_usd,
            confidence_ppm=assessed.confidence_ppm,
            as_of_position=assessed.as_of_position,
            trust_ppm=factors.trust_ppm,
            trust_at_us=assessed.trust_at_us,
            payment_history_ppm=factors.payment_history_ppm,
            volume_micro_usd=factors.volume_micro_usd,
            account_age_days=factors.account_age_days,
            stability_ppm=factors.stability_ppm,
        )
        earlier = self._earlier
        if earlier is None or msgspec.structs.replace(earlier, as_of_position=event.as_of_position) != event:
            self.write(event)
            self._earlier = event

    def reassess(self, assessed: Assessment) -> None:
        """Let a score work on the line: its limit and rate, and a freeze where the score no longer carries it."""
        self.note_score(assessed)
        line = self.line
        if line is None or line.status not in ("active", "frozen"):
            return
        if assessed.tier == "none":
            self.freeze("tier_loss")
        else:
            self.set_limit(assessed.tier, line.requested_limit_micro_usd, "assessed")
        if assessed.trust_is_degrading:
            self.freeze("trust_degrading")

    def set_limit(self, tier: Tier, requested_micro: int | None, reason: Literal["assessed", "requested"]) -> bool:
        """Give the line what the tier gives, or less where less was wanted, but never less than is drawn."""
        line = self.need()
        terms = TERMS[tier]
        wanted = terms.limit_micro_usd if requested_micro is None else min(requested_micro, terms.limit_micro_usd)
        limit_micro = max(wanted, line.principal_micro_usd)
        changed = (tier, limit_micro, terms.interest_rate_bps, requested_micro)
        if changed == (line.tier, line.limit_micro_usd, line.interest_rate_bps, line.requested_limit_micro_usd):
            return False
        self.accrue()  # the old rate holds up to now
        self.write(
            CreditLimitChanged(
                line_id=line.line_id,
                agent_id=self.agent_id,
                tier=tier,
                limit_micro_usd=limit_micro,
                interest_rate_bps=terms.interest_rate_bps,
                requested_limit_micro_usd=requested_micro,
                reason=reason,
            )
        )
        return True

    def freeze(self, reason: StatusReason) -> bool:
        """Freeze an active line; False when it was frozen already."""
        if self.need().status == "frozen":
            return False
        self.move("frozen", reason)
        return True

    def move(self, to: LineStatus, reason: StatusReason) -> None:
        """Take a step of the state machine."""
        line = self.need()
        self.write(
            CreditLineStatusChanged(
                line_id=line.line_id,
                agent_id=self.agent_id,
                from_status=line.status,
                to_status=to,
                reason=reason,
            )
        )

    def settle_statement(self) -> None:
        """Close the statement whose minimum is paid."""
        line = self.need()
        statement = line.statement
        if statement is not None and statement.open_micro_usd == 0:
            on_time = statement.missed_at_us is None and self.now_us <= statement.late_at_us
            self.write(
                CreditStatementSettled(
                    line_id=line.line_id, agent_id=self.agent_id, number=statement.number, on_time=on_time
                )
            )

    def answer(
        self, status: Literal["opened", "exists", "modified", "unchanged", "frozen", "unfrozen", "closed"]
    ) -> Decision[LineAnswer]:
        """The decision as it stands."""
        return Decision(self.events, LineAnswer(status=status, credit_line=view(self.need())))

    def refuse(self, operation: str, error: LifeError, amount_micro: int | None = None) -> RefusedError:
        """The refusal, as a fact (invariant 10 of §8.7). What was worked out on the way is kept with it."""
        event = CreditRefused(
            agent_id=self.agent_id, operation=operation, code=error.code, amount_micro_usd=amount_micro
        )
        return RefusedError(error, [*self.events, event])


def debt_of(agent_id: str) -> str:
    """The account of what the agent owes: zero or negative."""
    return account("credit_line", "agent", agent_id)


def debts_hold(lending: Lending, accounts: Accounts) -> bool:
    """Whether the books and the lines say the same: every debt is its line's, and the lender's claim is all of them."""
    owed = {agent_id: line.owed_micro_usd for agent_id, line in lending.lines.items()}
    booked = all(-accounts.balance(debt_of(agent_id)) == amount for agent_id, amount in owed.items())
    return booked and accounts.balance(RECEIVABLE) == sum(owed.values())


def check_agent(agent_id: str) -> str:
    """The id; InvalidInputError for one that can't be an agent's."""
    return check_id(agent_id, what="agent id")


def check_amount(amount_micro: int, *, zero: bool = False) -> int:
    """The amount; InvalidInputError unless it is positive (or, with `zero`, not negative) and less than all money."""
    if amount_micro < (0 if zero else 1) or amount_micro > MAX_AMOUNT_MICRO:
        least = "0" if zero else "1"
        raise InvalidInputError(f"An amount must be between {least} and {MAX_AMOUNT_MICRO} micro-credits.")
    return amount_micro


def _copy(line: Line) -> Line:
    copy = msgspec.structs.replace(line)
    if line.statement is not None:
        copy.statement = msgspec.structs.replace(line.statement)
    return copy
