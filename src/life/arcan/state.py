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
from typing import Final

import msgspec
from msgspec.structs import replace

from life.aios import events
from life.aios.events import Kind
from life.aios.events.codec import read_custom
from life.aios.ids import MAIN_BRANCH
from life.aios.record import EventRecord
from life.aios.state import TokenUsage
from life.arcan import branch_events as branching
from life.arcan import branch_folds, call_folds, control_folds
from life.arcan import events as arcan
from life.arcan import vector as vectors
from life.arcan.accounting import accounted, bounded_budget, bounded_limits, converted, costed, count, counted, mode
from life.arcan.agents.state import AGENT_FOLDS
from life.arcan.context import events as context
from life.arcan.context.tokens import estimate_tokens, tokens_of_bytes
from life.arcan.queue import without_turn
from life.arcan.session_state import (
    CallState,
    FinishedRun,
    RunState,
    SessionConfig,
    SessionState,
    SessionStatus,
    Totals,
    cost_micro,
    spent_of,
    worked_us,
)
from life.arcan.skill_scope import SKILL_FOLDS

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
    conversation = changed.conversation
    if len(conversation.ends) != len(conversation.sealed):
        conversation = conversation.placed(record.sequence)
    return replace(changed, conversation=conversation, head=record.sequence, updated_us=record.timestamp_us)


def encode_state(state: SessionState) -> bytes:
    """The state's canonical bytes: equal bytes, equal state."""
    return _encoder.encode(state)


# Sessions


def _session_created(state: SessionState, kind: events.SessionCreated, record: EventRecord) -> SessionState:
    if state.created_us:
        return state
    config = converted(kind.config, SessionConfig) or SessionConfig()
    return replace(state, name=kind.name, config=config, agent_id=record.agent_id, created_us=record.timestamp_us)


def _session_resumed(state: SessionState, _kind: events.SessionResumed, record: EventRecord) -> SessionState:
    totals = counted(state.totals, recoveries=1)
    run = state.run
    if run is None or run.active_since_us is None:
        return replace(state, totals=totals)
    # The run was dead between its last event and now.
    run = replace(run, worked_us=worked_us(run, state.updated_us), active_since_us=record.timestamp_us)
    return replace(state, totals=totals, run=run)


def _session_closed(state: SessionState, _kind: events.SessionClosed, _record: EventRecord) -> SessionState:
    sealed = state.conversation.seal()
    return replace(
        state, closed=True, run=None, calls=(), queue=(), rules=(), held=False, suspended="", conversation=sealed
    )


# What the user says


def _user_message(state: SessionState, kind: events.UserMessage, record: EventRecord) -> SessionState:
    if state.breaker_open:
        state = replace(state, breaker_open=False, vector=replace(state.vector, error_streak=0))
    if state.queue:
        queue = without_turn(state.queue, record.event_id)
        if len(queue) < len(state.queue) and state.run is not None:
            # A message that was steered in asks for another answer.
            state = replace(state, run=replace(state.run, answered=False))
        state = replace(state, queue=queue)
    return replace(state, conversation=state.conversation.user_said(kind.content, kind.images))


def _deliberation_proposed(
    state: SessionState, kind: events.DeliberationProposed, _record: EventRecord
) -> SessionState:
    return replace(state, conversation=state.conversation.objective_proposed(kind.summary))


# Runs and steps


def _run_started(state: SessionState, kind: events.RunStarted, record: EventRecord) -> SessionState:
    run = RunState(
        run_id=record.event_id,
        provider=kind.provider,
        specification=kind.specification or "",
        limits=arcan.RunLimits(max_steps=count(kind.max_iterations)),
        started_us=record.timestamp_us,
        active_since_us=record.timestamp_us,
    )
    started = replace(
        state,
        run=run,
        calls=(),
        totals=counted(state.totals, runs=1),
        vector=vectors.new_objective(state.vector),
        conversation=state.conversation.seal(),
    )
    return accounted(started, record)


def _run_limits(state: SessionState, limits: arcan.RunLimits, record: EventRecord) -> SessionState:
    if state.run is None:
        return state
    return accounted(replace(state, run=replace(state.run, limits=bounded_limits(limits))), record)


def _limit_reached(state: SessionState, reached: arcan.LimitReached, _record: EventRecord) -> SessionState:
    return state if state.run is None else replace(state, run=replace(state.run, limit=reached.limit))


def _step_started(state: SessionState, kind: events.StepStarted, record: EventRecord) -> SessionState:
    conversation = state.conversation.seal()
    if state.run is None:
        return replace(state, conversation=conversation)
    run = replace(
        state.run,
        open_step=count(kind.index),
        step_calls=0,
        step_runs=0,
        step_mutations=0,
        answered=False,
        step_head=record.sequence,
        edit=None,
    )
    return replace(state, conversation=conversation, run=run)


def _message(
    state: SessionState, kind: events.Message | events.AssistantMessageCommitted, record: EventRecord
) -> SessionState:
    if kind.role == "user":
        return replace(state, conversation=state.conversation.user_said(kind.content))
    if kind.role != "assistant":
        return state
    before = state.conversation
    usage = kind.token_usage
    if usage is None:
        usage = TokenUsage(
            prompt_tokens=tokens_of_bytes(before.size_bytes), completion_tokens=estimate_tokens(kind.content)
        )
    else:
        before = before.counted(count(usage.prompt_tokens))
    conversation = before.assistant_said(kind.content)
    prompt, completion = count(usage.prompt_tokens), count(usage.completion_tokens)
    answered = replace(
        state,
        conversation=conversation,
        totals=counted(state.totals, steps=1, prompt_tokens=prompt, completion_tokens=completion),
        vector=vectors.prompt_counted(state.vector, prompt, state.context.window_tokens),
    )
    run = state.run
    if run is None:
        return answered
    run = replace(
        run,
        answered=True,
        denied=False,
        steps=count(run.steps + 1),
        prompt_tokens=count(run.prompt_tokens + prompt),
        completion_tokens=count(run.completion_tokens + completion),
        explained=state.breaker_open,
    )
    return accounted(replace(answered, run=costed(run, kind.token_usage)), record)


def _reasoning(state: SessionState, reasoning: arcan.Reasoning, _record: EventRecord) -> SessionState:
    return replace(state, conversation=state.conversation.reasoned(reasoning.blocks, reasoning.vendor_calls))


def _text_delta(
    state: SessionState, kind: events.TextDelta | events.AssistantTextDelta, _record: EventRecord
) -> SessionState:
    return replace(state, conversation=state.conversation.assistant_wrote(kind.delta))


def _step_finished(state: SessionState, _kind: events.StepFinished, record: EventRecord) -> SessionState:
    finished = replace(state, conversation=state.conversation.seal(), vector=vectors.step_finished(state.vector))
    if state.run is None:
        return finished
    return accounted(replace(finished, run=replace(state.run, open_step=None)), record)


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
    finished = replace(state, held=False, suspended="") if state.held or state.suspended else state
    if kind.final_answer and not state.conversation.answered:
        finished = replace(state, conversation=state.conversation.assistant_said(kind.final_answer))
    if kind.reason == "completed":
        finished = replace(finished, vector=vectors.run_completed(finished.vector))
    prompt, completion = run.prompt_tokens, run.completion_tokens
    usage = TokenUsage(prompt, completion, count(prompt + completion))
    ending = FinishedRun(
        run_id=run.run_id, reason=kind.reason, steps=run.steps, final_answer=kind.final_answer, usage=usage
    )
    return _ended(finished, record, ending)


def _error_raised(state: SessionState, _kind: events.ErrorRaised, record: EventRecord) -> SessionState:
    run = state.run
    if run is None or record.correlation_id != run.run_id:
        return state  # another subsystem's trouble is not this run's
    failed = replace(state, run=replace(run, errors=count(run.errors + 1)), vector=vectors.call_refused(state.vector))
    return accounted(failed, record)


# Context


def _context_compacted(state: SessionState, kind: events.ContextCompacted, record: EventRecord) -> SessionState:
    """Older turns give way to their summary; what a model took to write it is the run's."""
    if kind.summary is None:
        return state
    conversation = state.conversation.compacted(
        count(kind.dropped_count), kind.summary, objective=kind.objective, result_characters=kind.result_characters
    )
    changed = replace(state, conversation=conversation, context=state.context.compacted())
    if kind.token_usage is None:
        return changed
    prompt, completion = count(kind.token_usage.prompt_tokens), count(kind.token_usage.completion_tokens)
    changed = replace(changed, totals=counted(changed.totals, prompt_tokens=prompt, completion_tokens=completion))
    run = changed.run
    if run is None:
        return changed
    prompt, completion = count(run.prompt_tokens + prompt), count(run.completion_tokens + completion)
    run = costed(replace(run, prompt_tokens=prompt, completion_tokens=completion), kind.token_usage)
    return accounted(replace(changed, run=run), record)


def _context_frozen(state: SessionState, payload: context.ContextFrozen, _record: EventRecord) -> SessionState:
    return replace(state, context=state.context.freeze(payload))


def _context_noted(state: SessionState, payload: context.ContextNoted, _record: EventRecord) -> SessionState:
    return replace(state, context=state.context.note(payload), conversation=state.conversation.noted(payload.text))


def _context_window(state: SessionState, payload: context.ContextWindow, _record: EventRecord) -> SessionState:
    return replace(state, context=state.context.fit(payload))


def _summary_started(state: SessionState, _payload: context.SummaryStarted, _record: EventRecord) -> SessionState:
    return replace(state, context=state.context.try_summary())


# State, budget, homeostasis


def _state_estimated(state: SessionState, kind: events.StateEstimated, _record: EventRecord) -> SessionState:
    vector = vectors.bounded(replace(kind.state, budget=bounded_budget(kind.state.budget)))
    return replace(state, vector=vector, mode=kind.mode, estimated=vector)


def _budget_updated(state: SessionState, kind: events.BudgetUpdated, record: EventRecord) -> SessionState:
    """Somebody (homeostasis, an operator) sets what is left; the open run's limits follow."""
    budget = bounded_budget(kind.budget)
    updated = replace(state, vector=replace(state.vector, budget=budget))
    run = state.run
    if run is None:
        return updated
    limits = replace(
        run.limits,
        max_tokens=count(run.prompt_tokens + run.completion_tokens + run.children_tokens + budget.tokens_remaining),
        max_time_ms=count(worked_us(run, record.timestamp_us) // 1000 + budget.time_remaining_ms),
        max_tool_calls=count(run.tool_calls + run.children_tool_calls + budget.tool_calls_remaining),
        max_errors=count(run.errors + budget.error_budget_remaining),
    )
    return replace(updated, run=replace(run, limits=limits))


def _mode_changed(state: SessionState, kind: events.ModeChanged, _record: EventRecord) -> SessionState:
    return replace(state, mode=kind.to)


def _gates_updated(state: SessionState, kind: events.GatesUpdated, _record: EventRecord) -> SessionState:
    gates = kind.gates
    bounded = replace(
        gates,
        max_tool_calls_per_tick=count(gates.max_tool_calls_per_tick),
        max_file_mutations_per_tick=count(gates.max_file_mutations_per_tick),
    )
    return replace(state, gates=bounded)


def _custom(state: SessionState, kind: events.Custom, record: EventRecord) -> SessionState:
    known = _CUSTOM.get(kind.event_type)
    if known is None:
        return state
    payload_type, transition = known
    payload = read_custom(kind, kind.event_type, payload_type)
    return state if payload is None else transition(state, payload, record)


def _ended(state: SessionState, record: EventRecord, ending: FinishedRun) -> SessionState:
    """The run is over."""
    ended = accounted(state, record)
    if state.run is not None:
        spent = spent_of(state.run, record.timestamp_us)
        ending = replace(ending, limits=state.run.limits, cost_micro=cost_micro(state.run), spent=spent)
    ended = replace(
        ended, run=None, calls=(), held=False, suspended="", last_run=ending, conversation=state.conversation.seal()
    )
    return replace(ended, mode=mode(ended))


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
    events.ContextCompacted: _context_compacted,
    events.BranchMerged: branch_folds.branch_merged,
    events.CheckpointRestored: branch_folds.checkpoint_restored,
    events.ToolCallRequested: call_folds.call_requested,
    events.PolicyEvaluated: call_folds.policy_evaluated,
    events.ApprovalRequested: call_folds.approval_requested,
    events.ApprovalResolved: call_folds.approval_resolved,
    events.ToolCallStarted: call_folds.call_started,
    events.ToolCallCompleted: call_folds.call_completed,
    events.ToolCallFailed: call_folds.call_failed,
    events.FileMutated: call_folds.file_mutated,
    events.Queued: control_folds.queued,
    events.QueueDrained: control_folds.drained,
    events.CircuitBreakerTripped: control_folds.breaker_tripped,
    events.StateEstimated: _state_estimated,
    events.BudgetUpdated: _budget_updated,
    events.ModeChanged: _mode_changed,
    events.GatesUpdated: _gates_updated,
    events.Custom: _custom,
}

_CUSTOM: Final[dict[str, tuple[type[msgspec.Struct], Callable[..., SessionState]]]] = {
    arcan.RUN_LIMITS: (arcan.RunLimits, _run_limits),
    arcan.LIMIT_REACHED: (arcan.LimitReached, _limit_reached),
    arcan.RUN_IN_DOUBT: (arcan.RunInDoubt, call_folds.run_in_doubt),
    arcan.DOUBT_RESOLVED: (arcan.DoubtResolved, call_folds.doubt_resolved),
    arcan.REASONING: (arcan.Reasoning, _reasoning),
    **control_folds.CONTROL_FOLDS,
    branching.BRANCH_SEALED: (branching.BranchSealed, branch_folds.branch_sealed),
    branching.FILES_PLACED: (branching.FilesPlaced, branch_folds.files_placed),
    context.CONTEXT_FROZEN: (context.ContextFrozen, _context_frozen),
    context.CONTEXT_NOTED: (context.ContextNoted, _context_noted),
    context.CONTEXT_WINDOW: (context.ContextWindow, _context_window),
    context.SUMMARY_STARTED: (context.SummaryStarted, _summary_started),
    **SKILL_FOLDS,
    **AGENT_FOLDS,
}
