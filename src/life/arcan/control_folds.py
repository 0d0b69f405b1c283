"""The part of a session's fold that follows the control events, the queue, and the circuit breaker.

Shapes as in `life.arcan.call_folds`: state, payload, record → state; what does not fit changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec.structs import replace

from life.aios import events
from life.aios.json import Json
from life.aios.record import EventRecord
from life.arcan import control
from life.arcan.accounting import count, paused, resumed
from life.arcan.session_state import CallState, QueuedMessage, SessionRule, SessionState

_MOST_KEPT: Final = 256
"""Rules and queued messages beyond this are another maker's; they are not kept in memory."""

_encoder: Final = msgspec.json.Encoder()


def queued(state: SessionState, kind: events.Queued, record: EventRecord) -> SessionState:
    """A message waits."""
    if len(state.queue) >= _MOST_KEPT or any(message.queue_id == kind.queue_id for message in state.queue):
        return state
    message = QueuedMessage(queue_id=kind.queue_id, mode=kind.mode, message=kind.message, queued_us=record.timestamp_us)
    return replace(state, queue=(*state.queue, message))


def drained(state: SessionState, kind: events.QueueDrained, _record: EventRecord) -> SessionState:
    """Messages left the queue; those that were said left it with their turn, a dropped one leaves it here."""
    if kind.processed > 0:
        return state
    return replace(state, queue=tuple(message for message in state.queue if message.queue_id != kind.queue_id))


def breaker_tripped(state: SessionState, _kind: events.CircuitBreakerTripped, _record: EventRecord) -> SessionState:
    """No more tools until the user speaks; the model may explain itself once."""
    run = state.run
    return replace(state, breaker_open=True, run=None if run is None else replace(run, explained=False))


def _run_paused(state: SessionState, _payload: control.RunPaused, record: EventRecord) -> SessionState:
    if state.run is None or state.held:
        return state
    return replace(paused(state, record), held=True)


def _run_continued(state: SessionState, _payload: control.RunContinued, record: EventRecord) -> SessionState:
    if not state.held:
        return state
    return resumed(replace(state, held=False), record)


def _call_edited(state: SessionState, payload: control.CallEdited, _record: EventRecord) -> SessionState:
    call = state.call(payload.call_id)
    if call is None or call.phase == "running":
        return state
    note = f"Before it ran, the arguments of this call were changed to {_text(payload.arguments)}."
    edited = replace(call, arguments=payload.arguments, note=_noted(call, note))
    return _with_call(state, edited)


def _rule_added(state: SessionState, payload: control.RuleAdded, record: EventRecord) -> SessionState:
    if len(state.rules) >= _MOST_KEPT or any(rule.rule_id == payload.rule_id for rule in state.rules):
        return state
    rule = SessionRule(
        rule_id=payload.rule_id,
        tool_name=payload.tool_name,
        patterns=payload.patterns,
        by=payload.by,
        since_us=record.timestamp_us,
    )
    return replace(state, rules=(*state.rules, rule))


def _rule_revoked(state: SessionState, payload: control.RuleRevoked, _record: EventRecord) -> SessionState:
    return replace(state, rules=tuple(rule for rule in state.rules if rule.rule_id != payload.rule_id))


def _policy_set(state: SessionState, payload: control.PolicySetNow, _record: EventRecord) -> SessionState:
    return replace(state, config=replace(state.config, policy=payload.policy))


def _provider_set(state: SessionState, payload: control.ProviderSet, _record: EventRecord) -> SessionState:
    return replace(state, config=replace(state.config, provider=payload.provider))


def _client_tools(state: SessionState, payload: control.ClientTools, _record: EventRecord) -> SessionState:
    return state if state.run is None else replace(state, run=replace(state.run, client_tools=payload.tools))


def _regulated(state: SessionState, payload: control.Regulated, _record: EventRecord) -> SessionState:
    limit = payload.max_output_tokens
    bounded = replace(payload, max_output_tokens=None if limit is None else count(limit))
    gates = None if payload.gates_lifted else state.gates
    return replace(state, regulation=replace(bounded, gates_lifted=False), gates=gates)


def _suspended(state: SessionState, payload: control.Suspended, record: EventRecord) -> SessionState:
    if state.run is None or state.suspended:
        return state
    return replace(paused(state, record), suspended=payload.reason or "suspended")


def _resumed(state: SessionState, _payload: control.Resumed, record: EventRecord) -> SessionState:
    if not state.suspended:
        return state
    return resumed(replace(state, suspended=""), record)


def _request_edited(state: SessionState, payload: control.RequestEdited, _record: EventRecord) -> SessionState:
    run = state.run
    if run is None:
        return state
    limit = payload.max_output_tokens
    bounded = replace(payload, max_output_tokens=None if limit is None else count(limit))
    return replace(state, run=replace(run, edit=bounded))


def _noted_event(state: SessionState, payload: control.Noted, _record: EventRecord) -> SessionState:
    return replace(state, conversation=state.conversation.user_said(payload.text))


def _session_deleted(state: SessionState, _payload: control.SessionDeleted, _record: EventRecord) -> SessionState:
    return replace(state, deleted=True, closed=True, run=None, calls=(), queue=(), rules=(), held=False, suspended="")


def _loop_found(state: SessionState, payload: control.LoopFound, _record: EventRecord) -> SessionState:
    call = state.call(payload.call_id)
    return state if call is None else _with_call(state, replace(call, note=_noted(call, payload.message)))


def _noted(call: CallState, words: str) -> str:
    return f"{call.note}\n{words}" if call.note else words


def _with_call(state: SessionState, changed: CallState) -> SessionState:
    return replace(state, calls=tuple(changed if call.call_id == changed.call_id else call for call in state.calls))


def _text(arguments: Json) -> str:
    return _encoder.encode(arguments).decode()


CONTROL_FOLDS: Final[dict[str, tuple[type[msgspec.Struct], Callable[..., SessionState]]]] = {
    control.RUN_PAUSED: (control.RunPaused, _run_paused),
    control.RUN_CONTINUED: (control.RunContinued, _run_continued),
    control.CALL_EDITED: (control.CallEdited, _call_edited),
    control.RULE_ADDED: (control.RuleAdded, _rule_added),
    control.RULE_REVOKED: (control.RuleRevoked, _rule_revoked),
    control.POLICY_SET: (control.PolicySetNow, _policy_set),
    control.PROVIDER_SET: (control.ProviderSet, _provider_set),
    control.CLIENT_TOOLS: (control.ClientTools, _client_tools),
    control.REGULATED: (control.Regulated, _regulated),
    control.SUSPENDED: (control.Suspended, _suspended),
    control.RESUMED: (control.Resumed, _resumed),
    control.REQUEST_EDITED: (control.RequestEdited, _request_edited),
    control.NOTED: (control.Noted, _noted_event),
    control.SESSION_DELETED: (control.SessionDeleted, _session_deleted),
    control.LOOP_WARNING: (control.LoopFound, _loop_found),
}
