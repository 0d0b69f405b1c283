"""BSATN: algebraic types, and values of them as bytes.

Integers are little-endian; texts, byte strings and arrays are a u32 count and their items; a sum is its variant's number (u8) and the
payload; an option is the sum of `some` (0) and `none` (1); a product is its fields in order. An identity is the 32 little-endian bytes of a
number whose hex digits begin with c200; a timestamp is i64 microseconds since the epoch.

Reading trusts nothing: a count beyond what is left, a variant that does not exist, a text that is not UTF-8, a bool that is neither 0
nor 1, or bytes left over are a MalformedMessageError, and nothing is allocated by a count alone.
"""

from __future__ import annotations

import struct
from typing import Final, Literal, NamedTuple

from life.spaces.listeners.spacetimedb.errors import MalformedMessageError

Integer = Literal["U8", "U16", "U32", "U64", "I64"]
_LAYOUTS: Final[dict[Integer, struct.Struct]] = {
    "U8": struct.Struct("<B"),
    "U16": struct.Struct("<H"),
    "U32": struct.Struct("<I"),
    "U64": struct.Struct("<Q"),
    "I64": struct.Struct("<q"),
}
_RANGES: Final[dict[Integer, tuple[int, int]]] = {
    "U8": (0, 0xFF),
    "U16": (0, 0xFFFF),
    "U32": (0, 0xFFFF_FFFF),
    "U64": (0, (1 << 64) - 1),
    "I64": (-(1 << 63), (1 << 63) - 1),
}
IDENTITY_BYTES: Final = 32
MAX_ITEMS: Final = 100_000
"""Items of one array that is read."""


class IntType(NamedTuple):
    """An integer."""

    name: Integer


class BoolType(NamedTuple):
    """A bool."""

    kind: Literal["bool"] = "bool"


class TextType(NamedTuple):
    """A text."""

    kind: Literal["text"] = "text"


class IdentityType(NamedTuple):
    """An identity; its value is 64 hex digits."""

    kind: Literal["identity"] = "identity"


class TimestampType(NamedTuple):
    """A time; its value is microseconds since the epoch."""

    kind: Literal["timestamp"] = "timestamp"


class EnumType(NamedTuple):
    """A sum of variants without payload; its value is the variant's name."""

    name: str
    variants: tuple[str, ...]


class OptionType(NamedTuple):
    """A value or none."""

    inner: Type


class ArrayType(NamedTuple):
    """Values of one type."""

    inner: Type


class ProductType(NamedTuple):
    """Named fields; its value is a tuple of theirs."""

    name: str
    fields: tuple[tuple[str, Type], ...]


Type = IntType | BoolType | TextType | IdentityType | TimestampType | EnumType | OptionType | ArrayType | ProductType
Value = int | str | bool | None | tuple["Value", ...] | list["Value"]


class Absent(NamedTuple):
    """The value of an option of an option that is there and empty: `some(none)`."""


SOME_NONE: Final = Absent()


class Reader:
    """Reads from the front of some bytes."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def at(self) -> int:
        """How many bytes were read."""
        return self._at

    @property
    def left(self) -> int:
        """How many bytes there are still."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > self.left:
            raise MalformedMessageError("The message ends too early.")
        piece = self._data[self._at : self._at + count]
        self._at += count
        return piece

    def integer(self, name: Integer) -> int:
        """An integer."""
        layout = _LAYOUTS[name]
        number: int = layout.unpack(self.take(layout.size))[0]
        return number

    def count(self, least_bytes: int = 1) -> int:
        """A count of items of at least so many bytes each."""
        number = self.integer("U32")
        if number > MAX_ITEMS or number * least_bytes > self.left:
            raise MalformedMessageError("The message announces more than it has.")
        return number

    def octets(self) -> bytes:
        """A byte string."""
        length = self.integer("U32")
        return self.take(length)

    def text(self) -> str:
        """A text."""
        try:
            return self.octets().decode()
        except UnicodeDecodeError:
            raise MalformedMessageError("A text is not UTF-8.") from None

    def end(self) -> None:
        """MalformedMessageError unless everything was read."""
        if self.left:
            raise MalformedMessageError("The message has bytes left over.")


def read_value(reader: Reader, kind: Type) -> object:
    """A value of a type. Options of options tell `none` (None) and `some(none)` (SOME_NONE) apart."""
    match kind:
        case IntType():
            return reader.integer(kind.name)
        case BoolType():
            number = reader.integer("U8")
            if number > 1:
                raise MalformedMessageError("A bool is 0 or 1.")
            return bool(number)
        case TextType():
            return reader.text()
        case IdentityType():
            return reader.take(IDENTITY_BYTES)[::-1].hex()
        case TimestampType():
            return reader.integer("I64")
        case EnumType():
            return _variant(reader, kind.variants)
        case OptionType():
            if _variant(reader, ("some", "none")) == "none":
                return None
            inner = read_value(reader, kind.inner)
            return SOME_NONE if inner is None else inner
        case ArrayType():
            return tuple(read_value(reader, kind.inner) for _ in range(reader.count()))
        case ProductType():
            return tuple(read_value(reader, field) for _, field in kind.fields)


def _variant(reader: Reader, variants: tuple[str, ...]) -> str:
    number = reader.integer("U8")
    if number >= len(variants):
        raise MalformedMessageError("A sum has no such variant.")
    return variants[number]


def write_value(out: bytearray, kind: Type, value: object) -> None:
    """Append a value of a type. ValueError for one that is not of it."""
    match kind:
        case IntType():
            write_integer(out, kind.name, value)
        case BoolType():
            if not isinstance(value, bool):
                raise ValueError("no bool")
            out.append(value)
        case TextType():
            write_text(out, value)
        case IdentityType():
            write_identity(out, value)
        case TimestampType():
            write_integer(out, "I64", value)
        case EnumType():
            out.append(kind.variants.index(str(value)))
        case OptionType():
            if value is None:
                out.append(1)
            else:
                out.append(0)
                write_value(out, kind.inner, None if value is SOME_NONE else value)
        case ArrayType():
            if not isinstance(value, tuple | list):
                raise ValueError("no array")
            write_integer(out, "U32", len(value))
            for item in value:
                write_value(out, kind.inner, item)
        case ProductType():
            if not isinstance(value, tuple) or len(value) != len(kind.fields):
                raise ValueError("no product of these fields")
            for (_, field), item in zip(kind.fields, value, strict=True):
                write_value(out, field, item)


def write_integer(out: bytearray, name: Integer, value: object) -> None:
    """Append an integer. ValueError beyond its range."""
    least, most = _RANGES[name]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"no {name}")
    out += _LAYOUTS[name].pack(value)


def write_text(out: bytearray, value: object) -> None:
    """Append a text."""
    if not isinstance(value, str):
        raise ValueError("no text")
    write_octets(out, value.encode())


def write_octets(out: bytearray, value: bytes | bytearray) -> None:
    """Append a byte string."""
    out += _LAYOUTS["U32"].pack(len(value))
    out += value


def write_identity(out: bytearray, value: object) -> None:
    """Append an identity of 64 hex digits; an empty text stands for nobody (zeros)."""
    if not isinstance(value, str):
        raise ValueError("no identity")
    raw = bytes(IDENTITY_BYTES) if not value else bytes.fromhex(value)
    if len(raw) != IDENTITY_BYTES:
        raise ValueError("no identity")
    out += raw[::-1]
