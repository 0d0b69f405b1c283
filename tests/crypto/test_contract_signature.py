"""The ERC-6492 wrapper: both ways, against an independent encoder, and malformed."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from life.crypto.contract_signature import WRAPPER_SUFFIX, WrappedSignature, is_wrapped, unwrap, wrap
from life.crypto.errors import InvalidSignatureError

PARTS = st.builds(
    WrappedSignature, st.binary(min_size=20, max_size=20), st.binary(max_size=200), st.binary(max_size=200)
)


@given(parts=PARTS)
def test_wrapping_and_unwrapping(parts: WrappedSignature) -> None:
    """Property: what was wrapped comes out again, and the bytes are those of an independent ABI encoder."""
    wrapped = wrap(parts)
    assert is_wrapped(wrapped)
    assert unwrap(wrapped) == parts
    encoded = encode(["address", "bytes", "bytes"], ["0x" + parts.factory.hex(), parts.factory_data, parts.signature])
    assert wrapped == encoded + WRAPPER_SUFFIX


@given(signature=st.binary(max_size=100))
def test_other_signatures_are_left_alone(signature: bytes) -> None:
    """Property: without the suffix there is nothing to unwrap."""
    if not signature.endswith(WRAPPER_SUFFIX):
        assert unwrap(signature) is None


@given(body=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Property: a malformed wrapper is an error, never a crash or parts that reach outside."""
    try:
        parts = unwrap(body + WRAPPER_SUFFIX)
    except InvalidSignatureError:
        return
    assert parts is not None
    assert parts.factory_data in body
    assert parts.signature in body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes(95),
        b"\1" * 96,  # an address with dirty upper bytes
        bytes(32) + (2**255).to_bytes(32, "big") + bytes(32),
        bytes(32) + (96).to_bytes(32, "big") + (96).to_bytes(32, "big") + (2**200).to_bytes(32, "big"),
    ],
)
def test_malformed_wrappers_are_refused(body: bytes) -> None:
    """No factory, an offset or a length that points outside."""
    with pytest.raises(InvalidSignatureError):
        unwrap(body + WRAPPER_SUFFIX)


def test_a_factory_has_twenty_bytes() -> None:
    """Anything else is no address."""
    with pytest.raises(InvalidSignatureError):
        wrap(WrappedSignature(bytes(19), b"", b""))
