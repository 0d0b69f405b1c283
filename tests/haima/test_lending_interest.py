"""Interest in exact integers (haima.md §1.7, §7, Appendix A; W28, invariant 7)."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.haima.lending_interest import DENOMINATOR, YEAR_US, accrue

DAY_US = 86_400_000_000


@pytest.mark.parametrize(
    ("principal", "bps", "elapsed_us", "charged"),
    [
        (100_000, 1_000, YEAR_US, 10_000),
        (100_000, 1_000, YEAR_US // 2, 5_000),
        (1_000, 1_500, 30 * DAY_US, 12),
        (100_000, 1_000, 30 * DAY_US, 821),
        (10_000_000, 500, 30 * DAY_US, 41_068),
        (0, 1_000, YEAR_US, 0),
        (100_000, 0, YEAR_US, 0),
        (100_000, 1_000, 0, 0),
        (100_000, 1_000, -5, 0),
    ],
)
def test_the_published_numbers(principal: int, bps: int, elapsed_us: int, charged: int) -> None:
    """A year, half a year, 30 days of each tier's full line; nothing for nothing, and for time that ran backwards."""
    assert accrue(principal, bps, elapsed_us).charged_micro == charged


@given(
    st.integers(0, 10**9),
    st.integers(0, 5_000),
    st.lists(st.integers(0, 40 * DAY_US), min_size=1, max_size=40),
)
def test_how_often_it_is_computed_makes_no_difference(principal: int, bps: int, steps: list[int]) -> None:
    """Any number of accruals charge what one does, and that is the exact interest, rounded once, halves up."""
    charged = remainder = 0
    for elapsed_us in steps:
        part = accrue(principal, bps, elapsed_us, remainder)
        assert part.charged_micro >= 0
        charged, remainder = charged + part.charged_micro, part.remainder
        assert abs(remainder) <= DENOMINATOR // 2
    once = accrue(principal, bps, sum(steps))
    assert (charged, remainder) == once
    exact = Fraction(principal * bps * sum(steps), DENOMINATOR)
    assert charged == (exact + Fraction(1, 2)).__floor__()


def test_a_draw_every_second_pays_the_same_interest() -> None:
    """W28: rounding and moving the timestamp lost all interest of a Micro line that was looked at often."""
    charged = remainder = 0
    for _ in range(30 * 24 * 60):
        part = accrue(1_000, 1_500, 60_000_000, remainder)
        charged, remainder = charged + part.charged_micro, part.remainder
    assert charged == 12
