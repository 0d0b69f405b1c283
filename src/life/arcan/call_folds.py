"""The part of a session's fold that follows its tool calls: requested, judged, asked about, started, answered, doubted.

Every function here takes the state, the event's kind and its record, and gives the state after it; a call that is not
known changes nothing. Shapes and phases stand in `life.arcan.session_state`.
"""

from __future__ import annotations

from msgspec.structs import replace

from life.aios import events
from life.aios.record import EventRecord
from life.aios.state import AgentStateVector
from life.arcan import events as arcan
from life.arcan import loop_guard
from life.arcan import vector as vectors
from life.arcan.accounting import accounted, converted, count, counted, paused, resumed
from life.arcan.conversation import result_text
from life.arcan.session_state import CallState, SessionState, Totals


def call_requested(state: SessionState, kind: events.ToolCallRequested, record: EventRecord) -> SessionState:
    """The model asks for a tool."""
    conversation = state.conversation.tool_requested(kind.call_id, kind.tool_name, kind.arguments)
    asked = replace(state, conversation=conversation, totals=counted(state.totals, calls_requested=1))
    run = state.run
    if run is None or state.call(kind.call_id) is not None:
        return asked
    call = CallState(call_id=kind.call_id, tool_name=kind.tool_name, arguments=kind.arguments)
    run = replace(run, step_calls=count(run.step_calls + 1))
    if kind.category == "client":
        if all(tool.name != kind.tool_name for tool in run.client_tools):
            return asked  # of a run that handed its calls out by other means
        waiting = replace(call, phase="awaiting_client", asked_us=record.timestamp_us)
        return paused(replace(asked, calls=(*state.calls, waiting), run=run), record)
    recent = loop_guard.remembered(run.recent, loop_guard.signature(kind.tool_name, kind.arguments))
    call = replace(call, repetitions=loop_guard.repetitions(recent))
    return replace(asked, calls=(*state.calls, call), run=replace(run, recent=recent))


def policy_evaluated(state: SessionState, kind: events.PolicyEvaluated, _record: EventRecord) -> SessionState:
    """What the gate said; only a denial leaves a trace."""
    if kind.decision != "deny" or state.run is None:
        return state
    return replace(state, run=replace(state.run, denied=True), totals=counted(state.totals, calls_denied=1))


def approval_requested(state: SessionState, kind: events.ApprovalRequested, record: EventRecord) -> SessionState:
    """A person is asked: the call and the run's clock wait."""
    call = state.call(kind.call_id)
    if call is None:
        return state
    asked = replace(
        call,
        phase="awaiting_approval",
        approval_id=kind.approval_id,
        risk=kind.risk,
        asked_us=record.timestamp_us,
        capabilities=kind.capabilities,
    )
    return paused(_with_call(state, asked), record)


def approval_resolved(state: SessionState, kind: events.ApprovalResolved, record: EventRecord) -> SessionState:
    """The person's word, or the time that ran out."""
    call = next((call for call in state.calls if call.approval_id == kind.approval_id), None)
    if call is None or call.phase != "awaiting_approval":
        return state
    if kind.decision == "approved":
        return resumed(_with_call(state, replace(call, phase="approved")), record)
    words = kind.reason or ("Nobody decided in time." if kind.decision == "timeout" else "A person refused this call.")
    refused = _with_call(state, replace(call, phase="refused", explanation=words))
    return resumed(replace(refused, totals=counted(refused.totals, calls_denied=1)), record)


def call_started(state: SessionState, kind: events.ToolCallStarted, _record: EventRecord) -> SessionState:
    """The intent: from here on the effect may have happened."""
    run = state.run
    call = state.call(kind.call_id) if kind.call_id is not None else None
    if run is None or call is None:
        return state
    intent = converted(kind.probe, arcan.CallIntent) or arcan.CallIntent()
    running = replace(
        call,
        phase="running",
        tool_run_id=kind.tool_run_id,
        idempotency_key=kind.idempotency_key,
        prepared=intent.prepared,
        read_only=intent.read_only,
        attempts=count(call.attempts + 1),
    )
    run = replace(run, tool_calls=count(run.tool_calls + 1), step_runs=count(run.step_runs + 1))
    return replace(_with_call(state, running), run=run)


def call_completed(state: SessionState, kind: events.ToolCallCompleted, record: EventRecord) -> SessionState:
    """The outcome of a call."""
    call = state.call(kind.call_id) if kind.call_id is not None else None
    if call is None:
        call = next((each for each in state.calls if each.tool_run_id == kind.tool_run_id), None)
    call_id = kind.call_id or (call.call_id if call is not None else kind.tool_run_id)
    text = _with_note(call, result_text(kind.result))
    conversation = state.conversation.tool_answered(call_id, text, is_error=kind.status != "ok", images=kind.images)
    answered = replace(state, conversation=conversation)
    if call is None:
        return answered
    if kind.status == "ok":
        vector = vectors.call_succeeded(state.vector, read_only=call.read_only)
        return _resolved(answered, call, record, vector=vector, totals=counted(state.totals, calls_succeeded=1))
    failed = counted(state.totals, calls_failed=1)
    errors = 0 if kind.status == "cancelled" else 1
    return _resolved(answered, call, record, vector=vectors.call_failed(state.vector), totals=failed, errors=errors)


def call_failed(state: SessionState, kind: events.ToolCallFailed, record: EventRecord) -> SessionState:
    """A call without result: refused, unfit, or stopped."""
    call = state.call(kind.call_id)
    conversation = state.conversation.tool_answered(kind.call_id, _with_note(call, kind.error), is_error=True)
    answered = replace(state, conversation=conversation)
    if call is None:
        return answered
    denied = call.phase == "refused" or (state.run is not None and state.run.denied)
    vector = (vectors.call_refused if denied else vectors.call_failed)(state.vector)
    totals = counted(state.totals, calls_failed=1)
    return _resolved(answered, call, record, vector=vector, totals=totals, errors=1)


def file_mutated(state: SessionState, _kind: events.FileMutated, _record: EventRecord) -> SessionState:
    """A file changed."""
    changed = replace(state, totals=counted(state.totals, files_changed=1))
    run = state.run
    return changed if run is None else replace(changed, run=replace(run, step_mutations=count(run.step_mutations + 1)))


def run_in_doubt(state: SessionState, doubt: arcan.RunInDoubt, record: EventRecord) -> SessionState:
    """Nobody but a person can tell: the run stands still."""
    call = state.call(doubt.call_id)
    if call is None or call.tool_run_id != doubt.tool_run_id:
        return state
    return paused(_with_call(state, replace(call, phase="in_doubt", explanation=doubt.explanation)), record)


def doubt_resolved(state: SessionState, resolved: arcan.DoubtResolved, record: EventRecord) -> SessionState:
    """The person's word about a doubt."""
    call = state.call(resolved.call_id)
    if call is None or call.phase != "in_doubt":
        return state
    if resolved.decision == "retry":
        state = _with_call(state, replace(call, phase="approved", explanation=resolved.note))
    # `done` and `not_done` come with the call's outcome in the same batch.
    return resumed(state, record, decided=call.call_id)


def _with_note(call: CallState | None, text: str) -> str:
    """A result as the model reads it: what it has to know about the call stands first."""
    return f"[{call.note}]\n{text}" if call is not None and call.note else text


def _with_call(state: SessionState, changed: CallState) -> SessionState:
    return replace(state, calls=tuple(changed if call.call_id == changed.call_id else call for call in state.calls))


def _resolved(
    state: SessionState,
    call: CallState,
    record: EventRecord,
    *,
    vector: AgentStateVector,
    totals: Totals,
    errors: int = 0,
) -> SessionState:
    """The call has its result: it leaves the list of unresolved ones, and the run is charged."""
    remaining = tuple(each for each in state.calls if each.call_id != call.call_id)
    changed = replace(state, calls=remaining, vector=vector, totals=totals)
    run = state.run
    if run is None:
        return changed
    return accounted(replace(changed, run=replace(run, errors=count(run.errors + errors))), record)
