"""The five factors come from the journal, and can't be had cheaply (HM-CREDIT, W25, W30)."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.events import Custom, encode_kind
from life.aios.ports.journal import EventQuery
from life.aios.record import AGENT, DEFAULT_SCHEMA, USER, Actor, EventRecord, NewEvent
from life.haima import events
from life.haima.credit_book import CreditBook, spent_recently
from life.haima.credit_factors import CreditProjection
from life.haima.events.credit import CreditLineStatusChanged, CreditPaymentMissed, CreditStatementSettled
from life.haima.events.tasks import BillStatusChanged
from life.lago.journal.memory import MemoryJournal
from life.lago.projection import ProjectionRunner
from life.lago.snapshots import MemorySnapshots
from tests.haima.credit_kit import DAY_US, address, custom, earned, finance, mode, paid, trust

NOW = 20_000 * DAY_US + DAY_US // 2
projection = CreditProjection()


def record(event: NewEvent, position: int = 1) -> EventRecord:
    return EventRecord(
        event_id=event.event_id,
        session_id=event.session_id,
        branch_id=event.branch_id,
        agent_id=event.agent_id,
        sequence=position,
        timestamp_us=event.timestamp_us,
        actor=event.actor,
        schema=DEFAULT_SCHEMA,
        kind_name=event.kind_name,
        payload=event.payload,
        position=position,
    )


def fold(*made: NewEvent, book: CreditBook | None = None) -> CreditBook:
    book = book or projection.initial()
    for number, event in enumerate(made, 1):
        book = projection.apply(book, record(event, number))
    return book


def failed(agent_id: str, reason: str, payment_id: str, at_us: int = NOW) -> NewEvent:
    event = events.PaymentFailed(
        resource_url="u", amount_micro_credits=1, reason=reason, payment_id=payment_id, wallet=address(agent_id)
    )
    return finance(event, agent_id, at_us)


def settled_late(agent_id: str, payment_id: str) -> NewEvent:
    event = events.PaymentSettled(
        tx_hash="0x", amount_micro_credits=1, chain="c", latency_ms=1, facilitator="f", payment_id=payment_id
    )
    return finance(event, agent_id, NOW)


def test_an_unknown_agent_has_no_factors() -> None:
    """All five are missing, none is silently zero."""
    book = projection.initial()
    assert not book.knows("a")
    assert len(book.factors("a", NOW).missing()) == 5


def test_payment_history_is_smoothed() -> None:
    """(met + 1) / (due + 2): one payment is no perfect record."""
    one = fold(paid("a", "0xb", 5, NOW))
    assert one.factors("a", NOW).payment_history_ppm == 666_667
    many = fold(*(paid("a", "0xb", 5, NOW) for _ in range(98)))
    assert many.factors("a", NOW).payment_history_ppm == 990_000


def test_only_want_of_money_counts_against_the_payer() -> None:
    """A payee that refuses for reasons of its own proves nothing about the payer (it could say anything)."""
    book = fold(
        paid("a", "0xb", 5, NOW),
        failed("a", "invalid_exact_evm_payload_signature", "p1"),
        failed("a", "because", "p2"),
        failed("a", "insufficient_funds", "p3"),
        failed("a", "insufficient_funds", "p3"),
    )
    assert (book.conduct("a").met, book.conduct("a").due) == (1, 2)


def test_a_failed_payment_that_settles_after_all_was_met() -> None:
    """The chain has the last word."""
    book = fold(failed("a", "insufficient_funds", "p1"), settled_late("a", "p1"))
    assert (book.conduct("a").met, book.conduct("a").due) == (1, 1)
    assert book.conduct("a").failed == {}


def test_what_is_remembered_of_failures_is_bounded() -> None:
    """A thousand open failures keep 256 names and all counts."""
    book = fold(*(failed("a", "insufficient_funds", f"p{number}") for number in range(1_000)))
    assert len(book.conduct("a").failed) == 256
    assert book.conduct("a").due == 1_000


def test_statements_and_defaults_are_obligations() -> None:
    """On time counts as met, missed as not; one that is paid late is not counted twice."""
    line = {"line_id": "l", "agent_id": "a", "number": 1}
    book = fold(
        finance(CreditStatementSettled(**line, on_time=True), "lender", NOW),  # type: ignore[arg-type]
        finance(CreditPaymentMissed(**line, overdue_micro_usd=5), "lender", NOW),  # type: ignore[arg-type]
        finance(CreditStatementSettled(**line, on_time=False), "lender", NOW),  # type: ignore[arg-type]
        finance(
            CreditLineStatusChanged(
                line_id="l",
                agent_id="a",
                from_status="frozen",
                to_status="defaulted",
                reason="unpaid_after_window",
            ),
            "lender",
            NOW,
        ),
    )
    conduct = book.conduct("a")
    assert (conduct.met, conduct.due, conduct.missed, conduct.defaults) == (1, 2, 1, 1)
    assert not book.knows("lender")


def billed(bill_id: str, due_at_us: int, *, payer: str = "a") -> NewEvent:
    event = events.TaskBilled(
        task_id="t",
        description="d",
        price_micro_credits=5,
        token="USDC",
        chain="c",
        bill_id=bill_id,
        payer=payer,
        due_at_us=due_at_us,
    )
    return finance(event, "house", NOW)


def bill_is(bill_id: str, status: Literal["part_paid", "paid", "void"], at_us: int) -> NewEvent:
    return finance(BillStatusChanged(bill_id=bill_id, task_id="t", status=status), "house", at_us)


def test_bills_are_obligations() -> None:
    """Paid in time counts as met, paid late and overdue as not; void ones and those that are not due yet do not count."""
    book = fold(
        billed("in-time", NOW + 10),
        billed("late", NOW + 10),
        billed("overdue", NOW + 10),
        billed("void", NOW + 10),
        billed("any-time", 0),
        billed("open", 0),
        bill_is("overdue", "part_paid", NOW + 5),
        bill_is("in-time", "paid", NOW + 10),
        bill_is("in-time", "paid", NOW + 11),
        bill_is("late", "paid", NOW + 11),
        bill_is("void", "void", NOW + 11),
        bill_is("any-time", "paid", NOW + DAY_US),
        bill_is("unheard-of", "paid", NOW),
    )
    conduct = book.conduct("a")
    assert (conduct.met, conduct.due, sorted(conduct.bills)) == (2, 3, ["open", "overdue"])
    assert book.factors("a", NOW + 10).payment_history_ppm == 600_000
    assert book.factors("a", NOW + 11).payment_history_ppm == 500_000
    assert not book.knows("house")


def test_open_bills_are_bounded() -> None:
    """The 257th drops the oldest, which counts as not met."""
    book = fold(*(billed(f"b{number}", 0) for number in range(300)))
    assert (len(book.conduct("a").bills), len(book.payers), book.conduct("a").due) == (256, 256, 44)


# ---- volume (W30)


def test_volume_is_what_was_settled_with_others() -> None:
    """Out and in, by counterparty."""
    book = fold(paid("a", address("x"), 100, NOW), paid("a", address("y"), 50, NOW), earned("a", address("z"), 25, NOW))
    assert (book.counted_volume("a"), book.counterparties("a")) == (175, 3)


def test_paying_oneself_counts_nothing() -> None:
    """W30: the payee is an address of the agent's own, whether that is known before or only later."""
    own = address("mine-too")
    after = fold(paid("a", own, 9_000_000, NOW), finance(events.WalletCreated(address=own, chain="c"), "a", NOW))
    before = fold(
        finance(events.WalletCreated(address=own.upper().replace("0X", "0x"), chain="c"), "a", NOW),
        paid("a", own, 9_000_000, NOW),
        paid("a", address("a"), 9_000_000, NOW),
    )
    assert after.counted_volume("a") == before.counted_volume("a") == 0


def test_what_comes_back_does_not_count() -> None:
    """W30: A pays B pays A, a thousand times, through two addresses of B's. Only the difference is volume, for both."""
    second = address("b-second")
    wash = [finance(events.WalletCreated(address=second, chain="c"), "b", NOW)]
    for _ in range(1_000):
        wash += [paid("a", address("b"), 1_000, NOW), earned("b", address("a"), 1_000, NOW)]
        wash += [paid("b", address("a"), 1_000, NOW), earned("a", second, 1_000, NOW)]
    book = fold(*wash, paid("a", address("b"), 7, NOW))
    assert book.counted_volume("a") == 7
    assert book.counted_volume("b") == 0
    assert book.conduct("a").volume_micro == 2_000_007, "the gross sum stays visible"


def test_agents_that_share_a_wallet_are_one_controller() -> None:
    """W30: a second agent with the same wallet is no counterparty, nor are its other wallets."""
    shared = address("shared")
    book = fold(
        finance(events.WalletCreated(address=shared, chain="c"), "a", NOW),
        finance(events.WalletCreated(address=shared, chain="c"), "sibling", NOW),
        finance(events.WalletCreated(address=address("other"), chain="c"), "sibling", NOW),
        paid("a", address("other"), 5_000, NOW),
        paid("a", address("stranger"), 3, NOW),
    )
    assert book.counted_volume("a") == 3
    assert book.owns("a", address("other"))


def test_counterparties_are_bounded_and_the_large_ones_stay() -> None:
    """Ten thousand counterparties: the smaller drop out, so the volume is at least what is counted."""
    big = [paid("a", address(f"big{number}"), 1_000, NOW) for number in range(100)]
    small = [paid("a", address(f"s{number}"), 1, NOW) for number in range(10_000)]
    book = fold(*big, *small)
    assert len(book.conduct("a").pairs) <= 512
    assert 100_000 <= book.counted_volume("a") <= 110_000
    assert book.conduct("a").volume_micro == 110_000


# ---- age, stability, trust


def test_age_counts_whole_days_from_the_first_settled_payment() -> None:
    """Also when an older one is booked later; never negative."""
    book = fold(paid("a", "0xb", 1, NOW - 3 * DAY_US), paid("a", "0xb", 1, NOW - 10 * DAY_US - 1))
    assert book.factors("a", NOW).account_age_days == 10
    assert book.factors("a", NOW - 50 * DAY_US).account_age_days == 0


def test_stability_is_the_share_of_thirty_days() -> None:
    """Sovereign and conserving are stable, hustle and hibernate are not; older days are over."""
    start = (NOW // DAY_US - 60) * DAY_US
    book = fold(
        mode("a", "hibernate", start),
        mode("a", "sovereign", (NOW // DAY_US - 20) * DAY_US),
        mode("a", "hustle", (NOW // DAY_US - 10) * DAY_US),
        mode("a", "conserving", (NOW // DAY_US - 5) * DAY_US),
    )
    known = 29 * DAY_US + DAY_US // 2
    stable = 15 * DAY_US + DAY_US // 2
    expected = round(stable * 1_000_000 / known)
    assert book.factors("a", NOW).stability_ppm == expected
    assert len(book.conduct("a").days) <= 31


def test_stability_needs_a_day_of_modes() -> None:
    """An hour of Sovereign says nothing."""
    assert fold(mode("a", "sovereign", NOW - 3_600_000_000)).factors("a", NOW).stability_ppm is None
    assert fold(mode("a", "sovereign", NOW - DAY_US)).factors("a", NOW).stability_ppm == 1_000_000


def test_a_gating_decision_says_the_mode_too() -> None:
    """An agent that never leaves Sovereign never changes its mode."""
    data = {"session_id": "s", "rationale": [], "economic_mode": "Sovereign"}
    book = fold(custom("autonomic.GatingDecision", data, "a", NOW - 2 * DAY_US))
    assert book.factors("a", NOW).stability_ppm == 1_000_000


def test_flapping_modes_stay_bounded_and_a_clock_that_runs_back_counts_nothing() -> None:
    """A thousand changes in an hour; then one with an old time."""
    start = NOW - 2 * DAY_US
    flapping = [mode("a", ("sovereign", "hustle")[number % 2], start + number * 3_600_000) for number in range(1_001)]
    book = fold(*flapping, mode("a", "hibernate", start - 50 * DAY_US))
    assert book.conduct("a").mode == "sovereign"
    assert len(book.conduct("a").days) == 1


def test_trust_is_the_newest_and_goes_stale() -> None:
    """An older assessment does not replace a newer one; after 30 days there is none."""
    book = fold(trust("a", 0.8, NOW), trust("a", 0.1, NOW - 1), trust("a", 7.0, NOW), trust("a", -1, NOW))
    assert book.factors("a", NOW + 30 * DAY_US).trust_ppm == 800_000
    assert book.factors("a", NOW + 30 * DAY_US + 1).trust_ppm is None


@pytest.mark.parametrize("actor", [AGENT, USER])
def test_nobody_writes_its_own_credit(actor: Actor) -> None:
    """Events that an agent or a person put into a stream of its own are no evidence (W25's other side)."""
    book = fold(
        trust("a", 1.0, NOW, actor=actor),
        paid("a", "0xb", 10_000_000, NOW, actor=actor),
        custom("autonomic.EconomicModeChanged", {"to": "sovereign"}, "a", NOW, actor=actor),
    )
    assert not book.knows("a")


def test_spending_velocity_looks_back_five_minutes() -> None:
    """Exactly the last 300 seconds, bounded whatever comes."""
    start = NOW - 400_000_000
    book = fold(*(paid("a", "0xb", 1_000, start + number * 1_000_000) for number in range(400)))
    conduct = book.conduct("a")
    assert spent_recently(conduct, start + 399_000_000) == 300_000
    assert spent_recently(conduct, start + 800_000_000) == 0
    assert len(conduct.spent) <= 301


def test_the_did_follows_the_identity() -> None:
    """Created, then rotated."""
    book = fold(
        custom("anima.identity_created", {"did": "did:key:z1"}, "a", NOW),
        custom("anima.identity_rotated", {"old_did": "did:key:z1", "new_did": "did:key:z2"}, "a", NOW),
    )
    assert book.conduct("a").did == "did:key:z2"


# ---- the projection as a projection


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**20) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["to", "score", "did", "economic_mode", "amount_micro_credits"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "autonomic.TrustAssessed",
                    "autonomic.EconomicModeChanged",
                    "autonomic.GatingDecision",
                    "anima.identity_created",
                    "finance.payment_settled",
                    "finance.unheard_of",
                    "",
                ]
            ),
            json_values,
        ),
        max_size=8,
    )
)
def test_events_that_do_not_fit_never_raise(some: list[tuple[str, object]]) -> None:
    """The fold is total."""
    for name, data in some:
        payload = encode_kind(Custom(event_type=name, data=data))  # type: ignore[arg-type]
        event = msgspec.structs.replace(trust("a", 0.5, NOW), payload=payload)
        projection.apply(projection.initial(), record(event))


moves = st.lists(
    st.one_of(
        st.tuples(st.just("paid"), st.sampled_from("abc"), st.sampled_from("abcdxyz"), st.integers(0, 10**7)),
        st.tuples(st.just("earned"), st.sampled_from("abc"), st.sampled_from("abcdxyz"), st.integers(0, 10**7)),
        st.tuples(
            st.just("mode"),
            st.sampled_from("abc"),
            st.sampled_from(["sovereign", "hustle", "hibernate"]),
            st.integers(0, 90),
        ),
        st.tuples(st.just("trust"), st.sampled_from("abc"), st.just(""), st.integers(0, 1_000)),
    ),
    max_size=40,
)


@given(moves, st.integers(0, 40))
def test_folding_on_from_a_snapshot_gives_the_same_bytes(some: list[tuple[str, str, str, int]], cut: int) -> None:
    """fold(all) is fold(rest, decoded fold(first)), byte for byte; and stored records are decoded only when needed."""
    made = []
    for number, (what, agent, other, amount) in enumerate(some):
        at_us = NOW + number * 1_000_000
        if what == "paid":
            made.append(paid(agent, address(other), amount, at_us))
        elif what == "earned":
            made.append(earned(agent, address(other), amount, at_us))
        elif what == "mode":
            made.append(mode(agent, other, at_us + amount * DAY_US))
        else:
            made.append(trust(agent, amount / 1_000, at_us))
    whole = fold(*made)
    first = fold(*made[:cut])
    again = fold(*made[cut:], book=projection.decode(projection.encode(first)))
    assert projection.encode(again) == projection.encode(whole)
    for agent in "abc":
        assert again.factors(agent, NOW) == whole.factors(agent, NOW)


async def test_the_runner_keeps_it_up_to_date_and_starts_from_a_snapshot() -> None:
    """Over all streams, with a cursor."""
    journal, snapshots = MemoryJournal(), MemorySnapshots()
    await journal.append([paid("a", address("x"), 5, NOW)])
    runner = ProjectionRunner(journal, projection, snapshots)
    await runner.catch_up()
    await runner.save()
    await journal.append([paid("a", address("y"), 6, NOW)])
    again = ProjectionRunner(journal, CreditProjection(), snapshots)
    book = await again.catch_up()
    assert book.counted_volume("a") == 11
    assert again.position == len(await journal.read(EventQuery()))
