"""Scenarios played through the real rules: the same every time, no flapping, no deadlock."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from life.autonomic.drawing import rows, svg
from life.autonomic.errors import ScenarioError
from life.autonomic.modes import MODE_HOLD_MS
from life.autonomic.scenario import Happening, Load, Scenario, parse_scenario
from life.autonomic.simulation import relaxations, simulate

EXAMPLES = Path(__file__).parents[2] / "examples" / "scenarios"
USD = 1_000_000
SHOCK_S = 1_800
RICH = 10**13


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.toml")))
def test_the_examples_play_the_same_every_time_and_recover(name: str) -> None:
    """Number for number; at the end nothing is held back."""
    scenario = parse_scenario((EXAMPLES / name).read_text())
    course = simulate(scenario)
    assert msgspec.json.encode(simulate(scenario)) == msgspec.json.encode(course)
    assert course.recovered_at_s is not None


def test_a_price_shock_goes_through_every_mode() -> None:
    """Sovereign, conserving, hustle, hibernate, and back after the deposit."""
    course = simulate(parse_scenario((EXAMPLES / "price_shock.toml").read_text()))
    seen = [sample.mode for sample in course.samples]
    order = [mode for place, mode in enumerate(seen) if place == 0 or seen[place - 1] != mode]
    assert order == ["sovereign", "conserving", "hustle", "hibernate", "sovereign"]
    asleep = [sample.calls for sample in course.samples if sample.mode == "hibernate"]
    assert len(set(asleep)) == 1, "no model is asked while it hibernates"


def test_faulty_tools_are_met_once_and_left_once() -> None:
    """The error rate's gate opens, and closes after the fault has ended."""
    course = simulate(parse_scenario((EXAMPLES / "tool_faults.toml").read_text()))
    assert [turn.what for turn in course.turns] == ["profile: error_rate", "profile: nothing is held back"]


LOADS = st.fixed_dictionaries(
    {},
    optional={
        "cost_micro": st.integers(0, 5 * USD),
        "error_percent": st.integers(0, 100),
        "runs_per_hour": st.integers(0, 240),
        "context_growth": st.integers(0, 50_000),
        "payment_micro": st.integers(0, USD),
        "token_budget": st.integers(100, 200_000),
    },
)
SHOCKS = st.lists(
    st.builds(
        lambda at_s, length_s, values, charge, violations, jump: Happening(
            at_s=at_s,
            until_s=min(SHOCK_S, at_s + length_s),
            set=values,
            charge_micro=charge,
            violations=violations,
            clock_jump_s=jump,
        ),
        st.integers(0, SHOCK_S - 10),
        st.integers(1, SHOCK_S),
        LOADS,
        st.sampled_from([0, 0, 100, 5 * USD, 50 * USD]),
        st.sampled_from([0, 0, 0, 3]),
        st.sampled_from([0, 0, 0, -86_400, 86_400]),
    ),
    max_size=5,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SHOCKS, st.integers(0, 20 * USD), st.integers(0, 2**32))
def test_whatever_the_shock_it_recovers_and_does_not_flap(shocks: list[Happening], credit: int, seed: int) -> None:
    """After the shock, with means back and tools that work, nothing is held back within the hour; the economic mode relaxes at
    most once in a hold, and the profile does not change more often than there is something to change. (More than ten violations
    are another matter: no time clears them.)"""
    assume(sum(shock.violations for shock in shocks) <= 10)
    calm = Load(error_percent=0, cost_micro=200, runs_per_hour=120, context_window=1_000_000, token_budget=10**9)
    deposit = Happening(at_s=SHOCK_S, deposit_micro=RICH)
    scenario = Scenario(
        seed=seed,
        duration_s=SHOCK_S + 3_600,
        step_s=5,
        credit_micro=credit,
        load=calm,
        events=(*shocks, deposit),
    )
    course = simulate(scenario)
    assert course.recovered_at_s is not None, course.turns[-3:]
    eased = relaxations(course.samples)
    assert all(later - earlier >= MODE_HOLD_MS // 1000 for earlier, later in itertools.pairwise(eased))
    calm_turns = [turn for turn in course.turns if turn.at_s > SHOCK_S + 60]
    assert len(calm_turns) <= 12, [turn.what for turn in calm_turns]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=5, max_size=60), st.integers(0, 1_000))
def test_a_balance_that_trembles_on_a_boundary_relaxes_at_most_once_in_a_hold(steps: list[int], seed: int) -> None:
    """Deposits and charges around the boundary between two modes, every ten seconds."""
    burn = Happening(at_s=0, charge_micro=100)
    around = tuple(
        Happening(
            at_s=700 + 10 * place,
            deposit_micro=max(0, step) * 400,
            charge_micro=max(0, -step),
        )
        for place, step in enumerate(steps)
    )
    scenario = Scenario(
        seed=seed,
        duration_s=2_000,
        step_s=10,
        credit_micro=6_000,
        load=Load(runs_per_hour=0),
        events=(burn, *around),
    )
    eased = relaxations(simulate(scenario).samples)
    assert all(later - earlier >= 30 for earlier, later in itertools.pairwise(eased))


def test_the_picture_is_one_document_without_addresses() -> None:
    """Well-formed, nothing to load, and names can't break out of it."""
    scenario = Scenario(
        name='<script>"&',
        duration_s=600,
        credit_micro=USD,
        events=(Happening(at_s=300, charge_micro=2 * USD, label="</svg><b>"),),
    )
    picture = svg(simulate(scenario))
    root = ElementTree.fromstring(picture)
    assert root.tag.endswith("svg") and len(root.findall(".//{*}polyline")) == 6
    assert "<script" not in picture and "<b>" not in picture
    assert picture.count("http") == 1


def test_the_chart_has_a_row_for_every_curve() -> None:
    """As wide as asked for, the strictest mode of each stretch in the last."""
    course = simulate(parse_scenario((EXAMPLES / "price_shock.toml").read_text()))
    drawn = rows(course, 80)
    assert {len(blocks) for _, blocks in drawn} == {80}
    assert drawn[-1][0] == "mode" and "Z" in drawn[-1][1]
    short = simulate(Scenario(duration_s=1, step_s=10))
    assert all(len(blocks) == 1 for _, blocks in rows(short, 80))
    assert svg(short)


@pytest.mark.parametrize(
    "text",
    [
        "x = 1",
        "duration_s = 0",
        "[[events]]\nat_s = 5\nuntil_s = 5",
        "[[events]]\nat_s = 5\nset = { colour = 3 }",
        "[[events]]\nat_s = 5\nset = { error_percent = 101 }",
        "duration_s = 31_536_000\nstep_s = 1",
        "[thresholds]\nerror_rate = 2.0",
        "not toml",
        "duration_s = 86_400\n[load]\nruns_per_hour = 3_600\ncalls_per_run = 1_000",
    ],
)
def test_what_can_not_be_played_is_refused(text: str) -> None:
    """With a reason, before anything is played."""
    with pytest.raises(ScenarioError) as refused:
        parse_scenario(text)
    assert refused.value.code == "autonomic.bad_scenario" and refused.value.message
