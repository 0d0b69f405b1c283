"""A shop, its facilitator and a payer around one Solana node, in this process; and a line between them that breaks."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from starlette.types import Receive, Scope, Send

from life.aios.ports.journal import EventQuery, Journal
from life.haima.chain.json_rpc import JsonRpc
from life.haima.events import FinanceEvent, read_finance, wallet_stream
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy
from life.haima.solana.paying import SolanaAccount
from life.haima.solana.rpc import SolanaRpc
from life.haima.x402 import wire
from life.haima.x402.driving import CONTEXT
from life.haima.x402.middleware import X402Middleware
from life.haima.x402.networks import SOLANA_DEVNET
from life.haima.x402.transport import AsyncPayingTransport
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import SeededEntropy
from tests.haima.faulty_journal import CrashError
from tests.haima.solana.kit import PAYEE, InstantClock, facilitator, payer
from tests.harness.solana_node import SolanaNode

OPEN = PaymentPolicy(max_tx_per_minute=1_000_000, auto_approve_cap_micro=1_000_000)
_opened: list[Callable[[], Awaitable[None]]] = []


async def close_all() -> None:
    """Close every connection that a test's shops and payers left open."""
    while _opened:
        await _opened.pop()()


Change = Callable[[dict[str, Any]], None]
"""Changes the terms of a 402."""


class Shop:
    """Sells /paid for a cent on Solana, over a journal of its own. `runs` counts how often the handler ran."""

    def __init__(self, node: SolanaNode) -> None:
        self.runs = 0
        self.journal = MemoryJournal()
        self.facilitator = facilitator(node, MemoryJournal())
        _opened.append(self.facilitator.aclose)
        self.app = X402Middleware(
            self._answer,
            routes={"GET /paid": "$0.01"},
            pay_to=PAYEE,
            network=SOLANA_DEVNET,
            facilitator=self.facilitator,
            journal=self.journal,
            clock=InstantClock(),
            entropy=SeededEntropy("shop"),
        )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.runs += 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"the goods"})


class Line(httpx2.AsyncBaseTransport):
    """To the shop. `crash` dies before a payment leaves or before its answer arrives; `lose` loses the answer; `change` alters
    the terms on the way; every payment that leaves is kept."""

    def __init__(self, shop: Shop) -> None:
        self._inner = httpx2.ASGITransport(shop.app)
        self.sent: list[str] = []
        self.crash = ""
        self.lose = 0
        self.change: Change | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """See the class."""
        payment = request.headers.get(wire.PAYMENT_SIGNATURE)
        if payment is not None and self.crash == "before_sending":
            raise CrashError
        if payment is not None:
            self.sent.append(payment)
        answer = await self._inner.handle_async_request(request)
        if payment is not None and self.crash == "before_the_answer":
            raise CrashError
        if payment is not None and self.lose:
            self.lose -= 1
            raise httpx2.ReadError("the line broke")
        if payment is None and self.change is not None and answer.status_code == 402:
            terms = json.loads(base64.b64decode(answer.headers[wire.PAYMENT_REQUIRED]))
            self.change(terms)
            header = base64.b64encode(json.dumps(terms).encode()).decode()
            return httpx2.Response(402, headers={wire.PAYMENT_REQUIRED: header})
        return answer

    @property
    def transactions(self) -> list[str]:
        """The transactions of all payments that left."""
        return [json.loads(base64.b64decode(header))["payload"]["transaction"] for header in self.sent]


def account(node: SolanaNode) -> SolanaAccount:
    """The payer's wallet and node."""
    rpc = SolanaRpc(JsonRpc(node.url, timeout_s=5))
    _opened.append(rpc.aclose)
    return SolanaAccount(payer(), rpc, network=SOLANA_DEVNET)


def make_payer(
    node: SolanaNode,
    journal: Journal,
    clock: InstantClock,
    *,
    seed: str = "payer",
    policy: PaymentPolicy = OPEN,
    ride_along_us: int = 0,
) -> Payer:
    """A payer as a new process would make it."""
    return Payer(
        journal=journal,
        custody=None,
        clock=clock,
        entropy=SeededEntropy(seed),
        agent_id="agent-1",
        policy=policy,
        session_id="s",
        ride_along_us=ride_along_us,
        solana=account(node),
    )


@asynccontextmanager
async def client_of(payer: Payer, line: Line) -> AsyncIterator[httpx2.AsyncClient]:
    """A client that pays."""
    transport = AsyncPayingTransport(payer, line)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def buy(payer: Payer, line: Line, purchase_id: str = "order-1") -> httpx2.Response:
    """One purchase."""
    async with client_of(payer, line) as client:
        return await client.get("/paid", extensions={CONTEXT: {"purchase_id": purchase_id}})


async def written(journal: Journal) -> list[FinanceEvent]:
    """The wallet's events."""
    stream = wallet_stream(SOLANA_DEVNET, payer().address)
    records = await journal.read(EventQuery(stream.session_id, stream.branch_id), limit=10_000)
    return [event for record in records if (event := read_finance(record)) is not None]
