"""Single costs and their sums along every dimension."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.events import Custom, encode_kind
from life.aios.record import EventRecord
from life.haima.cost_items import CostItem, CostReader, CostSums, Dimension, window_start_us
from life.haima.costs import DAY_US, CostBook, Window, report
from life.haima.events import PaymentReleased, RevenueReceived
from tests.haima.books_kit import DAY_US as NOW_US
from tests.haima.books_kit import PAYEE, billed, earned, records, reserved, settled

NOON_US = NOW_US // DAY_US * DAY_US + DAY_US // 2


def charge(amount: int, reason: str = "storage", *, at_us: int = NOON_US, service: str | None = None) -> EventRecord:
    data: dict[str, str | int] = {"amount_micro_credits": amount, "reason": reason}
    if service is not None:
        data["service"] = service
    (record,) = records(settled(None, 0), at_us=at_us)
    kind = Custom(event_type="autonomic.CostCharged", data=dict(data))
    return msgspec.structs.replace(record, payload=encode_kind(kind))


def read(told: list[EventRecord]) -> list[CostItem]:
    reader = CostReader()
    return [item for record in told if (item := reader.read(record)) is not None]


def sums(items: list[CostItem], by: Dimension) -> list[tuple[str | None, int]]:
    added = CostSums(by)
    for item in items:
        added.add(item)
    return [(group.name, group.total_cost) for group in added.groups()]


def test_a_payment_belongs_to_what_it_was_reserved_for() -> None:
    """Session, task and payee stand in the reservation; a payment without one has none of them."""
    paid, bare = read(records(reserved("p1", 500), settled("p1", 400), settled(None, 7)))
    assert (paid.session_id, paid.task_id, paid.counterparty) == ("session", "task", PAYEE)
    assert (paid.service, paid.total_micro, paid.payment_id, paid.transaction) == ("shop.example", 400, "p1", "0xabc")
    assert (bare.session_id, bare.task_id, bare.counterparty, bare.service) == (None, None, None, "other")


def test_a_charge_belongs_to_its_stream() -> None:
    """Its session is that of the stream it stands in; thinking and everything else are told apart."""
    thought, stored = read([charge(30, "model_inference", service="claude"), charge(5)])
    assert (thought.session_id, thought.llm_micro, thought.compute_micro, thought.service) == ("s", 30, 0, "claude")
    assert (stored.llm_micro, stored.compute_micro, stored.counterparty) == (0, 5, None)


def test_sums_along_every_dimension() -> None:
    """Dearest first, days in their order; what has no name along a dimension has a line of its own."""
    items = read([*records(reserved("p1", 500), settled("p1", 400)), charge(30), charge(1, at_us=NOON_US - DAY_US)])
    assert sums(items, "service") == [("shop.example", 400), ("storage", 31)]
    assert [total for _, total in sums(items, "day")] == [1, 430]
    assert sums(items, "session") == [("session", 400), ("s", 31)]
    assert sums(items, "task") == [("task", 400), (None, 31)]
    assert sums(items, "agent") == [("a", 431)]
    assert sums(items, "counterparty") == [(PAYEE, 400), (None, 31)]


def test_what_costs_nothing_is_no_cost() -> None:
    """Reservations, what is given back, what comes in, what others owe, and charges that can't be read."""
    broken = charge(1)
    broken.payload = broken.payload.replace(b'"amount_micro_credits":1', b'"amount_micro_credits":"x"')
    told = records(
        reserved("p1", 500), PaymentReleased(payment_id="p1", reason="r"), earned(9), billed("t", 8), reserved("p2", 3)
    )
    assert read([*told, broken]) == []


@pytest.mark.parametrize(("window", "days"), [("1d", 1), ("7d", 7), ("30d", 30)])
def test_a_window_begins_with_a_whole_day(window: Window, days: int) -> None:
    """Today is included."""
    assert window_start_us(window, NOON_US) == NOON_US - DAY_US // 2 - (days - 1) * DAY_US


_AMOUNTS = st.integers(-(10**30), 10**30)
_STORY = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(0, 3), _AMOUNTS),
        st.tuples(st.just("settle"), st.integers(0, 3), _AMOUNTS),
        st.tuples(st.just("release"), st.integers(0, 3), _AMOUNTS),
        st.tuples(st.just("earn"), st.integers(0, 3), _AMOUNTS),
        st.tuples(st.just("charge"), st.integers(0, 40), _AMOUNTS),
    ),
    max_size=30,
)


def _record(what: str, number: int, amount: int) -> EventRecord:
    match what:
        case "reserve":
            return records(reserved(f"p{number}", amount))[0]
        case "settle":
            return records(settled(f"p{number}", amount))[0]
        case "release":
            return records(PaymentReleased(payment_id=f"p{number}", reason="r"))[0]
        case "earn":
            revenue = RevenueReceived(tx_hash="", amount_micro_credits=amount, payer_address="x", task_id="t")
            return records(revenue)[0]
        case _:
            return charge(amount, at_us=NOON_US - number * DAY_US)


@given(_STORY)
def test_the_sums_are_those_of_the_report(story: list[tuple[str, int, int]]) -> None:
    """Whatever happened, in whatever order: every window and every dimension adds up to what GET /v1/cost says."""
    told = [_record(*step) for step in story]
    book = CostBook()
    for record in told:
        book.apply(record)
    windows: tuple[Window, ...] = ("1d", "7d", "30d", "all")
    dimensions: tuple[Dimension, ...] = ("service", "day", "session", "task", "agent", "counterparty")
    for window in windows:
        said = report(book, window, now_us=NOW_US)
        items = [item for item in read(told) if item.at_us >= window_start_us(window, NOW_US)]
        assert sums(items, "service") == [(line.name, line.total_cost) for line in said.services]
        for by in dimensions:
            assert sum(total for _, total in sums(items, by)) == said.total_micro_credits
