"""The one parameter set of insurance, versioned (HM-INS, haima.md §1.12, §1.13).

Products and formulas are those that the original's API showed (its first engine); from its second engine come the premium
floor, the separate inputs for operations and tasks, the check of the holder and the reserve ratio of 15 %. Ratios are
parts per million, amounts micro-USD, times seconds. What was assessed under one version stays as it was: the version
stands in every assessment.
"""

from __future__ import annotations

from typing import Final

from life.aios.errors import InvalidInputError
from life.haima.events.insurance import InsuranceProduct

VERSION: Final = "life-insurance-1"

PPM: Final = 1_000_000
YEAR_S: Final = 31_557_600
"""365.25 days."""
DAY_S: Final = 86_400

TIER_SCORES_PPM: Final[dict[str, int]] = {"any": 0, "provisional": 500_000, "trusted": 750_000, "certified": 900_000}

# What counts for how much in reliability; together one.
WEIGHTS_PPM: Final[dict[str, int]] = {
    "operational": 250_000,
    "payment": 200_000,
    "economic": 150_000,
    "task": 200_000,
    "maturity": 100_000,
    "claims": 100_000,
}
MATURE_DAYS: Final = 90
MEDIUM_RISK_PPM: Final = 250_000
HIGH_RISK_PPM: Final = 500_000
CRITICAL_RISK_PPM: Final = 750_000

CLAIM_MALUS_PPM: Final = 150_000
"""Per approved claim."""
MAX_CLAIM_MALUS_PPM: Final = 600_000
MAX_PAYOUT_MALUS_PPM: Final = 300_000
PAYOUT_SCALE_MICRO: Final = 10_000_000

MIN_PREMIUM_MICRO: Final = 1_000
QUOTE_LIFE_S: Final = 24 * 3600
CLAIM_GRACE_S: Final = 7 * DAY_S
"""How long after the end of the cover a loss within it may still be reported."""
MIN_RESERVE_RATIO_PPM: Final = 150_000
MANAGEMENT_FEE_BPS: Final = 250
"""Of the reserves, a year."""
DEFAULT_COMMISSION_BPS: Final = 1_500

CONFIRMED_PPM: Final = 500_000
"""Share of the evidence that must hold for an incident to count as confirmed."""
APPROVE_PPM: Final = 700_000
DENY_PPM: Final = 300_000


def check_product(product: InsuranceProduct) -> None:
    """InvalidInputError for a product that can't be sold."""
    if not (
        product.base_rate_bps > 0
        and 0 < product.min_coverage_micro_usd <= product.max_coverage_micro_usd
        and 0 <= product.default_deductible_micro_usd < product.max_coverage_micro_usd
        and product.period_secs >= 60
    ):
        raise InvalidInputError(f"The insurance product {product.product_id!r} has figures that can't be right.")


POOL_ID: Final = "life-network-pool"

PRODUCTS: Final = (
    InsuranceProduct(
        product_id="prod-task-failure",
        product_type="task_failure",
        name="Task failure",
        base_rate_bps=250,
        min_coverage_micro_usd=100_000,
        max_coverage_micro_usd=100_000_000,
        default_deductible_micro_usd=50_000,
        period_secs=30 * DAY_S,
        min_trust_tier="provisional",
        provider_id=POOL_ID,
    ),
    InsuranceProduct(
        product_id="prod-financial-error",
        product_type="financial_error",
        name="Financial error",
        base_rate_bps=400,
        min_coverage_micro_usd=100_000,
        max_coverage_micro_usd=50_000_000,
        default_deductible_micro_usd=100_000,
        period_secs=30 * DAY_S,
        min_trust_tier="trusted",
        provider_id=POOL_ID,
    ),
    InsuranceProduct(
        product_id="prod-data-breach",
        product_type="data_breach",
        name="Data breach",
        base_rate_bps=500,
        min_coverage_micro_usd=1_000_000,
        max_coverage_micro_usd=500_000_000,
        default_deductible_micro_usd=500_000,
        period_secs=90 * DAY_S,
        min_trust_tier="trusted",
        provider_id=POOL_ID,
    ),
    InsuranceProduct(
        product_id="prod-sla-penalty",
        product_type="sla_penalty",
        name="SLA penalty",
        base_rate_bps=300,
        min_coverage_micro_usd=100_000,
        max_coverage_micro_usd=200_000_000,
        default_deductible_micro_usd=50_000,
        period_secs=30 * DAY_S,
        min_trust_tier="provisional",
        provider_id=POOL_ID,
    ),
)
"""What a new pool offers (haima.md §1.13, products of the first engine)."""

RELEVANT_EVENTS: Final[dict[str, frozenset[str]]] = {
    "task_failure": frozenset(
        {"RunErrored", "ErrorRaised", "ToolCallFailed", "finance.task_verified", "finance.task_refunded"}
    ),
    "financial_error": frozenset(
        {
            "finance.payment_settled",
            "finance.payment_failed",
            "finance.payment_ambiguous",
            "finance.payment_undelivered",
        }
    ),
    "data_breach": frozenset(
        {
            "ToolCallCompleted",
            "ToolCallFailed",
            "PolicyEvaluated",
            "anima.custody_denied",
            "anima.identity_revoked",
            "anima.identity_compromised",
        }
    ),
    "sla_penalty": frozenset({"finance.task_verified", "finance.task_refunded"}),
}
"""Which events can bear out which kind of loss; `Custom` events under their own type."""
