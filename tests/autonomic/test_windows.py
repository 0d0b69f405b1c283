"""Sliding sums and recent outcomes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from life.autonomic.windows import RecentOutcomes, SlidingSum

COURSES = st.lists(st.tuples(st.integers(0, 4_000), st.integers(0, 100)), max_size=200)


@given(COURSES, st.integers(0, 20_000))
def test_a_sliding_sum_is_what_a_list_would_say(course: list[tuple[int, int]], later_ms: int) -> None:
    """To within a slot, the sum is that of the entries younger than the window; memory is bounded by its slots."""
    window = SlidingSum(10_000, 1_000)
    now_ms, entries = 1_000_000, []
    for passed_ms, amount in course:
        now_ms += passed_ms
        window.add(now_ms, amount)
        entries.append((now_ms - now_ms % 1_000, amount))
    at_ms = now_ms + later_ms
    assert window.sum_at(at_ms) == sum(amount for start, amount in entries if start > at_ms - 10_000)
    assert len(window.slots) <= 11


def test_time_that_steps_back_counts_in_the_newest_slot() -> None:
    """A late event is neither lost nor does it disorder the window."""
    window = SlidingSum(10_000, 1_000)
    window.add(50_000, 5)
    window.add(45_000, 7)
    assert window.sum_at(50_000) == 12


def test_a_clock_that_was_years_ahead_leaves_nothing_behind() -> None:
    """What was counted in the future expires one window after the clock was set right."""
    window, recent = SlidingSum(10_000, 1_000), RecentOutcomes(20, 10_000)
    ahead_ms = 10 * 365 * 86_400_000
    window.add(ahead_ms, 5)
    recent.add(ahead_ms, True)
    window.add(20_000, 7)
    recent.add(20_000, False)
    assert (window.sum_at(25_000), recent.counts_at(25_000)) == (12, (2, 1))
    assert (window.sum_at(31_000), recent.counts_at(31_000)) == (0, (0, 0))


def test_outcomes_are_recent_by_number_and_by_age() -> None:
    """The last twenty count, and of those the ones within the time."""
    recent = RecentOutcomes(3, 1_000)
    for at_ms, is_error in [(0, True), (100, True), (200, False), (900, True)]:
        recent.add(at_ms, is_error)
    assert recent.counts_at(900) == (3, 2)
    assert recent.counts_at(1_150) == (2, 1)
    assert recent.counts_at(5_000) == (0, 0)
