"""The financial state: a pure fold over `finance.*` events (haima.md §1.15).

    payment_settled    total_expenses += a; net_balance -= a; session_spend += a; payment_count += 1
    payment_failed     failed_count += 1
    revenue_received   total_revenue += a; net_balance += a; revenue_count += 1; its task's bills are done
    refund_settled     total_revenue -= a; net_balance -= a
    wallet_created     wallet_address
    balance_synced     on_chain_balance
    task_billed        a pending bill

Every known finance event sets `last_event_at_us`; unknown ones change nothing. Amounts are micro-credits. The original had
one `session_spend` that a call reset, which no replay could reproduce; here each session has its own sum, taken from the
events, and `session_spend` is that of all of them.

The same events give the same bytes (`encode`), and folding on from a decoded state gives what folding everything gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from life.aios.record import EventRecord
from life.haima.events import (
    BalanceSynced,
    FinanceEvent,
    PaymentFailed,
    PaymentSettled,
    RefundSettled,
    RevenueReceived,
    TaskBilled,
    WalletCreated,
    read_finance,
)
from life.haima.events.tasks import BillStatusChanged


class PendingBill(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer owes for a finished task."""

    task_id: str
    description: str
    price_micro_credits: int
    billed_at_us: int


class FinancialState(msgspec.Struct, frozen=True, kw_only=True):
    """What was spent, earned and is owed, in micro-credits."""

    total_expenses: int = 0
    total_revenue: int = 0
    net_balance: int = 0
    payment_count: int = 0
    revenue_count: int = 0
    failed_count: int = 0
    session_spend: int = 0
    spend_by_session: dict[str, int] = {}
    """Payments that name no session count under the empty name."""
    last_event_at_us: int | None = None
    wallet_address: str | None = None
    on_chain_balance: int | None = None
    pending_bills: tuple[PendingBill, ...] = ()

    def spent_in(self, session_id: str) -> int:
        """What one session has spent."""
        return self.spend_by_session.get(session_id, 0)


EMPTY: Final = FinancialState()

_decoder: Final = msgspec.json.Decoder(FinancialState)
_replace: Final = msgspec.structs.replace


def apply(state: FinancialState, event: FinanceEvent | None, timestamp_us: int) -> FinancialState:
    """The state after one event; the given one stays as it is."""
    if event is None:
        return state
    if isinstance(event, PaymentSettled):
        amount, session = event.amount_micro_credits, event.session_id or ""
        return _replace(
            state,
            total_expenses=state.total_expenses + amount,
            net_balance=state.net_balance - amount,
            payment_count=state.payment_count + 1,
            session_spend=state.session_spend + amount,
            spend_by_session={**state.spend_by_session, session: state.spent_in(session) + amount},
            last_event_at_us=timestamp_us,
        )
    if isinstance(event, RevenueReceived):
        amount, task = event.amount_micro_credits, event.task_id
        bills = state.pending_bills
        return _replace(
            state,
            total_revenue=state.total_revenue + amount,
            net_balance=state.net_balance + amount,
            revenue_count=state.revenue_count + 1,
            pending_bills=bills if task is None else tuple(bill for bill in bills if bill.task_id != task),
            last_event_at_us=timestamp_us,
        )
    if isinstance(event, RefundSettled):
        return _replace(
            state,
            total_revenue=state.total_revenue - event.amount_micro_credits,
            net_balance=state.net_balance - event.amount_micro_credits,
            last_event_at_us=timestamp_us,
        )
    if isinstance(event, PaymentFailed):
        return _replace(state, failed_count=state.failed_count + 1, last_event_at_us=timestamp_us)
    if isinstance(event, WalletCreated):
        return _replace(state, wallet_address=event.address, last_event_at_us=timestamp_us)
    if isinstance(event, BalanceSynced):
        return _replace(state, on_chain_balance=event.on_chain_micro_credits, last_event_at_us=timestamp_us)
    if isinstance(event, TaskBilled):
        bill = PendingBill(
            task_id=event.task_id,
            description=event.description,
            price_micro_credits=event.price_micro_credits,
            billed_at_us=timestamp_us,
        )
        return _replace(state, pending_bills=(*state.pending_bills, bill), last_event_at_us=timestamp_us)
    if isinstance(event, BillStatusChanged) and event.status in ("paid", "void", "refunded"):
        open_bills = tuple(bill for bill in state.pending_bills if bill.task_id != event.task_id)
        return _replace(state, pending_bills=open_bills, last_event_at_us=timestamp_us)
    return _replace(state, last_event_at_us=timestamp_us)


def fold(records: Iterable[EventRecord], state: FinancialState = EMPTY) -> FinancialState:
    """The state after all records, in their order; records that are no finance events change nothing."""
    for record in records:
        state = apply(state, read_finance(record), record.timestamp_us)
    return state


def encode(state: FinancialState) -> bytes:
    """The state as JSON; equal states give equal bytes."""
    return msgspec.json.encode(state, order="deterministic")


def decode(content: bytes) -> FinancialState:
    """What `encode` wrote; msgspec.DecodeError for anything else."""
    return _decoder.decode(content)
