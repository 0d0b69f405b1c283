"""Gates open at one threshold and close at another."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.autonomic.hysteresis import HysteresisGate

GATE = HysteresisGate(threshold_enter=0.7, threshold_exit=0.3, min_hold_ms=30_000)


def test_it_opens_at_the_upper_threshold_and_closes_at_the_lower_one() -> None:
    """At the threshold counts; between the two nothing changes."""
    opened = GATE.evaluate(0.7, 100_000)
    assert opened.active
    assert opened.last_transition_ms == 100_000
    assert opened.evaluate(0.31, 200_000) is opened
    assert not opened.evaluate(0.3, 200_000).active


def test_it_holds_its_state_for_the_hold_time() -> None:
    """A transition sooner than the hold after the last one does not happen, and one after it does."""
    opened = GATE.evaluate(1.0, 100_000)
    assert opened.evaluate(0.0, 129_999).active
    assert not opened.evaluate(0.0, 130_000).active


def test_a_clock_that_steps_back_moves_nothing() -> None:
    """Time before the last transition counts as no time at all."""
    opened = GATE.evaluate(1.0, 100_000)
    assert opened.evaluate(0.0, 0).active


@pytest.mark.parametrize(("enter", "leave", "hold"), [(0.3, 0.7, 0), (0.5, 0.5, -1), (float("nan"), 0.1, 0)])
def test_thresholds_that_make_no_gate_are_refused(enter: float, leave: float, hold: int) -> None:
    """A gate that closes above where it opens would flap by itself."""
    with pytest.raises(ValueError, match="gate"):
        HysteresisGate(threshold_enter=enter, threshold_exit=leave, min_hold_ms=hold)


@given(st.lists(st.tuples(st.floats(allow_nan=True), st.integers(0, 5_000)), max_size=200))
def test_it_never_moves_twice_within_the_hold(readings: list[tuple[float, int]]) -> None:
    """Whatever the metric does, transitions are at least the hold apart."""
    gate, now_ms, moves = GATE, 1_000_000, []
    for metric, passed_ms in readings:
        now_ms += passed_ms
        after = gate.evaluate(metric, now_ms)
        if after.active != gate.active:
            moves.append(now_ms)
        gate = after
    assert all(second - first >= GATE.min_hold_ms for first, second in itertools.pairwise(moves))
