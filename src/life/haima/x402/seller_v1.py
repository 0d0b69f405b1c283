"""x402 version 1 at a seller's door: its terms beside ours, and its payments read as version 2 (x402.md §9).

A version 1 client reads the offers in the body of the 402 and pays in X-PAYMENT, naming scheme and network (by its old name)
instead of repeating the terms. What is signed is the same EIP-3009 authorization, so a payment is matched with the offer that
it fulfils and goes on as any other: it settles as version 2. Only offers of scheme `exact` by EIP-3009 on a network with a
version 1 name are made. The amount must be exact, although version 1 let payers pay more.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from life.haima.errors import MalformedPaymentError
from life.haima.x402 import exact, permit2, v1
from life.haima.x402.networks import NetworkRegistry, is_solana
from life.haima.x402.price import Offer
from life.haima.x402.wire import MAX_HEADER_CHARS, X402_VERSION, PaymentPayload, ResourceInfo, decode_evm_payload

X_PAYMENT: Final = b"x-payment"
X_PAYMENT_RESPONSE: Final = b"x-payment-response"


class _Payload(msgspec.Struct, rename="camel"):
    x402_version: int
    scheme: str
    network: str
    payload: Raw


class _Requirements(msgspec.Struct, rename="camel"):
    scheme: str
    network: str
    max_amount_required: str
    resource: str
    description: str
    mime_type: str
    pay_to: str
    max_timeout_seconds: int
    asset: str
    extra: object
    output_schema: None = None


_payload: Final = msgspec.json.Decoder(_Payload)
_encode: Final = msgspec.json.Encoder().encode


def accepts(offers: Sequence[Offer], resource: ResourceInfo, registry: NetworkRegistry) -> bytes | None:
    """The member `accepts` as it stands in a version 1 body; None when no offer can be made in that version."""
    made = []
    for offer in offers:
        terms = offer.requirements
        name = _name_of(terms.network, registry)
        if name is None or is_solana(terms.network) or terms.scheme != exact.SCHEME:
            continue
        if permit2.transfer_method(terms) != permit2.EIP3009:
            continue
        made.append(
            _Requirements(
                scheme=terms.scheme,
                network=name,
                max_amount_required=terms.amount,
                resource=resource.url,
                description=resource.description or "",
                mime_type=resource.mime_type or "",
                pay_to=terms.pay_to,
                max_timeout_seconds=terms.max_timeout_seconds,
                asset=terms.asset,
                extra=terms.extra,
            )
        )
    return b',"accepts":' + _encode(made) if made else None


def read_payment(header: bytes, offers: Sequence[Offer], registry: NetworkRegistry) -> PaymentPayload | None:
    """The payment in an X-PAYMENT header as one of version 2, for the offer that it pays: the first of its scheme, network,
    payee and amount. None when it pays none of them; MalformedPaymentError when it can't be read."""
    if len(header) > MAX_HEADER_CHARS:
        raise MalformedPaymentError("The X-PAYMENT header is too long.")
    try:
        content = binascii.a2b_base64(header.strip(), strict_mode=True)
        content.decode("utf-8")
        sent = _payload.decode(content)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise MalformedPaymentError("The X-PAYMENT header is no payment in base64.") from None
    if sent.x402_version != v1.VERSION:
        raise MalformedPaymentError(f"X-PAYMENT is for x402 version 1, not {sent.x402_version}.")
    fields = decode_evm_payload(sent.payload).authorization
    if fields is None:
        raise MalformedPaymentError("Version 1 pays by EIP-3009 only.")
    for offer in offers:
        terms = offer.requirements
        if (sent.scheme, sent.network) != (terms.scheme, _name_of(terms.network, registry)):
            continue
        if permit2.transfer_method(terms) != permit2.EIP3009:
            continue
        if fields.to.lower() == terms.pay_to.lower() and fields.value == terms.amount:
            return PaymentPayload(x402_version=X402_VERSION, accepted=Raw(offer.raw), payload=sent.payload)
    return None


def _name_of(network: str, registry: NetworkRegistry) -> str | None:
    known = registry.network(network)
    return known.alias if known is not None and known.alias else None
