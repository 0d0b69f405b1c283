"""Limits of a run, judged from its folded state alone (arcan.md §2.7).

Steps are asked before a model call only; everything else also before a tool's effect, so that a run whose tokens are
used up does not go on acting.
"""

from __future__ import annotations

from life.aios.errors import InvalidInputError
from life.arcan.events import LimitName, LimitReached, RunLimits
from life.arcan.session_state import RunState, cost_micro, worked_us

WORDS: dict[LimitName, str] = {
    "steps": "steps",
    "tokens": "tokens",
    "time": "milliseconds of work",
    "tool_calls": "tool calls",
    "errors": "errors",
    "cost": "micro-credits",
}
"""What each limit counts, for people and models."""


def exceeded(run: RunState, now_us: int) -> LimitReached | None:
    """The first limit that forbids both another tool run and another model call, or None."""
    limits = run.limits
    used: list[tuple[LimitName, int, int]] = [
        ("tokens", limits.max_tokens, run.prompt_tokens + run.completion_tokens + run.children_tokens),
        ("time", limits.max_time_ms, worked_us(run, now_us) // 1000),
        ("errors", limits.max_errors, run.errors),
    ]
    if limits.max_cost_micro is not None:
        # What can't be counted can't be limited: a call without a known cost uses up all of it.
        unknown = limits.price is None and run.uncosted > 0
        used.append(("cost", limits.max_cost_micro, limits.max_cost_micro if unknown else cost_micro(run)))
    for name, allowed, amount in used:
        if amount >= allowed:
            return LimitReached(limit=name, allowed=allowed, used=amount)
    return None


def no_more_tools(run: RunState, now_us: int) -> LimitReached | None:
    """The limit that forbids another tool run, or None."""
    calls = run.tool_calls + run.children_tool_calls
    if calls >= run.limits.max_tool_calls:
        return LimitReached(limit="tool_calls", allowed=run.limits.max_tool_calls, used=calls)
    return exceeded(run, now_us)


def no_more_steps(run: RunState, now_us: int) -> LimitReached | None:
    """The limit that forbids another model call, or None."""
    reached = exceeded(run, now_us)
    if reached is not None:
        return reached
    if run.steps >= run.limits.max_steps:
        return LimitReached(limit="steps", allowed=run.limits.max_steps, used=run.steps)
    return None


def within(limits: RunLimits, bounds: RunLimits) -> RunLimits:
    """`limits`, but nowhere beyond `bounds`; the price is that of `bounds`."""
    cost = limits.max_cost_micro if bounds.max_cost_micro is None else bounds.max_cost_micro
    if limits.max_cost_micro is not None and cost is not None:
        cost = min(cost, limits.max_cost_micro)
    return RunLimits(
        max_steps=min(limits.max_steps, bounds.max_steps),
        max_tokens=min(limits.max_tokens, bounds.max_tokens),
        max_time_ms=min(limits.max_time_ms, bounds.max_time_ms),
        max_tool_calls=min(limits.max_tool_calls, bounds.max_tool_calls),
        max_errors=min(limits.max_errors, bounds.max_errors),
        max_subagents=min(limits.max_subagents, bounds.max_subagents),
        max_cost_micro=cost,
        price=bounds.price,
    )


def check_limits(limits: RunLimits) -> RunLimits:
    """`limits`, when a run can start under them; otherwise an InvalidInputError."""
    for name in ("max_steps", "max_tokens", "max_time_ms", "max_tool_calls", "max_errors"):
        if getattr(limits, name) < (0 if name == "max_tool_calls" else 1):
            raise InvalidInputError(f"The limit {name} must be positive.")
    if limits.max_subagents < 0:
        raise InvalidInputError("The limit max_subagents can't be negative.")
    if limits.max_cost_micro is not None and limits.max_cost_micro < 1:
        raise InvalidInputError("The limit max_cost_micro must be positive.")
    return limits
