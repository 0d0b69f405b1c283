"""Base58 with the Bitcoin alphabet, as multibase prefix ``z`` means it (draft-msporny-base58, section 2)."""

from operator import mul

from life.crypto.errors import InvalidEncodingError

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

MAX_TEXT_CHARACTERS = 128
"""Longest text that is decoded. The work grows with the square of the length, and a key needs 50 characters."""

_FOREIGN = 0xFF
_DIGITS = bytes(_ALPHABET.index(chr(code)) if chr(code) in _ALPHABET else _FOREIGN for code in range(256))
_POWERS = [58**exponent for exponent in reversed(range(MAX_TEXT_CHARACTERS))]


def encode_base58(data: bytes) -> str:
    """Encode ``data``; each leading zero byte becomes a leading ``1``."""
    number, characters = int.from_bytes(data, "big"), []
    while number:
        number, digit = divmod(number, 58)
        characters.append(_ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(characters))


def decode_base58(text: str) -> bytes:
    """Decode ``text``. Every text of the alphabet is the canonical form of exactly one byte string.

    Raises :class:`InvalidEncodingError` for a foreign character or more than ``MAX_TEXT_CHARACTERS``.
    """
    if len(text) > MAX_TEXT_CHARACTERS:
        raise InvalidEncodingError("the base58 text is too long")
    digits = text.encode("ascii", "replace").translate(_DIGITS)  # "?" is no digit either
    if _FOREIGN in digits:
        raise InvalidEncodingError("the text holds a character that is not base58")
    number: int = sum(map(mul, digits, _POWERS[MAX_TEXT_CHARACTERS - len(digits) :]))
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
