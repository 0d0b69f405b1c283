"""Facilitator calls of x402 version 1, read into version 2: what fits, what does not, and what comes back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.haima.errors import MalformedPaymentError, PaymentRefusedError
from life.haima.x402 import codes, exact, v1, wire
from life.haima.x402.networks import BUILT_IN, USDC_BASE_SEPOLIA
from tests.haima.test_exact import NOW_S, PAYEE, VECTORS, sign

AUTHORIZATION = VECTORS[0][1]


def content(**changes: str) -> dict[str, Any]:
    """The payload of the vector's payment."""
    built = exact.build_payload(wire.to_raw({}), AUTHORIZATION, sign(AUTHORIZATION))
    made: dict[str, Any] = msgspec.json.decode(bytes(built.payload))
    made["authorization"].update(changes)
    return made


def payment(**changes: Any) -> bytes:
    """A version 1 payment."""
    fields = {"x402Version": 1, "scheme": "exact", "network": "base-sepolia", "payload": content()}
    return msgspec.json.encode({**fields, **changes})


def requirements(**changes: Any) -> bytes:
    """Version 1 terms, with everything that version 2 dropped."""
    fields = {
        "scheme": "exact",
        "network": "base-sepolia",
        "maxAmountRequired": "10000",
        "resource": "http://shop.test/paid",
        "description": "",
        "mimeType": "application/json",
        "outputSchema": None,
        "payTo": PAYEE,
        "maxTimeoutSeconds": 300,
        "asset": USDC_BASE_SEPOLIA.address,
        "extra": {"name": "USDC", "version": "2"},
    }
    return msgspec.json.encode({**fields, **changes})


def read(paid: bytes, asked: bytes) -> tuple[wire.PaymentPayload, wire.PaymentRequirements]:
    return v1.read_request(paid, asked, BUILT_IN)


def test_a_payment_goes_on_as_one_of_version_2() -> None:
    """Network by its CAIP-2 name, the amount, and the same signed authorization; it verifies like any other."""
    payload, terms = read(payment(), requirements())
    assert (terms.network, terms.amount, terms.pay_to) == ("eip155:84532", "10000", PAYEE)
    signed = exact.parse_exact(payload, terms)
    assert signed.authorization == AUTHORIZATION
    assert exact.verify_offline(signed, terms, now_s=NOW_S) is None


@pytest.mark.parametrize(
    ("price", "code"), [("10000", None), ("9999", None), ("1", None), ("10001", codes.VALUE_MISMATCH)]
)
def test_more_than_the_price_is_fine_and_less_is_not(price: str, code: str | None) -> None:
    """Version 1 took any value of at least the price (x402.md §9)."""
    payload, terms = read(payment(), requirements(maxAmountRequired=price))
    refusal = exact.verify_offline(exact.parse_exact(payload, terms), terms, now_s=NOW_S)
    assert (None if refusal is None else refusal.code) == code


@pytest.mark.parametrize(
    ("paid", "asked", "code"),
    [
        ({"scheme": "upto"}, {"scheme": "upto"}, codes.UNSUPPORTED_SCHEME),
        ({"scheme": "upto"}, {}, codes.UNSUPPORTED_SCHEME),
        ({"network": "base"}, {}, codes.NETWORK_MISMATCH),
        ({"network": "nowhere"}, {"network": "nowhere"}, codes.INVALID_NETWORK),
    ],
)
def test_what_does_not_fit_is_refused(paid: dict[str, str], asked: dict[str, str], code: str) -> None:
    """Another scheme, another network, or one that nobody knows."""
    with pytest.raises(PaymentRefusedError) as refused:
        read(payment(**paid), requirements(**asked))
    assert refused.value.reason == code


@pytest.mark.parametrize(
    ("paid", "asked"),
    [
        (payment(x402Version=2), requirements()),
        (payment(payload={"signature": "0x"}), requirements()),
        (payment(payload={"signature": "0x", "permit2Authorization": {}}), requirements()),
        (b"{]", requirements()),
        (payment(), b"[]"),
        (payment(), requirements(maxAmountRequired=5)),
        (b'{"x402Version":1,"scheme":"exact","network":"base-sepolia","payload":"\xff"}', requirements()),
    ],
    ids=range(7),
)
def test_what_is_none_is_malformed(paid: bytes, asked: bytes) -> None:
    """Another version, no authorization, no JSON, wrong types, no UTF-8."""
    with pytest.raises(MalformedPaymentError):
        read(paid, asked)


@given(paid=st.binary(max_size=200), asked=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(paid: bytes, asked: bytes) -> None:
    """Property: nothing but the two errors."""
    with pytest.raises((MalformedPaymentError, PaymentRefusedError)):
        read(paid, asked)


def test_settlements_name_networks_as_version_1_does() -> None:
    """By their short names, where they have one."""
    settled = wire.SettlementResponse(success=True, transaction="0x1", network="eip155:84532")
    assert v1.short_named(settled, BUILT_IN).network == "base-sepolia"
    elsewhere = msgspec.structs.replace(settled, network="eip155:10")
    assert v1.short_named(elsewhere, BUILT_IN) == elsewhere
