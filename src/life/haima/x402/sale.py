"""One paid request: what is asked for, the payment it carries, and the checks that need nobody else.

A payment is identified by what was signed (`life.haima.x402.authorization.claim_key`), never by the bytes it came in.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw

from life.aios.ports.chain import Refusal
from life.haima.errors import MalformedPaymentError, PaymentRefusedError
from life.haima.x402 import answers, codes, schemes, seller_v1
from life.haima.x402.answers import Answer, Declared, Headers, Terms
from life.haima.x402.authorization import SignedAuthorization, latest_moment_s
from life.haima.x402.networks import NetworkRegistry
from life.haima.x402.price import Offer
from life.haima.x402.svm import SignedPayment
from life.haima.x402.wire import (
    PAYMENT_IDENTIFIER,
    PaymentPayload,
    decode_payment,
    decode_payment_signature,
    present,
)

Form = Literal["header", "json", "v1"]
"""How a payment came: in PAYMENT-SIGNATURE, as plain JSON (MCP), or in X-PAYMENT."""

_EXPIRED: Final = frozenset((codes.VALID_BEFORE, codes.PERMIT2_DEADLINE_EXPIRED, codes.EIP2612_DEADLINE_EXPIRED))
_BAD_SIGNATURE: Final = frozenset((codes.INVALID_SIGNATURE, codes.PERMIT2_INVALID_SIGNATURE))
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")
_raw_parts: Final = msgspec.json.Decoder(dict[str, Raw])
_object: Final = msgspec.json.Decoder(dict[str, object])


class Payment(msgspec.Struct, frozen=True, gc=False):
    """What a handler learns of the payment it works for, as `scope["x402"]`. `payment_id` is the same for every attempt
    of the same payment: an idempotency key for the handler's own effects."""

    payment_id: str
    attempt: int
    payer: str
    network: str
    asset: str
    amount_atomic: int
    """Of scheme `upto` the most that may be charged."""
    identifier: str | None
    scheme: str = "exact"


class StreamEnd(msgspec.Struct, frozen=True, gc=False):
    """How a streamed answer ended. `body` is all of it when it was complete and small enough to keep."""

    complete: bool
    sent_bytes: int
    body: bytes | None = None
    reason: str = ""
    by_client: bool = False


Begin = Callable[[int, Headers], Coroutine[Any, Any, Headers]]
"""Called with status and headers of a streamed answer before its first byte leaves; gives the headers to send."""
End = Callable[[StreamEnd], Coroutine[Any, Any, None]]
"""Called, if there is a moment for it, before the last piece of a streamed answer leaves, so that whoever saw the end of a
stream finds it kept."""
Handler = Callable[[Payment], Awaitable[Answer]]
Streamer = Callable[[Payment, Begin, End], Awaitable[StreamEnd]]


class Sale(msgspec.Struct, frozen=True, gc=False):
    """One request for something that costs money."""

    payment: bytes
    form: Form
    terms: Terms
    request: str
    """Method, path and query; `sha256:` and hex where that is long."""
    settle_first: bool
    rerun_interrupted: bool
    handler: Handler
    stream: Streamer | None = None
    """Sends the answer as it is made, instead of `handler`; needs `settle_first`."""
    access_s: int | None = None
    """How long the payer may come back by signing in."""
    resource: str = ""
    """What he may come back to."""


class Bought(msgspec.Struct, frozen=True, gc=False):
    """A payment that was read and checked offline, for one sale."""

    sale: Sale
    payload: PaymentPayload
    signed: SignedPayment
    offer: Offer
    identifier: str | None
    late: Refusal | None
    """Why it can only be a repetition: its window has closed."""
    by_contract: bool
    """The signature is not one of the payer's own key: only the chain can judge it (ERC-1271)."""


def read_sale(sale: Sale, *, now_s: int, registry: NetworkRegistry) -> Bought | Answer:
    """The payment, read and checked as far as it can be without asking anybody; or why it is refused."""
    terms = sale.terms
    try:
        payload = _decode(sale, registry)
        offer = None if payload is None else _matched(terms, payload)
        if payload is None or offer is None:
            return answers.refused(terms, codes.NO_MATCHING_REQUIREMENTS, "The accepted terms are not ours.")
        signed = schemes.parse_matched(payload, offer.requirements, registry=registry)
        identifier = None
        if terms.identifier is not None:
            identifier = _read_identifier(payload, required=terms.identifier.required)
        if terms.declared:
            _check_echo(payload, terms.declared)
    except MalformedPaymentError as error:
        return answers.malformed(error.message)
    except PaymentRefusedError as error:
        return answers.refused(terms, error.reason, error.message)
    by_contract = False
    refusal = schemes.verify_offline(signed, offer.requirements, now_s=now_s)
    if refusal is not None and refusal.code in _BAD_SIGNATURE:
        refusal = schemes.verify_offline(signed, offer.requirements, now_s=now_s, contracts=True)
        by_contract = refusal is None
    if refusal is None:
        return Bought(sale, payload, signed, offer, identifier, None, by_contract)
    if refusal.code in _EXPIRED and isinstance(signed, SignedAuthorization):
        moment_s = latest_moment_s(signed)
        if schemes.verify_offline(signed, offer.requirements, now_s=moment_s) is None:
            return Bought(sale, payload, signed, offer, identifier, refusal, False)
        if schemes.verify_offline(signed, offer.requirements, now_s=moment_s, contracts=True) is None:
            return Bought(sale, payload, signed, offer, identifier, refusal, True)
    return answers.refused(terms, refusal.code, refusal.message)


def _decode(sale: Sale, registry: NetworkRegistry) -> PaymentPayload | None:
    """The payment; None for one of version 1 that pays no offer of ours."""
    if sale.form == "header":
        return decode_payment_signature(sale.payment.decode("latin-1"))
    if sale.form == "json":
        return decode_payment(sale.payment)
    return seller_v1.read_payment(sale.payment, sale.terms.offers, registry)


def _matched(terms: Terms, payload: PaymentPayload) -> Offer | None:
    """The offer that the payer accepted. MalformedPaymentError for terms that can't be read at all."""
    accepted = bytes(payload.accepted)
    for offer in terms.offers:
        if offer.matches(accepted):
            return offer
    payload.requirements()
    return None


def _read_identifier(payload: PaymentPayload, *, required: bool) -> str | None:
    """The payment identifier. MalformedPaymentError when it is unfit, or required and missing; PaymentRefusedError when
    what we advertised of it did not come back unchanged (x402.md §1)."""
    info = _identifier_info(payload)
    if info is not None and info.get("required") is not required:
        raise PaymentRefusedError(codes.EXTENSION_ECHO_MISMATCH, "The extension payment-identifier was changed.")
    identifier = None if info is None else info.get("id")
    if identifier is None:
        if required:
            raise MalformedPaymentError("This resource wants a payment identifier.")
        return None
    if not isinstance(identifier, str) or _IDENTIFIER.fullmatch(identifier) is None:
        raise MalformedPaymentError("A payment identifier has 16 to 128 letters, digits, '-' and '_'.")
    return identifier


def _identifier_info(payload: PaymentPayload) -> dict[str, object] | None:
    content = present(payload.extensions)
    if content is None or b"payment-identifier" not in content:
        return None
    try:
        extension = _raw_parts.decode(content).get(PAYMENT_IDENTIFIER)
        return None if extension is None else _object.decode(_raw_parts.decode(extension)["info"])
    except (msgspec.DecodeError, RecursionError, KeyError):
        raise MalformedPaymentError("The extension payment-identifier can't be read.") from None


def _check_echo(payload: PaymentPayload, declared: tuple[Declared, ...]) -> None:
    """An extension that comes back must come back with everything that we said in it (x402.md §1). What is not echoed is
    not missed; what a payer adds beside our words is his own."""
    content = present(payload.extensions)
    if content is None:
        return
    try:
        parts = _raw_parts.decode(content)
        for each in declared:
            echoed = parts.get(each.id)
            if echoed is None or bytes(echoed) == each.raw:
                continue
            theirs = _object.decode(echoed)
            for name, ours in each.content.items():
                if name != "schema" and not _contains(theirs.get(name), ours):
                    raise PaymentRefusedError(codes.EXTENSION_ECHO_MISMATCH, f"The extension {each.id} was changed.")
    except (msgspec.DecodeError, RecursionError):
        raise MalformedPaymentError("The extensions can't be read.") from None


def _contains(theirs: object, ours: object) -> bool:
    """Whether everything of ours stands in theirs."""
    if isinstance(ours, Mapping):
        return isinstance(theirs, Mapping) and all(
            name in theirs and _contains(theirs[name], value) for name, value in ours.items()
        )
    return theirs == ours
