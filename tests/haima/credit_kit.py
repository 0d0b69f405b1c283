"""What the tests of credit share: a journal with a history, a lending desk over it, and time."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from life.aios.events import Custom, encode_kind
from life.aios.json import Json, JsonObject
from life.aios.record import SYSTEM, Actor, NewEvent, Stream
from life.haima import events
from life.haima.credit_book import CreditBook
from life.haima.credit_factors import CreditProjection
from life.haima.house import House, Key
from life.haima.lending import LendingTerms
from life.haima.lending_clock import LendingClock, Reading
from life.haima.lending_desk import LendingDesk
from life.lago.journal.memory import MemoryJournal
from life.lago.projection import ProjectionRunner
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.faulty_journal import FaultyJournal

DAY_US = 86_400_000_000
LENDER_ADDRESS = "0x00000000000000000000000000000000000000bb"
_numbers = itertools.count(1)


def address(name: str) -> str:
    """An address for a name."""
    return "0x" + name.encode().hex().rjust(40, "0")


def custom(
    name: str, data: JsonObject, agent_id: str, at_us: int, *, stream: str = "s", actor: Actor = SYSTEM
) -> NewEvent:
    """An event of another subsystem."""
    return NewEvent(
        event_id=f"event-{next(_numbers)}",
        session_id=stream,
        agent_id=agent_id,
        timestamp_us=at_us,
        payload=encode_kind(Custom(event_type=name, data=data)),
        kind_name="Custom",
        actor=actor,
    )


def finance(
    event: events.FinanceEvent, agent_id: str, at_us: int, *, stream: str = "w", actor: Actor = SYSTEM
) -> NewEvent:
    """A finance event."""
    clock = ManualClock(at_us)
    return events.finance_event(
        event,
        clock,
        SeededEntropy(f"e{next(_numbers)}"),
        stream=Stream(stream),
        agent_id=agent_id,
        actor=actor,
    )


def paid(agent_id: str, payee: str, amount_micro: int, at_us: int, *, actor: Actor = SYSTEM) -> NewEvent:
    """The agent paid somebody, and it settled."""
    event = events.PaymentSettled(
        tx_hash="0x1",
        amount_micro_credits=amount_micro,
        chain="eip155:1",
        latency_ms=40,
        facilitator="f",
        payee=payee,
        wallet=address(agent_id),
    )
    return finance(event, agent_id, at_us, actor=actor)


def earned(
    agent_id: str, payer: str, amount_micro: int, at_us: int, *, payee: str | None = None, payment_id: str | None = None
) -> NewEvent:
    """Somebody paid the agent, and it settled."""
    event = events.RevenueReceived(
        tx_hash="0x2",
        amount_micro_credits=amount_micro,
        payer_address=payer,
        payee=payee or address(agent_id),
        payment_id=payment_id,
        network="eip155:4020402",
    )
    return finance(event, agent_id, at_us, stream="sales")


def trust(agent_id: str, score: float, at_us: int, *, trajectory: str = "stable", actor: Actor = SYSTEM) -> NewEvent:
    """Autonomic's trust score."""
    data: dict[str, Json] = {"agent_id": agent_id, "score": score, "tier": "trusted", "trajectory": trajectory}
    return custom("autonomic.TrustAssessed", data, agent_id, at_us, actor=actor)


def mode(agent_id: str, to: str, at_us: int) -> NewEvent:
    """Autonomic's mode."""
    return custom("autonomic.EconomicModeChanged", {"from": "sovereign", "to": to, "reason": "r"}, agent_id, at_us)


class Bank(NamedTuple):
    """A lender, and everything around it."""

    journal: FaultyJournal
    clock: ManualClock
    house: House
    runner: ProjectionRunner[CreditBook]
    desk: LendingDesk
    time: LendingClock

    async def good(self, agent_id: str, *, premium: bool = True) -> None:
        """A history that gives tier premium, or standard."""
        now = self.clock.now_us()
        start = now - 100 * DAY_US
        amount = 3_000_000 if premium else 20_000
        batch = [paid(agent_id, address(f"shop-{number}"), amount, start + number * DAY_US) for number in range(4)]
        batch += [mode(agent_id, "sovereign", start), trust(agent_id, 0.9 if premium else 0.4, now)]
        await self.journal.append(batch)

    async def trust(self, agent_id: str, score: float, trajectory: str = "stable") -> None:
        """A new trust score."""
        await self.journal.append([trust(agent_id, score, self.clock.now_us(), trajectory=trajectory)])

    async def later(self, days: float, *, tick: bool = True) -> None:
        """Time goes by, and the clock looks."""
        self.clock.advance_us(int(days * DAY_US))
        if tick:
            await self.time.run()


async def open_bank(
    *,
    journal: FaultyJournal | None = None,
    clock: ManualClock | None = None,
    seed: str = "bank",
    terms: LendingTerms | None = None,
    capital_micro: int = 100_000_000,
) -> Bank:
    """A lender as a new process would open it; with `capital_micro`, its money."""
    disk = journal or FaultyJournal(MemoryJournal())
    time = clock or ManualClock()
    entropy = SeededEntropy(seed)
    house = House(disk, time, entropy, agent_id="lender")
    await house.open()
    runner = ProjectionRunner(disk, CreditProjection())

    async def read() -> Reading:
        return Reading(await runner.catch_up(), runner.position)

    desk = LendingDesk(house, disk, read, time, entropy, terms=terms, repayment_addresses=[LENDER_ADDRESS])
    bank = Bank(disk, time, house, runner, desk, LendingClock(house, read))
    if capital_micro:
        await desk.fund(capital_micro, key("capital"))
    return bank


def key(name: str) -> Key:
    """An idempotency key of a test."""
    return Key("test", name, name.encode())


def fresh() -> Key:
    """A key that was never used."""
    return key(f"key-{next(_numbers)}")
