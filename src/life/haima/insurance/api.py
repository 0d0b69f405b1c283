"""HTTP routes of insurance (haima.md §4.5, HM-API, HM-INS).

    GET  /v1/insurance/products[?product_type=]     what is on offer
    POST /v1/insurance/quotes                       a price, good for a day
    POST /v1/insurance/policies                     buy quoted cover; the premium is collected at once
    GET  /v1/insurance/policies[?agent_id=]         policies; GET /v1/insurance/policies/{policy_id} one of them
    POST /v1/insurance/claims                       report a loss
    GET  /v1/insurance/claims/{claim_id}
    POST /v1/insurance/claims/{claim_id}/verify     ask the journal, and pay when it bears the claim out
    POST /v1/insurance/claims/{claim_id}/decide     an adjudicator's decision of a claim under review
    POST /v1/insurance/claims/{claim_id}/withdraw
    GET  /v1/insurance/risk/{agent_id}              an assessment as of now; nothing is written
    POST /v1/insurance/pool/contribute, GET /v1/insurance/pool, /providers, /dashboard

The evidence of a claim is the journal's, never the caller's: `verify` takes no numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.ports.http import Operation, Parameter
from life.aios.record import parse_timestamp
from life.haima.callers import SubjectReader, acting_for, require_role
from life.haima.command_requests import decode_body, read_body, read_command
from life.haima.events.insurance import InsuranceProduct
from life.haima.house import House
from life.haima.insurance.desk import Bound, ClaimDecision, Contributed, Filed, InsuranceDesk, Quote
from life.haima.insurance.parameters import POOL_ID, PPM
from life.haima.insurance.pricing import RiskAssessment
from life.haima.insurance.room import Claim, Insurance, Policy, Pool, Provider, reserve_ratio_ppm

HttpOperation: TypeAlias = "Operation[Request, Response]"
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Micro = Annotated[int, msgspec.Meta(ge=1, le=2**53)]

READ: Final = "insurance:read"
WRITE: Final = "insurance:write"
ADJUDICATE: Final = "insurance:adjudicate"

_NO_STORE: Final = {"cache-control": "no-store"}
_encode: Final = msgspec.json.Encoder().encode


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bodies with a field that nobody knows are refused."""


class QuoteBody(_Strict, frozen=True, kw_only=True):
    """What cover is wanted."""

    agent_id: Name
    product_type: Name
    coverage_micro_usd: Micro
    preferred_provider_id: Name | None = None


class BindBody(_Strict, frozen=True, kw_only=True):
    """Which quote is taken."""

    quote_id: Name
    agent_id: Name


class ClaimBody(_Strict, frozen=True, kw_only=True):
    """A loss. `incident_at` is RFC 3339."""

    policy_id: Name
    agent_id: Name
    incident_type: Name
    claimed_amount_micro_usd: Micro
    incident_at: str
    evidence_event_ids: tuple[Name, ...]
    description: str = ""
    session_id: Name | None = None


class DecideBody(_Strict, frozen=True, kw_only=True):
    """An adjudicator's word."""

    approve: bool
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class ContributeBody(_Strict, frozen=True, kw_only=True):
    """Money of an agent for a pool."""

    agent_id: Name
    amount_micro_usd: Micro
    pool_id: Name = POOL_ID


class Products(msgspec.Struct, frozen=True):
    """What is on offer."""

    products: Sequence[InsuranceProduct]
    count: int


class Policies(msgspec.Struct, frozen=True):
    """An agent's policies, or all of them."""

    policies: Sequence[Policy]
    policy_ids: Sequence[str]
    count: int


class Providers(msgspec.Struct, frozen=True):
    """Who carries the risk."""

    providers: Sequence[Provider]
    count: int


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """A pool with what it holds."""

    pool_id: str
    name: str
    status: str
    reserves_micro_usd: int
    total_premiums_micro_usd: int
    total_payouts_micro_usd: int
    active_policies: int
    total_coverage_outstanding_micro_usd: int
    reserve_ratio: float
    min_reserve_ratio: float
    management_fee_bps: int


class Dashboard(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of haima.md §1.15."""

    total_products: int
    active_policies: int
    total_premiums_collected_micro_usd: int
    total_claims_filed: int
    total_claims_paid_micro_usd: int
    pool_reserves_micro_usd: int
    pool_reserve_ratio: float
    pool_status: str
    loss_ratio: float


def insurance_operations(desk: InsuranceDesk, house: House, *, caller: SubjectReader) -> list[HttpOperation]:
    """The routes over a desk."""
    api = _Api(desk, house, caller)
    claim = "/v1/insurance/claims/{claim_id}"
    by_type = (Parameter("product_type", "task_failure, financial_error, data_breach or sla_penalty"),)
    by_agent = (Parameter("agent_id", "whose"),)
    bad = (400, 403, 404, 422)
    return [
        Operation(
            "GET",
            "/v1/insurance/products",
            "What can be insured",
            api.products,
            result=Products,
            query=by_type,
            scope=READ,
        ),
        Operation(
            "POST",
            "/v1/insurance/quotes",
            "A price for cover, good for a day",
            api.quote,
            QuoteBody,
            Quote,
            status=201,
            errors=bad,
            scope=WRITE,
        ),
        Operation(
            "POST",
            "/v1/insurance/policies",
            "Buy quoted cover",
            api.bind,
            BindBody,
            Bound,
            status=201,
            errors=(402, 409, *bad),
            scope=WRITE,
        ),
        Operation(
            "GET", "/v1/insurance/policies", "Policies", api.policies, result=Policies, query=by_agent, scope=READ
        ),
        Operation(
            "GET",
            "/v1/insurance/policies/{policy_id}",
            "One policy",
            api.policy,
            result=Policy,
            errors=(404,),
            scope=READ,
        ),
        Operation(
            "POST",
            "/v1/insurance/claims",
            "Report a loss",
            api.file,
            ClaimBody,
            Filed,
            status=201,
            errors=(409, *bad),
            scope=WRITE,
        ),
        Operation("GET", claim, "One claim", api.claim, result=Claim, errors=(404,), scope=READ),
        Operation(
            "POST",
            f"{claim}/verify",
            "Check a claim against the journal",
            api.verify,
            result=ClaimDecision,
            errors=(404,),
            scope=WRITE,
        ),
        Operation(
            "POST",
            f"{claim}/decide",
            "Decide a claim under review",
            api.decide,
            DecideBody,
            ClaimDecision,
            errors=(409, *bad),
            scope=ADJUDICATE,
        ),
        Operation(
            "POST",
            f"{claim}/withdraw",
            "Take a claim back",
            api.withdraw,
            result=Claim,
            errors=(403, 404, 409),
            scope=WRITE,
        ),
        Operation(
            "GET",
            "/v1/insurance/risk/{agent_id}",
            "An agent's risk as of now",
            api.risk,
            result=RiskAssessment,
            scope=READ,
        ),
        Operation(
            "POST",
            "/v1/insurance/pool/contribute",
            "Put money into a pool",
            api.contribute,
            ContributeBody,
            Contributed,
            errors=(402, 409, *bad),
            scope=WRITE,
        ),
        Operation(
            "GET",
            "/v1/insurance/pool",
            "The pool",
            api.pool,
            result=PoolView,
            query=(Parameter("pool_id", "which"),),
            errors=(404,),
            scope=READ,
        ),
        Operation(
            "GET", "/v1/insurance/providers", "Who carries the risk", api.providers, result=Providers, scope=READ
        ),
        Operation("GET", "/v1/insurance/dashboard", "How insurance goes", api.dashboard, result=Dashboard, scope=READ),
    ]


class _Api:
    def __init__(self, desk: InsuranceDesk, house: House, caller: SubjectReader) -> None:
        self._desk = desk
        self._house = house
        self._caller = caller

    async def products(self, request: Request) -> Response:
        wanted = request.query_params.get("product_type")
        found = [
            product
            for product in (await self._room()).products.values()
            if product.active and (wanted is None or product.product_type == wanted)
        ]
        return _json(Products(found, len(found)))

    async def quote(self, request: Request) -> Response:
        body = decode_body(await read_body(request), QuoteBody)
        acting_for(self._caller(request), body.agent_id)
        quote = await self._desk.quote(
            body.agent_id, body.product_type, body.coverage_micro_usd, provider_id=body.preferred_provider_id
        )
        return _json(quote, 201)

    async def bind(self, request: Request) -> Response:
        caller = self._caller(request)
        body, key = await read_command(request, BindBody, caller=caller.id)
        acting_for(caller, body.agent_id)
        return _json(await self._desk.bind(body.quote_id, body.agent_id, key=key), 201)

    async def policies(self, request: Request) -> Response:
        room = await self._room()
        agent_id = request.query_params.get("agent_id")
        found = list(room.policies.values()) if agent_id is None else room.of_agent(agent_id)
        return _json(Policies(found, [policy.policy_id for policy in found], len(found)))

    async def policy(self, request: Request) -> Response:
        policy = (await self._room()).policies.get(request.path_params["policy_id"])
        if policy is None:
            raise NotFoundError("There is no such policy.")
        return _json(policy)

    async def file(self, request: Request) -> Response:
        caller = self._caller(request)
        body, key = await read_command(request, ClaimBody, caller=caller.id)
        acting_for(caller, body.agent_id)
        try:
            incident_at_us = parse_timestamp(body.incident_at)
        except ValueError as error:
            raise InvalidInputError(f"incident_at is no RFC 3339 time: {error}.") from None
        filed = await self._desk.file_claim(
            body.agent_id,
            body.policy_id,
            incident_type=body.incident_type,
            claimed_amount_micro_usd=body.claimed_amount_micro_usd,
            incident_at_us=incident_at_us,
            evidence_event_ids=body.evidence_event_ids,
            description=body.description,
            session_id=body.session_id,
            key=key,
        )
        return _json(filed, 201)

    async def claim(self, request: Request) -> Response:
        return _json(await self._claim(request))

    async def verify(self, request: Request) -> Response:
        claim = await self._claim(request)
        acting_for(self._caller(request), claim.agent_id)
        return _json(await self._desk.verify_claim(claim.claim_id))

    async def decide(self, request: Request) -> Response:
        caller = self._caller(request)
        require_role(caller, "adjudicator")
        body = decode_body(await read_body(request), DecideBody)
        claim = await self._claim(request)
        decision = await self._desk.adjudicate(claim.claim_id, approve=body.approve, by=caller.id, reason=body.reason)
        return _json(decision)

    async def withdraw(self, request: Request) -> Response:
        claim = await self._claim(request)
        acting_for(self._caller(request), claim.agent_id)
        await self._desk.withdraw_claim(claim.claim_id, claim.agent_id)
        return _json(await self._claim(request))

    async def risk(self, request: Request) -> Response:
        await self._house.catch_up()
        return _json(await self._desk.assess_risk(request.path_params["agent_id"]))

    async def contribute(self, request: Request) -> Response:
        caller = self._caller(request)
        body, key = await read_command(request, ContributeBody, caller=caller.id)
        acting_for(caller, body.agent_id)
        done = await self._desk.contribute(body.agent_id, body.amount_micro_usd, pool_id=body.pool_id, key=key)
        return _json(done)

    async def pool(self, request: Request) -> Response:
        pool = (await self._room()).pools.get(request.query_params.get("pool_id", POOL_ID))
        if pool is None:
            raise NotFoundError("There is no such pool.", next_step="An operator opens one.")
        return _json(self._view(pool))

    async def providers(self, _: Request) -> Response:
        found = list((await self._room()).providers.values())
        return _json(Providers(found, len(found)))

    async def dashboard(self, _: Request) -> Response:
        room = await self._room()
        pools = [self._view(pool) for pool in room.pools.values()]
        main = next((pool for pool in pools if pool.pool_id == POOL_ID), None)
        premiums = sum(pool.total_premiums_micro_usd for pool in pools)
        paid = sum(pool.total_payouts_micro_usd for pool in pools)
        return _json(
            Dashboard(
                total_products=sum(product.active for product in room.products.values()),
                active_policies=sum(policy.status == "active" for policy in room.policies.values()),
                total_premiums_collected_micro_usd=premiums,
                total_claims_filed=room.claims_filed,
                total_claims_paid_micro_usd=paid,
                pool_reserves_micro_usd=sum(pool.reserves_micro_usd for pool in pools),
                pool_reserve_ratio=main.reserve_ratio if main is not None else 1.0,
                pool_status=main.status if main is not None else "none",
                loss_ratio=paid / premiums if premiums else 0.0,
            )
        )

    async def _room(self) -> Insurance:
        return (await self._house.catch_up()).insurance

    async def _claim(self, request: Request) -> Claim:
        claim = (await self._room()).claims.get(request.path_params["claim_id"])
        if claim is None:
            raise NotFoundError("There is no such claim.")
        return claim

    def _view(self, pool: Pool) -> PoolView:
        reserves = self._desk.reserves_micro(pool)
        return PoolView(
            pool_id=pool.pool_id,
            name=pool.name,
            status=pool.status,
            reserves_micro_usd=reserves,
            total_premiums_micro_usd=pool.premiums_micro_usd,
            total_payouts_micro_usd=pool.payouts_micro_usd,
            active_policies=pool.active_policies,
            total_coverage_outstanding_micro_usd=pool.coverage_outstanding_micro_usd,
            reserve_ratio=reserve_ratio_ppm(reserves, pool.coverage_outstanding_micro_usd) / PPM,
            min_reserve_ratio=pool.min_reserve_ratio_ppm / PPM,
            management_fee_bps=pool.management_fee_bps,
        )


def _json(content: msgspec.Struct, status: int = 200) -> Response:
    return Response(_encode(content), status, dict(_NO_STORE), "application/json")
