"""Tasks with a price: contracted, delivered, verified, billed, paid or refunded (haima.md §1.9 to §1.11, §1.14)."""

from __future__ import annotations

from typing import Literal

import msgspec

from life.haima.events.finance_event import FinanceEvent

TaskType = Literal["code_review", "data_pipeline", "support_ticket", "document_generation", "custom"]
Complexity = Literal["simple", "standard", "complex", "critical"]
TaskResult = Literal["success", "partial_success", "failure", "timeout"]
CriterionType = Literal["tests_passed", "data_validated", "manual_approval", "webhook_confirmed", "custom"]


class Criterion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that must hold. Which of the texts is used depends on the type, as in the original."""

    type: CriterionType
    scope: str | None = None
    """`tests_passed`: which tests."""
    rule_id: str | None = None
    """`data_validated`: which registered schema."""
    approver: str | None = None
    """`manual_approval`: who, by id or DID. Also for `custom`."""
    url: str | None = None
    """`webhook_confirmed`."""
    description: str | None = None
    """`custom`: what a person has to find."""
    weight: int = 1
    """Its share in a partial success."""
    review_seconds: int = 0
    """`manual_approval`: how long its approver has after the delivery; who says nothing by then agrees. 0: as long as they like."""


class RefundTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to the money when the work is late or fails."""

    auto_refund: bool = True
    sla_seconds: int = 3600
    refund_percentage: int = 100
    grace_period_seconds: int = 300


class TaskContract(msgspec.Struct, frozen=True, kw_only=True):
    """What a kind of work costs, and what it must bring."""

    contract_id: str
    task_type: TaskType
    name: str
    price_floor_micro_credits: int
    price_ceiling_micro_credits: int
    success_criteria: tuple[Criterion, ...]
    refund_policy: RefundTerms = RefundTerms()
    min_trust_ppm: int = 300_000
    custom_label: str | None = None
    dispute_window_seconds: int = 0
    """How long the money waits after a success, so that the customer can object."""


class CriterionResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was found about one criterion, by its place in the contract."""

    index: int
    passed: bool
    details: str = ""
    by: str = ""
    """The verifier, or the approver."""


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
    payee: str | None = None
    due_at_us: int = 0


class TaskContracted(FinanceEvent, frozen=True, kw_only=True):
    """A task was priced by its outcome."""

    task_id: str
    contract_id: str
    agent_id: str
    complexity: str
    price_micro_credits: int
    sla_deadline_ms: int
    session_id: str | None = None
    customer_id: str | None = None
    quote_id: str | None = None
    trust_ppm: int = 0
    """Autonomic's score when the task was accepted."""
    escrowed: bool = False
    """The price was put aside in the same batch."""


class TaskVerified(FinanceEvent, frozen=True, kw_only=True):
    """A task's outcome was checked."""

    task_id: str
    contract_id: str
    outcome: str
    price_micro_credits: int
    criteria_passed: int
    criteria_total: int
    results: tuple[CriterionResult, ...] = ()


class TaskRefunded(FinanceEvent, frozen=True, kw_only=True):
    """A task's price went back."""

    task_id: str
    contract_id: str
    refund_micro_credits: int
    reason: str
    refund_id: str | None = None
    customer_id: str | None = None


# --- additions (HM-OUTCOME, HM-BILL) ----------------------------------------------------------------------------------


class ContractRegistered(FinanceEvent, frozen=True, kw_only=True):
    """Work of this kind is on offer. A contract never changes; another one has another id."""

    contract: TaskContract


class TaskQuoted(FinanceEvent, frozen=True, kw_only=True):
    """A price for one task, good until it expires."""

    quote_id: str
    contract_id: str
    agent_id: str
    complexity: Complexity
    price_micro_credits: int
    trust_ppm: int
    valid_until_us: int
    customer_id: str | None = None


class TaskSubmitted(FinanceEvent, frozen=True, kw_only=True):
    """The work was delivered; from here on the customer waits no longer."""

    task_id: str
    result_digest: str
    """SHA-256 (hex) of the delivered result."""
    result: str = ""
    """The result, or where it is."""


class CriterionJudged(FinanceEvent, frozen=True, kw_only=True):
    """One criterion was found to hold or not. The first finding stands."""

    task_id: str
    result: CriterionResult


class TaskClosed(FinanceEvent, frozen=True, kw_only=True):
    """Nothing more will happen to this task's money."""

    task_id: str
    status: Literal["paid", "refunded"]


class TaskDisputed(FinanceEvent, frozen=True, kw_only=True):
    """The customer objects; the money stays where it is until somebody decides."""

    task_id: str
    by: str
    reason: str


class BillStatusChanged(FinanceEvent, frozen=True, kw_only=True):
    """A bill was paid in part or whole, or is void."""

    bill_id: str
    task_id: str
    status: Literal["open", "part_paid", "paid", "void", "refunded"]
    amount_micro_credits: int = 0
    """What was allocated to it, or written off, by this change."""
    payment_id: str | None = None
    posting_id: str | None = None
    overpaid_micro_credits: int = 0
    reason: str = ""
