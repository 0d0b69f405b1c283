"""What the loop needs of whoever runs children; `life.arcan.agents.spawn` is it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from life.aios.json import Json
from life.aios.ports.tools import ToolDefinition
from life.arcan.agents.budget import Refused
from life.arcan.agents.events import Spent, SubagentStarted, SubagentWaiting
from life.arcan.session_state import CallState, SessionState


class ChildEnd(NamedTuple):
    """How a child ended."""

    run_id: str
    """Empty: its run could not begin."""
    reason: str
    spent: Spent
    is_error: bool
    output: Json
    """What the parent's model reads."""
    mutated_paths: tuple[tuple[str, str], ...] = ()
    """(workspace path, SHA-256 hex or `deleted`) of what it changed."""


class Delegation(Protocol):
    """Plans, begins, awaits and stops the children of calls."""

    def tool(self, state: SessionState) -> ToolDefinition | None:
        """`spawn_agent` as this session is offered it; None when there is nobody to spawn."""
        ...

    def plan(self, state: SessionState, call: CallState) -> SubagentStarted | Refused:
        """The child that a permitted call gets, or why it gets none. Writes and starts nothing."""
        ...

    async def begin(self, child: SubagentStarted) -> None:
        """See that the child's run is going on, or was: create its session and start its run where that is missing, take it
        up where a crash cut it off. May be called any number of times."""
        ...

    async def ended(self, child: SubagentStarted, waits: Callable[[SubagentWaiting], None]) -> ChildEnd:
        """Wait for the child's end; `waits` hears when it needs a person. Cancelling the waiting leaves the child alone."""
        ...

    async def stop(self, child: SubagentStarted) -> ChildEnd:
        """Cancel the child, and what works for it; how it ended."""
        ...

    async def is_orphan(self, state: SessionState) -> bool:
        """Whether nobody waits any more for what this session's run does."""
        ...
