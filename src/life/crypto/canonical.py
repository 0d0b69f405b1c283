"""Canonical JSON (RFC 8785, JCS): one byte string per JSON value, so that values can be hashed and signed.

Members are sorted by the UTF-16 code units of their names, numbers are written as ECMAScript writes them, text is UTF-8
with the shortest escapes. Integers beyond 2**53 - 1 do not survive in readers that use doubles and are refused unless the
caller asks for them.
"""

import math
from json.encoder import encode_basestring  # the C encoder of one string

import msgspec

from life.crypto.errors import NotCanonicalizableError

MAX_SAFE_INTEGER = (1 << 53) - 1
MAX_DEPTH = 200
_MSGSPEC_INTEGER = (1 << 63) - 1  # beyond 64 bits msgspec has no encoding

_encode_sorted = msgspec.json.Encoder(order="sorted").encode


def canonical_json(value: object, *, big_integers: bool = False) -> bytes:
    """Return the RFC 8785 form of a JSON value: dict, list or tuple, str, int, float, bool, None.

    ``big_integers`` writes integers beyond ±(2**53 - 1) with all their digits, which is outside RFC 8785.
    Raises :class:`NotCanonicalizableError` for other types, names that are not text, NaN, infinities, lone surrogates,
    integers too large, or nesting deeper than ``MAX_DEPTH``.
    """
    limit = None if big_integers else MAX_SAFE_INTEGER
    try:
        if _is_plain(value, limit, MAX_DEPTH):
            return _encode_sorted(value)
        pieces: list[str] = []
        _write(value, limit, MAX_DEPTH, pieces)
        return "".join(pieces).encode("utf-8")
    except UnicodeEncodeError:
        raise NotCanonicalizableError("the text holds a lone surrogate") from None


def _is_plain(value: object, limit: int | None, depth: int) -> bool:
    """Tell whether msgspec already writes this value canonically; refuse integers that are too large.

    It does for text, integers, booleans, null, and containers of them with ASCII names: sorting by UTF-8 bytes and by
    UTF-16 code units agree there. Floats and everything unusual go the slower way.
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        bound = _MSGSPEC_INTEGER if limit is None else limit
        return -bound <= value <= bound  # type: ignore[operator]
    if not depth:
        return False
    if kind is dict:
        for name, member in value.items():  # type: ignore[attr-defined]
            if type(name) is not str or not name.isascii() or not _is_plain(member, limit, depth - 1):
                return False
        return True
    if kind is list or kind is tuple:
        for member in value:  # type: ignore[attr-defined]  # noqa: SIM110 (all() costs a generator)
            if not _is_plain(member, limit, depth - 1):
                return False
        return True
    return False


def _write(value: object, limit: int | None, depth: int, pieces: list[str]) -> None:
    """Append the canonical text of any JSON value to ``pieces``."""
    if isinstance(value, str):
        pieces.append(encode_basestring(value))
    elif value is None or isinstance(value, bool):
        pieces.append("null" if value is None else "true" if value else "false")
    elif isinstance(value, int):
        if limit is not None and not -limit <= value <= limit:
            raise NotCanonicalizableError("an integer is beyond 2**53 - 1")
        pieces.append(int.__repr__(value))
    elif isinstance(value, float):
        pieces.append(format_number(value))
    elif not depth:
        raise NotCanonicalizableError("the value is nested too deeply")
    elif isinstance(value, dict):
        _write_object(value, limit, depth - 1, pieces)
    elif isinstance(value, list | tuple):
        separator = "["
        for member in value:
            pieces.append(separator)
            _write(member, limit, depth - 1, pieces)
            separator = ","
        pieces.append("]" if value else "[]")
    else:
        raise NotCanonicalizableError(f"{type(value).__name__} is not a JSON type")


def _write_object(value: dict[object, object], limit: int | None, depth: int, pieces: list[str]) -> None:
    members: list[tuple[bytes, str, object]] = []
    for name, member in value.items():
        if not isinstance(name, str):
            raise NotCanonicalizableError("a member name is not text")
        members.append((name.encode("utf-16-be"), name, member))
    members.sort(key=lambda entry: entry[0])
    separator = "{"
    for _, name, member in members:
        pieces.append(f"{separator}{encode_basestring(name)}:")
        _write(member, limit, depth, pieces)
        separator = ","
    pieces.append("}" if members else "{}")


def format_number(number: float) -> str:
    """Write a double as ECMAScript's ``Number::toString`` does (RFC 8785, section 3.2.2.3).

    Raises :class:`NotCanonicalizableError` for NaN and infinities.
    """
    if not math.isfinite(number):
        raise NotCanonicalizableError("NaN and infinities are not JSON")
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    # repr gives the shortest digits that read back as the same double, as ECMAScript demands; only the layout differs.
    mantissa, _, exponent_text = float.__repr__(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    # The value is 0.DIGITS × 10**point.
    point = len(whole) + int(exponent_text or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if 0 < point <= 21:
        if len(digits) <= point:
            return sign + digits.ljust(point, "0")
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    exponent = point - 1
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{'+' if exponent > 0 else '-'}{abs(exponent)}"
