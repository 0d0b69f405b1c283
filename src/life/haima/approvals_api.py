"""The approval queue over HTTP: routes that the host composes into its daemons.

    GET  /v1/approvals?state=&cursor=&limit=    what waits, oldest first (state: pending, granted, refused, used, expired, all)
    GET  /v1/approvals/{ticket_id}              one question
    POST /v1/approvals/{ticket_id}              {"decision": "approve" | "deny", "reason": "…"}

Deciding the same again answers the same, so a lost answer is repeated without harm; deciding otherwise is 409
(`haima.approval_decided`). Approving moves no money: it lets one payment of exactly these terms be made, if every cap still
allows it. Errors are LifeErrors for the host to answer as problem documents (RFC 9457).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Clock
from life.aios.ports.http import Operation, Parameter
from life.aios.record import format_timestamp
from life.haima.approval_desk import MAX_PAGE, ApprovalDesk, Listed
from life.haima.approvals import Ticket, TicketState

HttpOperation: TypeAlias = "Operation[Request, Response]"

_MAX_BODY_BYTES: Final = 16 * 1024
_STATES: Final = frozenset(("all", *get_args(TicketState)))
_encode: Final = msgspec.json.Encoder().encode


class Approval(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question to a person, and what became of it. Amounts in micro-credits (1,000,000 are 1 USDC) and atomic units."""

    ticket_id: str
    state: str
    code: str
    """Why a person is asked: `needs_approval`, `payee_changed`, `price_jumped`."""
    amount_micro: int
    amount_atomic: str
    network: str
    asset: str
    payee: str
    resource_url: str
    wallet: str
    asked_at: str
    expires_at: str
    reason: str | None = None
    """In words."""
    expected: str | None = None
    """What would not have been odd, where something changed."""
    session_id: str | None = None
    task_id: str | None = None
    purchase_id: str | None = None
    decided_at: str | None = None
    decided_by: str | None = None
    decision_reason: str | None = None
    payment_id: str | None = None
    """The payment that used the grant."""


class ApprovalPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some approvals. Ask again with `next_cursor` for what comes after them; null when nothing does."""

    approvals: list[Approval]
    next_cursor: str | None = None


class DecisionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person decides, and why."""

    decision: Literal["approve", "deny"]
    reason: str | None = None


def describe(ticket: Ticket, *, now_us: int) -> Approval:
    """A ticket as people and programs see it."""
    asked = ticket.request
    return Approval(
        ticket_id=ticket.ticket_id,
        state=ticket.at(now_us),
        code=asked.code,
        amount_micro=asked.amount_micro,
        amount_atomic=asked.amount_atomic,
        network=asked.network,
        asset=asked.asset,
        payee=asked.payee,
        resource_url=asked.resource_url,
        wallet=asked.wallet,
        asked_at=format_timestamp(ticket.asked_at_us),
        expires_at=format_timestamp(ticket.expires_at_us),
        reason=asked.reason or None,
        expected=asked.expected,
        session_id=asked.session_id,
        task_id=asked.task_id,
        purchase_id=asked.purchase_id,
        decided_at=None if ticket.decided_at_us is None else format_timestamp(ticket.decided_at_us),
        decided_by=ticket.by,
        decision_reason=ticket.reason,
        payment_id=ticket.payment_id,
    )


def approval_operations(
    desk: ApprovalDesk, clock: Clock, *, who: Callable[[Request], str | None] = lambda request: None
) -> list[HttpOperation]:
    """The routes over a desk. `who` names the person behind a request, for the record."""

    async def listing(request: Request) -> Response:
        state, limit = request.query_params.get("state", "pending"), request.query_params.get("limit", "50")
        if state not in _STATES:
            raise InvalidInputError(f"state is one of {', '.join(sorted(_STATES))}.")
        if not (limit.isascii() and limit.isdigit() and len(limit) < 6):
            raise InvalidInputError(f"limit is a number between 1 and {MAX_PAGE}.")
        listed: Listed = state  # type: ignore[assignment]
        page = await desk.page(state=listed, after=request.query_params.get("cursor"), limit=int(limit))
        now_us = clock.now_us()
        return _json(
            ApprovalPage(
                approvals=[describe(ticket, now_us=now_us) for ticket in page.tickets], next_cursor=page.next_cursor
            )
        )

    async def show(request: Request) -> Response:
        return _json(describe(await desk.get(request.path_params["ticket_id"]), now_us=clock.now_us()))

    async def decide(request: Request) -> Response:
        asked = await _read(request)
        ticket = await desk.decide(
            request.path_params["ticket_id"],
            approved=asked.decision == "approve",
            by=who(request),
            reason=asked.reason,
        )
        return _json(describe(ticket, now_us=clock.now_us()))

    return [
        Operation(
            "GET",
            "/v1/approvals",
            "Payments that wait for a person",
            listing,
            result=ApprovalPage,
            query=(
                Parameter("state", "pending (default), granted, refused, used, expired or all"),
                Parameter("cursor", "next_cursor of the page before"),
                Parameter("limit", f"1 to {MAX_PAGE}, 50 by default", "integer"),
            ),
            errors=(400, 404),
        ),
        Operation("GET", "/v1/approvals/{ticket_id}", "One question", show, result=Approval, errors=(404,)),
        Operation(
            "POST",
            "/v1/approvals/{ticket_id}",
            "Approve or deny",
            decide,
            body=DecisionRequest,
            result=Approval,
            errors=(400, 404, 409),
        ),
    ]


async def _read(request: Request) -> DecisionRequest:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _MAX_BODY_BYTES:
            raise InvalidInputError(f"The body has more than {_MAX_BODY_BYTES} bytes.")
    try:
        return msgspec.json.decode(bytes(body), type=DecisionRequest)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInputError(f"The body can't be read: {error}.") from None


def _json(value: msgspec.Struct) -> Response:
    return Response(_encode(value), media_type="application/json", headers={"cache-control": "no-store"})
