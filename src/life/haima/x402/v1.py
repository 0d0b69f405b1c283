"""x402 version 1 at a facilitator's door: its calls read into the words of version 2 (x402.md §9).

Version 1 names networks by short names and the price `maxAmountRequired`, and its payment does not repeat the terms. What is
inside an EIP-3009 payment is the same in both. Everything behind this module speaks version 2 only.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from msgspec import Raw

from life.aios.json import JsonObject
from life.haima.errors import MalformedPaymentError, PaymentRefusedError
from life.haima.x402 import codes
from life.haima.x402.authorization import EXACT, is_uint
from life.haima.x402.networks import NetworkRegistry
from life.haima.x402.wire import (
    X402_VERSION,
    PaymentPayload,
    PaymentRequirements,
    SettlementResponse,
    decode_evm_payload,
    to_raw,
)

VERSION: Final = 1
_T = TypeVar("_T", bound=msgspec.Struct)


class _Requirements(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """One offer of version 1, as far as it decides anything."""

    scheme: str
    network: str
    max_amount_required: str
    pay_to: str
    asset: str
    max_timeout_seconds: int = 60
    extra: JsonObject | None = None


class _Payment(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """A payment of version 1: it says for which network, not for which terms."""

    x402_version: int
    scheme: str
    network: str
    payload: Raw


_payment: Final = msgspec.json.Decoder(_Payment)
_requirements: Final = msgspec.json.Decoder(_Requirements)


def read_request(
    payment: Raw | bytes, requirements: Raw | bytes, registry: NetworkRegistry
) -> tuple[PaymentPayload, PaymentRequirements]:
    """A payment and its terms as a facilitator is asked with `x402Version` 1, in the words of version 2.

    A verifier of version 1 took any value of at least `maxAmountRequired` (x402.md §9), so the terms' amount becomes what
    was signed where that is more. MalformedPaymentError for what can't be read, PaymentRefusedError for another network or
    scheme than the terms'.
    """
    paid, asked = (
        _read(_payment, payment, "The payment"),
        _read(_requirements, requirements, "The payment requirements"),
    )
    if paid.x402_version != VERSION:
        raise MalformedPaymentError(
            f"The call is of x402 version 1, its payment of version {paid.x402_version}.",
            details={"x402_version": paid.x402_version},
        )
    if paid.scheme != asked.scheme or paid.scheme != EXACT:
        raise PaymentRefusedError(codes.UNSUPPORTED_SCHEME)
    network = registry.network(asked.network)
    if network is None or paid.network != asked.network:
        raise PaymentRefusedError(codes.INVALID_NETWORK if network is None else codes.NETWORK_MISMATCH)
    authorization = decode_evm_payload(paid.payload).authorization
    if authorization is None:
        raise MalformedPaymentError("A payment of version 1 is an EIP-3009 authorization.")
    price, value = asked.max_amount_required, authorization.value
    is_more = is_uint(price) and is_uint(value) and int(value) > int(price)
    terms = PaymentRequirements(
        scheme=asked.scheme,
        network=network.caip2,
        amount=value if is_more else price,
        asset=asked.asset,
        pay_to=asked.pay_to,
        max_timeout_seconds=asked.max_timeout_seconds,
        extra=asked.extra,
    )
    return PaymentPayload(x402_version=X402_VERSION, accepted=to_raw(terms), payload=paid.payload), terms


def short_named(response: SettlementResponse, registry: NetworkRegistry) -> SettlementResponse:
    """A settlement for a peer of version 1: its network by its short name."""
    network = registry.network(response.network)
    return response if network is None else msgspec.structs.replace(response, network=network.alias)


def _read(decoder: msgspec.json.Decoder[_T], content: Raw | bytes, what: str) -> _T:
    try:
        bytes(content).decode("utf-8")
        return decoder.decode(content)
    except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
        raise MalformedPaymentError(f"{what} can't be read: {error}.") from None
