"""What a child may use: never more than its parent has left, and nothing twice.

The calls of one answer that are still to be handed out share what is left, and what a child may use is set aside until it
ends; so children that work side by side can't use the same tokens, whoever comes first. An eighth stays with the parent, which
has to read what they found. Time is not shared out: children that work side by side take it together. All of it follows
from the parent's folded state, so it is the same after a crash.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from life.arcan.agents.definition import AgentDefinition
from life.arcan.agents.profile import MAX_DEPTH
from life.arcan.events import RunLimits
from life.arcan.session_state import RunState, SessionState, cost_micro, worked_us

SPAWN_AGENT: Final = "spawn_agent"
_KEPT: Final = 8
"""One part in so many stays with the parent."""


class Refused(NamedTuple):
    """The child is not begun; the model reads why."""

    error: str
    detail: str


def child_limits(
    state: SessionState, definition: AgentDefinition, now_us: int, *, same_model: bool
) -> RunLimits | Refused:
    """The limits of the next child of the open run. Without `same_model` its cost is counted by what its provider says."""
    run = state.run
    assert run is not None
    lineage = state.config.agent.lineage if state.config.agent is not None else ()
    if len(lineage) >= MAX_DEPTH:
        return Refused("depth_exceeded", f"Agents may stand {MAX_DEPTH} deep.")
    if definition.name in lineage:
        return Refused("cycle_detected", f"This work is done for {definition.name} already.")
    limits = run.limits
    open_children = [call.child.limits for call in state.calls if call.child is not None]
    waiting = max(1, sum(call.tool_name == SPAWN_AGENT and call.child is None for call in state.calls))
    spawns = limits.max_subagents - run.subagents - sum(1 + child.max_subagents for child in open_children)
    if spawns < 1:
        return Refused("invocation_limit", f"All {limits.max_subagents} agents of this run were used.")
    used_tokens = run.prompt_tokens + run.completion_tokens + run.children_tokens
    tokens = _share(limits.max_tokens - used_tokens, [child.max_tokens for child in open_children], waiting)
    if tokens < 1:
        return Refused("token_budget_exhausted", "This run has no tokens left for another agent.")
    time_ms = (limits.max_time_ms - worked_us(run, now_us) // 1000) * (_KEPT - 1) // _KEPT
    if time_ms < 1:
        return Refused("wall_clock_exhausted", "This run has no time left for another agent.")
    cost: int | None = None
    if limits.max_cost_micro is not None:
        children = [child.max_cost_micro or 0 for child in open_children]
        cost = _share(limits.max_cost_micro - _cost(run), children, waiting)
        if cost < 1:
            return Refused("cost_budget_exhausted", "This run has no money left for another agent.")
    used_calls = run.tool_calls + run.children_tool_calls
    calls = _share(limits.max_tool_calls - used_calls, [child.max_tool_calls for child in open_children], waiting)
    wanted_cost = definition.max_cost_micro
    if wanted_cost is not None:
        cost = wanted_cost if cost is None else min(cost, wanted_cost)
    return RunLimits(
        max_steps=definition.max_turns,
        max_tokens=tokens if definition.max_tokens is None else min(tokens, definition.max_tokens),
        max_time_ms=time_ms if definition.max_time_s is None else min(time_ms, definition.max_time_s * 1000),
        max_tool_calls=max(0, calls),
        max_errors=limits.max_errors,
        max_cost_micro=cost,
        price=limits.price if same_model else None,
        max_subagents=max(0, (spawns - waiting) // waiting),
    )


def _share(left: int, set_aside: list[int], waiting: int) -> int:
    """One child's part of what is left, when so many wait for theirs."""
    return (left * (_KEPT - 1) // _KEPT - sum(set_aside)) // waiting


def _cost(run: RunState) -> int:
    """What the run's own calls and its children's cost; all of it when nobody can say."""
    limit = run.limits.max_cost_micro
    if limit is not None and run.limits.price is None and run.uncosted > 0:
        return limit
    return cost_micro(run)
