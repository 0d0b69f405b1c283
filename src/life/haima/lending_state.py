"""The lending room of the house: credit lines folded from their events (haima.md §1.7, HM-LEND). Pure and total.

One line per agent by construction: lines are kept by their agent. A closed line stays until the agent opens another.

    opened              → active
    status_changed      active ⇄ frozen; active, frozen → defaulted; any → closed
    drawn, repaid       principal, interest, what is paid of the open statement
    interest_accrued    interest, its remainder, and up to when
    statement_issued    what is due, when; settled or missed later
"""

from __future__ import annotations

import msgspec

from life.haima.events import FinanceEvent
from life.haima.events.credit import (
    CreditAssessed,
    CreditCycleAdvanced,
    CreditDrawn,
    CreditExposureHeld,
    CreditLimitChanged,
    CreditLineOpened,
    CreditLineStatusChanged,
    CreditPaymentMissed,
    CreditRepaid,
    CreditStatementIssued,
    CreditStatementSettled,
    InterestAccrued,
    LineStatus,
    StatusReason,
    Tier,
)


class Statement(msgspec.Struct, kw_only=True):
    """What is due. `missed` once grace is over and the minimum is not paid."""

    number: int
    issued_at_us: int
    balance_micro_usd: int
    minimum_micro_usd: int
    due_at_us: int
    late_at_us: int
    paid_micro_usd: int = 0
    missed_at_us: int | None = None

    @property
    def open_micro_usd(self) -> int:
        """What is missing to the minimum."""
        return max(0, self.minimum_micro_usd - self.paid_micro_usd)


class Line(msgspec.Struct, kw_only=True):
    """An agent's credit line. Amounts in micro-USD."""

    line_id: str
    agent_id: str
    tier: Tier
    limit_micro_usd: int
    interest_rate_bps: int
    opened_at_us: int
    accrued_until_us: int
    cycle_started_us: int
    cycle_us: int
    payment_window_us: int
    grace_us: int
    default_window_us: int
    minimum_bps: int
    minimum_floor_micro_usd: int
    requested_limit_micro_usd: int | None = None
    status: LineStatus = "active"
    status_reason: StatusReason = "requested"
    principal_micro_usd: int = 0
    interest_micro_usd: int = 0
    interest_remainder: int = 0
    last_draw_at_us: int | None = None
    statements: int = 0
    statement: Statement | None = None

    @property
    def owed_micro_usd(self) -> int:
        """Principal and charged interest."""
        return self.principal_micro_usd + self.interest_micro_usd

    @property
    def available_micro_usd(self) -> int:
        """What the limit leaves. Interest that was charged takes room, too; a line that is closed gives nothing."""
        return 0 if self.status == "closed" else max(0, self.limit_micro_usd - self.owed_micro_usd)


class Exposure(msgspec.Struct):
    """What a facilitator let through on an agent's credit, until when."""

    amount_micro_usd: int
    until_us: int


class Lending(msgspec.Struct, kw_only=True):
    """All lines, the scores that were decided by, and what facilitators let through."""

    lines: dict[str, Line] = {}
    assessed: dict[str, CreditAssessed] = {}
    exposures: dict[str, list[Exposure]] = {}

    def line(self, agent_id: str) -> Line | None:
        """The agent's line; None when it never had one."""
        return self.lines.get(agent_id)

    def exposure_micro_usd(self, agent_id: str, now_us: int) -> int:
        """What counts against the agent's limit at the facilitator, beside what it owes."""
        held = self.exposures.get(agent_id, ())
        return sum(exposure.amount_micro_usd for exposure in held if exposure.until_us > now_us)

    def apply(self, event: FinanceEvent, at_us: int) -> None:
        """Fold one event in."""
        match event:
            case CreditLineOpened():
                self.lines[event.agent_id] = _opened(event, at_us)
            case CreditAssessed():
                self.assessed[event.agent_id] = event
            case CreditExposureHeld():
                self._hold(event, at_us)
            case (
                CreditDrawn()
                | CreditRepaid()
                | InterestAccrued()
                | CreditLimitChanged()
                | CreditLineStatusChanged()
                | CreditStatementIssued()
                | CreditStatementSettled()
                | CreditCycleAdvanced()
                | CreditPaymentMissed()
            ):
                line = self.lines.get(event.agent_id)
                if line is not None and line.line_id == event.line_id:
                    _apply(line, event, at_us)

    def _hold(self, event: CreditExposureHeld, at_us: int) -> None:
        """Exposures that end at the same time (whole minutes, so there are few) are one entry; over ones go."""
        held = [kept for kept in self.exposures.get(event.agent_id, ()) if kept.until_us > at_us]
        for kept in held:
            if kept.until_us == event.until_us:
                kept.amount_micro_usd += event.amount_micro_usd
                break
        else:
            held.append(Exposure(event.amount_micro_usd, event.until_us))
        self.exposures[event.agent_id] = held


_LineEvent = (
    CreditDrawn
    | CreditRepaid
    | InterestAccrued
    | CreditLimitChanged
    | CreditLineStatusChanged
    | CreditStatementIssued
    | CreditStatementSettled
    | CreditCycleAdvanced
    | CreditPaymentMissed
)


def _opened(event: CreditLineOpened, at_us: int) -> Line:
    return Line(
        line_id=event.line_id,
        agent_id=event.agent_id,
        tier=event.tier,
        limit_micro_usd=event.limit_micro_usd,
        interest_rate_bps=event.interest_rate_bps,
        requested_limit_micro_usd=event.requested_limit_micro_usd,
        opened_at_us=at_us,
        accrued_until_us=at_us,
        cycle_started_us=at_us,
        cycle_us=event.cycle_us,
        payment_window_us=event.payment_window_us,
        grace_us=event.grace_us,
        default_window_us=event.default_window_us,
        minimum_bps=event.minimum_bps,
        minimum_floor_micro_usd=event.minimum_floor_micro_usd,
    )


def _apply(line: Line, event: _LineEvent, at_us: int) -> None:
    match event:
        case CreditDrawn():
            line.principal_micro_usd += event.amount_micro_usd
            line.last_draw_at_us = at_us
        case CreditRepaid():
            line.interest_micro_usd -= event.interest_portion_micro_usd
            line.principal_micro_usd -= event.principal_portion_micro_usd
            if line.statement is not None:
                line.statement.paid_micro_usd += event.amount_micro_usd
        case InterestAccrued():
            line.interest_micro_usd += event.charged_micro_usd
            line.interest_remainder = event.remainder
            line.accrued_until_us = event.until_us
        case CreditLimitChanged():
            line.tier = event.tier
            line.limit_micro_usd = event.limit_micro_usd
            line.interest_rate_bps = event.interest_rate_bps
            line.requested_limit_micro_usd = event.requested_limit_micro_usd
        case CreditLineStatusChanged():
            line.status, line.status_reason = event.to_status, event.reason
        case CreditStatementIssued():
            line.statements = event.number
            line.cycle_started_us = at_us
            line.statement = Statement(
                number=event.number,
                issued_at_us=at_us,
                balance_micro_usd=event.balance_micro_usd,
                minimum_micro_usd=event.minimum_micro_usd,
                due_at_us=event.due_at_us,
                late_at_us=event.late_at_us,
            )
        case CreditStatementSettled():
            line.statement = None
        case CreditCycleAdvanced():
            line.cycle_started_us = event.ended_at_us
        case CreditPaymentMissed():
            if line.statement is not None:
                line.statement.missed_at_us = at_us
