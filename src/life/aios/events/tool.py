"""Tools, policy, approvals, sandboxes and files."""

from __future__ import annotations

from life.aios.events.kind import ImageReference, Kind
from life.aios.json import Json
from life.aios.state import ApprovalDecision, PolicyDecisionKind, RiskLevel, SpanStatus


class ToolCallRequested(Kind, frozen=True, kw_only=True):
    """The model (or a person) asks for a tool call."""

    call_id: str
    tool_name: str
    arguments: Json
    category: str | None = None


class ToolCallStarted(Kind, frozen=True, kw_only=True):
    """The intent: from here on the tool may have had its effect. On disk before the tool runs."""

    tool_run_id: str
    tool_name: str
    call_id: str | None = None
    idempotency_key: str | None = None
    probe: Json = None


class ToolCallCompleted(Kind, frozen=True, kw_only=True):
    """The outcome of a tool run."""

    tool_run_id: str
    tool_name: str
    result: Json
    duration_ms: int
    status: SpanStatus
    call_id: str | None = None
    images: tuple[ImageReference, ...] = ()
    """Images among the result; their bytes are blobs."""


class ToolCallFailed(Kind, frozen=True, kw_only=True):
    """The call gave no result: refused, unknown, or the tool failed."""

    call_id: str
    tool_name: str
    error: str


class PolicyEvaluated(Kind, frozen=True, kw_only=True):
    """What the gate said, and by which rule."""

    tool_name: str
    decision: PolicyDecisionKind
    rule_id: str | None = None
    explanation: str | None = None


class ApprovalRequested(Kind, frozen=True, kw_only=True):
    """A person has to decide before this very call may run."""

    approval_id: str
    call_id: str
    tool_name: str
    arguments: Json
    risk: RiskLevel
    capabilities: tuple[str, ...] = ()
    """What the call needs; one ticket lists all of it."""


class ApprovalResolved(Kind, frozen=True, kw_only=True):
    """The person's decision, or the time that ran out."""

    approval_id: str
    decision: ApprovalDecision
    reason: str | None = None


class SandboxCreated(Kind, frozen=True, kw_only=True):
    """A sandbox was set up."""

    sandbox_id: str
    tier: str
    config: Json = None


class SandboxExecuted(Kind, frozen=True, kw_only=True):
    """A command ran in a sandbox."""

    sandbox_id: str
    command: str
    exit_code: int
    duration_ms: int


class SandboxViolation(Kind, frozen=True, kw_only=True):
    """Something tried to leave its sandbox."""

    sandbox_id: str
    violation_type: str
    details: str


class SandboxDestroyed(Kind, frozen=True, kw_only=True):
    """A sandbox is gone."""

    sandbox_id: str


class FileWrite(Kind, frozen=True, kw_only=True):
    """A file has this content from now on."""

    path: str
    blob_hash: str
    size_bytes: int
    content_type: str | None = None


class FileDelete(Kind, frozen=True, kw_only=True):
    """A file is gone."""

    path: str


class FileRename(Kind, frozen=True, kw_only=True):
    """A file has another name."""

    old_path: str
    new_path: str


class FileMutated(Kind, frozen=True, kw_only=True):
    """A workspace file changed; `content_hash` is its SHA-256 in hex, or `deleted`."""

    path: str
    content_hash: str
