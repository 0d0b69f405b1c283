"""A scenario: what an agent does, and what happens to it, as a file (TOML).

    name = "A price shock"
    seed = 7
    duration_s = 10_800
    step_s = 10
    credit_micro = 20_000_000

    [load]                       # what the agent does all the time
    runs_per_hour = 30
    calls_per_run = 4            # model calls; each asks for one tool call but the last
    prompt_tokens = 4_000
    completion_tokens = 400
    cost_micro = 1_500           # of one call, on the agent's own model
    error_percent = 2            # of the tool calls

    [[events]]
    at_s = 3_600
    until_s = 5_400              # without it, for good
    set = { cost_micro = 150_000 }

    [[events]]
    at_s = 7_200
    deposit_micro = 400_000_000

The same file gives the same course, number for number: chance comes from the seed alone.
"""

from __future__ import annotations

import tomllib
from typing import Annotated, Final

import msgspec

from life.autonomic.economy import TokenRates
from life.autonomic.errors import ScenarioError
from life.autonomic.thresholds import Thresholds

MOST_STEPS: Final = 100_000
MOST_CALLS: Final = 500_000

_Percent = Annotated[int, msgspec.Meta(ge=0, le=100)]
_Micro = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)]


class Load(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the agent does, and what it costs. Money is micro-credits."""

    runs_per_hour: Annotated[int, msgspec.Meta(ge=0, le=3_600)] = 30
    calls_per_run: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 4
    prompt_tokens: _Count = 4_000
    completion_tokens: _Count = 400
    cost_micro: _Micro = 1_500
    error_percent: _Percent = 2
    standard_percent: _Percent = 50
    """What a call costs on the standard model, of the own one's price; `budget_percent` on the cheap one."""
    budget_percent: _Percent = 10
    context_window: Annotated[int, msgspec.Meta(ge=1_000, le=1_000_000_000)] = 200_000
    context_growth: _Count = 0
    """Tokens that each call adds to the prompt, until the context is shortened."""
    token_budget: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] = 120_000
    """Of a run."""
    payment_micro: _Micro = 0
    """Paid once in each run, beside the model."""


class Happening(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that happens at `at_s` seconds: other values of the load, a deposit, a charge, revenue, a violation, a person who
    wakes the agent for some minutes, or a clock that is set."""

    at_s: Annotated[int, msgspec.Meta(ge=0)]
    until_s: int | None = None
    set: dict[str, int] = {}
    deposit_micro: _Micro = 0
    charge_micro: _Micro = 0
    revenue_micro: _Micro = 0
    violations: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    wake_minutes: Annotated[int, msgspec.Meta(ge=0, le=1_440)] = 0
    quality_percent: _Percent | None = None
    """An evaluation with this score."""
    clock_jump_s: Annotated[int, msgspec.Meta(ge=-10_000_000_000, le=10_000_000_000)] = 0
    label: str = ""


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to play."""

    name: str = "scenario"
    seed: int = 1
    duration_s: Annotated[int, msgspec.Meta(ge=1, le=31_536_000)] = 7_200
    step_s: Annotated[int, msgspec.Meta(ge=1, le=3_600)] = 10
    credit_micro: _Micro | None = None
    load: Load = Load()
    events: tuple[Happening, ...] = ()
    thresholds: Thresholds = Thresholds()
    rates: TokenRates = TokenRates()


def parse_scenario(text: str) -> Scenario:
    """The scenario of a TOML text; ScenarioError with the reason when it is none."""
    try:
        scenario = msgspec.convert(tomllib.loads(text), Scenario)
        load_fields = set(Load.__struct_fields__)
        for event in scenario.events:
            unknown = sorted(set(event.set) - load_fields)
            if unknown:
                raise ScenarioError(f"The load has no {unknown[0]!r}; it has {', '.join(sorted(load_fields))}.")
            if event.until_s is not None and event.until_s <= event.at_s:
                raise ScenarioError(f"An event that begins at {event.at_s} s can't end at {event.until_s} s.")
            changed(scenario.load, event.set)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, ValueError) as error:
        raise ScenarioError(f"The scenario can't be played: {error}.") from None
    check_size(scenario)
    return scenario


def check_size(scenario: Scenario) -> None:
    """ScenarioError for one that would take too long."""
    busiest = max((load.runs_per_hour * load.calls_per_run for load in _loads(scenario)), default=0)
    calls = busiest * scenario.duration_s // 3_600
    if scenario.duration_s // scenario.step_s > MOST_STEPS or calls > MOST_CALLS:
        raise ScenarioError(
            f"The scenario has {scenario.duration_s // scenario.step_s} steps and about {calls} calls; "
            f"at most {MOST_STEPS} and {MOST_CALLS} are played."
        )


def _loads(scenario: Scenario) -> list[Load]:
    return [scenario.load, *(changed(scenario.load, event.set) for event in scenario.events)]


def changed(load: Load, values: dict[str, int]) -> Load:
    """The load with some other values; msgspec.ValidationError when they can't be."""
    if not values:
        return load
    return msgspec.convert({**msgspec.to_builtins(load), **values}, Load)


def load_at(scenario: Scenario, at_s: int) -> Load:
    """The load in force at a moment; of several changes the last one named wins."""
    values: dict[str, int] = {}
    for event in scenario.events:
        if event.at_s <= at_s and (event.until_s is None or at_s < event.until_s):
            values.update(event.set)
    return changed(scenario.load, values)
