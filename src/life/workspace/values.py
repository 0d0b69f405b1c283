"""Reading values that anybody may have written: the wrong type is the neutral value, never an error.

The rules are those of the page (`ui/src/fold/values.ts`), so that both folds see the same.
"""

from __future__ import annotations

import json
import math
from typing import Final, TypeAlias

import msgspec

from life.aios.json import Json

Fields: TypeAlias = "dict[str, Json]"

MAX_SAFE: Final = (1 << 53) - 1
_NOTHING: Final[Fields] = {}
_strict: Final = msgspec.json.Decoder()


def fields_of(payload: bytes) -> Fields:
    """The members of an event's kind; none when it is no JSON object."""
    value: Json
    try:
        value = _strict.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            value = json.loads(payload)
        except (ValueError, RecursionError):
            return _NOTHING
    return value if isinstance(value, dict) else _NOTHING


def fields(value: Json) -> Fields:
    """An object, or an empty one."""
    return value if isinstance(value, dict) else _NOTHING


def items(value: Json) -> list[Json]:
    """An array, or an empty one."""
    return value if isinstance(value, list) else []


def text(value: Json) -> str:
    """Text, or none; what UTF-16 can't say (a lone surrogate) is U+FFFD."""
    if not isinstance(value, str):
        return ""
    if value.isascii():  # nearly always
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def short(value: Json, characters: int = 160) -> str:
    """The beginning of a text, in code points."""
    return text(value)[:characters]


def texts(value: Json, most: int = 20) -> list[str]:
    """The texts of an array."""
    return [text(item) for item in items(value) if isinstance(item, str)][:most]


def whole(value: Json) -> int:
    """A whole number that doubles hold exactly, or 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    if isinstance(value, float):
        if not math.isfinite(value) or not value.is_integer():
            return 0
        value = int(value)
    return value if -MAX_SAFE <= value <= MAX_SAFE else 0


def count(value: Json) -> int:
    """A whole number that is not negative, or 0."""
    if type(value) is int:  # nearly always
        return value if 0 < value <= MAX_SAFE else 0
    return max(0, whole(value))


def known(value: Json) -> int:
    """A whole number that is not negative, or -1."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return -1
    return whole(value) if value == 0 or whole(value) > 0 else -1


def fraction(value: Json) -> float:
    """A finite number, or 0."""
    if type(value) is float and -math.inf < value < math.inf:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.0
    try:
        number = float(value)
    except OverflowError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def truth(value: Json) -> bool:
    """Whether it is `true`."""
    return value is True


def capped(total: int) -> int:
    """A sum that stays within what doubles hold exactly."""
    return total if total < MAX_SAFE else MAX_SAFE
