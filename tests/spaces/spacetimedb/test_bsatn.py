"""The binary format: round trips of every type, and bytes by enemies."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from life.spaces.errors import SpacesError
from life.spaces.listeners.spacetimedb import messages
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
from life.spaces.listeners.spacetimedb.errors import MalformedMessageError
from life.spaces.listeners.spacetimedb.types import REDUCERS, TABLES_SEEN, decode_call, encode_row
from life.spaces.model import Channel, Message

LEAVES: st.SearchStrategy[Type] = st.one_of(
    st.sampled_from(
        [IntType("U8"), IntType("U16"), IntType("U32"), IntType("U64"), IntType("I64")],
    ),
    st.sampled_from([BoolType(), TextType(), IdentityType(), TimestampType(), EnumType("E", ("A", "B", "C"))]),
)
TYPES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(OptionType),
        inner.map(ArrayType),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda kinds: ProductType("P", tuple((f"f{n}", k) for n, k in enumerate(kinds)))
        ),
    ),
    max_leaves=5,
)


def values(kind: Type) -> st.SearchStrategy[object]:
    """Values of a type."""
    match kind:
        case IntType():
            bits = int(kind.name[1:])
            return st.integers(-(1 << 63), (1 << 63) - 1) if kind.name == "I64" else st.integers(0, (1 << bits) - 1)
        case BoolType():
            return st.booleans()
        case TextType():
            return st.text(max_size=8)
        case IdentityType():
            return st.binary(min_size=32, max_size=32).map(bytes.hex)
        case TimestampType():
            return st.integers(-(1 << 63), (1 << 63) - 1)
        case EnumType():
            return st.sampled_from(kind.variants)
        case OptionType():
            return st.none() | values(kind.inner).map(lambda value: SOME_NONE if value is None else value)
        case ArrayType():
            return st.lists(values(kind.inner), max_size=3).map(tuple)
        case ProductType():
            return st.tuples(*(values(field) for _, field in kind.fields))


@given(st.data())
def test_every_value_comes_back(data: st.DataObject) -> None:
    """Written and read, and nothing is left over."""
    kind = data.draw(TYPES)
    value = data.draw(values(kind))
    out = bytearray()
    write_value(out, kind, value)
    reader = Reader(bytes(out))
    assert read_value(reader, kind) == value
    reader.end()


@given(TYPES, st.binary(max_size=200))
def test_any_bytes_are_a_value_or_refused(kind: Type, raw: bytes) -> None:
    """Whatever comes: a value that writes back to the very bytes that were read, or MalformedMessageError."""
    reader = Reader(raw)
    try:
        value = read_value(reader, kind)
    except MalformedMessageError:
        return
    out = bytearray()
    write_value(out, kind, value)
    assert bytes(out) == raw[: reader.at]


@settings(max_examples=400)
@given(st.binary(max_size=300), st.booleans())
def test_any_frame_is_messages_or_refused(raw: bytes, several: bool) -> None:
    """No other error, for v2 and v3."""
    try:
        found = messages.read_messages(raw, several=several)
    except MalformedMessageError:
        return
    assert found


@settings(max_examples=300)
@given(st.sampled_from(sorted(REDUCERS)), st.binary(max_size=200))
def test_any_arguments_are_a_command_or_refused(name: str, raw: bytes) -> None:
    """Of every reducer."""
    try:
        command = decode_call(name, raw)
    except SpacesError:
        return
    assert command.reducer == name


@given(st.sampled_from(sorted(REDUCERS)), st.data())
def test_the_arguments_of_every_reducer_are_read_by_position(name: str, data: st.DataObject) -> None:
    """Values of the types that the schema tells give the command with these fields, or an argument that can't be."""
    reducer = REDUCERS[name]
    given_values = [data.draw(values(column.type)) for column in reducer.columns]
    out = bytearray()
    for column, value in zip(reducer.columns, given_values, strict=True):
        write_value(out, column.type, value)
    try:
        command = decode_call(name, bytes(out))
    except SpacesError as error:
        assert error.word == "invalid_argument"
        return
    for column, value in zip(reducer.columns, given_values, strict=True):
        if isinstance(value, int | bool):
            assert getattr(command, column.name) == value


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x05\x00\x00\x00\x00",
        b"\x00",
        b"\x00" + b"\x01\x00\x00\x00" * 2 + b"\xff\xff\xff\xff",
        b"\x00" + b"\x01\x00\x00\x00" * 2 + b"\xc9\x00\x00\x00" + b"\x00" * 900,
        b"\x00" + b"\x01\x00\x00\x00" * 2 + b"\x01\x00\x00\x00" + b"\xff\xff\xff\x7f",
        b"\x00" + b"\x01\x00\x00\x00" * 2 + b"\x01\x00\x00\x00" + b"\x02\x00\x00\x00\xff\xfe",
        b"\x01" + b"\x01\x00\x00\x00" * 2 + b"\x02",
        b"\x03\x01\x00\x00\x00\x00\xff\xff\xff\xff",
        b"\x02\x01\x00\x00\x00\x01\x00\x00\x00a" * 2000,
        b"\x00" * (messages.MAX_FRAME_BYTES + 1),
    ],
)
def test_hostile_frames_are_refused_without_being_believed(frame: bytes) -> None:
    """Counts beyond what is there, too many queries, no UTF-8, unknown variants and flags, too many messages, too large."""
    with pytest.raises(MalformedMessageError):
        messages.read_messages(frame, several=True)


def test_rows_have_the_known_bytes() -> None:
    """Vectors written out by hand from the format's rules (spaces-engines.md §1.1)."""
    row = Channel(id=1, space_id=2, name="ab", topic=None, position=3, created_us=5)
    assert encode_row(row) == (
        b"\x01" + b"\x00" * 7 + b"\x02" + b"\x00" * 7 + b"\x02\x00\x00\x00ab" + b"\x01" + b"\x00" + b"\x03\x00\x00\x00"
        + b"\x00" * 8 + b"\x05" + b"\x00" * 7
    )  # fmt: skip
    sender = "c200" + "00" * 29 + "07"
    message = Message(id=1, space_id=1, channel_id=1, sender=sender, content="", created_us=0, edited_us=9)
    encoded = encode_row(message)
    assert encoded[32:64] == b"\x07" + b"\x00" * 29 + b"\x00\xc2"
    assert b"\x00\x09" + b"\x00" * 7 in encoded


def test_tables_that_nobody_sees_are_not_told() -> None:
    """Idempotency keys and slow mode stay inside; every other table has columns."""
    assert "idempotency" not in TABLES_SEEN
    assert "slow_mode" not in TABLES_SEEN
    assert all(table.columns for table in TABLES_SEEN.values())
    assert not {"initialize", "admit", "sweep"} & set(REDUCERS)
