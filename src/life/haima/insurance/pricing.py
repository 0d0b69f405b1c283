"""Risk and premium: pure, in parts per million (HM-INS, haima.md §1.13, vectors in its appendix A)."""

from __future__ import annotations

from typing import Literal

import msgspec

from life.aios.errors import InvalidInputError
from life.haima.events.insurance import InsuranceProduct
from life.haima.insurance import parameters
from life.haima.insurance.parameters import PPM, WEIGHTS_PPM, YEAR_S

Rating = Literal["low", "medium", "high", "critical"]


class ClaimsHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent's earlier claims came to."""

    approved_claims: int = 0
    total_payout_micro_usd: int = 0


class RiskFactors(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an agent, in parts per million, one million being best. What nobody knows has the default: a middling
    reliability, no age, no claims."""

    operational_ppm: int = 500_000
    payment_ppm: int = 500_000
    economic_ppm: int = 500_000
    task_ppm: int = 500_000
    trust_ppm: int = 0
    """Autonomic's trust score, for the tier of a product."""
    account_age_days: int = 0
    trust_is_degrading: bool = False


class RiskAssessment(msgspec.Struct, frozen=True, kw_only=True):
    """How likely a loss is, and what that does to the price. `risk_ppm`: one million is worst."""

    risk_ppm: int
    rating: Rating
    multiplier_ppm: int
    insurable: bool
    denial_reason: str | None = None
    model: str = parameters.VERSION


def assess(factors: RiskFactors, history: ClaimsHistory) -> RiskAssessment:
    """The assessment of an agent."""
    maturity_ppm = min(PPM, factors.account_age_days * PPM // parameters.MATURE_DAYS)
    parts = {
        "operational": factors.operational_ppm,
        "payment": factors.payment_ppm,
        "economic": factors.economic_ppm,
        "task": factors.task_ppm,
        "maturity": maturity_ppm,
        "claims": claims_factor_ppm(history),
    }
    reliability_ppm = _half_up(sum(WEIGHTS_PPM[name] * _clamp(part) for name, part in parts.items()), PPM)
    risk_ppm = PPM - reliability_ppm
    rating = _rating(risk_ppm)
    reason = None
    if rating == "critical":
        reason = "the risk is critical"
    elif factors.trust_is_degrading:
        reason = "trust is degrading"
    return RiskAssessment(
        risk_ppm=risk_ppm,
        rating=rating,
        multiplier_ppm=_multiplier_ppm(rating, risk_ppm),
        insurable=reason is None,
        denial_reason=reason,
    )


def claims_factor_ppm(history: ClaimsHistory) -> int:
    """One million without claims; less for each approved one and for what was paid out."""
    if history.approved_claims <= 0:
        return PPM
    by_number = min(parameters.MAX_CLAIM_MALUS_PPM, parameters.CLAIM_MALUS_PPM * history.approved_claims)
    by_payout = min(
        parameters.MAX_PAYOUT_MALUS_PPM,
        max(0, history.total_payout_micro_usd) * PPM // parameters.PAYOUT_SCALE_MICRO,
    )
    return max(0, PPM - by_number - by_payout)


def premium_micro(product: InsuranceProduct, coverage_micro_usd: int, multiplier_ppm: int) -> int:
    """The price of the cover for the product's period, rounded half up, never below the floor.

    InvalidInputError for a coverage outside the product's bounds.
    """
    if not product.min_coverage_micro_usd <= coverage_micro_usd <= product.max_coverage_micro_usd:
        raise InvalidInputError(
            f"{product.name} covers between {product.min_coverage_micro_usd} and "
            f"{product.max_coverage_micro_usd} micro-USD."
        )
    numerator = coverage_micro_usd * product.base_rate_bps * product.period_secs * multiplier_ppm
    return max(parameters.MIN_PREMIUM_MICRO, _half_up(numerator, 10_000 * YEAR_S * PPM))


def commission_micro(premium_micro_usd: int, commission_bps: int) -> int:
    """The provider's share of a premium, rounded half up."""
    return _half_up(premium_micro_usd * commission_bps, 10_000)


def payout_micro(claimed_micro_usd: int, deductible_micro_usd: int, remaining_micro_usd: int) -> int:
    """What a claim comes to: the loss less the deductible, at most what is left of the cover."""
    return min(max(0, claimed_micro_usd - deductible_micro_usd), max(0, remaining_micro_usd))


def _rating(risk_ppm: int) -> Rating:
    if risk_ppm < parameters.MEDIUM_RISK_PPM:
        return "low"
    if risk_ppm < parameters.HIGH_RISK_PPM:
        return "medium"
    return "high" if risk_ppm < parameters.CRITICAL_RISK_PPM else "critical"


def _multiplier_ppm(rating: Rating, risk_ppm: int) -> int:
    match rating:
        case "low":
            return 700_000 + risk_ppm
        case "medium":
            return PPM + risk_ppm
        case "high":
            return 1_500_000 + risk_ppm
        case "critical":
            return 2_500_000 + risk_ppm // 2


def _clamp(part_ppm: int) -> int:
    return max(0, min(PPM, part_ppm))


def _half_up(numerator: int, denominator: int) -> int:
    """Rounded to the nearest whole, halves up. Numerators are never negative here."""
    return (2 * numerator + denominator) // (2 * denominator)
