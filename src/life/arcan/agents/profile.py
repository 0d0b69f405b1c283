"""What a session of an agent was created with; it stands in its SessionCreated, so that a changed file changes no open run."""

from __future__ import annotations

import fnmatch
from typing import Final

import msgspec

from life.aios.ids import MAIN_BRANCH
from life.aios.json import JsonObject

MAX_DEPTH: Final = 8
"""Agents below the session that a person talks to (arcan.md §11.3)."""

ALWAYS_OFFERED: Final = frozenset({"record_answer"})
"""What an agent's list of tools does not have to name."""


class AgentProfile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The agent that a session is one of."""

    name: str
    digest: str = ""
    """SHA-256 of the definition's file."""
    output_schema: JsonObject | None = None
    """What its answer has to fit; None: it answers in words."""
    max_retries: int = 3
    """How many times it is told that its answer does not fit."""
    scopes: tuple[tuple[str, ...], ...] = ()
    """Names or patterns with `*`; a tool is offered when every one of these lists names it."""
    lineage: tuple[str, ...] = ()
    """The names of the agents from the first down to this one."""

    def permits(self, tool_name: str) -> bool:
        """Whether the agent may see this tool."""
        return tool_name in ALWAYS_OFFERED or all(
            any(fnmatch.fnmatchcase(tool_name, pattern) for pattern in scope) for scope in self.scopes
        )

    def names(self, tool_name: str) -> bool:
        """Whether one of its lists names this very tool, not by a pattern."""
        return any(tool_name in scope for scope in self.scopes)


class ParentLink(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The call that a session works for."""

    session_id: str
    branch: str = MAIN_BRANCH
    run_id: str
    call_id: str
    root_session: str
    """The session that a person talks to; its workspace is that of all agents below it."""
    root_branch: str = MAIN_BRANCH
