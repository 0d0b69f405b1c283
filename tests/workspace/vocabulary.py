"""Every dotted event name of the parts that write into sessions, found in their sources; and the structs of those we know."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

import life
from life.arcan import branch_events, control, events
from life.arcan.agents import events as agents
from life.arcan.context import events as context
from life.workspace.judge_folds import JUDGES
from life.workspace.space_folds import SPACES
from tests.workspace.neighbours import NEIGHBOURS

_EPHEMERAL = {"arcan.stream_ready", "arcan.stream_closed"}
"""Markers of the event stream: they have no sequence, and no journal has them."""

_NAME = re.compile(r'^[A-Z_]+(?:: Final)? = "((?:arcan|skill|policy|autonomic|eval)\.[A-Za-z_]+)"$', re.MULTILINE)


def dotted_names() -> set[str]:
    """Names that constants of `life.arcan` and `life.autonomic` give to extension events, and those of judges, Spaces and demos."""
    root = Path(life.__file__).parent
    found: set[str] = set()
    for part in ("arcan", "autonomic"):
        for path in (root / part).rglob("*.py"):
            found |= set(_NAME.findall(path.read_text()))
    return (found | NEIGHBOURS.keys() | SPACES.keys() | JUDGES.keys()) - _EPHEMERAL


def structs_by_name() -> dict[str, type[msgspec.Struct]]:
    """The structs of the runtime's own events."""
    return {
        events.RUN_LIMITS: events.RunLimits,
        events.LIMIT_REACHED: events.LimitReached,
        events.TOOL_PROBED: events.ToolProbed,
        events.RUN_IN_DOUBT: events.RunInDoubt,
        events.DOUBT_RESOLVED: events.DoubtResolved,
        events.REASONING: events.Reasoning,
        branch_events.BRANCH_SEALED: branch_events.BranchSealed,
        branch_events.FILES_PLACED: branch_events.FilesPlaced,
        context.CONTEXT_FROZEN: context.ContextFrozen,
        context.CONTEXT_NOTED: context.ContextNoted,
        context.CONTEXT_WINDOW: context.ContextWindow,
        context.SUMMARY_STARTED: context.SummaryStarted,
        agents.SUBAGENT_STARTED: agents.SubagentStarted,
        agents.SUBAGENT_WAITING: agents.SubagentWaiting,
        agents.SUBAGENT_FINISHED: agents.SubagentFinished,
        **control.CONTROL_EVENTS,
    }
