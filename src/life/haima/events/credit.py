"""Credit: scores, lines, draws, repayments (haima.md §1.6, §1.7, §1.14)."""

from __future__ import annotations

from life.haima.events.finance_event import FinanceEvent


class CreditInsufficient(FinanceEvent, frozen=True, kw_only=True):
    """A payment needed credit that was not there."""

    agent_id: str
    resource_url: str
    amount_micro_credits: int
    reason: str
    payment_id: str | None = None
