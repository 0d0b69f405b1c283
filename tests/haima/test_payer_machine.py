"""Any interleaving of processes, people, sellers, crashes and clocks: the invariants of haima.md §8.7 that belong to a payer,
with every budget at once.

1   settled + reserved stay within the caps of session, day, host, task and lifetime, and reservations within the rate
3   what is above the auto-approve cap has a grant of its own, used once
8   what was refused never counts after its time is over
10  every refusal has a stable code, and an event or a question of its own
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import TypeVar, get_args

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from life.aios.errors import JournalUnavailableError
from life.haima import events
from life.haima.budgets import QUARTER_US, QUARTERS_PER_DAY
from life.haima.errors import ApprovalDecidedError, DenialCode, PolicyDeniedError
from life.haima.events import read_finance
from life.haima.policy import RATE_WINDOW_US, PaymentPolicy
from life.haima.purse import Purse
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock
from tests.haima.faulty_journal import Fault, FaultyJournal
from tests.haima.payer_kit import replayed, same_state
from tests.haima.test_purse import PAYEE, make, order, settle

T = TypeVar("T")

DAY_US = QUARTER_US * QUARTERS_PER_DAY
AUTO = 60
POLICY = PaymentPolicy(
    auto_approve_cap_micro=AUTO,
    session_spend_cap_micro=180,
    day_cap_micro=240,
    rolling_day_cap_micro=270,
    host_cap_micro=200,
    task_cap_micro=120,
    total_cap_micro=600,
    max_tx_per_minute=4,
    on_payee_change="ask",
)
PROCESSES = 2
PLACES = (PAYEE, PAYEE, PAYEE, PAYEE, "0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1")


class World(RuleBasedStateMachine):
    """Two processes with one wallet and one journal, a person, and a clock that jumps."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.disk = MemoryJournal()
        self.starts = 0
        self.number = 0
        self.refusals = 0
        self.journals: list[FaultyJournal] = []
        self.purses: list[Purse] = []
        for index in range(PROCESSES):
            self._start(index)

    def teardown(self) -> None:
        """Close the loop, and what still waits in it."""
        while tasks := asyncio.all_tasks(self.loop):
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()

    def _run(self, work: Coroutine[object, object, T]) -> T:
        return self.loop.run_until_complete(work)

    def _start(self, index: int) -> None:
        self.starts += 1
        journal = FaultyJournal(self.disk)
        purse = make(journal, clock=self.clock, seed=f"start-{self.starts}", policy=POLICY)
        if index == len(self.purses):
            self.journals.append(journal)
            self.purses.append(purse)
        else:
            self.journals[index], self.purses[index] = journal, purse
        self._run(purse.open())

    @rule(
        process=st.integers(0, PROCESSES - 1),
        amount=st.sampled_from([20, 59, 60, 60, 61, 100]),
        session=st.sampled_from(["s", "t", "u", "v"]),
        task=st.sampled_from([None, "k"]),
        host=st.sampled_from(["a", "b"]),
        payee=st.sampled_from(PLACES),
        count=st.integers(1, 4),
    )
    def buy(self, process: int, amount: int, session: str, task: str | None, host: str, payee: str, count: int) -> None:
        """Some purchases at once, of which each is reserved or refused with a code."""
        purse = self.purses[process]

        async def some() -> list[object]:
            orders = []
            for _ in range(count):
                self.number += 1
                orders.append(
                    order(
                        f"o{self.number}",
                        amount,
                        session_id=session,
                        task_id=task,
                        payee=payee,
                        resource_url=f"https://{host}.example/x",
                    )
                )
            return list(await asyncio.gather(*(purse.reserve(one) for one in orders), return_exceptions=True))

        for outcome in self._run(some()):
            if isinstance(outcome, PolicyDeniedError):
                assert outcome.verdict in get_args(DenialCode) and outcome.code == f"haima.{outcome.verdict}"
                asked = {"needs_approval", "payee_changed", "price_jumped"}
                assert (outcome.ticket_id is not None) == (outcome.verdict in asked)
            elif isinstance(outcome, BaseException):
                assert isinstance(outcome, JournalUnavailableError), outcome

    @rule(process=st.integers(0, PROCESSES - 1), approved=st.booleans())
    def decide(self, process: int, approved: bool) -> None:
        """A person decides on what waits longest."""
        purse = self.purses[process]
        now_us = self.clock.now_us()
        waiting = [ticket for ticket in purse.state.tickets.all() if ticket.at(now_us) == "pending"]
        if waiting:
            try:
                self._run(purse.resolve_ticket(waiting[0].ticket_id, approved=approved))
            except (JournalUnavailableError, ApprovalDecidedError):
                pass

    @rule(process=st.integers(0, PROCESSES - 1), outcome=st.sampled_from(["settle", "refuse", "release"]))
    def finish(self, process: int, outcome: str) -> None:
        """The oldest open payment is settled, refused, or never left."""
        purse = self.purses[process]
        found = purse.state.open_payments()
        if not found:
            return
        payment = found[0]

        async def note() -> None:
            if outcome == "settle":
                settle(purse, payment)
            elif outcome == "refuse":
                purse.note(
                    events.PaymentFailed(
                        payment_id=payment.payment_id, resource_url="", amount_micro_credits=0, reason="no"
                    )
                )
            elif payment.state == "held":
                purse.release(payment, "never_sent")

        self._run(note())

    @rule(
        change=st.sampled_from(
            [-2 * DAY_US, -DAY_US, -30_000_000, 1_000_000, 61_000_000, QUARTER_US, DAY_US, 90 * DAY_US]
        )
    )
    def the_clock_jumps(self, change: int) -> None:
        """Forward as time does, or either way as clocks do."""
        if change > 0:
            self.clock.advance_us(change)
        elif self.clock.now_us() + change > 10**15:
            self.clock.step_wall_us(change)
        self._run(asyncio.sleep(0))

    @rule(process=st.integers(0, PROCESSES - 1), fault=st.sampled_from(["before", "after"]))
    def break_journal(self, process: int, fault: Fault) -> None:
        """The next append of a process fails, with or without having stored."""
        self.journals[process].faults = [fault]

    @rule(process=st.integers(0, PROCESSES - 1))
    def crash(self, process: int) -> None:
        """A process dies with everything it has not stored."""
        self.journals[process].dead = True
        self._start(process)

    @rule()
    def everybody_flushes(self) -> None:
        """Each process's state is the journal's, byte for byte; what was refused and is over does not count."""
        for index, purse in enumerate(self.purses):
            self.journals[index].faults = []
            self._run(purse.catch_up())
            self._run(_sweep(purse))
            self._run(purse.flush())
        stored = self._run(replayed(self.disk))
        now_us = self.clock.now_us()
        assert not [one for one in stored.open_payments() if one.state == "refused" and one.expired(now_us)]
        for purse in self.purses:
            self._run(purse.catch_up())
            assert same_state(purse.state, stored)

    @invariant()
    def the_caps_hold(self) -> None:
        """In the journal as it stands, at any moment, counted anew from its events."""
        reserved: dict[str, events.PaymentReserved] = {}
        at: dict[str, int] = {}
        times: list[int] = []
        for record in self.disk._records:
            event = read_finance(record)
            if isinstance(event, events.PaymentReserved):
                reserved[event.payment_id] = event
                at[event.payment_id] = record.timestamp_us
                times.append(record.timestamp_us)
            elif isinstance(event, events.PaymentReleased):
                reserved.pop(event.payment_id, None)
        sums: Counter[str] = Counter()
        for payment_id, event in reserved.items():
            sums["total"] += event.amount_micro
            sums[f"session {event.session_id}"] += event.amount_micro
            sums[f"task {event.task_id}"] += event.amount_micro
            sums[f"host {event.resource_url}"] += event.amount_micro
            sums[f"day {at[payment_id] // DAY_US}"] += event.amount_micro
        for key, amount in sums.items():
            cap = {"total": 600, "session": 180, "host": 200, "day": 240, "task": 120}[key.split()[0]]
            assert amount <= cap or key == "task None", (key, amount)
        for start in at.values():
            spent = sum(event.amount_micro for one, event in reserved.items() if start <= at[one] < start + DAY_US)
            assert spent <= 270
        for start in times:
            assert sum(start <= time_us < start + RATE_WINDOW_US for time_us in times) <= 4

    @invariant()
    def every_grant_is_used_once(self) -> None:
        """And nothing above the auto cap is reserved without one."""
        grants: set[str] = set()
        by_payment: dict[str, str] = {}
        for record in self.disk._records:
            event = read_finance(record)
            if isinstance(event, events.ApprovalResolved) and event.approved:
                grants.add(event.ticket_id)
            elif isinstance(event, events.PaymentReserved):
                if event.amount_micro > AUTO:
                    assert event.approval_id in grants
                if event.approval_id is not None:
                    grants.discard(event.approval_id)
                    by_payment[event.payment_id] = event.approval_id
            elif isinstance(event, events.PaymentReleased) and event.payment_id in by_payment:
                grants.add(by_payment[event.payment_id])


async def _sweep(purse: Purse) -> None:
    purse.release_expired()


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
