"""The credit score: the published formula and thresholds, as a pure function (haima.md §1.6, HM-CREDIT).

    score = 0.30·trust + 0.30·payment history + 0.15·V + 0.10·A + 0.15·stability      each between 0 and 1
    V = 0 without volume, else min(1, ln(1 + volume) / ln(1 + 10,000,000))            volume in micro-USD
    A = min(1, days / 90)

Everything but V is exact integer arithmetic. V is the one place where the formula is logarithmic: it is computed as a double
and rounded, half up, to 10^-12. The score is rounded, half up, to ppm (1,000,000 = 1), and it is the rounded score that is
stored and held against the thresholds. A stored score is never computed anew.

A factor that the journal says nothing about is None. It earns nothing, so the score is what is certain at least; it lowers
the confidence by its weight; and it is named in `missing`.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError
from life.haima.events.credit import Tier

MODEL: Final = "haima-credit-1"
ONE_PPM: Final = 1_000_000

VOLUME_FULL_MICRO: Final = 10_000_000
AGE_FULL_DAYS: Final = 90

WEIGHTS: Final = {
    "trust_score": 30,
    "payment_history": 30,
    "transaction_volume": 15,
    "account_age_days": 10,
    "economic_stability": 15,
}
"""Percent; together one hundred."""


class TierTerms(NamedTuple):
    """What a tier needs and gives."""

    tier: Tier
    from_score_ppm: int
    limit_micro_usd: int
    interest_rate_bps: int


TIERS: Final = (
    TierTerms("premium", 750_000, 10_000_000, 500),
    TierTerms("standard", 500_000, 100_000, 1_000),
    TierTerms("micro", 300_000, 1_000, 1_500),
    TierTerms("none", 0, 0, 0),
)
TERMS: Final = {terms.tier: terms for terms in TIERS}

_FINE: Final = 10**12
_LOG_FULL: Final = math.log1p(VOLUME_FULL_MICRO)


class Factors(msgspec.Struct, frozen=True, kw_only=True):
    """What the score is made of. Parts of one in ppm; None where the journal says nothing."""

    trust_ppm: int | None = None
    payment_history_ppm: int | None = None
    volume_micro_usd: int | None = None
    account_age_days: int | None = None
    stability_ppm: int | None = None

    def missing(self) -> tuple[str, ...]:
        """The published names of the factors that are not known."""
        known = (
            self.trust_ppm,
            self.payment_history_ppm,
            self.volume_micro_usd,
            self.account_age_days,
            self.stability_ppm,
        )
        return tuple(name for name, value in zip(WEIGHTS, known, strict=True) if value is None)


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's score as of one place in the journal."""

    agent_id: str
    score_ppm: int
    tier: Tier
    limit_micro_usd: int
    confidence_ppm: int
    factors: Factors
    assessed_at_us: int
    as_of_position: int = 0
    trust_at_us: int | None = None
    trust_is_degrading: bool = False
    model: str = MODEL


class CreditCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether an amount fits (haima.md §1.6). `remaining_limit` is after it when approved, before it otherwise."""

    approved: bool
    tier: Tier
    remaining_limit: int
    reason: str | None = None


def score_ppm(factors: Factors) -> int:
    """The score in ppm."""
    days = min(AGE_FULL_DAYS, max(0, factors.account_age_days or 0))
    ppm = (
        WEIGHTS["trust_score"] * _part(factors.trust_ppm)
        + WEIGHTS["payment_history"] * _part(factors.payment_history_ppm)
        + WEIGHTS["economic_stability"] * _part(factors.stability_ppm)
    )
    # One whole is 100 (percent) × 10^12 × 90 (days).
    numerator = AGE_FULL_DAYS * (
        ppm * (_FINE // ONE_PPM) + WEIGHTS["transaction_volume"] * _volume(factors.volume_micro_usd or 0)
    )
    numerator += WEIGHTS["account_age_days"] * _FINE * days
    whole = 100 * AGE_FULL_DAYS * _FINE
    return _half_up(numerator * ONE_PPM, whole)


def tier_of(score: int) -> TierTerms:
    """The tier of a score in ppm."""
    return next(terms for terms in TIERS if score >= terms.from_score_ppm)


def confidence_ppm(factors: Factors) -> int:
    """The weight of the factors that are known."""
    return (100 - sum(WEIGHTS[name] for name in factors.missing())) * (ONE_PPM // 100)


def assess(
    agent_id: str,
    factors: Factors,
    *,
    at_us: int,
    as_of_position: int = 0,
    trust_at_us: int | None = None,
    trust_is_degrading: bool = False,
) -> Assessment:
    """Score, tier and limit of an agent."""
    score = score_ppm(factors)
    terms = tier_of(score)
    return Assessment(
        agent_id=agent_id,
        score_ppm=score,
        tier=terms.tier,
        limit_micro_usd=terms.limit_micro_usd,
        confidence_ppm=confidence_ppm(factors),
        factors=factors,
        assessed_at_us=at_us,
        as_of_position=as_of_position,
        trust_at_us=trust_at_us,
        trust_is_degrading=trust_is_degrading,
    )


def check(tier: Tier, limit_micro: int, balance_micro: int, amount_micro: int) -> CreditCheck:
    """Whether `amount_micro` fits under the limit. A negative balance is debt; a positive one does not raise the limit.
    InvalidInputError for a negative amount."""
    if amount_micro < 0:
        raise InvalidInputError("An amount must not be negative.")
    available = limit_micro - max(0, -balance_micro)
    if available <= 0:
        return CreditCheck(approved=False, tier=tier, remaining_limit=0, reason="insufficient_credit")
    if amount_micro > available:
        return CreditCheck(approved=False, tier=tier, remaining_limit=available, reason="insufficient_credit")
    return CreditCheck(approved=True, tier=tier, remaining_limit=available - amount_micro)


def ratio_ppm(part: int, whole: int) -> int:
    """`part / whole` in ppm, half up, between 0 and 1,000,000; 0 for nothing."""
    if whole <= 0:
        return 0
    return min(ONE_PPM, max(0, _half_up(part * ONE_PPM, whole)))


def _part(value_ppm: int | None) -> int:
    return 0 if value_ppm is None else min(ONE_PPM, max(0, value_ppm))


def _volume(volume_micro: int) -> int:
    """V in 10^-12."""
    if volume_micro <= 0:
        return 0
    if volume_micro >= VOLUME_FULL_MICRO:
        return _FINE
    return math.floor(math.log1p(volume_micro) / _LOG_FULL * _FINE + 0.5)


def _half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)
