"""Our tables and reducers in the types of the protocol, drawn from the structs themselves.

Fields ending in `_us` are timestamps, those that hold identities are identities, roles and the like are enums, other integers are u64
(`position` of a channel is u32, as the original has it). Reducers take their arguments by position; a field that may be left out is an
option, and one that may also be cleared an option of an option.
"""

from __future__ import annotations

import types as python_types
import typing
from collections.abc import Callable
from enum import StrEnum
from functools import cache
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from life.spaces.commands import COMMANDS, Command
from life.spaces.errors import InvalidArgumentError
from life.spaces.listeners.spacetimedb.bsatn import (
    SOME_NONE,
    ArrayType,
    BoolType,
    EnumType,
    IdentityType,
    IntType,
    OptionType,
    ProductType,
    Reader,
    TextType,
    TimestampType,
    Type,
    read_value,
    write_value,
)
from life.spaces.model import ROWS, TABLES, Audit, Mention, Row, table_name

_IDENTITIES: Final = frozenset(
    (
        "identity",
        "owner",
        "sender",
        "creator",
        "by",
        "deleted_by",
        "created_by",
        "resolved_by",
        "blocked",
        "actor",
        "recipient",
        "participants",
        "agent",
        "target",
    )
)
"""Fields that hold identities."""
_TEXTS: Final[frozenset[tuple[type, str]]] = frozenset(((Mention, "target"), (Audit, "target")))
"""Fields of such a name that hold other things, too."""
_TEXT_COMMANDS: Final = frozenset((("send_signal", "target"),))
_U32: Final = frozenset(("position",))


class Column(NamedTuple):
    """A column of a table, or an argument of a reducer."""

    name: str
    type: Type


class Table(NamedTuple):
    """A table as clients see it. `key`: the columns of the primary key."""

    name: str
    row: type[Row]
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def type(self) -> ProductType:
        """The type of a row."""
        return ProductType(_pascal(self.name), self.columns)


class Reducer(NamedTuple):
    """A reducer as clients call it."""

    name: str
    command: type[Command]
    columns: tuple[Column, ...]


def _column(owner: type, name: str, hint: object) -> Column:
    is_identity = name in _IDENTITIES and (owner, name) not in _TEXTS
    is_identity = is_identity and (_tag(owner), name) not in _TEXT_COMMANDS
    return Column(name, _type(name, hint, is_identity=is_identity))


def _type(name: str, hint: object, *, is_identity: bool) -> Type:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, python_types.UnionType):
        return _union(name, typing.get_args(hint), is_identity=is_identity)
    if origin is Literal:
        return TextType()
    if origin is tuple:
        return ArrayType(_type(name, typing.get_args(hint)[0], is_identity=is_identity))
    if hint is str:
        return IdentityType() if is_identity else TextType()
    if hint is bool:
        return BoolType()
    if hint is int:
        return TimestampType() if name.endswith("_us") else IntType("U32" if name in _U32 else "U64")
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return EnumType(hint.__name__, tuple(member.value for member in hint))
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return ProductType(hint.__name__, _columns(hint))
    raise TypeError(f"{name}: {hint!r} has no type in the protocol")


def _union(name: str, members: tuple[object, ...], *, is_identity: bool) -> Type:
    inner = [member for member in members if member not in (UnsetType, type(None))]
    made = _type(name, inner[0] if len(inner) == 1 else Literal[""], is_identity=is_identity)
    if type(None) in members:
        made = OptionType(made)
    return OptionType(made) if UnsetType in members else made


def _columns(owner: type[msgspec.Struct]) -> tuple[Column, ...]:
    hints = typing.get_type_hints(owner)
    return tuple(_column(owner, name, hints[name]) for name in owner.__struct_fields__)


def _tag(owner: type) -> str:
    return str(owner.__struct_config__.tag) if issubclass(owner, msgspec.Struct) else ""


TABLES_SEEN: Final[dict[str, Table]] = {
    table_name(row): Table(table_name(row), row, _columns(row), row.KEY) for row in ROWS if row.SIGHT != "nobody"
}
"""The tables that clients may subscribe to."""
REDUCERS: Final[dict[str, Reducer]] = {
    _tag(command): Reducer(_tag(command), command, _columns(command)) for command in COMMANDS if not command.SYSTEM
}
"""The reducers that clients may call."""


def encode_row(row: Row) -> bytes:
    """A row of a table."""
    out = bytearray()
    for name, write in _writers(type(row)):
        write(out, getattr(row, name))
    return bytes(out)


@cache
def _writers(row: type[Row]) -> tuple[tuple[str, Callable[[bytearray, object], None]], ...]:
    columns = TABLES_SEEN[_tag(row)].columns
    return tuple((column.name, _writer(column.type)) for column in columns)


def _writer(kind: Type) -> Callable[[bytearray, object], None]:
    if isinstance(kind, ArrayType) and isinstance(kind.inner, ProductType):
        return lambda out, value: write_value(out, kind, [_fields(item) for item in value])  # type: ignore[attr-defined]
    return lambda out, value: write_value(out, kind, value)


def _fields(item: object) -> object:
    return msgspec.structs.astuple(item) if isinstance(item, msgspec.Struct) else item


def decode_call(name: str, arguments: bytes) -> Command:
    """The command that a reducer's arguments say. MalformedMessageError for bytes that are not of its types, InvalidArgumentError for
    a reducer that does not exist or values that can't be."""
    reducer = reducer_of(name)
    reader = Reader(arguments)
    values = [read_value(reader, column.type) for column in reducer.columns]
    reader.end()
    return _command(reducer, values)


def reducer_of(name: str) -> Reducer:
    """A reducer by its name; InvalidArgumentError."""
    reducer = REDUCERS.get(name)
    if reducer is None:
        raise InvalidArgumentError(f"There is no reducer '{name[:64]}'.")
    return reducer


def _command(reducer: Reducer, values: list[object]) -> Command:
    given: dict[str, object] = {}
    hints = typing.get_type_hints(reducer.command)
    for column, value in zip(reducer.columns, values, strict=True):
        if UnsetType in typing.get_args(hints[column.name]):
            if value is None:
                continue
            given[column.name] = None if value is SOME_NONE else value
        else:
            given[column.name] = _objects(column.type, value)
    try:
        return msgspec.convert(given, reducer.command, from_attributes=False)
    except msgspec.ValidationError as error:
        raise InvalidArgumentError(f"The arguments of '{reducer.name}' do not fit: {str(error)[:200]}.") from None


def _objects(kind: Type, value: object) -> object:
    """Products as objects, as the structs read them."""
    if isinstance(kind, ArrayType) and isinstance(kind.inner, ProductType) and isinstance(value, tuple):
        names = [name for name, _ in kind.inner.fields]
        return [dict(zip(names, item, strict=True)) for item in value]
    return value


def call_from_json(name: str, arguments: list[object]) -> Command:
    """The command that a JSON array says, argument by argument: options are the value or null; what is left out at the end takes its
    default. InvalidArgumentError."""
    reducer = reducer_of(name)
    if len(arguments) > len(reducer.columns):
        raise InvalidArgumentError(f"The reducer '{name}' has {len(reducer.columns)} arguments.")
    given = {column.name: value for column, value in zip(reducer.columns, arguments, strict=False)}
    defaults = {field.name for field in msgspec.structs.fields(reducer.command) if not field.required}
    given = {key: value for key, value in given.items() if value is not None or key not in defaults}
    try:
        return msgspec.convert(given, reducer.command)
    except msgspec.ValidationError as error:
        raise InvalidArgumentError(f"The arguments of '{name}' do not fit: {str(error)[:200]}.") from None


def _pascal(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


assert set(TABLES_SEEN) <= set(TABLES)
assert UNSET is not None
