"""The trust score rests on what was recorded, and the unknown is unknown."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from life.autonomic.desk import AgentPicture
from life.autonomic.metrics import Counts, render
from life.autonomic.stability import stability
from life.autonomic.state import CognitivePillar, EconomicPillar, EvaluationInput, HomeostaticState, OperationalPillar
from life.autonomic.trust import Tier, trust_score
from tests.autonomic.vitals import state


def test_nobody_is_certified_unseen() -> None:
    """Below five recorded outcomes the tier is unverified, whatever the sum; the answer says how much was seen."""
    unseen, four, five = (trust_score(state(events_seen=seen)) for seen in (0, 4, 5))
    assert (unseen.tier, unseen.evidence, unseen.score) == ("unverified", 0, 0.92)
    assert (four.tier, five.tier) == ("unverified", "certified")


def test_the_formula() -> None:
    """Three successes of four, a streak of one, half of the means used."""
    found = replace(
        state(
            operational=OperationalPillar(total_successes=3, total_errors=1, error_streak=1, mean_run_ms=250),
            cognitive=CognitivePillar(turns_completed=3, context_pressure=0.5),
            economic=EconomicPillar(balance_micro_credits=100, lifetime_costs=100, mode="conserving"),
        )
    )
    score = trust_score(found)
    assert score.components.operational.score == 0.7  # 0.75*0.6 + 0.75*0.4 - 0.05
    assert score.components.cognitive.score == 0.62  # 0.5*0.75 + 0.5*0.5
    assert score.components.economic.score == 0.62  # 0.5*0.75 + 0.5*0.5
    assert score.score == round(0.35 * 0.7 + 0.3 * 0.62 + 0.35 * 0.62, 2)
    assert (score.tier, score.components.operational.factors.avg_latency_ms) == ("provisional", 250)


@pytest.mark.parametrize(
    ("successes", "errors", "tier"), [(100, 0, "certified"), (60, 40, "trusted"), (10, 90, "provisional")]
)
def test_tiers(successes: int, errors: int, tier: Tier) -> None:
    """By the unrounded sum."""
    found = state(
        operational=OperationalPillar(total_successes=successes, total_errors=errors),
        cognitive=CognitivePillar(turns_completed=10),
    )
    assert trust_score(found).tier == tier


@pytest.mark.parametrize(
    ("found", "trajectory"),
    [
        (state(events_seen=6), "improving"),
        (state(events_seen=5), "stable"),
        (state(operational=OperationalPillar(error_streak=3, total_errors=3)), "degrading"),
        (state(operational=OperationalPillar(total_errors=1)), "stable"),
        (replace(state(), eval=EvaluationInput(inline_eval_count=1, quality_trend=0.02)), "improving"),
        (replace(state(), eval=EvaluationInput(inline_eval_count=1, quality_trend=-0.02)), "degrading"),
    ],
)
def test_where_it_is_going(found: HomeostaticState, trajectory: str) -> None:
    """Evaluations first, then streaks, then a clean record."""
    assert trust_score(found).trajectory == trajectory


def test_metrics_have_every_series_once() -> None:
    """Well-formed exposition text; the balance is left out while there is none."""
    agent = AgentPicture(True, state(), stability(state(), (0.01, 0.02)), 1, 0)
    counts = Counts(10, 5, {"survival": 2}, 0, True, (0.01, 0.02))
    text = render(agent, counts)
    names = [line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    families = [line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(families) == len(set(families)) and set(names) == set(families)
    assert "autonomic_balance_micro_credits" not in text
    assert 'autonomic_economic_mode{mode="sovereign"} 1' in text
    metered = AgentPicture(True, state(economic=EconomicPillar(balance_micro_credits=0)), agent.stability, 1, 0)
    text = render(metered, counts._replace(fired={}, latencies_s=()))
    assert "autonomic_balance_micro_credits 0" in text and 'autonomic_economic_mode{mode="hibernate"} 1' in text
