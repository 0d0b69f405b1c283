"""What every fold of a session needs: counters that stay within bounds, and what a run's use means for its budget.

Counters of a journal may be anything (other makers, other versions); here they become natural numbers that every JSON
reader can hold.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from life.aios.json import Json
from life.aios.record import EventRecord
from life.aios.state import BudgetState, OperatingMode, TokenUsage
from life.arcan import events as arcan
from life.arcan import vector as vectors
from life.arcan.session_state import RunState, SessionState, Totals, cost_micro, worked_us

_MAX_COUNT: Final = 2**53 - 1

_ADVISED_COST_MICRO: Final = 5_000_000
"""What `cost_remaining_usd` counts down from where no limit is set (aios.md §6); advice, not a limit."""

_T = TypeVar("_T", bound=msgspec.Struct)


def paused(state: SessionState, record: EventRecord) -> SessionState:
    """Only a person can move the run: its clock stops."""
    run = state.run
    if run is not None:
        run = replace(run, worked_us=worked_us(run, record.timestamp_us), active_since_us=None)
    return accounted(replace(state, run=run, vector=vectors.waiting_for_person(state.vector)), record)


def resumed(state: SessionState, record: EventRecord, *, decided: str = "") -> SessionState:
    """The person has decided: the run's clock goes on, unless it is paused or another decision than that about the call
    `decided` is open."""
    run = state.run
    waits = (
        state.held
        or bool(state.suspended)
        or any(
            call.phase in ("awaiting_approval", "awaiting_client", "in_doubt")
            for call in state.calls
            if call.call_id != decided
        )
    )
    if run is not None and run.active_since_us is None and not waits:
        run = replace(run, active_since_us=record.timestamp_us)
    return accounted(replace(state, run=run, vector=vectors.person_decided(state.vector)), record)


def accounted(state: SessionState, record: EventRecord) -> SessionState:
    """Budget and mode as they follow from what the run used."""
    run = state.run
    if run is None:
        return replace(state, mode=mode(state))
    limits = run.limits
    allowed_micro = limits.max_cost_micro if limits.max_cost_micro is not None else _ADVISED_COST_MICRO
    cost_usd = max(0, allowed_micro - cost_micro(run)) / 1_000_000
    budget = BudgetState(
        tokens_remaining=max(0, limits.max_tokens - run.prompt_tokens - run.completion_tokens - run.children_tokens),
        time_remaining_ms=max(0, limits.max_time_ms - worked_us(run, record.timestamp_us) // 1000),
        cost_remaining_usd=cost_usd,
        tool_calls_remaining=max(0, limits.max_tool_calls - run.tool_calls - run.children_tool_calls),
        error_budget_remaining=max(0, limits.max_errors - run.errors),
    )
    return replace(state, vector=replace(state.vector, budget=budget), mode=mode(state))


def mode(state: SessionState) -> OperatingMode:
    """The mode that fits the state: advice, never a reason to stop."""
    run = state.run
    waiting = state.status in ("waiting", "paused", "in_doubt")
    if state.regulation.mode is not None and run is not None and not waiting:
        return state.regulation.mode
    return vectors.estimate_mode(
        state.vector,
        open_run=run is not None,
        waiting=waiting,
        denied=run is not None and run.denied,
    )


def costed(run: RunState, usage: TokenUsage | None) -> RunState:
    """The run with what one more model call cost; a call that nobody can price is counted as such."""
    cost = usage.cost_micro if usage is not None else msgspec.UNSET
    if isinstance(cost, int):
        return replace(run, cost_micro=count(run.cost_micro + count(cost)))
    free = usage is not None and usage.prompt_tokens == 0 and usage.completion_tokens == 0
    return run if free else replace(run, uncosted=count(run.uncosted + 1))


def counted(totals: Totals, **added: int) -> Totals:
    """The totals with these amounts added."""
    return replace(totals, **{name: count(getattr(totals, name) + value) for name, value in added.items()})


def count(value: int) -> int:
    """A counter from a journal: not negative, and not beyond what JSON readers can hold."""
    return value if 0 <= value <= _MAX_COUNT else min(max(value, 0), _MAX_COUNT)


def bounded_budget(budget: BudgetState) -> BudgetState:
    """A budget from a journal, every amount a natural number."""
    return BudgetState(
        tokens_remaining=count(budget.tokens_remaining),
        time_remaining_ms=count(budget.time_remaining_ms),
        cost_remaining_usd=min(max(budget.cost_remaining_usd, 0.0), 1e12),
        tool_calls_remaining=count(budget.tool_calls_remaining),
        error_budget_remaining=count(budget.error_budget_remaining),
    )


def bounded_limits(limits: arcan.RunLimits) -> arcan.RunLimits:
    """Limits from a journal, every amount a natural number."""
    price = limits.price
    if price is not None:
        price = arcan.TokenPrice(
            prompt_micro_per_million=count(price.prompt_micro_per_million),
            completion_micro_per_million=count(price.completion_micro_per_million),
        )
    return arcan.RunLimits(
        max_steps=count(limits.max_steps),
        max_tokens=count(limits.max_tokens),
        max_time_ms=count(limits.max_time_ms),
        max_tool_calls=count(limits.max_tool_calls),
        max_errors=count(limits.max_errors),
        max_subagents=count(limits.max_subagents),
        max_cost_micro=None if limits.max_cost_micro is None else count(limits.max_cost_micro),
        price=price,
    )


def converted(value: Json, target: type[_T]) -> _T | None:
    """`value` as `target`, or None when it does not fit (configurations of other makers)."""
    try:
        return msgspec.convert(value, target)
    except msgspec.ValidationError:
        return None
