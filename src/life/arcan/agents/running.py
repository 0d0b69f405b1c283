"""Running an agent for a person: a session of its own, one run per input."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from life.aios.json import Json
from life.aios.policy import PolicySet
from life.aios.record import USER, Actor
from life.arcan.agents.schemas import violations
from life.arcan.agents.spawn import session_config
from life.arcan.agents.typed import objective_of
from life.arcan.errors import AgentDefinitionError, SessionTakenError
from life.arcan.events import RunLimits
from life.arcan.limits import within
from life.arcan.runtime import Runtime


class AgentRun(NamedTuple):
    """A run that goes on."""

    session_id: str
    run_id: str


async def start_agent(
    runtime: Runtime,
    name: str,
    value: Json,
    *,
    session_id: str | None = None,
    owner: str = "",
    limits: RunLimits | None = None,
    policy: PolicySet | None = None,
    actor: Actor = USER,
) -> AgentRun:
    """Begin a run of the agent `name` on an input, in a new session unless one is named. Its own limits hold within `limits`, or
    within the runtime's. AgentNotFoundError; AgentDefinitionError: the input does not fit its schema; SessionTakenError: the session is
    not this agent's."""
    definition = runtime.agents.get(name)
    if definition.input_schema is not None:
        unfit = violations(value, definition.input_schema)
        if unfit:
            raise AgentDefinitionError(f"The input of {name} does not fit. {' '.join(unfit)}")
    bounds = limits or runtime.settings.limits
    own = RunLimits(
        max_steps=definition.max_turns,
        max_tokens=definition.max_tokens or bounds.max_tokens,
        max_time_ms=definition.max_time_s * 1000 if definition.max_time_s else bounds.max_time_ms,
        max_tool_calls=bounds.max_tool_calls,
        max_errors=bounds.max_errors,
        max_subagents=bounds.max_subagents,
        max_cost_micro=definition.max_cost_micro,
    )
    allowed = within(own, bounds)
    if limits is None:  # how many turns it takes is the definition's to say
        allowed = msgspec.structs.replace(allowed, max_steps=definition.max_turns)
    config = session_config(definition, owner=owner, policy=policy or runtime.settings.policy)
    state = await runtime.create_session(session_id, name=name, config=config)
    if state.config.agent is None or state.config.agent.name != name or state.config.owner != owner:
        raise SessionTakenError(state.session_id)
    run_id = await runtime.start(state.session_id, objective_of(value), limits=allowed, actor=actor)
    return AgentRun(state.session_id, run_id)
