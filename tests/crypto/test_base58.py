"""Base58 with known answers and its inverse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.crypto.base58 import MAX_TEXT_CHARACTERS, decode_base58, encode_base58
from life.crypto.errors import InvalidEncodingError
from tests.crypto.strategies import PROPERTY


@pytest.mark.parametrize(
    ("data", "text"),
    [
        # draft-msporny-base58, section 5.
        (b"Hello World!", "2NEpo7TZRRrLZSi2U"),
        (
            b"The quick brown fox jumps over the lazy dog.",
            "USm3fpXnKG5EUBx2ndxBDMPVciP5hGey2Jh4NDv6gmeo1LkMeiKrLJUUBk6Z",
        ),
        (bytes.fromhex("0000287fb4cd"), "11233QC4"),
        (b"", ""),
        (b"\0", "1"),
    ],
)
def test_known_texts(data: bytes, text: str) -> None:
    """Published pairs, and the empty ones."""
    assert encode_base58(data) == text
    assert decode_base58(text) == data


@PROPERTY
@given(st.binary(max_size=64))
def test_decoding_inverts_encoding(data: bytes) -> None:
    """Every byte string comes back, leading zeros included."""
    assert decode_base58(encode_base58(data)) == data


@PROPERTY
@given(st.text(alphabet="123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", max_size=60))
def test_a_byte_string_has_one_text(text: str) -> None:
    """Encoding inverts decoding: there is no second spelling."""
    assert encode_base58(decode_base58(text)) == text


@pytest.mark.parametrize("text", ["0", "O", "I", "l", "a b", "a\n", "é", "²", "-", "1" * (MAX_TEXT_CHARACTERS + 1)])
def test_foreign_characters_and_long_texts_are_refused(text: str) -> None:
    """Look-alikes outside the alphabet and overlong texts are errors."""
    with pytest.raises(InvalidEncodingError):
        decode_base58(text)
