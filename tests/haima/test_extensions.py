"""What a client echoes of a server's extensions, and what it adds."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Raw
from x402.extensions.payment_identifier import validate_payment_identifier

from life.haima.x402.extensions import echo

PAYMENT_ID = "01JD0000000000000000000000"

_json = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


def test_nothing_becomes_nothing() -> None:
    """Without extensions nothing is sent, and nothing is invented."""
    assert echo(UNSET, PAYMENT_ID) is UNSET
    assert echo(Raw(b"null"), PAYMENT_ID) is UNSET
    assert bytes(echo(Raw(b"{}"), PAYMENT_ID)) == b"{}"  # type: ignore[arg-type]


@given(
    st.dictionaries(st.text(max_size=12), _json, max_size=4), st.dictionaries(st.text(max_size=6), _json, max_size=3)
)
def test_everything_comes_back_and_only_the_identifier_is_added(
    others: dict[str, object], info: dict[str, object]
) -> None:
    """Property: the echo equals what was advertised, plus `info.id` where an identifier was asked for."""
    others.pop("payment-identifier", None)
    info.pop("id", None)
    advertised = {**others, "payment-identifier": {"info": info, "schema": {"x": [1]}}}
    echoed = echo(Raw(json.dumps(advertised).encode()), PAYMENT_ID)
    assert isinstance(echoed, Raw)
    content = json.loads(bytes(echoed))
    assert content["payment-identifier"]["info"].pop("id") == PAYMENT_ID
    assert content == advertised
    plain = json.dumps(others).encode()
    assert bytes(echo(Raw(plain), PAYMENT_ID)) == plain  # type: ignore[arg-type]


def test_a_declaration_that_is_none_is_left_alone() -> None:
    """An identifier extension of another shape is echoed as it is."""
    for odd in (b'{"payment-identifier":5}', b'{"payment-identifier":{"info":[]}}', b'{"payment-identifier":{}}'):
        assert bytes(echo(Raw(odd), PAYMENT_ID)) == odd  # type: ignore[arg-type]


def test_the_official_sdk_accepts_our_identifier() -> None:
    """The identifier that is added passes the official validation."""
    raw = Raw(b'{"payment-identifier":{"info":{"required":true},"schema":{}}}')
    content = json.loads(bytes(echo(raw, PAYMENT_ID)))  # type: ignore[arg-type]
    assert validate_payment_identifier(content["payment-identifier"]).valid
