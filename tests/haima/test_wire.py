"""The objects of x402 on the wire, and the headers that carry them."""

from __future__ import annotations

import base64
import json
import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from x402.http.utils import (
    decode_payment_required_header,
    decode_payment_response_header,
    decode_payment_signature_header,
    encode_payment_required_header,
    encode_payment_response_header,
    encode_payment_signature_header,
)
from x402.schemas import PaymentPayload as OfficialPayload
from x402.schemas import PaymentRequired as OfficialRequired
from x402.schemas import SettleResponse

from life.aios.json import Json, JsonObject
from life.haima.errors import MalformedPaymentError
from life.haima.x402 import wire

REQUIREMENTS = wire.PaymentRequirements(
    scheme="exact",
    network="eip155:84532",
    amount="10000",
    asset="0x036CbD53842c5426634e7929541eC2318f3dCF7e",
    pay_to="0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
    max_timeout_seconds=60,
    extra={"name": "USDC", "version": "2"},
)

# The example of the official HTTP transport document (specs/transports-v2/http.md), as a client would receive it.
SPEC_REQUIRED = {
    "x402Version": 2,
    "error": "PAYMENT-SIGNATURE header is required",
    "resource": {
        "url": "https://api.example.com/premium-data",
        "description": "Access to premium market data",
        "mimeType": "application/json",
    },
    "accepts": [
        {
            "scheme": "exact",
            "network": "eip155:84532",
            "amount": "10000",
            "asset": "0x036CbD53842c5426634e7929541eC2318f3dCF7e",
            "payTo": "0x209693Bc6afc0C5328bA36FaF03C514EF312287C",
            "maxTimeoutSeconds": 60,
            "extra": {"name": "USDC", "version": "2"},
        }
    ],
}

GOLDEN_REQUIRED = (
    "eyJ4NDAyVmVyc2lvbiI6MiwiYWNjZXB0cyI6W3sic2NoZW1lIjoiZXhhY3QiLCJuZXR3b3JrIjoiZWlwMTU1Ojg0NTMyIiwiYW1vdW50IjoiMTAwMDAi"
    "LCJhc3NldCI6IjB4MDM2Q2JENTM4NDJjNTQyNjYzNGU3OTI5NTQxZUMyMzE4ZjNkQ0Y3ZSIsInBheVRvIjoiMHgyMDk2OTNCYzZhZmMwQzUzMjhiQTM2"
    "RmFGMDNDNTE0RUYzMTIyODdDIiwibWF4VGltZW91dFNlY29uZHMiOjYwLCJleHRyYSI6eyJuYW1lIjoiVVNEQyIsInZlcnNpb24iOiIyIn19XX0="
)
"""`offer((REQUIREMENTS,))` as a header; the bytes are part of the promise, because servers compare echoes."""


def header_of(value: object) -> str:
    """Any JSON as a header."""
    return base64.b64encode(json.dumps(value).encode()).decode()


def test_golden_payment_required_header() -> None:
    """The same offer always gives the same header."""
    assert wire.encode_header(wire.offer((REQUIREMENTS,))) == GOLDEN_REQUIRED
    assert wire.decode_payment_required(GOLDEN_REQUIRED).requirements()[0][1] == REQUIREMENTS


def test_reads_the_documents_example() -> None:
    """The terms of the official document are read field by field."""
    required = wire.decode_payment_required(header_of(SPEC_REQUIRED))
    assert required.error == "PAYMENT-SIGNATURE header is required"
    assert [terms for _, terms in required.requirements()] == [REQUIREMENTS]
    resource = wire.read_resource(required.resource)
    assert resource is not None and resource.mime_type == "application/json"


def test_official_sdk_reads_our_headers_and_we_read_theirs() -> None:
    """Each of the three headers means the same to the official Python SDK, in both directions."""
    ours = wire.offer(
        (REQUIREMENTS,), resource=wire.ResourceInfo(url="https://a.example/x"), error="e", extensions={"b": {}}
    )
    theirs = decode_payment_required_header(wire.encode_header(ours))
    assert isinstance(theirs, OfficialRequired)
    assert theirs.accepts[0].pay_to == REQUIREMENTS.pay_to and theirs.extensions == {"b": {}}
    again = wire.decode_payment_required(encode_payment_required_header(theirs))
    assert again.requirements()[0][1] == REQUIREMENTS

    payload = wire.PaymentPayload(
        x402_version=2, accepted=wire.to_raw(REQUIREMENTS), payload=wire.to_raw({"signature": "0x00"})
    )
    official = decode_payment_signature_header(wire.encode_header(payload))
    assert isinstance(official, OfficialPayload)
    assert official.payload == {"signature": "0x00"}
    back = wire.decode_payment_signature(encode_payment_signature_header(official))
    assert back.requirements() == REQUIREMENTS

    response = wire.SettlementResponse(success=False, network="eip155:84532", error_reason="insufficient_funds")
    settled = decode_payment_response_header(wire.encode_header(response))
    assert settled.error_reason == "insufficient_funds" and settled.transaction == ""
    assert wire.decode_payment_response(encode_payment_response_header(settled)) == response
    assert wire.decode_payment_response(
        encode_payment_response_header(
            SettleResponse(success=True, transaction="0xab", network="eip155:1", payer="0x1")
        )
    ) == wire.SettlementResponse(success=True, transaction="0xab", network="eip155:1", payer="0x1")


def test_echoes_verbatim() -> None:
    """What must be echoed comes out byte for byte: unknown keys, order, spacing, numbers."""
    accepted = (
        b'{"scheme":"exact", "network":"eip155:1","amount":"1","asset":"0x","payTo":"m","maxTimeoutSeconds":1,"x":1.50}'
    )
    body = b'{"x402Version":2,"payload":{},"accepted":' + accepted + b',"extensions":{ "a":{"info":{"n":1e2}}}}'
    payload = wire.decode_payment_signature(base64.b64encode(body).decode())
    assert bytes(payload.accepted) == accepted
    sent = base64.b64decode(wire.encode_header(payload))
    assert accepted in sent and b'{ "a":{"info":{"n":1e2}}}' in sent


def test_absent_and_null_optionals_are_the_same() -> None:
    """`null` is read as absent, and absent optionals are left out on the way back."""
    with_nulls = {**SPEC_REQUIRED, "error": None, "resource": None, "extensions": None}
    required = wire.decode_payment_required(header_of(with_nulls))
    assert required.error is None
    assert wire.present(required.resource) is None and wire.present(required.extensions) is None
    assert wire.read_extensions(required.extensions) == {} and wire.read_resource(required.resource) is None
    plain = msgspec.json.decode(base64.b64decode(GOLDEN_REQUIRED))
    assert set(plain) == {"x402Version", "accepts"}


def test_a_settlement_always_carries_its_required_keys() -> None:
    """`transaction` and `network` are sent even when empty: peers require the keys."""
    assert msgspec.to_builtins(wire.SettlementResponse(success=False)) == {
        "success": False,
        "transaction": "",
        "network": "",
    }


def test_one_unreadable_offer_does_not_spoil_the_others() -> None:
    """An offer of another shape is skipped."""
    accepts = [{"scheme": "odd"}, *SPEC_REQUIRED["accepts"], 7]  # type: ignore[misc]
    required = wire.decode_payment_required(header_of({**SPEC_REQUIRED, "accepts": accepts}))
    assert [terms for _, terms in required.requirements()] == [REQUIREMENTS]


def test_bad_resource_metadata_is_never_fatal() -> None:
    """A resource that can't be read is no resource."""
    required = wire.decode_payment_required(header_of({**SPEC_REQUIRED, "resource": {"url": 5}}))
    assert wire.read_resource(required.resource) is None


@pytest.mark.parametrize(
    "header",
    [
        "",
        "%%%",
        "not base64!",
        "e30",  # padding missing
        "e30=\u00e9",
        base64.b64encode(b"\xff\xfe").decode(),
        base64.b64encode(b'{"x402Version":2,"accepts":[],"resource":"\xff"}').decode(),
        header_of([]),
        header_of("text"),
        header_of({}),
        header_of({"x402Version": 2}),
        header_of({**SPEC_REQUIRED, "x402Version": 1}),
        header_of({**SPEC_REQUIRED, "x402Version": "2"}),
        header_of({**SPEC_REQUIRED, "accepts": {}}),
        base64.b64encode(b"[" * 100_000).decode(),
        "A" * (wire.MAX_HEADER_CHARS + 4),
    ],
    ids=lambda text: text[:24],
)
def test_garbage_is_a_malformed_payment(header: str) -> None:
    """Whatever arrives, reading it ends in a value or in one error with status 400."""
    with pytest.raises(MalformedPaymentError) as caught:
        wire.decode_payment_required(header)
    assert caught.value.status == 400
    with pytest.raises(MalformedPaymentError):
        wire.decode_payment_signature(header)


@given(st.text(alphabet=string.printable, max_size=200))
def test_reading_any_text_never_raises_anything_else(text: str) -> None:
    """Property: no text makes a header reader raise anything but MalformedPaymentError."""
    for read in (wire.decode_payment_required, wire.decode_payment_signature, wire.decode_payment_response):
        try:
            read(text)
        except MalformedPaymentError:
            pass


_json: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.builds(
        wire.PaymentRequirements,
        scheme=st.text(max_size=12),
        network=st.text(max_size=20),
        amount=st.integers(0, 2**256).map(str),
        asset=st.text(max_size=42),
        pay_to=st.text(max_size=42),
        max_timeout_seconds=st.integers(0, 2**40),
        extra=st.none() | st.dictionaries(st.text(max_size=8), _json, max_size=4),
    ),
    st.none() | st.dictionaries(st.text(max_size=8), _json, max_size=3),
)
def test_requirements_survive_the_round_trip(
    requirements: wire.PaymentRequirements, extensions: JsonObject | None
) -> None:
    """Property: what is offered is what is read."""
    required = wire.decode_payment_required(wire.encode_header(wire.offer((requirements,), extensions=extensions)))
    raw, read = required.requirements()[0]
    assert read == requirements
    assert wire.decode_requirements(raw) == requirements
