"""Hires: one agent asks another for one piece of work at one price, over the contracts, escrows and refunds of outcome pricing.

    put_aside   the customer's price goes into the task's escrow; both can see it there before any work is done
    deliver     the worker hands the result in; from then on it is not late
    judge       the customer accepts (the escrow goes to the worker) or rejects (it goes back)
    give_up     the worker won't do it; the money goes back at once
    settle      what time decides: nothing delivered in time goes back, nothing said within the time for review is acceptance

A hire is a task whose contract was made for it alone: the price has no range, the only criterion is the customer's word, and its refund is
whole. The contract carries the digest of the offer, so neither side can say later that something else was agreed on. Everything is
decided on the house's stream under ids that follow from the hire's, so repeating a step changes nothing.

Source: spaces.md §9, §14 (W18); haima.md §1.9 to §1.11; HM-OUTCOME.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from life.aios.errors import ConflictError, InvalidInputError, NotFoundError
from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.haima.accounts import account, move, wallet_of
from life.haima.errors import InsufficientBalanceError, RoleRefusedError
from life.haima.events import FinanceEvent
from life.haima.events.accounts import LedgerPosted
from life.haima.events.tasks import (
    Criterion,
    CriterionJudged,
    CriterionResult,
    RefundTerms,
    TaskClosed,
    TaskContract,
    TaskVerified,
)
from life.haima.house import Decision, House, Key
from life.haima.house_state import HouseState
from life.haima.outcomes.answers import Subject
from life.haima.outcomes.contracts import MAX_PRICE_MICRO
from life.haima.outcomes.desk import OutcomeDesk
from life.haima.outcomes.lookups import check_id, check_role, find_task, review_is_over
from life.haima.outcomes.room import Task
from life.haima.outcomes.task_money import pay_out

HireStatus = Literal["open", "delivered", "paid", "rejected", "declined", "late", "disputed"]
OVER: Final = frozenset({"paid", "rejected", "declined", "late"})
"""Nothing more will happen to the money of these."""
APPROVER: Final = "customer"
DECLINED: Final = "declined"
MAX_TITLE: Final = 128
MAX_OPEN: Final = 200
"""Hires of one customer that are not over."""
MAX_DIGEST: Final = 64
_US: Final = 1_000_000


class HireTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What is agreed on."""

    hire_id: str
    customer_id: str
    worker_id: str
    price_micro_credits: int
    deadline_s: int
    """Seconds from now until it must be delivered."""
    review_s: int
    """Seconds from the delivery until silence is acceptance."""
    title: str
    offer_digest: str
    """SHA-256 (hex) of the offer, as both sides have it."""
    session_id: str | None = None
    """The customer's."""


class HireStanding(msgspec.Struct, frozen=True, kw_only=True):
    """Where a hire stands, by the house's word."""

    hire_id: str
    customer_id: str
    worker_id: str
    title: str
    offer_digest: str
    price_micro_credits: int
    status: HireStatus
    escrow_micro_credits: int
    """What is put aside for it at this moment."""
    paid_micro_credits: int
    refunded_micro_credits: int
    contracted_at_us: int
    deadline_us: int
    deadline_s: int
    """What was agreed on: seconds from the contract to the deadline."""
    review_s: int
    delivered_at_us: int | None = None
    review_until_us: int | None = None
    result: str = ""
    result_digest: str | None = None
    reason: str = ""
    """Why it was rejected or declined."""
    position: int = 0
    """Of the journal, that this is as of."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to its money."""
        return self.status in OVER


class Deposited(msgspec.Struct, frozen=True, kw_only=True):
    """Money came in, or went out."""

    posting_id: str
    amount_micro: int
    balance_micro: int
    """Of the account afterwards."""


class Hires:
    """The commands. Belongs to one event loop."""

    def __init__(self, house: House, desk: OutcomeDesk, clock: Clock, entropy: Entropy) -> None:
        """`desk` must have a SilentApproval among its verifiers (`manual_approval`), or nobody's silence ends a review."""
        self._house = house
        self._desk = desk
        self._clock = clock
        self._entropy = entropy

    # ---- the work

    async def put_aside(self, terms: HireTerms, by: Subject) -> HireStanding:
        """Make the contract and put the price aside, once. InsufficientBalanceError when the customer's account does not have it;
        ConflictError for a hire id with other terms."""
        check_role(by, terms.customer_id)
        _check(terms)
        await self._check_room(terms)
        contract = _contract(terms)
        await self._desk.register(contract)
        request = msgspec.json.encode(terms)
        await self._desk.accept(
            terms.hire_id,
            contract.contract_id,
            terms.worker_id,
            "standard",
            key=Key(terms.customer_id, f"hire:{terms.hire_id}", request),
            customer_id=terms.customer_id,
            escrow=terms.price_micro_credits > 0,
            session_id=terms.session_id,
        )
        return await self.look(terms.hire_id, by)

    async def look(self, hire_id: str, by: Subject) -> HireStanding:
        """Where it stands now, for the two of them and the operator; NotFoundError for everybody else and for one that isn't there."""
        await self._settle(hire_id)
        task = self._own(self._house.state, hire_id, by)
        return standing_of(self._house.state, task, self._house.position)

    async def deliver(self, hire_id: str, by: Subject, result: str) -> HireStanding:
        """Hand the result in. The same result again changes nothing; another one is an IdempotencyConflictError. ConflictError when
        it is late."""
        await self._settle(hire_id)
        task = self._own(self._house.state, hire_id, by)
        check_role(by, task.agent_id)
        key = Key(task.agent_id, f"hire.deliver:{hire_id}", result.encode(errors="replace"))
        await self._desk.submit(hire_id, Subject(task.agent_id), result, key=key)
        return await self.look(hire_id, by)

    async def judge(self, hire_id: str, by: Subject, *, passed: bool, reason: str = "") -> HireStanding:
        """The customer's word; the first one stands, and the money follows it. ConflictError when nothing is delivered, or when
        the opposite was decided before."""
        await self._settle(hire_id)
        task = self._own(self._house.state, hire_id, by)
        check_role(by, task.customer_id)
        if task.status == "accepted":
            raise ConflictError("Nothing is delivered yet.", details={"hire_id": hire_id})
        await self._desk.judge(hire_id, 0, Subject(task.customer_id or ""), passed=passed, details=reason)
        await self._desk.verify(hire_id)
        found = await self.look(hire_id, by)
        if found.status != ("paid" if passed else "rejected"):
            raise ConflictError(f"The hire is {found.status}.", details={"hire_id": hire_id, "status": found.status})
        return found

    async def give_up(self, hire_id: str, by: Subject, reason: str) -> HireStanding:
        """The worker won't do it: the money goes back now. ConflictError once it is delivered or over."""
        await self._settle(hire_id)  # who is late can't say afterwards that it never wanted to
        posting_ids = (new_id(self._clock, self._entropy), new_id(self._clock, self._entropy))

        def rule(state: HouseState, _now_us: int) -> Decision[HireStanding]:
            task = self._own(state, hire_id, by)
            check_role(by, task.agent_id)
            now = standing_of(state, task, 0)
            if now.status == "declined":
                return Decision((), now)
            if task.status != "accepted":
                raise ConflictError(f"The hire is {now.status}.", details={"hire_id": hire_id, "status": now.status})
            return Decision(_declined(state, task, reason, posting_ids), now)

        await self._house.decide(rule)
        return await self.look(hire_id, by)

    async def settle_due(self) -> tuple[str, ...]:
        """What a house's job does now and then: late hires end, reviews that are over end in acceptance. Their ids."""
        late = await self._desk.expire_overdue()
        over = await self._desk.settle_reviews()
        return (*late.task_ids, *over.task_ids)

    # ---- money in and out

    async def deposit(self, owner: str, payment_id: str, amount_micro: int, *, network: str) -> Deposited:
        """Book a settled payment to the house as the owner's money, once for ever. To be called by the till that took it."""
        posting = LedgerPosted(
            posting_id=new_id(self._clock, self._entropy),
            entries=move(account("external", "network", network), wallet_of(owner), amount_micro),
            reason="deposit",
            cause_id=payment_id,
        )
        key = Key(owner, f"hire.deposit:{payment_id}", f"{amount_micro} {network}".encode())
        return await self._post(posting, wallet_of(owner), key, evidence=(f"payment:{payment_id}",))

    async def withdraw(self, owner: str, payout_id: str, amount_micro: int, *, network: str, to: str) -> Deposited:
        """Take money out of an account, to be sent to an address; once per id. InsufficientBalanceError. Who sends it repeats the
        sending until it happened: what is withdrawn is owed."""
        check_id(payout_id)
        posting = LedgerPosted(
            posting_id=new_id(self._clock, self._entropy),
            entries=move(wallet_of(owner), account("external", "network", network), amount_micro),
            reason="withdrawal",
            memo=f"to {to}"[:500],
            cause_id=payout_id,
        )
        key = Key(owner, f"hire.payout:{payout_id}", f"{amount_micro} {network} {to}".encode())
        return await self._post(posting, wallet_of(owner), key)

    async def balance(self, owner: str) -> int:
        """Micro-credits of an account; 0 for one that nobody knows."""
        return (await self._house.catch_up()).accounts.balance(wallet_of(owner))

    async def _post(self, posting: LedgerPosted, shown: str, key: Key, evidence: tuple[str, ...] = ()) -> Deposited:
        amount = next(entry.amount_micro for entry in posting.entries if entry.account == shown)

        def rule(state: HouseState, _now_us: int) -> Decision[Deposited]:
            after = state.accounts.balance(shown) + amount
            answer = Deposited(posting_id=posting.posting_id, amount_micro=abs(amount), balance_micro=after)
            return Decision((posting,), answer)

        return (await self._house.decide(rule, key=key, answer_type=Deposited, evidence=evidence)).answer

    # ---- inside

    def _own(self, state: HouseState, hire_id: str, by: Subject) -> Task:
        task = find_task(state, hire_id)
        if not by.is_one_of(task.agent_id, task.customer_id, "operator"):
            raise NotFoundError("There is no such task.", details={"task_id": hire_id[:128]})
        return task

    async def _check_room(self, terms: HireTerms) -> None:
        """ConflictError when a customer has too many open hires, InsufficientBalanceError when it lacks the price: nothing is written then.
        One that is there already has room."""
        state = await self._house.catch_up()
        if terms.hire_id in state.outcomes.tasks:
            return
        tasks = state.outcomes.tasks
        count = sum(tasks[task_id].customer_id == terms.customer_id for task_id in state.outcomes.open_tasks)
        if count >= MAX_OPEN:
            raise ConflictError(f"A customer has at most {MAX_OPEN} open hires.", details={"open": count})
        wallet, price = wallet_of(terms.customer_id), terms.price_micro_credits
        held = state.accounts.balance(wallet)
        if held < price:
            raise InsufficientBalanceError(wallet, needed_micro=price, available_micro=held)

    async def _settle(self, hire_id: str) -> None:
        """End it when time, or a word that was given before, has decided it."""
        state = await self._house.catch_up()
        task = state.outcomes.tasks.get(hire_id)
        if task is None:
            return
        due_ms = state.outcomes.open_tasks.get(hire_id, 0)
        if task.status == "accepted" and due_ms and self._house.now_us // 1000 > due_ms:
            await self._desk.expire_overdue(only=hire_id)
        elif review_is_over(state, task, self._house.now_us):
            await self._desk.verify(hire_id)


def standing_of(state: HouseState, task: Task, position: int) -> HireStanding:
    """Where a task that is a hire stands. Pure. RoleRefusedError for a task that is none."""
    contract = state.outcomes.contracts.get(task.contract_id)
    is_funded = task.escrowed or not task.price_micro_credits
    if contract is None or task.contract_id != contract_id_of(task.task_id) or not is_funded:
        raise RoleRefusedError("This task is not a hire.")
    bill = state.outcomes.bills.get(task.bill_id or "")
    word = task.results.get("0")
    return HireStanding(
        hire_id=task.task_id,
        customer_id=task.customer_id or "",
        worker_id=task.agent_id,
        title=contract.name,
        offer_digest=contract.custom_label or "",
        price_micro_credits=task.price_micro_credits,
        status=_status(task),
        escrow_micro_credits=state.accounts.balance(task.escrow),
        paid_micro_credits=bill.allocated_micro_credits if bill is not None else 0,
        refunded_micro_credits=task.refunded_micro_credits,
        contracted_at_us=task.contracted_at_us,
        deadline_us=task.sla_deadline_ms * 1000,
        deadline_s=contract.refund_policy.sla_seconds,
        review_s=contract.success_criteria[0].review_seconds,
        delivered_at_us=task.submitted_at_us,
        review_until_us=_review_until(state, task),
        result=task.result,
        result_digest=task.result_digest,
        reason="" if word is None or word.passed else word.details,
        position=position,
    )


def contract_id_of(hire_id: str) -> str:
    """The contract that was made for a hire."""
    return f"hire:{hire_id}"


def _status(task: Task) -> HireStatus:
    if task.status == "disputed":
        return "disputed"
    match task.outcome:
        case None:
            return "open" if task.status == "accepted" else "delivered"
        case "timeout":
            return "late"
        case "success":
            return "paid"
        case _:
            word = task.results.get("0")
            return "rejected" if word is not None and word.by != task.agent_id else "declined"


def _review_until(state: HouseState, task: Task) -> int | None:
    contract = state.outcomes.contracts.get(task.contract_id)
    if contract is None or task.submitted_at_us is None:
        return None
    review_s = contract.success_criteria[0].review_seconds
    return task.submitted_at_us + review_s * _US if review_s else None


def _check(terms: HireTerms) -> None:
    check_id(terms.hire_id)
    if not 0 <= terms.price_micro_credits <= MAX_PRICE_MICRO:
        raise InvalidInputError("A price is at least zero, and no more than there is.")
    if not 1 <= len(terms.title) <= MAX_TITLE:
        raise InvalidInputError(f"A hire's title has 1 to {MAX_TITLE} characters.")
    if len(terms.offer_digest) != MAX_DIGEST:
        raise InvalidInputError("An offer's digest is SHA-256 in hex.")
    if terms.review_s < 1:
        raise InvalidInputError("The customer has at least a second for review.")


def _contract(terms: HireTerms) -> TaskContract:
    return TaskContract(
        contract_id=contract_id_of(terms.hire_id),
        task_type="custom",
        name=terms.title,
        price_floor_micro_credits=terms.price_micro_credits,
        price_ceiling_micro_credits=terms.price_micro_credits,
        success_criteria=(Criterion(type="manual_approval", approver=APPROVER, review_seconds=terms.review_s),),
        refund_policy=RefundTerms(
            auto_refund=True, sla_seconds=terms.deadline_s, refund_percentage=100, grace_period_seconds=0
        ),
        min_trust_ppm=0,
        custom_label=terms.offer_digest,
    )


def _declined(state: HouseState, task: Task, reason: str, posting_ids: tuple[str, str]) -> list[FinanceEvent]:
    word = CriterionResult(index=0, passed=False, details=reason[:2000], by=task.agent_id)
    verified = TaskVerified(
        task_id=task.task_id,
        contract_id=task.contract_id,
        outcome="failure",
        price_micro_credits=0,
        criteria_passed=0,
        criteria_total=1,
        results=(word,),
    )
    events: list[FinanceEvent] = [CriterionJudged(task_id=task.task_id, result=word), verified]
    if task.escrowed:
        held = state.accounts.balance(task.escrow)
        events += pay_out(task, 0, held, f"{DECLINED}: {reason[:1900]}", posting_ids)
    return [*events, TaskClosed(task_id=task.task_id, status="refunded")]
