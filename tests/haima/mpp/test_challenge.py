"""Challenges, credentials and receipts on the wire, against pympp's own reading and writing of them."""

from __future__ import annotations

import base64
import hashlib
import json

import mpp
import mpp._body_digest
import mpp.client.transport
import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from life.haima.errors import MalformedPaymentError
from life.haima.mpp.challenge import (
    Challenge,
    body_digest,
    challenge_id,
    decode_object,
    encode_object,
    expiry_s,
    format_challenge,
    format_time,
    is_ours,
    parse_challenges,
)
from life.haima.mpp.credential import (
    Credential,
    Receipt,
    decode_credential,
    decode_receipt,
    echo_of,
    encode_credential,
    encode_receipt,
)
from life.haima.mpp.evm import challenge_nonce

SECRET = "a secret that is long enough for this"
REQUEST = {"amount": "10000", "currency": "0x" + "ab" * 20, "methodDetails": {"chainId": 1, "decimals": 6}}

printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=40)
objects = st.dictionaries(
    st.text("abcdefghijklmnopqrstuvwxyzABC_", min_size=1, max_size=8),
    st.recursive(
        st.text(max_size=20) | st.integers(-(2**53) + 1, 2**53 - 1) | st.booleans() | st.none(),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("abcXYZ", min_size=1, max_size=4), inner, max_size=3)
        ),
        max_leaves=6,
    ),
    max_size=4,
)


def theirs(**changes: object) -> mpp.Challenge:
    """A challenge that pympp made."""
    parts: dict[str, object] = {
        "secret_key": SECRET,
        "realm": "api.example",
        "method": "evm",
        "intent": "charge",
        "request": REQUEST,
        "expires": "2026-11-20T12:00:00.000Z",
        "meta": {"order": "1"},
    }
    return mpp.Challenge.create(**{**parts, **changes})  # type: ignore[arg-type]


@given(realm=printable, request=objects, meta=st.none() | st.dictionaries(printable, printable, max_size=2))
def test_we_read_what_pympp_writes(realm: str, request: dict[str, object], meta: dict[str, str] | None) -> None:
    """Every part as it was meant, and the id that pympp's HMAC gave is the one that ours gives."""
    made = theirs(realm=realm, request=request, meta=meta, digest="sha-256=abc=", header="Payment-Authorization")
    [read] = parse_challenges(made.to_www_authenticate(realm))
    assert (read.id, read.realm, read.method, read.intent) == (made.id, realm, "evm", "charge")
    assert decode_object(read.request) == json.loads(rfc8785.dumps(request))  # type: ignore[arg-type]
    assert read.credential_header == "Payment-Authorization"
    assert read.digest == "sha-256=abc="
    assert is_ours(SECRET.encode(), read)
    assert not is_ours(SECRET.encode() + b"x", read)


@given(realm=printable, request=objects, note=st.none() | printable)
def test_pympp_reads_what_we_write(realm: str, request: dict[str, object], note: str | None) -> None:
    """Ours is read and verified by pympp, quotes and backslashes included, and canonical as RFC 8785 says."""
    content = encode_object(request)  # type: ignore[arg-type]
    assert base64.urlsafe_b64decode(content + "=" * (-len(content) % 4)) == rfc8785.dumps(request)  # type: ignore[arg-type]
    ours = Challenge("", realm, "evm", "charge", content, "2026-11-20T12:00:00.000Z", description=note)
    ours = ours._replace(id=challenge_id(SECRET.encode(), ours))
    if "\\u" in realm or "\\u" in (note or "").replace("\\\\", ""):
        return  # pympp takes a backslash and 'u' for an escape of its own
    read = mpp.Challenge.from_www_authenticate(format_challenge(ours))
    assert (read.id, read.realm) == (ours.id, realm)
    assert read.verify(SECRET, realm)


@pytest.mark.parametrize("part", ["realm", "method", "intent", "request", "expires", "digest", "opaque", "header"])
def test_a_changed_part_is_not_ours(part: str) -> None:
    """The id binds every part; only the description is free."""
    [made] = parse_challenges(theirs(digest="sha-256=x").to_www_authenticate("api.example"))
    changed = made._replace(**{part: "Payment-Authorization" if part == "header" else "other"})
    assert is_ours(SECRET.encode(), made)
    assert not is_ours(SECRET.encode(), changed)
    assert not is_ours(SECRET.encode(), made._replace(id=made.id[:-1]))
    assert is_ours(SECRET.encode(), made._replace(description="other"))


def test_several_challenges_of_several_schemes() -> None:
    """RFC 9110, section 11.6.1: joined by commas, in any order, token68 and quoted commas included; a broken one does not
    spoil the others."""
    first, second = theirs(), theirs(realm='an "odd", realm', meta=None)
    field = ", ".join(
        [
            'Bearer realm="x, y", error="invalid_token"',
            first.to_www_authenticate("api.example"),
            "Negotiate dG9rZW4=",
            'Payment id="1", id="2", realm="r", method="evm", intent="charge", request="e30"',
            'PAYMENT id="1", realm="r", method="EVM", intent="charge", request="e30"',
            "Basic",
            second.to_www_authenticate('an "odd", realm'),
        ]
    )
    assert [challenge.id for challenge in parse_challenges(field)] == [first.id, second.id]
    assert len(mpp.client.transport._payment_challenges(field)) == 4, "pympp splits the field alike"


@given(st.text(max_size=200) | st.text('Payment id="=,\\ eyJ0', max_size=80))
@example('Payment id="\\')
@example("Payment ====")
@example('Payment id="1", realm')
def test_any_field_is_read_without_an_error(value: str) -> None:
    """Text from the network gives challenges or none."""
    for challenge in parse_challenges(value):
        assert challenge.id and challenge.request


@pytest.mark.parametrize("header", ["Cookie", "X-Other", "authorization\n", "Proxy-Authorization"])
def test_a_credential_goes_nowhere_else(header: str) -> None:
    """A server can't choose a header that something in between logs or forwards."""
    assert (
        parse_challenges(f'Payment id="1", realm="r", method="evm", intent="charge", request="e30", header="{header}"')
        == ()
    )


def test_times() -> None:
    """RFC 3339 with an offset; anything else expires never or at once, and is refused by those who ask."""
    assert expiry_s("2026-11-20T12:00:00.999Z") == expiry_s("2026-11-20T13:00:00+01:00") == 1795176000
    assert format_time(1795176000_999_000) == "2026-11-20T12:00:00.999Z"
    for wrong in (None, "", "tomorrow", "2026-11-20T12:00:00", "2026-11-20", "9" * 50, "0001-01-01T00:00:00+23:59"):
        assert expiry_s(wrong) is None or wrong == "0001-01-01T00:00:00+23:59"


def test_the_nonce_and_the_digest_are_pympps() -> None:
    """keccak256 of the JSON of id and realm, and the body's SHA-256."""
    from mpp.methods.evm import challenge_hash

    challenge = Challenge("abc-_", "shop.test:8443", "evm", "charge", "e30")
    assert "0x" + challenge_nonce(challenge).hex() == challenge_hash("abc-_", "shop.test:8443")
    assert body_digest(b"body") == mpp._body_digest.compute(b"body")
    assert hashlib.sha256(b"body").digest() in base64.b64decode(body_digest(b"body").removeprefix("sha-256=")) + b""


@given(source=st.none() | printable, payload=objects)
def test_credentials_both_ways(source: str | None, payload: dict[str, object]) -> None:
    """What we write pympp reads, and the other way round; the same parts give the same text."""
    challenge = theirs(header="Payment-Authorization")
    [ours] = parse_challenges(challenge.to_www_authenticate("api.example"))
    made = Credential(challenge=echo_of(ours), payload=Raw(json.dumps(payload).encode()), source=source)
    text = encode_credential(made)
    assert text == encode_credential(made)
    read = mpp.Credential.from_authorization(text)
    assert read.payload == payload
    assert read.source == (source or None)
    assert read.challenge.id == challenge.id
    again = decode_credential(mpp.Credential(challenge.to_echo(), payload, source).to_authorization())
    assert json.loads(bytes(again.payload)) == payload
    assert is_ours(SECRET.encode(), again.challenge.challenge())


@given(st.text(max_size=100) | st.binary(max_size=100).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
@example("e30")
@example("bnVsbA")
@example("W10")
def test_any_credential_and_receipt_is_refused_with_a_code(value: str) -> None:
    """No text from the network raises anything but MalformedPaymentError."""
    for read in (
        lambda: decode_credential(f"Payment {value}"),
        lambda: decode_receipt(value),
        lambda: decode_object(value),
    ):
        try:
            read()
        except MalformedPaymentError as error:
            assert error.code == "haima.malformed_payment"


def test_receipts_both_ways() -> None:
    """Ours is pympp's, and pympp's is ours; one that does not say success is none."""
    ours = Receipt(status="success", timestamp="2026-11-20T12:00:00.000Z", reference="0xabc", method="evm")
    read = mpp.Receipt.from_payment_receipt(encode_receipt(ours))
    assert (read.reference, read.method) == ("0xabc", "evm")
    assert decode_receipt(read.to_payment_receipt()).reference == "0xabc"
    failed = Receipt(status="failed", timestamp="2026-11-20T12:00:00.000Z", reference="0xabc", method="evm")
    with pytest.raises(MalformedPaymentError):
        decode_receipt(encode_receipt(failed))
