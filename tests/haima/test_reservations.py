"""The wallet's fold: states, sums, and that every change can be taken back."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from life.haima import events, reservations
from life.haima.events import FinanceEvent
from life.haima.reservations import EXPIRY_MARGIN_S, WalletState
from tests.haima.payer_kit import same_state

PAYEES = ("0xA", "0xB")


def reserved(payment_id: str, amount_micro: int = 10, **changes: object) -> events.PaymentReserved:
    """A reservation."""
    fields: dict[str, object] = {
        "payment_id": payment_id,
        "purchase_id": f"purchase-{payment_id}",
        "attempt": 1,
        "request_key": "request",
        "wallet": "0xW",
        "network": "eip155:1",
        "asset": "0xT",
        "token_name": "T",
        "token_version": "1",
        "payee": "0xA",
        "amount_atomic": str(amount_micro),
        "amount_micro": amount_micro,
        "valid_after_s": 0,
        "valid_before_s": 1000,
        "nonce": "0x" + "11" * 32,
        "resource_url": "https://a.example/",
        "accepted": msgspec.Raw(b"{}"),
        "session_id": "s",
    }
    return events.PaymentReserved(**{**fields, **changes})  # type: ignore[arg-type]


def settled(payment_id: str, tx_hash: str = "0x1") -> events.PaymentSettled:
    """Its settlement."""
    return events.PaymentSettled(
        payment_id=payment_id, tx_hash=tx_hash, amount_micro_credits=10, chain="eip155:1", latency_ms=1, facilitator=""
    )


def failed(payment_id: str) -> events.PaymentFailed:
    """Its refusal."""
    return events.PaymentFailed(payment_id=payment_id, resource_url="", amount_micro_credits=10, reason="no")


MOVES: dict[str, FinanceEvent] = {
    "signed": events.PaymentSigned(payment_id="p", signature="0x00"),
    "submitted": events.PaymentSubmitted(payment_id="p", resend=1),
    "refused": failed("p"),
    "ambiguous": events.PaymentAmbiguous(payment_id="p", reason="lost"),
    "settled": settled("p"),
    "released": events.PaymentReleased(payment_id="p", reason="over"),
    "delivered": events.PaymentDelivered(payment_id="p"),
    "undelivered": events.PaymentUndelivered(payment_id="p"),
}


@pytest.mark.parametrize(
    ("history", "state", "counts"),
    [
        ("", "held", True),
        ("signed", "signed", True),
        ("signed submitted", "submitted", True),
        ("submitted", "submitted", True),
        ("signed refused", "refused", True),
        ("signed refused ambiguous", "ambiguous", True),
        ("signed refused submitted", "submitted", True),  # sent again, and open again
        ("signed refused submitted refused", "refused", True),
        ("signed ambiguous", "ambiguous", True),
        ("signed ambiguous refused", "ambiguous", True),  # a refusal proves nothing about the first try
        ("signed ambiguous signed", "ambiguous", True),
        ("signed ambiguous submitted", "ambiguous", True),
        ("signed refused released", "released", False),
        ("released", "released", False),
        ("released signed", "released", False),
        ("signed settled", "settled", True),
        ("signed ambiguous settled", "settled", True),
        ("released settled", "settled", True),  # whatever was believed, the money moved
        ("settled released", "settled", True),
        ("settled refused", "settled", True),
        ("settled ambiguous", "settled", True),
        ("settled settled", "settled", True),
        ("signed delivered", "signed", True),
    ],
)
def test_states(history: str, state: str, counts: bool) -> None:
    """Everything but a release counts; a settlement is final whatever else is said before or after."""
    wallet = WalletState()
    wallet.apply(reserved("p"), 1)
    for move in history.split():
        wallet.apply(MOVES[move], 2)
    payment = wallet.payment("p")
    assert payment is not None and payment.state == state
    spending = wallet.spending(session_id="s", task_id=None, payee="0xA", now_us=3)
    assert (spending.session_micro, spending.total_micro, spending.payee_micro) == (
        (10, 10, 10) if counts else (0, 0, 0)
    )
    assert wallet.settled_micro == (10 if state == "settled" else 0)
    assert wallet.outstanding_micro == (10 if counts and state != "settled" else 0)


def test_unfinished_payments_are_found_by_their_request() -> None:
    """Open ones and those whose answer was lost, newest first; settled and delivered ones are over."""
    wallet = WalletState()
    for payment_id in ("a", "b", "c", "d"):
        wallet.apply(reserved(payment_id), 1)
    wallet.apply(settled("b"), 2)
    wallet.apply(settled("c"), 2)
    wallet.apply(events.PaymentUndelivered(payment_id="c"), 2)
    wallet.apply(reserved("e"), 5)
    assert [payment.payment_id for payment in wallet.unfinished("request")] == ["e", "d", "c", "a"]
    latest = wallet.latest("request")
    assert latest is not None and latest.payment_id == "e"
    assert wallet.unfinished("other") == [] and wallet.latest("other") is None


def test_the_rate_window() -> None:
    """Reservations of the last 60 seconds count, a released one too; one that is exactly 60 seconds old does not."""
    wallet = WalletState()
    for index, at_us in enumerate((0, 30_000_000, 59_999_999)):
        wallet.apply(reserved(f"p{index}"), at_us)
    wallet.apply(events.PaymentReleased(payment_id="p2", reason="x"), 59_999_999)

    def seen(now_us: int) -> tuple[int, int]:
        spending = wallet.spending(session_id="s", task_id=None, payee=None, now_us=now_us)
        return spending.recent_reservations, spending.window_opens_us

    assert seen(59_999_999) == (3, 60_000_000)
    assert seen(60_000_000) == (2, 90_000_000)
    assert seen(119_999_999) == (0, 119_999_999)
    # A clock that stepped back sees what its newest reservation saw.
    assert seen(0) == (3, 60_000_000)


def test_a_grant_is_good_for_one_payment() -> None:
    """A ticket is asked, granted, used; then it is no grant any more."""
    wallet = WalletState()
    ask = events.ApprovalRequested(
        ticket_id="t",
        terms_digest="d",
        wallet="0xW",
        network="eip155:1",
        asset="0xT",
        payee="0xA",
        amount_atomic="5",
        amount_micro=5,
        resource_url="",
        expires_at_us=100,
    )
    wallet.apply(ask, 1)
    assert wallet.tickets.find("d", "pending", now_us=99) is not None
    assert wallet.tickets.find("d", "pending", now_us=100) is None
    wallet.apply(events.ApprovalResolved(ticket_id="t", approved=True, expires_at_us=200), 2)
    wallet.apply(events.ApprovalResolved(ticket_id="t", approved=False, expires_at_us=900), 2)
    assert wallet.tickets.find("d", "granted", now_us=199) is not None
    assert wallet.tickets.find("d", "granted", now_us=200) is None
    wallet.apply(reserved("p", approval_id="t"), 3)
    assert wallet.tickets.find("d", "granted", now_us=150) is None
    wallet.apply(events.PaymentReleased(payment_id="p", reason="expired_unused"), 4)
    assert wallet.tickets.find("d", "granted", now_us=150) is None, "it was out of the house"


def test_expiry() -> None:
    """A payment can't land some time after validBefore, and is not worth sending from validBefore on."""
    wallet = WalletState()
    wallet.apply(reserved("p"), 1)
    payment = wallet.payment("p")
    assert payment is not None
    assert payment.sendable(999_999_999) and not payment.sendable(1_000_000_000)
    edge_us = (1000 + EXPIRY_MARGIN_S) * 1_000_000
    assert not payment.expired(edge_us - 1) and payment.expired(edge_us)


def test_finished_payments_are_forgotten_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays bounded: the oldest finished payments go, their sums stay, open ones are kept."""
    monkeypatch.setattr(reservations, "KEPT_FINAL", 3)
    wallet = WalletState()
    wallet.apply(reserved("open"), 1)
    for index in range(10):
        wallet.apply(reserved(f"p{index}"), 1)
        wallet.apply(settled(f"p{index}"), 1)
    assert wallet.settled_micro == 100 and wallet.outstanding_micro == 10
    assert [wallet.payment(f"p{index}") is not None for index in range(10)] == [False] * 6 + [True] * 4
    assert wallet.payment("open") is not None
    assert wallet.of_purchase("purchase-p0") is None and wallet.of_purchase("purchase-p9") is not None


class Entry(NamedTuple):
    """An event at a time."""

    event: FinanceEvent
    at_us: int


@st.composite
def histories(draw: st.DrawFn) -> list[Entry]:
    """Any events about a few payments, in any order, at any time."""
    ids = st.sampled_from(["a", "b", "c", "d", "e"])
    event = st.one_of(
        st.builds(
            reserved,
            ids,
            st.integers(1, 50),
            session_id=st.sampled_from(["s", "t", None]),
            task_id=st.sampled_from(["task", None]),
            payee=st.sampled_from(PAYEES),
            request_key=st.sampled_from(["r", "q"]),
            approval_id=st.sampled_from(["t1", "t2", None]),
        ),
        st.builds(events.PaymentSigned, payment_id=ids, signature=st.just("0x00")),
        st.builds(events.PaymentSubmitted, payment_id=ids, resend=st.integers(0, 3)),
        st.builds(failed, ids),
        st.builds(events.PaymentAmbiguous, payment_id=ids, reason=st.just("x")),
        st.builds(settled, ids, st.sampled_from(["", "0x1"])),
        st.builds(events.PaymentReleased, payment_id=ids, reason=st.just("x")),
        st.builds(events.PaymentDelivered, payment_id=ids),
        st.builds(events.PaymentUndelivered, payment_id=ids),
        st.builds(
            events.SpendingCapSet, wallet=st.just("w"), network=st.just("n"), total_cap_micro=st.none() | st.just(5)
        ),
        st.builds(
            events.ApprovalRequested,
            ticket_id=st.sampled_from(["t1", "t2", "t3"]),
            terms_digest=st.just("d"),
            wallet=st.just("w"),
            network=st.just("n"),
            asset=st.just("a"),
            payee=st.just("p"),
            amount_atomic=st.just("1"),
            amount_micro=st.just(1),
            resource_url=st.just(""),
            expires_at_us=st.integers(0, 10**9),
        ),
        st.builds(
            events.ApprovalResolved,
            ticket_id=st.sampled_from(["t1", "t2"]),
            approved=st.booleans(),
            expires_at_us=st.integers(0, 10**9),
        ),
        st.builds(
            events.TaskBilled, task_id=ids, description=ids, price_micro_credits=st.just(1), token=ids, chain=ids
        ),
    )
    return draw(st.lists(st.builds(Entry, event, st.integers(0, 10**9)), max_size=40))


@settings(max_examples=60)
@given(histories(), st.integers(0, 40))
def test_taking_back_restores_every_byte(history: list[Entry], cut: int) -> None:
    """Property: folding on and taking everything back, newest first, leaves the state as it was; also when it forgets."""
    kept = reservations.KEPT_FINAL
    reservations.KEPT_FINAL = 2  # type: ignore[misc]
    try:
        wallet = WalletState()
        for entry in history[:cut]:
            wallet.apply(entry.event, entry.at_us)
        before = wallet.encode()
        changes = [wallet.apply(entry.event, entry.at_us) for entry in history[cut:]]
        after = wallet.encode()
        for change in reversed(changes):
            wallet.take_back(change)
        assert wallet.encode() == before
        for entry in history[cut:]:
            wallet.apply(entry.event, entry.at_us)
        assert wallet.encode() == after
    finally:
        reservations.KEPT_FINAL = kept  # type: ignore[misc]


@settings(max_examples=60)
@given(histories())
def test_the_sums_are_those_of_the_payments(history: list[Entry]) -> None:
    """Property: each sum is what adding up the payments gives, for any history."""
    wallet = WalletState()
    names = set()
    for entry in history:
        wallet.apply(entry.event, entry.at_us)
        if isinstance(entry.event, events.PaymentReserved):
            names.add(entry.event.payment_id)
    payments = [payment for name in sorted(names) if (payment := wallet.payment(name)) is not None]
    counting = [payment.reserved for payment in payments if payment.state != "released"]
    assert wallet.settled_micro == sum(p.reserved.amount_micro for p in payments if p.state == "settled")
    assert wallet.outstanding_micro == sum(p.reserved.amount_micro for p in payments if p.open)
    for session in ("s", "t", ""):
        spending = wallet.spending(session_id=session, task_id="task", payee="0xA", now_us=0)
        assert spending.session_micro == sum(r.amount_micro for r in counting if (r.session_id or "") == session)
        assert spending.task_micro == sum(r.amount_micro for r in counting if r.task_id == "task")
        assert spending.payee_micro == sum(r.amount_micro for r in counting if r.payee == "0xA")
    again = WalletState()
    for entry in history:
        again.apply(entry.event, entry.at_us)
    assert same_state(wallet, again)
