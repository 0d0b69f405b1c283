"""Payments that are not what they should be: each is refused with the right status and code, and nothing happens.

Rows: x402.md §12 and §16.12, haima.md §8.2. "Nothing" means: no handler ran, no claim was written, the facilitator was asked
to settle nothing.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from life.haima.x402 import codes
from life.haima.x402.networks import BASE_SEPOLIA, USDC_BASE_SEPOLIA
from life.testing.chain import STRANGER_KEY, sign, with_high_s
from tests.haima.shop import PRICE_ATOMIC, Shop, edited, error_of

OTHER = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    """The demo application, with a payer who has money."""
    made = Shop()
    await made.fund()
    yield made
    await made.aclose()


async def assert_nothing_happened(shop: Shop) -> None:
    """No handler, no claim, no settlement, no money."""
    assert await shop.hits() == {"paid": 0, "free": 0, "fail": 0}
    assert await shop.events() == []
    assert shop.facilitator.settled == 0
    assert await shop.earned() == 0


def _b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


MALFORMED: dict[str, Callable[[Shop], str]] = {
    "empty": lambda shop: "",
    "no base64": lambda shop: "%%%",
    "base64url": lambda shop: shop.pay(1).replace("=", "") + "-_",
    "cut off": lambda shop: shop.pay(1)[:-7],
    "no json": lambda shop: _b64("hello"),
    "json list": lambda shop: _b64("[]"),
    "json null": lambda shop: _b64("null"),
    "not utf-8": lambda shop: _b64(b'{"x402Version":2,"accepted":{},"payload":"\xff"}'),
    "deeply nested": lambda shop: _b64('{"x402Version":2,"accepted":' + "[" * 5000 + "]" * 5000 + ',"payload":{}}'),
    "no version": lambda shop: edited(shop.pay(1), x402Version=None),
    "version 1": lambda shop: edited(shop.pay(1), x402Version=1),
    "version as text": lambda shop: edited(shop.pay(1), x402Version="2"),
    "no payload": lambda shop: edited(shop.pay(1), payload=None),
    "no accepted": lambda shop: edited(shop.pay(1), accepted=None),
    "accepted is a list": lambda shop: edited(shop.pay(1), accepted=[]),
    "no signature": lambda shop: edited(shop.pay(1), payload__signature=None),
    "signature is no hex": lambda shop: edited(shop.pay(1), payload__signature="0xzz"),
    "value ten": lambda shop: edited(shop.pay(1), payload__authorization__value="ten"),
    "value as a number": lambda shop: edited(shop.pay(1), payload__authorization__value=10000),
    "value with a leading zero": lambda shop: edited(shop.pay(1), payload__authorization__value="010000"),
    "value negative": lambda shop: edited(shop.pay(1), payload__authorization__value="-10000"),
    "value of 2^256": lambda shop: edited(shop.pay(1), payload__authorization__value=str(2**256)),
    "nonce too short": lambda shop: edited(shop.pay(1), payload__authorization__nonce="0x01"),
    "payer is no address": lambda shop: edited(shop.pay(1), payload__authorization__from="0x01"),
    "payer with a wrong checksum": lambda shop: edited(
        shop.pay(1), payload__authorization__from="0x70997970c51812dc3A010C7d01b50e0d17dc79C8"
    ),
    "too long": lambda shop: _b64("x" * 200_000),
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_malformed_is_400(shop: Shop, case: str) -> None:
    """What can't be read is 400, never a crash and never a fresh 402 that hides the mistake (x402.md §2)."""
    answer = await shop.get("/paid", MALFORMED[case](shop))
    assert answer.status_code == 400
    assert answer.json()["code"] == "haima.malformed_payment"
    await assert_nothing_happened(shop)


async def test_two_payments_in_one_request_are_400(shop: Shop) -> None:
    """Two PAYMENT-SIGNATURE headers leave open which one is meant."""
    headers = [("payment-signature", shop.pay(1)), ("payment-signature", shop.pay(2))]
    answer = await shop.client.get("/paid", headers=headers)
    assert answer.status_code == 400
    await assert_nothing_happened(shop)


def _signed_otherwise(shop: Shop, **changes: object) -> str:
    """The right authorization with the signature of another one."""
    return shop.header(shop.authorization(1), sign(shop.authorization(1, **changes)))


REFUSED: dict[str, tuple[str, Callable[[Shop], str]]] = {
    "unknown scheme": (codes.NO_MATCHING_REQUIREMENTS, lambda s: edited(s.pay(1), accepted__scheme="upto")),
    "other network accepted": (
        codes.NO_MATCHING_REQUIREMENTS,
        lambda s: edited(s.pay(1), accepted__network=BASE_SEPOLIA),
    ),
    "other asset accepted": (
        codes.NO_MATCHING_REQUIREMENTS,
        lambda s: edited(s.pay(1), accepted__asset=USDC_BASE_SEPOLIA.address),
    ),
    "lower amount accepted": (codes.NO_MATCHING_REQUIREMENTS, lambda s: edited(s.pay(1), accepted__amount="1")),
    "other payee accepted": (codes.NO_MATCHING_REQUIREMENTS, lambda s: edited(s.pay(1), accepted__payTo=OTHER)),
    "longer time accepted": (
        codes.NO_MATCHING_REQUIREMENTS,
        lambda s: edited(s.pay(1), accepted__maxTimeoutSeconds=9999),
    ),
    "extra left out": (codes.NO_MATCHING_REQUIREMENTS, lambda s: edited(s.pay(1), accepted__extra=None)),
    "other domain in extra": (
        codes.NO_MATCHING_REQUIREMENTS,
        lambda s: edited(s.pay(1), accepted__extra={"name": "USDC", "version": "2"}),
    ),
    "pays too little": (codes.VALUE_MISMATCH, lambda s: s.pay(1, value_atomic=PRICE_ATOMIC - 1)),
    "pays too much": (codes.VALUE_MISMATCH, lambda s: s.pay(1, value_atomic=PRICE_ATOMIC + 1)),
    "pays nothing": (codes.VALUE_MISMATCH, lambda s: s.pay(1, value_atomic=0)),
    "pays somebody else": (codes.RECIPIENT_MISMATCH, lambda s: s.pay(1, to_address=OTHER)),
    "expired": (codes.VALID_BEFORE, lambda s: s.pay(1, valid_before_s=s.clock.now_us() // 1_000_000 - 1)),
    "expires in five seconds": (
        codes.VALID_BEFORE,
        lambda s: s.pay(1, valid_before_s=s.clock.now_us() // 1_000_000 + 5),
    ),
    "not yet valid": (codes.VALID_AFTER, lambda s: s.pay(1, valid_after_s=s.clock.now_us() // 1_000_000 + 60)),
    "value changed": (codes.INVALID_SIGNATURE, lambda s: _signed_otherwise(s, value_atomic=1)),
    "nonce changed": (codes.INVALID_SIGNATURE, lambda s: _signed_otherwise(s, nonce=bytes(32))),
    "window changed": (codes.INVALID_SIGNATURE, lambda s: _signed_otherwise(s, valid_before_s=4_000_000_000)),
    "other network signed": (codes.INVALID_SIGNATURE, lambda s: _signed_otherwise(s, network=BASE_SEPOLIA)),
    "other token signed": (codes.INVALID_SIGNATURE, lambda s: _signed_otherwise(s, asset=USDC_BASE_SEPOLIA.address)),
    "other domain signed": (codes.INVALID_SIGNATURE, lambda s: _signed_otherwise(s, token_name="USD Coin")),
    "somebody else signed": (
        codes.INVALID_SIGNATURE,
        lambda s: s.header(s.authorization(1), sign(s.authorization(1), STRANGER_KEY)),
    ),
    "high s": (codes.INVALID_SIGNATURE, lambda s: s.header(s.authorization(1), with_high_s(sign(s.authorization(1))))),
    "one bit flipped": (
        codes.INVALID_SIGNATURE,
        lambda s: s.header(s.authorization(1), bytes([sign(s.authorization(1))[0] ^ 1, *sign(s.authorization(1))[1:]])),
    ),
    "signature of zeros": (codes.INVALID_SIGNATURE, lambda s: s.header(s.authorization(1), bytes(64) + b"\x1b")),
    "64-byte signature": (
        codes.INVALID_SIGNATURE,
        lambda s: s.header(s.authorization(1), sign(s.authorization(1))[:64]),
    ),
    "empty signature": (codes.INVALID_SIGNATURE, lambda s: edited(s.pay(1), payload__signature="0x")),
    "v of 29": (
        codes.INVALID_SIGNATURE,
        lambda s: s.header(s.authorization(1), sign(s.authorization(1))[:64] + b"\x1d"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_refused_is_402_with_its_code(shop: Shop, case: str) -> None:
    """A readable payment that is not the right one is 402 with its code and the terms for a good one."""
    code, make = REFUSED[case]
    answer = await shop.get("/paid", make(shop))
    assert answer.status_code == 402
    assert error_of(answer) == code
    assert answer.json()["reason"] == code
    assert answer.headers["cache-control"] == "no-store"
    await assert_nothing_happened(shop)


async def test_other_spellings_of_a_payment_are_the_same_payment(shop: Shop) -> None:
    """v of 0 for 27, addresses and nonce in another case: one payment, one run, one charge (x402.md §16.4)."""
    authorization = shop.authorization(0xABCDEF)
    signature = sign(authorization)
    spellings = [
        shop.header(authorization, signature),
        shop.header(authorization, signature[:64] + bytes([signature[64] - 27])),
        edited(shop.header(authorization, signature), payload__authorization__from=authorization.from_address.lower()),
        edited(shop.header(authorization, signature), payload__authorization__to=authorization.to_address.lower()),
        edited(
            shop.header(authorization, signature),
            payload__authorization__nonce="0x" + authorization.nonce.hex().upper(),
        ),
        _b64(json.dumps(json.loads(base64.b64decode(shop.header(authorization, signature))), indent=3)),
    ]
    for header in spellings:
        answer = await shop.get("/paid", header)
        assert (answer.status_code, answer.json()["runs"]) == (200, 1)
    assert await shop.earned() == await shop.booked() == PRICE_ATOMIC


async def test_unknown_fields_are_tolerated(shop: Shop) -> None:
    """Peers may add what they like; only our own `extra` and the extension's info must come back unchanged."""
    header = edited(
        shop.pay(1), somethingNew={"a": [1]}, accepted__extra={"name": "Life Play Money", "version": "1", "x": 1}
    )
    assert (await shop.get("/paid", header)).status_code == 200


async def test_changed_extension_is_refused(shop: Shop) -> None:
    """What we advertised of an extension must come back as it was (x402.md §1)."""
    changed = {"payment-identifier": {"info": {"required": True, "id": "purchase-00000001"}}}
    answer = await shop.get("/paid", edited(shop.pay(1), extensions=changed))
    assert answer.status_code == 402
    assert error_of(answer) == codes.EXTENSION_ECHO_MISMATCH
    await assert_nothing_happened(shop)


async def test_forged_twin_does_not_steal_a_claim(shop: Shop) -> None:
    """A payment with somebody's payer and nonce but a false signature claims nothing: the real one still buys."""
    forged = shop.header(shop.authorization(1), sign(shop.authorization(1), STRANGER_KEY))
    assert (await shop.get("/paid", forged)).status_code == 402
    assert (await shop.get("/paid", shop.pay(1))).status_code == 200
    assert (await shop.get("/paid", forged)).status_code == 402


async def test_second_payment_with_the_same_nonce_buys_nothing(shop: Shop) -> None:
    """The payer signs another payment with a used nonce: it is the same claim, and it is not sold again."""
    await shop.get("/paid", shop.pay(1))
    again = await shop.get("/paid?more=1", shop.pay(1, valid_after_s=1))
    assert again.status_code == 402
    assert await shop.earned() == PRICE_ATOMIC


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7), data=st.data())
async def test_any_flipped_bit_is_refused_or_harmless(shop: Shop, position: int, bit: int, data: st.DataObject) -> None:
    """A bit flipped anywhere in a good header is 400, 402 or, where it hit only decoration, the same one sale."""
    raw = bytearray(base64.b64decode(shop.pay(7)))
    raw[position % len(raw)] ^= 1 << bit
    answer = await shop.get("/paid", _b64(bytes(raw)))
    assert answer.status_code in (200, 400, 402)
    assert await shop.earned() in (0, PRICE_ATOMIC)
    assert (await shop.hits())["paid"] <= 1
