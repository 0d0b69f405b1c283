"""Base64url without padding, read strictly (RFC 4648, section 5; RFC 7515, section 2)."""

from base64 import urlsafe_b64decode, urlsafe_b64encode

from life.crypto.errors import InvalidEncodingError


def encode_base64url(data: bytes) -> str:
    """Encode ``data`` without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes:
    """Decode ``text``, which must be exactly what :func:`encode_base64url` would write.

    Padding, white space, the ``+`` and ``/`` of plain base64, and stray bits in the last character are refused, so that a
    token has one spelling. Raises :class:`InvalidEncodingError`.
    """
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise InvalidEncodingError("the text is not base64url") from None
    if encode_base64url(data) != text:
        raise InvalidEncodingError("the text is not canonical base64url without padding")
    return data
