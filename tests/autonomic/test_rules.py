"""Every rule at its boundary, and what it gives; the context's ruling in every zone."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from life.aios.state import EconomicMode
from life.autonomic import rules
from life.autonomic.context_ruling import context_advice
from life.autonomic.decisions import GatingDecision
from life.autonomic.state import (
    BeliefInput,
    CognitivePillar,
    EconomicPillar,
    EvaluationInput,
    HomeostaticState,
    KnowledgePromotion,
    OperationalPillar,
    StrategyInput,
)
from life.autonomic.thresholds import Thresholds
from tests.autonomic.vitals import T0_MS, state


def fired(found: HomeostaticState, rule: str) -> GatingDecision | None:
    """What this rule says."""
    decision = rules.RULES[rule](found)
    assert decision is None or (decision.rule_id == rule and decision.rationale)
    return decision


def test_a_fresh_state_fires_nothing() -> None:
    """Nothing is held back without a reason."""
    assert rules.decide(state()) == ()


def test_every_rule_is_there() -> None:
    """The eleven of the reference, the error rule under the name of what it reads."""
    assert len(rules.RULES) == 11 and "error_rate" in rules.RULES


@pytest.mark.parametrize(
    ("balance", "burn", "recorded", "mode"),
    [
        (200, 100, "sovereign", None),
        (199, 100, "sovereign", "conserving"),
        (100, 100, "sovereign", "conserving"),
        (99, 100, "sovereign", "hustle"),
        (0, 0, "sovereign", "hibernate"),
        (10**9, 1, "hibernate", "hibernate"),
        (None, 100, "sovereign", None),
        (None, 100, "hustle", "hustle"),
    ],
)
def test_survival(balance: int | None, burn: int, recorded: EconomicMode, mode: EconomicMode | None) -> None:
    """The stricter of what is recorded and what the means call for, also when the mode has settled."""
    economic = EconomicPillar(balance_micro_credits=balance, monthly_burn_estimate=burn, mode=recorded)
    decision = fired(state(economic=economic), "survival")
    assert (decision.economic_mode if decision else None) == mode
    if decision is not None:
        assert decision.preferred_model == ("standard" if mode == "conserving" else "budget")
        assert decision.restrict_expensive_tools == (mode in ("hustle", "hibernate"))


def test_a_woken_session_works_as_in_hustle() -> None:
    """For as long as the person said, and not a moment longer."""
    broke = replace(state(economic=EconomicPillar(balance_micro_credits=0)), now_ms=1_000, awake_until_ms=1_001)
    woken, asleep = fired(broke, "survival"), fired(replace(broke, now_ms=1_001), "survival")
    assert woken is not None and woken.economic_mode == "hustle"
    assert asleep is not None and asleep.economic_mode == "hibernate"


def test_spend_velocity_follows_its_gate() -> None:
    """Cheap model, 2,048 tokens."""
    gate = Thresholds().velocity_gate
    assert fired(state(economic=EconomicPillar(velocity_gate=gate.evaluate(499_999, T0_MS))), "spend_velocity") is None
    decision = fired(state(economic=EconomicPillar(velocity_gate=gate.evaluate(500_000, T0_MS))), "spend_velocity")
    assert decision is not None
    assert (decision.preferred_model, decision.max_tokens_next_turn) == ("budget", 2048)


@pytest.mark.parametrize(
    ("used", "left", "budget", "tokens"), [(80, 20, 0, 0), (81, 19, 1, 0), (90, 10, 1, 0), (91, 9, 1, 1)]
)
def test_budget_and_tokens(used: int, left: int, budget: bool, tokens: bool) -> None:
    """A fifth, a tenth; at exactly that nothing fires, and without any tokens to share out neither."""
    found = state(cognitive=CognitivePillar(tokens_used=used, tokens_remaining=left))
    exhausted, running_out = fired(found, "token_exhaustion"), fired(found, "budget_exhaustion")
    assert (running_out is not None, exhausted is not None) == (bool(budget), bool(tokens))
    if running_out is not None:
        assert (running_out.max_tokens_next_turn, running_out.restrict_expensive_tools) == (1024, True)
    if exhausted is not None:
        assert (exhausted.max_tokens_next_turn, exhausted.max_tool_calls_per_tick) == (1024, 2)
    assert rules.decide(state(cognitive=CognitivePillar(tokens_used=0, tokens_remaining=0))) == ()


def test_error_rate_follows_its_gate() -> None:
    """Look, don't touch, and three calls a step."""
    gate = Thresholds().error_gate
    closed = OperationalPillar(recent_outcomes=100, recent_errors=29, error_gate=gate.evaluate(0.29, T0_MS))
    assert fired(state(operational=closed), "error_rate") is None
    decision = fired(state(operational=replace(closed, error_gate=gate.evaluate(0.3, T0_MS))), "error_rate")
    assert decision is not None and decision.restrict_side_effects and decision.max_tool_calls_per_tick == 3


@pytest.mark.parametrize(
    ("strategy", "fires"),
    [
        (StrategyInput(drift_alerts=3), False),
        (StrategyInput(drift_alerts=4), True),
        (StrategyInput(decisions_logged=10), False),
        (StrategyInput(decisions_logged=11), True),
        (StrategyInput(critiques_completed=1), True),
    ],
)
def test_strategy_only_says(strategy: StrategyInput, fires: bool) -> None:
    """A rationale, and nothing is held back for it."""
    decision = fired(replace(state(), strategy=strategy), "strategy_advisory")
    assert (decision is not None) == fires
    if decision is not None:
        assert decision == GatingDecision(rule_id="strategy_advisory", rationale=decision.rationale)


HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("cognitive", "fires", "restricts"),
    [
        (CognitivePillar(knowledge_note_count=0, knowledge_health=0.1), False, False),
        (CognitivePillar(knowledge_note_count=1, knowledge_health=0.70), False, False),
        (CognitivePillar(knowledge_note_count=1, knowledge_health=0.69), True, False),
        (CognitivePillar(knowledge_note_count=1, knowledge_health=0.50), True, False),
        (CognitivePillar(knowledge_note_count=1, knowledge_health=0.49), True, True),
        (CognitivePillar(observation_count=50), False, False),
        (CognitivePillar(observation_count=51), True, False),
        (CognitivePillar(observation_count=60, compaction_count=1), False, False),
        (CognitivePillar(knowledge_last_indexed_ms=T0_MS - HOUR_MS), False, False),
        (CognitivePillar(knowledge_last_indexed_ms=T0_MS - HOUR_MS - 1), True, False),
    ],
)
def test_knowledge_health(cognitive: CognitivePillar, fires: bool, restricts: bool) -> None:
    """Poor, undigested or stale; expensive tools only where it is very poor."""
    decision = fired(state(cognitive=cognitive), "knowledge_health")
    assert (decision is not None) == fires
    assert (decision is not None and decision.restrict_expensive_tools) == restricts


def test_knowledge_regression_asks_once() -> None:
    """Four in a row: no side effects and one request; without a target only the restriction; after the request nothing."""
    promoted = KnowledgePromotion(active_version="v2", rollback_target="v1", regression_evaluations=4)

    def of(promotion: KnowledgePromotion) -> GatingDecision | None:
        return fired(state(cognitive=CognitivePillar(knowledge_promotion=promotion)), "knowledge_regression")

    assert of(replace(promoted, regression_evaluations=3)) is None
    assert of(replace(promoted, rollback_requested=True)) is None
    assert of(replace(promoted, active_version=None)) is None
    decision, without = of(promoted), of(replace(promoted, rollback_target=None))
    assert decision is not None and decision.restrict_side_effects and len(decision.advisory_events) == 1
    assert without is not None and without.restrict_side_effects and without.advisory_events == ()


@pytest.mark.parametrize(
    ("score", "count", "fires", "restricts"),
    [
        (0.59, 2, False, False),
        (0.60, 3, False, False),
        (0.59, 3, True, False),
        (0.40, 3, True, False),
        (0.39, 3, True, True),
    ],
)
def test_eval_quality(score: float, count: int, fires: bool, restricts: bool) -> None:
    """From three evaluations on."""
    quality = EvaluationInput(inline_eval_count=count, aggregate_quality_score=score)
    decision = fired(replace(state(), eval=quality), "eval_quality")
    assert (decision is not None) == fires
    assert (decision is not None and decision.restrict_expensive_tools) == restricts


@pytest.mark.parametrize(
    ("belief", "fires", "restricts"),
    [
        (BeliefInput(violations=1, reputation_score=0.5), False, False),
        (BeliefInput(violations=1, reputation_score=0.49), True, True),
        (BeliefInput(violations=0, reputation_score=0.1), False, False),
        (BeliefInput(trust_peer_count=1, average_trust=0.3), False, False),
        (BeliefInput(trust_peer_count=1, average_trust=0.29), True, False),
        (BeliefInput(trust_peer_count=0, average_trust=0.1), False, False),
    ],
)
def test_belief_regulation(belief: BeliefInput, fires: bool, restricts: bool) -> None:
    """Violations with a poor reputation, or peers that trust little."""
    decision = fired(replace(state(), belief=belief), "belief_regulation")
    assert (decision is not None) == fires
    assert (decision is not None and decision.restrict_side_effects) == restricts


def zone(pressure: float, **more: Any) -> HomeostaticState:
    """A state in this zone of the context, its gate where it would be."""
    gate = Thresholds().dilation_gate.evaluate(pressure, T0_MS)
    cognitive = CognitivePillar(
        context_pressure=pressure,
        context_window=1_000,
        dilation_gate=gate,
        turns_since_compact=more.pop("turns", 0),
        tool_density=more.pop("density", 0.0),
    )
    operational = OperationalPillar(error_streak=more.pop("streak", 0))
    quality = EvaluationInput(
        aggregate_quality_score=more.pop("quality", 1.0), quality_trend=more.pop("trend", 0.0), inline_eval_count=1
    )
    assert not more
    return replace(state(cognitive=cognitive, operational=operational), eval=quality)


@pytest.mark.parametrize(
    ("found", "ruling", "target"),
    [
        (zone(0.59), "breathe", None),
        (zone(0.95), "emergency", 250),
        (zone(0.94), "compress", 350),
        (zone(0.85), "compress", 350),
        (zone(0.7, streak=2), "compress", 350),
        (zone(0.7, streak=1), "dilate", None),
        (zone(0.7, trend=-0.021), "compress", 350),
        (zone(0.7, trend=-0.02), "breathe", None),
        (zone(0.7, quality=0.64), "compress", 350),
        (zone(0.7, turns=15, density=1.9), "compress", 350),
        (zone(0.7, turns=15, density=2.0), "dilate", None),
        (zone(0.7, turns=14), "dilate", None),
        (zone(0.7, quality=0.74), "breathe", None),
        (zone(0.7, quality=0.75), "dilate", None),
        (zone(0.7, density=2.0, quality=0.66), "dilate", None),
    ],
)
def test_context_rulings(found: HomeostaticState, ruling: str, target: int | None) -> None:
    """Each zone and each soft signal, in the order of the reference."""
    advice = context_advice(found)
    assert (advice.ruling, advice.target_tokens) == (ruling, target)
    decision = fired(found, "context_pressure")
    assert (decision is not None) == (target is not None)
    if decision is not None:
        assert (decision.preferred_model, decision.max_tokens_next_turn) == ("standard", 2048)


def test_the_soft_zone_is_left_below_its_second_threshold() -> None:
    """Between 0.45 and 0.60 it depends on where one comes from."""
    gate = Thresholds().dilation_gate.evaluate(0.7, T0_MS)
    inside = replace(zone(0.5, streak=3), cognitive=replace(zone(0.5).cognitive, dilation_gate=gate))
    assert context_advice(inside).ruling == "compress"
    assert context_advice(zone(0.5, streak=3)).ruling == "breathe"


def test_thresholds_are_those_of_the_settings() -> None:
    """The state carries what it is judged by."""
    found = state(cognitive=CognitivePillar(tokens_used=60, tokens_remaining=40))
    assert fired(found, "budget_exhaustion") is None
    assert fired(replace(found, thresholds=Thresholds(budget_left=0.5)), "budget_exhaustion") is not None


@pytest.mark.parametrize(
    "values",
    [
        {"error_rate": 1.1},
        {"budget_left": -0.1},
        {"spend_velocity_micro": 0},
        {"min_outcomes": 0},
        {"context_soft": 0.4},
    ],
)
def test_thresholds_that_make_no_rule_are_refused(values: dict[str, Any]) -> None:
    """At once, and not when a rule would need them."""
    with pytest.raises(ValueError, match=r"shares|positive"):
        Thresholds(**values)
