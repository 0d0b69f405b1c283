"""All decisions together: the strictest value of each field wins, so that no rule can loosen what another one holds.

Source: autonomic.md §7. A rule's limit of tool calls is taken with the default one, so none can raise it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from life.aios.state import EconomicMode, GatingProfile
from life.autonomic import modes
from life.autonomic.decisions import AutonomicGatingProfile, EconomicGates, GatingDecision
from life.autonomic.state import TIERS, ModelTier

DEFAULT_GATES: Final = GatingProfile()

CLOSED_GATES: Final = GatingProfile(
    allow_side_effects=False,
    require_approval_for_risk="low",
    max_tool_calls_per_tick=0,
    max_file_mutations_per_tick=0,
    allow_network=False,
    allow_shell=False,
)
"""Hibernation: nothing runs but what only looks at the profile itself."""

HUSTLE_CALLS: Final = 5
HUSTLE_MUTATIONS: Final = 2


def merged(decisions: Sequence[GatingDecision]) -> AutonomicGatingProfile:
    """The profile that all decisions permit."""
    mode: EconomicMode = "sovereign"
    tokens: int | None = None
    tier: ModelTier | None = None
    calls = DEFAULT_GATES.max_tool_calls_per_tick
    expensive = side_effects = True
    for decision in decisions:
        if decision.economic_mode is not None:
            mode = modes.stricter(mode, decision.economic_mode)
        if decision.max_tokens_next_turn is not None:
            tokens = min(decision.max_tokens_next_turn, tokens if tokens is not None else decision.max_tokens_next_turn)
        if decision.preferred_model is not None:
            tier = cheaper(tier, decision.preferred_model)
        if decision.max_tool_calls_per_tick is not None:
            calls = min(calls, decision.max_tool_calls_per_tick)
        expensive = expensive and not decision.restrict_expensive_tools
        side_effects = side_effects and not decision.restrict_side_effects
    return AutonomicGatingProfile(
        operational=_gates(mode, calls, side_effects=side_effects),
        economic=EconomicGates(
            economic_mode=mode,
            max_tokens_next_turn=tokens,
            preferred_model=tier,
            allow_expensive_tools=expensive,
            allow_replication=mode == "sovereign",
        ),
        rationale=tuple(decision.rationale for decision in decisions),
        advisory_events=tuple(event for decision in decisions for event in decision.advisory_events),
    )


def cheaper(first: ModelTier | None, second: ModelTier) -> ModelTier:
    """The cheaper of two tiers; None is no wish."""
    return second if first is None else TIERS[min(TIERS.index(first), TIERS.index(second))]


def _gates(mode: EconomicMode, calls: int, *, side_effects: bool) -> GatingProfile:
    if mode == "hibernate":
        return CLOSED_GATES
    mutations = DEFAULT_GATES.max_file_mutations_per_tick
    if mode == "hustle":
        calls, mutations = min(calls, HUSTLE_CALLS), min(mutations, HUSTLE_MUTATIONS)
    return GatingProfile(
        allow_side_effects=side_effects,
        require_approval_for_risk=DEFAULT_GATES.require_approval_for_risk if side_effects else "low",
        max_tool_calls_per_tick=calls,
        max_file_mutations_per_tick=mutations,
    )
