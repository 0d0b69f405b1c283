"""What goes through the socket to the process that exports, and back: a length of four bytes, then MessagePack."""

from __future__ import annotations

import select
import socket
import time
from typing import Final

import msgspec

from life.vigil.exports import Committed, ExportOrders, ExportStatus, Reading
from life.vigil.span import Span


class Batch(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Events of one append."""

    events: tuple[Committed, ...]


class Live(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A span that no event tells of."""

    span: Span


class Readings(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """What things stand at."""

    readings: tuple[Reading, ...]


class LeaveOut(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """A trace that is not exported."""

    trace_id: str


class Question(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """How does it go? With `flush_ms`, after everything so far was tried."""

    number: int
    flush_ms: int


class Reply(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The answer."""

    number: int
    flushed: bool
    status: ExportStatus


class Begin(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """The first frame."""

    orders: ExportOrders


Frame = Batch | Live | Readings | LeaveOut | Question | Reply | Begin

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Frame)


def encode_frame(frame: Frame | ExportOrders) -> bytes:
    """The bytes of a frame."""
    body = _encoder.encode(Begin(frame) if isinstance(frame, ExportOrders) else frame)
    return len(body).to_bytes(4, "big") + body


def decode_frame(body: bytes) -> Frame:
    """A frame without its length."""
    frame: Frame = _decoder.decode(body)
    return frame


def read_frame(end: socket.socket, until_s: float | None) -> Frame | None:
    """The next frame; None at the end of the stream, or when none comes until then (of time.monotonic)."""
    head = _read(end, 4, until_s)
    if head is None:
        return None
    body = _read(end, int.from_bytes(head, "big"), until_s)
    return None if body is None else decode_frame(body)


def _read(end: socket.socket, length: int, until_s: float | None) -> bytes | None:
    parts = bytearray()
    while len(parts) < length:
        if until_s is not None:
            left_s = until_s - time.monotonic()
            waiting = select.poll()
            waiting.register(end, select.POLLIN)
            if left_s <= 0 or not waiting.poll(left_s * 1000):
                return None
        piece = end.recv(length - len(parts))
        if not piece:
            return None
        parts += piece
    return bytes(parts)
