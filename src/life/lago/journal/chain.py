"""The chain of digests: what ties each event to all that came before it in its stream.

Each event has a digest, SHA-256 over these bytes in this order::

    previous digest   32 bytes; zeros before the first event of the stream
    place             MessagePack array: session id, branch id, sequence
    description       MessagePack array: timestamp in microseconds since 1970-01-01T00:00:00Z, event id, agent id,
                      type of the actor, its component, name of the schema, its version, causation id, correlation id,
                      trace id, span id, name of the kind
    payload           the JSON bytes of the kind as they are stored, to the end

Every MessagePack value has its shortest form, as common libraries write it: numbers are integers, what is absent is nil,
and texts are `str`, but for two that are `bin`: an event, causation or correlation id that is a canonical ULID (26
upper-case characters of Crockford's base32, the first at most 7) is its 16 bytes, and a trace or span id of lower-case
hexadecimal is the bytes it spells. Payloads are never re-encoded, so the digest holds for the very bytes that are stored,
and an exported record holds all that is needed to compute it again (`event_digest` does). Source: ARCHITECTURE.md §2.3;
the MessagePack and ULID specifications.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from life.aios.ids import decode_ulid, encode_ulid

if TYPE_CHECKING:  # a writer process needs the digests and not the taxonomy of events
    from life.aios.record import EventRecord

Compact: TypeAlias = bytes | str
"""An identifier as it is stored and hashed: a ULID as 16 bytes, hexadecimal trace and span ids as their bytes, or text."""

GENESIS: Final = bytes(32)
"""The digest before the first event of a stream."""

pack: Final = msgspec.msgpack.Encoder().encode
"""A MessagePack value in its shortest form."""

_ARRAY_OF_TWO: Final = b"\x92"
_ARRAY_OF_THREE: Final = b"\x93"


def place(session_id: str, branch_id: str) -> bytes:
    """The bytes of a place without those of the sequence, which follow: they name a stream."""
    return _ARRAY_OF_THREE + pack(session_id) + pack(branch_id)


def place_fields(place_: bytes) -> tuple[str, str]:
    """The session and branch that `place` named."""
    session_id, branch_id = msgspec.msgpack.decode(_ARRAY_OF_TWO + place_[1:])
    return (session_id, branch_id)


def compact_id(value: str) -> Compact:
    """A ULID as its 16 bytes; any other id as it is."""
    return decode_ulid(value) or value


def compact_hex(value: str) -> Compact:
    """Lower-case hexadecimal as its bytes; any other text as it is."""
    try:
        raw = bytes.fromhex(value)
    except ValueError:
        return value
    return raw if raw and raw.hex() == value else value


def expand_id(value: Compact) -> str:
    """The id that `compact_id` took."""
    return encode_ulid(value) if isinstance(value, bytes) else value


def expand_hex(value: Compact) -> str:
    """The text that `compact_hex` took."""
    return value.hex() if isinstance(value, bytes) else value


def event_digest(previous: str, record: EventRecord) -> str:
    """The digest that `record` must have after an event with the digest `previous` (both 64 hex digits)."""
    actor, schema = record.actor, record.schema
    described = (
        record.timestamp_us,
        compact_id(record.event_id),
        record.agent_id,
        actor.type,
        actor.component,
        schema.name,
        schema.version,
        None if record.causation_id is None else compact_id(record.causation_id),
        None if record.correlation_id is None else compact_id(record.correlation_id),
        None if record.trace_id is None else compact_hex(record.trace_id),
        None if record.span_id is None else compact_hex(record.span_id),
        record.kind_name,
    )
    where = (record.session_id, record.branch_id, record.sequence)
    return hashlib.sha256(bytes.fromhex(previous) + pack(where) + pack(described) + record.payload).hexdigest()
