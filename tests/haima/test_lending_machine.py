"""Any interleaving of agents, processes, time, failures and crashes (invariants 4, 5 and 7 of haima.md §8.7).

4  every posting balances, nobody who may not is overdrawn, lending makes no money
5  replaying the journal gives the live state, byte for byte
7  the interest charged is what the principal over time gives, however often anybody looked
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from fractions import Fraction
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from life.aios.errors import JournalUnavailableError
from life.aios.ports.journal import EventQuery
from life.haima.accounts import wallet_of
from life.haima.errors import CreditRefusedError, EvidenceUsedError, InsufficientBalanceError
from life.haima.events import read_finance
from life.haima.events.accounts import LedgerPosted
from life.haima.events.credit import (
    CreditDrawn,
    CreditLimitChanged,
    CreditLineOpened,
    CreditRepaid,
    InterestAccrued,
)
from life.haima.house import STREAM
from life.haima.house_state import encode
from life.haima.lending_interest import DENOMINATOR
from life.haima.lending_work import CAPITAL, debts_hold
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock
from tests.haima.credit_kit import DAY_US, LENDER_ADDRESS, Bank, address, earned, fresh, open_bank, trust
from tests.haima.faulty_journal import Fault, FaultyJournal
from tests.haima.house_kit import OUTSIDE, fund, moving, replayed

T = TypeVar("T")

AGENTS = ("a", "b")
CAPITAL_MICRO = 300_000
EXPECTED = (CreditRefusedError, InsufficientBalanceError, EvidenceUsedError, JournalUnavailableError)

process = st.integers(0, 1)
agent = st.sampled_from(AGENTS)
amount = st.sampled_from([1, 999, 5_000, 60_000, 100_000, 250_000])


class Lenders(RuleBasedStateMachine):
    """Two processes that lend to two agents."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.disk = MemoryJournal()
        self.starts = 0
        self.banks: list[Bank] = []
        self.evidence: list[tuple[str, str]] = []

    def teardown(self) -> None:
        while tasks := asyncio.all_tasks(self.loop):
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()

    def run(self, work: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(work)

    def attempt(self, *work: Coroutine[object, object, object]) -> None:
        """Several commands at once; what the rules of lending refuse is fine, everything else is not."""

        async def all_of_it() -> list[object]:
            return list(await asyncio.gather(*work, return_exceptions=True))

        for outcome in self.run(all_of_it()):
            if isinstance(outcome, BaseException) and not isinstance(outcome, EXPECTED):
                raise outcome

    async def _open(self, capital_micro: int) -> Bank:
        self.starts += 1
        return await open_bank(
            journal=FaultyJournal(self.disk),
            clock=self.clock,
            seed=f"start-{self.starts}",
            capital_micro=capital_micro,
        )

    @initialize()
    def begin(self) -> None:
        """A lender with some capital, two processes, two agents with good histories."""

        async def beginning() -> None:
            self.banks = [await self._open(CAPITAL_MICRO), await self._open(0)]
            for name in AGENTS:
                await self.banks[0].good(name)
            await self.banks[1].desk.open("a", fresh())

        self.run(beginning())

    @rule(process=process, agent=agent)
    def open(self, process: int, agent: str) -> None:
        """Open a line, twice at once."""
        desk = self.banks[process].desk
        self.attempt(desk.open(agent, fresh()), desk.open(agent, fresh()))

    @rule(process=process, agent=agent, amounts=st.lists(amount, min_size=1, max_size=3))
    def draw(self, process: int, agent: str, amounts: list[int]) -> None:
        """Draw, several times at once."""
        desk = self.banks[process].desk
        self.attempt(*(desk.draw(agent, each, fresh()) for each in amounts))

    @rule(process=process, agent=agent, amounts=st.lists(amount, min_size=1, max_size=3))
    def repay(self, process: int, agent: str, amounts: list[int]) -> None:
        """Repay from the wallet account."""
        desk = self.banks[process].desk
        self.attempt(*(desk.repay(agent, each, fresh()) for each in amounts))

    @rule(process=process, agent=agent, each=amount)
    def pay_from_outside(self, process: int, agent: str, each: int) -> None:
        """A settled payment to the lender, used twice."""
        number = len(self.evidence)
        payment = earned(
            "lender", address(agent), each, self.clock.now_us(), payee=LENDER_ADDRESS, payment_id=f"pay-{number}"
        )
        self.run(self.disk.append([payment]))
        self.evidence.append((agent, payment.event_id))
        desk = self.banks[process].desk
        self.attempt(
            desk.repay_with_payment(agent, payment.event_id, fresh()),
            desk.repay_with_payment(agent, payment.event_id, fresh()),
        )

    @rule(process=process, agent=agent, each=amount)
    def spend(self, process: int, agent: str, each: int) -> None:
        """The agent spends what it has."""
        house = self.banks[process].house
        self.attempt(house.decide(moving(wallet_of(agent), OUTSIDE, each)))

    @rule(process=process, agent=agent, each=amount)
    def earn(self, process: int, agent: str, each: int) -> None:
        """Money from outside."""
        self.attempt(fund(self.banks[process].house, wallet_of(agent), each))

    @rule(process=process, agent=agent, what=st.sampled_from(["freeze", "unfreeze", "close"]))
    def steer(self, process: int, agent: str, what: str) -> None:
        """By hand."""
        desk = self.banks[process].desk
        work = {"freeze": desk.freeze, "unfreeze": desk.unfreeze, "close": desk.close}[what]
        self.attempt(work(agent, fresh()))

    @rule(agent=agent, score=st.sampled_from([0.0, 0.3, 0.9]), trajectory=st.sampled_from(["stable", "degrading"]))
    def judge(self, agent: str, score: float, trajectory: str) -> None:
        """Autonomic changes its mind."""
        self.run(self.disk.append([trust(agent, score, self.clock.now_us(), trajectory=trajectory)]))

    @rule(days=st.sampled_from([0.001, 1, 7, 31]), process=process)
    def wait(self, days: float, process: int) -> None:
        """Time goes by, and a clock looks, twice."""
        self.clock.advance_us(int(days * DAY_US))
        time = self.banks[process].time
        self.attempt(time.run(), time.run())

    @rule(hours=st.sampled_from([-30, -1, 2]))
    def set_the_clock(self, hours: int) -> None:
        """Somebody sets the wall clock."""
        self.clock.step_wall_us(hours * 3_600_000_000)

    @rule(process=process, fault=st.sampled_from(["before", "after"]))
    def break_journal(self, process: int, fault: Fault) -> None:
        """The next append of a process fails."""
        self.banks[process].journal.faults = [fault]

    @rule(process=process)
    def restart(self, process: int) -> None:
        """A process is gone, and another takes its place."""
        self.banks[process] = self.run(self._open(0))

    @invariant()
    def books_hold(self) -> None:
        """4 and 5."""
        if not self.banks:
            return
        expected = self.run(replayed(self.disk))
        for bank in self.banks:
            assert encode(self.run(bank.house.catch_up())) == expected
        state = self.banks[0].house.state
        accounts = state.accounts
        assert debts_hold(state.lending, accounts)
        money = claims = 0
        for name, balance in accounts.balances.items():
            kind = name.partition(":")[0]
            assert balance >= 0 or kind in ("external", "credit_line", "receivable"), name
            if kind in ("credit_line", "receivable"):
                claims += balance
            else:
                money += balance
        assert (money, claims) == (0, 0)
        assert accounts.balance(CAPITAL) in (0, -CAPITAL_MICRO)
        for line in state.lending.lines.values():
            assert line.principal_micro_usd >= 0 and line.interest_micro_usd >= 0
            assert line.limit_micro_usd >= line.principal_micro_usd or line.status == "closed"
            assert line.status != "closed" or line.owed_micro_usd == 0

    @invariant()
    def interest_is_exact(self) -> None:
        """7: what was charged to each line is the sum over time of its principal at its rate, rounded once."""
        if not self.banks:
            return
        records = self.run(self.disk.read(EventQuery(STREAM.session_id, STREAM.branch_id), limit=10_000))
        lines: dict[str, list[int]] = {}
        exact: dict[str, int] = {}
        charged: dict[str, int] = {}
        until: dict[str, int] = {}
        for record in records:
            event = read_finance(record)
            if isinstance(event, LedgerPosted):
                assert sum(entry.amount_micro for entry in event.entries) == 0
            if isinstance(event, CreditLineOpened):
                lines[event.line_id] = [0, event.interest_rate_bps, record.timestamp_us]
                exact[event.line_id] = charged[event.line_id] = 0
            if not isinstance(event, CreditDrawn | CreditRepaid | InterestAccrued | CreditLimitChanged):
                continue
            state = lines[event.line_id]
            exact[event.line_id] += state[0] * state[1] * (record.timestamp_us - state[2])
            state[2] = record.timestamp_us
            if isinstance(event, CreditDrawn):
                state[0] += event.amount_micro_usd
            elif isinstance(event, CreditRepaid):
                state[0] -= event.principal_portion_micro_usd
            elif isinstance(event, CreditLimitChanged):
                state[1] = event.interest_rate_bps
            else:
                charged[event.line_id] += event.charged_micro_usd
                until[event.line_id] = record.timestamp_us
                due = Fraction(exact[event.line_id], DENOMINATOR) + Fraction(1, 2)
                assert charged[event.line_id] == due.__floor__()


TestLenders = Lenders.TestCase
TestLenders.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
