"""What time does to credit lines: interest, statements, missed payments, defaults, new scores (HM-LEND, W29).

    every day               the interest of lines with a principal is charged
    the cycle is over       a statement is issued when something is owed
    grace is over           the payment is missed, and the line is frozen
    a window after that     the line is in default
    the score changed       limit and rate follow; no tier, or falling trust, freezes

The work is decided by the house's state, so doing it twice does nothing the second time, and any number of processes may do
it. A clock that did not run for months issues one statement, due from now on: nobody is late for what was never said.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import msgspec

from life.haima.credit import Assessment
from life.haima.credit_book import CreditBook
from life.haima.events.credit import (
    CreditCycleAdvanced,
    CreditPaymentMissed,
    CreditStatementIssued,
)
from life.haima.house import Decision, House
from life.haima.house_state import HouseState
from life.haima.lending_state import Line
from life.haima.lending_work import DAY_US, LineWork

_TOGETHER: Final = 64


class Reading(NamedTuple):
    """The credit projection, and the journal position that it is of."""

    book: CreditBook
    position: int


ReadCredit = Callable[[], Awaitable[Reading]]
"""Reads the projection `haima.credit` up to the journal's end."""


class Ticked(msgspec.Struct, frozen=True):
    """How many events a tick wrote for one line."""

    events: int


class LendingClock:
    """Does what is due. The host runs it every so often."""

    def __init__(self, house: House, read_credit: ReadCredit) -> None:
        self._house = house
        self._read_credit = read_credit

    async def run(self) -> int:
        """Do what is due now; how many lines something happened to."""
        reading = await self._read_credit()
        state = await self._house.catch_up()
        now_us = self._house.now_us
        due = []
        for agent_id, line in state.lending.lines.items():
            if line.status == "closed":
                continue
            assessed = reading.book.assess(agent_id, now_us, as_of_position=reading.position)
            rule = tick(agent_id, assessed)
            if rule(state, now_us).events:
                due.append(rule)
        for start in range(0, len(due), _TOGETHER):
            await asyncio.gather(*(self._house.decide(rule) for rule in due[start : start + _TOGETHER]))
        return len(due)


def tick(agent_id: str, assessed: Assessment) -> Callable[[HouseState, int], Decision[Ticked]]:
    """What time does to one line, as a rule of the house."""

    def rule(state: HouseState, now_us: int) -> Decision[Ticked]:
        work = LineWork(state, agent_id, now_us)
        line = work.line
        if line is None or line.status == "closed":
            return Decision([], Ticked(0))
        _follow_score(state, work, assessed)
        if line.principal_micro_usd and now_us - line.accrued_until_us >= DAY_US:
            work.accrue()
        _watch_statement(work)
        _end_cycle(work)
        return Decision(work.events, Ticked(len(work.events)))

    return rule


def _follow_score(state: HouseState, work: LineWork, assessed: Assessment) -> None:
    """Let the score work on the line; one that changes nothing about it is not kept."""
    trial = LineWork(state, work.agent_id, work.now_us)
    trial.reassess(assessed)
    trial_line, line = trial.need(), work.need()
    if (trial_line.status, trial_line.limit_micro_usd, trial_line.interest_rate_bps, trial_line.tier) != (
        line.status,
        line.limit_micro_usd,
        line.interest_rate_bps,
        line.tier,
    ):
        work.reassess(assessed)


def _watch_statement(work: LineWork) -> None:
    line = work.need()
    statement = line.statement
    if statement is None or line.status == "defaulted":
        return
    if statement.missed_at_us is None:
        if work.now_us > statement.late_at_us:
            work.write(
                CreditPaymentMissed(
                    line_id=line.line_id,
                    agent_id=line.agent_id,
                    number=statement.number,
                    overdue_micro_usd=statement.open_micro_usd,
                )
            )
            work.freeze("missed_payment")
    elif work.now_us - statement.missed_at_us >= line.default_window_us:
        work.move("defaulted", "unpaid_after_window")


def _end_cycle(work: LineWork) -> None:
    line = work.need()
    cycles = (work.now_us - line.cycle_started_us) // line.cycle_us
    if line.statement is not None or line.status == "defaulted" or cycles < 1:
        return
    if line.principal_micro_usd:
        work.accrue()
    if line.owed_micro_usd == 0:
        ended_us = line.cycle_started_us + cycles * line.cycle_us
        work.write(CreditCycleAdvanced(line_id=line.line_id, agent_id=line.agent_id, ended_at_us=ended_us))
        return
    due_us = work.now_us + line.payment_window_us
    work.write(
        CreditStatementIssued(
            line_id=line.line_id,
            agent_id=line.agent_id,
            number=line.statements + 1,
            balance_micro_usd=line.owed_micro_usd,
            minimum_micro_usd=minimum_payment(line),
            due_at_us=due_us,
            late_at_us=due_us + line.grace_us,
        )
    )


def minimum_payment(line: Line) -> int:
    """All interest and a part of the principal (rounded up), at least the floor, at most everything."""
    part = -(-line.principal_micro_usd * line.minimum_bps // 10_000)
    return min(line.owed_micro_usd, max(line.interest_micro_usd + part, line.minimum_floor_micro_usd))
