"""The stability budget of recursive control: does each level adapt slowly enough, and switch rarely enough?

    margin = gamma - L_theta rho - L_d eta - beta tau - ln(max(nu, 1)) / dwell        stable when > 0

gamma is the decay rate, L_theta rho the cost of adaptation, L_d eta that of design drift, beta tau that of delay, and the
last term that of switching modes. The delay of level 1 is the decision latency (an event appended until its profile is
used, 95th percentile of the last 50), not the pause between turns: an agent that rests is not unstable.

Source: autonomic.md §9, after Eslami & Yu 2026 (arXiv 2603.10779), whose two cases are test vectors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from life.autonomic.state import HomeostaticState

Level = Literal["L0", "L1", "L2", "L3"]
LATENCIES: Final = 50


class LevelParameters(msgspec.Struct, frozen=True):
    """One level's parameters; times in seconds."""

    gamma: float
    l_theta: float
    rho: float
    l_d: float
    eta: float
    beta: float
    tau_s: float
    nu: float
    dwell_s: float

    @property
    def margin(self) -> float:
        """The stability margin; minus infinity when no time passes between switches."""
        if self.dwell_s <= 0:
            return -math.inf
        switching = math.log(max(self.nu, 1.0)) / self.dwell_s
        return self.gamma - self.l_theta * self.rho - self.l_d * self.eta - self.beta * self.tau_s - switching


CANONICAL: Final[dict[Level, LevelParameters]] = {
    "L0": LevelParameters(2.0, 0.3, 0.5, 0.1, 0.2, 1.0, 0.01, 1.2, 0.5),
    "L1": LevelParameters(0.5, 0.2, 0.1, 0.1, 0.05, 0.5, 0.1, 1.5, 30),
    "L2": LevelParameters(0.1, 0.05, 0.01, 0.02, 0.01, 0.0005, 60, 1.1, 3_600),
    "L3": LevelParameters(0.01, 0.001, 0.001, 0.001, 0.0005, 1e-6, 3_600, 1.05, 86_400),
}
"""L0 plant, L1 autonomic, L2 evolution of the rules, L3 governance."""


class StabilityBudget(msgspec.Struct, frozen=True, kw_only=True):
    """The margins of the levels, and the smallest. L1 is estimated from the state; the others are the design's own."""

    margins: dict[Level, float]
    smallest: float
    latencies_s: tuple[float, ...] = ()
    """The delays of decisions that L1 was estimated from, in seconds."""
    estimated_levels: tuple[Level, ...] = ("L1",)

    @property
    def is_stable(self) -> bool:
        """Whether every level is."""
        return self.smallest > 0


def stability(state: HomeostaticState, latencies_s: Sequence[float] = ()) -> StabilityBudget:
    """The budget for this state; `latencies_s` are the last decisions' delays."""
    levels = {**CANONICAL, "L1": estimated_l1(state, latencies_s)}
    margins: dict[Level, float] = {level: parameters.margin for level, parameters in levels.items()}
    return StabilityBudget(margins=margins, smallest=min(margins.values()), latencies_s=tuple(latencies_s))


def estimated_l1(state: HomeostaticState, latencies_s: Sequence[float] = ()) -> LevelParameters:
    """Level 1 as this state shows it."""
    prior, cognitive = CANONICAL["L1"], state.cognitive
    load = min(1.0, max(0.0, cognitive.context_pressure + min(1.0, max(0.0, cognitive.tool_density / 5))))
    drift = min(cognitive.memory_commit_count + cognitive.compaction_count, 20) / 20
    delay = percentile(latencies_s, 0.95) if latencies_s else prior.tau_s
    return msgspec.structs.replace(
        prior,
        rho=prior.rho * (0.5 + load),
        eta=prior.eta * (0.5 + drift),
        tau_s=min(10 * prior.tau_s, max(0.5 * prior.tau_s, delay)),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the last values do not exceed."""
    ordered = sorted(values[-LATENCIES:])
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]
