"""The one event record.

The journal, the SSE stream, the page and the export carry this shape:

    event_id, session_id, agent_id, branch_id, sequence, timestamp (RFC 3339 UTC, microseconds), actor, schema,
    causation_id?, correlation_id?, trace_id?, span_id?, digest?, kind {type, …}

`sequence` counts 1.. per (session, branch) without gaps; 0 marks an ephemeral event that is never stored. `NewEvent` is
what a writer hands in; `EventRecord` is what the journal gives back. In memory time is `timestamp_us`, an int. The kind
travels as the very JSON bytes that were stored (`payload`), so fields that this version does not know survive a
round trip; `kind` decodes them when somebody asks.

Older spellings (the envelope with `seq`/`ts_ms`/`parent_event_id`, and Lago's with `payload`/`timestamp`) are read by
`life.aios.envelope`. Source: ARCHITECTURE.md §2.1, aios.md §3.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

import msgspec

from life.aios.events import Kind, decode_kind, encode_kind
from life.aios.ids import MAIN_BRANCH, new_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.telemetry import SpanPlace, working_in

SCHEMA_NAME: Final = "aios-protocol"
SCHEMA_VERSION: Final = "0.1.0"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_quote: Final = msgspec.json.Encoder().encode


class Stream(NamedTuple):
    """Where events stand in order: one branch of one session."""

    session_id: str
    branch_id: str = MAIN_BRANCH

    def __str__(self) -> str:
        return f"{self.session_id}/{self.branch_id}"


class Actor(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Who acted."""

    type: Literal["user", "agent", "system"]
    component: str | None = None


class Schema(msgspec.Struct, frozen=True, gc=False):
    """Which contract the event was written under."""

    name: str = SCHEMA_NAME
    version: str = SCHEMA_VERSION


USER: Final = Actor("user")
AGENT: Final = Actor("agent")
SYSTEM: Final = Actor("system", "life")
DEFAULT_SCHEMA: Final = Schema()


class NewEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An event before the journal gave it a sequence. `payload` is the JSON of its kind, tag included."""

    event_id: str
    session_id: str
    branch_id: str = MAIN_BRANCH
    agent_id: str
    timestamp_us: int
    payload: bytes
    kind_name: str
    actor: Actor = SYSTEM
    schema: Schema = DEFAULT_SCHEMA
    causation_id: str | None = None
    correlation_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None

    @property
    def stream(self) -> Stream:
        """The (session, branch) this event belongs to."""
        return Stream(self.session_id, self.branch_id)


class EventRecord(msgspec.Struct, kw_only=True, gc=False):
    """A stored event. Treat it as immutable."""

    event_id: str
    session_id: str
    branch_id: str
    agent_id: str
    sequence: int
    timestamp_us: int
    actor: Actor
    schema: Schema
    kind_name: str
    payload: bytes
    causation_id: str | None = None
    correlation_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None
    digest: str | None = None
    position: int = 0
    """Place in this journal's order over all streams; local to one journal file, not on the wire."""
    _kind: Kind | None = None

    @property
    def kind(self) -> Kind:
        """What the event says, decoded once."""
        kind = self._kind
        if kind is None:
            kind = self._kind = decode_kind(self.payload, self.kind_name)
        return kind

    @property
    def stream(self) -> Stream:
        """The (session, branch) this event stands in."""
        return Stream(self.session_id, self.branch_id)


def record_of(event: NewEvent, sequence: int) -> EventRecord:
    """The record that `event` becomes at `sequence`. Its kind is decoded from the very bytes that are stored, as a reader would."""
    return EventRecord(
        event_id=event.event_id,
        session_id=event.session_id,
        branch_id=event.branch_id,
        agent_id=event.agent_id,
        sequence=sequence,
        timestamp_us=event.timestamp_us,
        actor=event.actor,
        schema=event.schema,
        kind_name=event.kind_name,
        payload=event.payload,
        causation_id=event.causation_id,
        correlation_id=event.correlation_id,
        trace_id=event.trace_id,
        span_id=event.span_id,
    )


class EventWriter:
    """Makes NewEvents: one clock, one source of ids, one agent, one stream and one actor unless told otherwise."""

    def __init__(self, clock: Clock, entropy: Entropy, *, agent_id: str, stream: Stream, actor: Actor = SYSTEM) -> None:
        self._clock = clock
        self._entropy = entropy
        self._agent_id = agent_id
        self._stream = stream
        self._actor = actor

    @property
    def stream(self) -> Stream:
        """The stream that events go to unless told otherwise."""
        return self._stream

    def event(
        self,
        kind: Kind,
        *,
        event_id: str | None = None,
        actor: Actor | None = None,
        causation_id: str | None = None,
        correlation_id: str | None = None,
        place: SpanPlace | None = None,
    ) -> NewEvent:
        """`kind` as an event of this writer's stream, now. It carries the ids of `place`, or of the span that this task works in."""
        place = place or working_in.get()
        return NewEvent(
            event_id=event_id or new_id(self._clock, self._entropy),
            session_id=self._stream.session_id,
            branch_id=self._stream.branch_id,
            agent_id=self._agent_id,
            timestamp_us=self._clock.now_us(),
            payload=encode_kind(kind),
            kind_name=type(kind).__name__,
            actor=actor or self._actor,
            causation_id=causation_id,
            correlation_id=correlation_id,
            trace_id=None if place is None else place.trace_id,
            span_id=None if place is None else place.span_id,
        )


def format_timestamp(timestamp_us: int) -> str:
    """RFC 3339 UTC with six digits: `2026-11-20T07:23:00.000001Z`."""
    moment = _EPOCH + timedelta(microseconds=timestamp_us)
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def parse_timestamp(text: str) -> int:
    """Microseconds since the epoch of an RFC 3339 time; ValueError when it is none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("the time has no offset from UTC")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def encode_record(record: EventRecord) -> bytes:
    """The record as one JSON object. The kind's stored bytes go in unchanged."""
    parts = [
        b'{"event_id":',
        _quote(record.event_id),
        b',"session_id":',
        _quote(record.session_id),
        b',"agent_id":',
        _quote(record.agent_id),
        b',"branch_id":',
        _quote(record.branch_id),
        b',"sequence":%d,"timestamp":"' % record.sequence,
        format_timestamp(record.timestamp_us).encode(),
        b'","actor":',
        _quote(record.actor),
        b',"schema":',
        _quote(record.schema),
    ]
    for name, value in (
        (b"causation_id", record.causation_id),
        (b"correlation_id", record.correlation_id),
        (b"trace_id", record.trace_id),
        (b"span_id", record.span_id),
        (b"digest", record.digest),
    ):
        if value is not None:
            parts += (b',"', name, b'":', _quote(value))
    parts += (b',"kind":', record.payload, b"}")
    return b"".join(parts)
