"""What happens within a span and is worth a line on it: names, numbers and codes only, never words."""

from __future__ import annotations

from typing import Final, NamedTuple

from life.aios import events
from life.aios.json import Json
from life.aios.record import EventRecord
from life.vigil import names as n
from life.vigil.span import Attributes

_PLAIN: Final = {
    "ApprovalRequested": "life.approval_requested",
    "ApprovalResolved": "life.approval_resolved",
    "CircuitBreakerTripped": "life.circuit_breaker_tripped",
    "ContextCompacted": "life.context_compacted",
    "GatesUpdated": "life.gates_updated",
    "ModeChanged": "life.mode_changed",
    "Steered": "life.steered",
    "SandboxViolation": "life.sandbox_violation",
    "SessionResumed": "life.session_resumed",
    "CheckpointRestored": "life.checkpoint_restored",
}
_CUSTOM: Final = {
    "arcan.limit_reached": "life.limit_reached",
    "arcan.regulated": "life.regulated",
    "arcan.run_paused": "life.run_paused",
    "arcan.run_continued": "life.run_continued",
    "arcan.run_in_doubt": "life.run_in_doubt",
    "arcan.doubt_resolved": "life.doubt_resolved",
    "arcan.tool_probed": "life.tool_probed",
    "arcan.call_edited": "life.call_edited",
    "arcan.intervened": "life.intervened",
    "loop_detection.warning": "life.loop_warning",
    "loop_detection.hard_stop": "life.loop_hard_stop",
    "policy.violation": "life.policy_violation",
    "autonomic.EconomicModeChanged": "autonomic.economic_mode_changed",
    "autonomic.RegulatorFailed": "autonomic.regulator_failed",
}


class Note(NamedTuple):
    """A span event."""

    name: str
    attributes: Attributes


def note_of(record: EventRecord) -> Note | None:
    """The line for this event; None when it is not worth one."""
    kind = record.kind
    if isinstance(kind, events.Custom):
        name = _CUSTOM.get(kind.event_type)
        if name is None:
            return None
        attributes = _place(record, kind.event_type)
        if kind.event_type == "arcan.limit_reached":
            copy_word(attributes, n.LIMIT_NAME, kind.data, "limit")
        if kind.event_type == "autonomic.EconomicModeChanged":
            copy_word(attributes, n.ECONOMIC_MODE, kind.data, "to")
        return Note(name, attributes)
    name = _PLAIN.get(record.kind_name)
    if name is None:
        return None
    attributes = _place(record, record.kind_name)
    if isinstance(kind, events.ModeChanged):
        attributes[n.MODE_FROM], attributes[n.MODE_TO] = kind.from_, kind.to
    if isinstance(kind, events.ApprovalResolved):
        attributes[n.GATE_DECISION] = kind.decision
    return Note(name, attributes)


def _place(record: EventRecord, kind: str) -> Attributes:
    return {n.EVENT_KIND: kind, n.EVENT_SEQ: record.sequence}


def copy_word(attributes: Attributes, name: str, data: Json, field: str) -> None:
    """Copy a field that is a name or a code; anything else might be words, and stays out."""
    value = data.get(field) if isinstance(data, dict) else None
    if (
        isinstance(value, str)
        and len(value) <= 64
        and value.replace("_", "").replace("-", "").replace(".", "").isalnum()
    ):
        attributes[name] = value
