"""State, budget, homeostasis, queue and errors."""

from __future__ import annotations

from life.aios.events.kind import Kind
from life.aios.json import Json
from life.aios.state import AgentStateVector, BudgetState, GatingProfile, OperatingMode, SteeringMode


class StatePatchCommitted(Kind, frozen=True, kw_only=True):
    """A typed patch of the canonical state was applied."""

    new_version: int
    patch: Json


class StatePatched(Kind, frozen=True, kw_only=True):
    """A free-form patch of the state was applied."""

    patch: Json
    revision: int
    index: int | None = None


class Heartbeat(Kind, frozen=True, kw_only=True):
    """The agent is alive."""

    summary: str
    checkpoint_id: str | None = None


class StateEstimated(Kind, frozen=True, kw_only=True):
    """The state vector and mode at this point."""

    state: AgentStateVector
    mode: OperatingMode


class BudgetUpdated(Kind, frozen=True, kw_only=True):
    """The budget at this point."""

    budget: BudgetState
    reason: str


class ModeChanged(Kind, frozen=True, kw_only=True, rename={"from_": "from"}):
    """The operating mode moved."""

    from_: OperatingMode
    to: OperatingMode
    reason: str


class GatesUpdated(Kind, frozen=True, kw_only=True):
    """Homeostasis changed what is permitted per tick."""

    gates: GatingProfile
    reason: str


class CircuitBreakerTripped(Kind, frozen=True, kw_only=True):
    """Too many errors in a row."""

    reason: str
    error_streak: int


class Queued(Kind, frozen=True, kw_only=True):
    """A message arrived while a run was going on."""

    queue_id: str
    mode: SteeringMode
    message: str


class Steered(Kind, frozen=True, kw_only=True):
    """A queued message took effect at this point of the run, for example `tool:read_file:call-3`."""

    queue_id: str
    preempted_at: str


class QueueDrained(Kind, frozen=True, kw_only=True):
    """Queued messages were handled."""

    queue_id: str
    processed: int


class ErrorRaised(Kind, frozen=True, kw_only=True):
    """Something went wrong that belongs into the record."""

    message: str
