"""What the rules of outcome pricing look up, and what they refuse."""

from __future__ import annotations

from life.aios.errors import InvalidInputError, NotFoundError
from life.haima.errors import QuoteExpiredError, RoleRefusedError, TrustTooLowError
from life.haima.events.tasks import Criterion, TaskContract
from life.haima.house_state import HouseState
from life.haima.outcomes.answers import Subject, TaskDecision
from life.haima.outcomes.room import Bill, Task


def standing(state: HouseState, task: Task) -> TaskDecision:
    """Where a task stands, changing nothing."""
    bill = state.outcomes.bills.get(task.bill_id or "")
    return TaskDecision(
        task_id=task.task_id,
        status=task.status,
        outcome=task.outcome,
        price_micro_credits=bill.amount_micro_credits if bill is not None else 0,
        refund_micro_credits=task.refunded_micro_credits,
        awaiting=awaiting(state, task) if task.outcome is None else (),
    )


def awaiting(state: HouseState, task: Task) -> tuple[int, ...]:
    """Places of the criteria that have no result yet."""
    contract = state.outcomes.contracts.get(task.contract_id)
    total = len(contract.success_criteria) if contract is not None else 0
    return tuple(index for index in range(total) if str(index) not in task.results)


def review_is_over(state: HouseState, task: Task, now_us: int) -> bool:
    """Whether a delivered task has nothing to wait for any more, or an approver whose time for review has ended in silence."""
    if task.status != "submitted" or task.outcome is not None:
        return False
    waits = awaiting(state, task)
    contract = state.outcomes.contracts.get(task.contract_id)
    if not waits or contract is None or task.submitted_at_us is None:
        return not waits
    times = (contract.success_criteria[index].review_seconds for index in waits)
    return any(time_s and now_us >= task.submitted_at_us + time_s * 1_000_000 for time_s in times)


def quoted_price(
    state: HouseState, quote_id: str | None, contract_id: str, agent_id: str, complexity: str, now_us: int
) -> int | None:
    """The price of a quote, when one is named; NotFoundError when it does not fit, QuoteExpiredError."""
    if quote_id is None:
        return None
    quote = state.outcomes.quotes.get(quote_id)
    if quote is None or (quote.contract_id, quote.agent_id, quote.complexity) != (contract_id, agent_id, complexity):
        raise NotFoundError("There is no such open quote for this task.", details={"quote_id": quote_id})
    if quote.valid_until_us <= now_us:
        raise QuoteExpiredError(quote_id)
    return quote.price_micro_credits


def find_contract(state: HouseState, contract_id: str) -> TaskContract:
    """The contract; NotFoundError."""
    contract = state.outcomes.contracts.get(contract_id)
    if contract is None:
        raise NotFoundError("There is no such contract.", details={"contract_id": contract_id[:128]})
    return contract


def find_task(state: HouseState, task_id: str) -> Task:
    """The task; NotFoundError."""
    task = state.outcomes.tasks.get(task_id)
    if task is None:
        raise NotFoundError("There is no such task.", details={"task_id": task_id[:128]})
    return task


def find_bill(state: HouseState, bill_id: str) -> Bill:
    """The bill; NotFoundError."""
    bill = state.outcomes.bills.get(bill_id)
    if bill is None:
        raise NotFoundError("There is no such bill.", details={"bill_id": bill_id[:128]})
    return bill


def find_criterion(state: HouseState, task: Task, index: int) -> Criterion:
    """One criterion of the task's contract; InvalidInputError."""
    criteria = find_contract(state, task.contract_id).success_criteria
    if not 0 <= index < len(criteria):
        raise InvalidInputError(f"The contract has {len(criteria)} criteria.")
    return criteria[index]


def check_trust(contract: TaskContract, trust_ppm: int) -> None:
    """TrustTooLowError."""
    if trust_ppm < contract.min_trust_ppm:
        raise TrustTooLowError(trust_ppm, contract.min_trust_ppm)


def check_role(by: Subject, *names: str | None) -> None:
    """RoleRefusedError unless the subject is one of these."""
    if not by.is_one_of(*names):
        raise RoleRefusedError("This is for somebody else to do.")


def check_id(task_id: str) -> None:
    """InvalidInputError for what can be no task id."""
    if not task_id or len(task_id) > 128 or not task_id.isprintable():
        raise InvalidInputError("A task id must be 1 to 128 printable characters.")
