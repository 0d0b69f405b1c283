"""Base64url as JOSE reads it: one spelling only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.crypto.base64url import decode_base64url, encode_base64url
from life.crypto.errors import InvalidEncodingError
from tests.crypto.strategies import PROPERTY


def test_rfc_examples() -> None:
    """RFC 7515, appendix C, and RFC 4648, section 10, without padding."""
    assert encode_base64url(bytes((3, 236, 255, 224, 193))) == "A-z_4ME"
    for data, text in ((b"", ""), (b"f", "Zg"), (b"fo", "Zm8"), (b"foo", "Zm9v"), (b"foobar", "Zm9vYmFy")):
        assert encode_base64url(data) == text
        assert decode_base64url(text) == data


@PROPERTY
@given(st.binary(max_size=100))
def test_decoding_inverts_encoding(data: bytes) -> None:
    """Every byte string comes back."""
    assert decode_base64url(encode_base64url(data)) == data


@PROPERTY
@given(st.text(max_size=12))
def test_only_canonical_text_is_read(text: str) -> None:
    """Whatever is accepted is exactly what would be written."""
    try:
        assert encode_base64url(decode_base64url(text)) == text
    except InvalidEncodingError:
        pass


@pytest.mark.parametrize(
    "text", ["Zg==", "Zg=", "Zh", "Zm9", "A", "A+z/", "Zm 9v", "Zm9v\n", "Zm9v=", "é", "Zm9v!", "ＡＡ"]
)
def test_other_spellings_are_refused(text: str) -> None:
    """Padding, stray bits, the plain alphabet, white space and non-ASCII are errors."""
    with pytest.raises(InvalidEncodingError):
        decode_base64url(text)
