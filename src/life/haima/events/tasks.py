"""Tasks with a price: contracted, verified, billed, refunded (haima.md §1.9 to §1.11, §1.14)."""

from __future__ import annotations

from life.haima.events.finance_event import FinanceEvent


class TaskBilled(FinanceEvent, frozen=True, kw_only=True):
    """A finished task costs its customer something."""

    task_id: str
    description: str
    price_micro_credits: int
    token: str
    chain: str
    bill_id: str | None = None
    session_id: str | None = None
    payer: str | None = None


class TaskContracted(FinanceEvent, frozen=True, kw_only=True):
    """A task was priced by its outcome."""

    task_id: str
    contract_id: str
    agent_id: str
    complexity: str
    price_micro_credits: int
    sla_deadline_ms: int
    session_id: str | None = None


class TaskVerified(FinanceEvent, frozen=True, kw_only=True):
    """A task's outcome was checked."""

    task_id: str
    contract_id: str
    outcome: str
    price_micro_credits: int
    criteria_passed: int
    criteria_total: int


class TaskRefunded(FinanceEvent, frozen=True, kw_only=True):
    """A task's price went back."""

    task_id: str
    contract_id: str
    refund_micro_credits: int
    reason: str
    refund_id: str | None = None
