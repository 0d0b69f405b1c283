"""The part of the page's fold that follows tool calls, the gate, approvals and doubts."""

from __future__ import annotations

from typing import Final

from life.aios.json import Json
from life.aios.record import EventRecord
from life.workspace.note_folds import answered, noted
from life.workspace.rows import entry, last, mark, notice, push, tool_entry
from life.workspace.run_folds import Step, open_run
from life.workspace.state import Approval, Call, Decision, Entry, Rule, Span, State
from life.workspace.values import Fields, capped, count, fields, short, text, texts

_TARGETS: Final = (
    *("path", "command", "url", "query", "pattern", "name", "objective", "agent", "text"),
    *("key", "title", "question", "peer", "channel", "hire_id", "skill", "start", "proposal_id"),
)
"""Arguments that say what a tool is pointed at, the most telling first."""

_FAILED: Final = ("error", "timeout", "failed", "refused", "expired")


def requested(state: State, event: Fields, _record: EventRecord) -> None:
    """A call is asked for."""
    call, tool = text(event.get("call_id")), short(event.get("tool_name"), 100)
    phase = "client" if text(event.get("category")) == "client" else "requested"
    push(state.calls, Call(id=call, tool=tool, seq=state.seq, state=phase), "calls")
    row = Entry(seq=state.seq, branch=state.branch, kind="tool", ref=call, label=tool, state=phase)
    row.detail = target(event.get("arguments"))
    entry(state, row)
    noted(state, call, tool, event.get("arguments"))
    state.totals.calls = capped(state.totals.calls + 1)
    run = open_run(state)
    if run is not None:
        run.calls = capped(run.calls + 1)


def target(arguments: Json) -> str:
    """What the call is pointed at, or nothing."""
    given = fields(arguments)
    for name in _TARGETS:
        found = short(given.get(name))
        if found:
            return found
    return ""


def evaluated(state: State, event: Fields, _record: EventRecord) -> None:
    """What the gate said about the newest call of this tool that has not begun."""
    tool, decision = short(event.get("tool_name"), 100), text(event.get("decision"))
    call = last(state.calls, lambda row: row.tool == tool and row.state == "requested")
    if decision == "deny":
        state.totals.denied = capped(state.totals.denied + 1)
    if call is None:
        return
    row = tool_entry(state, call.id)
    if row is not None:
        row.rule = short(event.get("rule_id"))
        row.why = "" if decision == "allow" else short(event.get("explanation"))
    if decision == "deny":
        call.state = "refused"


def approval_requested(state: State, event: Fields, record: EventRecord) -> None:
    """A person is asked."""
    approval, call = text(event.get("approval_id")), text(event.get("call_id"))
    asked = Approval(
        id=approval,
        call=call,
        tool=short(event.get("tool_name"), 100),
        risk=text(event.get("risk")),
        seq=state.seq,
        asked=state.time,
        capabilities=texts(event.get("capabilities")),
    )
    push(state.approvals, asked, "approvals")
    state.totals.approvals = capped(state.totals.approvals + 1)
    row = tool_entry(state, call)
    if row is not None:
        row.approval = approval
    _phase(state, call, "waiting")
    mark(state, "approval")


def approval_resolved(state: State, event: Fields, _record: EventRecord) -> None:
    """The person's word, or the time that ran out; the first one counts."""
    approval, decision = text(event.get("approval_id")), text(event.get("decision"))
    asked = last(state.approvals, lambda row: row.id == approval)
    if asked is None:
        return
    state.approvals = [row for row in state.approvals if row.id != approval]
    made = Decision(
        id=approval,
        call=asked.call,
        tool=asked.tool,
        risk=asked.risk,
        asked_seq=asked.seq,
        seq=state.seq,
        decision=decision,
        reason=short(event.get("reason")),
    )
    push(state.decisions, made, "decisions")
    if decision != "approved":
        state.totals.denied = capped(state.totals.denied + 1)
    _phase(state, asked.call, {"approved": "approved", "timeout": "expired"}.get(decision, "refused"))


def started(state: State, event: Fields, record: EventRecord) -> None:
    """The intent: from here on it may have had its effect."""
    call, run = text(event.get("call_id")), text(event.get("tool_run_id"))
    _phase(state, call, "running")
    row = last(state.calls, lambda each: each.id == call)
    if row is not None:
        row.run = run
    span = Span(
        id=run,
        parent=state.step or state.run,
        kind="tool",
        name=short(event.get("tool_name"), 100),
        seq=state.seq,
        started=state.time,
    )
    push(state.spans, span, "spans")


def completed(state: State, event: Fields, record: EventRecord) -> None:
    """The outcome of a tool run."""
    run, status = text(event.get("tool_run_id")), text(event.get("status"))
    call = text(event.get("call_id"))
    if not call:
        found = last(state.calls, lambda each: each.run == run)
        call = run if found is None else found.id
    answered(state, call, short(event.get("tool_name"), 100), status, event.get("result"))
    _end(state, call, status, count(event.get("duration_ms")))
    span = last(state.spans, lambda row: row.id == run and not row.ended)
    if span is not None:
        span.end, span.ended, span.status = state.seq, state.time, status


def failed(state: State, event: Fields, record: EventRecord) -> None:
    """The call gave no result."""
    call = text(event.get("call_id"))
    found = last(state.calls, lambda each: each.id == call)
    status = found.state if found is not None and found.state in ("refused", "expired") else "failed"
    if found is not None and found.run:
        run = found.run
        span = last(state.spans, lambda row: row.id == run and not row.ended)
        if span is not None:
            span.end, span.ended, span.status = state.seq, state.time, status
    answered(state, call, "", status, None)
    _end(state, call, status, 0)


def _end(state: State, call: str, status: str, ms: int) -> None:
    """The call has its result."""
    state.calls = [row for row in state.calls if row.id != call]
    state.approvals = [row for row in state.approvals if row.call != call]
    row = tool_entry(state, call)
    if row is not None:
        row.state, row.end, row.ms = status, state.seq, ms
    if status == "ok":
        state.totals.ok = capped(state.totals.ok + 1)
        return
    state.totals.failed = capped(state.totals.failed + 1)
    run = open_run(state)
    if run is not None:
        run.failed = capped(run.failed + 1)
    if status in _FAILED:
        mark(state, "failure")


def _phase(state: State, call: str, phase: str) -> None:
    found = last(state.calls, lambda each: each.id == call)
    if found is None:
        return
    found.state = phase
    row = tool_entry(state, call)
    if row is not None:
        row.state = phase


def call_edited(state: State, event: Fields, _record: EventRecord) -> None:
    """A person changed the arguments."""
    call = text(event.get("call_id"))
    row = tool_entry(state, call)
    if row is not None:
        row.detail = target(event.get("arguments"))
        noted(state, call, row.label, event.get("arguments"))
    notice(state, "arcan.call_edited", short(event.get("by")))


def rule_added(state: State, event: Fields, _record: EventRecord) -> None:
    """Calls that are allowed for the rest of the session."""
    rule = text(event.get("rule_id"))
    if last(state.rules, lambda row: row.id == rule) is None:
        made = Rule(
            id=rule,
            tool=short(event.get("tool_name"), 100),
            patterns=texts(event.get("patterns")),
            by=text(event.get("by")),
            seq=state.seq,
        )
        push(state.rules, made, "rules")
    notice(state, "arcan.rule_added", short(event.get("tool_name"), 100))


def rule_revoked(state: State, event: Fields, _record: EventRecord) -> None:
    """It was taken back."""
    rule = text(event.get("rule_id"))
    state.rules = [row for row in state.rules if row.id != rule]
    notice(state, "arcan.rule_revoked", short(event.get("by")))


def in_doubt(state: State, event: Fields, _record: EventRecord) -> None:
    """Nobody but a person can tell what became of it."""
    _phase(state, text(event.get("call_id")), "in_doubt")
    notice(state, "arcan.run_in_doubt", short(event.get("explanation")))
    mark(state, "approval")


def doubt_resolved(state: State, event: Fields, _record: EventRecord) -> None:
    """A person told."""
    call = text(event.get("call_id"))
    found = last(state.calls, lambda each: each.id == call)
    if found is not None and found.state == "in_doubt":
        _phase(state, call, "approved")
    notice(state, "arcan.doubt_resolved", short(event.get("decision")))


def violation(state: State, event: Fields, _record: EventRecord) -> None:
    """Something was tried that the policy forbids."""
    notice(state, "policy.violation", short(event.get("subject")))
    mark(state, "failure")


CALLS: Final[dict[str, Step]] = {
    "ToolCallRequested": requested,
    "PolicyEvaluated": evaluated,
    "ApprovalRequested": approval_requested,
    "ApprovalResolved": approval_resolved,
    "ToolCallStarted": started,
    "ToolCallCompleted": completed,
    "ToolCallFailed": failed,
    "arcan.call_edited": call_edited,
    "arcan.rule_added": rule_added,
    "arcan.rule_revoked": rule_revoked,
    "arcan.run_in_doubt": in_doubt,
    "arcan.doubt_resolved": doubt_resolved,
    "policy.violation": violation,
}
