"""A person's word about a call in doubt, as events."""

from __future__ import annotations

from life.aios import events
from life.aios.record import Actor
from life.arcan.events import DoubtDecision, DoubtResolved, doubt_resolved
from life.arcan.session_log import SessionLog
from life.arcan.session_state import CallState


def add_doubt_outcome(log: SessionLog, call: CallState, decision: DoubtDecision, *, actor: str, note: str) -> None:
    """Stage the decision, and with `done` and `not_done` the outcome that the model reads. One batch: never one alone."""
    tool_run_id = call.tool_run_id or ""
    resolved = DoubtResolved(tool_run_id=tool_run_id, call_id=call.call_id, decision=decision, actor=actor, note=note)
    log.add(doubt_resolved(resolved), actor=Actor("user", actor))
    if decision == "done":
        words = f"A person confirmed that this call took effect. {note}".strip()
        log.add(
            events.ToolCallCompleted(
                tool_run_id=tool_run_id,
                call_id=call.call_id,
                tool_name=call.tool_name,
                result=words,
                duration_ms=0,
                status="ok",
            )
        )
    elif decision == "not_done":
        words = f"A person confirmed that this call did not take effect. {note}".strip()
        log.add(events.ToolCallFailed(call_id=call.call_id, tool_name=call.tool_name, error=words))
