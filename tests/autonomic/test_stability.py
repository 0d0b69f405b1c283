"""The stability budget, against the reference's table and the paper's two cases."""

from __future__ import annotations

import math

import pytest

from life.autonomic.stability import CANONICAL, Level, LevelParameters, estimated_l1, stability
from life.autonomic.state import CognitivePillar
from tests.autonomic.vitals import state


@pytest.mark.parametrize(("level", "margin"), [("L0", 1.455357), ("L1", 0.411484), ("L2", 0.069274), ("L3", 0.006398)])
def test_canonical_margins(level: Level, margin: float) -> None:
    """The four levels of autonomic.md §9."""
    assert CANONICAL[level].margin == pytest.approx(margin, abs=1e-3)


@pytest.mark.parametrize(
    ("parameters", "margin"),
    [
        (LevelParameters(0.609, 0.8, 0.15, 0, 0, 2.5, 0.03, 2.2, 4.0), 0.217),
        (LevelParameters(0.609, 0.8, 3.5, 0, 0, 2.5, 0.20, 2.2, 0.4), -4.662),
    ],
)
def test_cases_of_the_paper(parameters: LevelParameters, margin: float) -> None:
    """One stable and one unstable loop (Eslami & Yu 2026, arXiv 2603.10779)."""
    assert parameters.margin == pytest.approx(margin, abs=1e-3)


def test_no_dwell_time_is_never_stable() -> None:
    """Switching without pause has no margin at all."""
    assert LevelParameters(1, 0, 0, 0, 0, 0, 0, 1, 0).margin == -math.inf


def test_a_fresh_agent_is_stable_and_so_is_one_that_rests() -> None:
    """The delay is that of decisions, so a pause between turns costs nothing."""
    fresh = stability(state())
    assert fresh.is_stable
    assert fresh.margins["L1"] > 0
    assert fresh.smallest == pytest.approx(CANONICAL["L3"].margin)


def test_load_and_slow_decisions_cost_margin() -> None:
    """A full context, dense tool use and a regulator that takes a second: less margin, and the last one breaks it."""
    busy = state(cognitive=CognitivePillar(context_pressure=0.9, tool_density=5, memory_commit_count=30))
    assert estimated_l1(busy).margin < estimated_l1(state()).margin
    assert stability(busy, [0.001] * 50).is_stable
    assert not stability(busy, [5.0] * 50).is_stable
    assert stability(busy, [0.001] * 49 + [5.0]).is_stable, "one slow decision of fifty is no trend"
