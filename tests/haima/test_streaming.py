"""Routes with `stream=True`: settled first, then the answer leaves as it is made; interrupted streams are on record, and a
repeated request gets a defined answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from life.haima import events
from life.haima.x402.middleware import X402Middleware
from life.haima.x402.networks import LOCAL
from life.haima.x402.paid_routes import Route
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE
from tests.haima.shop import PRICE, PRICE_ATOMIC, Shop, error_of, plain_app, settlement_of

STREAMED = {"/goods": Route(PRICE, stream=True)}


def streaming_app(chunks: list[bytes], *, then: Exception | None = None, gate: asyncio.Event | None = None) -> ASGIApp:
    """Sends these chunks one by one; raises in the end, or waits for a gate after the first."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        for number, chunk in enumerate(chunks):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if gate is not None and number == 0:
                await gate.wait()
        if then is not None:
            raise then
        await send({"type": "http.response.body", "body": b""})

    return app


async def test_answer_leaves_as_it_is_made() -> None:
    """Real HTTP: the first chunk is with the client while the handler still waits; it was settled and booked before."""
    gate = asyncio.Event()
    first_seen = asyncio.Event()

    async def goods(_: Request) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"one "
            await gate.wait()
            yield b"two"

        return StreamingResponse(body(), media_type="text/plain")

    shop = Shop(app=plain_app, routes={"/unused": PRICE})
    await shop.fund()
    middleware = Middleware(
        X402Middleware,
        routes=STREAMED,
        pay_to=PAYEE,
        network=LOCAL,
        facilitator=shop.facilitator,
        journal=shop.journal,
        clock=shop.clock,
        entropy=shop.entropy,
        sole_server=True,
    )
    app = Starlette(routes=[StarletteRoute("/goods", goods)], middleware=[middleware])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/goods"
        async with httpx2.AsyncClient(trust_env=False) as client:
            async with client.stream("GET", url, headers={"PAYMENT-SIGNATURE": shop.pay(1)}) as answer:
                assert answer.status_code == 200
                assert settlement_of(answer).success
                assert answer.headers["cache-control"] == "private"
                assert "content-length" not in answer.headers
                received = b""
                async for chunk in answer.aiter_raw():
                    received += chunk
                    if not first_seen.is_set():
                        first_seen.set()
                        assert received == b"one "
                        assert await shop.earned() == await shop.booked() == PRICE_ATOMIC
                        gate.set()
                assert received == b"one two"
        server.should_exit = True
        await serving
    end = (await shop.events())[-1]
    assert isinstance(end, events.ChargeStreamed)
    assert (end.complete, end.sent_bytes, end.body) == (True, 7, b"one two")
    await shop.aclose()


async def test_small_stream_is_kept_for_repetitions() -> None:
    """A stream that ended well and is small is given again, whole, with its settlement."""
    shop = Shop(app=streaming_app([b"a", b"b"]), routes=STREAMED)
    await shop.fund()
    first = await shop.get("/goods", shop.pay(1))
    again = await shop.get("/goods", shop.pay(1))
    assert [first.content, again.content] == [b"ab", b"ab"]
    assert again.headers["payment-response"] == first.headers["payment-response"]
    assert again.headers["content-type"] == "text/plain"
    assert await shop.earned() == PRICE_ATOMIC
    await shop.aclose()


async def test_large_stream_is_given_once() -> None:
    """A stream above the limit is not kept: its repetition is 409 with the settlement, never a new charge."""
    shop = Shop(app=streaming_app([b"x" * 800, b"y" * 800]), routes=STREAMED, max_kept_body_bytes=1000)
    await shop.fund()
    assert len((await shop.get("/goods", shop.pay(1))).content) == 1600
    again = await shop.get("/goods", shop.pay(1))
    assert (again.status_code, again.json()["code"]) == (409, "haima.already_paid")
    assert settlement_of(again).success
    assert await shop.earned() == PRICE_ATOMIC
    await shop.aclose()


async def test_refused_settlement_sends_nothing() -> None:
    """What can't be settled does not run: 402, and no byte of the stream."""
    shop = Shop(app=streaming_app([b"secret"]), routes=STREAMED, verify="local")
    answer = await shop.get("/goods", shop.pay(1))
    assert answer.status_code == 402
    assert b"secret" not in answer.content
    assert await shop.booked() == 0
    await shop.aclose()


async def test_repetition_while_it_streams_is_told_so() -> None:
    """Arrivals of the same payment during the stream get 409 with the settlement; the handler runs once."""
    gate = asyncio.Event()
    shop = Shop(app=streaming_app([b"one", b"two"], gate=gate), routes=STREAMED)
    await shop.fund()
    header = shop.pay(1)
    first = asyncio.ensure_future(shop.get("/goods", header))
    while not any(isinstance(event, events.ChargeServed) for event in await shop.events()):
        await asyncio.sleep(0)
    for _ in range(2):
        other = await shop.get("/goods", header)
        assert (other.status_code, other.json()["code"]) == (409, "haima.stream_in_progress")
        assert settlement_of(other).success
    gate.set()
    assert (await first).content == b"onetwo"
    assert await shop.earned() == PRICE_ATOMIC
    await shop.aclose()


async def test_broken_stream_is_recorded_and_owed() -> None:
    """A handler that fails in the middle: the exception reaches the server, the journal has the end, and a repetition is told
    that a refund is due."""
    shop = Shop(app=streaming_app([b"half"], then=ValueError("broken")), routes=STREAMED)
    await shop.fund()
    with pytest.raises(ValueError, match="broken"):
        await shop.get("/goods", shop.pay(1))
    end = (await shop.events())[-1]
    assert isinstance(end, events.ChargeStreamed)
    assert (end.complete, end.reason) == (False, "the handler raised ValueError")
    again = await shop.get("/goods", shop.pay(1))
    assert (again.status_code, again.json()["code"]) == (500, "haima.delivery_failed")
    assert settlement_of(again).success
    await shop.aclose()


async def test_client_that_leaves_has_had_its_answer() -> None:
    """When the client goes away in the middle, that is on record; it is not the seller's failure, so its repetition is 409."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        assert (await receive())["type"] == "http.disconnect"

    shop = Shop(app=app, routes=STREAMED)
    await shop.fund()
    header = shop.pay(1)
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/goods",
        "query_string": b"",
        "headers": [(b"host", b"shop.test"), (b"payment-signature", header.encode())],
    }
    sent = []

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        sent.append(message)

    await shop.middleware(scope, receive, send)
    assert len(sent) == 2
    end = (await shop.events())[-1]
    assert isinstance(end, events.ChargeStreamed)
    assert (end.complete, end.by_client, end.sent_bytes) == (False, True, 4)
    again = await shop.get("/goods", header)
    assert (again.status_code, again.json()["code"]) == (409, "haima.already_paid")
    await shop.aclose()


async def test_stream_of_a_dead_process_is_owed() -> None:
    """The process died in the middle of a stream: the next one writes that it broke off, at its start, and says that a refund
    is due."""
    journal = MemoryJournal()
    gate = asyncio.Event()
    crashed = Shop(journal=journal, app=streaming_app([b"one", b"two"], gate=gate), routes=STREAMED)
    await crashed.fund()
    header = crashed.pay(1)
    stuck = asyncio.ensure_future(crashed.get("/goods", header))
    while not any(isinstance(event, events.ChargeServed) for event in await crashed.events()):
        await asyncio.sleep(0)
    restarted = Shop(journal=journal, clock=crashed.clock, app=plain_app, routes=STREAMED, entropy_seed="restarted")
    assert await restarted.middleware.start() == 0
    assert isinstance((await restarted.events())[-1], events.ChargeStreamed)
    owed = await restarted.get("/goods", header)
    assert (owed.status_code, owed.json()["code"]) == (500, "haima.delivery_failed")
    assert await restarted.booked() == PRICE_ATOMIC
    gate.set()
    await stuck
    for shop in (crashed, restarted):
        await shop.aclose()


async def test_stream_may_outlive_its_lease() -> None:
    """Another process takes a long stream for dead when its lease is over and says that a refund is due; the process that sends
    it has the last word, and from then on the repetition gets the answer."""
    gate = asyncio.Event()
    options: dict[str, Any] = {"routes": STREAMED, "sole_server": False, "lease_s": 30}
    owner = Shop(app=streaming_app([b"one", b"two"], gate=gate), **options)
    await owner.fund()
    header = owner.pay(1)
    streaming = asyncio.ensure_future(owner.get("/goods", header))
    while not any(isinstance(event, events.ChargeServed) for event in await owner.events()):
        await asyncio.sleep(0)
    other = Shop(app=plain_app, journal=owner.journal, clock=owner.clock, entropy_seed="other", **options)
    owner.clock.advance_us(31_000_000)
    assert (await other.get("/goods", header)).status_code == 500
    gate.set()
    assert (await streaming).content == b"onetwo"
    assert (await other.get("/goods", header)).content == b"onetwo"
    assert await owner.earned() == await owner.booked() == PRICE_ATOMIC
    for shop in (owner, other):
        await shop.aclose()


async def test_void_payment_of_a_stream_that_never_settled() -> None:
    """Nothing was settled, the window is over: the payment is refused, and the stream's handler has not run."""
    shop = Shop(app=streaming_app([b"a"]), routes=STREAMED)
    await shop.fund()
    header = shop.pay(1)
    shop.clock.advance_us(600 * 1_000_000)
    late = await shop.get("/goods", header)
    assert late.status_code == 402
    assert error_of(late) == "invalid_exact_evm_payload_authorization_valid_before"
    assert await shop.events() == []
    await shop.aclose()
