"""Payments that wait for a person (HM-POL)."""

from __future__ import annotations

from life.haima.events.finance_event import FinanceEvent


class ApprovalRequested(FinanceEvent, frozen=True, kw_only=True):
    """A payment above the auto-approve cap waits for a person. The ticket is bound to exactly these terms."""

    ticket_id: str
    terms_digest: str
    wallet: str
    network: str
    asset: str
    payee: str
    amount_atomic: str
    amount_micro: int
    resource_url: str
    expires_at_us: int
    session_id: str | None = None
    task_id: str | None = None
    purchase_id: str | None = None
    """Of the purchase that asked first; whoever asks for the same terms shares the ticket."""
    code: str = "needs_approval"
    """Why a person has to decide: `needs_approval`, `payee_changed`, `price_jumped`."""
    reason: str = ""
    expected: str | None = None
    """For a change: where the money went before, or what was accepted."""


class ApprovalResolved(FinanceEvent, frozen=True, kw_only=True):
    """A person decided. A grant is good for one payment, until it expires."""

    ticket_id: str
    approved: bool
    expires_at_us: int
    by: str | None = None
    reason: str | None = None


class ApprovalExpired(FinanceEvent, frozen=True, kw_only=True):
    """Nobody decided in time, or a grant was not used in time."""

    ticket_id: str
