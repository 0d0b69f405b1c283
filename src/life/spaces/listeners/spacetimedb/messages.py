"""Client and server messages, and the frames that carry them.

A v2 frame is one message, a v3 frame one or more behind each other. Frames of the server begin with a byte that names their
compression: 0 none, 2 gzip.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

from life.spaces.listeners.spacetimedb.bsatn import (
    Reader,
    write_identity,
    write_integer,
    write_octets,
    write_text,
)
from life.spaces.listeners.spacetimedb.errors import MalformedMessageError

V2: Final = "v2.bsatn.spacetimedb"
V3: Final = "v3.bsatn.spacetimedb"
MAX_FRAME_BYTES: Final = 1_048_576
MAX_MESSAGES: Final = 1024
"""Of one v3 frame."""
MAX_QUERIES: Final = 200
COMPRESS_FROM_BYTES: Final = 1024
"""Smaller frames are not worth it."""
_GZIP: Final = 31

Compression = Literal["none", "gzip"]


class Subscribe(NamedTuple):
    """Wants the rows of some queries, and their changes."""

    request_id: int
    query_set_id: int
    queries: tuple[str, ...]


class Unsubscribe(NamedTuple):
    """Wants them no more; `send_rows`: and to be told which they were."""

    request_id: int
    query_set_id: int
    send_rows: bool


class OneOffQuery(NamedTuple):
    """Asks once."""

    request_id: int
    query: str


class CallReducer(NamedTuple):
    """Calls a reducer."""

    request_id: int
    reducer: str
    arguments: bytes


class CallProcedure(NamedTuple):
    """Calls a procedure; Spaces has none."""

    request_id: int
    procedure: str


ClientMessage = Subscribe | Unsubscribe | OneOffQuery | CallReducer | CallProcedure


def read_messages(frame: bytes, *, several: bool) -> list[ClientMessage]:
    """The messages of a frame; MalformedMessageError."""
    if len(frame) > MAX_FRAME_BYTES:
        raise MalformedMessageError(f"A frame has at most {MAX_FRAME_BYTES} bytes.")
    reader = Reader(frame)
    messages = [_read_message(reader)]
    while several and reader.left:
        if len(messages) >= MAX_MESSAGES:
            raise MalformedMessageError(f"A frame has at most {MAX_MESSAGES} messages.")
        messages.append(_read_message(reader))
    reader.end()
    return messages


def _read_message(reader: Reader) -> ClientMessage:
    tag = reader.integer("U8")
    if tag > 4:
        raise MalformedMessageError("There is no such message.")
    request_id = reader.integer("U32")
    if tag == 0:
        query_set_id = reader.integer("U32")
        count = reader.count(4)
        if count > MAX_QUERIES:
            raise MalformedMessageError(f"A query set has at most {MAX_QUERIES} queries.")
        return Subscribe(request_id, query_set_id, tuple(reader.text() for _ in range(count)))
    if tag == 1:
        query_set_id, flags = reader.integer("U32"), reader.integer("U8")
        if flags > 1:
            raise MalformedMessageError("There is no such flag.")
        return Unsubscribe(request_id, query_set_id, flags == 1)
    if tag == 2:
        return OneOffQuery(request_id, reader.text())
    reader.integer("U8")  # flags: the one that asks not to be answered is not sent by clients of v2
    name, arguments = reader.text(), reader.octets()
    return CallReducer(request_id, name, arguments) if tag == 3 else CallProcedure(request_id, name)


# ---- what the server says


class RowChanges(NamedTuple):
    """Rows of one table that came and went."""

    table: str
    inserts: Sequence[bytes]
    deletes: Sequence[bytes]


QuerySets = Sequence[tuple[int, Sequence[RowChanges]]]
"""Per query set, the changes of its tables."""


def initial_connection(identity: str, connection_id: bytes) -> bytes:
    """The first message. No token is handed out: agent tokens are made by their agents."""
    out = bytearray((0,))
    write_identity(out, identity)
    out += connection_id
    write_text(out, "")
    return bytes(out)


def subscribe_applied(request_id: int, query_set_id: int, tables: Sequence[tuple[str, Sequence[bytes]]]) -> bytes:
    """The rows of a query set."""
    out = _head(1, request_id)
    write_integer(out, "U32", query_set_id)
    _write_tables(out, tables)
    return bytes(out)


def unsubscribe_applied(
    request_id: int, query_set_id: int, tables: Sequence[tuple[str, Sequence[bytes]]] | None
) -> bytes:
    """The end of a query set, with its rows where they were asked for."""
    out = _head(2, request_id)
    write_integer(out, "U32", query_set_id)
    if tables is None:
        out.append(1)
    else:
        out.append(0)
        _write_tables(out, tables)
    return bytes(out)


def subscription_error(request_id: int | None, query_set_id: int, error: str) -> bytes:
    """A query set that is refused; without a request: that can't go on."""
    out = bytearray((3,))
    if request_id is None:
        out.append(1)
    else:
        out.append(0)
        write_integer(out, "U32", request_id)
    write_integer(out, "U32", query_set_id)
    write_text(out, error)
    return bytes(out)


def transaction_update(query_sets: QuerySets) -> bytes:
    """What a transaction changed."""
    out = bytearray((4,))
    _write_query_sets(out, query_sets)
    return bytes(out)


def one_off_result(request_id: int, tables: Sequence[tuple[str, Sequence[bytes]]] | str) -> bytes:
    """The answer to a question: rows, or why not."""
    out = _head(5, request_id)
    if isinstance(tables, str):
        out.append(1)
        write_text(out, tables)
    else:
        out.append(0)
        _write_tables(out, tables)
    return bytes(out)


def reducer_done(request_id: int, at_us: int, query_sets: QuerySets) -> bytes:
    """A call that was carried out, with what it changed for its caller."""
    out = _head(6, request_id)
    write_integer(out, "I64", at_us)
    if not query_sets:
        out.append(1)
        return bytes(out)
    out.append(0)
    write_octets(out, b"")
    _write_query_sets(out, query_sets)
    return bytes(out)


def reducer_refused(request_id: int, at_us: int, error: str) -> bytes:
    """A call that was refused; it changed nothing."""
    out = _head(6, request_id)
    write_integer(out, "I64", at_us)
    out.append(2)
    words = bytearray()
    write_text(words, error)
    write_octets(out, words)
    return bytes(out)


def procedure_failed(request_id: int, at_us: int, error: str) -> bytes:
    """A procedure that there is not."""
    out = bytearray((7, 1))
    write_text(out, error)
    write_integer(out, "I64", at_us)
    write_integer(out, "I64", 0)
    write_integer(out, "U32", request_id)
    return bytes(out)


def frames(messages: Iterable[bytes], *, several: bool, compression: Compression) -> list[bytes]:
    """The frames that carry these messages."""
    whole = list(messages)
    if not whole:
        return []
    bodies = [b"".join(whole)] if several else whole
    return [_framed(body, compression) for body in bodies]


def _framed(body: bytes, compression: Compression) -> bytes:
    if compression == "gzip" and len(body) >= COMPRESS_FROM_BYTES:
        packer = zlib.compressobj(level=3, wbits=_GZIP)
        return b"\x02" + packer.compress(body) + packer.flush()
    return b"\x00" + body


def _head(tag: int, request_id: int) -> bytearray:
    out = bytearray((tag,))
    write_integer(out, "U32", request_id)
    return out


def _write_tables(out: bytearray, tables: Sequence[tuple[str, Sequence[bytes]]]) -> None:
    write_integer(out, "U32", len(tables))
    for name, rows in tables:
        write_text(out, name)
        _write_rows(out, rows)


def _write_rows(out: bytearray, rows: Sequence[bytes]) -> None:
    """A row list: where each row begins, and all of them behind each other."""
    out.append(1)
    write_integer(out, "U32", len(rows))
    at = 0
    for row in rows:
        write_integer(out, "U64", at)
        at += len(row)
    write_octets(out, b"".join(rows))


def _write_query_sets(out: bytearray, query_sets: QuerySets) -> None:
    write_integer(out, "U32", len(query_sets))
    for query_set_id, tables in query_sets:
        write_integer(out, "U32", query_set_id)
        write_integer(out, "U32", len(tables))
        for changes in tables:
            write_text(out, changes.table)
            write_integer(out, "U32", 1)
            out.append(0)
            _write_rows(out, changes.inserts)
            _write_rows(out, changes.deletes)
