"""Tasks and bills, folded from events (HM-FOLD, HM-BILL, haima.md §1.15). A room of the house.

    quoted → accepted ─┬→ submitted → verified ─┬→ billed → paid
             (escrow)  └→ timed out ────────────┴→ refunded        and from accepted on: disputed → paid | refunded

Each arrow is one event and happens once. What was received for a task is its escrow, or the payments allocated to its bill;
a refund is never more.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from life.haima.accounts import account
from life.haima.events.finance_event import FinanceEvent
from life.haima.events.tasks import (
    BillStatusChanged,
    ContractRegistered,
    CriterionJudged,
    CriterionResult,
    TaskBilled,
    TaskClosed,
    TaskContract,
    TaskContracted,
    TaskDisputed,
    TaskQuoted,
    TaskRefunded,
    TaskResult,
    TaskSubmitted,
    TaskVerified,
)

TaskStatus = Literal["accepted", "submitted", "verified", "billed", "disputed", "paid", "refunded"]
BillStatus = Literal["open", "part_paid", "paid", "void", "refunded"]
CLOSED: Final[tuple[TaskStatus, ...]] = ("paid", "refunded")


class Task(msgspec.Struct, kw_only=True):
    """One piece of work."""

    task_id: str
    contract_id: str
    agent_id: str
    customer_id: str | None
    complexity: str
    price_micro_credits: int
    trust_ppm: int
    sla_deadline_ms: int
    contracted_at_us: int
    session_id: str | None
    escrowed: bool
    status: TaskStatus = "accepted"
    outcome: TaskResult | None = None
    results: dict[str, CriterionResult] = {}
    """By the criterion's place, as text."""
    result_digest: str | None = None
    result: str = ""
    submitted_at_us: int | None = None
    verified_at_us: int | None = None
    bill_id: str | None = None
    refunded_micro_credits: int = 0
    disputed: bool = False

    @property
    def escrow(self) -> str:
        """The account where its money waits."""
        return account("escrow", "task", self.task_id)


class Bill(msgspec.Struct, kw_only=True):
    """What somebody owes for a task."""

    bill_id: str
    task_id: str
    payer: str | None
    payee: str | None
    description: str
    amount_micro_credits: int
    due_at_us: int
    billed_at_us: int
    status: BillStatus = "open"
    allocated_micro_credits: int = 0
    overpaid_micro_credits: int = 0
    payments: list[str] = []

    @property
    def open_micro_credits(self) -> int:
        """What is still owed."""
        if self.status not in ("open", "part_paid"):
            return 0
        return self.amount_micro_credits - self.allocated_micro_credits


class TaskTypeStats(msgspec.Struct, kw_only=True):
    """How tasks of one type went (haima.md §1.15)."""

    total_tasks: int = 0
    successful_tasks: int = 0
    failed_tasks: int = 0
    partial_tasks: int = 0
    timed_out_tasks: int = 0
    total_revenue_micro_credits: int = 0
    total_refunds_micro_credits: int = 0


class Outcomes(msgspec.Struct, kw_only=True):
    """The room."""

    contracts: dict[str, TaskContract] = {}
    quotes: dict[str, TaskQuoted] = {}
    tasks: dict[str, Task] = {}
    open_tasks: dict[str, int] = {}
    """Tasks whose money is not done yet, with the time in ms at which a late one is over; 0 where time plays no role."""
    bills: dict[str, Bill] = {}
    stats_by_type: dict[str, TaskTypeStats] = {}
    contracted: int = 0
    verified: int = 0
    refunded: int = 0
    revenue_micro_credits: int = 0
    refunds_micro_credits: int = 0

    def apply(self, event: FinanceEvent, at_us: int) -> None:
        """Fold one event in; what does not fit changes nothing."""
        match event:
            case ContractRegistered():
                self.contracts.setdefault(event.contract.contract_id, event.contract)
            case TaskQuoted():
                self._quote(event, at_us)
            case TaskContracted():
                self._contract(event, at_us)
            case TaskBilled():
                self._bill(event, at_us)
            case BillStatusChanged() if event.bill_id in self.bills:
                self._change_bill(self.bills[event.bill_id], event)
            case TaskRefunded() if event.task_id in self.tasks:
                self._refund(self.tasks[event.task_id], event)
            case TaskSubmitted() | CriterionJudged() | TaskVerified() | TaskDisputed() | TaskClosed():
                task = self.tasks.get(event.task_id)
                if task is not None and task.status not in CLOSED:
                    self._advance(task, event, at_us)
            case _:
                pass

    def owner_of(self, task_id: str) -> str | None:
        """The agent that a task was contracted to."""
        task = self.tasks.get(task_id)
        return task.agent_id if task is not None else None

    def stats(self, contract_id: str) -> TaskTypeStats:
        """Where a task of this contract counts; unknown contracts have a type of their own."""
        contract = self.contracts.get(contract_id)
        return self.stats_by_type.setdefault(contract.task_type if contract else "unknown", TaskTypeStats())

    # ---- one kind of event each

    def _quote(self, event: TaskQuoted, at_us: int) -> None:
        self.quotes[event.quote_id] = event
        for quote_id in [key for key, quote in self.quotes.items() if quote.valid_until_us <= at_us]:
            del self.quotes[quote_id]

    def _contract(self, event: TaskContracted, at_us: int) -> None:
        if event.task_id in self.tasks:
            return
        if event.quote_id is not None:
            self.quotes.pop(event.quote_id, None)
        self.tasks[event.task_id] = Task(
            task_id=event.task_id,
            contract_id=event.contract_id,
            agent_id=event.agent_id,
            customer_id=event.customer_id,
            complexity=event.complexity,
            price_micro_credits=event.price_micro_credits,
            trust_ppm=event.trust_ppm,
            sla_deadline_ms=event.sla_deadline_ms,
            contracted_at_us=at_us,
            session_id=event.session_id,
            escrowed=event.escrowed,
        )
        contract = self.contracts.get(event.contract_id)
        grace_ms = 1000 * contract.refund_policy.grace_period_seconds if contract else 300_000
        self.open_tasks[event.task_id] = event.sla_deadline_ms + grace_ms
        self.contracted += 1
        self.stats(event.contract_id).total_tasks += 1

    def _bill(self, event: TaskBilled, at_us: int) -> None:
        bill_id = event.bill_id or f"bill-{event.task_id}"
        if bill_id in self.bills:
            return
        self.bills[bill_id] = Bill(
            bill_id=bill_id,
            task_id=event.task_id,
            payer=event.payer,
            payee=event.payee,
            description=event.description,
            amount_micro_credits=event.price_micro_credits,
            due_at_us=event.due_at_us,
            billed_at_us=at_us,
        )
        task = self.tasks.get(event.task_id)
        if task is not None and task.status == "verified":
            task.status, task.bill_id = "billed", bill_id

    def _change_bill(self, bill: Bill, event: BillStatusChanged) -> None:
        if bill.status in ("void", "refunded"):
            return
        bill.status = event.status
        bill.overpaid_micro_credits += event.overpaid_micro_credits
        if event.status in ("part_paid", "paid"):
            bill.allocated_micro_credits += event.amount_micro_credits
            self.revenue_micro_credits += event.amount_micro_credits
            task = self.tasks.get(bill.task_id)
            if task is not None:
                self.stats(task.contract_id).total_revenue_micro_credits += event.amount_micro_credits
        if event.payment_id is not None:
            bill.payments.append(event.payment_id)

    def _advance(
        self,
        task: Task,
        event: TaskSubmitted | CriterionJudged | TaskVerified | TaskDisputed | TaskClosed,
        at_us: int,
    ) -> None:
        match event:
            case TaskSubmitted() if task.status == "accepted":
                task.status, task.submitted_at_us = "submitted", at_us
                task.result_digest, task.result = event.result_digest, event.result
                self.open_tasks[task.task_id] = 0
            case CriterionJudged() if task.outcome is None:
                task.results.setdefault(str(event.result.index), event.result)
            case TaskVerified() if task.outcome is None:
                self._verify(task, event, at_us)
            case TaskDisputed():
                task.status, task.disputed = "disputed", True
            case TaskClosed():
                task.status = event.status
                self.open_tasks.pop(task.task_id, None)
            case _:
                pass

    def _refund(self, task: Task, event: TaskRefunded) -> None:
        task.refunded_micro_credits += event.refund_micro_credits
        self.refunded += 1
        self.refunds_micro_credits += event.refund_micro_credits
        self.stats(task.contract_id).total_refunds_micro_credits += event.refund_micro_credits

    def _verify(self, task: Task, event: TaskVerified, at_us: int) -> None:
        task.status, task.verified_at_us = "verified", at_us
        self.open_tasks[task.task_id] = 0
        self.verified += 1
        stats = self.stats(task.contract_id)
        match event.outcome:
            case "success":
                task.outcome = "success"
                stats.successful_tasks += 1
            case "partial_success":
                task.outcome = "partial_success"
                stats.partial_tasks += 1
            case "timeout":
                task.outcome = "timeout"
                stats.timed_out_tasks += 1
            case _:  # an outcome that nobody knows is no success
                task.outcome = "failure"
                stats.failed_tasks += 1
