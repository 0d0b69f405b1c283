"""Identifiers: ULIDs, derived ids, and what may become a path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.aios.ids import (
    check_id,
    check_path_id,
    decode_ulid,
    derived_event_id,
    encode_ulid,
    encode_ulids,
    new_id,
)
from life.testing.clock import ManualClock, SeededEntropy


@given(st.binary(min_size=16, max_size=16))
def test_a_ulid_round_trips(value: bytes) -> None:
    """26 characters and back, whatever the bytes."""
    text = encode_ulid(value)
    assert len(text) == 26
    assert decode_ulid(text) == value


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=150))
def test_many_ulids_at_once_are_the_same_as_one_by_one(values: list[bytes]) -> None:
    """Whatever the bytes and however many; values of another length are refused."""
    assert encode_ulids(values) == [encode_ulid(value) for value in values]
    with pytest.raises(InvalidInputError):
        encode_ulids([*values, bytes(15)])


@given(st.text(max_size=30) | st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ_ +-", min_size=26, max_size=26))
def test_only_canonical_ulids_decode(text: str) -> None:
    """What decodes encodes to the very same text; blanks, signs and underscores that int() would skip do not."""
    value = decode_ulid(text)
    assert value is None or encode_ulid(value) == text


def test_the_ulid_specifications_largest_value() -> None:
    """7ZZZZZZZZZZZZZZZZZZZZZZZZZ is 2^128-1 (ULID specification, "Overflow errors")."""
    assert encode_ulid(b"\xff" * 16) == "7" + "Z" * 25


@pytest.mark.parametrize(
    "text", ["", "8" + "Z" * 25, "0" * 25, "0" * 27, "0" * 25 + "I", "0" * 25 + "l", "0" * 25 + "u"]
)
def test_what_is_no_canonical_ulid(text: str) -> None:
    """Overflow, wrong length, letters outside Crockford's alphabet and lower case stay plain text."""
    assert decode_ulid(text) is None


def test_new_ids_sort_by_time_and_differ_within_one_instant() -> None:
    """The first ten characters are the millisecond; the rest is chance."""
    clock, entropy = ManualClock(), SeededEntropy()
    first, second = new_id(clock, entropy), new_id(clock, entropy)
    clock.advance_us(1000)
    assert first != second
    assert first[:10] == second[:10] < new_id(clock, entropy)[:10]


@given(st.lists(st.text(max_size=6), max_size=3), st.lists(st.text(max_size=6), max_size=3))
def test_a_derived_id_belongs_to_its_parts(left: list[str], right: list[str]) -> None:
    """Equal parts, equal id; other parts (also when their text runs together) another id."""
    assert (derived_event_id(*left) == derived_event_id(*right)) == (left == right)
    assert decode_ulid(derived_event_id(*left)) is not None


def test_derived_ids_stay_what_they_are() -> None:
    """The derivation is a storage format: this value may never change."""
    assert derived_event_id("x402.claim", "a", "b") == "1NKHQG72QHMEXJE3PWCBM99AXA"


@pytest.mark.parametrize("text", ["", "a b", "a\n", "é", "x" * 256, "\x00"])
def test_ids_are_printable_ascii(text: str) -> None:
    """Anything else is refused before it reaches storage."""
    with pytest.raises(InvalidInputError):
        check_id(text)


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "-a", "_a", "a.b", "x" * 129, "a\n", "é"])
def test_path_ids_can_not_leave_their_folder(text: str) -> None:
    """Dots, slashes and leading signs are refused."""
    with pytest.raises(InvalidInputError):
        check_path_id(text)


@pytest.mark.parametrize("text", ["a", "01M7W0FWY2FQP9PR2RWBEQ7HBQ", "a-b_c", "x" * 128])
def test_good_path_ids(text: str) -> None:
    """They come back as they are."""
    assert check_path_id(text) == text
