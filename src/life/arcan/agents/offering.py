"""The tools that a session is offered: all, or an agent's part of them, and what a typed agent answers with."""

from __future__ import annotations

from life.aios.ports.tools import ToolDefinition
from life.arcan.agents.budget import SPAWN_AGENT
from life.arcan.agents.profile import AgentProfile
from life.arcan.agents.toolbox import AgentToolbox
from life.arcan.agents.typed import RECORD_ANSWER, answer_tool
from life.arcan.session_state import SessionState
from life.arcan.settings import Parts


def _may_see(profile: AgentProfile | None, definition: ToolDefinition) -> bool:
    """Whether a session of this agent (None: nobody's in particular) is offered the tool."""
    if profile is None:
        return not definition.by_name_only
    named = not definition.by_name_only or profile.names(definition.name)
    return named and profile.permits(definition.name) and definition.name != RECORD_ANSWER


def offered_tools(parts: Parts, state: SessionState) -> list[ToolDefinition]:
    """The tools of a session: the toolbox's, of an agent those that it may see, and what it answers with."""
    profile = state.config.agent
    offered = [definition for definition in parts.toolbox.definitions() if _may_see(profile, definition)]
    if parts.delegation is not None and isinstance(parts.toolbox, AgentToolbox):
        spawn = parts.delegation.tool(state)
        own = (spawn,) if spawn is not None and any(each.name == SPAWN_AGENT for each in offered) else ()
        others = [each for each in offered if each.name != SPAWN_AGENT]
        offered = sorted((*others, *own), key=lambda each: each.name)
    if profile is not None and profile.output_schema is not None:
        offered.append(answer_tool(profile.output_schema))
    return offered
