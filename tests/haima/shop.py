"""A shop for tests: X402Middleware over the demo application, a local ledger, a facilitator, all in this process.

Time is a ManualClock, chance is seeded, the journal is in memory and may be shared by several shops (that is what a restart
or a second process looks like to it).
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any

import httpx2
import msgspec
from msgspec import Raw
from starlette.types import ASGIApp, Receive, Scope, Send

from life.aios.ports.custody import TransferAuthorization
from life.aios.ports.journal import EventQuery, Journal
from life.haima.chain.local_ledger import LocalLedger
from life.haima.events import FinanceEvent, RevenueReceived, read_finance
from life.haima.facilitator.port import Facilitator
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.x402 import exact, wire
from life.haima.x402.middleware import X402Middleware
from life.haima.x402.networks import LOCAL, PLAY_MONEY
from life.haima.x402.paid_routes import Route, Routes
from life.haima.x402.price import make_offer, parse_price
from life.haima.x402.seller_app import demo_seller_app
from life.lago.journal.memory import MemoryJournal
from life.testing.chain import PAYEE, PAYER, sign
from life.testing.clock import ManualClock, SeededEntropy

PRICE = "$0.01"
PRICE_ATOMIC = 10_000
OFFER = make_offer(parse_price(PRICE, network=LOCAL), PAYEE)


class CountingFacilitator:
    """Passes everything on to another facilitator and counts; `down` makes it unreachable."""

    def __init__(self, inner: Facilitator) -> None:
        self.inner = inner
        self.verified = 0
        self.settled = 0

    async def repeatable(self) -> bool:
        """As the inner one."""
        return await self.inner.repeatable()

    async def verify(self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements) -> wire.VerifyResponse:
        """Counted."""
        self.verified += 1
        return await self.inner.verify(payload, requirements)

    async def settle(
        self, payload: wire.PaymentPayload, requirements: wire.PaymentRequirements
    ) -> wire.SettlementResponse:
        """Counted."""
        self.settled += 1
        return await self.inner.settle(payload, requirements)

    async def supported(self) -> wire.SupportedResponse:
        """As the inner one."""
        return await self.inner.supported()

    async def aclose(self) -> None:
        """As the inner one."""
        await self.inner.aclose()


class Shop:
    """See the module. Call `aclose` in the end."""

    def __init__(
        self,
        *,
        journal: Journal | None = None,
        clock: ManualClock | None = None,
        facilitator: Facilitator | None = None,
        app: ASGIApp | None = None,
        routes: Routes | None = None,
        entropy_seed: str = "shop",
        **options: Any,
    ) -> None:
        self.journal: Journal = MemoryJournal() if journal is None else journal
        self.clock = ManualClock() if clock is None else clock
        self.entropy = SeededEntropy(entropy_seed)
        self.ledger = LocalLedger(self.journal, self.clock, self.entropy, network=LOCAL)
        self.facilitator = CountingFacilitator(
            facilitator or SelfHostedFacilitator([self.ledger], self.journal, self.clock, self.entropy)
        )
        self.options: dict[str, Any] = {"sole_server": True, **options}
        self._routes = routes
        served: ASGIApp = demo_seller_app(PRICE, self._sell) if app is None else self._sell(app, {})
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=served), base_url="http://shop.test")

    def _sell(self, app: ASGIApp, demo_routes: Mapping[str, Route]) -> X402Middleware:
        self.middleware = X402Middleware(
            app,
            routes=self._routes or demo_routes,
            pay_to=PAYEE,
            network=LOCAL,
            facilitator=self.facilitator,
            journal=self.journal,
            clock=self.clock,
            entropy=self.entropy,
            **self.options,
        )
        return self.middleware

    async def warm_up(self) -> None:
        """Starlette builds its middleware at the first request."""
        await self.client.get("/free")

    async def fund(self, amount_atomic: int = 1_000_000) -> None:
        """Give the payer play money."""
        await self.ledger.fund(PAYER, amount_atomic, asset=PLAY_MONEY.address)

    async def earned(self) -> int:
        """What the payee holds on the ledger."""
        return await self.ledger.balance(PAYEE, asset=PLAY_MONEY.address)

    async def booked(self) -> int:
        """What the journal says was earned."""
        return sum(event.amount_micro_credits for event in await self.events() if isinstance(event, RevenueReceived))

    async def events(self, session_id: str = "sales") -> list[FinanceEvent]:
        """The finance events of a stream."""
        records = await self.journal.read(EventQuery(session_id=session_id), limit=10_000)
        return [event for record in records if (event := read_finance(record)) is not None]

    async def hits(self) -> dict[str, int]:
        """How often each handler of the demo application ran."""
        counted: dict[str, int] = (await self.client.get("/hits")).json()
        return counted

    async def get(self, path: str, header: str | None = None, **more: Any) -> httpx2.Response:
        """One request, with a payment if there is one."""
        headers = {} if header is None else {"PAYMENT-SIGNATURE": header}
        return await self.client.get(path, headers=headers, **more)

    def authorization(self, number: int, **changes: Any) -> TransferAuthorization:
        """PAYER's authorization for the price, with its own nonce; fields can be changed."""
        now_s = self.clock.now_us() // 1_000_000
        authorization = TransferAuthorization(
            network=LOCAL,
            asset=PLAY_MONEY.address,
            token_name=PLAY_MONEY.name,
            token_version=PLAY_MONEY.version,
            from_address=PAYER,
            to_address=PAYEE,
            value_atomic=PRICE_ATOMIC,
            valid_after_s=0,
            valid_before_s=now_s + 300,
            nonce=number.to_bytes(32, "big"),
        )
        return authorization._replace(**changes)

    def pay(self, number: int, *, identifier: str | None = None, **changes: Any) -> str:
        """A PAYMENT-SIGNATURE header for a good payment; changes are signed, too."""
        return self.header(self.authorization(number, **changes), identifier=identifier)

    def header(
        self, authorization: TransferAuthorization, signature: bytes | None = None, *, identifier: str | None = None
    ) -> str:
        """A header around an authorization, signed by PAYER unless a signature is given."""
        extensions: Any = msgspec.UNSET
        if identifier is not None:
            extensions = wire.to_raw({"payment-identifier": {"info": {"required": False, "id": identifier}}})
        payload = exact.build_payload(
            Raw(OFFER.raw), authorization, signature or sign(authorization), extensions=extensions
        )
        return wire.encode_header(payload)

    async def aclose(self) -> None:
        """Close everything."""
        await self.client.aclose()
        if hasattr(self, "middleware"):
            await self.middleware.aclose()
        await self.facilitator.aclose()


def settlement_of(response: httpx2.Response) -> wire.SettlementResponse:
    """The decoded PAYMENT-RESPONSE."""
    return wire.decode_payment_response(response.headers["payment-response"])


def error_of(response: httpx2.Response) -> str | None:
    """The `error` of the terms in a 402."""
    return wire.decode_payment_required(response.headers["payment-required"]).error


def edited(header: str, **changes: Any) -> str:
    """A payment header with parts of its JSON replaced; a dotted name reaches inside (`payload__signature`)."""
    document = msgspec.json.decode(binascii.a2b_base64(header))
    for name, value in changes.items():
        *path, last = name.split("__")
        target = document
        for step in path:
            target = target[step]
        if value is None:
            target.pop(last)
        else:
            target[last] = value
    return binascii.b2a_base64(msgspec.json.encode(document), newline=False).decode()


async def plain_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers everything with 200."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"goods"})
