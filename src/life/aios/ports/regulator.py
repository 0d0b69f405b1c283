"""The regulator: what homeostasis advises before each step of a run.

The loop consults it in process, applies what it says, and journals only what changed (GatesUpdated, ModeChanged,
`arcan.regulated`, `arcan.suspended`), with the regulator's own events in the same batch. Advice is about the next step alone; a field that is None leaves things as they are. A regulator that
fails, or takes too long, is answered for by `SAFE_ADVICE`: no commands, and a person is asked before anything but looking.

Source: aios.md §6 (GatingProfile); ARCHITECTURE.md §1 (parts meet in ports).
"""

from __future__ import annotations

from typing import Final, Literal, Protocol

import msgspec

from life.aios.events import Kind
from life.aios.record import EventRecord
from life.aios.state import AgentStateVector, GatingProfile, OperatingMode

ModelTier = Literal["economy", "standard", "premium"]


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """What a regulator is told. Counts are those of the open run; cost in micro-USD; time in milliseconds of work."""

    session_id: str
    branch_id: str
    agent_id: str
    run_id: str
    step: int
    vector: AgentStateVector
    mode: OperatingMode
    gates: GatingProfile | None
    model_tier: ModelTier | None
    errors: int
    tool_calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_micro: int
    worked_ms: int
    recent: tuple[EventRecord, ...] = ()
    """The stream's newest events, oldest first, also those that are not durable yet."""


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What should hold from the next step on."""

    gates: GatingProfile | None = None
    """What is permitted per step, the approval threshold included (`require_approval_for_risk`)."""
    mode: OperatingMode | None = None
    """Advice for the model's conduct; no mode ends a run."""
    model_tier: ModelTier | None = None
    max_output_tokens: int | None = None
    """Upper limit of one answer. It never raises what the runtime allows."""
    reason: str = ""
    is_whole: bool = False
    """This is all that holds: what is None here is lifted, and no gates means that the policy decides alone."""
    allow_expensive_tools: bool = True
    """Tools whose `cost_class` is `expensive`, and whatever pays."""
    allow_replication: bool = True
    """Whether further agents may be started."""
    context_target_tokens: int | None = None
    """Shorten the context to about this, now."""
    suspend: str | None = None
    """Why the run should stand still, durably, until `Runtime.wake`."""
    events: tuple[Kind, ...] = ()
    """What the regulator wants on record; it is written with the step."""


SAFE_ADVICE: Final = Advice(
    gates=GatingProfile(
        require_approval_for_risk="medium",
        max_tool_calls_per_tick=5,
        max_file_mutations_per_tick=2,
        allow_shell=False,
    ),
    reason="The regulator failed; the safe profile holds.",
)


class Regulator(Protocol):
    """Homeostasis as the loop sees it."""

    async def consult(self, view: RunView) -> Advice:
        """What should hold now. Quick (it stands before every model call), and without effects."""
        ...
