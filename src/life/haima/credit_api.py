"""HTTP routes of credit, lending and the bureau (haima.md §4.2, §4.3; HM-API).

    GET  /v1/credit/{id}           the score; an unknown agent has tier none, 200
    POST /v1/credit/{id}/line      open, modify, freeze, unfreeze, close
    GET  /v1/credit/{id}/line      the line, or 404
    POST /v1/credit/{id}/open      the same as line with action open
    POST /v1/credit/{id}/check     whether an amount fits; reserves nothing
    POST /v1/credit/{id}/draw      200, or 402, 404, 409 with `approved: false`
    POST /v1/credit/{id}/repay     from the wallet account, or by a settled payment
    GET  /v1/bureau/{id}           the report; `view=redacted` for third parties, `format=jws` signed

Refusals of these routes keep their documented fields (`status`, `reason`, `approved`) and carry `code`; everything else that
goes wrong is a problem document. With `legacy_status` every handled answer is HTTP 200, as clients of the Rust original expect.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError, LifeError
from life.aios.ports.custody import Custody
from life.aios.ports.http import Operation, Parameter
from life.aios.record import format_timestamp
from life.haima import bureau
from life.haima.callers import OPERATOR_ROLE, SubjectReader, acting_for, require_role
from life.haima.command_requests import decode_body, read_body, read_command
from life.haima.credit import CreditCheck
from life.haima.credit_views import (
    CreditLineView,
    CreditScoreView,
    LineAnswerView,
    Refusal,
    RefusedDraw,
    RepaymentView,
    line_view,
    score_view,
)
from life.haima.errors import (
    CreditLineStateError,
    CreditRefusedError,
    InsufficientBalanceError,
    InvalidRequestError,
    RoleRefusedError,
)
from life.haima.house import Done
from life.haima.lending import DrawResult, Purpose
from life.haima.lending_desk import LendingDesk
from life.haima.lending_work import MAX_AMOUNT_MICRO, LineAnswer, check_agent

HttpOperation: TypeAlias = "Operation[Request, Response]"
Amount = Annotated[int, msgspec.Meta(ge=0, le=MAX_AMOUNT_MICRO)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=MAX_AMOUNT_MICRO)]

READ: Final = "credit:read"
WRITE: Final = "credit:write"
BUREAU: Final = "bureau:read"

_NO_STORE: Final = {"cache-control": "no-store"}


class LineBody(msgspec.Struct, frozen=True, kw_only=True):
    """Without an action: open when there is no line, else modify. A route of the readme: unknown fields are passed over."""

    action: Literal["open", "modify", "freeze", "unfreeze", "close"] | None = None
    limit_micro_usd: Positive | None = None


class OpenBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A limit below the tier's own, if wanted."""

    limit_micro_usd: Positive | None = None


class CheckBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The amount in question."""

    amount_micro_usd: Amount


class DrawBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is drawn, and for what."""

    amount_micro_usd: Amount
    purpose: Purpose = "task_payment"


class RepayBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either an amount out of the agent's wallet account, or the event of a settled payment to the lender."""

    amount_micro_usd: Positive | None = None
    payment_event_id: str | None = None


def credit_operations(
    desk: LendingDesk,
    *,
    signer: Custody | None = None,
    legacy_status: bool = False,
    caller: SubjectReader | None = None,
) -> list[HttpOperation]:
    """The routes above; without a `signer` there are no signed reports.

    With a `caller`, agents act for themselves and operators for everybody (W26): lines and scores are the agent's own and
    the operator's, unfreezing is the operator's, and others see the redacted report. An idempotency key belongs to who sent
    it. Without one, everybody who was let in is the operator.
    """
    routes = _Routes(desk, signer, legacy_status, caller)
    writing = (400, 409, 422)
    refused = tuple((status, Refusal) for status in (402, 403, 404, 409, 422))
    views = Parameter(
        "view", "`full` (for the agent and operators) or `redacted`: without amounts and scores, for third parties"
    )
    formats = Parameter("format", "`json` (default) or `jws`: signed, to be checked offline")
    audience = Parameter("aud", "With `format=jws`: who the report is for")
    return [
        Operation(
            "GET",
            "/v1/credit/{id}",
            "An agent's credit score",
            routes.score,
            result=CreditScoreView,
            errors=(400,),
            scope=READ,
        ),
        Operation(
            "POST",
            "/v1/credit/{id}/line",
            "Open or change a credit line",
            routes.line,
            LineBody,
            LineAnswerView,
            errors=(*writing, 404),
            others=((201, LineAnswerView), *refused),
            scope=WRITE,
        ),
        Operation(
            "GET",
            "/v1/credit/{id}/line",
            "An agent's credit line",
            routes.show_line,
            result=CreditLineView,
            errors=(400, 404),
            others=refused,
            scope=READ,
        ),
        Operation(
            "POST",
            "/v1/credit/{id}/open",
            "Open a credit line",
            routes.open,
            OpenBody,
            LineAnswerView,
            errors=writing,
            others=((201, LineAnswerView), *refused),
            scope=WRITE,
        ),
        Operation(
            "POST",
            "/v1/credit/{id}/check",
            "Whether an amount fits under the limit",
            routes.check,
            CheckBody,
            CreditCheck,
            errors=(400, 422),
            scope=READ,
        ),
        Operation(
            "POST",
            "/v1/credit/{id}/draw",
            "Draw on a credit line",
            routes.draw,
            DrawBody,
            DrawResult,
            errors=(*writing, 402, 404),
            others=refused,
            scope=WRITE,
        ),
        Operation(
            "POST",
            "/v1/credit/{id}/repay",
            "Repay a credit line",
            routes.repay,
            RepayBody,
            RepaymentView,
            errors=(*writing, 402, 404),
            others=refused,
            scope=WRITE,
        ),
        Operation(
            "GET",
            "/v1/bureau/{id}",
            "An agent's credit report",
            routes.bureau,
            result=bureau.AgentCreditReport,
            query=(views, formats, audience),
            errors=(400,),
            scope=BUREAU,
        ),
    ]


class _Routes:
    """The endpoints."""

    def __init__(
        self, desk: LendingDesk, signer: Custody | None, legacy_status: bool, caller: SubjectReader | None
    ) -> None:
        self._desk = desk
        self._signer = signer
        self._legacy = legacy_status
        self._caller = caller

    def _may(self, request: Request) -> tuple[str, str]:
        """The agent that the request is about, and who sent it; RoleRefusedError when it is not the sender's to ask."""
        agent_id = _agent(request)
        if self._caller is None:
            return agent_id, OPERATOR_ROLE
        subject = self._caller(request)
        acting_for(subject, agent_id)
        return agent_id, subject.id

    def _sees_all(self, request: Request, agent_id: str) -> bool:
        if self._caller is None:
            return True
        subject = self._caller(request)
        return subject.id == agent_id or OPERATOR_ROLE in subject.roles

    async def score(self, request: Request) -> Response:
        agent_id, _ = self._may(request)
        reading = await self._desk.read()
        assessed = reading.book.assess(agent_id, self._desk.now_us, as_of_position=reading.position)
        line = (await self._desk.state()).lending.line(agent_id)
        shown = score_view(
            assessed,
            owed_micro=0 if line is None else line.owed_micro_usd,
            counterparties=reading.book.counterparties(agent_id),
        )
        return self._json(shown, 200)

    async def line(self, request: Request) -> Response:
        agent_id, sender = self._may(request)
        body, key = await read_command(request, LineBody, caller=sender)
        limit = body.limit_micro_usd
        if limit is not None and body.action in ("freeze", "unfreeze", "close"):
            raise InvalidRequestError("A limit goes with open and modify only.")
        match body.action:
            case "open":
                return await self._answer_line(self._desk.open(agent_id, key, limit_micro=limit))
            case "modify":
                return await self._answer_line(self._desk.modify(agent_id, key, limit_micro=limit))
            case "freeze":
                return await self._answer_line(self._desk.freeze(agent_id, key))
            case "unfreeze":
                if self._caller is not None:
                    require_role(self._caller(request), OPERATOR_ROLE)
                return await self._answer_line(self._desk.unfreeze(agent_id, key))
            case "close":
                return await self._answer_line(self._desk.close(agent_id, key))
            case _:
                return await self._answer_line(self._desk.open_or_modify(agent_id, key, limit_micro=limit))

    async def open(self, request: Request) -> Response:
        agent_id, sender = self._may(request)
        body, key = await read_command(request, OpenBody, caller=sender)
        return await self._answer_line(self._desk.open(agent_id, key, limit_micro=body.limit_micro_usd))

    async def show_line(self, request: Request) -> Response:
        try:
            agent_id, _ = self._may(request)
            return self._json(line_view(await self._desk.line(agent_id)), 200)
        except CreditRefusedError as error:
            return self._refuse("not_found", error)

    async def check(self, request: Request) -> Response:
        agent_id, _ = self._may(request)
        body = decode_body(await read_body(request), CheckBody)
        return self._json(await self._desk.check(agent_id, body.amount_micro_usd), 200)

    async def draw(self, request: Request) -> Response:
        agent_id, sender = self._may(request)
        body, key = await read_command(request, DrawBody, caller=sender)
        try:
            done = await self._desk.draw(agent_id, body.amount_micro_usd, key, purpose=body.purpose)
        except CreditRefusedError as error:
            line = (await self._desk.state()).lending.line(agent_id)
            word = "credit_line_not_active" if isinstance(error, CreditLineStateError) else error.reason
            refused = RefusedDraw(
                reason=f"{word}: {error.message}",
                code=error.code,
                new_balance=0 if line is None else line.principal_micro_usd,
                available=0 if line is None else line.available_micro_usd,
            )
            return self._json(refused, error.status)
        return self._json(done.answer, 200, repeated=done.repeated)

    async def repay(self, request: Request) -> Response:
        agent_id, sender = self._may(request)
        body, key = await read_command(request, RepayBody, caller=sender)
        amount, event_id = body.amount_micro_usd, body.payment_event_id
        if (amount is None) == (event_id is None):
            raise InvalidRequestError("A repayment has either amount_micro_usd or payment_event_id.")
        try:
            if amount is not None:
                done = await self._desk.repay(agent_id, amount, key)
            else:
                assert event_id is not None
                done = await self._desk.repay_with_payment(agent_id, event_id, key)
        except (CreditRefusedError, InsufficientBalanceError) as error:
            return self._refuse("error", error)
        record = done.answer
        shown = RepaymentView(
            agent_id=record.agent_id,
            amount_micro_usd=record.amount_micro_usd,
            interest_portion=record.interest_portion,
            principal_portion=record.principal_portion,
            remaining_balance=record.remaining_balance,
            repaid_at=format_timestamp(record.repaid_at_us),
        )
        return self._json(shown, 200, repeated=done.repeated)

    async def bureau(self, request: Request) -> Response:
        agent_id = _agent(request)
        sees_all = self._sees_all(request, agent_id)
        chosen = request.query_params.get("view", "full" if sees_all else "redacted")
        form = request.query_params.get("format", "json")
        if chosen not in ("full", "redacted") or form not in ("json", "jws"):
            raise InvalidInputError("`view` is full or redacted, `format` is json or jws.")
        if chosen == "full" and not sees_all:
            raise RoleRefusedError("The full report is the agent's own and an operator's; ask for view=redacted.")
        full = await read_report(self._desk, agent_id)
        content: bureau.Report = full if chosen == "full" else bureau.redact(full)
        if form == "json":
            tag = report_tag(content)
            if request.headers.get("if-none-match") == tag:
                return Response(status_code=304, headers={"etag": tag, "cache-control": "private, no-cache"})
            headers = {"etag": tag, "cache-control": "private, no-cache"}
            return Response(msgspec.json.encode(content), 200, headers, "application/json")
        if self._signer is None:
            raise InvalidInputError("Nobody signs reports here: no identity was given to this daemon.")
        audience = request.query_params.get("aud")
        token = await bureau.sign_report(content, self._signer, now_us=self._desk.now_us, audience=audience)
        return Response(token, 200, dict(_NO_STORE), "application/jose")

    async def _answer_line(self, work: Awaitable[Done[LineAnswer]]) -> Response:
        try:
            done = await work
        except CreditRefusedError as error:
            return self._refuse("rejected", error)
        answer = LineAnswerView(status=done.answer.status, credit_line=line_view(done.answer.credit_line))
        return self._json(answer, 201 if answer.status == "opened" else 200, repeated=done.repeated)

    def _refuse(self, status: Literal["rejected", "error", "not_found"], error: LifeError) -> Response:
        reason = error.reason if isinstance(error, CreditRefusedError) else error.code.partition(".")[2]
        refusal = Refusal(status=status, reason=reason, code=error.code, details=error.message)
        return self._json(refusal, error.status)

    def _json(self, content: msgspec.Struct, status: int, *, repeated: bool = False) -> Response:
        headers = dict(_NO_STORE)
        if repeated:
            headers["idempotency-replayed"] = "true"
        return Response(msgspec.json.encode(content), 200 if self._legacy else status, headers, "application/json")


async def read_report(desk: LendingDesk, agent_id: str) -> bureau.AgentCreditReport:
    """The agent's report as of now, from the projections."""
    check_agent(agent_id)
    reading = await desk.read()
    state = await desk.state()
    now_us = desk.now_us
    conduct = reading.book.conduct(agent_id)
    assessed = reading.book.assess(agent_id, now_us, as_of_position=reading.position)
    line = state.lending.line(agent_id)
    return bureau.report(
        assessed,
        bureau.payment_history(conduct, now_us),
        bureau.trust_context(conduct, assessed),
        () if line is None else (bureau.summarize_line(line),),
        now_us=now_us,
        did=conduct.did,
        house_position=desk.house_position,
    )


def report_tag(content: bureau.Report) -> str:
    """An ETag that changes when the report says something else; the time of asking is no part of it."""
    plain = msgspec.to_builtins(content)
    plain["report_generated_at"] = ""
    for flag in plain["flags"]:
        flag["detected_at"] = ""
    if "provenance" in plain:
        plain["provenance"]["as_of_position"] = plain["provenance"]["house_position"] = 0
    plain["as_of_position"] = 0
    return f'"{hashlib.sha256(msgspec.json.encode(plain)).hexdigest()[:32]}"'


def _agent(request: Request) -> str:
    return check_agent(str(request.path_params["id"]))
