"""The events of what became of a payment, with everything that a reader of the books wants to know beside it."""

from __future__ import annotations

from typing import Literal

from life.haima.events import PaymentClaimed, PaymentFailed, PaymentSettled
from life.haima.reservations import Payment
from life.haima.x402.authorization import is_uint
from life.haima.x402.wire import SettlementResponse


def settled_event(
    payment: Payment, transaction: str, source: Literal["payee", "chain", "operator"], *, now_us: int
) -> PaymentSettled:
    """The whole amount of a payment moved, as `source` says."""
    reserved = payment.reserved
    return PaymentSettled(
        payment_id=reserved.payment_id,
        session_id=reserved.session_id,
        task_id=reserved.task_id,
        wallet=reserved.wallet,
        network=reserved.network,
        asset=reserved.asset,
        payee=reserved.payee,
        nonce=reserved.nonce,
        amount_atomic=reserved.amount_atomic,
        tx_hash=transaction,
        amount_micro_credits=reserved.amount_micro,
        chain=reserved.network,
        latency_ms=max(0, now_us - payment.reserved_at_us) // 1000,
        facilitator="",
        source=source,
    )


def failed_event(payment: Payment, reason: str) -> PaymentFailed:
    """The payee said no."""
    reserved = payment.reserved
    return PaymentFailed(
        payment_id=reserved.payment_id,
        session_id=reserved.session_id,
        task_id=reserved.task_id,
        wallet=reserved.wallet,
        network=reserved.network,
        asset=reserved.asset,
        payee=reserved.payee,
        nonce=reserved.nonce,
        amount_atomic=reserved.amount_atomic,
        resource_url=reserved.resource_url,
        amount_micro_credits=reserved.amount_micro,
        reason=reason,
    )


def claimed_event(payment: Payment, taken: tuple[int, int], transaction: str) -> PaymentClaimed:
    """The payee says that it took less than the maximum: `taken` is (atomic, micro)."""
    return PaymentClaimed(
        payment_id=payment.payment_id, amount_atomic=str(taken[0]), amount_micro=taken[1], tx_hash=transaction
    )


def taken_of(payment: Payment, settlement: SettlementResponse) -> tuple[int, int] | None:
    """What an `upto` payee says that it took, (atomic, micro), when that is less than the maximum. None: the whole amount,
    which is also what counts when it says nothing, or something that can't be."""
    reserved = payment.reserved
    if reserved.scheme != "upto" or settlement.amount is None or not is_uint(settlement.amount):
        return None
    taken, most = int(settlement.amount), int(reserved.amount_atomic)
    if taken >= most:
        return None
    return taken, -(-taken * reserved.amount_micro // most)
