"""The published formula, its thresholds and the check (haima.md §1.6, §7 haima-core/credit.rs, Appendix A)."""

from __future__ import annotations

import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.haima.credit import (
    MODEL,
    ONE_PPM,
    TERMS,
    WEIGHTS,
    Factors,
    assess,
    check,
    confidence_ppm,
    score_ppm,
    tier_of,
)

Tier = Literal["none", "micro", "standard", "premium"]


def factors(trust: float, history: float, volume: int, days: int, stability: float) -> Factors:
    return Factors(
        trust_ppm=round(trust * ONE_PPM),
        payment_history_ppm=round(history * ONE_PPM),
        volume_micro_usd=volume,
        account_age_days=days,
        stability_ppm=round(stability * ONE_PPM),
    )


@pytest.mark.parametrize(
    ("given_", "score", "tier"),
    [
        ((0.7, 0.8, 500_000, 30, 0.6), 695_454, "standard"),
        ((0.4, 0.5, 10_000, 7, 0.3), 408_493, "micro"),
        ((0.8, 0.9, 1_000_000, 60, 0.7), 810_238, "premium"),
        ((0.5, 0.5, 100_000, 30, 0.5), 515_476, "standard"),
        ((1, 1, 10_000_000, 90, 1), 1_000_000, "premium"),
        ((1, 1, 0, 90, 1), 850_000, "premium"),
        ((0, 0, 0, 0, 0), 0, "none"),
    ],
)
def test_the_vectors_of_appendix_a(given_: tuple[float, float, int, int, float], score: int, tier: Tier) -> None:
    """Number for number."""
    assessed = assess("a", factors(*given_), at_us=1)
    assert (assessed.score_ppm, assessed.tier, assessed.model) == (score, tier, MODEL)
    assert assessed.limit_micro_usd == TERMS[tier].limit_micro_usd


def test_a_perfect_agent_is_premium_and_a_new_one_none() -> None:
    """≥ 0.95 with everything at its best; zero with nothing."""
    assert assess("a", factors(1, 1, 10_000_000, 90, 1), at_us=1).score_ppm >= 950_000
    unknown = assess("a", Factors(), at_us=1)
    assert (unknown.score_ppm, unknown.tier, unknown.limit_micro_usd, unknown.confidence_ppm) == (0, "none", 0, 0)
    assert unknown.factors.missing() == tuple(WEIGHTS)


def test_limits_and_rates_are_the_published_ones() -> None:
    """Micro 0.001, standard 0.10, premium 10 USD; 15, 10 and 5 percent."""
    published = {tier: (terms.limit_micro_usd, terms.interest_rate_bps) for tier, terms in TERMS.items()}
    assert published == {
        "none": (0, 0),
        "micro": (1_000, 1_500),
        "standard": (100_000, 1_000),
        "premium": (10_000_000, 500),
    }


@pytest.mark.parametrize(
    ("score", "tier"),
    [
        (0, "none"),
        (299_000, "none"),
        (299_999, "none"),
        (300_000, "micro"),
        (499_999, "micro"),
        (500_000, "standard"),
        (749_999, "standard"),
        (750_000, "premium"),
        (1_000_000, "premium"),
    ],
)
def test_tiers_begin_exactly_at_their_thresholds(score: int, tier: Tier) -> None:
    """0.30, 0.50, 0.75; 0.299 is none."""
    assert tier_of(score).tier == tier


def test_factors_are_clamped() -> None:
    """More than one counts as one, less than nothing as nothing; the result is exactly one."""
    most = Factors(
        trust_ppm=7_000_000,
        payment_history_ppm=2_000_000,
        volume_micro_usd=10**15,
        account_age_days=9_000,
        stability_ppm=1_500_000,
    )
    assert score_ppm(most) == ONE_PPM
    least = Factors(trust_ppm=-1, payment_history_ppm=-1, volume_micro_usd=-1, account_age_days=-1, stability_ppm=-1)
    assert score_ppm(least) == 0


def test_weights_sum_to_one() -> None:
    """One hundred percent."""
    assert sum(WEIGHTS.values()) == 100


def test_a_missing_factor_lowers_the_confidence_and_is_named() -> None:
    """It earns nothing, but never silently."""
    known = Factors(trust_ppm=800_000, payment_history_ppm=900_000)
    assert confidence_ppm(known) == 600_000
    assert known.missing() == ("transaction_volume", "account_age_days", "economic_stability")
    full = factors(0.8, 0.9, 0, 0, 0)
    assert confidence_ppm(full) == ONE_PPM
    assert score_ppm(known) == score_ppm(full)


@pytest.mark.parametrize(
    ("limit", "balance", "amount", "approved", "remaining"),
    [
        (100_000, 0, 40_000, True, 60_000),
        (100_000, 0, 100_000, True, 0),
        (100_000, 0, 100_001, False, 100_000),
        (100_000, -60_000, 40_000, True, 0),
        (100_000, -60_000, 40_001, False, 40_000),
        (100_000, -100_000, 1, False, 0),
        (100_000, -100_001, 1, False, 0),
        (100_000, 5_000, 100_001, False, 100_000),
        (0, 0, 1, False, 0),
        (0, 0, 0, False, 0),
    ],
)
def test_the_check(limit: int, balance: int, amount: int, approved: bool, remaining: int) -> None:
    """Within, exact, over, debt, debt over the limit, no tier; a positive balance does not raise the limit."""
    found = check("standard", limit, balance, amount)
    assert (found.approved, found.remaining_limit) == (approved, remaining)
    assert found.reason == (None if approved else "insufficient_credit")


def test_a_negative_amount_is_no_amount() -> None:
    """W01 of another kind: it would raise the limit."""
    with pytest.raises(InvalidInputError):
        check("premium", 100, 0, -1)


ppm = st.none() | st.integers(0, ONE_PPM)


@given(
    st.builds(
        Factors,
        trust_ppm=ppm,
        payment_history_ppm=ppm,
        volume_micro_usd=st.none() | st.integers(0, 10**15),
        account_age_days=st.none() | st.integers(0, 40_000),
        stability_ppm=ppm,
    )
)
def test_the_score_is_the_formula(some: Factors) -> None:
    """Against the formula in floating point: never off by more than the rounding."""
    volume = some.volume_micro_usd or 0
    logarithm = 0 if volume == 0 else min(1, math.log(1 + volume) / math.log(1 + 10_000_000))
    exact = (
        0.3 * (some.trust_ppm or 0) / ONE_PPM
        + 0.3 * (some.payment_history_ppm or 0) / ONE_PPM
        + 0.15 * logarithm
        + 0.1 * min(1, (some.account_age_days or 0) / 90)
        + 0.15 * (some.stability_ppm or 0) / ONE_PPM
    )
    assert abs(score_ppm(some) / ONE_PPM - exact) <= 0.500001e-6


@given(st.integers(0, 10**8), st.integers(0, 10**8))
def test_more_volume_never_lowers_the_score(one: int, other: int) -> None:
    """The logarithm is rounded, and stays monotonic."""
    low, high = sorted((one, other))
    assert score_ppm(Factors(volume_micro_usd=low)) <= score_ppm(Factors(volume_micro_usd=high))
