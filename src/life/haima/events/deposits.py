"""Deposits at a payment provider: which payment intent a payment belongs to, and whether the provider captured it
(life.haima.facilitator.stripe_deposits).

    requested → opened → taken → paid → captured | capture failed
"""

from __future__ import annotations

from life.haima.events.finance_event import FinanceEvent


class _Deposit(FinanceEvent, frozen=True, kw_only=True):
    payment_intent: str
    """The provider's id, such as `pi_…`."""
    address: str
    """Where the money goes, EIP-55."""
    network: str
    """CAIP-2."""


class DepositRequested(FinanceEvent, frozen=True, kw_only=True):
    """A deposit address is about to be asked for; `request_id` is the idempotency key with which it can be asked again."""

    request_id: str
    network: str
    asset: str
    amount_atomic: str
    amount_cents: int


class DepositOpened(_Deposit, frozen=True, kw_only=True):
    """The provider gave an address for one payment of exactly this amount."""

    request_id: str
    asset: str
    amount_atomic: str
    amount_cents: int


class DepositTaken(_Deposit, frozen=True, kw_only=True):
    """One payment owns the address, before it is settled. No other one is settled to it."""

    claim_key: str


class DepositPaid(_Deposit, frozen=True, kw_only=True):
    """The money arrived at the address."""

    tx_hash: str


class DepositCaptured(_Deposit, frozen=True, kw_only=True):
    """The provider says that it has the money."""

    amount_received_cents: int
    charge: str | None = None
    """The provider's id of the charge."""


class DepositCaptureFailed(_Deposit, frozen=True, kw_only=True):
    """The money arrived on chain, and the provider closed the payment intent without it: somebody has to look."""

    status: str
