"""Choosing among the offers of a 402 (HM-X402-2): by the payer's preference, not by the payee's order.

An offer can be taken when its scheme is `exact` on an EVM network, its transfer method EIP-3009, its payment flow one
that this client knows, and its payee a well-formed address. `upfront` looks the same as `authorization` from here (it
settles before the handler), `authorization` is preferred; other flows are skipped (x402.md §1, `paymentFlow`).

A token that is not in the registry has no known value; its offer is chosen only when there is no better one, so that the
policy refuses it with a code and an event.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from life.aios.errors import InvalidInputError
from life.aios.money import atomic_to_micro, parse_atomic
from life.haima.errors import MalformedPaymentError, NoAcceptableTermsError, PaymentRefusedError
from life.haima.x402 import exact
from life.haima.x402.networks import NetworkRegistry, TokenDomain, chain_id_of
from life.haima.x402.wire import PaymentRequired, PaymentRequirements

_FLOWS: Final = ("authorization", "upfront")


class TermsPreference(msgspec.Struct, frozen=True, kw_only=True):
    """What to take when there is a choice, best first. What is not named comes after what is, cheapest first."""

    networks: tuple[str, ...] = ()
    """CAIP-2."""
    assets: tuple[str, ...] = ()
    """Contract addresses, any case."""


class Terms(NamedTuple):
    """The chosen offer, read."""

    accepted: Raw
    requirements: PaymentRequirements
    domain: TokenDomain | None
    """None when the token is not in the registry, or contradicts it."""
    payee: str
    amount_atomic: int
    amount_micro: int | None


def choose_terms(
    required: PaymentRequired,
    registry: NetworkRegistry,
    preference: TermsPreference,
    *,
    allowed_networks: tuple[str, ...] | None = None,
) -> Terms:
    """The offer to pay. NoAcceptableTermsError names why there is none."""
    found: list[tuple[tuple[int, ...], Terms]] = []
    obstacles: list[str] = []
    for place, (raw, requirements) in enumerate(required.requirements()):
        read = _read(raw, requirements, registry)
        if isinstance(read, str):
            obstacles.append(read)
            continue
        flow = requirements.extra_text("paymentFlow") or _FLOWS[0]
        known = registry.network(read.requirements.network) is not None
        allowed = known if allowed_networks is None else requirements.network in allowed_networks
        rank = (
            read.amount_micro is None,
            not allowed,
            _place(requirements.network, preference.networks),
            _place(requirements.asset.lower(), tuple(asset.lower() for asset in preference.assets)),
            _FLOWS.index(flow),
            read.amount_micro or 0,
            place,
        )
        found.append((rank, read))
    if not found:
        why = "; ".join(dict.fromkeys(obstacles)) or "it makes no offer that can be read"
        raise NoAcceptableTermsError(f"The resource wants money, but no offer can be taken: {why}.")
    return min(found, key=lambda entry: entry[0])[1]


def _read(raw: Raw, requirements: PaymentRequirements, registry: NetworkRegistry) -> Terms | str:
    """The offer, or in a few words what is in the way."""
    if requirements.scheme != exact.SCHEME:
        return f"scheme {requirements.scheme[:32]!r} is not supported"
    if chain_id_of(requirements.network) is None:
        return f"network {requirements.network[:64]!r} is not an EVM network"
    if (requirements.extra_text("assetTransferMethod") or "eip3009") != "eip3009":
        return "the transfer method is not EIP-3009"
    if (requirements.extra_text("paymentFlow") or _FLOWS[0]) not in _FLOWS:
        return "the payment flow is not known"
    if requirements.max_timeout_seconds < 1:
        return "the offer leaves no time to pay"
    try:
        payee = exact.read_address(requirements.pay_to, "payTo")
        exact.read_address(requirements.asset, "asset")
        amount_atomic = parse_atomic(requirements.amount)
    except (MalformedPaymentError, InvalidInputError) as error:
        return error.message.rstrip(".")
    if int(payee, 16) == 0:
        return "payTo is the zero address"
    token = registry.token(requirements.network, requirements.asset)
    if token is None:
        return Terms(raw, requirements, None, payee, amount_atomic, None)
    try:
        domain = registry.domain(requirements)
    except PaymentRefusedError as error:
        return error.message.rstrip(".")
    try:
        amount_micro = atomic_to_micro(amount_atomic, token.decimals)
    except InvalidInputError:
        amount_micro = None
    return Terms(raw, requirements, domain, payee, amount_atomic, amount_micro)


def _place(value: str, preferred: tuple[str, ...]) -> int:
    return preferred.index(value) if value in preferred else len(preferred)
