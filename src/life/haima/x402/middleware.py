"""ASGI middleware that sells what an application answers.

    app.add_middleware(
        X402Middleware,
        routes={"GET /report": "$0.01", "POST /render/{id}": Route("$0.20", settle_first=True)},
        pay_to="0x…", network="eip155:8453", facilitator=facilitator,
        journal=journal, clock=clock, entropy=entropy,
    )

It works in Starlette, in FastAPI and around any other ASGI application. The answer of a paid handler is held back whole
until the payment is settled and booked, so a streamed answer arrives at once and a background task of the handler runs
before the settlement. The handler finds the `Payment` in `scope["x402"]` (in Starlette: `request.scope["x402"]`).

What is sold, once, to whom, and what crashes leave behind is the business of `life.haima.x402.cashier` and
`life.haima.x402.claims`. Under an ASGI server with lifespan events, open claims of earlier runs are brought to their end
before the application starts; without lifespan, call `start` yourself.

Source: HM-X402-3 (haima.md §3.3), x402.md §1, §2, §12, §16.
"""

from __future__ import annotations

import hashlib
import logging
from typing import Final, Literal

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from life.aios.errors import InvalidInputError
from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.record import Stream
from life.haima.errors import FacilitatorUnavailableError
from life.haima.facilitator.port import Facilitator
from life.haima.x402 import exact
from life.haima.x402.answers import Answer, Headers, IdentifierTerms, malformed
from life.haima.x402.cashier import MAX_KEPT_BODY_BYTES, Cashier, Payment, Sale
from life.haima.x402.claims import STREAM, Claims
from life.haima.x402.closing import Closer
from life.haima.x402.networks import BUILT_IN, NetworkRegistry
from life.haima.x402.paid_routes import PaidRoute, Route, Routes, RouteTable
from life.haima.x402.wire import X402_VERSION

LEASE_S: Final = 60
ANSWER_KEPT_S: Final = 3600
RECONCILED_S: Final = 7 * 24 * 3600
"""How far back `start` looks for claims without an end. Older ones are taken up when their payment comes again."""

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
    ) -> None:
        """
        `routes` maps `"GET /path"` to a price (`"$0.01"`, a Price, several, a callable) or a Route. Prices in dollars mean
        the default token of `network`; everything is paid to `pay_to`.

        `verify="local"` leaves out the facilitator's check before the handler. Shape, amount, window and signature are
        always checked here; what is left out is whether the payer has the money, so a handler may run for a payment that
        then can't be settled, and whose answer is not delivered.

        `payment_identifier` says whether payers may or must send an identifier (x402.md §5).

        `base_url` is the public address that offers name; without it the Host header of each request is taken.

        `sole_server=True` says that nobody else, no other process and no other X402Middleware, sells on this journal's
        stream, so that claims of earlier runs are
        known to be dead at once; otherwise they are left alone for `lease_s`, which must be longer than a handler runs.

        Answers are kept `answer_kept_s` for repetitions, and only up to `max_kept_body_bytes`. A larger answer is
        delivered once; a repetition of its payment learns that it was paid (409), and when the server dies between
        keeping and settling, the payment is voided or, if it was charged already, booked as such.
        """
        if not routes:
            raise InvalidInputError("No route costs anything.")
        identifier = None if payment_identifier == "off" else IdentifierTerms(payment_identifier == "required")
        self.app = app
        self._table = RouteTable(
            [
                PaidRoute(
                    pattern,
                    route if isinstance(route, Route) else Route(route),
                    pay_to=pay_to,
                    network=network,
                    registry=registry,
                    identifier=identifier,
                    base_url=base_url,
                )
                for pattern, route in routes.items()
            ]
        )
        self._clock = clock
        self._network = network
        self._facilitator = facilitator
        claims = Claims(journal, clock, entropy, agent_id=agent_id, stream=stream, owner=new_id(clock, entropy))
        self._closer = Closer(
            facilitator,
            claims,
            clock,
            lease_s=lease_s,
            sole_server=sole_server,
            answer_kept_s=answer_kept_s,
            registry=registry,
        )
        self._cashier = Cashier(
            facilitator,
            claims,
            self._closer,
            clock,
            verify_with_facilitator=verify == "facilitator",
            max_kept_body_bytes=max_kept_body_bytes,
            registry=registry,
        )

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
        header, host = None, b"localhost"
        for name, value in scope["headers"]:
            if name == b"payment-signature":
                if header is not None:
                    await _send(malformed("There are two PAYMENT-SIGNATURE headers."), scope, send)
                    return
                header = value
            elif name == b"host":
                host = value
        terms, unpaid = route.fixed_terms(scope, host) or await route.dynamic_terms(scope, host)
        if header is None:
            await _send(unpaid, scope, send)
            return

        async def handler(payment: Payment) -> Answer:
            capture = _Capture()
            await self.app({**scope, "x402": payment, "extensions": {}}, receive, capture.send)
            return capture.answer()

        sale = Sale(
            header,
            terms,
            _request_name(scope),
            route.settle_first,
            route.rerun_interrupted,
            handler,
        )
        await _send(await self._cashier.sell(sale), scope, send)

    async def start(self) -> int:
        """Check that the facilitator settles what is asked for, and bring claims of earlier runs to their end. How many
        stay open. InvalidInputError when the facilitator answers and does not settle on the network."""
        try:
            supported = await self._facilitator.supported()
        except FacilitatorUnavailableError as error:
            _log.warning("the facilitator was not asked what it settles: %s", error)
        else:
            settled = {(kind.x402_version, kind.scheme, kind.network) for kind in supported.kinds}
            for network in self._table.networks or {self._network}:
                if (X402_VERSION, exact.SCHEME, network) not in settled:
                    raise InvalidInputError(
                        f"The facilitator does not settle scheme {exact.SCHEME} on {network}.",
                        next_step="Choose another facilitator or another network.",
                    )
        return await self._closer.reconcile(since_us=self._clock.now_us() - RECONCILED_S * 1_000_000)

    async def resolve(self, claim_key: str, *, transaction: str | None) -> bool:
        """An operator's word on a sale that stays in doubt: the transaction that paid it, or None for "never paid"."""
        return await self._closer.resolve(claim_key, transaction=transaction)

    async def aclose(self) -> None:
        """Finish what was cut off. The facilitator and the journal belong to the caller."""
        await self._cashier.aclose()

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


def _request_name(scope: Scope) -> str:
    """Which request a payment pays for. The body is not part of it."""
    query = scope["query_string"].decode("latin-1")
    name: str = f"{scope['method']} {scope['path']}?{query}" if query else f"{scope['method']} {scope['path']}"
    return name if len(name) <= 200 else "sha256:" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


async def _send(answer: Answer, scope: Scope, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    body = b"" if scope["method"] == "HEAD" else answer.body
    await send({"type": "http.response.body", "body": body})


__all__ = ["Payment", "Route", "X402Middleware"]
