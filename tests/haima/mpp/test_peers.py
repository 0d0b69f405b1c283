"""pympp, the official Python package of the Machine Payments Protocol, as client of our shop and as shop of our client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import msgspec
import pytest

from life.anima.custody.in_process import InProcessAnima
from life.haima import events
from life.haima.chain.local_ledger import LocalLedger
from life.haima.errors import NoAcceptableTermsError, OutcomeUnknownError, PolicyDeniedError
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy
from life.haima.x402.driving import CONTEXT, RECEIPT
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.haima.x402.transport import AsyncPayingTransport
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE, PAYER
from life.testing.clock import SeededEntropy
from tests.haima.mpp.kit import MppShop, PyMppShop, present_clock, pympp_client, receipt_of
from tests.haima.payer_kit import AGENT, KEY_HEX, finance_events, wallet
from tests.haima.shop import PRICE_ATOMIC

POLICY = PaymentPolicy(auto_approve_cap_micro=PRICE_ATOMIC, max_tx_per_minute=1_000_000)
STRANGER = "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a"


class Bench:
    """Our payer, a local ledger, and pympp's shop."""

    def __init__(self, **options: Any) -> None:
        self.clock = present_clock()
        self.journal = MemoryJournal()
        self.ledger = LocalLedger(self.journal, self.clock, SeededEntropy("ledger"), network=LOCAL)
        self.facilitator = SelfHostedFacilitator([self.ledger], self.journal, self.clock, SeededEntropy("facilitator"))
        self.shop = PyMppShop(self.facilitator, **options)

    async def earned(self) -> int:
        """What the payee holds."""
        return await self.ledger.balance(PAYEE, asset=PLAY_MONEY.address)

    @asynccontextmanager
    async def client(self, policy: PaymentPolicy = POLICY, **options: Any) -> AsyncIterator[httpx2.AsyncClient]:
        """Our client, whose requests go to the shop."""
        await self.ledger.fund(PAYER, 1_000_000, asset=PLAY_MONEY.address)
        payer = Payer(
            journal=self.journal,
            custody=wallet(self.clock),
            clock=self.clock,
            entropy=SeededEntropy("payer"),
            agent_id=AGENT,
            policy=policy,
            session_id="s",
            **options,
        )
        async with payer:
            transport = AsyncPayingTransport(payer, httpx2.ASGITransport(self.shop))
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
                yield client


async def test_pympp_pays_our_shop() -> None:
    """The official client pays twice, for two answers: each payment moves once, runs once, is booked once, and has its
    receipt; x402's own header is not among its answers."""
    shop = MppShop(clock=present_clock())
    await shop.fund()
    async with pympp_client(shop.payments_app) as client:
        for number in (1, 2):
            answer = await client.get("/paid")
            assert answer.status_code == 200
            assert answer.json()["runs"] == number
            receipt = receipt_of(answer)  # type: ignore[arg-type]
            assert (receipt.status, receipt.method) == ("success", "evm")
            assert receipt.reference.startswith("local:")
            assert "payment-response" not in answer.headers
            assert "private" in answer.headers["cache-control"]
    assert await shop.earned() == await shop.booked() == 2 * PRICE_ATOMIC
    await shop.aclose()


async def test_pympp_without_money_is_refused() -> None:
    """Nothing moves, no handler runs, and the answer is a 402 with a new challenge."""
    shop = MppShop(clock=present_clock())
    await shop.warm_up()
    async with pympp_client(shop.payments_app, key=STRANGER) as client:
        answer = await client.get("/paid")
        assert answer.status_code == 402
        assert "www-authenticate" in answer.headers
    assert (await shop.hits())["paid"] == 0
    assert await shop.earned() == 0
    await shop.aclose()


async def test_pympp_pays_where_authorization_is_the_applications_own() -> None:
    """`Payment-Authorization` is advertised and used; the application still gets its bearer token."""
    seen: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend(value for name, value in scope["headers"] if name == b"authorization")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"goods"})

    shop = MppShop(clock=present_clock(), app=app, routes={"/paid": "$0.01"}, credentials_in="Payment-Authorization")
    await shop.fund()
    async with pympp_client(shop.payments_app) as client:
        answer = await client.get("/paid", headers={"Authorization": "Bearer mine"})
        assert (answer.status_code, answer.content) == (200, b"goods")
    assert seen == [b"Bearer mine"]
    assert await shop.booked() == PRICE_ATOMIC
    await shop.aclose()


async def test_our_client_pays_pympps_shop() -> None:
    """The same payer, policy and books as for x402: reserved before it is signed, settled by the receipt, paid once. (The
    shop asks on both rails, but takes x402 only with its own route binding; the payer sees that.)"""
    bench = Bench()
    async with bench.client() as client:
        answer = await client.get("/paid")
        assert (answer.status_code, answer.json()) == (200, {"runs": 1})
        receipt = answer.extensions[RECEIPT]
        assert receipt.state == "settled"
        assert receipt.transaction == receipt_of(answer).reference
    assert await bench.earned() == PRICE_ATOMIC
    written = await finance_events(bench.journal)
    [reserved] = [event for event in written if isinstance(event, events.PaymentReserved)]
    [settled] = [event for event in written if isinstance(event, events.PaymentSettled)]
    assert reserved.rail == "mpp"
    assert settled.tx_hash == receipt.transaction
    assert [headers.get("payment-signature") for headers in bench.shop.seen] == [None, None]


async def test_our_client_keeps_its_own_authorization_where_the_shop_wants_that() -> None:
    """A shop that advertises `Payment-Authorization` gets the credential there, beside our bearer token."""
    bench = Bench(requires_auth=True)
    async with bench.client() as client:
        answer = await client.get("/paid", headers={"Authorization": "Bearer mine"})
        assert answer.status_code == 200
    assert bench.shop.seen[-1]["authorization"] == "Bearer mine"
    assert bench.shop.seen[-1]["payment-authorization"].startswith("Payment ")


async def test_a_challenge_that_is_bound_to_the_body_is_paid_with_that_body() -> None:
    """pympp's digest over the request's body is checked before anything is reserved, and holds."""
    bench = Bench()
    bench.shop.body = True
    async with bench.client() as client:
        answer = await client.post("/paid", content=b'{"order": 1}')
        assert answer.status_code == 200
    assert await bench.earned() == PRICE_ATOMIC


async def test_the_policy_is_the_same() -> None:
    """What the policy forbids is not signed on this rail either: the cap holds over both purchases."""
    bench = Bench()
    async with bench.client(msgspec.structs.replace(POLICY, total_cap_micro=PRICE_ATOMIC)) as client:
        assert (await client.get("/paid")).status_code == 200
        with pytest.raises(PolicyDeniedError) as denied:
            await client.get("/paid")
        assert denied.value.verdict == "total_cap"
        with pytest.raises(PolicyDeniedError):
            await client.get("/paid", extensions={CONTEXT: {"max_amount_micro": 1}})
    assert await bench.earned() == PRICE_ATOMIC
    assert bench.shop.runs == 1


async def test_a_lost_answer_is_not_paid_again() -> None:
    """pympp's shop gives an answer once. Ours says that nobody knows, sends the identical credential again, and is told 403:
    the books keep counting the payment, and no second one is made."""
    bench = Bench()
    bench.shop.loses_answers = 1
    async with bench.client() as client:
        for _ in range(2):
            with pytest.raises(OutcomeUnknownError):
                await client.get("/paid", extensions={CONTEXT: {"purchase_id": "order-1"}})
    assert await bench.earned() == PRICE_ATOMIC
    credentials = {headers["authorization"] for headers in bench.shop.seen if "authorization" in headers}
    assert len(credentials) == 1
    written = await finance_events(bench.journal)
    assert sum(isinstance(event, events.PaymentReserved) for event in written) == 1
    assert not any(isinstance(event, events.PaymentReleased) for event in written)


async def test_somebody_elses_realm_is_not_paid() -> None:
    """A challenge of another realm than the host asked is refused before anything is reserved, unless the payer was told to
    trust it there."""
    bench = Bench(realm="bank.example")
    async with bench.client(prefer_rail="mpp") as client:
        with pytest.raises(NoAcceptableTermsError, match=r"bank\.example"):
            await client.get("/paid")
    assert await bench.earned() == 0
    trusting = Bench(realm="bank.example")
    async with trusting.client(realms={"http://localhost": "bank.example"}) as client:
        assert (await client.get("/paid")).status_code == 200


def test_the_wallet_of_these_tests() -> None:
    """The key is the one that everybody knows."""
    assert (
        InProcessAnima.from_wallet_key(bytearray.fromhex(KEY_HEX), clock=present_clock()).capabilities().wallet_address
        == PAYER
    )
