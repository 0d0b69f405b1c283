"""Risk and premium: the figures of haima.md §1.13 and its appendix A, and what must hold for all others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.haima.events.insurance import InsuranceProduct
from life.haima.insurance.parameters import PPM, PRODUCTS, WEIGHTS_PPM
from life.haima.insurance.pricing import (
    ClaimsHistory,
    RiskFactors,
    assess,
    claims_factor_ppm,
    commission_micro,
    payout_micro,
    premium_micro,
)

BY_TYPE: dict[str, InsuranceProduct] = {product.product_type: product for product in PRODUCTS}


def test_weights_are_a_whole() -> None:
    """Together the parts of reliability are one."""
    assert sum(WEIGHTS_PPM.values()) == PPM


@pytest.mark.parametrize(
    ("product_type", "premium"),
    [("task_failure", 20_534), ("financial_error", 32_854), ("data_breach", 123_203), ("sla_penalty", 24_641)],
)
def test_premiums_at_a_multiplier_of_one(product_type: str, premium: int) -> None:
    """10 USD of cover: the figures of appendix A."""
    assert premium_micro(BY_TYPE[product_type], 10_000_000, PPM) == premium


def test_a_good_agent_as_in_appendix_a() -> None:
    """Trust .85, payment and stability .8, 60 days, no claims: risk .170833, multiplier .870833, premium 17,882."""
    good = RiskFactors(
        operational_ppm=850_000, payment_ppm=800_000, economic_ppm=800_000, task_ppm=850_000, account_age_days=60
    )
    assessment = assess(good, ClaimsHistory())
    assert (assessment.risk_ppm, assessment.multiplier_ppm, assessment.rating) == (170_833, 870_833, "low")
    assert assessment.insurable
    assert premium_micro(BY_TYPE["task_failure"], 10_000_000, assessment.multiplier_ppm) == 17_882


def test_an_unknown_agent_as_in_appendix_a() -> None:
    """No trust and nothing else known: risk .725, high, multiplier 2.225, insurable."""
    unknown = RiskFactors(operational_ppm=0, task_ppm=0)
    assessment = assess(unknown, ClaimsHistory())
    assert (assessment.risk_ppm, assessment.multiplier_ppm) == (725_000, 2_225_000)
    assert (assessment.rating, assessment.insurable) == ("high", True)


def test_a_degrading_or_critical_agent_is_not_insurable() -> None:
    """Both are refused, and the reason is said."""
    degrading = assess(RiskFactors(operational_ppm=PPM, task_ppm=PPM, trust_is_degrading=True), ClaimsHistory())
    assert not degrading.insurable
    assert degrading.denial_reason == "trust is degrading"
    nothing = RiskFactors(operational_ppm=0, payment_ppm=0, economic_ppm=0, task_ppm=0)
    critical = assess(nothing, ClaimsHistory(approved_claims=9, total_payout_micro_usd=10**9))
    assert critical.rating == "critical"
    assert not critical.insurable


def test_claims_make_the_factor_smaller_down_to_a_floor() -> None:
    """.15 for each approved claim up to .6, and up to .3 for payouts at 10 USD and more."""
    assert claims_factor_ppm(ClaimsHistory()) == PPM
    assert claims_factor_ppm(ClaimsHistory(approved_claims=1)) == 850_000
    assert claims_factor_ppm(ClaimsHistory(approved_claims=1, total_payout_micro_usd=1_000_000)) == 750_000
    assert claims_factor_ppm(ClaimsHistory(approved_claims=50, total_payout_micro_usd=10**12)) == 100_000


def test_a_premium_has_a_floor_and_a_product_has_bounds() -> None:
    """Never below 1,000 micro-USD; cover outside the product's bounds is refused."""
    product = BY_TYPE["task_failure"]
    assert premium_micro(product, product.min_coverage_micro_usd, 700_000) == 1_000
    for coverage in (product.min_coverage_micro_usd - 1, product.max_coverage_micro_usd + 1, -1):
        with pytest.raises(InvalidInputError):
            premium_micro(product, coverage, PPM)


def test_commission_is_rounded_half_up() -> None:
    """15 % of 10 is 1.5 and becomes 2."""
    assert commission_micro(10, 1_500) == 2
    assert commission_micro(100_000, 1_500) == 15_000


@pytest.mark.parametrize(
    ("claimed", "remaining", "payout"), [(950_000, 10_000_000, 900_000), (5_000_000, 500_000, 500_000), (50_000, 9, 0)]
)
def test_a_payout_is_the_loss_less_the_deductible_within_what_is_left(
    claimed: int, remaining: int, payout: int
) -> None:
    """The three figures of haima.md §7 (900,000, 500,000 and 0) at a deductible of 50,000."""
    assert payout_micro(claimed, 50_000, remaining) == payout


_ppm = st.integers(-5, PPM + 5)


@given(
    st.builds(
        RiskFactors,
        operational_ppm=_ppm,
        payment_ppm=_ppm,
        economic_ppm=_ppm,
        task_ppm=_ppm,
        account_age_days=st.integers(0, 10_000),
    ),
    st.integers(0, 20),
    st.integers(0, 10**9),
)
def test_more_claims_never_make_cover_cheaper(factors: RiskFactors, claims: int, payout: int) -> None:
    """Risk is within its bounds, and grows with the claims."""
    before = assess(factors, ClaimsHistory(approved_claims=claims, total_payout_micro_usd=payout))
    after = assess(factors, ClaimsHistory(approved_claims=claims + 1, total_payout_micro_usd=payout + 1))
    assert 0 <= before.risk_ppm <= after.risk_ppm <= PPM
    assert before.multiplier_ppm >= 700_000
