"""Prices and the offers that are made of them (x402.md §1, §2).

A price is written in dollars (`"$0.01"`, `"0.01"`) and means the network's default token, or it is a `Price` that names
token and atomic units. An `Offer` is the price with everything a payer must know, in the bytes that go out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.money import MAX_ATOMIC, atomic_to_micro, parse_price_atomic
from life.haima.errors import MalformedPaymentError
from life.haima.x402.authorization import EXACT, read_address
from life.haima.x402.networks import BUILT_IN, NetworkRegistry, chain_id_of, is_solana
from life.haima.x402.svm import FEE_PAYER, is_solana_address
from life.haima.x402.wire import PaymentRequirements

DEFAULT_TIMEOUT_S: Final = 300
"""What both official servers put into `maxTimeoutSeconds` (x402.md §2)."""

_encode: Final = msgspec.json.Encoder().encode
_requirements: Final = msgspec.json.Decoder(PaymentRequirements)


class Price(NamedTuple):
    """An amount of one token on one network."""

    amount_atomic: int
    network: str
    """CAIP-2."""
    asset: str
    """The token contract."""
    token_name: str
    """Name of the token's EIP-712 domain; `USD Coin` on Base, `USDC` on Base Sepolia."""
    token_version: str
    decimals: int | None = None
    """None for a token whose value in dollars is not known: its revenue is booked in atomic units only."""

    pay_to: str | None = None
    """Who is paid; None: whom the shop names. An address of its own for each payment is a provider's deposit."""

    @property
    def amount_micro(self) -> int | None:
        """Micro-dollars, for a token with known decimals."""
        return None if self.decimals is None else atomic_to_micro(self.amount_atomic, self.decimals)


class Offer:
    """One entry of `accepts`, made once. `raw` is its JSON, byte for byte as it goes out."""

    __slots__ = ("_matched", "amount_micro", "raw", "requirements")

    def __init__(self, requirements: PaymentRequirements, amount_micro: int | None) -> None:
        self.requirements = requirements
        self.amount_micro = amount_micro
        self.raw = _encode(requirements)
        self._matched = {self.raw}

    def matches(self, accepted: bytes) -> bool:
        """Whether the offer that a payer accepted is this one: scheme, network, amount, asset, payTo and time limit are
        equal as text, and everything in our `extra` stands in theirs (x402.md §1). Bytes that matched once are
        remembered, so a spelling is read once."""
        if accepted in self._matched:
            return True
        try:
            theirs = _requirements.decode(accepted)
        except (msgspec.DecodeError, RecursionError):
            return False
        if not _equal(self.requirements, theirs):
            return False
        if len(self._matched) < 64 and len(accepted) < 4096:
            self._matched.add(accepted)
        return True


def parse_price(price: str | Price, *, network: str, registry: NetworkRegistry = BUILT_IN) -> Price:
    """A price from its text in dollars, in the network's default token. InvalidInputError when it is none."""
    if isinstance(price, Price):
        return price
    token = registry.default_token(network)
    if token is None:
        raise InvalidInputError(
            f"There is no default token on {network}; a price in dollars means nothing there.",
            next_step="Give a Price with the token's contract and domain.",
        )
    amount = parse_price_atomic(price, token.decimals)
    return Price(amount, network, token.address, token.name, token.version, token.decimals)


@lru_cache(maxsize=4096)
def make_offer(price: Price, pay_to: str, *, max_timeout_s: int = DEFAULT_TIMEOUT_S) -> Offer:
    """The offer of a price for one payee. The same price gives the same offer, so a dynamic price that comes out equal
    on the second request matches what was offered on the first. InvalidInputError for terms nobody could pay."""
    if is_solana(price.network):
        raise InvalidInputError("An offer on Solana needs the facilitator's fee payer.")
    if chain_id_of(price.network) is None:
        raise InvalidInputError(f"{price.network} is no EVM network; it must look like eip155:8453.")
    if not 0 < price.amount_atomic <= MAX_ATOMIC:
        raise InvalidInputError("A price must be between 1 and 2^256-1 atomic units.")
    if max_timeout_s < 10:
        raise InvalidInputError("A payment needs at least 10 seconds.")
    try:
        payee, asset = read_address(pay_to, "pay_to"), read_address(price.asset, "asset")
    except MalformedPaymentError as error:
        raise InvalidInputError(error.message) from None
    if int(payee, 16) == 0:
        raise InvalidInputError("Nobody can be paid at the zero address.")
    requirements = PaymentRequirements(
        scheme=EXACT,
        network=price.network,
        amount=str(price.amount_atomic),
        asset=asset,
        pay_to=payee,
        max_timeout_seconds=max_timeout_s,
        extra={"name": price.token_name, "version": price.token_version},
    )
    return Offer(requirements, price.amount_micro)


@lru_cache(maxsize=1024)
def make_solana_offer(price: Price, pay_to: str, fee_payer: str, *, max_timeout_s: int = DEFAULT_TIMEOUT_S) -> Offer:
    """The same on Solana: `fee_payer` is the facilitator's account, as its /supported names it."""
    if not 0 < price.amount_atomic < 1 << 64:
        raise InvalidInputError("A price on Solana must be between 1 and 2^64-1 atomic units.")
    if max_timeout_s < 10:
        raise InvalidInputError("A payment needs at least 10 seconds.")
    for what, address in (("pay_to", pay_to), ("asset", price.asset), ("fee payer", fee_payer)):
        if not is_solana_address(address):
            raise InvalidInputError(f"The {what} is no Solana address (base58 of 32 bytes).")
    if pay_to == fee_payer:
        raise InvalidInputError("The facilitator's fee payer can't be paid: it takes no part in a transfer.")
    requirements = PaymentRequirements(
        scheme=EXACT,
        network=price.network,
        amount=str(price.amount_atomic),
        asset=price.asset,
        pay_to=pay_to,
        max_timeout_seconds=max_timeout_s,
        extra={FEE_PAYER: fee_payer},
    )
    return Offer(requirements, price.amount_micro)


def _equal(ours: PaymentRequirements, theirs: PaymentRequirements) -> bool:
    extra = theirs.extra
    return (
        ours.scheme == theirs.scheme
        and ours.network == theirs.network
        and ours.amount == theirs.amount
        and ours.asset == theirs.asset
        and ours.pay_to == theirs.pay_to
        and ours.max_timeout_seconds == theirs.max_timeout_seconds
        and isinstance(extra, Mapping)
        and all(extra.get(key) == value for key, value in (ours.extra or {}).items())
    )
