"""The part of the page's fold that follows money: `finance.*`, of a session or of a wallet's own stream.

Amounts are micro-credits. A payment is told by several events under its `payment_id`; what an event leaves out stays as it was.
"""

from __future__ import annotations

from typing import Final

from life.workspace.rows import entry, last, mark, push
from life.workspace.state import Entry, Payment, State
from life.workspace.values import Fields, capped, count, short, text

_STATES: Final[dict[str, str]] = {
    "finance.payment_requested": "asked",
    "finance.payment_reserved": "reserved",
    "finance.payment_authorized": "signed",
    "finance.payment_signed": "signed",
    "finance.payment_attempted": "sent",
    "finance.payment_submitted": "sent",
    "finance.payment_claimed": "claimed",
    "finance.payment_cancelling": "cancelling",
    "finance.payment_ambiguous": "unknown",
    "finance.payment_settled": "settled",
    "finance.payment_failed": "failed",
    "finance.payment_released": "released",
    "finance.payment_declined": "declined",
    "finance.revenue_received": "earned",
}

_FINAL: Final = frozenset({"settled", "failed", "released", "declined", "earned"})


def money(state: State, name: str, event: Fields) -> None:
    """One `finance.*` event."""
    phase = _STATES.get(name)
    if phase is None:
        return
    payment = text(event.get("payment_id")) or text(event.get("purchase_id")) or text(event.get("tx_hash"))
    row = last(state.payments, lambda each: each.id == payment) if payment else None
    if row is None:
        row = Payment(id=payment, state=phase, seq=state.seq, time=state.time)
        push(state.payments, row, "payments")
        entry(state, Entry(seq=state.seq, branch=state.branch, kind="payment", ref=payment))
        was = ""
    else:
        was = row.state
    if was in _FINAL and phase not in _FINAL:
        phase = was  # a signature may be told after the outcome
    row.state, row.seq, row.time = phase, state.seq, state.time
    row.amount_micro = count(event.get("amount_micro")) or count(event.get("amount_micro_credits")) or row.amount_micro
    row.payee = text(event.get("payee")) or text(event.get("recipient_address")) or row.payee
    row.resource = short(event.get("resource_url"), 300) or row.resource
    row.network = text(event.get("network")) or text(event.get("chain")) or row.network
    row.tx = text(event.get("tx_hash")) or row.tx
    row.reason = short(event.get("reason"), 300)
    row.session = text(event.get("session_id")) or row.session
    mark(state, "payment")
    totals = state.totals
    if phase == was:
        return  # told again
    if phase == "settled":
        totals.spent_micro = capped(totals.spent_micro + row.amount_micro)
        totals.payments = capped(totals.payments + 1)
    elif phase == "earned":
        totals.earned_micro = capped(totals.earned_micro + row.amount_micro)
