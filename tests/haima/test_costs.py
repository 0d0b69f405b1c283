"""Costs by service and day, folded from the journal."""

from __future__ import annotations

import msgspec
import pytest

from life.aios.errors import InvalidInputError
from life.aios.events import Custom, encode_kind
from life.aios.record import EventRecord
from life.haima.costs import DAY_US, CostBook, CostProjection, report
from life.haima.events import PaymentReleased
from tests.haima.books_kit import DAY_US as NOW_US
from tests.haima.books_kit import records, reserved, settled


def charged(amount: int, reason: str, *, service: str | None = None, at_us: int = NOW_US) -> EventRecord:
    data: dict[str, str | int] = {"amount_micro_credits": amount, "reason": reason}
    if service is not None:
        data["service"] = service
    (record,) = records(settled(None, 0), at_us=at_us)
    kind = Custom(event_type="autonomic.CostCharged", data=dict(data))
    return msgspec.structs.replace(record, payload=encode_kind(kind))


def book(*told: EventRecord) -> CostBook:
    state = CostBook()
    for record in told:
        state.apply(record)
    return state


def test_payments_cost_under_the_host_that_was_paid() -> None:
    """A released reservation cost nothing, and a payment without one is of another service."""
    state = book(
        *records(
            reserved("p1", 500),
            settled("p1", 400),
            reserved("p2", 900),
            PaymentReleased(payment_id="p2", reason="r"),
            settled(None, 7),
        )
    )
    told = report(state, "1d", now_us=NOW_US)
    assert [(line.name, line.total_cost) for line in told.services] == [("shop.example", 400), ("other", 7)]
    assert told.total_micro_credits == 407
    assert state.hosts == {}


def test_thinking_and_doing_are_told_apart() -> None:
    """Charges of the regulator count by their reason; odd ones change nothing."""
    broken = charged(1, "storage")
    broken.payload = broken.payload.replace(b'"amount_micro_credits":1', b'"amount_micro_credits":"x"')
    state = book(
        charged(30, "model_inference", service="claude"), charged(5, "tool_execution", service="claude"), broken
    )
    (line,) = report(state, "7d", now_us=NOW_US).services
    assert (line.name, line.llm_cost, line.compute_cost, line.total_cost) == ("claude", 30, 5, 35)


def test_a_window_is_of_whole_days() -> None:
    """Yesterday's costs are in a week and not in today; the burn of a young journal is extrapolated."""
    state = book(charged(100, "storage", at_us=NOW_US - 5 * DAY_US), charged(50, "storage", at_us=NOW_US))
    assert report(state, "1d", now_us=NOW_US).total_micro_credits == 50
    assert report(state, "7d", now_us=NOW_US).total_micro_credits == 150
    assert report(state, "all", now_us=NOW_US + 400 * DAY_US).total_micro_credits == 150
    assert report(state, "30d", now_us=NOW_US).monthly_burn_estimate == 150 * 30 // 6
    assert report(book(charged(50, "storage")), "30d", now_us=NOW_US).monthly_burn_estimate is None
    with pytest.raises(InvalidInputError):
        report(state, "90d", now_us=NOW_US)


def test_costs_go_on_from_a_snapshot() -> None:
    """Folding on from stored bytes gives the same bytes."""
    projection = CostProjection()
    told = records(reserved("p1", 5), settled("p1", 5), reserved("p2", 6), settled("p2", 6))
    half = projection.decode(projection.encode(book(*told[:3])))
    assert projection.encode(projection.apply(half, told[3])) == projection.encode(book(*told))
