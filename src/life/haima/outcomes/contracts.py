"""Contracts and their prices: pure (haima.md §1.9, prices in its appendix A).

    price = floor + ⌊range · position⌋ − ⌊range · trust · 0.2⌋, within floor and ceiling

Where a task stands in the range depends on its complexity; trust buys at most a fifth of the range, and never below the
floor. Amounts are micro-credits, trust is parts per million; the two products are truncated apart, as the original does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from life.aios.errors import InvalidInputError
from life.haima.events.tasks import (
    Complexity,
    Criterion,
    CriterionResult,
    RefundTerms,
    TaskContract,
    TaskResult,
    TaskType,
)

PPM: Final = 1_000_000
POSITION_PERCENT: Final[dict[str, int]] = {"simple": 0, "standard": 33, "complex": 66, "critical": 100}
MAX_CRITERIA: Final = 32
MAX_PRICE_MICRO: Final = 2**53
MAX_SLA_S: Final = 365 * 86_400


def price_micro(contract: TaskContract, complexity: Complexity, trust_ppm: int) -> int:
    """What a task of this complexity costs with an agent of this trust."""
    floor, ceiling = contract.price_floor_micro_credits, contract.price_ceiling_micro_credits
    span = ceiling - floor
    if span <= 0:
        return floor
    trust = max(0, min(PPM, trust_ppm))
    price = floor + span * POSITION_PERCENT[complexity] // 100 - span * trust // (5 * PPM)
    return max(floor, min(ceiling, price))


def outcome_of(criteria: Sequence[Criterion], results: Sequence[CriterionResult]) -> TaskResult:
    """Success when every criterion has a result that passed; a partial success when some passed; otherwise failure. A
    criterion without a result has not passed (W33)."""
    passed = {result.index for result in results if result.passed}
    if not passed:
        return "failure"
    return "success" if passed >= set(range(len(criteria))) else "partial_success"


def earned_micro(price: int, criteria: Sequence[Criterion], results: Sequence[CriterionResult]) -> int:
    """The part of the price that the passed criteria have earned, by their weights, rounded down (W37)."""
    passed = {result.index for result in results if result.passed}
    total = sum(criterion.weight for criterion in criteria)
    weight = sum(criterion.weight for index, criterion in enumerate(criteria) if index in passed)
    return price * weight // total if total else 0


def refund_micro(received: int, percentage: int) -> int:
    """The part of what was received that goes back, rounded down; never more than all of it (W35)."""
    return max(0, received) * max(0, min(100, percentage)) // 100


def check_contract(contract: TaskContract) -> None:
    """InvalidInputError for a contract that can't be kept."""
    terms = contract.refund_policy
    if not 0 <= contract.price_floor_micro_credits <= contract.price_ceiling_micro_credits <= MAX_PRICE_MICRO:
        raise InvalidInputError("A contract's floor must be at least zero and at most its ceiling.")
    if not 1 <= len(contract.success_criteria) <= MAX_CRITERIA:
        raise InvalidInputError(f"A contract has between one and {MAX_CRITERIA} criteria.")
    if not 0 <= terms.refund_percentage <= 100:
        raise InvalidInputError("A refund is between 0 and 100 percent.")
    if not 1 <= terms.sla_seconds <= MAX_SLA_S or not 0 <= terms.grace_period_seconds <= MAX_SLA_S:
        raise InvalidInputError("A contract's time must be between a second and a year.")
    if not 0 <= contract.min_trust_ppm <= PPM or not 0 <= contract.dispute_window_seconds <= MAX_SLA_S:
        raise InvalidInputError("A contract's trust or dispute window can't be right.")
    for criterion in contract.success_criteria:
        _check_criterion(criterion)


def _check_criterion(criterion: Criterion) -> None:
    needed = {
        "tests_passed": criterion.scope,
        "data_validated": criterion.rule_id,
        "manual_approval": criterion.approver,
        "webhook_confirmed": criterion.url,
        "custom": criterion.description,
    }[criterion.type]
    if not needed:
        raise InvalidInputError(f"A criterion of the type {criterion.type} lacks what it is about.")
    if not 1 <= criterion.weight <= 1_000:
        raise InvalidInputError("A criterion's weight must be between 1 and 1000.")
    if not 0 <= criterion.review_seconds <= MAX_SLA_S or (
        criterion.review_seconds and criterion.type != "manual_approval"
    ):
        raise InvalidInputError("Only a manual approval has a time for review, of at most a year.")


def _contract(
    contract_id: str,
    task_type: TaskType,
    name: str,
    floor_usd: tuple[int, int],
    criteria: tuple[Criterion, ...],
    sla_s: int,
    trust_ppm: int,
    label: str | None = None,
) -> TaskContract:
    """`floor_usd`: floor and ceiling in units of 0.1 USD."""
    return TaskContract(
        contract_id=contract_id,
        task_type=task_type,
        name=name,
        price_floor_micro_credits=floor_usd[0] * 100_000,
        price_ceiling_micro_credits=floor_usd[1] * 100_000,
        success_criteria=criteria,
        refund_policy=RefundTerms(sla_seconds=sla_s),
        min_trust_ppm=trust_ppm,
        custom_label=label,
    )


_UNIT: Final = Criterion(type="tests_passed", scope="unit")
_REVIEWER: Final = Criterion(type="manual_approval", approver="reviewer")
_PIPELINE: Final = Criterion(type="data_validated", rule_id="pipeline-output-schema")
_DOCUMENT: Final = Criterion(type="data_validated", rule_id="document-schema")
_RESOLVED: Final = Criterion(type="custom", description="customer marked resolved", approver="customer")

DEFAULT_CONTRACTS: Final = (
    _contract("contract-code-review-v1", "code_review", "Code review", (20, 50), (_UNIT, _REVIEWER), 7_200, 300_000),
    _contract("contract-data-pipeline-v1", "data_pipeline", "Data pipeline", (50, 200), (_PIPELINE,), 3_600, 500_000),
    _contract("contract-support-ticket-v1", "support_ticket", "Support ticket", (5, 20), (_RESOLVED,), 1_800, 300_000),
    _contract("contract-doc-gen-v1", "document_generation", "Document", (10, 100), (_DOCUMENT,), 3_600, 300_000),
)
"""What the original offers (haima.md §1.9)."""

FLEET_CONTRACTS: Final = (
    _contract("fleet-coding-review-v1", "code_review", "Review a change", (20, 50), (_UNIT, _REVIEWER), 7_200, 300_000),
    _contract(
        "fleet-coding-bugfix-v1",
        "custom",
        "Fix a defect",
        (30, 80),
        (
            _UNIT,
            Criterion(type="tests_passed", scope="integration"),
            Criterion(type="custom", description="the reported behaviour is gone", approver="customer"),
        ),
        3_600,
        500_000,
        "bug_fix",
    ),
    _contract("fleet-coding-tests-v1", "custom", "Write tests", (10, 40), (_UNIT,), 3_600, 300_000, "test_writing"),
    _contract("fleet-data-pipeline-v1", "data_pipeline", "Data pipeline", (50, 200), (_PIPELINE,), 3_600, 500_000),
    _contract("fleet-data-report-v1", "document_generation", "Data report", (20, 100), (_DOCUMENT,), 1_800, 300_000),
    _contract("fleet-support-ticket-v1", "support_ticket", "Support ticket", (5, 20), (_RESOLVED,), 1_800, 300_000),
)
"""Contracts of the original's fleet of agents."""
