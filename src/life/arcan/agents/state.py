"""The part of a session's fold that follows its agents: children of its calls, and the answer it owes itself.

Shapes as in `life.arcan.call_folds`: state, payload, record → state; what does not fit changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec.structs import replace

from life.aios.record import EventRecord
from life.arcan.accounting import accounted, bounded_limits, count
from life.arcan.agents import events as agents
from life.arcan.session_state import CallState, SessionState, worked_us


def _started(state: SessionState, payload: agents.SubagentStarted, _record: EventRecord) -> SessionState:
    call = state.call(payload.call_id)
    if call is None or call.phase != "running":
        return state
    child = replace(payload, limits=bounded_limits(payload.limits))
    return _with_call(state, replace(call, phase="delegated", child=child))


def _awaited(state: SessionState, _payload: agents.SubagentsAwaited, record: EventRecord) -> SessionState:
    """What the children work is charged when they end; meanwhile the run's own clock stands still."""
    run = state.run
    if run is None or run.active_since_us is None or not _delegated(state):
        return state
    run = replace(run, worked_us=worked_us(run, record.timestamp_us), active_since_us=None)
    return replace(state, run=run)


def _waiting(state: SessionState, payload: agents.SubagentWaiting, _record: EventRecord) -> SessionState:
    call = state.call(payload.call_id)
    if call is None or call.phase != "delegated":
        return state
    return _with_call(state, replace(call, child_waits=f"{payload.status}:{payload.subject}"))


def _finished(state: SessionState, payload: agents.SubagentFinished, record: EventRecord) -> SessionState:
    """The run is charged. Children that work side by side take the time of the longest of them."""
    call, run = state.call(payload.call_id), state.run
    if call is None or run is None or call.phase != "delegated":
        return state
    state = _with_call(state, replace(call, phase="running", child=None, child_waits=""))
    spent = payload.spent
    longest_us = max(run.children_worked_us, count(spent.worked_us))
    over = not _delegated(state)
    run = replace(
        run,
        subagents=count(run.subagents + 1 + count(spent.subagents)),
        children_tokens=count(run.children_tokens + count(spent.tokens)),
        children_tool_calls=count(run.children_tool_calls + count(spent.tool_calls)),
        children_cost_micro=count(run.children_cost_micro + count(spent.cost_micro)),
        uncosted=count(run.uncosted + count(spent.uncosted)),
        worked_us=count(run.worked_us + longest_us - run.children_worked_us),
        children_worked_us=0 if over else longest_us,
    )
    if over and run.active_since_us is None and not state.held and state.status == "running":
        run = replace(run, active_since_us=record.timestamp_us)
    return accounted(replace(state, run=run), record)


def _recorded(state: SessionState, payload: agents.AnswerRecorded, _record: EventRecord) -> SessionState:
    run = state.run
    if run is None or run.recorded is not None:
        return state
    return replace(state, run=replace(run, recorded=msgspec.json.encode(payload.answer).decode()))


def _corrected(state: SessionState, payload: agents.AnswerCorrected, _record: EventRecord) -> SessionState:
    run = state.run
    if run is None:
        return state
    run = replace(run, corrections=count(run.corrections + 1), fault=payload.fault)
    if payload.call_id:
        return replace(state, run=run)
    return replace(state, run=replace(run, answered=False), conversation=state.conversation.user_said(payload.words))


def _delegated(state: SessionState) -> bool:
    return any(call.phase == "delegated" for call in state.calls)


def _with_call(state: SessionState, changed: CallState) -> SessionState:
    return replace(state, calls=tuple(changed if call.call_id == changed.call_id else call for call in state.calls))


AGENT_FOLDS: Final[dict[str, tuple[type[msgspec.Struct], Callable[..., SessionState]]]] = {
    agents.SUBAGENT_STARTED: (agents.SubagentStarted, _started),
    agents.SUBAGENTS_AWAITED: (agents.SubagentsAwaited, _awaited),
    agents.SUBAGENT_WAITING: (agents.SubagentWaiting, _waiting),
    agents.SUBAGENT_FINISHED: (agents.SubagentFinished, _finished),
    agents.ANSWER_RECORDED: (agents.AnswerRecorded, _recorded),
    agents.ANSWER_CORRECTED: (agents.AnswerCorrected, _corrected),
}
