"""What travels between a journal and its writer process: frames of MessagePack behind their length (4 bytes, big-endian).

    to the writer     [[number, entries, expected], …]      one request per batch
    to the journal    [[number, places, refusal], …]        one answer per request; `places` or `refusal` is null

The first frame from the writer has the number 0: no refusal means that it is ready, a refusal why it is not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias, cast

import msgspec

from life.aios.errors import (
    EventConflictError,
    JournalError,
    JournalFullError,
    JournalUnavailableError,
    LifeError,
    SequenceConflictError,
)
from life.lago.errors import JournalFileDamagedError, JournalFormatError
from life.lago.journal.entries import Entry, Expectation, Placed

READY: Final = 0
"""Number of the writer's first answer."""

Request: TypeAlias = tuple[int, Sequence[Entry], Sequence[Expectation]]
"""Number of the request, and its batch."""


class Refusal(msgspec.Struct, array_like=True):
    """An error on the wire: its code, its words, and the numbers and names that some errors carry."""

    code: str
    message: str
    next_step: str | None = None
    details: dict[str, str | int] = {}


Answer: TypeAlias = tuple[int, list[Placed] | None, Refusal | None]
"""Number of the request, and what became of it."""

_LENGTH: Final = struct.Struct(">I")
_encode: Final = msgspec.msgpack.Encoder().encode
_decode_requests: Final = msgspec.msgpack.Decoder().decode  # msgspec has no type for "bytes or text"
_decode_answers: Final = msgspec.msgpack.Decoder(list[Answer]).decode


def frame(messages: Sequence[Request] | Sequence[Answer]) -> bytes:
    """Messages as one frame."""
    body = _encode(messages)
    return _LENGTH.pack(len(body)) + body


def requests(body: bytes) -> list[Request]:
    """The requests of a frame's body; entries arrive as lists, which serve like tuples."""
    return cast("list[Request]", _decode_requests(body))


def answers(body: bytes) -> list[Answer]:
    """The answers of a frame's body."""
    return _decode_answers(body)


class Frames:
    """Cuts a stream of bytes into the bodies of frames."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The bodies that are complete with these bytes."""
        held = self._bytes
        held += data
        while len(held) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(held)
            end = _LENGTH.size + length
            if len(held) < end:
                return
            body = bytes(held[_LENGTH.size : end])
            del held[:end]
            yield body


def refuse(error: LifeError) -> Refusal:
    """An error as it travels."""
    details: dict[str, str | int] = dict(error.details)
    return Refusal(error.code, error.message, error.next_step, details)


def restore(refusal: Refusal) -> LifeError:
    """The error that `refuse` took."""
    details = refusal.details
    match refusal.code:
        case SequenceConflictError.code:
            return SequenceConflictError(
                str(details["session_id"]),
                str(details["branch_id"]),
                expected=int(details["expected"]),
                actual=int(details["actual"]),
            )
        case EventConflictError.code:
            return EventConflictError(str(details["event_id"]))
        case JournalFileDamagedError.code:
            return JournalFileDamagedError(
                str(details["path"]),
                str(details["found"]),
                session_id=str(details["session_id"]),
                branch_id=str(details["branch_id"]),
                sequence=int(details["sequence"]),
            )
        case JournalFullError.code:
            kind: type[JournalError] = JournalFullError
        case JournalUnavailableError.code:
            kind = JournalUnavailableError
        case JournalFormatError.code:
            kind = JournalFormatError
        case _:
            kind = JournalError
    return kind(refusal.message, next_step=refusal.next_step, details=details)
