"""Events and states for the tests of homeostasis."""

from __future__ import annotations

import msgspec

from life.aios import events
from life.aios.events import Kind, encode_kind
from life.aios.events.codec import custom
from life.aios.record import DEFAULT_SCHEMA, SYSTEM, EventRecord
from life.autonomic.economy import Economy
from life.autonomic.fold import SessionVitals
from life.autonomic.standing import Standing
from life.autonomic.state import CognitivePillar, EconomicPillar, HomeostaticState, OperationalPillar

T0_MS = 1_700_000_000_000
"""A fixed moment."""


def record(kind: Kind, *, sequence: int = 1, at_ms: int = T0_MS, session_id: str = "s") -> EventRecord:
    """`kind` as a stored event."""
    return EventRecord(
        event_id=f"e{sequence}",
        session_id=session_id,
        branch_id="main",
        agent_id="agent",
        sequence=sequence,
        timestamp_us=at_ms * 1000,
        actor=SYSTEM,
        schema=DEFAULT_SCHEMA,
        kind_name=type(kind).__name__,
        payload=encode_kind(kind),
    )


def named(event_type: str, **data: object) -> Kind:
    """An event of a subsystem."""
    return events.Custom(event_type=event_type, data=msgspec.to_builtins(data))


def stream(*kinds: Kind, start_ms: int = T0_MS, step_ms: int = 1_000) -> list[EventRecord]:
    """The kinds as a stream, a second apart."""
    return [record(kind, sequence=n + 1, at_ms=start_ms + n * step_ms) for n, kind in enumerate(kinds)]


def vitals_of(records: list[EventRecord]) -> SessionVitals:
    """The fold of a stream."""
    vitals = SessionVitals()
    for one in records:
        vitals.apply(one)
    return vitals


def economy_of(records: list[EventRecord]) -> Economy:
    """The fold of an agent's events into its means."""
    economy = Economy()
    for one in records:
        economy.apply(one)
    return economy


def standing_of(records: list[EventRecord]) -> Standing:
    """The fold of an agent's events into its standing."""
    standing = Standing()
    for one in records:
        standing.apply(one)
    return standing


def state(
    *,
    operational: OperationalPillar | None = None,
    cognitive: CognitivePillar | None = None,
    economic: EconomicPillar | None = None,
    events_seen: int = 100,
) -> HomeostaticState:
    """A state with these pillars; the others as at the start."""
    return HomeostaticState(
        agent_id="agent",
        session_id="s",
        operational=operational or OperationalPillar(),
        cognitive=cognitive or CognitivePillar(),
        economic=economic or EconomicPillar(),
        events=events_seen,
        last_event_ms=T0_MS,
    )


__all__ = ["T0_MS", "custom", "economy_of", "named", "record", "standing_of", "state", "stream", "vitals_of"]
