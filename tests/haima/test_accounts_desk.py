"""The house's accounts: money comes in by proof, moves once, and never out of nothing (haima.md §8.2: W19 to W24)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest

from life.aios.errors import InvalidInputError
from life.aios.record import AGENT, SYSTEM, Actor, Stream
from life.haima.accounts_desk import AccountsDesk
from life.haima.errors import (
    EvidenceInvalidError,
    EvidenceUsedError,
    IdempotencyConflictError,
    InsufficientBalanceError,
)
from life.haima.events import RevenueReceived, finance_event
from life.haima.house import House, Key
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy

DEPOSITS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
OWN = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"


class Bank(NamedTuple):
    """The desk and its journal."""

    desk: AccountsDesk
    journal: MemoryJournal
    house: House
    clock: ManualClock
    entropy: SeededEntropy

    async def revenue(
        self,
        amount: int,
        *,
        payer: str = OWN,
        payee: str = DEPOSITS,
        payment_id: str | None = "p1",
        actor: Actor = SYSTEM,
    ) -> str:
        """A settled payment in the journal; its event's id."""
        event = RevenueReceived(
            tx_hash="0x1",
            amount_micro_credits=amount,
            payer_address=payer,
            payee=payee,
            network="eip155:84532",
            payment_id=payment_id,
        )
        stored = finance_event(event, self.clock, self.entropy, stream=Stream("sales"), agent_id="shop", actor=actor)
        await self.journal.append([stored])
        return stored.event_id


@asynccontextmanager
async def open_bank() -> AsyncIterator[Bank]:
    clock, entropy = ManualClock(), SeededEntropy()
    async with MemoryJournal() as journal:
        house = House(journal, clock, entropy, agent_id="house")
        await house.open()

        async def owns(agent_id: str, address: str) -> bool:
            return (agent_id, address) == ("ann", OWN)

        desk = AccountsDesk(house, journal, clock, entropy, owns=owns, deposit_addresses=[DEPOSITS.lower()])
        yield Bank(desk, journal, house, clock, entropy)
        await house.aclose()


def key(name: str, request: bytes = b"") -> Key:
    return Key("test", name, request)


async def test_a_settled_payment_becomes_a_deposit_once() -> None:
    """Whatever key it is presented under, at once or later, the payment is booked a single time."""
    async with open_bank() as bank:
        event_id = await bank.revenue(700)
        tries = [bank.desk.deposit_payment("ann", event_id, key=key(f"k{n}")) for n in range(6)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(outcome, EvidenceUsedError) for outcome in outcomes) == 5
        assert (await bank.desk.balance("ann")).available_micro == 700


async def test_only_real_payments_of_ones_own_are_deposits() -> None:
    """Not in the journal, to another address, from another wallet, by an agent's own word, without an id: refused."""
    async with open_bank() as bank:
        unfit = [
            "nothing",
            await bank.revenue(5, payee=OWN, payment_id="p2"),
            await bank.revenue(5, payer=DEPOSITS, payment_id="p3"),
            await bank.revenue(5, payment_id="p4", actor=AGENT),
            await bank.revenue(5, payment_id=None),
        ]
        for place, event_id in enumerate(unfit):
            with pytest.raises(EvidenceInvalidError):
                await bank.desk.deposit_payment("ann", event_id, key=key(f"k{place}"))
        with pytest.raises(EvidenceInvalidError):
            await bank.desk.deposit_payment("bob", await bank.revenue(5, payment_id="p6"), key=key("k"))
        assert bank.house.state.accounts.balances == {}


async def test_nobody_begins_with_money_and_nobody_overdraws() -> None:
    """W19: a new account holds nothing; 64 transfers at once spend what is there and no more."""
    async with open_bank() as bank:
        assert (await bank.desk.balance("new")).available_micro == 0
        await bank.desk.credit("ann", 1_000, memo="cash", key=key("c"))
        tries = [bank.desk.transfer("ann", "bob", 100, memo="", key=key(f"t{n}")) for n in range(64)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(outcome, InsufficientBalanceError) for outcome in outcomes) == 54
        assert (await bank.desk.balance("ann")).available_micro == 0
        assert (await bank.desk.balance("bob")).available_micro == 1_000


async def test_one_key_is_one_command() -> None:
    """W22: the same key at once and again moves the money once; with another request it is refused."""
    async with open_bank() as bank:
        await bank.desk.credit("ann", 1_000, memo="cash", key=key("c"))
        again = [bank.desk.transfer("ann", "bob", 100, memo="", key=key("t")) for _ in range(8)]
        answers = await asyncio.gather(*again)
        assert len({answer.posting_id for answer in answers}) == 1
        assert (await bank.desk.balance("bob")).available_micro == 100
        with pytest.raises(IdempotencyConflictError):
            await bank.desk.transfer("ann", "bob", 100, memo="", key=key("t", b"other"))


async def test_amounts_and_memos_that_cannot_be_meant_are_refused() -> None:
    """Nothing, less than nothing, more than there is, to oneself, by hand without a word."""
    async with open_bank() as bank:
        for amount in (0, -1, 2**60):
            with pytest.raises(InvalidInputError):
                await bank.desk.credit("ann", amount, memo="cash", key=key("c"))
        with pytest.raises(InvalidInputError):
            await bank.desk.credit("ann", 1, memo="  ", key=key("c"))
        with pytest.raises(InvalidInputError):
            await bank.desk.transfer("ann", "ann", 1, memo="", key=key("c"))
        with pytest.raises(InvalidInputError):
            await bank.desk.statement("ann", limit=1_000)
