"""What a seller gives back (life.haima.x402.refunds)."""

from __future__ import annotations

from life.haima.events.finance_event import FinanceEvent


class _Refund(FinanceEvent, frozen=True, kw_only=True):
    """Which refund of which payment: `refund_id` is the event id of its intent, `payment_id` that of the payment's claim."""

    refund_id: str
    payment_id: str


class RefundIntended(_Refund, frozen=True, kw_only=True):
    """Money of a settled charge is going back. Holds the whole authorization, so that a crash at any later point can only
    lead to this very transfer; while it is open it counts against what was received."""

    key: str
    """The caller's idempotency key."""
    request_digest: str
    """SHA-256 of what was asked for under it."""
    network: str
    asset: str
    token_name: str
    token_version: str
    wallet: str
    """Who pays: the seller's wallet."""
    payer_address: str
    """Who gets it: the payer of the charge."""
    amount_atomic: str
    amount_micro: int | None
    valid_after_s: int
    valid_before_s: int
    nonce: str
    reason: str


class RefundSigned(_Refund, frozen=True, kw_only=True):
    """The transfer is signed and about to leave."""

    signature: str


class RefundPending(_Refund, frozen=True, kw_only=True):
    """It left, and nobody knows yet what became of it."""

    reason: str
    transaction: str = ""


class RefundSettled(_Refund, frozen=True, kw_only=True):
    """The money is back with the payer. `tx_hash` is empty when only the chain's state showed it."""

    tx_hash: str
    amount_micro_credits: int
    amount_atomic: str
    network: str
    asset: str
    wallet: str
    payer_address: str


class RefundFailed(_Refund, frozen=True, kw_only=True):
    """Nothing moved and nothing will under this refund; what it held can be refunded anew."""

    reason: str
    transaction: str = ""
