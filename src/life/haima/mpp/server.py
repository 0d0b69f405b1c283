"""Asking on both rails: ASGI middleware that puts payment challenges beside x402's terms, and takes their credentials.

    app.add_middleware(X402Middleware, routes=…, …)
    app.add_middleware(MachinePayments, realm="shop.example", secrets=(secret,), clock=clock, entropy=entropy)

It stands around whatever sells over x402 (X402Middleware, a FastAPI dependency, `Charge`) and only translates, so there is one
till behind both rails: one claim per payment, one answer per payment, one set of books.

    402 with PAYMENT-REQUIRED     + a `WWW-Authenticate: Payment` for every offer that the evm method can ask for
    Authorization: Payment        checked against its challenge, then handed in as the x402 payment that it is
    PAYMENT-RESPONSE, success     `Payment-Receipt` instead
    402, payment used before      403 without a challenge: a new one would only invite to pay again

A challenge is not kept: its id is an HMAC over all of it, and `opaque` holds the offer and the request it was made for. So it
pays for nothing else than what was asked, expires with its offer, and its nonce makes it pay once. A realm is never taken from
a request's Host header, because the realm is what a payer relies on when somebody passes a challenge on.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Clock, Entropy
from life.crypto.base64url import encode_base64url
from life.haima.errors import MalformedPaymentError
from life.haima.mpp.challenge import (
    AUTHORIZATION,
    PAYMENT_AUTHORIZATION,
    Challenge,
    challenge_id,
    decode_object,
    encode_object,
    expiry_s,
    format_challenge,
    format_time,
    is_ours,
)
from life.haima.mpp.credential import Receipt, decode_credential, encode_receipt, is_credential
from life.haima.mpp.evm import INTENT, METHOD, as_x402, write_request
from life.haima.x402 import codes, permit2
from life.haima.x402.authorization import EXACT
from life.haima.x402.networks import BUILT_IN, NetworkRegistry, chain_id_of
from life.haima.x402.till import request_name
from life.haima.x402.wire import (
    PAYMENT_IDENTIFIER,
    PaymentRequired,
    PaymentRequirements,
    decode_payment_required,
    decode_payment_response,
    encode_header,
    read_extensions,
)

MIN_SECRET_BYTES: Final = 32
MAX_CHALLENGES: Final = 4
"""How many offers of one resource become challenges (about 1 KB each): headers have to stay short."""

_NONCE_BYTES: Final = 16
_PROBLEMS: Final = "https://paymentauth.org/problems/"
_USED: Final = codes.NONCE_ALREADY_USED
_encode: Final = msgspec.json.Encoder().encode

Header = tuple[bytes, bytes]


class _Refusal(NamedTuple):
    """Why a credential is not taken, in the protocol's words."""

    problem: str
    title: str
    detail: str


class MachinePayments:
    """See the module."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        realm: str,
        secrets: Sequence[bytes],
        clock: Clock,
        entropy: Entropy,
        registry: NetworkRegistry = BUILT_IN,
        credentials_in: Literal["Authorization", "Payment-Authorization"] = "Authorization",
    ) -> None:
        """`realm` is the host (with its port, where that is not the usual one) under which payers know this server; they
        refuse others. `secrets`: the first signs new challenges, all are accepted, so that one can be replaced; at least 32
        bytes each, the same in every process that serves the realm. `credentials_in`: `Payment-Authorization` where the
        application has its own use for `Authorization`."""
        if not realm or not realm.isascii() or not realm.isprintable() or len(realm) > 255:
            raise InvalidInputError("The realm is the host name under which payers know this server.")
        if not secrets or any(len(secret) < MIN_SECRET_BYTES for secret in secrets):
            raise InvalidInputError(f"The challenges need a secret of at least {MIN_SECRET_BYTES} bytes.")
        self.app = app
        self._realm = realm
        self._secrets = tuple(secrets)
        self._clock = clock
        self._entropy = entropy
        self._registry = registry
        self._header = None if credentials_in == AUTHORIZATION else PAYMENT_AUTHORIZATION
        self._field = credentials_in.lower().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        values = [v.decode("latin-1") for n, v in scope["headers"] if n.lower() == self._field]
        credentials = [value for value in values if is_credential(value)]
        if not credentials:
            await self.app(scope, receive, _Answer(self, scope, send, paid=False).send)
            return
        rest = [
            (name, value)
            for name, value in scope["headers"]
            if name.lower() != self._field or not is_credential(value.decode("latin-1"))
        ]
        refusal: _Refusal | None = None
        if len(credentials) > 1 or any(name.lower() in _X402_PAYMENTS for name, _ in rest):
            refusal = _malformed("A request carries one payment.")
        else:
            try:
                payment = self._payment(scope, credentials[0])
            except MalformedPaymentError as error:
                refusal = _malformed(error.message)
            else:
                if isinstance(payment, _Refusal):
                    refusal = payment
                else:
                    rest.append((b"payment-signature", payment))
        if refusal is not None:
            rest = [(name, value) for name, value in rest if name.lower() not in _X402_PAYMENTS]
        answer = _Answer(self, scope, send, paid=refusal is None, refusal=refusal)
        await self.app({**scope, "headers": rest}, receive, answer.send)

    # ---- credentials

    def _payment(self, scope: Scope, value: str) -> bytes | _Refusal:
        """The x402 payment that a credential is; or why it is none. MalformedPaymentError when it can't be read."""
        credential = decode_credential(value)
        challenge = credential.challenge.challenge()
        if not any(is_ours(secret, challenge) for secret in self._secrets):
            return _invalid("The challenge is not of this server, or was changed.")
        if challenge.realm != self._realm or (challenge.method, challenge.intent) != (METHOD, INTENT):
            return _invalid("The challenge is of another realm or method.")
        opaque = decode_object(challenge.opaque or "")
        accepted, request = opaque.get("accepted"), opaque.get("request")
        if not isinstance(accepted, str) or request != request_name(scope):
            return _invalid("The challenge was made for another request.")
        expires_s = expiry_s(challenge.expires)
        if expires_s is None:
            return _invalid("The challenge does not say when it expires.")
        # Whether it has expired is for the till to say, because it may be a repetition: the authorization's own time is bound
        # to the challenge's.
        payment = as_x402(
            credential.payload, credential.source, challenge=challenge, accepted=accepted.encode(), expires_s=expires_s
        )
        return encode_header(payment).encode()

    # ---- challenges

    def challenges(self, required: PaymentRequired, request: str) -> list[str]:
        """The WWW-Authenticate values for terms of x402. An offer that this method can't ask for is left out, and all of
        them where a payment identifier is required, which only x402 can carry."""
        info = read_extensions(required.extensions).get(PAYMENT_IDENTIFIER, {}).get("info")
        if isinstance(info, dict) and info.get("required") is True:
            return []
        made: list[str] = []
        for raw, offer in required.requirements():
            decimals = self._decimals(offer)
            if decimals is not None and len(made) < MAX_CHALLENGES:
                made.append(format_challenge(self._challenge(bytes(raw), offer, decimals, request)))
        return made

    def _decimals(self, offer: PaymentRequirements) -> int | None:
        if offer.scheme != EXACT or chain_id_of(offer.network) is None or permit2.transfer_method(offer) != "eip3009":
            return None
        token = self._registry.token(offer.network, offer.asset)
        return None if token is None else token.decimals

    def _challenge(self, accepted: bytes, offer: PaymentRequirements, decimals: int, request: str) -> Challenge:
        nonce = encode_base64url(self._entropy.token_bytes(_NONCE_BYTES))
        expires_us = self._clock.now_us() + offer.max_timeout_seconds * 1_000_000
        challenge = Challenge(
            id="",
            realm=self._realm,
            method=METHOD,
            intent=INTENT,
            request=write_request(offer, decimals),
            expires=format_time(expires_us),
            opaque=encode_object({"accepted": accepted.decode(), "nonce": nonce, "request": request}),
            header=self._header,
        )
        return challenge._replace(id=challenge_id(self._secrets[0], challenge))

    def receipt(self, transaction: str) -> bytes:
        """The value of Payment-Receipt. Its time is that of the answer."""
        now = format_time(self._clock.now_us())
        receipt = Receipt(status="success", timestamp=now, reference=transaction, method=METHOD)
        return encode_receipt(receipt).encode()


_X402_PAYMENTS: Final = frozenset((b"payment-signature", b"x-payment"))


class _Answer:
    """Watches one answer on its way out."""

    __slots__ = ("_body", "_paid", "_payments", "_refusal", "_scope", "_send", "_swallow")

    def __init__(
        self, payments: MachinePayments, scope: Scope, send: Send, *, paid: bool, refusal: _Refusal | None = None
    ) -> None:
        self._payments = payments
        self._scope = scope
        self._send = send
        self._paid = paid
        self._refusal = refusal
        self._swallow = False
        self._body = b""

    async def send(self, message: Message) -> None:
        """The application's `send`."""
        kind = message["type"]
        if kind == "http.response.start":
            await self._send(self._start(message))
        elif kind == "http.response.body" and self._swallow:
            if not message.get("more_body", False):
                body = b"" if self._scope["method"] == "HEAD" else self._body
                await self._send({"type": "http.response.body", "body": body})
        else:
            await self._send(message)

    def _start(self, message: Message) -> Message:
        headers: list[Header] = list(message.get("headers", ()))
        status: int = message["status"]
        required = _find(headers, b"payment-required")
        if status == 402 and required is not None:
            return self._unpaid(message, headers, required)
        response = _find(headers, b"payment-response")
        if self._paid and response is not None and 200 <= status < 300:
            return {**message, "headers": self._receipted(headers, response)}
        return message

    def _unpaid(self, message: Message, headers: list[Header], required: bytes) -> Message:
        try:
            terms = decode_payment_required(required.decode("latin-1"))
        except MalformedPaymentError:
            return message
        if self._paid and terms.error == _USED:
            used = _Refusal("verification-failed", "Verification Failed", "This payment was used before.")
            return self._problem({**message, "status": 403}, _without(headers, b"payment-required"), used, 403)
        asked = self._payments.challenges(terms, request_name(self._scope))
        headers += [(b"www-authenticate", value.encode()) for value in asked]
        if self._refusal is not None:
            return self._problem(message, headers, self._refusal, 402)
        return {**message, "headers": headers}

    def _problem(self, message: Message, headers: list[Header], refusal: _Refusal, status: int) -> Message:
        self._swallow = True
        self._body = _encode(
            {
                "type": _PROBLEMS + refusal.problem,
                "title": refusal.title,
                "status": status,
                "detail": refusal.detail,
                "code": "haima.payment_refused",
            }
        )
        kept = _without(_without(headers, b"content-length"), b"content-type")
        kept.append((b"content-type", b"application/problem+json"))
        kept.append((b"content-length", b"%d" % len(self._body)))
        return {**message, "headers": kept}

    def _receipted(self, headers: list[Header], response: bytes) -> list[Header]:
        try:
            settlement = decode_payment_response(response.decode("latin-1"))
        except (MalformedPaymentError, binascii.Error):
            return headers
        if not settlement.success:
            return headers
        kept = _without(headers, b"payment-response")
        kept.append((b"payment-receipt", self._payments.receipt(settlement.transaction)))
        return kept


def _find(headers: list[Header], name: bytes) -> bytes | None:
    return next((value for each, value in headers if each.lower() == name), None)


def _without(headers: list[Header], name: bytes) -> list[Header]:
    return [(each, value) for each, value in headers if each.lower() != name]


def _invalid(detail: str) -> _Refusal:
    return _Refusal("invalid-challenge", "Invalid Challenge", detail)


def _malformed(detail: str) -> _Refusal:
    return _Refusal("malformed-credential", "Malformed Credential", detail)


__all__ = ["MachinePayments"]
