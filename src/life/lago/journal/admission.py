"""What may enter the journal, and the form in which it reaches the engine.

`Admission` checks new events where the caller is, so its errors are the caller's, and lays each out as an `Entry`
(life.lago.journal.entries).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from life.aios.errors import InvalidInputError, MalformedEventError
from life.aios.events.codec import check_payload_of
from life.aios.ids import MAX_ID_LENGTH, check_id, decode_ulid
from life.aios.record import Actor, NewEvent, Schema, Stream
from life.lago.journal import chain
from life.lago.journal.chain import Compact, compact_hex, compact_id, pack
from life.lago.journal.entries import Batch, Entry, Expectation
from life.lago.journal.entries import origin as origin_key

MAX_PAYLOAD_BYTES: Final = 16 * 2**20
"""Longest payload. What is larger belongs into the blob store, with its hash in the event."""

MIN_TIMESTAMP_US: Final = -62_135_596_800_000_000
MAX_TIMESTAMP_US: Final = 253_402_300_799_999_999
"""The years 1 to 9999, which RFC 3339 can write."""

_REMEMBERED: Final = 10_000
"""How many streams and origins are kept in memory before the caches start again from empty."""


class Admission:
    """Checks events and lays them out. One per journal; not for several threads."""

    def __init__(self) -> None:
        self._places: dict[str, dict[str, bytes]] = {}
        self._origins: dict[tuple[str, Actor, Schema], _Origin] = {}
        self._newest_origin = _Origin("", Actor("system"), Schema())
        self._kinds: set[str] = set()
        # What many events in a row refer to: the run and the trace they belong to.
        self._correlations: dict[str, Compact] = {}
        self._traces: dict[str, Compact] = {}

    def admit(self, events: Sequence[NewEvent], expected: Mapping[Stream, int] | None = None) -> Batch:
        """The events as a batch; MalformedEventError or InvalidInputError when one of them can't be stored."""
        entries = [self._lay_out(events[0])] if len(events) == 1 else [self._lay_out(event) for event in events]
        if not expected:
            return (entries, ())
        return (entries, [_expectation(stream, sequence) for stream, sequence in expected.items()])

    def _lay_out(self, event: NewEvent) -> Entry:
        # Every append of every event comes through here: no call that a look-up can save.
        event_id = event.event_id
        kind = event.kind_name
        payload = event.payload
        timestamp_us = event.timestamp_us
        check_payload_of(kind, payload)
        if kind not in self._kinds:
            self._check_kind(kind)
        if not (MIN_TIMESTAMP_US <= timestamp_us <= MAX_TIMESTAMP_US and len(payload) <= MAX_PAYLOAD_BYTES):
            raise _out_of_bounds(event)
        key = decode_ulid(event_id) or check_id(event_id, what="event id")
        try:
            place = self._places[event.session_id][event.branch_id]
        except KeyError:
            place = self._place(event.session_id, event.branch_id)
        agent_id = event.agent_id
        origin = self._newest_origin
        # The very same objects as last time: nothing to look up (they are immutable, and held here).
        if event.actor is not origin.actor or event.schema is not origin.schema or agent_id != origin.agent_id:
            origin = self._origin(event)
        causation_id = event.causation_id
        correlation_id = event.correlation_id
        trace_id = event.trace_id
        span_id = event.span_id
        causation = (
            None if causation_id is None else decode_ulid(causation_id) or check_id(causation_id, what="causation id")
        )
        correlation = (
            None if correlation_id is None else self._correlations.get(correlation_id) or self._run(correlation_id)
        )
        trace = None if trace_id is None else self._traces.get(trace_id) or self._trace(trace_id)
        span = None if span_id is None else _span(span_id)
        described = pack(
            (
                timestamp_us,
                key,
                agent_id,
                origin.actor_type,
                origin.component,
                origin.schema_name,
                origin.schema_version,
                causation,
                correlation,
                trace,
                span,
                kind,
            )
        )
        return (
            place,
            key,
            kind,
            timestamp_us,
            origin.key,
            causation,
            correlation,
            trace,
            span,
            described,
            payload,
        )

    def _check_kind(self, name: str) -> None:
        check_id(name, what="name of the kind")
        if len(self._kinds) >= _REMEMBERED:
            self._kinds.clear()
        self._kinds.add(name)

    def _place(self, session_id: str, branch_id: str) -> bytes:
        check_id(session_id, what="session id")
        check_id(branch_id, what="branch id")
        if len(self._places) >= _REMEMBERED:
            self._places.clear()
        branches = self._places.setdefault(session_id, {})
        if len(branches) >= _REMEMBERED:
            branches.clear()
        place = branches[branch_id] = chain.place(session_id, branch_id)
        return place

    def _origin(self, event: NewEvent) -> _Origin:
        agent_id, actor, schema = event.agent_id, event.actor, event.schema
        origin = self._origins.get((agent_id, actor, schema))
        if origin is None:
            check_id(agent_id, what="agent id")
            _check_origin(actor, schema)
            if len(self._origins) >= _REMEMBERED:
                self._origins.clear()
            origin = self._origins[(agent_id, actor, schema)] = _Origin(agent_id, actor, schema)
        elif origin.actor is not actor or origin.schema is not schema:
            origin = _Origin(
                agent_id, actor, schema
            )  # equal, but other objects: the next event may bring the same ones
        self._newest_origin = origin
        return origin

    def _run(self, correlation_id: str) -> Compact:
        return _remember(
            self._correlations, correlation_id, compact_id(check_id(correlation_id, what="correlation id"))
        )

    def _trace(self, trace_id: str) -> Compact:
        return _remember(self._traces, trace_id, compact_hex(check_id(trace_id, what="trace id")))


class _Origin:
    """Agent, actor and schema, with the bytes that stand for them."""

    __slots__ = ("actor", "actor_type", "agent_id", "component", "key", "schema", "schema_name", "schema_version")

    def __init__(self, agent_id: str, actor: Actor, schema: Schema) -> None:
        self.agent_id = agent_id
        self.actor = actor
        self.schema = schema
        self.actor_type = actor.type
        self.component = actor.component
        self.schema_name = schema.name
        self.schema_version = schema.version
        self.key = origin_key(agent_id, actor.type, actor.component, schema.name, schema.version)


def _check_origin(actor: Actor, schema: Schema) -> None:
    if actor.type not in ("user", "agent", "system"):
        raise InvalidInputError("An actor is a user, an agent or the system.")
    for name in (actor.component or "", schema.name, schema.version):
        if len(name) > MAX_ID_LENGTH or not name.isprintable():
            raise InvalidInputError(
                f"Components and schemas are named in at most {MAX_ID_LENGTH} printable characters."
            )


def _remember(known: dict[str, Compact], value: str, compact: Compact) -> Compact:
    if len(known) >= _REMEMBERED:
        known.clear()
    known[value] = compact
    return compact


def _span(span_id: str) -> Compact:
    compact = compact_hex(span_id)
    return check_id(compact, what="span id") if isinstance(compact, str) else compact


def _expectation(stream: Stream, sequence: int) -> Expectation:
    if sequence < 0:
        raise InvalidInputError("An expected head is 0 or more.")
    return (stream[0], stream[1], sequence)


def _out_of_bounds(event: NewEvent) -> MalformedEventError:
    if len(event.payload) > MAX_PAYLOAD_BYTES:
        return MalformedEventError(
            f"The payload has {len(event.payload)} bytes; the journal takes {MAX_PAYLOAD_BYTES}.",
            next_step="Put large content into the blob store and its hash into the event.",
        )
    return MalformedEventError("The time of the event is outside of the years 1 to 9999.")
