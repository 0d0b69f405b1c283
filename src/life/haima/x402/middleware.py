"""ASGI middleware that sells what an application answers.

    app.add_middleware(
        X402Middleware,
        routes={"GET /report": "$0.01", "POST /render/{id}": Route("$0.20", settle_first=True)},
        pay_to="0x…", network="eip155:8453", facilitator=facilitator,
        journal=journal, clock=clock, entropy=entropy,
    )

It works in Starlette, in FastAPI and around any other ASGI application. The answer of a paid handler is held back whole
until the payment is settled and booked, so a streamed answer arrives at once and a background task of the handler runs
before the settlement; a route with `stream=True` is settled first instead, and its answer leaves as it is made. The handler
finds the `Payment` in `scope["x402"]` (in Starlette: `request.scope["x402"]`), or a `Visitor` who has signed in.

What is sold, once, to whom, and what crashes leave behind is the business of `life.haima.x402.cashier` and
`life.haima.x402.claims`. Under an ASGI server with lifespan events, open claims of earlier runs are brought to their end
before the application starts; without lifespan, call `start` yourself.

Source: HM-X402-3 (haima.md §3.3), x402.md §1, §2, §12, §16.
"""

from __future__ import annotations

import logging
from typing import Final, Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.record import Stream
from life.haima.facilitator.port import Facilitator
from life.haima.x402.answers import Answer, Headers, private_headers
from life.haima.x402.cashier import MAX_KEPT_BODY_BYTES, Payment
from life.haima.x402.claims import STREAM
from life.haima.x402.networks import BUILT_IN, NetworkRegistry
from life.haima.x402.offer_receipt import OfferReceipts
from life.haima.x402.paid_routes import Route, Routes
from life.haima.x402.sale import Begin, End, StreamEnd
from life.haima.x402.sign_in import Visitor
from life.haima.x402.till import ANSWER_KEPT_S, LEASE_S, Till

_log: Final = logging.getLogger(__name__)


class X402Middleware:
    """Sells the answers of `routes`; every other request passes untouched."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: Routes,
        pay_to: str,
        network: str,
        facilitator: Facilitator,
        journal: Journal,
        clock: Clock,
        entropy: Entropy,
        agent_id: str = "seller",
        stream: Stream = STREAM,
        registry: NetworkRegistry = BUILT_IN,
        verify: Literal["facilitator", "local"] = "facilitator",
        payment_identifier: Literal["optional", "required", "off"] = "optional",
        base_url: str | None = None,
        sole_server: bool = False,
        lease_s: int = LEASE_S,
        answer_kept_s: int = ANSWER_KEPT_S,
        max_kept_body_bytes: int = MAX_KEPT_BODY_BYTES,
        offer_receipt: OfferReceipts | None = None,
        accept_v1: bool = False,
    ) -> None:
        """
        `routes` maps `"GET /path"` to a price (`"$0.01"`, a Price, several, a callable) or a Route. Prices in dollars mean
        the default token of `network`; everything is paid to `pay_to`.

        `verify="local"` leaves out the facilitator's check before the handler. Shape, amount, window and signature are
        always checked here; what is left out is whether the payer has the money, so a handler may run for a payment that
        then can't be settled, and whose answer is not delivered. A payer that is a contract is always checked there.

        `payment_identifier` says whether payers may or must send an identifier (x402.md §5).

        `base_url` is the public address that offers name; without it the Host header of each request is taken. Signing in
        needs it.

        `sole_server=True` says that nobody else, no other process and no other X402Middleware, sells on this journal's
        stream, so that claims of earlier runs are
        known to be dead at once; otherwise they are left alone for `lease_s`, which must be longer than a handler runs.

        Answers are kept `answer_kept_s` for repetitions, and only up to `max_kept_body_bytes`. A larger answer is
        delivered once; a repetition of its payment learns that it was paid (409), and when the server dies between
        keeping and settling, the payment is voided or, if it was charged already, booked as such.

        `offer_receipt` signs offers and receipts (life.haima.x402.offer_receipt). `accept_v1` also serves clients of x402
        version 1 (life.haima.x402.seller_v1).
        """
        if not routes:
            raise InvalidInputError("No route costs anything.")
        self.app = app
        self.till: Final = Till(
            pay_to=pay_to,
            network=network,
            facilitator=facilitator,
            journal=journal,
            clock=clock,
            entropy=entropy,
            agent_id=agent_id,
            stream=stream,
            registry=registry,
            verify=verify,
            payment_identifier=payment_identifier,
            base_url=base_url,
            sole_server=sole_server,
            lease_s=lease_s,
            answer_kept_s=answer_kept_s,
            max_kept_body_bytes=max_kept_body_bytes,
            offer_receipt=offer_receipt,
            accept_v1=accept_v1,
        )
        self._table = self.till.table(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._lifespan(scope, receive, send)
            else:
                await self.app(scope, receive, send)
            return
        route = self._table.find(scope)
        if route is None:
            await self.app(scope, receive, send)
            return
        entered = await self.till.enter(route, scope)
        if isinstance(entered, Answer):
            await _send(entered, scope, send)
            return
        if isinstance(entered, Visitor):
            await self.app({**scope, "x402": entered}, receive, _privately(send))
            return

        async def handler(payment: Payment) -> Answer:
            capture = _Capture()
            await self.app({**scope, "x402": payment, "extensions": {}}, receive, capture.send)
            return capture.answer()

        async def stream(payment: Payment, begin: Begin, end: End) -> StreamEnd:
            outlet = _Outlet(receive, send, begin, end, keep_bytes=self.till.max_kept_body_bytes)
            try:
                await self.app({**scope, "x402": payment, "extensions": {}}, outlet.receive, outlet.send)
            except Exception:
                if not outlet.client_left:
                    raise
            return outlet.end()

        answer = await self.till.sell(entered, handler, stream=stream if route.stream else None)
        if answer is not None:
            await _send(answer, scope, send)

    async def start(self) -> int:
        """See Till.start."""
        return await self.till.start()

    async def resolve(self, claim_key: str, *, transaction: str | None) -> bool:
        """See Till.resolve."""
        return await self.till.resolve(claim_key, transaction=transaction)

    async def aclose(self) -> None:
        """Finish what was cut off. The facilitator and the journal belong to the caller."""
        await self.till.aclose()

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start before the application does, close after it."""

        async def started() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                left_open = await self.start()
                if left_open:
                    _log.warning("%d sales of earlier runs stay open", left_open)
            return message

        try:
            await self.app(scope, started, send)
        finally:
            await self.aclose()


class _Capture:
    """Takes the application's answer instead of the client."""

    __slots__ = ("_body", "_headers", "_is_complete", "_status")

    def __init__(self) -> None:
        self._status = 0
        self._headers: Headers = []
        self._body: bytes | list[bytes] = b""
        self._is_complete = False

    async def send(self, message: Message) -> None:
        """The application's `send`."""
        kind = message["type"]
        if kind == "http.response.body":
            chunk: bytes = message.get("body", b"")
            if message.get("more_body", False):
                self._parts().append(chunk)
                return
            if isinstance(self._body, list):
                self._body.append(chunk)
            else:
                self._body = chunk
            self._is_complete = True
        elif kind == "http.response.start":
            self._status = message["status"]
            self._headers = list(message.get("headers", ()))

    def answer(self) -> Answer:
        """The answer, whole. RuntimeError when the application sent none."""
        if not self._status or not self._is_complete:
            raise RuntimeError("the application ended without a complete answer")
        body = b"".join(self._body) if isinstance(self._body, list) else self._body
        return Answer(self._status, _with_length(self._headers, len(body), self._status), body)

    def _parts(self) -> list[bytes]:
        if not isinstance(self._body, list):
            self._body = []
        return self._body


def _with_length(headers: Headers, length: int, status: int) -> Headers:
    """The headers of an answer that was held back: its length is known now."""
    for name, _ in headers:
        if name == b"content-length":
            return headers
    if status in (204, 304):
        return headers
    return [
        *((name, value) for name, value in headers if name.lower() not in (b"content-length", b"transfer-encoding")),
        (b"content-length", b"%d" % length),
    ]


class _Outlet:
    """Lets the application's answer leave as it is made, and watches how it ends."""

    __slots__ = (
        "_begin",
        "_body",
        "_client_left",
        "_end",
        "_ended",
        "_inner_receive",
        "_inner_send",
        "_keep_bytes",
        "_sent",
    )

    def __init__(self, receive: Receive, send: Send, begin: Begin, end: End, *, keep_bytes: int) -> None:
        self._inner_receive = receive
        self._inner_send = send
        self._begin = begin
        self._end = end
        self._keep_bytes = keep_bytes
        self._sent = 0
        self._body: list[bytes] | None = []
        self._ended = False
        self._client_left = False

    @property
    def client_left(self) -> bool:
        """Whether the client went away before the end."""
        return self._client_left

    async def receive(self) -> Message:
        """The application's `receive`."""
        message = await self._inner_receive()
        if message["type"] == "http.disconnect" and not self._ended:
            self._client_left = True
        return message

    async def send(self, message: Message) -> None:
        """The application's `send`."""
        kind = message["type"]
        if kind == "http.response.start":
            headers = await self._begin(message["status"], list(message.get("headers", ())))
            await self._out({**message, "headers": headers})
        elif kind == "http.response.body":
            chunk: bytes = message.get("body", b"")
            self._sent += len(chunk)
            if self._body is not None:
                self._body.append(chunk)
                if self._sent > self._keep_bytes:
                    self._body = None
            if not message.get("more_body", False):
                self._ended = True
                await self._end(self.end())
            await self._out(message)

    def end(self) -> StreamEnd:
        """How it ended, as far as the application is concerned."""
        if not self._ended:
            reason = "the client went away" if self._client_left else "the application ended without a complete answer"
            return StreamEnd(False, self._sent, reason=reason, by_client=self._client_left)
        return StreamEnd(True, self._sent, None if self._body is None else b"".join(self._body))

    async def _out(self, message: Message) -> None:
        try:
            await self._inner_send(message)
        except OSError:
            self._client_left = True
            raise


def _privately(send: Send) -> Send:
    """What a visitor gets is his own: no shared cache may hand it to somebody else."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": private_headers(list(message.get("headers", ())))}
        await send(message)

    return sending


async def _send(answer: Answer, scope: Scope, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    body = b"" if scope["method"] == "HEAD" else answer.body
    await send({"type": "http.response.body", "body": body})


__all__ = ["Payment", "Route", "X402Middleware"]
