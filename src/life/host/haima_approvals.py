"""The approval queue of a directory, and what an operator does with its wallets without their keys.

async with open_desk(".life") as desk:
    await desk.decide(ticket_id, approved=True, by="ada")
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from life.aios.errors import ConflictError, InvalidInputError, NotFoundError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.record import Stream
from life.haima.approval_desk import WALLET_PREFIX, ApprovalDesk
from life.haima.payment_outcomes import settled_event
from life.haima.policy import MAX_AMOUNT_MICRO, PaymentPolicy
from life.haima.purse import Purse
from life.haima.reservations import Payment
from life.haima.x402.networks import chain_id_of, is_solana
from life.host.clock import SystemClock, SystemEntropy
from life.host.haima_directory import JOURNAL_FILE
from life.host.haima_wallet import read_address
from life.lago.journal.sqlite import SqliteJournal

OPERATOR = "operator"
"""Who stands in the journal as the author of an operator's decisions."""


class WalletView(NamedTuple):
    """One wallet on one network, as its journal has it. Amounts in micro-credits."""

    network: str
    address: str
    settled_micro: int
    outstanding_micro: int
    total_cap_micro: int | None
    open_payments: tuple[Payment, ...]


@asynccontextmanager
async def open_journal(root: Path) -> AsyncIterator[Journal]:
    """The journal of a directory; NotFoundError when nothing was ever kept there."""
    path = root / JOURNAL_FILE
    if not path.exists():
        raise NotFoundError(
            f"There is no journal in {root}.", next_step="Name the directory that the payer uses (--state)."
        )
    async with SqliteJournal.open(path, clock=SystemClock()) as journal:
        yield journal


@asynccontextmanager
async def open_desk(
    root: Path | str, *, clock: Clock | None = None, entropy: Entropy | None = None
) -> AsyncIterator[ApprovalDesk]:
    """The approval queue of every wallet in a directory."""
    async with open_journal(Path(root)) as journal:
        desk = ApprovalDesk(journal, clock or SystemClock(), entropy or SystemEntropy(), agent_id=OPERATOR)
        try:
            yield desk
        finally:
            await desk.aclose()


@asynccontextmanager
async def open_purses(root: Path | str) -> AsyncIterator[list[Purse]]:
    """The books of every wallet in a directory, for reading them and for an operator's word. They sign nothing."""
    async with open_journal(Path(root)) as journal, purses_over(journal, SystemClock(), SystemEntropy()) as purses:
        yield purses


@asynccontextmanager
async def purses_over(journal: Journal, clock: Clock, entropy: Entropy) -> AsyncIterator[list[Purse]]:
    """The books of every wallet in an open journal; otherwise as `open_purses`."""
    purses = [
        Purse(
            journal,
            clock,
            entropy,
            network=network,
            address=address,
            agent_id=OPERATOR,
            policy=PaymentPolicy(session_spend_cap_micro=MAX_AMOUNT_MICRO),
        )
        for network, address in _wallets(await journal.streams())
    ]
    for purse in purses:
        await purse.open()
    try:
        yield purses
    finally:
        for purse in purses:
            await purse.aclose()


def view(purse: Purse) -> WalletView:
    """What the books of a wallet say."""
    state = purse.state
    return WalletView(
        purse.network,
        purse.address,
        state.settled_micro,
        state.outstanding_micro,
        state.total_cap_micro,
        tuple(state.open_payments()),
    )


def choose_purse(purses: list[Purse], *, network: str | None, address: str | None) -> Purse:
    """The one wallet that is meant. NotFoundError when none is, InvalidInputError when several are."""
    found = [
        purse
        for purse in purses
        if (network is None or purse.network == network)
        and (address is None or purse.address.lower() == address.strip().lower())
    ]
    if not found:
        raise NotFoundError("There is no such wallet in this directory.")
    if len(found) > 1:
        names = ", ".join(f"{purse.address} on {purse.network}" for purse in found)
        raise InvalidInputError(
            f"Several wallets are here: {names}.", next_step="Name one with --network and --wallet."
        )
    return found[0]


async def resolve_payment(purses: list[Purse], payment_id: str, *, charged: bool) -> Payment:
    """An operator's word on an open payment. NotFoundError when none is open under this id; ConflictError when it is to be
    given back while it can still be settled."""
    clock = SystemClock()
    for purse in purses:
        payment = purse.state.payment(payment_id)
        if payment is None or not payment.open:
            continue
        if charged:
            purse.settle(settled_event(payment, "", "operator", now_us=clock.now_us()))
        elif payment.expired(clock.now_us()):
            purse.release(payment, "resolved_by_operator")
        else:
            raise ConflictError(
                "This payment can still be settled by its payee; it can't be given back before its time is over.",
                details={"payment_id": payment_id, "valid_before_s": payment.reserved.valid_before_s},
            )
        await purse.flush()
        return purse.state.payment(payment_id) or payment
    raise NotFoundError("No payment is open under this id.", details={"payment_id": payment_id})


def _wallets(streams: list[Stream]) -> list[tuple[str, str]]:
    """(network, address) of every wallet stream."""
    found = []
    for stream in streams:
        if stream.session_id.startswith(WALLET_PREFIX):
            network, _, address = stream.session_id[len(WALLET_PREFIX) :].rpartition(":")
            if chain_id_of(network) is not None:
                found.append((network, read_address(address, "wallet")))
            elif is_solana(network):
                found.append((network, address))
    return found
