"""An event in one line, and the family it belongs to: the page's `ui/src/app/describe.ts`."""

from __future__ import annotations

from typing import Final

from life.aios.record import EventRecord
from life.cli.shell.words import dollars, seconds
from life.workspace.call_folds import target
from life.workspace.values import Fields, count, fields, fields_of, short, text

FAMILIES: Final[dict[str, tuple[str, ...]]] = {
    "talk": (
        "UserMessage",
        "Message",
        "AssistantMessageCommitted",
        "Queued",
        "Steered",
        "QueueDrained",
        "arcan.reasoning",
        "arcan.noted",
    ),
    "run": (
        "Run",
        "Step",
        "Phase",
        "Deliberation",
        "arcan.run_",
        "arcan.limit",
        "arcan.model",
        "Error",
        "CircuitBreaker",
    ),
    "tool": ("Tool", "Sandbox", "Kernel", "arcan.tool", "arcan.call", "arcan.subagent"),
    "file": ("File", "arcan.files"),
    "policy": ("Policy", "Approval", "Intent", "arcan.rule", "arcan.policy", "policy.", "arcan.doubt"),
    "state": (
        "State",
        "Budget",
        "Mode",
        "Gates",
        "Heartbeat",
        "Context",
        "arcan.context",
        "arcan.regulated",
        "autonomic.",
    ),
    "memory": ("Memory", "Knowledge", "Observation", "Reflection", "skill."),
    "money": ("finance.",),
    "identity": ("anima.",),
    "judge": ("eval.",),
    "session": (
        "Session",
        "Branch",
        "Checkpoint",
        "Snapshot",
        "arcan.branch",
        "arcan.session",
        "arcan.provider",
    ),
}
"""The beginnings of the kinds of each family."""

NOISE: Final = (
    "Heartbeat",
    "StateEstimated",
    "Step",
    "Phase",
    "Budget",
    "arcan.context",
    "PolicyEvaluated",
    "Snapshot",
)
"""What one rarely looks for; the journal hides it on request."""

_WORDS: Final = (
    "content",
    "message",
    "error",
    "explanation",
    "reason",
    "summary",
    "note",
    "query",
    "path",
    "name",
    "objective",
    "text",
)


def name_of(record: EventRecord) -> str:
    """The kind's name; of an extension event its dotted type."""
    if record.kind_name != "Custom":
        return record.kind_name
    return text(fields_of(record.payload).get("event_type")) or "Custom"


def content_of(record: EventRecord) -> Fields:
    """What the event says; of an extension event its data."""
    told = fields_of(record.payload)
    return fields(told.get("data")) if record.kind_name == "Custom" else told


def family(name: str) -> str:
    """The family of a kind, or `other`."""
    for found, beginnings in FAMILIES.items():
        if name.startswith(beginnings):
            return found
    return "other"


def summary(record: EventRecord) -> str:
    """What the event says, in one line; not yet clean."""
    told = content_of(record)

    def said(name: str) -> str:
        return short(told.get(name), 400)

    tool = said("tool_name")
    match name_of(record):
        case "ToolCallRequested":
            return f"{tool} {target(told.get('arguments'))}"
        case "ToolCallStarted":
            return tool
        case "ToolCallCompleted":
            return f"{tool} · {said('status')} · {seconds(count(told.get('duration_ms')))}"
        case "ToolCallFailed":
            return f"{tool} · {said('error')}"
        case "PolicyEvaluated":
            return _joined(tool, said("decision"), said("explanation"))
        case "ApprovalRequested":
            return f"{tool} {target(told.get('arguments'))} · {said('risk')}"
        case "ApprovalResolved":
            return _joined(said("decision"), said("reason"))
        case "RunStarted":
            return said("specification") or said("provider")
        case "StepStarted":
            return f"#{count(told.get('index'))}"
        case "StepFinished":
            return f"#{count(told.get('index'))} · {said('stop_reason')}"
        case "RunFinished":
            return _joined(said("reason"), said("final_answer"))
        case "FileWrite":
            return f"{said('path')} · {count(told.get('size_bytes'))} B"
        case "FileRename":
            return f"{said('old_path')} → {said('new_path')}"
        case "ModeChanged":
            return f"{said('from')} → {said('to')}"
        case "StateEstimated":
            return said("mode")
        case "SandboxExecuted":
            return f"{said('command')} · {count(told.get('exit_code'))}"
        case "BranchCreated":
            return f"{said('name')} · #{count(told.get('fork_point_seq'))}"
        case _:
            amount = count(told.get("amount_micro")) or count(told.get("amount_micro_credits"))
            words = next((found for name in _WORDS if (found := said(name))), "")
            return _joined(dollars(amount) if amount else "", said("resource_url"), words)


def _joined(*parts: str) -> str:
    return " · ".join(part for part in parts if part)
