"""Any interleaving of processes, payees, crashes and time: the invariants of haima.md §8.7 that belong to a payer.

1  settled + reserved stay within the session cap, and reservations per window within the rate
3  nothing is signed without a durable reservation
5  replaying the journal gives the live state, byte for byte
8  what was refused never counts after its time is over; what is unknown keeps counting
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from life.aios.errors import JournalUnavailableError
from life.haima import events
from life.haima.errors import PolicyDeniedError
from life.haima.policy import RATE_WINDOW_US, PaymentPolicy
from life.haima.purse import Purse
from life.haima.reservations import EXPIRY_MARGIN_S, Payment
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock
from tests.haima.faulty_journal import Fault, FaultyJournal
from tests.haima.payer_kit import finance_events, replayed, same_state
from tests.haima.test_purse import make, order, settle

T = TypeVar("T")

SESSION_CAP_MICRO = 300
RATE = 5
POLICY = PaymentPolicy(session_spend_cap_micro=SESSION_CAP_MICRO, max_tx_per_minute=RATE)
PROCESSES = 3

process = st.integers(0, PROCESSES - 1)


class Payers(RuleBasedStateMachine):
    """Three processes with one wallet, one journal and one clock."""

    payments = Bundle("payments")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.disk = MemoryJournal()
        self.starts = 0
        self.journals: list[FaultyJournal] = []
        self.purses: list[Purse] = []
        for _ in range(PROCESSES):
            self._start(len(self.purses))
        self.charged: set[str] = set()
        """What really moved money, by payment id."""

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

    @rule(target=payments, process=process, amount=st.sampled_from([1, 50, 99, 100]), count=st.integers(1, 4))
    def reserve(self, process: int, amount: int, count: int) -> object:
        """Some payments at once; the purse says which may be made, and those are signed."""
        purse = self.purses[process]

        async def some() -> list[object]:
            names = [f"{self.starts}-{self.clock.now_us()}-{process}-{amount}-{number}" for number in range(count)]
            return list(
                await asyncio.gather(*(purse.reserve(order(name, amount)) for name in names), return_exceptions=True)
            )

        made: list[tuple[int, Payment]] = []
        for outcome in self._run(some()):
            if isinstance(outcome, PolicyDeniedError | JournalUnavailableError):
                continue
            assert not isinstance(outcome, BaseException), outcome
            payment: Payment = outcome.payment  # type: ignore[attr-defined]
            assert self._run(self.disk.get(payment.payment_id)) is not None, "nothing to sign without a durable intent"
            self._note(process, events.PaymentSigned(payment_id=payment.payment_id, signature="0x"))
            made.append((process, payment))
        return multiple(*made)

    @rule(entry=payments)
    def pay(self, entry: tuple[int, Payment]) -> None:
        """The payee settles, in time, and says so."""
        index, payment = entry
        if self._may_land(payment) and self._send_again(index, payment):
            self.charged.add(payment.payment_id)
            self._settle(index, payment)

    @rule(entry=payments)
    def pay_in_silence(self, entry: tuple[int, Payment]) -> None:
        """The payee settles, in time, and the answer gets lost."""
        index, payment = entry
        if self._may_land(payment) and self._send_again(index, payment):
            self.charged.add(payment.payment_id)
            self._note(index, events.PaymentAmbiguous(payment_id=payment.payment_id, reason="lost"))

    @rule(entry=payments)
    def refuse(self, entry: tuple[int, Payment]) -> None:
        """The payee refuses for good."""
        index, payment = entry
        known = self.purses[index].state.payment(payment.payment_id)
        if known is not None and known.open and payment.payment_id not in self.charged:
            self._note(
                index,
                events.PaymentFailed(
                    payment_id=payment.payment_id, resource_url="", amount_micro_credits=0, reason="refused"
                ),
            )

    @rule(process=process, entry=payments)
    def observe_late(self, process: int, entry: tuple[int, Payment]) -> None:
        """Some process learns from the chain what moved money."""
        if entry[1].payment_id in self.charged:
            self._settle(process, entry[1])

    @rule(seconds=st.sampled_from([1, 30, 61, 300 + EXPIRY_MARGIN_S]))
    def wait(self, seconds: int) -> None:
        """Time goes by, and what rides along is stored."""
        self.clock.advance_us(seconds * 1_000_000)
        self._run(asyncio.sleep(0))

    @rule(process=process, fault=st.sampled_from(["before", "after"]))
    def break_journal(self, process: int, fault: Fault) -> None:
        """The next append of a process fails, with or without having stored."""
        self.journals[process].faults = [fault]

    @rule(process=process)
    def crash(self, process: int) -> None:
        """A process dies with everything it has not stored, and another one starts in its place."""
        self.journals[process].dead = True
        self._start(process)

    @rule(process=process)
    def sweep(self, process: int) -> None:
        """A process gives back what is refused and over."""
        purse = self.purses[process]
        self.journals[process].faults = []

        async def give_back() -> None:
            await purse.catch_up()
            purse.release_expired()
            await purse.flush()

        self._run(give_back())
        for payment in purse.state.open_payments():
            assert not (payment.state == "refused" and payment.expired(self.clock.now_us()))

    @rule()
    def everybody_flushes(self) -> None:
        """All processes store and read everything: each one's state is the journal's, byte for byte."""
        for index, purse in enumerate(self.purses):
            self.journals[index].faults = []
            self._run(purse.catch_up())
            self._run(purse.flush())  # what reading brought up
        stored = self._run(replayed(self.disk))
        for purse in self.purses:
            self._run(purse.catch_up())
            assert same_state(purse.state, stored)
        for payment_id in self.charged:
            payment = stored.payment(payment_id)
            assert payment is not None and payment.state != "released", "what moved money is never given back"

    @invariant()
    def the_caps_hold(self) -> None:
        """In the journal as it stands, at any moment."""
        state = self._run(replayed(self.disk))
        spending = state.spending(session_id="s", task_id=None, payee=None, now_us=self.clock.now_us())
        assert spending.session_micro == state.outstanding_micro + state.settled_micro <= SESSION_CAP_MICRO
        times = [
            record.timestamp_us
            for record in self.disk._records
            if isinstance(events.read_finance(record), events.PaymentReserved)
        ]
        for start in times:
            assert sum(start <= time_us < start + RATE_WINDOW_US for time_us in times) <= RATE

    @invariant()
    def nonces_are_used_once(self) -> None:
        """No two reservations share a nonce (invariant 2)."""
        nonces = [
            event.nonce for event in self._run(finance_events(self.disk)) if isinstance(event, events.PaymentReserved)
        ]
        assert len(nonces) == len(set(nonces))

    def _send_again(self, index: int, payment: Payment) -> bool:
        """What was refused is sent once more, which is on disk first; False when the disk did not take it."""
        known = self.purses[index].state.payment(payment.payment_id)
        if known is None or known.state != "refused":
            return True
        try:
            self._run(
                self.purses[index].record(
                    events.PaymentSubmitted(payment_id=payment.payment_id, resend=known.resends + 1)
                )
            )
        except JournalUnavailableError:
            return False
        return True

    def _may_land(self, payment: Payment) -> bool:
        return payment.sendable(self.clock.now_us()) and payment.payment_id not in self.charged

    def _note(self, index: int, event: events.FinanceEvent) -> None:
        async def note() -> None:
            self.purses[index].note(event)

        self._run(note())

    def _settle(self, index: int, payment: Payment) -> None:
        async def note() -> None:
            settle(self.purses[index], payment)

        self._run(note())


TestPayers = Payers.TestCase
TestPayers.settings = settings(max_examples=400, stateful_step_count=50, deadline=None)
