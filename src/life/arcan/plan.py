"""What comes next in a session: a pure function of its folded state.

The loop asks after every step, and so does recovery after a crash. There is no other program counter, which is why a run
can be taken up at any event.
"""

from __future__ import annotations

from typing import NamedTuple

from life.arcan.events import LimitReached
from life.arcan.limits import no_more_steps, no_more_tools
from life.arcan.session_state import CallState, SessionState


class CallModel(NamedTuple):
    """Ask the model; `step` is the step's number in its run."""

    step: int


class GateCall(NamedTuple):
    """Ask the policy about a requested call, and run it if it says so."""

    call: CallState


class RunCall(NamedTuple):
    """Run a call that a person has allowed, or wants to be tried again."""

    call: CallState


class RefuseCall(NamedTuple):
    """Tell the model why this call will not run."""

    call: CallState
    reason: str


class ReconcileCall(NamedTuple):
    """An intent without outcome: find out what happened."""

    call: CallState


class FinishStep(NamedTuple):
    """All calls of the open step have their results."""

    step: int


class FinishRun(NamedTuple):
    """The run is over; `limit` when one ends it."""

    reason: str
    limit: LimitReached | None = None


class Pause(NamedTuple):
    """A person has to decide about this call."""

    call: CallState


class Rest(NamedTuple):
    """No run is open."""


Action = CallModel | GateCall | RunCall | RefuseCall | ReconcileCall | FinishStep | FinishRun | Pause | Rest


def next_action(state: SessionState, now_us: int) -> Action:
    """The next thing to do. `now_us` is asked for the time limit only."""
    run = state.run
    if run is None or state.closed:
        return Rest()
    if state.calls:
        return _next_for_call(state, state.calls[0], now_us)
    if run.open_step is not None:
        if not run.answered:
            return CallModel(run.open_step)
        return FinishStep(run.open_step)
    if run.answered and run.step_calls == 0:
        return FinishRun("completed")
    reached = no_more_steps(run, now_us)
    if reached is not None:
        return FinishRun("max_iterations" if reached.limit == "steps" else "budget_exceeded", reached)
    return CallModel(run.steps)


def _next_for_call(state: SessionState, call: CallState, now_us: int) -> Action:
    """Calls are handled in the order the model asked for them; this one is the first without a result."""
    run = state.run
    assert run is not None
    if call.phase in ("awaiting_approval", "in_doubt"):
        return Pause(call)
    if call.phase == "running":
        return ReconcileCall(call)
    if call.phase == "refused":
        return RefuseCall(call, call.explanation)
    reached = no_more_tools(run, now_us)
    if reached is not None:
        return FinishRun("budget_exceeded", reached)
    return RunCall(call) if call.phase == "approved" else GateCall(call)
