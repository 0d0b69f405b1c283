"""The state of a session: a pure, total fold over its events.

`advance(state, record)` gives the state after one more event, in constant time (the conversation is a tuple that grows
at its end). It never fails: events of other subsystems, unknown kinds, events out of order and payloads that make no
sense change nothing but the head. Time comes from the events. `encode_state` gives canonical bytes: a session that ran
on and a session that was read back have the same.

    idle ─ UserMessage, RunStarted → running ─ ApprovalRequested → waiting ─ ApprovalResolved → running
                                     running ─ arcan.run_in_doubt → in_doubt ─ arcan.doubt_resolved → running
                                     running ─ RunFinished → idle ─ SessionClosed → closed

Source: ARCHITECTURE.md §2.5; aios.md §6, §8, §14, §15; arcan.md §2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from life.aios import events
from life.aios.events import Kind
from life.aios.events.codec import read_custom
from life.aios.ids import MAIN_BRANCH
from life.aios.json import Json
from life.aios.record import EventRecord
from life.aios.state import AgentStateVector, BudgetState, OperatingMode, TokenUsage
from life.arcan import events as arcan
from life.arcan import vector as vectors
from life.arcan.conversation import result_text
from life.arcan.session_state import (
    CallState,
    FinishedRun,
    RunState,
    SessionConfig,
    SessionState,
    SessionStatus,
    Totals,
    cost_micro,
    worked_us,
)

__all__ = [
    "CallState",
    "FinishedRun",
    "RunState",
    "SessionConfig",
    "SessionState",
    "SessionStatus",
    "Totals",
    "advance",
    "cost_micro",
    "encode_state",
    "fold",
    "worked_us",
]

_MAX_COUNT: Final = 2**53 - 1
_CHARACTERS_PER_TOKEN: Final = 4

_T = TypeVar("_T", bound=msgspec.Struct)
_encoder: Final = msgspec.json.Encoder()


def fold(session_id: str, records: Iterable[EventRecord], *, branch_id: str = MAIN_BRANCH) -> SessionState:
    """The state after all these events of one session, oldest first."""
    state = SessionState(session_id=session_id, branch_id=branch_id)
    for record in records:
        state = advance(state, record)
    return state


def advance(state: SessionState, record: EventRecord) -> SessionState:
    """The state after one more event. Pure and total."""
    changed = state
    try:
        kind = record.kind
    except (msgspec.DecodeError, RecursionError):
        pass  # numbers or depths that no reader can hold: nothing of ours
    else:
        transition = _TRANSITIONS.get(type(kind))
        if transition is not None:
            changed = transition(state, kind, record)
    return replace(changed, head=record.sequence, updated_us=record.timestamp_us)


def encode_state(state: SessionState) -> bytes:
    """The state's canonical bytes: equal bytes, equal state."""
    return _encoder.encode(state)


# Sessions


def _session_created(state: SessionState, kind: events.SessionCreated, record: EventRecord) -> SessionState:
    if state.created_us:
        return state
    config = _converted(kind.config, SessionConfig) or SessionConfig()
    return replace(state, name=kind.name, config=config, agent_id=record.agent_id, created_us=record.timestamp_us)


def _session_resumed(state: SessionState, _kind: events.SessionResumed, record: EventRecord) -> SessionState:
    totals = _counted(state.totals, recoveries=1)
    run = state.run
    if run is None or run.active_since_us is None:
        return replace(state, totals=totals)
    # The run was dead between its last event and now.
    run = replace(run, worked_us=worked_us(run, state.updated_us), active_since_us=record.timestamp_us)
    return replace(state, totals=totals, run=run)


def _session_closed(state: SessionState, _kind: events.SessionClosed, _record: EventRecord) -> SessionState:
    return replace(state, closed=True, run=None, calls=(), conversation=state.conversation.seal())


# What the user says


def _user_message(state: SessionState, kind: events.UserMessage, _record: EventRecord) -> SessionState:
    return replace(state, conversation=state.conversation.user_said(kind.content))


def _deliberation_proposed(
    state: SessionState, kind: events.DeliberationProposed, _record: EventRecord
) -> SessionState:
    return replace(state, conversation=state.conversation.objective_proposed(kind.summary))


# Runs and steps


def _run_started(state: SessionState, kind: events.RunStarted, record: EventRecord) -> SessionState:
    run = RunState(
        run_id=record.event_id,
        provider=kind.provider,
        limits=arcan.RunLimits(max_steps=_count(kind.max_iterations)),
        started_us=record.timestamp_us,
        active_since_us=record.timestamp_us,
    )
    started = replace(
        state,
        run=run,
        calls=(),
        totals=_counted(state.totals, runs=1),
        vector=vectors.new_objective(state.vector),
        conversation=state.conversation.seal(),
    )
    return _accounted(started, record)


def _run_limits(state: SessionState, limits: arcan.RunLimits, record: EventRecord) -> SessionState:
    if state.run is None:
        return state
    return _accounted(replace(state, run=replace(state.run, limits=_bounded_limits(limits))), record)


def _limit_reached(state: SessionState, reached: arcan.LimitReached, _record: EventRecord) -> SessionState:
    return state if state.run is None else replace(state, run=replace(state.run, limit=reached.limit))


def _step_started(state: SessionState, kind: events.StepStarted, _record: EventRecord) -> SessionState:
    conversation = state.conversation.seal()
    if state.run is None:
        return replace(state, conversation=conversation)
    run = replace(state.run, open_step=_count(kind.index), step_calls=0, step_runs=0, step_mutations=0, answered=False)
    return replace(state, conversation=conversation, run=run)


def _message(
    state: SessionState, kind: events.Message | events.AssistantMessageCommitted, record: EventRecord
) -> SessionState:
    if kind.role == "user":
        return replace(state, conversation=state.conversation.user_said(kind.content))
    if kind.role != "assistant":
        return state
    conversation = state.conversation.assistant_said(kind.content)
    usage = kind.token_usage
    if usage is None:
        usage = TokenUsage(
            prompt_tokens=state.conversation.characters // _CHARACTERS_PER_TOKEN,
            completion_tokens=len(kind.content) // _CHARACTERS_PER_TOKEN,
        )
    prompt, completion = _count(usage.prompt_tokens), _count(usage.completion_tokens)
    answered = replace(
        state,
        conversation=conversation,
        totals=_counted(state.totals, steps=1, prompt_tokens=prompt, completion_tokens=completion),
        vector=vectors.prompt_counted(state.vector, prompt),
    )
    run = state.run
    if run is None:
        return answered
    run = replace(
        run,
        answered=True,
        denied=False,
        steps=_count(run.steps + 1),
        prompt_tokens=_count(run.prompt_tokens + prompt),
        completion_tokens=_count(run.completion_tokens + completion),
    )
    return _accounted(replace(answered, run=run), record)


def _text_delta(
    state: SessionState, kind: events.TextDelta | events.AssistantTextDelta, _record: EventRecord
) -> SessionState:
    return replace(state, conversation=state.conversation.assistant_wrote(kind.delta))


def _step_finished(state: SessionState, _kind: events.StepFinished, record: EventRecord) -> SessionState:
    finished = replace(state, conversation=state.conversation.seal(), vector=vectors.step_finished(state.vector))
    if state.run is None:
        return finished
    return _accounted(replace(finished, run=replace(state.run, open_step=None)), record)


def _run_errored(state: SessionState, kind: events.RunErrored, record: EventRecord) -> SessionState:
    run = state.run
    if run is None:
        return state
    refused = replace(state, vector=vectors.call_refused(state.vector))
    return _ended(refused, record, FinishedRun(run_id=run.run_id, reason="error", steps=run.steps, error=kind.error))


def _run_finished(state: SessionState, kind: events.RunFinished, record: EventRecord) -> SessionState:
    run, last = state.run, state.last_run
    if run is None:
        if last is None or last.run_id != record.correlation_id:
            return state
        return replace(state, last_run=replace(last, reason=kind.reason))
    finished = state
    if kind.final_answer and not state.conversation.answered:
        finished = replace(state, conversation=state.conversation.assistant_said(kind.final_answer))
    if kind.reason == "completed":
        finished = replace(finished, vector=vectors.run_completed(finished.vector))
    prompt, completion = run.prompt_tokens, run.completion_tokens
    usage = TokenUsage(prompt, completion, _count(prompt + completion))
    ending = FinishedRun(
        run_id=run.run_id, reason=kind.reason, steps=run.steps, final_answer=kind.final_answer, usage=usage
    )
    return _ended(finished, record, ending)


def _error_raised(state: SessionState, _kind: events.ErrorRaised, record: EventRecord) -> SessionState:
    run = state.run
    if run is None or record.correlation_id != run.run_id:
        return state  # another subsystem's trouble is not this run's
    failed = replace(state, run=replace(run, errors=_count(run.errors + 1)), vector=vectors.call_refused(state.vector))
    return _accounted(failed, record)


# Tool calls


def _call_requested(state: SessionState, kind: events.ToolCallRequested, _record: EventRecord) -> SessionState:
    conversation = state.conversation.tool_requested(kind.call_id, kind.tool_name, kind.arguments)
    asked = replace(state, conversation=conversation, totals=_counted(state.totals, calls_requested=1))
    run = state.run
    if run is None or kind.category == "client" or state.call(kind.call_id) is not None:
        return asked
    call = CallState(call_id=kind.call_id, tool_name=kind.tool_name, arguments=kind.arguments)
    return replace(asked, calls=(*state.calls, call), run=replace(run, step_calls=_count(run.step_calls + 1)))


def _policy_evaluated(state: SessionState, kind: events.PolicyEvaluated, _record: EventRecord) -> SessionState:
    if kind.decision != "deny" or state.run is None:
        return state
    return replace(state, run=replace(state.run, denied=True), totals=_counted(state.totals, calls_denied=1))


def _approval_requested(state: SessionState, kind: events.ApprovalRequested, record: EventRecord) -> SessionState:
    call = state.call(kind.call_id)
    if call is None:
        return state
    asked = replace(
        call, phase="awaiting_approval", approval_id=kind.approval_id, risk=kind.risk, asked_us=record.timestamp_us
    )
    return _paused(_with_call(state, asked), record)


def _approval_resolved(state: SessionState, kind: events.ApprovalResolved, record: EventRecord) -> SessionState:
    call = next((call for call in state.calls if call.approval_id == kind.approval_id), None)
    if call is None or call.phase != "awaiting_approval":
        return state
    if kind.decision == "approved":
        return _resumed(_with_call(state, replace(call, phase="approved")), record)
    words = kind.reason or ("Nobody decided in time." if kind.decision == "timeout" else "A person refused this call.")
    refused = _with_call(state, replace(call, phase="refused", explanation=words))
    return _resumed(replace(refused, totals=_counted(refused.totals, calls_denied=1)), record)


def _call_started(state: SessionState, kind: events.ToolCallStarted, record: EventRecord) -> SessionState:
    run = state.run
    call = state.call(kind.call_id) if kind.call_id is not None else None
    if run is None or call is None:
        return state
    intent = _converted(kind.probe, arcan.CallIntent) or arcan.CallIntent()
    running = replace(
        call,
        phase="running",
        tool_run_id=kind.tool_run_id,
        idempotency_key=kind.idempotency_key,
        prepared=intent.prepared,
        read_only=intent.read_only,
        attempts=_count(call.attempts + 1),
    )
    run = replace(run, tool_calls=_count(run.tool_calls + 1), step_runs=_count(run.step_runs + 1))
    return _accounted(replace(_with_call(state, running), run=run), record)


def _call_completed(state: SessionState, kind: events.ToolCallCompleted, record: EventRecord) -> SessionState:
    call = state.call(kind.call_id) if kind.call_id is not None else None
    if call is None:
        call = next((each for each in state.calls if each.tool_run_id == kind.tool_run_id), None)
    call_id = kind.call_id or (call.call_id if call is not None else kind.tool_run_id)
    conversation = state.conversation.tool_answered(call_id, result_text(kind.result), is_error=kind.status != "ok")
    answered = replace(state, conversation=conversation)
    if call is None:
        return answered
    if kind.status == "ok":
        vector = vectors.call_succeeded(state.vector, read_only=call.read_only)
        return _resolved(answered, call, record, vector=vector, totals=_counted(state.totals, calls_succeeded=1))
    failed = _counted(state.totals, calls_failed=1)
    errors = 0 if kind.status == "cancelled" else 1
    return _resolved(answered, call, record, vector=vectors.call_failed(state.vector), totals=failed, errors=errors)


def _call_failed(state: SessionState, kind: events.ToolCallFailed, record: EventRecord) -> SessionState:
    conversation = state.conversation.tool_answered(kind.call_id, kind.error, is_error=True)
    answered = replace(state, conversation=conversation)
    call = state.call(kind.call_id)
    if call is None:
        return answered
    denied = call.phase == "refused" or (state.run is not None and state.run.denied)
    vector = (vectors.call_refused if denied else vectors.call_failed)(state.vector)
    totals = _counted(state.totals, calls_failed=1)
    return _resolved(answered, call, record, vector=vector, totals=totals, errors=1)


def _file_mutated(state: SessionState, _kind: events.FileMutated, _record: EventRecord) -> SessionState:
    changed = replace(state, totals=_counted(state.totals, files_changed=1))
    run = state.run
    return changed if run is None else replace(changed, run=replace(run, step_mutations=_count(run.step_mutations + 1)))


def _run_in_doubt(state: SessionState, doubt: arcan.RunInDoubt, record: EventRecord) -> SessionState:
    call = state.call(doubt.call_id)
    if call is None or call.tool_run_id != doubt.tool_run_id:
        return state
    return _paused(_with_call(state, replace(call, phase="in_doubt", explanation=doubt.explanation)), record)


def _doubt_resolved(state: SessionState, resolved: arcan.DoubtResolved, record: EventRecord) -> SessionState:
    call = state.call(resolved.call_id)
    if call is None or call.phase != "in_doubt":
        return state
    if resolved.decision == "retry":
        state = _with_call(state, replace(call, phase="approved", explanation=resolved.note))
    # `done` and `not_done` come with the call's outcome in the same batch.
    return _resumed(state, record)


# State, budget, homeostasis


def _state_estimated(state: SessionState, kind: events.StateEstimated, _record: EventRecord) -> SessionState:
    vector = vectors.bounded(replace(kind.state, budget=_bounded_budget(kind.state.budget)))
    return replace(state, vector=vector, mode=kind.mode, estimated=vector)


def _budget_updated(state: SessionState, kind: events.BudgetUpdated, record: EventRecord) -> SessionState:
    """Somebody (homeostasis, an operator) sets what is left; the open run's limits follow."""
    budget = _bounded_budget(kind.budget)
    updated = replace(state, vector=replace(state.vector, budget=budget))
    run = state.run
    if run is None:
        return updated
    limits = replace(
        run.limits,
        max_tokens=_count(run.prompt_tokens + run.completion_tokens + budget.tokens_remaining),
        max_time_ms=_count(worked_us(run, record.timestamp_us) // 1000 + budget.time_remaining_ms),
        max_tool_calls=_count(run.tool_calls + budget.tool_calls_remaining),
        max_errors=_count(run.errors + budget.error_budget_remaining),
    )
    return replace(updated, run=replace(run, limits=limits))


def _mode_changed(state: SessionState, kind: events.ModeChanged, _record: EventRecord) -> SessionState:
    return replace(state, mode=kind.to)


def _gates_updated(state: SessionState, kind: events.GatesUpdated, _record: EventRecord) -> SessionState:
    return replace(state, gates=kind.gates)


def _custom(state: SessionState, kind: events.Custom, record: EventRecord) -> SessionState:
    known = _CUSTOM.get(kind.event_type)
    if known is None:
        return state
    payload_type, transition = known
    payload = read_custom(kind, kind.event_type, payload_type)
    return state if payload is None else transition(state, payload, record)


# Shared moves


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
    return _accounted(replace(changed, run=replace(run, errors=_count(run.errors + errors))), record)


def _paused(state: SessionState, record: EventRecord) -> SessionState:
    """Only a person can move the run: its clock stops."""
    run = state.run
    if run is not None:
        run = replace(run, worked_us=worked_us(run, record.timestamp_us), active_since_us=None)
    return _accounted(replace(state, run=run, vector=vectors.waiting_for_person(state.vector)), record)


def _resumed(state: SessionState, record: EventRecord) -> SessionState:
    """The person has decided: the run's clock goes on."""
    run = state.run
    if run is not None and run.active_since_us is None:
        run = replace(run, active_since_us=record.timestamp_us)
    return _accounted(replace(state, run=run, vector=vectors.person_decided(state.vector)), record)


def _ended(state: SessionState, record: EventRecord, ending: FinishedRun) -> SessionState:
    """The run is over."""
    ended = _accounted(state, record)
    ended = replace(ended, run=None, calls=(), last_run=ending, conversation=state.conversation.seal())
    return replace(ended, mode=_mode(ended))


def _accounted(state: SessionState, record: EventRecord) -> SessionState:
    """Budget and mode as they follow from what the run used."""
    run = state.run
    if run is None:
        return replace(state, mode=_mode(state))
    limits, before = run.limits, state.vector.budget
    cost_usd = before.cost_remaining_usd
    if limits.max_cost_micro is not None:
        cost_usd = max(0, limits.max_cost_micro - cost_micro(run)) / 1_000_000
    budget = BudgetState(
        tokens_remaining=max(0, limits.max_tokens - run.prompt_tokens - run.completion_tokens),
        time_remaining_ms=max(0, limits.max_time_ms - worked_us(run, record.timestamp_us) // 1000),
        cost_remaining_usd=cost_usd,
        tool_calls_remaining=max(0, limits.max_tool_calls - run.tool_calls),
        error_budget_remaining=max(0, limits.max_errors - run.errors),
    )
    accounted = replace(state, vector=replace(state.vector, budget=budget))
    return replace(accounted, mode=_mode(accounted))


def _mode(state: SessionState) -> OperatingMode:
    run = state.run
    return vectors.estimate_mode(
        state.vector,
        open_run=run is not None,
        waiting=state.status in ("waiting", "in_doubt"),
        denied=run is not None and run.denied,
    )


def _counted(totals: Totals, **added: int) -> Totals:
    return replace(totals, **{name: _count(getattr(totals, name) + value) for name, value in added.items()})


def _count(value: int) -> int:
    """A counter from a journal: not negative, and not beyond what JSON readers can hold."""
    return min(max(value, 0), _MAX_COUNT)


def _bounded_budget(budget: BudgetState) -> BudgetState:
    return BudgetState(
        tokens_remaining=_count(budget.tokens_remaining),
        time_remaining_ms=_count(budget.time_remaining_ms),
        cost_remaining_usd=min(max(budget.cost_remaining_usd, 0.0), 1e12),
        tool_calls_remaining=_count(budget.tool_calls_remaining),
        error_budget_remaining=_count(budget.error_budget_remaining),
    )


def _bounded_limits(limits: arcan.RunLimits) -> arcan.RunLimits:
    price = limits.price
    if price is not None:
        price = arcan.TokenPrice(
            prompt_micro_per_million=_count(price.prompt_micro_per_million),
            completion_micro_per_million=_count(price.completion_micro_per_million),
        )
    return arcan.RunLimits(
        max_steps=_count(limits.max_steps),
        max_tokens=_count(limits.max_tokens),
        max_time_ms=_count(limits.max_time_ms),
        max_tool_calls=_count(limits.max_tool_calls),
        max_errors=_count(limits.max_errors),
        max_cost_micro=None if limits.max_cost_micro is None else _count(limits.max_cost_micro),
        price=price,
    )


def _converted(value: Json, target: type[_T]) -> _T | None:
    """`value` as `target`, or None when it does not fit (configurations of other makers)."""
    try:
        return msgspec.convert(value, target)
    except msgspec.ValidationError:
        return None


_TRANSITIONS: Final[dict[type[Kind], Callable[..., SessionState]]] = {
    events.SessionCreated: _session_created,
    events.SessionResumed: _session_resumed,
    events.SessionClosed: _session_closed,
    events.UserMessage: _user_message,
    events.DeliberationProposed: _deliberation_proposed,
    events.RunStarted: _run_started,
    events.StepStarted: _step_started,
    events.Message: _message,
    events.AssistantMessageCommitted: _message,
    events.TextDelta: _text_delta,
    events.AssistantTextDelta: _text_delta,
    events.StepFinished: _step_finished,
    events.RunErrored: _run_errored,
    events.RunFinished: _run_finished,
    events.ErrorRaised: _error_raised,
    events.ToolCallRequested: _call_requested,
    events.PolicyEvaluated: _policy_evaluated,
    events.ApprovalRequested: _approval_requested,
    events.ApprovalResolved: _approval_resolved,
    events.ToolCallStarted: _call_started,
    events.ToolCallCompleted: _call_completed,
    events.ToolCallFailed: _call_failed,
    events.FileMutated: _file_mutated,
    events.StateEstimated: _state_estimated,
    events.BudgetUpdated: _budget_updated,
    events.ModeChanged: _mode_changed,
    events.GatesUpdated: _gates_updated,
    events.Custom: _custom,
}

_CUSTOM: Final[dict[str, tuple[type[msgspec.Struct], Callable[..., SessionState]]]] = {
    arcan.RUN_LIMITS: (arcan.RunLimits, _run_limits),
    arcan.LIMIT_REACHED: (arcan.LimitReached, _limit_reached),
    arcan.RUN_IN_DOUBT: (arcan.RunInDoubt, _run_in_doubt),
    arcan.DOUBT_RESOLVED: (arcan.DoubtResolved, _doubt_resolved),
}
