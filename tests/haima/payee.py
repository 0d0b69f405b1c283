"""A small payee for the payer's tests: an ASGI application that sells one thing and can misbehave on request.

It checks a payment offline with our verifier (whose vectors come from other implementations) and moves play money in a
dict that follows EIP-3009's rules: a nonce is burnt once, a burnt nonce is refused. What it did is counted per nonce.
Faults are scripted: each paid request takes the next one.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Literal

import msgspec

from life.aios.errors import PaymentError
from life.haima.x402 import codes, schemes, wire
from life.haima.x402.authorization import SignedAuthorization
from life.haima.x402.networks import PLAY_MONEY

Scope = MutableMapping[str, object]
Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PAYEE_ADDRESS = "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"

Fault = Literal[
    "none",
    "lose_answer",
    "lose_before_settling",
    "refuse",
    "refuse_after_settling",
    "no_settlement_header",
    "pending",
    "http_500",
    "http_202",
    "http_404",
    "garbage_settlement",
    "success_with_500",
    "redirect",
    "redirect_away",
    "huge_settlement",
    "other_terms",
    "break_off",
]


class LostConnectionError(Exception):
    """The payee dropped the connection instead of answering."""


class Payee:
    """Sells `/paid` for `amount` atomic units of play money. `idempotent` payees answer a repeated payment again."""

    def __init__(self, *, amount: str = "50", idempotent: bool = True, now_s: Callable[[], int] | None = None) -> None:
        self.requirements = wire.PaymentRequirements(
            scheme="exact",
            network=PLAY_MONEY.network,
            amount=amount,
            asset=PLAY_MONEY.address,
            pay_to=PAYEE_ADDRESS,
            max_timeout_seconds=300,
            extra={"name": PLAY_MONEY.name, "version": PLAY_MONEY.version},
        )
        self.terms = wire.offer((self.requirements,), resource=wire.ResourceInfo(url="http://localhost/paid"))
        self.idempotent = idempotent
        self.now_s = now_s
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.presented: list[str] = []
        self.settled: dict[str, int] = {}
        """Claim key → amount."""
        self.executions: dict[str, int] = {}
        """Claim key → how often the goods were handed out."""
        self.delay_s = 0.0
        self.takes: int | None = None
        """What it takes of an `upto` payment; None: all of it."""
        self.claims: int | None = None
        """What it says that it took."""
        self.permits: list[object] = []
        self.version = 2
        """1: terms in the body, payments in X-PAYMENT (x402.md §9)."""
        self.elsewhere = "http://localhost/free"
        """Where `redirect_away` points to."""

    @property
    def charged(self) -> int:
        """Everything that moved, in atomic units."""
        return sum(self.settled.values())

    async def chain(self, network: str, asset: str, payer: str, nonce: bytes) -> Literal["used", "unused"]:
        """The token's authorizationState."""
        key = f"{network}|{asset.lower()}|{payer.lower()}|0x{nonce.hex()}"
        return "used" if key in self.settled else "unused"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            part = message.get("body", b"")
            assert isinstance(part, bytes)
            body += part
            more = bool(message.get("more_body"))
        raw = scope["headers"]
        assert isinstance(raw, list)
        headers = {name.decode().lower(): value.decode() for name, value in raw}
        path = str(scope["path"])
        self.requests.append((str(scope["method"]), path, body, headers))
        if path == "/free":
            await _answer(send, 200, b"free")
            return
        if path.startswith("/moved"):
            await _answer(send, 307, b"", {"Location": "/paid"})
            return
        payment = headers.get(wire.PAYMENT_SIGNATURE.lower()) if self.version == 2 else headers.get("x-payment")
        if payment is None:
            await self._ask(send)
        else:
            await self._sell(send, payment, body)

    async def _ask(
        self, send: Send, error: str | None = None, settlement: wire.SettlementResponse | None = None
    ) -> None:
        if self.version == 1:
            body = json.dumps({"x402Version": 1, "error": error or "", "accepts": [self.older_offer()]}).encode()
            await _answer(send, 402, body, {"Content-Type": "application/json"})
            return
        terms = self.terms
        if error is not None:
            terms = wire.PaymentRequired(
                x402_version=2, accepts=terms.accepts, error=error, resource=terms.resource, extensions=terms.extensions
            )
        extra = {wire.PAYMENT_REQUIRED: wire.encode_header(terms)}
        if settlement is not None:
            extra[wire.PAYMENT_RESPONSE] = wire.encode_header(settlement)
        await _answer(send, 402, b"{}", extra)

    async def _sell(self, send: Send, header: str, body: bytes) -> None:
        self.presented.append(header)
        fault: Fault = self.faults.pop(0) if self.faults else "none"
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        try:
            payment = wire.decode_payment_signature(header) if self.version == 2 else self._read_older(header)
            signed = schemes.parse(payment, self.requirements)
        except PaymentError as error:
            await self._ask(send, error.code)
            return
        now_s = self.now_s() if self.now_s is not None else signed.authorization.valid_before_s - 100
        refusal = schemes.verify_offline(signed, self.requirements, now_s=now_s)
        if refusal is not None and signed.key not in self.settled:
            await self._ask(send, refusal.code)
            return
        if fault == "lose_before_settling":
            raise LostConnectionError
        if fault == "other_terms":
            dearer = msgspec.structs.replace(self.requirements, amount=str(int(self.requirements.amount) * 2))
            self.requirements = dearer
            self.terms = wire.offer((dearer,), resource=wire.ResourceInfo(url="http://localhost/paid"))
            await self._ask(send, codes.NO_MATCHING_REQUIREMENTS)
            return
        if fault == "refuse":
            await self._ask(send, settlement=self._failure(codes.INSUFFICIENT_BALANCE))
            return
        if fault == "http_404":
            await _answer(send, 404, b"no such thing")
            return
        if fault == "http_500":
            await _answer(send, 500, b"oops")
            return
        if signed.key in self.settled and not self.idempotent:
            await self._ask(send, codes.NONCE_ALREADY_USED)
            return
        if signed.key not in self.settled:
            taken = signed.authorization.value_atomic if self.takes is None else self.takes
            self.settled[signed.key] = taken
            self.permits.append(signed.permit)
            self.executions[signed.key] = self.executions.get(signed.key, 0) + 1
        await self._hand_out(send, fault, signed, body)

    async def _hand_out(self, send: Send, fault: Fault, signed: SignedAuthorization, body: bytes) -> None:
        success = wire.SettlementResponse(
            success=True,
            transaction="0x" + "ab" * 32,
            network=signed.authorization.network,
            payer=signed.payer,
            amount=None if self.claims is None else str(self.claims),
        )
        paid = {(wire.PAYMENT_RESPONSE if self.version == 2 else "X-PAYMENT-RESPONSE"): wire.encode_header(success)}
        if fault == "lose_answer":
            raise LostConnectionError
        if fault == "refuse_after_settling":
            await self._ask(send, codes.UNEXPECTED_SETTLE_ERROR)
        elif fault == "pending":
            pending = wire.encode_header(self._failure(codes.SETTLEMENT_PENDING))
            await _answer(send, 500, b"", {wire.PAYMENT_RESPONSE: pending})
        elif fault == "http_202":
            await _answer(send, 202, b"", {"Retry-After": "3"})
        elif fault == "no_settlement_header":
            await _answer(send, 200, b"goods")
        elif fault == "garbage_settlement":
            await _answer(send, 200, b"goods", {wire.PAYMENT_RESPONSE: "%%%"})
        elif fault == "success_with_500":
            await _answer(send, 500, b"handler broke", paid)
        elif fault == "redirect_away":
            await _answer(send, 307, b"", {**paid, "Location": self.elsewhere})
        elif fault == "huge_settlement":
            await _answer(send, 200, b"goods", {wire.PAYMENT_RESPONSE: "A" * 40_000})
        elif fault == "break_off":
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [
                        (b"content-length", b"5000"),
                        (wire.PAYMENT_RESPONSE.lower().encode(), paid[wire.PAYMENT_RESPONSE].encode()),
                    ],
                }
            )
            await send({"type": "http.response.body", "body": b"goo", "more_body": True})
            raise LostConnectionError
        elif fault == "redirect":
            await _answer(send, 303, b"", {**paid, "Location": "/free"})
        else:
            await _answer(send, 200, b"goods" + body, paid)

    def older_offer(self) -> dict[str, object]:
        """The offer in the words of version 1."""
        asked = self.requirements
        return {
            "scheme": asked.scheme,
            "network": "local",
            "maxAmountRequired": asked.amount,
            "resource": "http://localhost/paid",
            "description": "",
            "mimeType": "",
            "payTo": asked.pay_to,
            "maxTimeoutSeconds": asked.max_timeout_seconds,
            "asset": asked.asset,
            "extra": asked.extra,
        }

    def _read_older(self, header: str) -> wire.PaymentPayload:
        sent = json.loads(base64.b64decode(header))
        assert sent["x402Version"] == 1 and sent["scheme"] == "exact" and sent["network"] == "local"
        assert "accepted" not in sent
        return wire.PaymentPayload(
            x402_version=2,
            accepted=wire.to_raw(self.requirements),
            payload=msgspec.Raw(json.dumps(sent["payload"]).encode()),
        )

    def _failure(self, reason: str) -> wire.SettlementResponse:
        return wire.SettlementResponse(success=False, network=self.requirements.network, error_reason=reason)


async def _answer(send: Send, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
            + [(b"content-length", str(len(body)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
