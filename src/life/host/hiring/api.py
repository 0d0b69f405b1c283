"""A house over HTTP: its customers are agents who prove their keys, whoever they are.

    GET  /v1/house                          public: which house this is
    GET  /v1/house/account                  the caller's account
    PUT  /v1/house/hires/{hire_id}          put the price aside (the customer)
    GET  /v1/house/hires/{hire_id}          where it stands (either side)
    POST /v1/house/hires/{hire_id}/deliver  hand the result in (the worker)
    POST /v1/house/hires/{hire_id}/judge    accept or reject (the customer)
    POST /v1/house/hires/{hire_id}/give-up  the worker won't do it
    POST /v1/house/deposits/{account}/{id}  money into the caller's account, over x402
    POST /v1/house/payouts/{payout_id}      money out of it, to an address

Callers show an agent token for the audience `house:<Host>`, once: one that was made for another house is worth nothing here. It proves a key; the account is the one that follows from that key (or that the
house's journal knows it to belong to), and nothing but this account and its hires can be reached with it. An agent whom the house knows nothing
of can't tell it about a rotation: it goes on with the key that it was born with, or is registered here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from life.aios.errors import InvalidInputError
from life.aios.ids import check_id
from life.aios.ports.http import Operation
from life.anima.verifier import TokenVerifier
from life.crypto.address import parse_address
from life.crypto.errors import CryptoError
from life.haima.command_requests import decode_body, read_body
from life.haima.errors import RoleRefusedError
from life.haima.outcomes.answers import Subject
from life.haima.outcomes.hires import HireStanding, HireTerms
from life.haima.x402.answers import Answer
from life.host.audiences import audience_of_host
from life.host.errors import ForbiddenError, UnauthorizedError
from life.host.hiring.escrow import AUDIENCE, AccountInfo, HouseInfo
from life.host.hiring.house import HireHouse
from life.host.http.problem import EXCEPTION_HANDLERS, UnexpectedErrors, problem_response
from life.host.http.routes import ApiOperation, routes

PREFIX: Final = "/v1/house"
_NO_STORE: Final = {"cache-control": "no-store"}
Micro = Annotated[int, msgspec.Meta(ge=1, le=2**53)]


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bodies with a field that nobody knows are refused."""


class DeliverBody(_Strict, frozen=True, kw_only=True):
    """What was made."""

    result: Annotated[str, msgspec.Meta(min_length=1, max_length=64 * 1024)]


class JudgeBody(_Strict, frozen=True, kw_only=True):
    """The customer's word."""

    passed: bool
    reason: Annotated[str, msgspec.Meta(max_length=2000)] = ""


class GiveUpBody(_Strict, frozen=True, kw_only=True):
    """Why it won't be done."""

    reason: Annotated[str, msgspec.Meta(max_length=1900)]


class DepositBody(_Strict, frozen=True, kw_only=True):
    """How much."""

    amount_micro: Micro


class PayoutBody(_Strict, frozen=True, kw_only=True):
    """How much, to whom."""

    amount_micro: Micro
    to: Annotated[str, msgspec.Meta(max_length=64)]


class Paid(msgspec.Struct, frozen=True, kw_only=True):
    """A payout that settled."""

    payout_id: str
    amount_micro: int
    transaction: str


def house_operations(house: HireHouse, verifier: TokenVerifier) -> list[ApiOperation]:
    """The routes. They check who asks themselves (`BesideHouse`)."""
    api = _Api(house, verifier)
    hire = f"{PREFIX}/hires/{{hire_id}}"
    return [
        Operation("GET", PREFIX, "Which house this is", api.about, result=HouseInfo),
        Operation("GET", f"{PREFIX}/account", "The caller's account", api.account, result=AccountInfo, errors=(401,)),
        Operation(
            "PUT",
            hire,
            "Put the price of a hire aside",
            api.put_aside,
            HireTerms,
            HireStanding,
            errors=(400, 401, 402, 403, 409),
        ),
        Operation("GET", hire, "Where a hire stands", api.look, result=HireStanding, errors=(401, 404)),
        Operation(
            "POST",
            f"{hire}/deliver",
            "Hand in the result",
            api.deliver,
            DeliverBody,
            HireStanding,
            errors=(401, 403, 404, 409),
        ),
        Operation(
            "POST", f"{hire}/judge", "Accept or reject", api.judge, JudgeBody, HireStanding, errors=(401, 403, 404, 409)
        ),
        Operation(
            "POST", f"{hire}/give-up", "Not do it", api.give_up, GiveUpBody, HireStanding, errors=(401, 403, 404, 409)
        ),
        Operation(
            "POST",
            f"{PREFIX}/deposits/{{account}}/{{deposit_id}}",
            "Money into the caller's account",
            api.deposit,
            DepositBody,
            errors=(400, 401, 402, 403, 503),
        ),
        Operation(
            "POST",
            f"{PREFIX}/payouts/{{payout_id}}",
            "Money out of the caller's account",
            api.payout,
            PayoutBody,
            Paid,
            errors=(400, 401, 402, 409, 503),
        ),
    ]


class BesideHouse:
    """An application with a house beside it. The house checks its callers itself, so it stands beside the daemon's guard; Host and Origin are
    checked for it here."""

    def __init__(
        self, app: ASGIApp, house: HireHouse, verifier: TokenVerifier, *, admits: Callable[[Scope], bool]
    ) -> None:
        self.app = app
        self._admits = admits
        inside = Starlette(routes=routes(house_operations(house, verifier)), exception_handlers=EXCEPTION_HANDLERS)
        inside.router.redirect_slashes = False
        self._inside = UnexpectedErrors(inside)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        if scope["type"] != "http" or not is_house_path(scope["path"]):
            await self.app(scope, receive, send)
        elif self._admits(scope):
            await self._inside(scope, receive, send)
        else:
            refusal = ForbiddenError("This daemon does not answer to that Host name or Origin.")
            await problem_response(refusal)(scope, receive, send)


def is_house_path(path: str) -> bool:
    """Whether a path is one of the house's, which checks its callers itself."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


class _Api:
    def __init__(self, house: HireHouse, verifier: TokenVerifier) -> None:
        self._house = house
        self._verifier = verifier

    async def about(self, _: Request) -> Response:
        return _json(HouseInfo(house=self._house.name, network=self._house.network))

    async def account(self, request: Request) -> Response:
        account = self._caller(request).id
        return _json(AccountInfo(account=account, balance_micro=await self._house.hires.balance(account)))

    async def put_aside(self, request: Request) -> Response:
        caller = self._caller(request)
        terms = decode_body(await read_body(request), HireTerms)
        if terms.hire_id != request.path_params["hire_id"]:
            raise InvalidInputError("The path and the terms name two hires.")
        return _json(await self._house.hires.put_aside(terms, caller))

    async def look(self, request: Request) -> Response:
        return _json(await self._house.hires.look(request.path_params["hire_id"], self._caller(request)))

    async def deliver(self, request: Request) -> Response:
        caller = self._caller(request)
        body = decode_body(await read_body(request), DeliverBody)
        return _json(await self._house.hires.deliver(request.path_params["hire_id"], caller, body.result))

    async def judge(self, request: Request) -> Response:
        caller = self._caller(request)
        body = decode_body(await read_body(request), JudgeBody)
        hire_id = request.path_params["hire_id"]
        return _json(await self._house.hires.judge(hire_id, caller, passed=body.passed, reason=body.reason))

    async def give_up(self, request: Request) -> Response:
        caller = self._caller(request)
        body = decode_body(await read_body(request), GiveUpBody)
        return _json(await self._house.hires.give_up(request.path_params["hire_id"], caller, body.reason))

    async def deposit(self, request: Request) -> Response:
        caller = self._caller(request)
        body = decode_body(await read_body(request), DepositBody)
        deposit_id = check_id(request.path_params["deposit_id"], what="deposit id")
        if request.path_params["account"] != caller.id:
            raise RoleRefusedError("Deposits are made into one's own account.")
        payment = request.headers.get("payment-signature")
        return _answer(await self._house.deposits.answer(caller.id, deposit_id, body.amount_micro, payment))

    async def payout(self, request: Request) -> Response:
        caller = self._caller(request)
        body = decode_body(await read_body(request), PayoutBody)
        payout_id = check_id(request.path_params["payout_id"], what="payout id")
        try:
            parse_address(body.to)
        except CryptoError:
            raise InvalidInputError("A payout goes to an address with 20 bytes.") from None
        receipt = await self._house.payouts.pay(caller.id, payout_id, body.amount_micro, body.to)
        return _json(Paid(payout_id=payout_id, amount_micro=body.amount_micro, transaction=receipt.transaction))

    def _caller(self, request: Request) -> Subject:
        """Whose account is meant: the agent of the token. No token gives more than an agent's own account."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthorizedError("The house wants to know who asks.", next_step="Send an agent token for it.")
        audience = audience_of_host(
            AUDIENCE, request.headers.get("host", "")
        )  # one of our own names: `BesideHouse` saw to it
        verified = self._verifier.verify_agent_token(token.strip(), audience=audience)
        if verified.agent_id == "operator":
            raise RoleRefusedError("Nobody has this account.")
        return Subject(verified.agent_id)


def _json(value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), 200, _NO_STORE, "application/json")


def _answer(answer: Answer) -> Response:
    response = Response(answer.body, answer.status, _NO_STORE)
    for name, value in answer.headers:
        response.headers[name.decode("latin-1")] = value.decode("latin-1")
    return response
