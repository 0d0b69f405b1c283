"""Tools: what an agent can do, and the honest answer to "did it happen?"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, Protocol

import msgspec

from life.aios.events.kind import ImageReference
from life.aios.events.tool import SandboxExecuted, SandboxViolation
from life.aios.json import Json, JsonObject
from life.aios.state import SpanStatus


class ToolAnnotations(msgspec.Struct, frozen=True):
    """What kind of effect a tool has (MCP's hints). All false unless said."""

    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False
    open_world: bool = False
    requires_confirmation: bool = False


class ToolDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A tool as models and people see it. `input_schema` is a JSON Schema object."""

    name: str
    description: str
    input_schema: JsonObject
    annotations: ToolAnnotations = ToolAnnotations()
    category: str = "general"
    timeout_s: int = 30
    cost_class: Literal["normal", "expensive"] = "normal"
    """`expensive`: withheld while means are short."""
    by_name_only: bool = False
    """Offered only to agents whose list of tools names it; not to sessions that have all tools."""


class ToolCall(msgspec.Struct, frozen=True):
    """One call. `call_id` is unique within the session."""

    call_id: str
    tool_name: str
    arguments: Json


class ToolContext(msgspec.Struct, frozen=True, kw_only=True):
    """Where a call runs. `idempotency_key` is the same for every attempt of the same call."""

    session_id: str
    branch_id: str
    agent_id: str
    run_id: str
    workspace: str
    """Absolute path of the session's directory; tools never leave it."""
    idempotency_key: str


class OutcomeNote(msgspec.Struct, frozen=True):
    """A Custom event that a tool wants in the journal beside its outcome. Only `skill.*`, `spaces.*` and `mcp.called` are taken from tools."""

    event_type: str
    data: Json


NOTE_PREFIXES: Final = ("skill.", "spaces.")
"""Of the event types that a tool may note."""

MCP_CALLED: Final = "mcp.called"
"""The note of a call that another MCP server answered: `call_id`, `transport`, `address`, `port`, `protocol_version`,
`duration_us`, `rpc_code` (of a JSON-RPC error). It is written before the outcome, so that who reads it knows the call."""

ALWAYS_WITHIN_SKILLS: Final = frozenset({"skill"})
"""Tools that a skill's list of tools does not have to name: the one that reads skills, and changes nothing."""


class ToolOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a call gave. A failure is an outcome, too: the model reads `output` and goes on."""

    status: SpanStatus
    output: Json
    mutated_paths: tuple[tuple[str, str], ...] = ()
    """(workspace path, SHA-256 hex of the new content or `deleted`) of every file the call changed."""
    sandbox: tuple[SandboxExecuted | SandboxViolation, ...] = ()
    """What a sandbox did and refused during the call; journaled with the outcome."""
    notes: tuple[OutcomeNote, ...] = ()
    """Events of the tool's own subsystem that belong to the outcome; they are written with it."""
    in_doubt: str | None = None
    """Why nobody can tell whether the call took effect. The run then stands still until a person decides, as after a crash;
    `output` is not used."""
    images: tuple[ImageReference, ...] = ()
    """Images that the model is shown with the output; their bytes are blobs already."""


ProbeAnswer = Literal["done", "not_done", "repeatable", "unknown"]
"""`done`: the effect happened. `not_done`: it did not; run it. `repeatable`: running (again) has the effect once at most.
`unknown`: only a person can tell."""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What an interrupted call really did."""

    answer: ProbeAnswer
    explanation: str
    outcome: ToolOutcome | None = None
    """With `done`: the outcome as far as it can be told."""


class Toolbox(Protocol):
    """The tools of a runtime. Validation, time limits and result limits are the toolbox's, not each tool's."""

    def definitions(self) -> Sequence[ToolDefinition]:
        """All tools, by name."""
        ...

    def capabilities(self, call: ToolCall, context: ToolContext) -> tuple[str, ...]:
        """What this very call needs (aios.md §8), computed from the tool and its arguments. Unfit arguments: ToolError."""
        ...

    async def prepare(self, call: ToolCall, context: ToolContext) -> Json:
        """What a later probe needs to know about the world before the call (file hashes, …); written with the intent."""
        ...

    async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        """Run the call once. Never raises for what the tool does: errors and time-outs are outcomes."""
        ...

    async def probe(self, call: ToolCall, context: ToolContext, prepared: Json) -> Probe:
        """After a crash between intent and outcome: what happened? Changes nothing."""
        ...
