"""Contracts and prices: the figures of haima.md §1.9 and its appendix A."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.haima.events.tasks import Complexity, Criterion, CriterionResult, RefundTerms, TaskContract
from life.haima.outcomes.contracts import (
    DEFAULT_CONTRACTS,
    FLEET_CONTRACTS,
    check_contract,
    earned_micro,
    outcome_of,
    price_micro,
    refund_micro,
)
from tests.haima.outcomes.kit import contract

BY_ID = {offered.contract_id: offered for offered in DEFAULT_CONTRACTS}
COMPLEXITIES: tuple[Complexity, ...] = ("simple", "standard", "complex", "critical")

# Appendix A: prices at trust 0, 0.5 and 1, for each complexity.
PRICES = {
    "contract-code-review-v1": (
        (2000000, 2000000, 2000000),
        (2990000, 2690000, 2390000),
        (3980000, 3680000, 3380000),
        (5000000, 4700000, 4400000),
    ),
    "contract-data-pipeline-v1": (
        (5000000, 5000000, 5000000),
        (9950000, 8450000, 6950000),
        (14900000, 13400000, 11900000),
        (20000000, 18500000, 17000000),
    ),
    "contract-support-ticket-v1": (
        (500000, 500000, 500000),
        (995000, 845000, 695000),
        (1490000, 1340000, 1190000),
        (2000000, 1850000, 1700000),
    ),
    "contract-doc-gen-v1": (
        (1000000, 1000000, 1000000),
        (3970000, 3070000, 2170000),
        (6940000, 6040000, 5140000),
        (10000000, 9100000, 8200000),
    ),
}


@pytest.mark.parametrize("contract_id", PRICES)
def test_prices_are_those_of_the_reference(contract_id: str) -> None:
    """Every price of the table, to the micro-credit."""
    offered = BY_ID[contract_id]
    found = tuple(
        tuple(price_micro(offered, complexity, trust) for trust in (0, 500_000, 1_000_000))
        for complexity in COMPLEXITIES
    )
    assert found == PRICES[contract_id]


@pytest.mark.parametrize("offered", [*DEFAULT_CONTRACTS, *FLEET_CONTRACTS], ids=lambda offered: offered.contract_id)
def test_the_contracts_on_offer_can_be_kept(offered: TaskContract) -> None:
    """The four of the original and the six of its fleet are valid."""
    check_contract(offered)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.sampled_from(COMPLEXITIES), st.integers(-9, 2_000_000))
def test_a_price_stays_within_its_range(low: int, span: int, complexity: Complexity, trust: int) -> None:
    """Whatever the trust; and more trust never costs more."""
    offered = msgspec.structs.replace(contract(), price_floor_micro_credits=low, price_ceiling_micro_credits=low + span)
    price = price_micro(offered, complexity, trust)
    assert low <= price <= low + span
    assert price_micro(offered, complexity, trust + 1000) <= price


UNIT, REVIEW = Criterion(type="tests_passed", scope="unit", weight=3), Criterion(type="custom", description="d")


def results(*passed: bool) -> tuple[CriterionResult, ...]:
    return tuple(CriterionResult(index=index, passed=word) for index, word in enumerate(passed))


def test_an_outcome_needs_a_result_for_every_criterion() -> None:
    """W33: fewer results than criteria are no success; none passed is a failure."""
    both = (UNIT, REVIEW)
    assert outcome_of(both, results(True, True)) == "success"
    assert outcome_of(both, results(True)) == "partial_success"
    assert outcome_of(both, results(False, True)) == "partial_success"
    assert outcome_of(both, results(False, False)) == "failure"
    assert outcome_of(both, ()) == "failure"


def test_a_partial_success_earns_its_weight() -> None:
    """W37: pro rata by weight, rounded down, never more than the price."""
    both = (UNIT, REVIEW)
    assert earned_micro(1_000_001, both, results(True, False)) == 750_000
    assert earned_micro(1_000_000, both, results(False, True)) == 250_000
    assert earned_micro(1_000_000, both, results(True, True)) == 1_000_000
    assert earned_micro(1_000_000, both, ()) == 0


def test_a_refund_is_a_part_of_what_was_received() -> None:
    """W35: percentages beyond 100 and below 0 change nothing for the worse."""
    assert [refund_micro(1_001, percentage) for percentage in (100, 50, 0, 255, -3)] == [1_001, 500, 0, 1_001, 0]
    assert refund_micro(-5, 100) == 0


@pytest.mark.parametrize(
    "broken",
    [
        msgspec.structs.replace(contract(), price_floor_micro_credits=2_000_000),
        msgspec.structs.replace(contract(), price_floor_micro_credits=-1),
        msgspec.structs.replace(contract(), success_criteria=()),
        contract(refund=RefundTerms(refund_percentage=255)),
        contract(refund=RefundTerms(sla_seconds=0)),
        contract(Criterion(type="webhook_confirmed")),
        contract(Criterion(type="tests_passed", scope="unit", weight=0)),
        msgspec.structs.replace(contract(), min_trust_ppm=1_000_001),
    ],
)
def test_a_contract_that_cannot_be_kept_is_refused(broken: TaskContract) -> None:
    """A clear error, before anybody works under it."""
    with pytest.raises(InvalidInputError):
        check_contract(broken)
