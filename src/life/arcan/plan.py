"""What comes next in a session: a pure function of its folded state.

The loop asks after every step, and so does recovery after a crash. There is no other program counter, which is why a run
can be taken up at any event. Modes do not appear here: they advise, and nothing ends a run while its model has results to
read but a person, a limit, or the breaker, which lets the model speak once more.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from life.arcan.events import LimitReached
from life.arcan.limits import no_more_steps, no_more_tools
from life.arcan.queue import Group, most_urgent, next_groups
from life.arcan.session_state import CallState, QueuedMessage, RunState, SessionState
from life.arcan.vector import BREAKER_STREAK

NEW_MESSAGE = "Not run: a new message came in first."
TOO_MANY_ERRORS = "Not run: too many errors in a row. Say what went wrong; the user decides how to go on."


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
    """Tell the model why this call will not run. `over_budget`: the step had all the events that the policy allows."""

    call: CallState
    reason: str
    over_budget: bool = False


class ReconcileCall(NamedTuple):
    """An intent without outcome: find out what happened."""

    call: CallState


class AwaitChildren(NamedTuple):
    """All calls without a result are with other agents."""


class StopChildren(NamedTuple):
    """What the other agents do is not wanted any more."""

    reason: str


class CorrectAnswer(NamedTuple):
    """A typed agent ended without an answer: tell it."""


class TripBreaker(NamedTuple):
    """Too many errors in a row."""

    streak: int


class TakeUp(NamedTuple):
    """Say a steering message in the open run."""

    message: QueuedMessage


class FinishStep(NamedTuple):
    """All calls of the open step have their results."""

    step: int


class FinishRun(NamedTuple):
    """The run is over; `limit` when one ends it."""

    reason: str
    limit: LimitReached | None = None


class StartQueued(NamedTuple):
    """Begin a run with messages that waited for the last one's end."""

    groups: tuple[Group, ...]


class Pause(NamedTuple):
    """A person, or the caller, has to say something about this call."""

    call: CallState


class Hold(NamedTuple):
    """A person paused the run, or the regulator let it stand still."""


class Rest(NamedTuple):
    """No run is open."""


Action = (
    CallModel
    | GateCall
    | RunCall
    | RefuseCall
    | ReconcileCall
    | AwaitChildren
    | StopChildren
    | CorrectAnswer
    | TripBreaker
    | TakeUp
    | FinishStep
    | FinishRun
    | StartQueued
    | Pause
    | Hold
    | Rest
)


def next_action(state: SessionState, now_us: int) -> Action:
    """The next thing to do. `now_us` is asked for the time limit only."""
    run = state.run
    if state.closed:
        return Rest()
    if run is None:
        if state.config.parent is not None:
            return Rest()  # it had the one run that it is for
        if not state.queue or (state.last_run is not None and state.last_run.reason == "error"):
            return Rest()  # a model that can't be asked would only use the messages up
        groups = next_groups(state.queue)
        return StartQueued(groups) if groups else Rest()
    if state.vector.error_streak >= BREAKER_STREAK and not state.breaker_open:
        return TripBreaker(state.vector.error_streak)
    urgent = most_urgent(state.queue) if state.queue else None
    if state.calls:
        first = next((call for call in state.calls if call.phase != "delegated"), None)
        if first is not None:
            return _next_for_call(state, run, first, urgent, now_us)
        if urgent is not None and urgent.mode == "interrupt":
            return StopChildren(NEW_MESSAGE)
        return AwaitChildren()
    if state.held or state.suspended:
        return Hold()
    if urgent is not None and urgent.mode == "interrupt":
        return FinishRun("interrupted")
    if run.open_step is not None and run.answered:
        return FinishStep(run.open_step)
    if urgent is not None:
        return TakeUp(urgent)
    return _next_for_model(state, run, now_us)


def next_beside(state: SessionState, running: Collection[str], now_us: int) -> CallState | None:
    """The call that may be gated while those before it run (`running`, by their ids); None when something else comes first, as a call
    that a crash cut off."""
    if state.run is None or state.closed or state.vector.error_streak >= BREAKER_STREAK:
        return None
    call = next((call for call in state.calls if call.call_id not in running and call.phase != "delegated"), None)
    if call is None:
        return None
    urgent = most_urgent(state.queue) if state.queue else None
    return call if isinstance(_next_for_call(state, state.run, call, urgent, now_us), GateCall) else None


def moves_alone(state: SessionState, now_us: int) -> bool:
    """Whether anything can be done in the session without a person."""
    return not isinstance(next_action(state, now_us), Pause | Hold | Rest)


def _next_for_model(state: SessionState, run: RunState, now_us: int) -> Action:
    if run.open_step is not None:
        return CallModel(run.open_step)
    if state.config.agent is not None and state.config.agent.output_schema is not None and not state.breaker_open:
        owed = _next_for_answer(state, run)
        if owed is not None:
            return owed
    if run.answered and run.step_calls == 0:
        return FinishRun("circuit_breaker" if state.breaker_open else "completed")
    if state.breaker_open and run.explained:
        return FinishRun("circuit_breaker")
    reached = no_more_steps(run, now_us)
    if reached is not None:
        return FinishRun("max_iterations" if reached.limit == "steps" else "budget_exceeded", reached)
    return CallModel(run.steps)


def _next_for_answer(state: SessionState, run: RunState) -> Action | None:
    """What a typed agent's run comes to; None while it still works."""
    assert state.config.agent is not None
    if run.recorded is not None:
        return FinishRun("completed")
    if run.fault is not None and run.corrections > state.config.agent.max_retries:
        return FinishRun(run.fault)
    if not run.answered or run.step_calls > 0:
        return None
    if run.corrections >= state.config.agent.max_retries:
        return FinishRun("answer_not_emitted")
    return CorrectAnswer()


def _next_for_call(
    state: SessionState, run: RunState, call: CallState, urgent: QueuedMessage | None, now_us: int
) -> Action:
    """Calls are handled in the order the model asked for them; this one is the first without a result."""
    if call.phase == "in_doubt":
        return Pause(call)
    if call.phase == "running":
        return ReconcileCall(call)
    if call.phase == "refused":
        return RefuseCall(call, call.explanation)
    if urgent is not None and (urgent.mode == "interrupt" or call.phase == "requested"):
        return RefuseCall(call, NEW_MESSAGE)
    if call.phase in ("awaiting_approval", "awaiting_client"):
        return Pause(call)
    if state.held or state.suspended:
        return Hold()
    if state.breaker_open:
        return RefuseCall(call, TOO_MANY_ERRORS)
    reached = no_more_tools(run, now_us)
    if reached is not None:
        return FinishRun("budget_exceeded", reached)
    policy = state.config.policy
    if policy is not None and run.open_step is not None and state.head - run.step_head >= policy.max_events_per_turn:
        words = f"Not run: one step may write {policy.max_events_per_turn} events, and this one has."
        return RefuseCall(call, words, over_budget=True)
    return RunCall(call) if call.phase == "approved" else GateCall(call)
