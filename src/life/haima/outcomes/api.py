"""HTTP routes of outcome pricing and bills (haima.md §4.4, HM-API).

    POST /v1/outcomes/contracts                    offer work of a new kind
    GET  /v1/outcomes/contracts[/{contract_id}]
    POST /v1/outcomes/quotes                       a price, good for a day
    POST /v1/outcomes/{task_id}/contract           take a task on
    POST /v1/outcomes/{task_id}/submit             deliver
    POST /v1/outcomes/{task_id}/verify             people's results, then the verifiers', then the decision
    POST /v1/outcomes/{task_id}/auto-verify        the same without people's results
    POST /v1/outcomes/{task_id}/approve            a signed approval (JWS) for one criterion
    POST /v1/outcomes/{task_id}/dispute|resolve|refund
    GET  /v1/outcomes/{task_id}                    one task
    GET  /v1/outcomes/dashboard|pending|records
    POST /v1/outcomes/check-sla                    run the SLA job now
    GET  /v1/bills[/{bill_id}], POST /v1/bills/{bill_id}/pay|void

Errors are problem documents with the status of their kind; everything that moves value wants an Idempotency-Key.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.http import Operation, Parameter
from life.haima.callers import SubjectReader, acting_for, require_role
from life.haima.command_requests import decode_body, read_body, read_command
from life.haima.events.tasks import TaskContract
from life.haima.house import House
from life.haima.outcomes.answers import (
    BillPaid,
    Contracted,
    Refunded,
    Settled,
    Subject,
    TaskDecision,
    TaskQuote,
)
from life.haima.outcomes.bodies import (
    AcceptBody,
    ApprovalBody,
    BillPage,
    ContractBody,
    Contracts,
    Dashboard,
    PayBody,
    PendingTask,
    PendingTasks,
    QuoteBody,
    ReasonBody,
    ResolveBody,
    SubmitBody,
    TaskPage,
    VerifyBody,
)
from life.haima.outcomes.desk import OutcomeDesk
from life.haima.outcomes.lookups import find_bill, find_contract, find_task
from life.haima.outcomes.room import Bill, Task
from life.haima.outcomes.verifiers import read_approval

HttpOperation: TypeAlias = "Operation[Request, Response]"

READ: Final = "outcomes:read"
WRITE: Final = "outcomes:write"
PAGE: Final = 100

_NO_STORE: Final = {"cache-control": "no-store"}
_encode: Final = msgspec.json.Encoder().encode


def outcome_operations(
    desk: OutcomeDesk, house: House, clock: Clock, entropy: Entropy, *, caller: SubjectReader
) -> list[HttpOperation]:
    """The routes over a desk."""
    api = _Api(desk, house, clock, entropy, caller)
    tasks = "/v1/outcomes/{task_id}"
    cursor = (Parameter("cursor", "next_cursor of the page before"),)
    return [
        Operation(
            "POST",
            "/v1/outcomes/contracts",
            "Offer work of a new kind",
            api.register,
            ContractBody,
            TaskContract,
            status=201,
            errors=(400, 409, 422),
            scope="outcomes:admin",
        ),
        Operation("GET", "/v1/outcomes/contracts", "What is on offer", api.contracts, result=Contracts, scope=READ),
        Operation(
            "GET",
            "/v1/outcomes/contracts/{contract_id}",
            "One contract",
            api.contract,
            result=TaskContract,
            errors=(404,),
            scope=READ,
        ),
        Operation("GET", "/v1/outcomes/dashboard", "How tasks went", api.dashboard, result=Dashboard, scope=READ),
        Operation(
            "GET",
            "/v1/outcomes/pending",
            "Tasks that are not decided yet",
            api.pending,
            result=PendingTasks,
            scope=READ,
        ),
        Operation(
            "GET",
            "/v1/outcomes/records",
            "All tasks",
            api.records,
            result=TaskPage,
            query=cursor,
            errors=(400,),
            scope=READ,
        ),
        Operation(
            "POST",
            "/v1/outcomes/quotes",
            "A price, good for a day",
            api.quote,
            QuoteBody,
            TaskQuote,
            status=201,
            errors=(403, 404, 422),
            scope=READ,
        ),
        Operation(
            "POST",
            "/v1/outcomes/check-sla",
            "End what is late, release what is due",
            api.check_sla,
            result=Settled,
            scope="outcomes:admin",
        ),
        Operation(
            "POST",
            f"{tasks}/contract",
            "Take a task on",
            api.accept,
            AcceptBody,
            Contracted,
            status=201,
            errors=(400, 402, 403, 404, 409, 422),
            scope=WRITE,
        ),
        Operation(
            "POST",
            f"{tasks}/submit",
            "Deliver",
            api.submit,
            SubmitBody,
            TaskDecision,
            errors=(400, 403, 404, 409, 422),
            scope=WRITE,
        ),
        Operation(
            "POST",
            f"{tasks}/verify",
            "Give results and decide",
            api.verify,
            VerifyBody,
            TaskDecision,
            errors=(400, 403, 404, 422),
            scope=WRITE,
        ),
        Operation(
            "POST",
            f"{tasks}/auto-verify",
            "Let the verifiers decide",
            api.auto_verify,
            result=TaskDecision,
            errors=(404,),
            scope=WRITE,
        ),
        Operation(
            "POST",
            f"{tasks}/approve",
            "Hand in a signed approval",
            api.approve,
            ApprovalBody,
            TaskDecision,
            errors=(400, 403, 404, 422),
            scope=WRITE,
        ),
        Operation(
            "POST",
            f"{tasks}/dispute",
            "Object to a result",
            api.dispute,
            ReasonBody,
            TaskDecision,
            errors=(403, 404, 409, 422),
            scope=WRITE,
        ),
        Operation(
            "POST",
            f"{tasks}/resolve",
            "Decide a dispute",
            api.resolve,
            ResolveBody,
            TaskDecision,
            errors=(400, 403, 404, 409, 422),
            scope="outcomes:arbitrate",
        ),
        Operation(
            "POST",
            f"{tasks}/refund",
            "Give money back",
            api.refund,
            ReasonBody,
            Refunded,
            errors=(400, 403, 404, 409, 422),
            scope=WRITE,
        ),
        Operation("GET", tasks, "One task", api.task, result=Task, errors=(404,), scope=READ),
        Operation(
            "GET",
            "/v1/bills",
            "Bills",
            api.bills,
            result=BillPage,
            query=(
                Parameter("status", "open, part_paid, paid, void or refunded"),
                Parameter("payer", "whose"),
                *cursor,
            ),
            errors=(400,),
            scope="bills:read",
        ),
        Operation("GET", "/v1/bills/{bill_id}", "One bill", api.bill, result=Bill, errors=(404,), scope="bills:read"),
        Operation(
            "POST",
            "/v1/bills/{bill_id}/pay",
            "Pay a bill from its payer's account",
            api.pay_bill,
            PayBody,
            BillPaid,
            errors=(400, 402, 403, 404, 409, 422),
            scope="bills:pay",
        ),
        Operation(
            "POST",
            "/v1/bills/{bill_id}/void",
            "Give up what is owed",
            api.void_bill,
            ReasonBody,
            BillPaid,
            errors=(403, 404, 409, 422),
            scope="bills:pay",
        ),
    ]


class _Api:
    def __init__(self, desk: OutcomeDesk, house: House, clock: Clock, entropy: Entropy, caller: SubjectReader) -> None:
        self._desk = desk
        self._house = house
        self._clock = clock
        self._entropy = entropy
        self._caller = caller

    async def register(self, request: Request) -> Response:
        body = decode_body(await read_body(request), ContractBody)
        contract = TaskContract(
            contract_id=body.contract_id or f"contract-{new_id(self._clock, self._entropy)}",
            task_type=body.task_type,
            name=body.name,
            price_floor_micro_credits=body.price_floor_micro_credits,
            price_ceiling_micro_credits=body.price_ceiling_micro_credits,
            success_criteria=body.success_criteria,
            refund_policy=body.refund_policy,
            min_trust_ppm=round(body.min_trust_score * 1_000_000),
            custom_label=body.custom_label,
            dispute_window_seconds=body.dispute_window_seconds,
        )
        require_role(self._caller(request), "outcomes:admin")
        return _json(await self._desk.register(contract), 201)

    async def contracts(self, _: Request) -> Response:
        offered = list((await self._house.catch_up()).outcomes.contracts.values())
        return _json(Contracts(offered, len(offered)))

    async def contract(self, request: Request) -> Response:
        return _json(find_contract(await self._house.catch_up(), request.path_params["contract_id"]))

    async def dashboard(self, _: Request) -> Response:
        room = (await self._house.catch_up()).outcomes
        return _json(
            Dashboard(
                total_tasks_contracted=room.contracted,
                total_tasks_verified=room.verified,
                total_tasks_refunded=room.refunded,
                pending_tasks=sum(task.outcome is None for task in room.tasks.values()),
                total_outcome_revenue=room.revenue_micro_credits,
                total_outcome_refunds=room.refunds_micro_credits,
                net_outcome_revenue=room.revenue_micro_credits - room.refunds_micro_credits,
                stats_by_type=room.stats_by_type,
                contracts_registered=len(room.contracts),
            )
        )

    async def pending(self, _: Request) -> Response:
        room = (await self._house.catch_up()).outcomes
        now_ms = self._clock.now_us() // 1000
        found = [
            PendingTask(
                task_id=task.task_id,
                contract_id=task.contract_id,
                agent_id=task.agent_id,
                status=task.status,
                price_micro_credits=task.price_micro_credits,
                sla_deadline_ms=task.sla_deadline_ms,
                time_remaining_ms=task.sla_deadline_ms - now_ms,
                sla_breached=task.status == "accepted" and now_ms > task.sla_deadline_ms,
            )
            for task in (room.tasks[task_id] for task_id in room.open_tasks)
            if task.outcome is None
        ]
        return _json(PendingTasks(found, len(found)))

    async def records(self, request: Request) -> Response:
        room = (await self._house.catch_up()).outcomes
        page, following = _page(list(room.tasks), request.query_params.get("cursor"))
        return _json(TaskPage(records=[room.tasks[key] for key in page], count=len(page), next_cursor=following))

    async def quote(self, request: Request) -> Response:
        body = decode_body(await read_body(request), QuoteBody)
        quote = await self._desk.quote(body.contract_id, body.agent_id, body.complexity, customer_id=body.customer_id)
        return _json(quote, 201)

    async def accept(self, request: Request) -> Response:
        caller = self._caller(request)
        body, key = await read_command(request, AcceptBody, caller=caller.id)
        # Whoever's money or work is bound by this has to be the one who asks.
        acting_for(caller, body.customer_id if body.escrow and body.customer_id else body.agent_id)
        taken = await self._desk.accept(
            request.path_params["task_id"],
            body.contract_id,
            body.agent_id,
            body.complexity,
            customer_id=body.customer_id,
            quote_id=body.quote_id,
            escrow=body.escrow,
            session_id=body.session_id,
            key=key,
        )
        return _json(taken, 201)

    async def submit(self, request: Request) -> Response:
        caller = self._caller(request)
        body, key = await read_command(request, SubmitBody, caller=caller.id)
        task = find_task(await self._house.catch_up(), request.path_params["task_id"])
        return _json(await self._desk.submit(task.task_id, acting_for(caller, task.agent_id), body.result, key=key))

    async def verify(self, request: Request) -> Response:
        caller = self._caller(request)
        body = decode_body(await read_body(request), VerifyBody)
        task_id = request.path_params["task_id"]
        judge = caller if body.on_behalf_of is None else acting_for(caller, body.on_behalf_of)
        for given in body.results:
            await self._desk.judge(task_id, given.index, judge, passed=given.passed, details=given.details)
        return _json(await self._desk.verify(task_id))

    async def auto_verify(self, request: Request) -> Response:
        return _json(await self._desk.verify(request.path_params["task_id"]))

    async def approve(self, request: Request) -> Response:
        body = decode_body(await read_body(request), ApprovalBody)
        task = find_task(await self._house.catch_up(), request.path_params["task_id"])
        did, approval = read_approval(body.approval, task, now_s=self._clock.now_us() // 1_000_000)
        await self._desk.judge(
            task.task_id, approval.criterion, Subject(did), passed=approval.passed, details=approval.details
        )
        return _json(await self._desk.verify(task.task_id))

    async def dispute(self, request: Request) -> Response:
        caller = self._caller(request)
        body = decode_body(await read_body(request), ReasonBody)
        task = find_task(await self._house.catch_up(), request.path_params["task_id"])
        if task.customer_id is None:
            raise InvalidInputError("This task has no customer who could object.")
        return _json(await self._desk.dispute(task.task_id, acting_for(caller, task.customer_id), body.reason))

    async def resolve(self, request: Request) -> Response:
        body = decode_body(await read_body(request), ResolveBody)
        decision = await self._desk.resolve_dispute(
            request.path_params["task_id"],
            self._caller(request),
            to_agent_micro=body.to_agent_micro_credits,
            reason=body.reason,
        )
        return _json(decision)

    async def refund(self, request: Request) -> Response:
        caller = self._caller(request)
        body, key = await read_command(request, ReasonBody, caller=caller.id)
        return _json(await self._desk.refund(request.path_params["task_id"], caller, reason=body.reason, key=key))

    async def check_sla(self, request: Request) -> Response:
        require_role(self._caller(request), "outcomes:admin")
        late, due = await self._desk.expire_overdue(), await self._desk.release_due()
        return _json(Settled(task_ids=late.task_ids + due.task_ids))

    async def task(self, request: Request) -> Response:
        return _json(find_task(await self._house.catch_up(), request.path_params["task_id"]))

    async def bills(self, request: Request) -> Response:
        room = (await self._house.catch_up()).outcomes
        status, payer = request.query_params.get("status"), request.query_params.get("payer")
        wanted = [
            bill.bill_id
            for bill in room.bills.values()
            if (status is None or bill.status == status) and (payer is None or bill.payer == payer)
        ]
        page, following = _page(wanted, request.query_params.get("cursor"))
        return _json(BillPage(bills=[room.bills[key] for key in page], next_cursor=following))

    async def bill(self, request: Request) -> Response:
        return _json(find_bill(await self._house.catch_up(), request.path_params["bill_id"]))

    async def pay_bill(self, request: Request) -> Response:
        caller = self._caller(request)
        body, key = await read_command(request, PayBody, caller=caller.id)
        bill = find_bill(await self._house.catch_up(), request.path_params["bill_id"])
        payer = acting_for(caller, bill.payer or "")
        return _json(await self._desk.pay_bill(bill.bill_id, payer, body.amount_micro_credits, key=key))

    async def void_bill(self, request: Request) -> Response:
        body = decode_body(await read_body(request), ReasonBody)
        paid = await self._desk.void_bill(request.path_params["bill_id"], self._caller(request), reason=body.reason)
        return _json(paid)


def _page(keys: list[str], cursor: str | None) -> tuple[list[str], str | None]:
    """One page of keys after the cursor, and the cursor of the next one."""
    start = 0
    if cursor is not None:
        if cursor not in keys:
            raise InvalidInputError("The cursor is not one of ours.")
        start = keys.index(cursor) + 1
    page = keys[start : start + PAGE]
    return page, page[-1] if start + PAGE < len(keys) else None


def _json(content: msgspec.Struct, status: int = 200) -> Response:
    return Response(_encode(content), status, dict(_NO_STORE), "application/json")
