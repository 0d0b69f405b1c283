"""The part of the page's fold that follows sessions, runs, steps and what is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from life.aios.json import Json
from life.aios.record import EventRecord
from life.workspace.rows import entry, last, mark, notice, push, ruling, tool_entry
from life.workspace.state import Block, Entry, Fork, Run, Span, State, Waiting
from life.workspace.values import Fields, capped, count, fields, items, short, text, truth

Step = Callable[[State, Fields, EventRecord], None]


def session_created(state: State, event: Fields, record: EventRecord) -> None:
    """The session's own facts; the first one counts."""
    session = state.session
    if session.created:
        return
    config = fields(event.get("config"))
    session.name = short(event.get("name"), 200)
    session.owner = text(config.get("owner"))
    session.provider = text(config.get("provider"))
    session.created = state.time


def session_resumed(state: State, _event: Fields, _record: EventRecord) -> None:
    """After a restart."""
    notice(state, "SessionResumed")


def session_closed(state: State, event: Fields, _record: EventRecord) -> None:
    """No further runs."""
    end_open_work(state, "closed")
    state.session.closed = True
    state.queue, state.rules, state.approvals = [], [], []
    notice(state, "SessionClosed", short(event.get("reason")))


def session_deleted(state: State, event: Fields, record: EventRecord) -> None:
    """Nobody is shown it any more."""
    session_closed(state, event, record)
    state.session.deleted = True


def provider_set(state: State, event: Fields, _record: EventRecord) -> None:
    """Another model from the next run on."""
    state.session.provider = text(event.get("provider"))
    notice(state, "arcan.provider_set", short(event.get("provider")))


def branch_created(state: State, event: Fields, _record: EventRecord) -> None:
    """The beginning of this branch, or a fork off it."""
    name, branch = short(event.get("name"), 200), text(event.get("new_branch_id"))
    if branch == state.branch:
        state.session.parent = text(event.get("parent_branch_id")) or "main"
        state.session.fork = count(event.get("fork_point_seq"))
        state.session.branch_name = name
    else:
        push(
            state.branches, Fork(id=branch, name=name, at=count(event.get("fork_point_seq")), seq=state.seq), "branches"
        )
    mark(state, "fork")
    notice(state, "BranchCreated", name)


def branch_merged(state: State, event: Fields, _record: EventRecord) -> None:
    """Another branch became part of this one."""
    mark(state, "fork")
    notice(state, "BranchMerged", text(event.get("source_branch_id")))


def branch_sealed(state: State, event: Fields, _record: EventRecord) -> None:
    """This branch is read-only from here on."""
    state.session.merged_into = text(event.get("target_branch_id"))
    notice(state, "arcan.branch_sealed", state.session.merged_into)


def restored(state: State, event: Fields, _record: EventRecord) -> None:
    """Work goes on from an earlier event."""
    notice(state, "CheckpointRestored", str(count(event.get("restored_to_seq"))))


def user_message(state: State, event: Fields, _record: EventRecord) -> None:
    """A person speaks."""
    state.breaker = False
    mark(state, "user")
    entry(state, Entry(seq=state.seq, branch=state.branch, kind="user", detail=short(event.get("content"))))


def run_started(state: State, event: Fields, record: EventRecord) -> None:
    """A run begins; one that was open has ended."""
    end_open_work(state, "interrupted")
    run, time = text(record.event_id), state.time
    provider = text(event.get("specification")) or text(event.get("provider"))
    row = Run(id=run, seq=state.seq, started=time, provider=provider, max_steps=count(event.get("max_iterations")))
    push(state.runs, row, "runs")
    push(state.spans, Span(id=run, parent="", kind="run", name=provider, seq=state.seq, started=time), "spans")
    state.run = run
    state.totals.runs = capped(state.totals.runs + 1)


def run_limits(state: State, event: Fields, _record: EventRecord) -> None:
    """What the open run may use."""
    run = open_run(state)
    if run is not None:
        run.max_steps = count(event.get("max_steps"))
        run.max_tokens = count(event.get("max_tokens"))
        run.max_cost_micro = count(event.get("max_cost_micro"))


def step_started(state: State, event: Fields, record: EventRecord) -> None:
    """One model call and what follows begins."""
    step, time = text(record.event_id), state.time
    name = str(count(event.get("index")))
    push(state.spans, Span(id=step, parent=state.run, kind="step", name=name, seq=state.seq, started=time), "spans")
    model = Span(id=step + ":model", parent=step, kind="model", name="", seq=state.seq, started=time)
    push(state.spans, model, "spans")
    state.step = step


def step_finished(state: State, event: Fields, record: EventRecord) -> None:
    """It is over."""
    _end_span(state, state.step, state.time, short(event.get("stop_reason")) or "ok")
    state.step = ""


def message(state: State, event: Fields, record: EventRecord) -> None:
    """A whole message; the assistant's closes its model call."""
    role, content = text(event.get("role")), event.get("content")
    has_words = isinstance(content, str) and content != ""
    if role == "user":
        user_message(state, event, record)
        return
    if role != "assistant":
        return
    usage = fields(event.get("token_usage"))
    prompt, completion = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    state.said = has_words
    if has_words:
        entry(state, Entry(seq=state.seq, branch=state.branch, kind="text", detail=short(content)))
    _spend(state, usage, prompt, completion)
    state.totals.steps = capped(state.totals.steps + 1)
    run = open_run(state)
    if run is not None:
        run.steps = capped(run.steps + 1)
    if "prompt_tokens" in usage:
        state.context.prompt, state.context.prompt_seq = prompt, state.seq
    span = last(state.spans, lambda row: row.id == state.step + ":model" and not row.ended)
    if span is not None:
        span.name, span.prompt, span.completion = text(event.get("model")), prompt, completion
        span.first_ms = count(event.get("first_token_ms"))
        span.end, span.ended, span.status = state.seq, state.time, "ok"


def _spend(state: State, usage: Fields, prompt: int, completion: int) -> None:
    """Charge a model answer to the session and the open run."""
    cost, is_known = count(usage.get("cost_micro")), "cost_micro" in usage
    run = open_run(state)
    for account in (state.totals, run):
        if account is not None:
            account.prompt = capped(account.prompt + prompt)
            account.completion = capped(account.completion + completion)
            account.cost_micro = capped(account.cost_micro + cost)
            account.uncosted = capped(account.uncosted + (0 if is_known else 1))


def reasoning(state: State, _event: Fields, _record: EventRecord) -> None:
    """What the model thought stands before what it said."""
    thought = Entry(seq=state.seq, branch=state.branch, kind="thinking")
    rows = state.entries
    if rows and rows[-1].kind == "text" and rows[-1].seq == state.seq - 1 and rows[-1].branch == state.branch:
        spoken = rows.pop()
        entry(state, thought)
        rows.append(spoken)
        return
    entry(state, thought)


def run_finished(state: State, event: Fields, record: EventRecord) -> None:
    """The run ended."""
    reason = short(event.get("reason"))
    run = open_run(state)
    if run is None:
        row = last(state.runs, lambda each: each.id == record.correlation_id)
        if row is not None:
            row.reason = reason
        return
    answer = short(event.get("final_answer"))
    _end_run(state, run, record, reason)
    ending = Entry(seq=state.seq, branch=state.branch, kind="end", ref=run.id, label=reason)
    ending.detail = "" if state.said else answer
    entry(state, ending)
    mark(state, "end")


def run_errored(state: State, event: Fields, record: EventRecord) -> None:
    """The run ended by an error."""
    run = open_run(state)
    if run is not None:
        _end_run(state, run, record, "error")
    state.totals.errors = capped(state.totals.errors + 1)
    notice(state, "RunErrored", short(event.get("error")))
    mark(state, "failure")


def _end_run(state: State, run: Run, record: EventRecord, reason: str) -> None:
    time = state.time
    run.end, run.ended, run.reason = state.seq, time, reason
    _end_span(state, run.id, time, reason)
    end_open_work(state, "cancelled")


def _end_span(state: State, span_id: str, time: str, status: str) -> None:
    span = last(state.spans, lambda row: row.id == span_id and not row.ended)
    if span is not None:
        span.end, span.ended, span.status = state.seq, time, status


def end_open_work(state: State, reason: str) -> None:
    """Nothing is open any more: calls without a result will have none."""
    for call in state.calls:
        row = tool_entry(state, call.id)
        if row is not None:
            row.state = "cancelled"
    run = open_run(state)
    if run is not None and not run.ended:
        run.reason = reason
    state.calls, state.approvals = [], []
    state.run, state.step, state.held, state.suspended = "", "", False, ""


def open_run(state: State) -> Run | None:
    """The row of the open run."""
    if state.run:
        for row in reversed(state.runs):
            if row.id == state.run:
                return row
    return None


def error_raised(state: State, event: Fields, _record: EventRecord) -> None:
    """Something went wrong."""
    state.totals.errors = capped(state.totals.errors + 1)
    notice(state, "ErrorRaised", short(event.get("message")))
    mark(state, "failure")


def compacted(state: State, event: Fields, _record: EventRecord) -> None:
    """Older turns gave way to a summary; a model that wrote it is paid for."""
    context = state.context
    context.compacted_seq, context.dropped = state.seq, count(event.get("dropped_count"))
    context.before, context.after = count(event.get("tokens_before")), count(event.get("tokens_after"))
    state.totals.compactions = capped(state.totals.compactions + 1)
    usage: Json = event.get("token_usage")
    if isinstance(usage, dict):
        _spend(state, usage, count(usage.get("prompt_tokens")), count(usage.get("completion_tokens")))
    notice(state, "ContextCompacted")


def context_frozen(state: State, event: Fields, _record: EventRecord) -> None:
    """The beginning that every prompt has."""
    state.context.frozen_seq = state.seq
    _blocks(state, "frozen", event)


def context_noted(state: State, event: Fields, _record: EventRecord) -> None:
    """What a run is told at its start."""
    state.context.noted_seq = state.seq
    _blocks(state, "noted", event)


def context_window(state: State, event: Fields, _record: EventRecord) -> None:
    """The model's window."""
    state.context.window = count(event.get("window_tokens"))


def _blocks(state: State, part: str, event: Fields) -> None:
    state.blocks = [block for block in state.blocks if block.part != part]
    for item in items(event.get("blocks")):
        told = fields(item)
        block = Block(
            part=part,
            kind=text(told.get("kind")),
            source=text(told.get("source")),
            tokens=count(told.get("tokens")),
            cut=truth(told.get("cut")),
            dropped=truth(told.get("dropped")),
        )
        push(state.blocks, block, "blocks")


def queued(state: State, event: Fields, _record: EventRecord) -> None:
    """A message waits."""
    queue_id = text(event.get("queue_id"))
    if last(state.queue, lambda row: row.id == queue_id) is None:
        row = Waiting(id=queue_id, mode=text(event.get("mode")), message=text(event.get("message")), seq=state.seq)
        push(state.queue, row, "queue")


def unqueued(state: State, event: Fields, _record: EventRecord) -> None:
    """A message left the queue: said, or dropped."""
    queue_id = text(event.get("queue_id"))
    state.queue = [row for row in state.queue if row.id != queue_id]


def breaker_tripped(state: State, event: Fields, _record: EventRecord) -> None:
    """Too many errors in a row."""
    state.breaker = True
    notice(state, "CircuitBreakerTripped", short(event.get("reason")))
    ruling(state, "CircuitBreakerTripped", short(event.get("reason")))
    mark(state, "failure")


def paused(state: State, _event: Fields, _record: EventRecord) -> None:
    """A person holds the run."""
    if state.run and not state.held:
        state.held = True
        notice(state, "arcan.run_paused")


def continued(state: State, _event: Fields, _record: EventRecord) -> None:
    """It goes on."""
    if state.held:
        state.held = False
        notice(state, "arcan.run_continued")


def suspended(state: State, event: Fields, _record: EventRecord) -> None:
    """The regulator lets the run stand still."""
    if state.run and not state.suspended:
        state.suspended = short(event.get("reason")) or "suspended"
        notice(state, "arcan.suspended", state.suspended)
        ruling(state, "arcan.suspended", state.suspended)


def resumed(state: State, event: Fields, _record: EventRecord) -> None:
    """It may go on."""
    if state.suspended:
        state.suspended = ""
        notice(state, "arcan.resumed", short(event.get("reason")))
        ruling(state, "arcan.resumed", short(event.get("reason")))


def told(type_: str, key: str) -> Step:
    """An event that is one line of the conversation."""

    def step(state: State, event: Fields, _record: EventRecord) -> None:
        notice(state, type_, short(event.get(key)))

    return step


RUNS: Final[dict[str, Step]] = {
    "SessionCreated": session_created,
    "SessionResumed": session_resumed,
    "SessionClosed": session_closed,
    "arcan.session_deleted": session_deleted,
    "arcan.provider_set": provider_set,
    "BranchCreated": branch_created,
    "BranchMerged": branch_merged,
    "arcan.branch_sealed": branch_sealed,
    "CheckpointRestored": restored,
    "UserMessage": user_message,
    "RunStarted": run_started,
    "arcan.run_limits": run_limits,
    "StepStarted": step_started,
    "StepFinished": step_finished,
    "Message": message,
    "AssistantMessageCommitted": message,
    "arcan.reasoning": reasoning,
    "RunFinished": run_finished,
    "RunErrored": run_errored,
    "ErrorRaised": error_raised,
    "ContextCompacted": compacted,
    "arcan.context_frozen": context_frozen,
    "arcan.context_noted": context_noted,
    "arcan.context_window": context_window,
    "Queued": queued,
    "Steered": unqueued,
    "QueueDrained": unqueued,
    "CircuitBreakerTripped": breaker_tripped,
    "arcan.run_paused": paused,
    "arcan.run_continued": continued,
    "arcan.suspended": suspended,
    "arcan.resumed": resumed,
    "arcan.limit_reached": told("arcan.limit_reached", "limit"),
    "arcan.model_notice": told("arcan.model_notice", "reason"),
    "arcan.noted": told("arcan.noted", "text"),
    "arcan.files_placed": told("arcan.files_placed", ""),
}
