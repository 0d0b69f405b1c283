"""Reading the terms of a 402 and choosing among its offers (HM-X402-2): by the payer's preference, not by the payee's order.

Terms come in the PAYMENT-REQUIRED header (version 2), or in the body as JSON, as version 1 did it (x402.md §9). An offer of
version 1 names its network by a short name and its price `maxAmountRequired`; it is read into the words of version 2 and kept
raw for its payment.

An offer can be taken when it is one of these, and its payee a well-formed address:

    exact by EIP-3009      the usual one, preferred
    exact by Permit2       for tokens without EIP-3009
    exact on Solana        by a transaction, when the payer has a wallet there; in version 2 only
    upto by Permit2        a maximum, bound to one facilitator; only when there is no exact offer on the same network

`upfront` looks the same as `authorization` from here (it settles before the handler), `authorization` is preferred; other flows
are skipped (x402.md §1, `paymentFlow`). A token that is not in the registry has no known value; its offer is chosen only when
there is no better one, so that the policy refuses it with a code and an event.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from life.aios.errors import InvalidInputError
from life.aios.json import JsonObject
from life.aios.money import atomic_to_micro, parse_atomic
from life.crypto.permit2 import EXACT_PROXY, UPTO_PROXY
from life.haima.errors import MalformedPaymentError, NoAcceptableTermsError, PaymentRefusedError
from life.haima.x402 import permit2
from life.haima.x402.authorization import EXACT, UPTO, read_address
from life.haima.x402.networks import NetworkRegistry, TokenDomain, chain_id_of, is_solana
from life.haima.x402.svm import FEE_PAYER, METHOD, is_solana_address
from life.haima.x402.upto import FACILITATOR_KEY
from life.haima.x402.wire import (
    X402_VERSION,
    PaymentRequired,
    PaymentRequirements,
    decode_payment_required,
)

TransferMethod = Literal["eip3009", "permit2", "solana"]

X402_V1: Final = 1

_FLOWS: Final = ("authorization", "upfront")
_WAYS: Final = ((EXACT, "eip3009"), (EXACT, "permit2"), (EXACT, "solana"), (UPTO, "permit2"))
"""Scheme and transfer method, best first."""


class TermsPreference(msgspec.Struct, frozen=True, kw_only=True):
    """What to take when there is a choice, best first. What is not named comes after what is, cheapest first."""

    networks: tuple[str, ...] = ()
    """CAIP-2."""
    assets: tuple[str, ...] = ()
    """Contract addresses, any case."""


class Offers(NamedTuple):
    """The terms of a 402, read."""

    x402_version: int
    offers: tuple[tuple[Raw, PaymentRequirements], ...]
    """Each as it came, and in the words of version 2."""
    resource: Raw | UnsetType
    extensions: Raw | UnsetType


class Terms(NamedTuple):
    """The chosen offer, read."""

    accepted: Raw
    requirements: PaymentRequirements
    domain: TokenDomain | None
    """None when the token is not in the registry, or contradicts it."""
    payee: str
    amount_atomic: int
    """For `upto` the maximum."""
    amount_micro: int | None
    transfer_method: TransferMethod = "eip3009"
    spender: str | None = None
    """The proxy of a Permit2 payment."""
    facilitator: str | None = None
    """The one account that may settle an `upto` payment; on Solana the fee payer."""


class _OfferV1(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    scheme: str
    network: str
    max_amount_required: str
    pay_to: str
    asset: str
    max_timeout_seconds: int
    extra: JsonObject | None = None


class _TermsV1(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    x402_version: int
    accepts: tuple[Raw, ...] = ()


_terms_v1: Final = msgspec.json.Decoder(_TermsV1)
_offer_v1: Final = msgspec.json.Decoder(_OfferV1)
_terms_v2: Final = msgspec.json.Decoder(PaymentRequired)


def read_header(header: str) -> Offers:
    """The terms in a PAYMENT-REQUIRED header; MalformedPaymentError when it can't be read or is not version 2."""
    return _offers(decode_payment_required(header))


def read_body(body: bytes, registry: NetworkRegistry) -> Offers | None:
    """The terms in the body of a 402; None when it is none of x402's, which is somebody else's 402."""
    try:
        terms = _terms_v1.decode(body)
        body.decode()  # raw parts are passed on unread
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
    if terms.x402_version == X402_VERSION:
        try:
            return _offers(_terms_v2.decode(body))
        except (msgspec.DecodeError, RecursionError):
            return None
    if terms.x402_version != X402_V1:
        return None
    read = []
    for raw in terms.accepts:
        try:
            offer = _offer_v1.decode(raw)
        except msgspec.DecodeError:
            continue
        network = registry.network(offer.network)
        requirements = PaymentRequirements(
            scheme=offer.scheme,
            network=offer.network if network is None else network.caip2,
            amount=offer.max_amount_required,
            asset=offer.asset,
            pay_to=offer.pay_to,
            max_timeout_seconds=offer.max_timeout_seconds,
            extra=offer.extra,
        )
        read.append((raw, requirements))
    return Offers(X402_V1, tuple(read), UNSET, UNSET)


def _offers(required: PaymentRequired) -> Offers:
    return Offers(required.x402_version, tuple(required.requirements()), required.resource, required.extensions)


def choose_terms(
    offered: Offers | PaymentRequired,
    registry: NetworkRegistry,
    preference: TermsPreference,
    *,
    allowed_networks: tuple[str, ...] | None = None,
    permits: bool = True,
    solana: Collection[str] = (),
) -> Terms:
    """The offer to pay. `permits`: whether the wallet signs Permit2 payments; `solana`: the networks of Solana on which there
    is a wallet. NoAcceptableTermsError names why there is none."""
    offers = _offers(offered) if isinstance(offered, PaymentRequired) else offered
    found: list[tuple[tuple[int, ...], Terms]] = []
    obstacles: list[str] = []
    for place, (raw, requirements) in enumerate(offers.offers):
        if is_solana(requirements.network):
            has_wallet = requirements.network in solana and offers.x402_version != X402_V1
            read = _read_solana(raw, requirements, registry, has_wallet=has_wallet)
        else:
            read = _read(raw, requirements, registry, permits=permits)
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
            requirements.scheme == UPTO,
            _place(requirements.asset.lower(), tuple(asset.lower() for asset in preference.assets)),
            _FLOWS.index(flow),
            read.amount_micro or 0,
            _WAYS.index((requirements.scheme, read.transfer_method)),
            place,
        )
        found.append((rank, read))
    if not found:
        why = "; ".join(dict.fromkeys(obstacles)) or "it makes no offer that can be read"
        raise NoAcceptableTermsError(f"The resource wants money, but no offer can be taken: {why}.")
    return min(found, key=lambda entry: entry[0])[1]


def _read(raw: Raw, requirements: PaymentRequirements, registry: NetworkRegistry, *, permits: bool) -> Terms | str:
    """The offer, or in a few words what is in the way."""
    scheme, method = requirements.scheme, permit2.transfer_method(requirements)
    if scheme not in (EXACT, UPTO):
        return f"scheme {scheme[:32]!r} is not supported"
    if chain_id_of(requirements.network) is None:
        return f"network {requirements.network[:64]!r} is not an EVM network"
    if (scheme, method) not in _WAYS:
        return f"the transfer method {method[:32]!r} is not known for scheme {scheme}"
    if method == permit2.METHOD and not permits:
        return "this wallet does not sign Permit2 payments"
    if (requirements.extra_text("paymentFlow") or _FLOWS[0]) not in _FLOWS:
        return "the payment flow is not known"
    if requirements.max_timeout_seconds < 1:
        return "the offer leaves no time to pay"
    facilitator: str | None = None
    try:
        payee = read_address(requirements.pay_to, "payTo")
        read_address(requirements.asset, "asset")
        amount_atomic = parse_atomic(requirements.amount)
        if scheme == UPTO:
            facilitator = read_address(requirements.extra_text(FACILITATOR_KEY) or "", FACILITATOR_KEY)
    except (MalformedPaymentError, InvalidInputError) as error:
        return error.message.rstrip(".")
    if int(payee, 16) == 0:
        return "payTo is the zero address"
    read = Terms(raw, requirements, None, payee, amount_atomic, None)
    if method == permit2.METHOD:
        spender = UPTO_PROXY if scheme == UPTO else EXACT_PROXY
        read = read._replace(transfer_method="permit2", spender=spender, facilitator=facilitator)
    token = registry.token(requirements.network, requirements.asset)
    if token is None:
        return read
    try:
        domain = registry.domain(requirements)
    except PaymentRefusedError as error:
        return error.message.rstrip(".")
    try:
        amount_micro = atomic_to_micro(amount_atomic, token.decimals)
    except InvalidInputError:
        amount_micro = None
    return read._replace(domain=domain, amount_micro=amount_micro)


def _read_solana(
    raw: Raw, requirements: PaymentRequirements, registry: NetworkRegistry, *, has_wallet: bool
) -> Terms | str:
    """An offer on Solana, or in a few words what is in the way."""
    if requirements.scheme != EXACT:
        return f"scheme {requirements.scheme[:32]!r} is not supported on Solana"
    if not has_wallet:
        return f"network {requirements.network!r} is one of Solana, and there is no wallet for it here"
    if (requirements.extra_text("paymentFlow") or _FLOWS[0]) not in _FLOWS:
        return "the payment flow is not known"
    if requirements.max_timeout_seconds < 1:
        return "the offer leaves no time to pay"
    fee_payer = requirements.extra_text(FEE_PAYER) or ""
    for what, address in (("payTo", requirements.pay_to), ("asset", requirements.asset), (FEE_PAYER, fee_payer)):
        if not is_solana_address(address):
            return f"'{what}' is no Solana address"
    try:
        amount_atomic = parse_atomic(requirements.amount)
    except InvalidInputError as error:
        return error.message.rstrip(".")
    if not 0 < amount_atomic < 1 << 64:
        return "the amount does not fit a transfer"
    read = Terms(raw, requirements, None, requirements.pay_to, amount_atomic, None, METHOD, None, fee_payer)
    token = registry.token(requirements.network, requirements.asset)
    if token is None:
        return read
    domain = TokenDomain(token.name, token.version, None, token.address, token.decimals)
    return read._replace(domain=domain, amount_micro=atomic_to_micro(amount_atomic, token.decimals))


def _place(value: str, preferred: tuple[str, ...]) -> int:
    return preferred.index(value) if value in preferred else len(preferred)
