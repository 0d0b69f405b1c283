"""Reading event records in the three spellings there are (aios.md §3).

    record     event_id … sequence, timestamp (RFC 3339), causation_id, kind          written by us
    envelope   seq, ts_ms or timestamp (microseconds, whatever the name says), parent_event_id, kind, metadata
    Lago's     seq, timestamp (microseconds), parent_id, payload, metadata; no agent, actor or schema

All become an EventRecord. What the older spellings do not carry gets a stable default, so reading twice gives the same
record: no agent means `unknown`, no actor means the original's daemon. A `schema_version` other than 1 is kept as the
version of the schema, where the event does not name its schema. A run id (`run_id`, or `aios.run_id` in `metadata`)
becomes the correlation id where the event has none of its own (`correlation_id`, `aios.correlation_id`); other metadata
is kept by importers that want it, not by the record. Raw line breaks between a kind's tokens become blanks, so that a
record always fits on one line.
"""

from __future__ import annotations

from typing import Final

import msgspec

from life.aios.errors import MalformedEventError
from life.aios.events import decode_kind
from life.aios.events.codec import kind_tag, one_line
from life.aios.ids import MAIN_BRANCH
from life.aios.record import DEFAULT_SCHEMA, Actor, EventRecord, Schema, parse_timestamp

UNKNOWN_AGENT: Final = "unknown"
LEGACY_ACTOR: Final = Actor("system", "arcan-daemon")

_ABSENT: Final = msgspec.Raw(b"")


class _AnySpelling(msgspec.Struct, kw_only=True):
    event_id: str
    session_id: str
    branch_id: str = MAIN_BRANCH
    agent_id: str = UNKNOWN_AGENT
    sequence: int | None = None
    seq: int | None = None
    timestamp: str | int | None = None
    ts_ms: int | None = None
    actor: Actor = LEGACY_ACTOR
    schema: Schema | None = None
    schema_version: int = 1
    causation_id: str | None = None
    parent_event_id: str | None = None
    parent_id: str | None = None
    correlation_id: str | None = None
    run_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    digest: str | None = None
    kind: msgspec.Raw = _ABSENT
    payload: msgspec.Raw = _ABSENT
    metadata: dict[str, str] | None = None


_decoder: Final = msgspec.json.Decoder(_AnySpelling)


def decode_record(data: bytes) -> EventRecord:
    """An event record from JSON in any of the three spellings; MalformedEventError when it is none."""
    try:
        read = _decoder.decode(data)
        payload = bytes(read.kind) or bytes(read.payload)
        if not payload:
            raise MalformedEventError("The event has neither 'kind' nor 'payload'.")
        kind_bytes = one_line(payload)
        name = kind_tag(kind_bytes)
        kind = decode_kind(kind_bytes, name)
        timestamp_us = _timestamp_us(read)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedEventError(f"Not an event record: {error}") from None
    metadata = read.metadata or {}
    sequence = read.sequence if read.sequence is not None else read.seq
    return EventRecord(
        event_id=read.event_id,
        session_id=read.session_id,
        branch_id=read.branch_id,
        agent_id=read.agent_id,
        sequence=sequence or 0,
        timestamp_us=timestamp_us,
        actor=read.actor,
        schema=_schema(read),
        kind_name=name,
        payload=kind_bytes,
        causation_id=read.causation_id or read.parent_event_id or read.parent_id,
        correlation_id=read.correlation_id
        or metadata.get("aios.correlation_id")
        or read.run_id
        or metadata.get("aios.run_id"),
        trace_id=read.trace_id,
        span_id=read.span_id,
        digest=read.digest,
        _kind=kind,
    )


def _schema(read: _AnySpelling) -> Schema:
    if read.schema is not None:
        return read.schema
    return DEFAULT_SCHEMA if read.schema_version == 1 else Schema(version=str(read.schema_version))


def _timestamp_us(read: _AnySpelling) -> int:
    if isinstance(read.timestamp, str):
        return parse_timestamp(read.timestamp)
    value = read.timestamp if read.timestamp is not None else read.ts_ms
    if value is None:
        raise MalformedEventError("The event has no time.")
    return value
