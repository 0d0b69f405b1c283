"""Texts, hostile and friendly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.spaces.errors import InvalidArgumentError, SpacesError, TooLongError
from life.spaces.identity import check_identity, default_username, identity_of
from life.spaces.validation import check_content, check_emoji, check_name, check_username, username_key


@given(st.text(max_size=60))
def test_a_username_that_passes_is_stable_and_has_one_key(text: str) -> None:
    """What is stored passes again unchanged, and its key does not change when it is taken twice."""
    try:
        name = check_username(text)
    except SpacesError:
        return
    assert check_username(name) == name
    assert username_key(name) == username_key(username_key(name))
    assert 1 <= len(name) <= 32 and name.isprintable()


@given(st.text(max_size=300))
def test_content_that_passes_shows_what_it_is(text: str) -> None:
    """No control character but line break and tab, no mark that turns text around."""
    try:
        content = check_content(text)
    except SpacesError:
        return
    assert not any(
        (ord(character) < 32 and character not in "\n\t") or character in "\u202e\u2066\u200f" for character in content
    )
    content.encode()


@pytest.mark.parametrize("emoji", ["👍", "👨‍👩‍👧‍👦", "🇨🇴", "é", ":shipit:", ":+1:", "❤️"])
def test_one_emoji(emoji: str) -> None:
    """One grapheme cluster or a shortcode."""
    assert check_emoji(emoji) == emoji


@pytest.mark.parametrize(
    "text", ["", "a", "👍👍", ":a", "::", ":" + "a" * 31 + ":", "\u200b", "\u0301", "x" * 40, "👍" * 40]
)
def test_no_emoji(text: str) -> None:
    """Everything else is refused."""
    with pytest.raises((InvalidArgumentError, TooLongError)):
        check_emoji(text)


def test_lengths_count_characters_and_bytes() -> None:
    """4000 characters of four bytes are within both limits; one more is not."""
    assert len(check_content("😀" * 4000)) == 4000
    with pytest.raises(TooLongError):
        check_content("😀" * 4001)
    with pytest.raises(TooLongError):
        check_name("n" * 101, what="name")


def test_identities_have_the_shape_that_clients_expect() -> None:
    """c200, a checksum over c200 and the tail, 26 bytes of BLAKE3 over `life|did` (spaces.md §13)."""
    from blake3 import blake3

    identity = bytes.fromhex(identity_of("did:key:zDnaeexample"))
    assert identity[:2] == b"\xc2\x00" and len(identity) == 32
    assert identity[6:] == blake3(b"life|did:key:zDnaeexample").digest()[:26]
    assert identity[2:6] == blake3(identity[:2] + identity[6:]).digest()[:4]
    assert check_identity(identity.hex()) == identity.hex()
    with pytest.raises(InvalidArgumentError):
        check_identity(identity.hex().upper())


def test_default_names_are_spread_over_sixty_bits() -> None:
    """W1: ten thousand identities, no two default names alike."""
    names = {default_username(identity_of(f"did:test:{number}"), is_agent=True) for number in range(10_000)}
    assert len(names) == 10_000
