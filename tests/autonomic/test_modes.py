"""The economic mode follows balance and burn, and does not tremble with them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.state import EconomicMode
from life.autonomic import modes

USD = 1_000_000


@pytest.mark.parametrize(
    ("balance", "burn", "mode"),
    [
        (None, 100 * USD, "sovereign"),
        (0, 0, "hibernate"),
        (-1, 0, "hibernate"),
        (1, 0, "sovereign"),
        (1, -5, "sovereign"),
        (99, 100, "hustle"),
        (100, 100, "conserving"),
        (199, 100, "conserving"),
        (200, 100, "sovereign"),
    ],
)
def test_the_target_stands_on_the_ratio(balance: int | None, burn: int, mode: EconomicMode) -> None:
    """Exactly 2 months is sovereign, exactly 1 conserving, exactly nothing hibernate; an unknown balance holds nothing back."""
    assert modes.target_mode(balance, burn) == mode


def test_a_stricter_mode_comes_at_once_and_a_laxer_one_after_the_hold() -> None:
    """An empty wallet is not ignored for half a minute; a refilled one waits it out."""
    assert modes.next_mode("sovereign", 0, 100, since_last_change_ms=0) == "hibernate"
    assert modes.next_mode("hibernate", 1_000, 100, since_last_change_ms=29_999) == "hibernate"
    assert modes.next_mode("hibernate", 1_000, 100, since_last_change_ms=30_000) == "sovereign"


def test_a_boundary_has_to_be_cleared_by_a_tenth() -> None:
    """A balance that just reached the boundary keeps the stricter mode."""
    assert modes.next_mode("hustle", 105, 100, since_last_change_ms=60_000) == "hustle"
    assert modes.next_mode("hustle", 110, 100, since_last_change_ms=60_000) == "conserving"
    assert modes.next_mode("hibernate", 105, 100, since_last_change_ms=60_000) == "hustle"


@given(st.lists(st.tuples(st.integers(-10, 400), st.integers(0, 10_000)), min_size=1, max_size=300))
def test_flapping_means_relax_at_most_once_in_a_hold(course: list[tuple[int, int]]) -> None:
    """However the balance jumps, two relaxations are never within one hold, and no mode is laxer than the balance asks for."""
    recorded: EconomicMode = "sovereign"
    changed_ms, now_ms, relaxed = 0, 1_000_000, []
    for balance, passed_ms in course:
        now_ms += passed_ms
        after = modes.next_mode(recorded, balance, 100, since_last_change_ms=now_ms - changed_ms)
        assert modes.SEVERITY[after] >= modes.SEVERITY[modes.target_mode(balance, 100)]
        if after != recorded:
            if modes.SEVERITY[after] < modes.SEVERITY[recorded]:
                relaxed.append(now_ms)
            changed_ms = now_ms
        recorded = after
    assert all(second - first >= modes.MODE_HOLD_MS for first, second in itertools.pairwise(relaxed))


@given(st.sampled_from(modes.MODES), st.integers(1, 10**12), st.integers(0, 10**6))
def test_means_that_last_always_lead_back(recorded: EconomicMode, balance: int, burn: int) -> None:
    """With more than two months and a tenth in hand, any mode becomes sovereign after the hold."""
    rich = max(balance, burn * 3)
    assert modes.next_mode(recorded, rich, burn, since_last_change_ms=modes.MODE_HOLD_MS) == "sovereign"
