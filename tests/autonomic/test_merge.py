"""The merged profile is as strict as the strictest decision."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from life.autonomic import modes
from life.autonomic.decisions import GatingDecision
from life.autonomic.merge import CLOSED_GATES, DEFAULT_GATES, merged
from life.autonomic.rules import decide
from life.autonomic.state import TIERS, CognitivePillar, OperationalPillar
from tests.autonomic.vitals import T0_MS, state

DECISIONS = st.builds(
    GatingDecision,
    rule_id=st.just("r"),
    rationale=st.just("because"),
    economic_mode=st.none() | st.sampled_from(modes.MODES),
    max_tokens_next_turn=st.none() | st.integers(0, 5_000),
    preferred_model=st.none() | st.sampled_from(TIERS),
    restrict_expensive_tools=st.booleans(),
    restrict_side_effects=st.booleans(),
    max_tool_calls_per_tick=st.none() | st.integers(0, 50),
)


def test_without_decisions_everything_default_is_permitted() -> None:
    """The defaults of autonomic.md §7."""
    profile = merged([])
    assert profile.operational == DEFAULT_GATES
    assert profile.economic.allow_replication
    assert profile.economic.max_tokens_next_turn is None
    assert profile.rationale == ()


def test_hibernation_closes_everything() -> None:
    """Whatever else was decided."""
    profile = merged([GatingDecision(rule_id="survival", rationale="broke", economic_mode="hibernate")])
    assert profile.operational == CLOSED_GATES
    assert not profile.economic.allow_replication


def test_hustle_caps_calls_and_mutations() -> None:
    """Five calls and two changed files per step."""
    gates = merged([GatingDecision(rule_id="survival", rationale="poor", economic_mode="hustle")]).operational
    assert (gates.max_tool_calls_per_tick, gates.max_file_mutations_per_tick) == (5, 2)
    assert gates.allow_side_effects


def test_the_worked_example() -> None:
    """Eight percent of the tokens left and three errors of six: three rules fire together (autonomic.md §7)."""
    errors = OperationalPillar(recent_outcomes=6, recent_errors=3)
    errors = OperationalPillar(
        recent_outcomes=6, recent_errors=3, error_gate=errors.error_gate.evaluate(errors.recent_error_rate, T0_MS)
    )
    decisions = decide(state(operational=errors, cognitive=CognitivePillar(tokens_used=92, tokens_remaining=8)))
    assert [decision.rule_id for decision in decisions] == ["budget_exhaustion", "token_exhaustion", "error_rate"]
    profile = merged(decisions)
    assert profile.economic.max_tokens_next_turn == 1024
    assert profile.economic.preferred_model == "budget"
    assert not profile.economic.allow_expensive_tools
    assert profile.operational.max_tool_calls_per_tick == 2
    assert not profile.operational.allow_side_effects
    assert profile.operational.require_approval_for_risk == "low"


@given(st.lists(DECISIONS, max_size=8))
def test_no_profile_is_looser_than_any_decision(decisions: list[GatingDecision]) -> None:
    """Field by field, and the limit of calls never rises above the default."""
    profile = merged(decisions)
    gates, economic = profile.operational, profile.economic
    assert gates.max_tool_calls_per_tick <= DEFAULT_GATES.max_tool_calls_per_tick
    for decision in decisions:
        if decision.economic_mode is not None:
            assert modes.SEVERITY[economic.economic_mode] >= modes.SEVERITY[decision.economic_mode]
        if decision.max_tokens_next_turn is not None:
            assert economic.max_tokens_next_turn is not None
            assert economic.max_tokens_next_turn <= decision.max_tokens_next_turn
        if decision.preferred_model is not None:
            assert economic.preferred_model is not None
            assert TIERS.index(economic.preferred_model) <= TIERS.index(decision.preferred_model)
        if decision.max_tool_calls_per_tick is not None:
            assert gates.max_tool_calls_per_tick <= decision.max_tool_calls_per_tick
        assert not (decision.restrict_expensive_tools and economic.allow_expensive_tools)
        assert not (decision.restrict_side_effects and gates.allow_side_effects)


@given(st.lists(DECISIONS, max_size=4))
def test_the_order_of_decisions_changes_nothing_but_the_rationale(decisions: list[GatingDecision]) -> None:
    """Merging is a minimum: any order gives the same permissions."""
    profiles = [merged(order) for order in itertools.permutations(decisions)]
    assert len({(profile.operational, profile.economic) for profile in profiles}) == 1
