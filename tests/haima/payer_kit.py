"""What the payer's tests share: a wallet whose key everybody knows, books in memory, and a payer around them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import httpx2

from life.aios.ports.journal import EventQuery, Journal
from life.anima.custody.in_process import InProcessAnima
from life.haima.events import FinanceEvent, read_finance, wallet_stream
from life.haima.payer import AuthorizationReader, Payer
from life.haima.policy import Mode, PaymentPolicy, SoulLimits
from life.haima.reservations import WalletState
from life.haima.wallet_log import RIDE_ALONG_US
from life.haima.x402.networks import LOCAL
from life.haima.x402.transport import AsyncPayingTransport
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.payee import Payee

KEY_HEX = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
"""The second development key that every EVM toolkit prints (x402.md §8)."""
ADDRESS = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
AGENT = "agent-1"

OPEN_POLICY = PaymentPolicy(max_tx_per_minute=1_000_000)
"""The defaults without the rate limit."""


def wallet(clock: ManualClock) -> InProcessAnima:
    """The development wallet."""
    return InProcessAnima.from_wallet_key(bytearray.fromhex(KEY_HEX), clock=clock)


class Kit(NamedTuple):
    """A payer, its client, its payee and everything around them."""

    payer: Payer
    client: httpx2.AsyncClient
    payee: Payee
    journal: Journal
    clock: ManualClock


@asynccontextmanager
async def paying(
    *,
    payee: Payee | None = None,
    journal: Journal | None = None,
    clock: ManualClock | None = None,
    seed: str = "payer",
    policy: PaymentPolicy = OPEN_POLICY,
    mode: Callable[[], Mode] | None = None,
    soul: SoulLimits | None = None,
    chain: AuthorizationReader | None = None,
    session_id: str | None = "session-1",
    ride_along_us: int = RIDE_ALONG_US,
) -> AsyncIterator[Kit]:
    """A payer whose client talks to the payee in this process."""
    clock = clock or ManualClock()
    payee = payee or Payee(now_s=lambda: clock.now_us() // 1_000_000)
    journal = journal if journal is not None else MemoryJournal()
    payer = Payer(
        journal=journal,
        custody=wallet(clock),
        clock=clock,
        entropy=SeededEntropy(seed),
        agent_id=AGENT,
        policy=policy,
        mode=mode,
        soul=soul,
        authorization_state=chain,
        session_id=session_id,
        ride_along_us=ride_along_us,
    )
    await payer.open()
    transport = AsyncPayingTransport(payer, httpx2.ASGITransport(payee))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        try:
            yield Kit(payer, client, payee, journal, clock)
        finally:
            await payer.aclose()


async def finance_events(journal: Journal, network: str = LOCAL) -> list[FinanceEvent]:
    """Everything in the wallet's stream, in order."""
    stream = wallet_stream(network, ADDRESS)
    records = await journal.read(EventQuery(stream.session_id, stream.branch_id), limit=10_000)
    events = [read_finance(record) for record in records]
    assert None not in events
    return [event for event in events if event is not None]


async def kinds(journal: Journal, network: str = LOCAL) -> list[str]:
    """The names of the events in the wallet's stream, in order."""
    return [type(event).__name__ for event in await finance_events(journal, network)]


async def replayed(journal: Journal, network: str = LOCAL) -> WalletState:
    """The wallet's state, folded anew from the journal."""
    stream = wallet_stream(network, ADDRESS)
    state = WalletState()
    after = 0
    while records := await journal.read(
        EventQuery(stream.session_id, stream.branch_id, after_sequence=after), limit=5_000
    ):
        for record in records:
            state.apply(read_finance(record), record.timestamp_us)
            after = record.sequence
    return state


def same_state(left: WalletState, right: WalletState) -> bool:
    """Whether two folds are equal, byte for byte; on a difference the test shows it."""
    if left.encode() == right.encode():
        return True
    a, b = json.loads(left.encode()), json.loads(right.encode())
    raise AssertionError({key: (a[key], b[key]) for key in a if a[key] != b[key]})
