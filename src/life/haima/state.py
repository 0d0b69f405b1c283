"""The financial state: a pure, total fold over every finance event of a journal (haima.md §1.15, HM-FOLD).

    payment_settled    expenses += a, net −= a, session_spend += a, payment_count += 1
    payment_failed     failed_count += 1
    revenue_received   revenue += a, net += a, revenue_count += 1; its task's bills are cleared
    wallet_created     wallet_address
    balance_synced     on_chain_balance
    task_billed        one more pending bill

Every finance event sets `last_event_us`; everything else changes nothing. Amounts are micro-credits. `session_spend` is
kept per session, since the original's single counter could not be replayed (W52, W53). `encode_state` gives canonical
bytes: equal bytes, equal state.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec.structs import replace

from life.aios.record import EventRecord
from life.haima import events

_encoder: Final = msgspec.json.Encoder(order="sorted")


class PendingBill(msgspec.Struct, frozen=True, kw_only=True):
    """A bill that no revenue has cleared yet."""

    task_id: str
    description: str
    price_micro_credits: int
    billed_us: int


class FinancialState(msgspec.Struct, frozen=True, kw_only=True):
    """What the books say. Micro-credits; times in microseconds since the epoch."""

    total_expenses: int = 0
    total_revenue: int = 0
    net_balance: int = 0
    payment_count: int = 0
    revenue_count: int = 0
    failed_count: int = 0
    session_spend: dict[str, int] = {}
    """Settled spending by session; the empty name for payments that name none."""
    last_event_us: int | None = None
    wallet_address: str | None = None
    on_chain_balance: int | None = None
    pending_bills: tuple[PendingBill, ...] = ()


def fold_finance(records: Iterable[EventRecord], state: FinancialState | None = None) -> FinancialState:
    """The state after all these events, oldest first."""
    state = state or FinancialState()
    for record in records:
        state = apply(state, record)
    return state


def apply(state: FinancialState, record: EventRecord) -> FinancialState:
    """The state after one more event of any kind."""
    event = events.read_finance(record)
    if event is None:
        return state
    return replace(_changed(state, event, record.timestamp_us), last_event_us=record.timestamp_us)


def encode_state(state: FinancialState) -> bytes:
    """The state's canonical bytes."""
    return _encoder.encode(state)


def _changed(state: FinancialState, event: events.FinanceEvent, at_us: int) -> FinancialState:
    match event:
        case events.PaymentSettled():
            amount = event.amount_micro_credits
            session = event.session_id or ""
            spend = {**state.session_spend, session: state.session_spend.get(session, 0) + amount}
            return replace(
                state,
                total_expenses=state.total_expenses + amount,
                net_balance=state.net_balance - amount,
                payment_count=state.payment_count + 1,
                session_spend=spend,
            )
        case events.PaymentFailed():
            return replace(state, failed_count=state.failed_count + 1)
        case events.RevenueReceived():
            amount = event.amount_micro_credits
            return replace(
                state,
                total_revenue=state.total_revenue + amount,
                net_balance=state.net_balance + amount,
                revenue_count=state.revenue_count + 1,
                pending_bills=_without(state.pending_bills, event.task_id),
            )
        case events.WalletCreated():
            return replace(state, wallet_address=event.address)
        case events.BalanceSynced():
            return replace(state, on_chain_balance=event.on_chain_micro_credits)
        case events.TaskBilled():
            bill = PendingBill(
                task_id=event.task_id,
                description=event.description,
                price_micro_credits=event.price_micro_credits,
                billed_us=at_us,
            )
            return replace(state, pending_bills=(*state.pending_bills, bill))
        case _:
            return state


def _without(bills: tuple[PendingBill, ...], task_id: str | None) -> tuple[PendingBill, ...]:
    return bills if task_id is None else tuple(bill for bill in bills if bill.task_id != task_id)
