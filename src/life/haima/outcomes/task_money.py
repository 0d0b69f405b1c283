"""What becomes of a task's money: pure rules that give the events of a decision (HM-OUTCOME, HM-BILL)."""

from __future__ import annotations

from typing import Final, Literal

from life.aios.errors import ConflictError, InvalidInputError
from life.haima.accounts import move, wallet_of
from life.haima.events import FinanceEvent
from life.haima.events.accounts import Entry, LedgerPosted, PostingReason
from life.haima.events.tasks import BillStatusChanged, TaskBilled, TaskClosed, TaskRefunded, TaskVerified
from life.haima.house import Decision
from life.haima.house_state import HouseState
from life.haima.outcomes.answers import BillPaid, TaskDecision
from life.haima.outcomes.contracts import earned_micro, outcome_of, refund_micro
from life.haima.outcomes.lookups import find_contract
from life.haima.outcomes.room import CLOSED, Bill, Task

BILL_DUE_S: Final = 7 * 86_400
"""How long a customer without escrow has to pay."""
_US: Final = 1_000_000


def decide_task(
    state: HouseState, task: Task, bill_id: str, posting_ids: tuple[str, str], now_us: int
) -> Decision[TaskDecision]:
    """The outcome of a task whose criteria all have a result, and what becomes of its money."""
    contract = find_contract(state, task.contract_id)
    results = tuple(task.results[str(index)] for index in range(len(contract.success_criteria)))
    outcome = outcome_of(contract.success_criteria, results)
    earned = earned_micro(task.price_micro_credits, contract.success_criteria, results)
    verified = TaskVerified(
        task_id=task.task_id,
        contract_id=task.contract_id,
        outcome=outcome,
        price_micro_credits=earned,
        criteria_passed=sum(result.passed for result in results),
        criteria_total=len(results),
        results=results,
    )
    events: list[FinanceEvent] = [verified]
    refund = 0
    status = "verified"
    if earned:
        waits = task.escrowed and contract.dispute_window_seconds > 0
        wait_s = contract.dispute_window_seconds if task.escrowed else BILL_DUE_S
        events.append(bill_for(task, bill_id, earned, due_at_us=now_us + wait_s * _US))
        status = "billed"
        if task.escrowed and not waits:
            events += release(state, task, bill_id, earned, posting_ids)
            refund, status = state.accounts.balance(task.escrow) - earned, "paid"
    elif not task.escrowed:
        events.append(TaskClosed(task_id=task.task_id, status="refunded"))
        status = "refunded"
    elif contract.refund_policy.auto_refund:
        held = state.accounts.balance(task.escrow)
        refund = refund_micro(held, contract.refund_policy.refund_percentage)
        events += pay_out(task, held - refund, refund, "auto_refund_on_failure", posting_ids)
        events.append(TaskClosed(task_id=task.task_id, status="refunded"))
        status = "refunded"
    answer = TaskDecision(
        task_id=task.task_id,
        status=status,
        outcome=outcome,
        price_micro_credits=earned,
        refund_micro_credits=refund,
    )
    return Decision(events, answer)


def time_out(state: HouseState, task: Task, posting_ids: tuple[str, str]) -> list[FinanceEvent]:
    """The events by which a task that was not delivered in time ends."""
    contract = state.outcomes.contracts.get(task.contract_id)
    total = len(contract.success_criteria) if contract is not None else 0
    events: list[FinanceEvent] = [
        TaskVerified(
            task_id=task.task_id,
            contract_id=task.contract_id,
            outcome="timeout",
            price_micro_credits=0,
            criteria_passed=0,
            criteria_total=total,
        )
    ]
    if not task.escrowed:
        return [*events, TaskClosed(task_id=task.task_id, status="refunded")]
    if contract is not None and not contract.refund_policy.auto_refund:
        return events
    held = state.accounts.balance(task.escrow)
    percentage = contract.refund_policy.refund_percentage if contract is not None else 100
    back = refund_micro(held, percentage)
    events += pay_out(task, held - back, back, "sla_timeout", posting_ids)
    return [*events, TaskClosed(task_id=task.task_id, status="refunded")]


def release(
    state: HouseState, task: Task, bill_id: str, earned: int, posting_ids: tuple[str, str]
) -> list[FinanceEvent]:
    """What was earned goes to the agent, the rest of the escrow back to the customer."""
    back = state.accounts.balance(task.escrow) - earned
    paid = BillStatusChanged(
        bill_id=bill_id,
        task_id=task.task_id,
        status="paid",
        amount_micro_credits=earned,
        posting_id=posting_ids[0],
    )
    return [
        *pay_out(task, earned, back, "not earned", posting_ids),
        paid,
        TaskClosed(task_id=task.task_id, status="paid"),
    ]


def pay_out(task: Task, to_agent: int, back: int, reason: str, posting_ids: tuple[str, str]) -> list[FinanceEvent]:
    """Empty a task's escrow: so much to the agent, so much to the customer."""
    events: list[FinanceEvent] = []
    if to_agent:
        entries = move(task.escrow, wallet_of(task.agent_id), to_agent)
        events.append(
            task_posting(posting_ids[0], entries, "release", task_id=task.task_id, session_id=task.session_id)
        )
    if back:
        assert task.customer_id is not None  # an escrow has a customer
        entries = move(task.escrow, wallet_of(task.customer_id), back)
        events.append(task_posting(posting_ids[1], entries, "refund", task_id=task.task_id, session_id=task.session_id))
        events.append(refunded(task, back, reason, posting_ids[1]))
    return events


def give_back(
    state: HouseState, task: Task, back: int, reason: str, posting_ids: tuple[str, str]
) -> list[FinanceEvent]:
    """A refund that somebody ordered: from the escrow while there is one, otherwise from the agent's account."""
    if task.customer_id is None:
        raise InvalidInputError("Nobody is known whom this task's money could go back to.")
    held = state.accounts.balance(task.escrow)
    from_escrow = min(back, held)
    events: list[FinanceEvent] = []
    entries: list[Entry] = []
    if from_escrow:
        entries.append(Entry(task.escrow, -from_escrow))
    if back > from_escrow:
        entries.append(Entry(wallet_of(task.agent_id), from_escrow - back))
    entries.append(Entry(wallet_of(task.customer_id), back))
    events.append(
        task_posting(posting_ids[0], tuple(entries), "refund", task_id=task.task_id, session_id=task.session_id)
    )
    events.append(refunded(task, back, reason, posting_ids[0]))
    if held > from_escrow:
        rest = move(task.escrow, wallet_of(task.agent_id), held - from_escrow)
        events.append(task_posting(posting_ids[1], rest, "release", task_id=task.task_id, session_id=task.session_id))
    bill = state.outcomes.bills.get(task.bill_id or "")
    if bill is not None and bill.status != "refunded":
        events.append(BillStatusChanged(bill_id=bill.bill_id, task_id=task.task_id, status="refunded", reason=reason))
    if task.status not in CLOSED:
        events.append(TaskClosed(task_id=task.task_id, status="refunded"))
    return events


def received_micro(state: HouseState, task: Task) -> int:
    """What came in for a task: what is put aside, what its bill got, and what went back before."""
    bill = state.outcomes.bills.get(task.bill_id or "")
    allocated = bill.allocated_micro_credits if bill is not None else 0
    if task.escrowed:
        return task.price_micro_credits
    return allocated


def allocate(
    bill: Bill, amount: int, *, payment_id: str | None = None, posting_id: str | None = None
) -> tuple[BillStatusChanged, BillPaid]:
    """A payment against a bill: what is owed is allocated, the rest is visible as overpaid."""
    allocated = min(amount, bill.open_micro_credits)
    left = bill.open_micro_credits - allocated
    status: Literal["part_paid", "paid"] = "part_paid" if left else "paid"
    changed = BillStatusChanged(
        bill_id=bill.bill_id,
        task_id=bill.task_id,
        status=status,
        amount_micro_credits=allocated,
        payment_id=payment_id,
        posting_id=posting_id,
        overpaid_micro_credits=amount - allocated,
    )
    answer = BillPaid(
        bill_id=bill.bill_id,
        status=status,
        allocated_micro_credits=bill.allocated_micro_credits + allocated,
        open_micro_credits=left,
        overpaid_micro_credits=bill.overpaid_micro_credits + amount - allocated,
    )
    return changed, answer


def is_put_aside(state: HouseState, bill: Bill) -> bool:
    """Whether a bill's money is in its task's escrow: then it is the release that pays it, and nothing else may."""
    task = state.outcomes.tasks.get(bill.task_id)
    return task is not None and task.escrowed


def check_not_put_aside(state: HouseState, bill: Bill, next_step: str) -> None:
    """ConflictError for a bill that would be paid twice, or whose money would be left over."""
    if is_put_aside(state, bill):
        raise ConflictError(
            "The money for this bill was put aside when the task was accepted.",
            next_step=next_step,
            details={"bill_id": bill.bill_id},
        )


def close_when_paid(state: HouseState, bill: Bill, answer: BillPaid) -> list[FinanceEvent]:
    """A task whose bill is paid is done."""
    task = state.outcomes.tasks.get(bill.task_id)
    if answer.status != "paid" or task is None or task.status != "billed":
        return []
    return [TaskClosed(task_id=bill.task_id, status="paid")]


def bill_for(task: Task, bill_id: str, amount: int, *, due_at_us: int) -> TaskBilled:
    """The bill for what a task has earned."""
    return TaskBilled(
        task_id=task.task_id,
        description=f"{task.contract_id} ({task.complexity})",
        price_micro_credits=amount,
        token="USDC",  # noqa: S106 (a token of money)
        chain="internal" if task.escrowed else "any",
        bill_id=bill_id,
        session_id=task.session_id,
        payer=task.customer_id,
        payee=task.agent_id,
        due_at_us=due_at_us,
    )


def refunded(task: Task, back: int, reason: str, refund_id: str) -> TaskRefunded:
    """The event of money that goes back to the customer."""
    return TaskRefunded(
        task_id=task.task_id,
        contract_id=task.contract_id,
        refund_micro_credits=back,
        reason=reason,
        refund_id=refund_id,
        customer_id=task.customer_id,
    )


def task_posting(
    posting_id: str,
    entries: tuple[Entry, ...],
    reason: PostingReason,
    *,
    task_id: str,
    session_id: str | None = None,
    cause_id: str | None = None,
) -> LedgerPosted:
    """A posting for a task."""
    return LedgerPosted(
        posting_id=posting_id,
        entries=entries,
        reason=reason,
        cause_id=cause_id or task_id,
        session_id=session_id,
        task_id=task_id,
    )
