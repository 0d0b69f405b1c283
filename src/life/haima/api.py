"""Haima's HTTP routes, as tables that the host composes into `haimad`, `haima facilitator` and the others.

    POST /verify, POST /settle, GET /supported     a facilitator, in x402's own shapes (version 2, and 1 where asked so)
    POST /v1/facilitate                            the Rust original's facilitator call
    GET /health                                    alive
    GET /state                                     the financial state

Statuses of /verify and /settle follow the reference SDKs: a refusal and a pending settlement are answers, HTTP 200 with
`isValid` or `success` false; a body that can't be read is 400; 503 with Retry-After when the chain can't be asked. Every
body has the call's own shape, so a client that reads bodies whatever the status understands all of them. A call with
`x402Version` 1 is read into version 2; its settlement names the network as version 1 does.

Source: x402.md §4, haima.md §3.5, §4.1, §4.2.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeAlias, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from life.aios.ports.clock import Clock
from life.aios.ports.http import Operation
from life.aios.record import format_timestamp
from life.haima.errors import (
    FacilitatorUnavailableError,
    MalformedPaymentError,
    OutcomeUnknownError,
    PaymentRefusedError,
)
from life.haima.facilitator.facade import STATUS, CreditCheck, FacilitateAnswer, FacilitateRequest, facilitate
from life.haima.facilitator.port import Facilitator, encode_settlement
from life.haima.state import FinancialState
from life.haima.x402 import codes, v1
from life.haima.x402.networks import BUILT_IN, NetworkRegistry
from life.haima.x402.wire import (
    X402_VERSION,
    FacilitatorRequest,
    PaymentPayload,
    PaymentRequirements,
    SettlementResponse,
    SupportedResponse,
    VerifyResponse,
    decode_payment,
    decode_requirements,
)

HttpOperation: TypeAlias = "Operation[Request, Response]"

MAX_BODY_BYTES: Final = 256 * 1024
_NO_STORE: Final = {"cache-control": "no-store"}
_LATER: Final = {"cache-control": "no-store", "retry-after": "2"}

_encode: Final = msgspec.json.Encoder().encode
_facilitator_request: Final = msgspec.json.Decoder(FacilitatorRequest)
_facilitate_request: Final = msgspec.json.Decoder(FacilitateRequest)
_T = TypeVar("_T", bound=msgspec.Struct)


class Health(msgspec.Struct, frozen=True):
    """`status` is always `ok`: an answer is the proof."""

    status: str
    service: str
    version: str


class FinancialSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The financial state in micro-credits (haima.md §4.2). `as_of_seq` is the journal position it was folded to."""

    total_expenses: int = 0
    total_revenue: int = 0
    net_balance: int = 0
    payment_count: int = 0
    revenue_count: int = 0
    failed_count: int = 0
    session_spend: int = 0
    wallet_address: str | None = None
    on_chain_balance: int | None = None
    pending_bills: int = 0
    last_event_at: str | None = None
    as_of_seq: int = 0


def summarize(state: FinancialState, *, as_of_seq: int = 0) -> FinancialSummary:
    """A folded state as `GET /state` shows it."""
    last_us = state.last_event_at_us
    return FinancialSummary(
        total_expenses=state.total_expenses,
        total_revenue=state.total_revenue,
        net_balance=state.net_balance,
        payment_count=state.payment_count,
        revenue_count=state.revenue_count,
        failed_count=state.failed_count,
        session_spend=state.session_spend,
        wallet_address=state.wallet_address,
        on_chain_balance=state.on_chain_balance,
        pending_bills=len(state.pending_bills),
        last_event_at=None if last_us is None else format_timestamp(last_us),
        as_of_seq=as_of_seq,
    )


def routes(operations: Sequence[HttpOperation]) -> list[Route]:
    """Starlette routes of the operations."""
    return [Route(item.path, item.endpoint, methods=[item.method]) for item in operations]


def facilitator_operations(facilitator: Facilitator, *, registry: NetworkRegistry = BUILT_IN) -> list[HttpOperation]:
    """x402's facilitator API over any Facilitator. `registry` knows the short names of version 1."""

    async def verify(request: Request) -> Response:
        try:
            asked = await _read_payment(request, registry)
        except MalformedPaymentError as error:
            refused = VerifyResponse(is_valid=False, invalid_reason=_reason(error), invalid_message=error.message)
            return _json(_encode(refused), 400)
        except PaymentRefusedError as error:
            refused = VerifyResponse(is_valid=False, invalid_reason=error.reason, invalid_message=error.message)
            return _json(_encode(refused))
        try:
            return _json(_encode(await facilitator.verify(asked.payload, asked.requirements)))
        except (FacilitatorUnavailableError, OutcomeUnknownError) as error:
            unknown = VerifyResponse(
                is_valid=False, invalid_reason=codes.UNEXPECTED_VERIFY_ERROR, invalid_message=error.message
            )
            return _json(_encode(unknown), 503, _LATER)

    async def settle(request: Request) -> Response:
        try:
            asked = await _read_payment(request, registry)
        except MalformedPaymentError as error:
            return _json(encode_settlement(_no_settlement("", _reason(error), error.message)), 400)
        except PaymentRefusedError as error:
            return _json(encode_settlement(_no_settlement("", error.reason, error.message)))
        try:
            settled = await facilitator.settle(asked.payload, asked.requirements)
            status, headers = 200, _NO_STORE
        except (FacilitatorUnavailableError, OutcomeUnknownError) as error:
            settled = _no_settlement(asked.requirements.network, codes.UNEXPECTED_SETTLE_ERROR, error.message)
            status, headers = 503, _LATER
        if asked.x402_version == v1.VERSION:
            settled = v1.short_named(settled, registry)
        return _json(encode_settlement(settled), status, headers)

    async def supported(_: Request) -> Response:
        return _json(_encode(await facilitator.supported()))

    return [
        Operation(
            "POST",
            "/verify",
            "Check a payment without moving money",
            verify,
            FacilitatorRequest,
            VerifyResponse,
            others=((400, VerifyResponse), (503, VerifyResponse)),
        ),
        Operation(
            "POST",
            "/settle",
            "Move a payment's money, at most once",
            settle,
            FacilitatorRequest,
            SettlementResponse,
            others=((400, SettlementResponse), (503, SettlementResponse)),
        ),
        Operation("GET", "/supported", "Schemes, networks and signers", supported, result=SupportedResponse),
    ]


def facade_operations(
    facilitator: Facilitator,
    clock: Clock,
    *,
    registry: NetworkRegistry = BUILT_IN,
    credit_check: CreditCheck | None = None,
) -> list[HttpOperation]:
    """The Rust original's facilitator call. `credit_check` is asked for requests with an `agent_id`."""

    async def v1_facilitate(request: Request) -> Response:
        try:
            asked = _decode(_facilitate_request, await _body(request))
        except MalformedPaymentError as error:
            rejected = FacilitateAnswer(
                status="rejected", reason="invalid_request", code=_reason(error), details=error.message
            )
            return _json(_encode(rejected), 400)
        answer = await facilitate(asked, facilitator, clock, registry=registry, credit_check=credit_check)
        return _json(_encode(answer), STATUS[answer.status], _LATER if answer.status == "pending" else _NO_STORE)

    return [
        Operation(
            "POST",
            "/v1/facilitate",
            "Verify and settle the payment of a header",
            v1_facilitate,
            FacilitateRequest,
            FacilitateAnswer,
            others=((202, FacilitateAnswer), (400, FacilitateAnswer), (402, FacilitateAnswer)),
        )
    ]


def health_operations(service: str, version: str) -> list[HttpOperation]:
    """`GET /health` of a daemon."""
    answer = _encode(Health("ok", service, version))

    async def health(_: Request) -> Response:
        return _json(answer)

    return [Operation("GET", "/health", "Whether the daemon is alive", health, result=Health)]


def state_operations(read_state: Callable[[], Awaitable[FinancialSummary]]) -> list[HttpOperation]:
    """`GET /state`: the financial state as of now."""

    async def state(_: Request) -> Response:
        return _json(_encode(await read_state()))

    return [Operation("GET", "/state", "The financial state", state, result=FinancialSummary)]


class _Asked(NamedTuple):
    """A facilitator call in the words of version 2, and the version it came in."""

    x402_version: int
    payload: PaymentPayload
    requirements: PaymentRequirements


async def _read_payment(request: Request, registry: NetworkRegistry) -> _Asked:
    """MalformedPaymentError for a body that can't be read, PaymentRefusedError for one of version 1 that can't be meant."""
    asked = _decode(_facilitator_request, await _body(request))
    if asked.x402_version == v1.VERSION:
        read = v1.read_request(asked.payment_payload, asked.payment_requirements, registry)
        return _Asked(v1.VERSION, *read)
    if asked.x402_version != X402_VERSION:
        raise MalformedPaymentError(
            f"x402 version {asked.x402_version} is not spoken here, only versions {v1.VERSION} and {X402_VERSION}.",
            details={"x402_version": asked.x402_version},
        )
    payload, requirements = (
        decode_payment(bytes(asked.payment_payload)),
        decode_requirements(asked.payment_requirements),
    )
    return _Asked(X402_VERSION, payload, requirements)


async def _body(request: Request) -> bytes:
    """The whole body; MalformedPaymentError when it is too large to be a payment."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise MalformedPaymentError(f"The body is larger than {MAX_BODY_BYTES} bytes.")
    return bytes(content)


def _decode(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise MalformedPaymentError(f"The body can't be read: {error}.") from None


def _reason(error: MalformedPaymentError) -> str:
    return codes.INVALID_X402_VERSION if "x402_version" in error.details else codes.INVALID_PAYLOAD


def _no_settlement(network: str, reason: str, message: str) -> SettlementResponse:
    return SettlementResponse(
        success=False, transaction="", network=network, error_reason=reason, error_message=message
    )


def _json(content: bytes, status: int = 200, headers: dict[str, str] = _NO_STORE) -> Response:
    return Response(content, status, headers, "application/json")
