"""One agent hires another and pays out of its purse: policy, one payment per message, lost answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from life.anima.custody.in_process import InProcessAnima
from life.haima.errors import OutcomeUnknownError, PolicyDeniedError
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy
from life.host import a2a_paying
from life.host.a2a import EgressHttp
from life.host.a2a_paying import PayingAgent
from life.host.clock import SystemClock
from life.lago.journal.memory import MemoryJournal
from life.spaces.a2a.card import X402_EXTENSION
from life.spaces.a2a.client import A2aClient, discover
from life.spaces.a2a.errors import PeerUnavailableError
from life.spaces.a2a.wire import Message, TaskState, text_of
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.shop import PRICE_ATOMIC, Shop, plain_app
from tests.spaces.a2a.kit import FREE, PAID, House, house
from tests.spaces.a2a.test_payment import till_of

PAYER_KEY = bytes.fromhex("59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")
KEYED = {"metadata": {"skillId": "report"}}


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """A ledger whose payer has money."""
    made = Shop(app=plain_app, routes={"/unused": "$0.01"}, clock=ManualClock(SystemClock().now_us()))
    await made.fund()
    yield made
    await made.aclose()


@asynccontextmanager
async def hiring(home: House, shop: Shop) -> AsyncIterator[tuple[A2aClient, PayingAgent]]:
    """A client with a purse."""
    clock = SystemClock()
    payer = Payer(
        journal=MemoryJournal(),
        custody=InProcessAnima.from_wallet_key(bytearray(PAYER_KEY), clock=clock),
        clock=clock,
        entropy=SeededEntropy("hiring"),
        agent_id="hirer",
        policy=PaymentPolicy(auto_approve_cap_micro=50_000, max_tx_per_minute=1_000),
    )
    await payer.open()
    async with httpx2.AsyncClient(timeout=20) as http:
        peer = await discover(home.address, EgressHttp(http), trusted=home.did.__eq__, extensions=(X402_EXTENSION,))
        try:
            yield peer, PayingAgent(peer, payer, clock)
        finally:
            await payer.aclose()


async def test_an_agent_hires_another_and_pays_once(tmp_path: Path, shop: Shop) -> None:
    """A free task costs nothing; a paid one is decided, signed, paid and delivered with its receipt; hired again with the same message it is
    the same task and no second payment; beyond the ceiling nothing is signed."""
    async with house(tmp_path, skills=(FREE, PAID), till=till_of(shop)) as home, hiring(home, shop) as (peer, purse):
        free = await purse.hire(peer.say("hello", message_id="free-1"))
        assert (free.receipt, free.task.status.state) == (None, TaskState.COMPLETED)
        order = peer.say("write", message_id="order-1", **KEYED)  # type: ignore[arg-type]
        hired = await purse.hire(order)
        assert hired.task.status.state is TaskState.COMPLETED
        assert text_of(hired.task.artifacts[0].parts) == "You said 'write', question 1."
        assert hired.receipt is not None
        assert hired.receipt.state == "settled"
        again = await purse.hire(order)
        assert again.task.id == hired.task.id
        assert await shop.earned() == PRICE_ATOMIC
        dear = peer.say("write", message_id="order-2", **KEYED)  # type: ignore[arg-type]
        with pytest.raises(PolicyDeniedError):
            await purse.hire(dear, max_amount_micro=PRICE_ATOMIC - 1)
        assert await shop.earned() == PRICE_ATOMIC


async def test_a_lost_answer_to_a_payment_is_finished_with_the_same_payment(tmp_path: Path, shop: Shop) -> None:
    """The line breaks after the payment left: the outcome is unknown, nothing is paid anew, and hiring again finishes it."""

    class Breaking(A2aClient):
        broken = False

        async def send(self, message: Message, configuration: Any = None) -> Any:
            """Lose the answer to the first payment."""
            answer = await super().send(message, configuration)
            if message.task_id and not Breaking.broken:
                Breaking.broken = True
                raise PeerUnavailableError("cut")
            return answer

    async with house(tmp_path, skills=(FREE, PAID), till=till_of(shop)) as home, hiring(home, shop) as (peer, purse):
        peer.__class__ = Breaking
        order = peer.say("write", message_id="order-1", **KEYED)  # type: ignore[arg-type]
        with pytest.raises(OutcomeUnknownError):
            await purse.hire(order)
        hired = await purse.hire(order)
        assert hired.task.status.state is TaskState.COMPLETED
        assert await shop.earned() == PRICE_ATOMIC
        assert shop.facilitator.settled == 1


async def test_a_payment_that_nobody_decides_about_stays_open(
    tmp_path: Path, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer took the payment and says nothing of it: its outcome is unknown (not "unconfirmed, and go on"), and hiring again finishes it."""

    def silenced(task: Any) -> Any:
        status = msgspec.structs.replace(task.status, state=TaskState.WORKING, message=None)
        return msgspec.structs.replace(task, status=status, history=(), metadata=None)

    class Silent(A2aClient):
        silent = True

        async def send(self, message: Message, configuration: Any = None) -> Any:
            """Nothing of a payment."""
            answer = await super().send(message, configuration)
            return silenced(answer) if message.task_id and Silent.silent else answer

        async def get(self, task_id: str, history_length: int | None = None) -> Any:
            """Nothing either."""
            answer = await super().get(task_id)
            return silenced(answer) if Silent.silent else answer

    monkeypatch.setattr(a2a_paying, "MAX_LOOKS", 2)
    async with house(tmp_path, skills=(FREE, PAID), till=till_of(shop)) as home, hiring(home, shop) as (peer, purse):
        peer.__class__ = Silent
        order = peer.say("write", message_id="order-1", **KEYED)  # type: ignore[arg-type]
        with pytest.raises(OutcomeUnknownError):
            await purse.hire(order)
        Silent.silent = False
        assert (await purse.hire(order)).task.status.state is TaskState.COMPLETED
        assert await shop.earned() == PRICE_ATOMIC
