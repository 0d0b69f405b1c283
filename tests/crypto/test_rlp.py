"""RLP against the reference library, and against every spelling it does not have."""

import pytest
import rlp as oracle  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from life.crypto import rlp
from life.crypto.errors import InvalidRlpError
from tests.crypto.strategies import PROPERTY

LONG = b"Lorem ipsum dolor sit amet, consectetur adipisicing elit"

items = st.recursive(st.binary(max_size=70), lambda inner: st.lists(inner, max_size=6), max_leaves=20)


@pytest.mark.parametrize(
    ("item", "encoded"),
    [
        # ethereum/tests, RLPTests/rlptest.json
        (b"", "80"),
        (b"\x00", "00"),
        (b"\x7f", "7f"),
        (b"\x80", "8180"),
        (b"dog", "83646f67"),
        (
            LONG,
            "b8384c6f72656d20697073756d20646f6c6f722073697420616d65742c20636f6e7365637465747572206164697069736963696e6720656c6974",
        ),
        ([], "c0"),
        ([b"dog", b"god", b"cat"], "cc83646f6783676f6483636174"),
        ([[[], []], []], "c4c2c0c0c0"),
        ([[], [[]], [[], [[]]]], "c7c0c1c0c3c0c1c0"),
    ],
)
def test_published_examples(item: rlp.Item, encoded: str) -> None:
    """Both directions."""
    assert rlp.encode(item).hex() == encoded
    assert rlp.decode(bytes.fromhex(encoded)) == item


@PROPERTY
@given(items)
def test_agrees_with_the_reference_library(item: rlp.Item) -> None:
    """Encoding is pyrlp's, decoding inverts it."""
    encoded = rlp.encode(item)
    assert encoded == oracle.encode(item)
    assert rlp.decode(encoded) == item


@PROPERTY
@given(st.binary(max_size=24))
def test_only_canonical_bytes_are_read(data: bytes) -> None:
    """Whatever decodes is exactly what would be encoded."""
    try:
        item = rlp.decode(data)
    except InvalidRlpError:
        return
    assert rlp.encode(item) == data  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "81",
        "8100",  # a small byte is itself
        "817f",
        "83646f",
        "83646f6700",
        "b800",  # long form of a short length
        "b837" + "61" * 55,
        "b90038" + "61" * 56,  # leading zero in the length
        "b9ffff",
        "b8",
        "bf" + "ff" * 8,
        "c1",
        "c183",
        "c2c1c0c0",
        "c28100",
        "f800",
        "f90001c0",
        "ff" + "ff" * 8,
        "ff",
        "c0c0",
        "c5c0c0c0c0",
    ],
)
def test_malformed_bytes_are_refused(encoded: str) -> None:
    """Truncation, surplus, and lengths or bytes in a longer form than needed (ethereum/tests, invalidRLPTest)."""
    with pytest.raises(InvalidRlpError):
        rlp.decode(bytes.fromhex(encoded))


def test_nesting_is_bounded() -> None:
    """A bomb of nested lists is an error, not a crash."""
    encoded = rlp.encode([])
    for _ in range(rlp.MAX_DEPTH - 1):
        encoded = oracle.codec.length_prefix(len(encoded), 0xC0) + encoded
    rlp.decode(encoded)
    for _ in range(5000):
        encoded = oracle.codec.length_prefix(len(encoded), 0xC0) + encoded
    with pytest.raises(InvalidRlpError, match="deeply"):
        rlp.decode(encoded)


@pytest.mark.parametrize("item", [None, 5, "text", bytearray(b"x"), {"a": b""}, [b"x", 1]])
def test_other_types_are_refused(item: object) -> None:
    """Only bytes and lists are items; an integer must be converted by its owner."""
    with pytest.raises(InvalidRlpError):
        rlp.encode(item)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255, 256, 2**64, 2**256 - 1])
def test_integers_round_trip(number: int) -> None:
    """Zero is the empty string; no integer has leading zeros."""
    item = rlp.encode_integer(number)
    assert item[:1] != b"\0"
    assert rlp.decode_integer(item) == number


def test_bad_integers_are_refused() -> None:
    """Leading zeros, lists and negative numbers."""
    items: list[rlp.Decoded] = [b"\0", b"\0\1", []]
    for item in items:
        with pytest.raises(InvalidRlpError):
            rlp.decode_integer(item)
    with pytest.raises(InvalidRlpError):
        rlp.encode_integer(-1)
