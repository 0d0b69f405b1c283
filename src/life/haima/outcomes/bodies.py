"""What the HTTP routes of outcome pricing and bills read and answer. Unknown fields are refused; amounts are micro-credits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

from life.haima.events.tasks import Complexity, Criterion, RefundTerms, TaskContract, TaskType
from life.haima.outcomes.room import Bill, Task, TaskTypeStats

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Text = Annotated[str, msgspec.Meta(max_length=2000)]
Micro = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bodies with a field that nobody knows are refused."""


class ContractBody(_Strict, frozen=True, kw_only=True):
    """`POST /v1/outcomes/contracts`. `min_trust_score` is a part of one, as in the original."""

    task_type: TaskType
    name: Name
    price_floor_micro_credits: Micro
    price_ceiling_micro_credits: Micro
    success_criteria: tuple[Criterion, ...]
    refund_policy: RefundTerms = RefundTerms()
    min_trust_score: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.3
    custom_label: Name | None = None
    dispute_window_seconds: int = 0
    contract_id: Name | None = None


class QuoteBody(_Strict, frozen=True, kw_only=True):
    """What a price is asked for."""

    contract_id: Name
    agent_id: Name
    complexity: Complexity
    customer_id: Name | None = None


class AcceptBody(_Strict, frozen=True, kw_only=True):
    """What is taken on. With `escrow` the customer's account pays now."""

    contract_id: Name
    agent_id: Name
    complexity: Complexity
    customer_id: Name | None = None
    quote_id: Name | None = None
    escrow: bool = False
    session_id: Name | None = None


class SubmitBody(_Strict, frozen=True, kw_only=True):
    """The delivered result, or where it is."""

    result: str


class GivenResult(_Strict, frozen=True, kw_only=True):
    """A person's word on one criterion."""

    index: Annotated[int, msgspec.Meta(ge=0, le=64)]
    passed: bool
    details: Text = ""


class VerifyBody(_Strict, frozen=True, kw_only=True):
    """Results of people's criteria; the caller must be the approver that the contract names."""

    results: tuple[GivenResult, ...] = ()
    on_behalf_of: Name | None = None
    """An operator may pass on what the customer said."""


class ApprovalBody(_Strict, frozen=True, kw_only=True):
    """A JWS of the type `life-approval+jwt`."""

    approval: Annotated[str, msgspec.Meta(max_length=16_384)]


class ReasonBody(_Strict, frozen=True, kw_only=True):
    """Why."""

    reason: Text


class ResolveBody(_Strict, frozen=True, kw_only=True):
    """How an arbiter splits what is put aside."""

    to_agent_micro_credits: Micro
    reason: Text


class PayBody(_Strict, frozen=True, kw_only=True):
    """How much of a bill is paid."""

    amount_micro_credits: Annotated[int, msgspec.Meta(ge=1, le=2**53)]


class Contracts(msgspec.Struct, frozen=True):
    """What is on offer."""

    contracts: Sequence[TaskContract]
    count: int


class PendingTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task that is not decided yet."""

    task_id: str
    contract_id: str
    agent_id: str
    status: str
    price_micro_credits: int
    sla_deadline_ms: int
    time_remaining_ms: int
    sla_breached: bool


class PendingTasks(msgspec.Struct, frozen=True):
    """Tasks that are not decided yet."""

    pending_tasks: Sequence[PendingTask]
    count: int


class TaskPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some tasks, oldest first; ask again with `next_cursor`."""

    records: Sequence[Task]
    count: int
    next_cursor: str | None = None


class BillPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some bills, oldest first; ask again with `next_cursor`."""

    bills: Sequence[Bill]
    next_cursor: str | None = None


class Dashboard(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of haima.md §1.15."""

    total_tasks_contracted: int
    total_tasks_verified: int
    total_tasks_refunded: int
    pending_tasks: int
    total_outcome_revenue: int
    total_outcome_refunds: int
    net_outcome_revenue: int
    stats_by_type: dict[str, TaskTypeStats]
    contracts_registered: int
