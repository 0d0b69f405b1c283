"""What a stored event's message holds: a MessagePack array of

    version       1
    sequence      of the event in its stream
    digest        32 bytes (life.lago.journal.chain)
    description   the bytes that the digest covers: times, ids, agent, actor, schema, kind
    payload       the JSON bytes of the kind

Session and branch stand in the subject. The digest is the same as in every other engine, so a journal can be moved and
checked from outside. A message that can't be read this way is a JournalDamagedError, never skipped.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import JournalDamagedError
from life.aios.record import Actor, EventRecord, Schema, Stream
from life.lago.journal import chain
from life.lago.journal.chain import Compact, expand_hex, expand_id
from life.lago.journal.entries import Entry, origin_fields
from life.lago.journal.nats.subjects import stream_of

VERSION: Final = 1

_pack: Final = chain.pack
_unpack: Final = msgspec.msgpack.Decoder().decode  # msgspec has no type for "bytes or text"


class Wired(msgspec.Struct, array_like=True):
    """The body of an event's message."""

    version: int
    sequence: int
    digest: bytes
    description: bytes
    payload: bytes


_decode_body: Final = msgspec.msgpack.Decoder(Wired).decode


class Message(NamedTuple):
    """A stored message."""

    position: int
    subject: str
    body: bytes
    batch_id: str
    """The attempt that stored it."""


class Descriptions:
    """Actors and schemas that many events share, so that a page of records holds one object for each."""

    def __init__(self) -> None:
        self._actors: dict[tuple[str, str | None], Actor] = {}
        self._schemas: dict[tuple[str, str], Schema] = {}

    def record(self, message: Message) -> EventRecord:
        """The event of a message."""
        stream, wired = unwrap(message)
        (
            timestamp_us,
            event_id,
            agent_id,
            actor_type,
            component,
            schema_name,
            schema_version,
            causation,
            correlation,
            trace,
            span,
            kind,
        ) = _unpack(wired.description)
        return EventRecord(
            event_id=expand_id(event_id),
            session_id=stream.session_id,
            branch_id=stream.branch_id,
            agent_id=agent_id,
            sequence=wired.sequence,
            timestamp_us=timestamp_us,
            actor=self._actor(actor_type, component),
            schema=self._schema(schema_name, schema_version),
            kind_name=kind,
            payload=wired.payload,
            causation_id=None if causation is None else expand_id(causation),
            correlation_id=None if correlation is None else expand_id(correlation),
            trace_id=None if trace is None else expand_hex(trace),
            span_id=None if span is None else expand_hex(span),
            digest=wired.digest.hex(),
            position=message.position,
        )

    def _actor(self, actor_type: str, component: str | None) -> Actor:
        actor = self._actors.get((actor_type, component))
        if actor is None:
            if len(self._actors) >= _REMEMBERED:
                self._actors.clear()
            actor = self._actors[(actor_type, component)] = msgspec.convert(
                {"type": actor_type, "component": component}, Actor
            )
        return actor

    def _schema(self, name: str, version: str) -> Schema:
        schema = self._schemas.get((name, version))
        if schema is None:
            if len(self._schemas) >= _REMEMBERED:
                self._schemas.clear()
            schema = self._schemas[(name, version)] = Schema(name, version)
        return schema


_REMEMBERED: Final = 1_000


def wrap(entry: Entry, previous: bytes, sequence: int) -> tuple[bytes, bytes]:
    """The body of an entry's message at this place of its stream, and its digest."""
    described, payload = entry[9], entry[10]
    digest = hashlib.sha256(b"".join((previous, entry[0], _pack(sequence), described, payload))).digest()
    return _pack((VERSION, sequence, digest, described, payload)), digest


def unwrap(message: Message) -> tuple[Stream, Wired]:
    """The stream and the body of an event's message; JournalDamagedError when it is none."""
    stream = stream_of(message.subject)
    try:
        wired = _decode_body(message.body)
    except msgspec.DecodeError as error:
        raise JournalDamagedError(
            stream.session_id,
            stream.branch_id,
            0,
            expected="an event",
            found=f"other bytes at position {message.position} ({error})",
        ) from None
    if wired.version != VERSION:
        raise JournalDamagedError(
            stream.session_id,
            stream.branch_id,
            wired.sequence,
            expected=f"a message of version {VERSION}",
            found=f"version {wired.version}",
        )
    return stream, wired


def key_of(wired: Wired) -> Compact:
    """The event id of a body."""
    key: Compact = _unpack(wired.description)[1]
    return key


def is_same(entry: Entry, message: Message) -> bool:
    """Whether a stored message is this event: stream, agent, actor, kind, payload and causation (the time may differ)."""
    stream, wired = unwrap(message)
    _, key, agent_id, actor_type, component, _, _, causation, _, _, _, kind = _unpack(wired.description)
    return (
        chain.place(*stream) == entry[0]
        and key == entry[1]
        and kind == entry[2]
        and (agent_id, actor_type, component) == origin_fields(entry[4])[:3]
        and causation == entry[5]
        and wired.payload == entry[10]
    )


def is_twin(entry: Entry, other: Entry) -> bool:
    """The same for two entries that are not stored yet."""
    return (
        entry[0] == other[0]
        and entry[2] == other[2]
        and origin_fields(entry[4])[:3] == origin_fields(other[4])[:3]
        and entry[5] == other[5]
        and entry[10] == other[10]
    )
