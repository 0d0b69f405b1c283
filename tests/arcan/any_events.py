"""Hypothesis strategies for events: every known kind with any values its types allow, and things nobody knows.

Ids come from a small pool, so that events meet.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from life.aios.events import KINDS, Kind, encode_kind
from life.aios.events.codec import kind_tag
from life.aios.json import Json
from life.aios.record import AGENT, DEFAULT_SCHEMA, EventRecord
from life.arcan import control
from life.arcan import events as arcan
from life.arcan.context import events as context

IDS = st.sampled_from(["call-1", "call-2", "call-3", "approval-1", "run-1", "tool-run-1", ""])
TEXTS = IDS | st.text(max_size=8) | st.sampled_from(["assistant", "user", "completed", "client"])
NUMBERS = st.integers(-3, 6) | st.integers(-(2**63), 2**64 - 1)
JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)

_CUSTOMS: Mapping[str, type[msgspec.Struct]] = {
    arcan.RUN_LIMITS: arcan.RunLimits,
    arcan.LIMIT_REACHED: arcan.LimitReached,
    arcan.TOOL_PROBED: arcan.ToolProbed,
    arcan.RUN_IN_DOUBT: arcan.RunInDoubt,
    arcan.DOUBT_RESOLVED: arcan.DoubtResolved,
    context.CONTEXT_FROZEN: context.ContextFrozen,
    context.CONTEXT_NOTED: context.ContextNoted,
    context.CONTEXT_WINDOW: context.ContextWindow,
    context.SUMMARY_STARTED: context.SummaryStarted,
    **control.CONTROL_EVENTS,
}


def values_of(annotation: object) -> st.SearchStrategy[object]:
    """Any value of a type that events use."""
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return st.one_of([values_of(part) for part in get_args(annotation)])
    if origin is Literal:
        return st.sampled_from(get_args(annotation))
    if origin is tuple:
        return st.lists(values_of(get_args(annotation)[0]), max_size=3).map(tuple)
    if annotation is type(None):
        return st.none()
    if annotation is bool:
        return st.booleans()
    if annotation is str:
        return TEXTS
    if annotation is int:
        return NUMBERS
    if annotation is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return structs_of(annotation)
    return JSON


def structs_of(struct: type[msgspec.Struct]) -> st.SearchStrategy[msgspec.Struct]:
    """Any value of a struct."""
    hints = get_type_hints(struct)
    fields = {field.name: values_of(hints[field.name]) for field in msgspec.structs.fields(struct)}
    return st.fixed_dictionaries(fields).map(lambda given: struct(**given))


def _custom(given: tuple[str, msgspec.Struct]) -> bytes:
    data: Json = msgspec.to_builtins(given[1])
    return msgspec.json.encode({"type": "Custom", "event_type": given[0], "data": data})


def _payload(kind: msgspec.Struct) -> bytes:
    assert isinstance(kind, Kind)
    return encode_kind(kind)


KNOWN = st.sampled_from(sorted(KINDS)).flatmap(lambda name: structs_of(KINDS[name])).map(_payload)
OURS = (
    st.sampled_from(sorted(_CUSTOMS))
    .flatmap(lambda name: st.tuples(st.just(name), structs_of(_CUSTOMS[name])))
    .map(_custom)
)
MALFORMED = st.tuples(
    st.sampled_from([*sorted(KINDS), "NobodyKnows", "arcan.run_limits"]), st.dictionaries(TEXTS, JSON, max_size=4)
).map(lambda given: msgspec.json.encode({**given[1], "type": given[0]}))
UNTAGGED = st.dictionaries(TEXTS, JSON, max_size=3).map(msgspec.json.encode)

PAYLOADS = KNOWN | OURS | MALFORMED | UNTAGGED


def record_of(
    payload: bytes, sequence: int, timestamp_us: int, event_id: str, correlation_id: str | None
) -> EventRecord:
    """An event as a journal gives it out."""
    return EventRecord(
        event_id=event_id,
        session_id="s",
        branch_id="main",
        agent_id="agent-1",
        sequence=sequence,
        timestamp_us=timestamp_us,
        actor=AGENT,
        schema=DEFAULT_SCHEMA,
        kind_name=kind_tag(payload),
        payload=payload,
        correlation_id=correlation_id,
    )


@st.composite
def histories(draw: st.DrawFn, *, max_size: int = 25) -> list[EventRecord]:
    """Any sequence of events, with clocks that may step back."""
    payloads = draw(st.lists(PAYLOADS, max_size=max_size))
    return [
        record_of(
            payload,
            number,
            draw(st.integers(-(2**62), 2**62)),
            draw(st.just(f"event-{number}") | st.just("run-1")),
            draw(st.none() | IDS),
        )
        for number, payload in enumerate(payloads, start=1)
    ]
