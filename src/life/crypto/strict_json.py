"""Reading JSON objects from signed texts: one meaning or none.

Parsers differ on what a repeated member means, and a signature covers bytes, not meaning. So repeated members, NaN and
infinities are refused at every depth (RFC 7515, section 4; RFC 7519, section 4), and the depth itself is bounded.
"""

import json
import re
from typing import NoReturn

from life.crypto.errors import InvalidEncodingError

MAX_DEPTH = 64

# Texts (whose brackets do not count, finished or not) and brackets.
_PIECE = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


def decode_json_object(data: bytes) -> dict[str, object]:
    """Decode UTF-8 ``data`` as one JSON object. Raises :class:`InvalidEncodingError`."""
    try:
        text = data.decode("utf-8")
        _check_depth(text)
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except InvalidEncodingError:
        raise
    except ValueError:
        raise InvalidEncodingError("the bytes are not JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise InvalidEncodingError("the JSON is not an object")
    return value


def _check_depth(text: str) -> None:
    """Refuse deep nesting before parsing. The parser recurses in C, and a process may have raised Python's own limit."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _PIECE.finditer(text):
        bracket = match.group()
        depth += (bracket in "[{") - (bracket in "]}")
        if depth > MAX_DEPTH:
            raise InvalidEncodingError("the JSON is nested too deeply")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidEncodingError("the JSON object repeats a member")
    return members


def _no_constant(_name: str) -> NoReturn:
    raise InvalidEncodingError("NaN and infinities are not JSON")
