"""Prices and the offers made of them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.haima.x402.networks import BASE, BASE_SEPOLIA, LOCAL, PLAY_MONEY, USDC_BASE, USDC_BASE_SEPOLIA
from life.haima.x402.price import Offer, Price, make_offer, parse_price
from life.haima.x402.wire import PaymentRequirements
from life.testing.chain import PAYEE

PRICE = parse_price("$0.01", network=BASE_SEPOLIA)


@pytest.mark.parametrize(
    ("text", "atomic"), [("$0.01", 10_000), ("0.01", 10_000), ("$1", 1_000_000), ("$0.000001", 1), ("12.5", 12_500_000)]
)
def test_dollars_mean_the_default_token(text: str, atomic: int) -> None:
    """A price in dollars is exact atomic units of the network's first known token, with its own domain."""
    price = parse_price(text, network=BASE_SEPOLIA)
    assert price == Price(atomic, BASE_SEPOLIA, USDC_BASE_SEPOLIA.address, "USDC", "2", 6)
    assert price.amount_micro == atomic


def test_domains_differ_between_networks() -> None:
    """The same token has another name on the main network (x402.md §8's classic mistake)."""
    assert parse_price("$1", network=BASE).token_name == USDC_BASE.name == "USD Coin"
    assert parse_price("$1", network=LOCAL).token_name == PLAY_MONEY.name


@pytest.mark.parametrize("text", ["", "free", "$0", "0.00", "-1", "$-1", "1e3", "$0.0000001", "1,5", "$", "NaN", "€1"])
def test_other_prices_are_refused(text: str) -> None:
    """What is no exact, positive amount of dollars is no price."""
    with pytest.raises(InvalidInputError):
        parse_price(text, network=BASE_SEPOLIA)


def test_unknown_network_has_no_dollars() -> None:
    """Where no token is known a price must name one."""
    with pytest.raises(InvalidInputError, match="no default token"):
        parse_price("$1", network="eip155:999999")
    own = Price(5, "eip155:999999", PAYEE, "Own", "1")
    assert parse_price(own, network="eip155:999999") is own
    assert own.amount_micro is None


@pytest.mark.parametrize(
    "price",
    [
        PRICE._replace(amount_atomic=0),
        PRICE._replace(amount_atomic=2**256),
        PRICE._replace(network="solana:devnet"),
        PRICE._replace(asset="0x12"),
    ],
)
def test_unpayable_terms_are_refused(price: Price) -> None:
    """An offer that nobody could pay is an error of the seller."""
    with pytest.raises(InvalidInputError):
        make_offer(price, PAYEE)
    with pytest.raises(InvalidInputError):
        make_offer(PRICE, "0x" + "g" * 40)
    with pytest.raises(InvalidInputError):
        make_offer(PRICE, PAYEE, max_timeout_s=5)


def test_offer_is_spelled_in_checksums() -> None:
    """A payee given in lower case goes out in EIP-55, so that every peer takes it (x402.md §12 row 11)."""
    offer = make_offer(PRICE, PAYEE.lower())
    assert offer.requirements.pay_to == PAYEE
    assert msgspec.json.decode(offer.raw) == {
        "scheme": "exact",
        "network": BASE_SEPOLIA,
        "amount": "10000",
        "asset": USDC_BASE_SEPOLIA.address,
        "payTo": PAYEE,
        "maxTimeoutSeconds": 300,
        "extra": {"name": "USDC", "version": "2"},
    }


def offer() -> Offer:
    """A new one, with nothing remembered."""
    fresh = make_offer(PRICE, PAYEE)
    return Offer(fresh.requirements, fresh.amount_micro)


def changed(**changes: object) -> bytes:
    """Our offer with fields changed; None leaves one out."""
    fields = {**msgspec.json.decode(offer().raw), **changes}
    return msgspec.json.encode({key: value for key, value in fields.items() if value is not None})


def test_matches_its_own_echo_in_any_spelling() -> None:
    """Order of keys, blanks and additions do not matter; what matched once matches again."""
    ours = offer()
    assert ours.matches(ours.raw)
    reordered = msgspec.json.format(
        msgspec.json.encode(dict(reversed(msgspec.json.decode(ours.raw).items()))), indent=2
    )
    added = changed(extra={"name": "USDC", "version": "2", "assetTransferMethod": "eip3009"}, more=1)
    for accepted in (reordered, added, reordered):
        assert ours.matches(accepted)


@pytest.mark.parametrize(
    "changes",
    [
        {"scheme": "upto"},
        {"network": BASE},
        {"amount": "9999"},
        {"amount": 10000},
        {"amount": "010000"},
        {"asset": USDC_BASE_SEPOLIA.address.lower()},
        {"payTo": PAYEE.lower()},
        {"payTo": None},
        {"maxTimeoutSeconds": 301},
        {"maxTimeoutSeconds": "300"},
        {"extra": None},
        {"extra": {"name": "USDC"}},
        {"extra": {"name": "USD Coin", "version": "2"}},
        {"extra": []},
    ],
)
def test_other_terms_do_not_match(changes: dict[str, object]) -> None:
    """Everything is compared as text, as both SDKs do it (x402.md §1)."""
    assert not offer().matches(changed(**changes))


@given(st.binary(max_size=200))
def test_no_bytes_match_by_accident(accepted: bytes) -> None:
    """Anything else is no match, and never an exception."""
    assert not offer().matches(accepted)


def test_memory_of_spellings_is_bounded() -> None:
    """A payer who sends a thousand spellings fills nothing."""
    ours = offer()
    for number in range(1000):
        assert ours.matches(changed(more=number))
    assert len(ours._matched) <= 64
    assert not ours.matches(b"[" * 100_000)
    assert PaymentRequirements is type(ours.requirements)
