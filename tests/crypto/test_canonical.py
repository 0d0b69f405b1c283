"""RFC 8785 canonical JSON: its own examples, an independent implementation, and what has no canonical form."""

import json
import struct
from enum import IntEnum, StrEnum
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from life.crypto import canonical
from life.crypto.canonical import MAX_SAFE_INTEGER, canonical_json, format_number
from life.crypto.errors import NotCanonicalizableError
from tests.crypto.strategies import PROPERTY


def test_serialization_example() -> None:
    """RFC 8785, section 3.2.4: numbers, escapes and sorting together."""
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    assert canonical_json(value).hex() == (
        "7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a5b3333333333333333332e33333333"
        "3333332c31652b33302c342e352c302e3030322c31652d32375d2c22737472696e67223a22e282ac245c75303030665c6e4127425c22"
        "5c5c5c5c5c222f227d"
    )


def test_sorting_example() -> None:
    """RFC 8785, section 3.2.3: members are sorted by UTF-16 code units, not by code points."""
    value = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    assert list(json.loads(canonical_json(value)).values()) == [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        # RFC 8785, appendix B.
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("ffefffffffffffff", "-1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("c340000000000000", "-9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("44b52d02c7e14af7", "1.0000000000000001e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555554", "333333333.33333325"),
        ("41b3de4355555555", "333333333.3333333"),
        ("41b3de4355555556", "333333333.3333334"),
        ("41b3de4355555557", "333333333.33333343"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_number_examples(bits: str, text: str) -> None:
    """Doubles are written as ECMAScript writes them."""
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert format_number(number) == text
    assert canonical_json(number) == text.encode()


def test_escapes() -> None:
    """Only what must be escaped is, in the shortest form with lower-case digits; both internal roads agree."""
    text = "".join(map(chr, range(0x20))) + '"\\/\x7f\x80\u2028\uffff\U0001f600'
    expected = (
        '"\\u0000\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e\\u000f'
        "\\u0010\\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\\u0018\\u0019\\u001a\\u001b\\u001c\\u001d\\u001e\\u001f"
        '\\"\\\\/\x7f\x80\u2028\uffff\U0001f600"'
    ).encode()
    assert canonical_json(text) == expected
    assert canonical_json([text, 0.5]) == b"[" + expected + b",0.5]"


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _text
)
values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(_text, inner, max_size=5), max_leaves=25
)
plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER) | _text,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(codec="ascii"), max_size=6), inner, max_size=5)
    ),
    max_leaves=25,
)


@PROPERTY
@given(values | plain_values)
def test_agrees_with_an_independent_implementation(value: Any) -> None:
    """Any JSON value gives the bytes of the rfc8785 package."""
    assert canonical_json(value) == rfc8785.dumps(value)


@PROPERTY
@given(plain_values)
def test_both_roads_agree(value: Any) -> None:
    """The quick road through msgspec writes what the careful one writes."""
    pieces: list[str] = []
    canonical._write(value, MAX_SAFE_INTEGER, canonical.MAX_DEPTH, pieces)
    assert canonical_json(value) == "".join(pieces).encode()


@PROPERTY
@given(values)
def test_reading_and_writing_again_changes_nothing(value: Any) -> None:
    """Canonical text is a fixed point, and order of insertion does not matter."""
    text = canonical_json(value)
    assert canonical_json(json.loads(text, parse_int=float)) == text


@PROPERTY
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_read_back(number: float) -> None:
    """The text of a double is read back as the same double."""
    assert float(format_number(number)) == number


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        [-float("inf")],
        MAX_SAFE_INTEGER + 1,
        {"a": -MAX_SAFE_INTEGER - 1},
        [1.5, 2**53],
        10**400,
        b"bytes",
        {"a": bytearray()},
        {1, 2},
        {1: "a"},
        {None: "a"},
        {"a": {True: 1}},
        object(),
        "\ud800",
        {"\udfff": 1},
        ["\ud83d", 1.5],
        {"é": "\ud800"},
    ],
)
def test_values_without_canonical_form_are_refused(value: object) -> None:
    """NaN, infinities, unsafe integers, other types, names that are not text and lone surrogates are errors."""
    with pytest.raises(NotCanonicalizableError):
        canonical_json(value)


def test_big_integers_on_request() -> None:
    """All digits are written when the caller asks for them, small and large, on both roads."""
    for number in (2**53, -(2**53), 2**63 - 1, 2**63, 2**64, -(2**64), 2**256 - 1):
        assert canonical_json(number, big_integers=True) == str(number).encode()
        assert canonical_json([number, 0.5], big_integers=True) == f"[{number},0.5]".encode()


def test_depth_is_bounded() -> None:
    """Nesting up to the bound is written, beyond it is an error and not a crash, on both roads."""
    for leaf in (0, 0.5):
        value: Any = leaf
        for _ in range(canonical.MAX_DEPTH):
            value = [value]
        assert canonical_json(value) == b"[" * 200 + str(leaf).encode() + b"]" * 200
        for _ in range(100_000):
            value = [value]
        with pytest.raises(NotCanonicalizableError, match="deeply"):
            canonical_json(value)


def test_subclasses_are_written_by_value() -> None:
    """Enumerations of text and integers, and tuples, are written as the values they are."""

    class Colour(StrEnum):
        RED = "red"

    class Level(IntEnum):
        HIGH = 3

    assert canonical_json({"c": Colour.RED, "l": (Level.HIGH, True)}) == b'{"c":"red","l":[3,true]}'


def test_empty_containers() -> None:
    """Empty objects and lists, alone and beside a float."""
    assert canonical_json({"a": [], "b": {}, "c": ()}) == b'{"a":[],"b":{},"c":[]}'
    assert canonical_json([[], {}, 0.5]) == b"[[],{},0.5]"
