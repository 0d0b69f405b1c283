"""X402Middleware: selling, asking, refusing, repeating."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import httpx2
import pytest
from starlette.types import Message, Receive, Scope, Send

from life.aios.errors import InvalidInputError, JournalFullError
from life.aios.ports.journal import Appended
from life.aios.record import NewEvent, Stream
from life.haima import events
from life.haima.errors import FacilitatorUnavailableError, OutcomeUnknownError
from life.haima.x402 import codes, wire
from life.haima.x402.cashier import Payment
from life.haima.x402.middleware import X402Middleware
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.haima.x402.paid_routes import Route
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE, PAYER
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.shop import PRICE, PRICE_ATOMIC, CountingFacilitator, Shop, error_of, plain_app, settlement_of


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """The demo application, with a payer who has money."""
    made = Shop()
    await made.fund()
    yield made
    await made.aclose()


async def test_asks_for_money(shop: Shop) -> None:
    """An unpaid request gets 402 with the terms in PAYMENT-REQUIRED, which no cache may keep; nothing ran."""
    answer = await shop.get("/paid")
    assert answer.status_code == 402
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "haima.payment_required"
    terms = wire.decode_payment_required(answer.headers["payment-required"])
    (_, offer), *others = terms.requirements()
    assert not others
    assert offer == wire.PaymentRequirements(
        scheme="exact",
        network=LOCAL,
        amount=str(PRICE_ATOMIC),
        asset=PLAY_MONEY.address,
        pay_to=PAYEE,
        max_timeout_seconds=300,
        extra={"name": PLAY_MONEY.name, "version": PLAY_MONEY.version},
    )
    resource = wire.read_resource(terms.resource)
    assert resource is not None
    assert resource.url == "http://shop.test/paid"
    assert (await shop.hits())["paid"] == 0


async def test_free_routes_pass_untouched(shop: Shop) -> None:
    """What is not priced is neither asked for money nor changed."""
    answer = await shop.get("/free", "not a payment")
    assert answer.status_code == 200
    assert answer.json() == {"route": "free", "method": "GET", "runs": 1}
    assert "payment-response" not in answer.headers
    assert shop.facilitator.verified == 0


async def test_sells_once(shop: Shop) -> None:
    """A good payment gets the handler's answer, the settlement, one transfer and one booking."""
    answer = await shop.get("/paid", shop.pay(1))
    assert answer.status_code == 200
    assert answer.json() == {"route": "paid", "method": "GET", "runs": 1}
    assert answer.headers["cache-control"] == "private"
    settlement = settlement_of(answer)
    assert settlement.success
    assert settlement.payer == PAYER
    assert settlement.network == LOCAL
    assert settlement.transaction.startswith("local:")
    assert await shop.earned() == PRICE_ATOMIC
    assert await shop.booked() == PRICE_ATOMIC
    assert [type(event).__name__ for event in await shop.events()] == [
        "ChargeClaimed",
        "ChargeServed",
        "RevenueReceived",
    ]


async def test_same_payment_at_once_runs_once(shop: Shop) -> None:
    """Thirty-two arrivals of one payment: the handler runs once, one settlement, one booking, everybody gets the answer
    (x402.md §12 row 1)."""
    runs = 0

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.02)
        await plain_app(scope, receive, send)

    busy = Shop(journal=shop.journal, clock=shop.clock, app=slow, routes={"/goods": PRICE}, entropy_seed="busy")
    header = shop.pay(1)
    found = await asyncio.gather(*(busy.get("/goods", header) for _ in range(32)))
    assert {(answer.status_code, answer.content) for answer in found} == {(200, b"goods")}
    assert len({answer.headers["payment-response"] for answer in found}) == 1
    assert runs == busy.facilitator.settled == 1
    assert await shop.earned() == await shop.booked() == PRICE_ATOMIC
    await busy.aclose()


async def test_repetition_gets_the_first_answer(shop: Shop) -> None:
    """The same payment later gets the kept answer and settlement; nothing runs or moves again (x402.md §12 row 3)."""
    first = await shop.get("/paid", shop.pay(1))
    for _ in range(3):
        again = await shop.get("/paid", shop.pay(1))
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers["payment-response"] == first.headers["payment-response"]
        assert again.headers["content-type"] == "application/json"
    assert (await shop.hits())["paid"] == 1
    assert shop.facilitator.settled == 1
    assert await shop.earned() == await shop.booked() == PRICE_ATOMIC


async def test_repetition_after_a_restart_gets_the_first_answer(shop: Shop) -> None:
    """Another process over the same journal gives the kept answer as well."""
    first = await shop.get("/paid", shop.pay(1))
    restarted = Shop(journal=shop.journal, clock=shop.clock, entropy_seed="restarted")
    again = await restarted.get("/paid", shop.pay(1))
    assert (again.status_code, again.content) == (200, first.content)
    assert (await restarted.hits())["paid"] == 0
    assert await restarted.booked() == PRICE_ATOMIC
    await restarted.aclose()


async def test_late_repetition_gets_the_answer_for_an_hour(shop: Shop) -> None:
    """After the payment's window its repetition still gets the answer; when that is no longer kept, 409 says that it was
    paid, never 402."""
    header = shop.pay(1)
    await shop.get("/paid", header)
    shop.clock.advance_us(900 * 1_000_000)
    assert (await shop.get("/paid", header)).status_code == 200
    shop.clock.advance_us(3600 * 1_000_000)
    late = await shop.get("/paid", header)
    assert late.status_code == 409
    assert late.json()["code"] == "haima.already_paid"
    assert settlement_of(late).success


async def test_spent_payment_buys_nothing_else(shop: Shop) -> None:
    """A payment that bought one resource is refused for another, and for the same one with another query."""
    header = shop.pay(1)
    await shop.get("/paid", header)
    for path in ("/fail", "/paid?other=1"):
        answer = await shop.get(path, header)
        assert answer.status_code == 402
        assert error_of(answer) == codes.NONCE_ALREADY_USED
    posted = await shop.client.post("/paid", headers={"PAYMENT-SIGNATURE": header})
    assert posted.status_code == 402
    assert await shop.hits() == {"paid": 1, "free": 0, "fail": 0}


async def test_failed_handler_costs_nothing(shop: Shop) -> None:
    """An answer of 400 or more is passed on and says that nothing was settled; the payment can be used again, also
    elsewhere."""
    header = shop.pay(1)
    for runs in (1, 2):
        failed = await shop.get("/fail", header)
        assert failed.status_code == 500
        assert failed.json() == {"route": "fail", "method": "GET", "runs": runs}
        settlement = settlement_of(failed)
        assert (settlement.success, settlement.error_reason, settlement.transaction) == (
            False,
            codes.HANDLER_FAILED,
            "",
        )
    assert shop.facilitator.settled == 0
    assert (await shop.get("/paid", header)).status_code == 200
    assert await shop.earned() == await shop.booked() == PRICE_ATOMIC


async def test_failed_handler_at_once_answers_everybody(shop: Shop) -> None:
    """Arrivals that wait for a handler that fails get its answer; it does not run for each of them."""
    runs = 0

    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.02)
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": b"no coffee"})

    broken = Shop(journal=shop.journal, clock=shop.clock, app=failing, routes={"/coffee": PRICE}, entropy_seed="broken")
    header = shop.pay(1)
    found = await asyncio.gather(*(broken.get("/coffee", header) for _ in range(16)))
    assert {(answer.status_code, answer.content) for answer in found} == {(418, b"no coffee")}
    assert runs == 1
    await broken.aclose()


async def test_payment_of_a_handler_that_always_fails_ends(shop: Shop) -> None:
    """A payment may be presented 64 times to a handler that fails; then it is refused, so the journal can't be filled."""
    header = shop.pay(1)
    for _ in range(64):
        assert (await shop.get("/fail", header)).status_code == 500
    assert (await shop.get("/fail", header)).status_code == 402


async def test_raising_handler_costs_nothing() -> None:
    """An exception gives the payment back and goes on to the server; those who wait get a 500."""
    started = 0

    async def raising(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal started
        started += 1
        if started == 1:
            await asyncio.sleep(0.01)
            raise ValueError("the handler's own trouble")
        await plain_app(scope, receive, send)

    shop = Shop(app=raising, routes={"/goods": PRICE})
    await shop.fund()
    header = shop.pay(1)
    first, second = await asyncio.gather(shop.get("/goods", header), shop.get("/goods", header), return_exceptions=True)
    assert isinstance(first, ValueError)
    assert isinstance(second, httpx2.Response)
    assert second.json()["code"] == "haima.handler_failed"
    assert await shop.earned() == 0
    assert (await shop.get("/goods", header)).status_code == 200
    assert await shop.booked() == PRICE_ATOMIC
    await shop.aclose()


async def test_incomplete_answer_costs_nothing() -> None:
    """An application that ends without an answer is an error, and the payment stays unused."""

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    shop = Shop(app=silent, routes={"/goods": PRICE})
    await shop.fund()
    with pytest.raises(RuntimeError, match="without a complete answer"):
        await shop.get("/goods", shop.pay(1))
    assert await shop.earned() == 0
    await shop.aclose()


async def test_empty_wallet_runs_nothing(shop: Shop) -> None:
    """A payer without money is refused before the handler runs, with the reason and the terms."""
    poor = shop.pay(1, from_address="0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")
    from life.testing.chain import STRANGER_KEY, sign

    authorization = shop.authorization(1, from_address="0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")
    poor = shop.header(authorization, sign(authorization, STRANGER_KEY))
    answer = await shop.get("/paid", poor)
    assert answer.status_code == 402
    assert error_of(answer) == codes.INSUFFICIENT_BALANCE
    assert answer.json()["reason"] == codes.INSUFFICIENT_BALANCE
    assert (await shop.hits())["paid"] == 0
    assert shop.facilitator.settled == 0
    assert await shop.events() == []


async def test_money_gone_at_settlement_delivers_nothing(shop: Shop) -> None:
    """With local checks only, a payer without money gets a handler run for nothing, but neither answer nor 200; the
    refusal is final for this payment, and the answer says so in PAYMENT-RESPONSE."""
    lazy = Shop(journal=shop.journal, clock=shop.clock, verify="local", entropy_seed="lazy")
    from life.testing.chain import STRANGER_KEY, sign

    authorization = shop.authorization(1, from_address="0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")
    header = shop.header(authorization, sign(authorization, STRANGER_KEY))
    for _ in range(2):
        answer = await lazy.get("/paid", header)
        assert answer.status_code == 402
        assert b"runs" not in answer.content
        assert settlement_of(answer).error_reason == codes.INSUFFICIENT_BALANCE
    assert (await lazy.hits())["paid"] == 1
    assert await lazy.booked() == 0
    await lazy.aclose()


class Flaky:
    """A facilitator whose settlements fail as told, before or after the money moved."""

    def __init__(self, inner: CountingFacilitator, trouble: list[str]) -> None:
        self.inner = inner
        self.trouble = trouble
        self.is_repeatable = True

    async def repeatable(self) -> bool:
        """As told."""
        return self.is_repeatable

    async def verify(self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements) -> wire.VerifyResponse:
        """Down when told so."""
        if self.trouble and self.trouble[0] == "verify down":
            self.trouble.pop(0)
            raise FacilitatorUnavailableError("no answer")
        return await self.inner.verify(payload, requirements)

    async def settle(
        self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements
    ) -> wire.SettlementResponse:
        """Fails as told."""
        trouble = self.trouble.pop(0) if self.trouble else "none"
        if trouble == "down":
            raise FacilitatorUnavailableError("no answer")
        if trouble == "refuses":
            return wire.SettlementResponse(success=False, network=LOCAL, error_reason="nonce_already_used")
        settled = await self.inner.settle(payload, requirements)
        if trouble == "answer lost":
            raise OutcomeUnknownError("the answer got lost")
        if trouble == "pending":
            return wire.SettlementResponse(
                success=False,
                transaction=settled.transaction,
                network=LOCAL,
                error_reason=codes.SETTLEMENT_PENDING,
            )
        return settled

    async def supported(self) -> wire.SupportedResponse:
        """As the inner one."""
        return await self.inner.supported()

    async def aclose(self) -> None:
        """As the inner one."""
        await self.inner.aclose()


def flaky_shop(shop: Shop, *trouble: str) -> tuple[Shop, Flaky]:
    """A shop on the same ledger whose facilitator has trouble."""
    flaky = Flaky(shop.facilitator, list(trouble))
    return Shop(journal=shop.journal, clock=shop.clock, facilitator=flaky, entropy_seed="flaky"), flaky


@pytest.mark.parametrize("trouble", ["down", "answer lost", "pending"])
async def test_unknown_outcome_is_503_and_repetition_delivers(shop: Shop, trouble: str) -> None:
    """An outcome that nobody knows is 503 with Retry-After, never 402; the same payment again is delivered and charged
    once, whether the money had moved or not, and the handler does not run again (x402.md §12 rows 3, 8, 10)."""
    shaky, _ = flaky_shop(shop, trouble)
    header = shop.pay(1)
    unknown = await shaky.get("/paid", header)
    assert unknown.status_code == 503
    assert unknown.headers["retry-after"] == "2"
    assert "payment-required" not in unknown.headers
    assert settlement_of(unknown).error_reason == codes.SETTLEMENT_PENDING
    assert b"runs" not in unknown.content
    delivered = await shaky.get("/paid", header)
    assert delivered.status_code == 200
    assert delivered.json()["runs"] == 1
    assert (await shaky.hits())["paid"] == 1
    assert await shop.earned() == await shop.booked() == PRICE_ATOMIC
    await shaky.aclose()


async def test_facilitator_down_at_the_check_is_503(shop: Shop) -> None:
    """When the payment can't be checked nothing is claimed or run; later the same payment buys."""
    shaky, _ = flaky_shop(shop, "verify down")
    header = shop.pay(1)
    down = await shaky.get("/paid", header)
    assert down.status_code == 503
    assert down.json()["code"] == "haima.facilitator_unavailable"
    assert (await shaky.hits())["paid"] == 0
    assert (await shaky.get("/paid", header)).status_code == 200
    await shaky.aclose()


async def test_refusal_of_a_repeated_settlement_is_doubt(shop: Shop) -> None:
    """A facilitator that does not remember refuses what it settled itself. That is no refusal: the answer stays 503 until
    somebody who knows says so; then the kept answer is delivered (x402.md §12 row 4)."""
    shaky, flaky = flaky_shop(shop, "answer lost", "refuses", "refuses")
    flaky.is_repeatable = False
    header = shop.pay(1)
    for _ in range(3):
        assert (await shaky.get("/paid", header)).status_code == 503
    assert await shop.booked() == 0
    claimed = next(event for event in await shop.events() if isinstance(event, events.ChargeClaimed))
    await shaky.warm_up()
    assert await shaky.middleware.resolve(claimed.claim_key, transaction="0xabc")
    delivered = await shaky.get("/paid", header)
    assert delivered.status_code == 200
    assert settlement_of(delivered).transaction == "0xabc"
    assert await shop.booked() == PRICE_ATOMIC
    await shaky.aclose()


async def test_first_refusal_of_a_settlement_is_final(shop: Shop) -> None:
    """A facilitator that refuses the first settlement has moved nothing: 402, final, not booked."""
    shaky, _ = flaky_shop(shop, "refuses")
    header = shop.pay(1)
    for _ in range(2):
        refused = await shaky.get("/paid", header)
        assert refused.status_code == 402
        assert error_of(refused) == "nonce_already_used"
        assert not settlement_of(refused).success
    assert (await shaky.hits())["paid"] == 1
    assert await shop.booked() == 0
    await shaky.aclose()


async def test_settle_first_charges_before_it_runs(shop: Shop) -> None:
    """With `settle_first` the money has moved when the handler starts; a failure is delivered as it is, with the
    settlement, and is not run again."""
    seen: list[int] = []

    async def goods(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(await shop.earned())
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b"broken"})

    first = Shop(
        journal=shop.journal,
        clock=shop.clock,
        app=goods,
        routes={"/goods": Route(PRICE, settle_first=True)},
        entropy_seed="first",
    )
    header = shop.pay(1)
    for _ in range(2):
        answer = await first.get("/goods", header)
        assert (answer.status_code, answer.content) == (503, b"broken")
        assert settlement_of(answer).success
    assert seen == [PRICE_ATOMIC]
    assert await shop.booked() == PRICE_ATOMIC
    await first.aclose()


async def test_settle_first_refused_runs_nothing(shop: Shop) -> None:
    """With `settle_first` a payment that can't be settled runs nothing; an unknown outcome runs it when it is known."""
    flaky = Flaky(shop.facilitator, ["refuses", "answer lost"])
    ran: list[str] = []

    async def goods(scope: Scope, receive: Receive, send: Send) -> None:
        ran.append(scope["x402"].payment_id)
        await plain_app(scope, receive, send)

    first = Shop(
        journal=shop.journal,
        clock=shop.clock,
        facilitator=flaky,
        app=goods,
        routes={"/goods": Route(PRICE, settle_first=True)},
        entropy_seed="first",
    )
    assert (await first.get("/goods", shop.pay(1))).status_code == 402
    assert ran == []
    assert (await first.get("/goods", shop.pay(2))).status_code == 503
    assert ran == []
    assert (await first.get("/goods", shop.pay(2))).status_code == 200
    assert len(ran) == 1
    await first.aclose()


async def test_settle_first_with_raising_handler_owes_a_refund(shop: Shop) -> None:
    """With `settle_first` a handler that raises leaves a charged payment: it does not run again, and the repetition says
    that a refund is due."""

    async def raising(scope: Scope, receive: Receive, send: Send) -> None:
        raise ValueError("trouble")

    first = Shop(
        journal=shop.journal,
        clock=shop.clock,
        app=raising,
        routes={"/goods": Route(PRICE, settle_first=True)},
        entropy_seed="first",
    )
    with pytest.raises(ValueError, match="trouble"):
        await first.get("/goods", shop.pay(1))
    owed = await first.get("/goods", shop.pay(1))
    assert owed.status_code == 500
    assert owed.json()["code"] == "haima.delivery_failed"
    assert settlement_of(owed).success
    assert await shop.booked() == PRICE_ATOMIC
    await first.aclose()


async def test_handler_learns_who_paid(shop: Shop) -> None:
    """`scope["x402"]` tells the handler payer, amount and an id that is the same for every attempt of the payment."""
    payments: list[Payment] = []

    async def goods(scope: Scope, receive: Receive, send: Send) -> None:
        payments.append(scope["x402"])
        await send({"type": "http.response.start", "status": 500 if len(payments) == 1 else 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    curious = Shop(journal=shop.journal, clock=shop.clock, app=goods, routes={"/goods": PRICE}, entropy_seed="curious")
    header = shop.pay(1, identifier="order-0123456789")
    for status in (500, 200):
        assert (await curious.get("/goods", header)).status_code == status
    first, second = payments
    assert first.payment_id == second.payment_id
    assert (first.attempt, second.attempt) == (0, 1)
    assert (first.payer, first.amount_atomic, first.identifier) == (PAYER, PRICE_ATOMIC, "order-0123456789")
    await curious.aclose()


async def test_identifier_of_another_payment_is_a_conflict(shop: Shop) -> None:
    """One identifier, the same payment: the same answer. Another payment of this payer under it: 409, nothing runs."""
    first = await shop.get("/paid", shop.pay(1, identifier="purchase-00000001"))
    again = await shop.get("/paid", shop.pay(1, identifier="purchase-00000001"))
    assert (first.status_code, again.content) == (200, first.content)
    other = await shop.get("/paid", shop.pay(2, identifier="purchase-00000001"))
    assert other.status_code == 409
    assert other.json()["code"] == "haima.identifier_conflict"
    assert (await shop.hits())["paid"] == 1
    assert await shop.earned() == PRICE_ATOMIC


async def test_kept_answer_needs_the_identifier(shop: Shop) -> None:
    """Whoever saw the payment on the chain does not know its identifier, and gets nothing."""
    await shop.get("/paid", shop.pay(1, identifier="purchase-00000001"))
    for identifier in (None, "purchase-00000002"):
        stranger = await shop.get("/paid", shop.pay(1, identifier=identifier))
        assert stranger.status_code in (402, 409)
        assert b"runs" not in stranger.content


@pytest.mark.parametrize("identifier", ["short", "x" * 129, "with blank 0123456", "ümläut-0123456789"])
async def test_unfit_identifier_is_malformed(shop: Shop, identifier: str) -> None:
    """An identifier outside the specification's alphabet and length is 400."""
    assert (await shop.get("/paid", shop.pay(1, identifier=identifier))).status_code == 400


async def test_required_identifier_must_come() -> None:
    """A seller may insist: without an identifier 400; and the terms say so."""
    shop = Shop(payment_identifier="required")
    await shop.fund()
    asked = wire.decode_payment_required((await shop.get("/paid")).headers["payment-required"])
    assert wire.read_extensions(asked.extensions)["payment-identifier"]["info"] == {"required": True}
    assert (await shop.get("/paid", shop.pay(1))).status_code == 400
    await shop.aclose()


async def test_dynamic_price() -> None:
    """A computed price is asked for and taken; a payment at yesterday's price is refused, uncharged."""
    price = "$0.01"

    async def by_query(scope: Scope) -> str:
        return price

    shop = Shop(app=plain_app, routes={"/goods": by_query})
    await shop.fund()
    assert (await shop.get("/goods", shop.pay(1))).status_code == 200
    price = "$0.02"
    refused = await shop.get("/goods", shop.pay(2))
    assert refused.status_code == 402
    assert error_of(refused) == codes.NO_MATCHING_REQUIREMENTS
    (_, offer), *_ = wire.decode_payment_required(refused.headers["payment-required"]).requirements()
    assert offer.amount == "20000"
    assert await shop.earned() == PRICE_ATOMIC
    await shop.aclose()


@pytest.mark.parametrize(
    ("pattern", "method", "path", "is_paid"),
    [
        ("GET /goods", "GET", "/goods", True),
        ("GET /goods", "HEAD", "/goods", True),
        ("GET /goods", "POST", "/goods", False),
        ("GET /goods", "GET", "/goods/", False),
        ("GET /goods", "GET", "/Goods", False),
        ("GET /goods", "GET", "/goods?x=1", True),
        ("GET /goods", "GET", "/go%6fds", True),
        ("/goods", "DELETE", "/goods", True),
        ("POST /render/{id}", "POST", "/render/7", True),
        ("POST /render/:id", "POST", "/render/a%20b", True),
        ("POST /render/{id}", "POST", "/render/7/8", False),
        ("/api/*", "GET", "/api/a/b/c", True),
        ("/api/*", "GET", "/apis", False),
    ],
)
async def test_routes_match_as_the_router_does(pattern: str, method: str, path: str, is_paid: bool) -> None:
    """What the router would serve under a priced route costs money, however it is spelled."""
    shop = Shop(app=plain_app, routes={pattern: PRICE})
    answer = await shop.client.request(method, path)
    assert answer.status_code == (402 if is_paid else 200)
    await shop.aclose()


@pytest.mark.parametrize("routes", [{}, {"goods": PRICE}, {"get /goods": PRICE}, {"/a*b": PRICE}, {"/goods": "free"}])
async def test_wrong_routes_are_refused_at_once(routes: dict[str, str]) -> None:
    """A route or price that can't be right is an error when the application is built."""
    with pytest.raises(InvalidInputError):
        X402Middleware(
            plain_app,
            routes=routes,
            pay_to=PAYEE,
            network=LOCAL,
            facilitator=Flaky(Shop().facilitator, []),
            journal=MemoryJournal(),
            clock=ManualClock(),
            entropy=SeededEntropy(),
        )


async def test_large_answer_is_delivered_and_not_kept() -> None:
    """An answer above the limit is delivered once; its repetition learns that it was paid (409) and pays nothing."""

    async def large(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(4):
            await send({"type": "http.response.body", "body": b"x" * 300, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    shop = Shop(app=large, routes={"/goods": PRICE}, max_kept_body_bytes=1000)
    await shop.fund()
    header = shop.pay(1)
    first = await shop.get("/goods", header)
    assert (first.status_code, len(first.content)) == (200, 1200)
    assert first.headers["content-length"] == "1200"
    again = await shop.get("/goods", header)
    assert again.status_code == 409
    assert settlement_of(again).success
    assert await shop.earned() == PRICE_ATOMIC
    await shop.aclose()


async def test_two_servers_share_the_claims(shop: Shop) -> None:
    """Two processes over one journal: the payment arrives at both at once, one of them runs it, both answer the same."""
    gate = asyncio.Event()
    runs: list[str] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        runs.append(scope["path"])
        await gate.wait()
        await plain_app(scope, receive, send)

    servers = [
        Shop(
            journal=shop.journal,
            clock=shop.clock,
            app=slow,
            routes={"/goods": PRICE},
            entropy_seed=f"server {number}",
            sole_server=False,
        )
        for number in (1, 2)
    ]
    header = shop.pay(1)
    asked = [asyncio.ensure_future(server.get("/goods", header)) for server in servers]
    while shop.clock.sleepers == 0:
        await asyncio.sleep(0)
    gate.set()
    while not all(task.done() for task in asked):
        shop.clock.advance_us(60_000)
        await asyncio.sleep(0)
    assert [task.result().content for task in asked] == [b"goods", b"goods"]
    assert runs == ["/goods"]
    assert await shop.earned() == await shop.booked() == PRICE_ATOMIC
    for server in servers:
        await server.aclose()


async def test_crashed_owner_is_waited_for_only_so_long(shop: Shop) -> None:
    """Another process's claim is left alone for its lease; whoever comes meanwhile waits ten seconds at most, then is
    told to come again (503), and gets its answer when the lease has ended."""
    header = shop.pay(1)
    gone = asyncio.Event()

    async def dies(scope: Scope, receive: Receive, send: Send) -> None:
        await gone.wait()

    crashed = Shop(
        journal=shop.journal,
        clock=shop.clock,
        app=dies,
        routes={"GET /goods": PRICE},
        entropy_seed="crashed",
        sole_server=False,
    )
    stuck = asyncio.ensure_future(crashed.get("/goods", header))
    while not await shop.events():
        await asyncio.sleep(0)
    other = Shop(
        journal=shop.journal,
        clock=shop.clock,
        app=plain_app,
        routes={"GET /goods": PRICE},
        entropy_seed="other",
        sole_server=False,
    )
    waiting = asyncio.ensure_future(other.get("/goods", header))
    while not waiting.done():
        shop.clock.advance_us(100_000)
        await asyncio.sleep(0)
    assert waiting.result().status_code == 503
    shop.clock.advance_us(60_000_000)
    assert (await other.get("/goods", header)).status_code == 402
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)
    assert await shop.earned() == 0
    for each in (crashed, other):
        await each.aclose()


async def test_slow_owner_loses_its_claim_and_charges_nothing(shop: Shop) -> None:
    """When an owner takes longer than its lease, another process may void the claim. The slow one can't settle then: its
    payer is not charged for an answer that never left."""
    gate = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await gate.wait()
        await plain_app(scope, receive, send)

    def server(name: str) -> Shop:
        return Shop(
            journal=shop.journal,
            clock=shop.clock,
            app=slow,
            routes={"/goods": PRICE},
            entropy_seed=name,
            sole_server=False,
            lease_s=30,
        )

    owner, other = server("owner"), server("other")
    header = shop.pay(1)
    working = asyncio.ensure_future(owner.get("/goods", header))
    while not await shop.events():
        await asyncio.sleep(0)
    shop.clock.advance_us(31_000_000)
    voided = await other.get("/goods", header)
    assert voided.status_code == 402
    assert error_of(voided) == "payment_interrupted"
    gate.set()
    lost = await working
    assert lost.status_code == 402
    assert await shop.earned() == await shop.booked() == 0
    for each in (owner, other):
        await each.aclose()


async def test_cut_off_request_gives_the_payment_back(shop: Shop) -> None:
    """A server that cancels the request when its client goes away releases the claim; the payment buys later."""
    reached = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if not reached.is_set():
            reached.set()
            await asyncio.Event().wait()
        await plain_app(scope, receive, send)

    server = Shop(journal=shop.journal, clock=shop.clock, app=slow, routes={"/goods": PRICE}, entropy_seed="slow")
    header = shop.pay(1)
    cut = asyncio.ensure_future(server.get("/goods", header))
    await reached.wait()
    cut.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut
    await server.middleware.aclose()
    assert isinstance((await shop.events())[-1], events.ChargeReleased)
    assert (await server.get("/goods", header)).status_code == 200
    assert await shop.earned() == PRICE_ATOMIC
    await server.aclose()


@pytest.mark.parametrize("remembers", [True, False])
async def test_cut_off_settlement_is_finished(shop: Shop, remembers: bool) -> None:
    """A request that is cut off while its payment is being settled: the settlement goes on, is booked, and the repetition
    gets the answer, also with a facilitator that could not be asked twice."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Flaky):
        async def settle(
            self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements
        ) -> wire.SettlementResponse:
            asked.set()
            await go_on.wait()
            if self.inner.settled and not self.is_repeatable:
                return wire.SettlementResponse(success=False, network=LOCAL, error_reason="nonce_already_used")
            return await self.inner.settle(payload, requirements)

    slow = Slow(shop.facilitator, [])
    slow.is_repeatable = remembers
    server = Shop(journal=shop.journal, clock=shop.clock, facilitator=slow, entropy_seed="slow")
    header = shop.pay(1)
    cut = asyncio.ensure_future(server.get("/paid", header))
    await asked.wait()
    cut.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cut
    again = asyncio.ensure_future(server.get("/paid", header))
    await asyncio.sleep(0.01)
    go_on.set()
    delivered = await again
    assert (delivered.status_code, delivered.json()["runs"]) == (200, 1)
    assert (await server.hits())["paid"] == 1
    assert await shop.earned() == await shop.booked() == PRICE_ATOMIC
    await server.aclose()


async def test_full_disk_is_503_and_repetition_delivers(shop: Shop) -> None:
    """When the journal can't write, nobody knows: 503. Once it can again, the payment is served, and its handler does not
    run a second time if it had run."""
    for failing_write in (1, 2, 3):
        journal = FullJournal(failing_write)
        full = Shop(journal=journal, clock=shop.clock)
        await full.fund()
        await full.warm_up()
        journal.is_armed = True
        header = full.pay(failing_write)
        assert (await full.get("/paid", header)).status_code == 503
        journal.is_armed = False
        again = await full.get("/paid", header)
        assert again.status_code == (402 if failing_write == 2 else 200)
        assert (await full.hits())["paid"] == 1
        assert await full.booked() == await full.earned()
        await full.aclose()


class FullJournal(MemoryJournal):
    """A journal whose nth write to the sales finds the disk full."""

    def __init__(self, failing_write: int) -> None:
        super().__init__()
        self.is_armed = False
        self._left = failing_write

    async def append(
        self, events: Sequence[NewEvent], *, expected: Mapping[Stream, int] | None = None
    ) -> list[Appended]:
        """As a journal does, but for that one write."""
        if self.is_armed and events[0].session_id == "sales":
            self._left -= 1
            if self._left == 0:
                raise JournalFullError("No room.")
        return await super().append(events, expected=expected)


async def test_lifespan_starts_and_checks_the_facilitator() -> None:
    """Under lifespan events the facilitator is asked what it settles; one that does not settle here stops the start."""
    shop = Shop()

    class Elsewhere(CountingFacilitator):
        async def supported(self) -> wire.SupportedResponse:
            return wire.SupportedResponse(kinds=())

    for facilitator, outcome in ((shop.facilitator, "startup.complete"), (Elsewhere(shop.facilitator), "failed")):
        sent: list[Message] = []
        middleware = X402Middleware(
            _lifespan_app,
            routes={"/goods": PRICE},
            pay_to=PAYEE,
            network=LOCAL,
            facilitator=facilitator,
            journal=shop.journal,
            clock=shop.clock,
            entropy=shop.entropy,
        )
        incoming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

        async def receive(incoming: object = incoming) -> Message:
            return next(incoming)  # type: ignore[call-overload, no-any-return]

        async def send(message: Message, sent: list[Message] = sent) -> None:
            sent.append(message)

        if outcome == "failed":
            with pytest.raises(InvalidInputError, match="does not settle"):
                await middleware({"type": "lifespan"}, receive, send)
        else:
            await middleware({"type": "lifespan"}, receive, send)
            assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    await shop.aclose()


async def _lifespan_app(scope: Scope, receive: Receive, send: Send) -> None:
    for _ in range(2):
        message = await receive()
        await send({"type": message["type"] + ".complete"})


async def test_fastapi_handlers_are_sold() -> None:
    """It is added to a FastAPI application like any middleware."""
    fastapi = pytest.importorskip("fastapi")
    shop = Shop()
    await shop.fund()
    app = fastapi.FastAPI()
    app.add_middleware(
        X402Middleware,
        routes={"GET /goods/{name}": PRICE},
        pay_to=PAYEE,
        network=LOCAL,
        facilitator=shop.facilitator,
        journal=shop.journal,
        clock=shop.clock,
        entropy=shop.entropy,
        sole_server=True,
    )

    @app.get("/goods/{name}")
    async def goods(name: str) -> dict[str, str]:
        return {"name": name}

    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://shop.test") as client:
        assert (await client.get("/goods/tea")).status_code == 402
        paid = await client.get("/goods/tea", headers={"PAYMENT-SIGNATURE": shop.pay(1)})
        assert (paid.status_code, paid.json()) == (200, {"name": "tea"})
    assert await shop.earned() == PRICE_ATOMIC
    await shop.aclose()
