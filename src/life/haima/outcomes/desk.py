"""Taking, judging and paying for work (HM-OUTCOME, HM-BILL; haima.md §1.10, §1.11, §4.4).

    accept   the price is fixed, and put aside when the customer has it here (escrow)
    submit   the agent delivers; the clock of the SLA stops
    judge    a person named in the contract says whether a criterion holds
    verify   the other criteria are checked; when every one has a result, the task is decided and its money moves

Everything is decided on the house's stream: a task is accepted once, decided once, billed once, and refunded never beyond
what was received for it. Whoever was late to a decision sees it and changes nothing (W31 to W37).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Final, Literal

from life.aios.errors import ConflictError, InvalidInputError
from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.haima.accounts import account, move, wallet_of
from life.haima.errors import RoleRefusedError
from life.haima.events import FinanceEvent
from life.haima.events.tasks import (
    BillStatusChanged,
    Complexity,
    ContractRegistered,
    Criterion,
    CriterionJudged,
    CriterionResult,
    CriterionType,
    TaskClosed,
    TaskContract,
    TaskContracted,
    TaskDisputed,
    TaskQuoted,
    TaskSubmitted,
)
from life.haima.house import Decision, House, Key
from life.haima.house_state import HouseState
from life.haima.outcomes.answers import BillPaid, Contracted, Refunded, Settled, Subject, TaskDecision, TaskQuote
from life.haima.outcomes.contracts import check_contract, price_micro, refund_micro
from life.haima.outcomes.lookups import (
    awaiting,
    check_id,
    check_role,
    check_trust,
    find_bill,
    find_contract,
    find_criterion,
    find_task,
    quoted_price,
    review_is_over,
    standing,
)
from life.haima.outcomes.room import Outcomes, Task
from life.haima.outcomes.task_money import (
    allocate,
    check_not_put_aside,
    close_when_paid,
    decide_task,
    give_back,
    is_put_aside,
    pay_out,
    received_micro,
    release,
    task_posting,
    time_out,
)
from life.haima.outcomes.verifiers import Verifier

TrustReader = Callable[[str], Awaitable[int]]
"""Autonomic's trust score of an agent as of now, in parts per million; 0 when it is not known."""

QUOTE_LIFE_S: Final = 24 * 3600
MAX_RESULT_CHARS: Final = 64 * 1024
_TOGETHER: Final = 100
"""So many tasks a job ends in one batch: each is a handful of events, and a journal takes a thousand at once."""
_US: Final = 1_000_000


class OutcomeDesk:
    """The commands of outcome pricing. Belongs to one event loop."""

    def __init__(
        self,
        house: House,
        clock: Clock,
        entropy: Entropy,
        *,
        trust: TrustReader,
        verifiers: Mapping[CriterionType, Verifier],
    ) -> None:
        self._house = house
        self._clock = clock
        self._entropy = entropy
        self._trust = trust
        self._verifiers = dict(verifiers)

    @property
    def room(self) -> Outcomes:
        """What is known of tasks and bills. For reading."""
        return self._house.state.outcomes

    # ---- before the work

    async def register(self, contract: TaskContract) -> TaskContract:
        """Offer work of a new kind. The same contract again is fine; another one under its id is a ConflictError."""
        check_contract(contract)

        def rule(state: HouseState, _now_us: int) -> Decision[TaskContract]:
            known = state.outcomes.contracts.get(contract.contract_id)
            if known is not None and known != contract:
                raise ConflictError(
                    "Another contract has this id; a contract never changes.",
                    details={"contract_id": contract.contract_id},
                )
            return Decision(() if known is not None else (ContractRegistered(contract=contract),), contract)

        return (await self._house.decide(rule)).answer

    async def quote(
        self, contract_id: str, agent_id: str, complexity: Complexity, *, customer_id: str | None = None
    ) -> TaskQuote:
        """A price, good for a day; TrustTooLowError when the agent may not do such work."""
        trust_ppm = await self._trust(agent_id)
        quote_id = new_id(self._clock, self._entropy)

        def rule(state: HouseState, now_us: int) -> Decision[TaskQuote]:
            contract = find_contract(state, contract_id)
            check_trust(contract, trust_ppm)
            quoted = TaskQuoted(
                quote_id=quote_id,
                contract_id=contract_id,
                agent_id=agent_id,
                complexity=complexity,
                price_micro_credits=price_micro(contract, complexity, trust_ppm),
                trust_ppm=trust_ppm,
                valid_until_us=now_us + QUOTE_LIFE_S * _US,
                customer_id=customer_id,
            )
            answer = TaskQuote(
                quote_id=quote_id,
                contract_id=contract_id,
                agent_id=agent_id,
                complexity=complexity,
                price_micro_credits=quoted.price_micro_credits,
                valid_until_us=quoted.valid_until_us,
            )
            return Decision((quoted,), answer)

        return (await self._house.decide(rule)).answer

    async def accept(
        self,
        task_id: str,
        contract_id: str,
        agent_id: str,
        complexity: Complexity,
        *,
        key: Key,
        customer_id: str | None = None,
        quote_id: str | None = None,
        escrow: bool = False,
        session_id: str | None = None,
    ) -> Contracted:
        """Take a task on, once: ConflictError for a task id that was used. With `escrow` the customer's account pays now,
        and InsufficientBalanceError says when it can't. The trust that counts is Autonomic's of this moment."""
        check_id(task_id)
        if escrow and customer_id is None:
            raise InvalidInputError("An escrow needs a customer whose account it comes from.")
        if customer_id == agent_id:
            raise InvalidInputError("An agent can't be its own customer.")
        trust_ppm = await self._trust(agent_id)
        posting_id = new_id(self._clock, self._entropy)

        def rule(state: HouseState, now_us: int) -> Decision[Contracted]:
            contract = find_contract(state, contract_id)
            if task_id in state.outcomes.tasks:
                raise ConflictError("A task with this id was taken on before.", details={"task_id": task_id})
            check_trust(contract, trust_ppm)
            price = quoted_price(state, quote_id, contract_id, agent_id, complexity, now_us)
            price = price_micro(contract, complexity, trust_ppm) if price is None else price
            task = TaskContracted(
                task_id=task_id,
                contract_id=contract_id,
                agent_id=agent_id,
                complexity=complexity,
                price_micro_credits=price,
                sla_deadline_ms=now_us // 1000 + contract.refund_policy.sla_seconds * 1000,
                session_id=session_id,
                customer_id=customer_id,
                quote_id=quote_id,
                trust_ppm=trust_ppm,
                escrowed=escrow and price > 0,
            )
            events: list[FinanceEvent] = [task]
            if task.escrowed and customer_id is not None:
                entries = move(wallet_of(customer_id), account("escrow", "task", task_id), price)
                events.insert(0, task_posting(posting_id, entries, "escrow", task_id=task_id, session_id=session_id))
            answer = Contracted(
                task_id=task_id,
                contract_id=contract_id,
                agent_id=agent_id,
                complexity=complexity,
                price_micro_credits=price,
                sla_deadline_ms=task.sla_deadline_ms,
                escrowed=task.escrowed,
            )
            return Decision(events, answer)

        return (await self._house.decide(rule, key=key, answer_type=Contracted)).answer

    # ---- the work

    async def submit(self, task_id: str, by: Subject, result: str, *, key: Key) -> TaskDecision:
        """The agent delivers. ConflictError when it did before, or is too late."""
        if len(result) > MAX_RESULT_CHARS:
            raise InvalidInputError(
                f"A result has at most {MAX_RESULT_CHARS} characters; deliver where it can be found."
            )

        def rule(state: HouseState, _now_us: int) -> Decision[TaskDecision]:
            task = find_task(state, task_id)
            check_role(by, task.agent_id)
            if task.status != "accepted":
                raise ConflictError(f"The task is {task.status}.", details={"task_id": task_id})
            digest = sha256(result.encode(errors="replace")).hexdigest()
            submitted = TaskSubmitted(task_id=task_id, result_digest=digest, result=result)
            return Decision((submitted,), TaskDecision(task_id=task_id, status="submitted"))

        return (await self._house.decide(rule, key=key, answer_type=TaskDecision)).answer

    async def judge(self, task_id: str, index: int, by: Subject, *, passed: bool, details: str = "") -> TaskDecision:
        """A person's word on one criterion; the first one stands. RoleRefusedError unless it is the approver that the
        contract names (`customer` is the task's), InvalidInputError for a criterion that no person decides."""

        def rule(state: HouseState, _now_us: int) -> Decision[TaskDecision]:
            task = find_task(state, task_id)
            criterion = find_criterion(state, task, index)
            if criterion.type not in ("manual_approval", "custom"):
                raise InvalidInputError(f"The criterion {criterion.type} is not for people to decide.")
            check_role(by, task.customer_id if criterion.approver == "customer" else criterion.approver)
            if by.id == task.agent_id:
                raise RoleRefusedError("An agent can't approve its own work.")
            if task.outcome is not None or str(index) in task.results:
                return Decision((), standing(state, task))
            judged = CriterionJudged(
                task_id=task_id, result=CriterionResult(index=index, passed=passed, details=details[:2000], by=by.id)
            )
            left = tuple(place for place in awaiting(state, task) if place != index)
            return Decision((judged,), TaskDecision(task_id=task_id, status=task.status, awaiting=left))

        return (await self._house.decide(rule)).answer

    async def verify(self, task_id: str) -> TaskDecision:
        """Check what can be checked, keep what was found, and decide when every criterion has a result. A task that is
        decided stays decided. A verifier that can't be reached leaves its criterion open; repeat later."""
        await self._house.catch_up()
        task = find_task(self._house.state, task_id)
        if task.outcome is None and task.status == "submitted":
            for index in awaiting(self._house.state, task):
                await self._check(task, index, find_criterion(self._house.state, task, index))
        posting_ids = (new_id(self._clock, self._entropy), new_id(self._clock, self._entropy))
        bill_id = new_id(self._clock, self._entropy)

        def rule(state: HouseState, now_us: int) -> Decision[TaskDecision]:
            now_task = find_task(state, task_id)
            if now_task.outcome is not None or now_task.status != "submitted" or awaiting(state, now_task):
                return Decision((), standing(state, now_task))
            return decide_task(state, now_task, bill_id, posting_ids, now_us)

        return (await self._house.decide(rule)).answer

    async def _check(self, task: Task, index: int, criterion: Criterion) -> None:
        verifier = self._verifiers.get(criterion.type)
        if verifier is None:
            return
        found = await verifier.check(task, criterion)
        if found is None:
            return
        result = CriterionResult(index=index, passed=found.passed, details=found.details[:2000], by=verifier.name)

        def rule(state: HouseState, _now_us: int) -> Decision[TaskDecision]:
            now_task = find_task(state, task.task_id)
            if now_task.outcome is not None or str(index) in now_task.results:
                return Decision((), standing(state, now_task))
            judged = CriterionJudged(task_id=task.task_id, result=result)
            return Decision((judged,), standing(state, now_task))

        await self._house.decide(rule)

    # ---- the money afterwards

    async def dispute(self, task_id: str, by: Subject, reason: str) -> TaskDecision:
        """The customer objects while the money is not paid out; ConflictError afterwards."""

        def rule(state: HouseState, _now_us: int) -> Decision[TaskDecision]:
            task = find_task(state, task_id)
            check_role(by, task.customer_id)
            if task.status not in ("submitted", "verified", "billed"):
                raise ConflictError(f"The task is {task.status}.", details={"task_id": task_id})
            disputed = TaskDisputed(task_id=task_id, by=by.id, reason=reason[:2000])
            return Decision((disputed,), TaskDecision(task_id=task_id, status="disputed", outcome=task.outcome))

        return (await self._house.decide(rule)).answer

    async def resolve_dispute(self, task_id: str, by: Subject, *, to_agent_micro: int, reason: str) -> TaskDecision:
        """An arbiter splits what was put aside: this much to the agent, the rest back. RoleRefusedError without the role
        `arbiter`, InvalidInputError for more than there is."""
        posting_ids = (new_id(self._clock, self._entropy), new_id(self._clock, self._entropy))

        def rule(state: HouseState, _now_us: int) -> Decision[TaskDecision]:
            task = find_task(state, task_id)
            if "arbiter" not in by.roles:
                raise RoleRefusedError("Only an arbiter decides a dispute.")
            if task.status != "disputed":
                raise ConflictError(f"The task is {task.status}, not disputed.", details={"task_id": task_id})
            held = state.accounts.balance(task.escrow)
            if not 0 <= to_agent_micro <= held:
                raise InvalidInputError(f"Between 0 and {held} micro-credits can go to the agent.")
            back = held - to_agent_micro
            events = pay_out(task, to_agent_micro, back, f"{by.id}: {reason[:2000]}", posting_ids)
            bill = state.outcomes.bills.get(task.bill_id or "")
            if bill is not None and bill.open_micro_credits:
                status: Literal["paid", "void"] = "paid" if to_agent_micro >= bill.open_micro_credits else "void"
                allocated = min(to_agent_micro, bill.open_micro_credits)
                events += [
                    BillStatusChanged(
                        bill_id=bill.bill_id, task_id=task_id, status="part_paid", amount_micro_credits=allocated
                    ),
                    BillStatusChanged(bill_id=bill.bill_id, task_id=task_id, status=status, reason=reason[:2000]),
                ]
            events.append(TaskClosed(task_id=task_id, status="paid" if to_agent_micro else "refunded"))
            answer = TaskDecision(
                task_id=task_id,
                status="paid" if to_agent_micro else "refunded",
                outcome=task.outcome,
                price_micro_credits=to_agent_micro,
                refund_micro_credits=back,
            )
            return Decision(events, answer)

        return (await self._house.decide(rule)).answer

    async def refund(self, task_id: str, by: Subject, *, reason: str, key: Key) -> Refunded:
        """Give money of a task back: of one that failed, or was paid, by the contract's percentage of what was received,
        less what went back before. Only its agent or an arbiter may; what is put aside goes back first, the rest comes
        from the agent's account."""
        posting_ids = (new_id(self._clock, self._entropy), new_id(self._clock, self._entropy))

        def rule(state: HouseState, _now_us: int) -> Decision[Refunded]:
            task = find_task(state, task_id)
            if "arbiter" not in by.roles:
                check_role(by, task.agent_id)
            if task.status not in ("verified", "billed", "paid"):
                raise ConflictError(f"The task is {task.status}.", details={"task_id": task_id})
            contract = find_contract(state, task.contract_id)
            received = received_micro(state, task)
            wanted = refund_micro(received, contract.refund_policy.refund_percentage)
            back = wanted - task.refunded_micro_credits
            if back <= 0:
                raise ConflictError("Nothing is left to give back.", details={"task_id": task_id})
            return Decision(
                give_back(state, task, back, reason[:2000], posting_ids),
                Refunded(task_id=task_id, refund_micro_credits=back),
            )

        return (await self._house.decide(rule, key=key, answer_type=Refunded)).answer

    async def pay_bill(self, bill_id: str, by: Subject, amount_micro: int, *, key: Key) -> BillPaid:
        """Pay a bill, or a part of it, from the payer's account here. InvalidInputError for more than is owed."""
        posting_id = new_id(self._clock, self._entropy)

        def rule(state: HouseState, _now_us: int) -> Decision[BillPaid]:
            bill = find_bill(state, bill_id)
            check_role(by, bill.payer)
            check_not_put_aside(state, bill, "It is paid out of that when the dispute window is over.")
            if bill.payer is None or bill.payee is None or not 0 < amount_micro <= bill.open_micro_credits:
                raise InvalidInputError(f"Between 1 and {bill.open_micro_credits} micro-credits are owed.")
            posting = task_posting(
                posting_id,
                move(wallet_of(bill.payer), wallet_of(bill.payee), amount_micro),
                "bill",
                task_id=bill.task_id,
            )
            changed, answer = allocate(bill, amount_micro, posting_id=posting_id)
            return Decision((posting, changed, *close_when_paid(state, bill, answer)), answer)

        return (await self._house.decide(rule, key=key, answer_type=BillPaid)).answer

    async def allocate_payment(
        self, task_id: str, payment_id: str, amount_micro: int, *, network: str
    ) -> BillPaid | None:
        """A payment that came in over x402 for a task pays its bill; what is beyond it is kept as overpaid. None when the task
        has no bill that is owed, or its price was put aside before. Each payment is allocated once, for ever."""
        posting_id = new_id(self._clock, self._entropy)

        def rule(state: HouseState, _now_us: int) -> Decision[BillPaid]:
            task = state.outcomes.tasks.get(task_id)
            bill = state.outcomes.bills.get(task.bill_id or "") if task is not None else None
            owed = bill is not None and bill.open_micro_credits and not is_put_aside(state, bill)
            if bill is None or not owed or payment_id in bill.payments:
                return Decision((), BillPaid(bill_id="", status="", allocated_micro_credits=0, open_micro_credits=0))
            changed, answer = allocate(bill, amount_micro, payment_id=payment_id)
            events: list[FinanceEvent] = [changed]
            if bill.payee is not None:
                entries = move(account("external", "network", network), wallet_of(bill.payee), amount_micro)
                events.insert(0, task_posting(posting_id, entries, "deposit", task_id=task_id, cause_id=payment_id))
            return Decision((*events, *close_when_paid(state, bill, answer)), answer)

        answer = (await self._house.decide(rule)).answer
        return answer if answer.bill_id else None

    async def void_bill(self, bill_id: str, by: Subject, *, reason: str) -> BillPaid:
        """Its payee gives up what is still owed."""

        def rule(state: HouseState, _now_us: int) -> Decision[BillPaid]:
            bill = find_bill(state, bill_id)
            check_role(by, bill.payee, "operator")
            check_not_put_aside(state, bill, "Give it back with a refund.")
            if not bill.open_micro_credits:
                raise ConflictError(f"The bill is {bill.status}.", details={"bill_id": bill_id})
            changed = BillStatusChanged(
                bill_id=bill_id,
                task_id=bill.task_id,
                status="void",
                amount_micro_credits=bill.open_micro_credits,
                reason=reason[:2000],
            )
            answer = BillPaid(
                bill_id=bill_id,
                status="void",
                allocated_micro_credits=bill.allocated_micro_credits,
                open_micro_credits=0,
            )
            return Decision((changed, TaskClosed(task_id=bill.task_id, status="paid")), answer)

        return (await self._house.decide(rule)).answer

    # ---- the jobs

    async def expire_overdue(self, *, only: str | None = None) -> Settled:
        """End tasks that were not delivered in time (or this one alone): outcome `timeout`, price 0, refund by the contract. A task that
        was delivered is never late, however long its judges take. Each is decided in one step, so it can't race with a delivery."""

        def rule(state: HouseState, now_us: int) -> Decision[Settled]:
            events: list[FinanceEvent] = []
            over: list[str] = []
            for task_id, due_ms in state.outcomes.open_tasks.items():
                task = state.outcomes.tasks[task_id]
                if len(over) == _TOGETHER:
                    break
                if only in (None, task_id) and due_ms and task.status == "accepted" and now_us // 1000 > due_ms:
                    over.append(task_id)
                    ids = (new_id(self._clock, self._entropy), new_id(self._clock, self._entropy))
                    events += time_out(state, task, ids)
            return Decision(events, Settled(task_ids=tuple(over)))

        return await self._all_of(rule)

    async def settle_reviews(self) -> Settled:
        """Decide delivered tasks whose approvers said nothing in the time that their contract gives them (`review_seconds`)."""
        state, now_us = await self._house.catch_up(), self._house.now_us
        over = tuple(
            task_id
            for task_id in state.outcomes.open_tasks
            if review_is_over(state, state.outcomes.tasks[task_id], now_us)
        )
        for task_id in over:
            await self.verify(task_id)
        return Settled(task_ids=over)

    async def release_due(self) -> Settled:
        """Pay out what was put aside for tasks that succeeded and whose dispute window is over."""

        def rule(state: HouseState, now_us: int) -> Decision[Settled]:
            events: list[FinanceEvent] = []
            released: list[str] = []
            for task_id in state.outcomes.open_tasks:
                if len(released) == _TOGETHER:
                    break
                task = state.outcomes.tasks[task_id]
                bill = state.outcomes.bills.get(task.bill_id or "")
                if task.status != "billed" or not task.escrowed or bill is None or bill.due_at_us > now_us:
                    continue
                ids = (new_id(self._clock, self._entropy), new_id(self._clock, self._entropy))
                released.append(task_id)
                events += release(state, task, bill.bill_id, bill.open_micro_credits, ids)
            return Decision(events, Settled(task_ids=tuple(released)))

        return await self._all_of(rule)

    async def _all_of(self, rule: Callable[[HouseState, int], Decision[Settled]]) -> Settled:
        """What a job's rule ends, in batches that every journal takes."""
        done: list[str] = []
        while True:
            found = (await self._house.decide(rule)).answer.task_ids
            done += found
            if len(found) < _TOGETHER:
                return Settled(task_ids=tuple(done))
