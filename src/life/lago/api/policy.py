"""Policy over HTTP: what it would say and why, approvals, and what an owner uses.

Tools outside of this process ask with POST /v1/policy/check, and are told by the same gate that judges requests.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.json import Json
from life.aios.ports.http import Operation
from life.lago.access_rules.conditions import Request as PolicyRequest
from life.lago.access_rules.engine import Verdict
from life.lago.access_rules.gate import PolicyGate
from life.lago.access_rules.rules import Rules
from life.lago.access_rules.tickets import Ticket
from life.lago.api.bodies import answer, json_body
from life.lago.api.callers import Caller, CallerReader
from life.lago.errors import NotOwnerError
from life.lago.owners.quotas import Quota
from life.lago.owners.registry import Owners
from life.lago.owners.state import Use


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody wants to do. `subject` and `roles` may differ from the caller's for the operator only."""

    tool_name: str
    arguments: Json = None
    category: str | None = None
    risk: str | None = None
    session_id: str = ""
    sandbox_tier: str | None = None
    subject: str | None = None
    roles: tuple[str, ...] = ()
    approval_id: str | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /v1/approvals/{approval_id}."""

    approved: bool
    reason: str | None = None


class UsageView(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner uses of its plan; null is without limit."""

    owner: str
    use: Use
    quota: Quota


class PolicyApi:
    """The routes."""

    def __init__(self, gate: PolicyGate, rules: Rules, owners: Owners, caller: CallerReader) -> None:
        self._gate = gate
        self._rules = rules
        self._owners = owners
        self._caller = caller

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        return [
            Operation(
                "POST",
                "/v1/policy/explain",
                "What the policy would say, and every step to it; nothing is journaled",
                self.explain,
                Question,
                Verdict,
                errors=(400, 413, 429),
                scope="policy:read",
            ),
            Operation(
                "POST",
                "/v1/policy/check",
                "Judge a tool call: the decision is journaled, approvals are asked for, hooks are told",
                self.check,
                Question,
                Verdict,
                errors=(400, 409, 413, 429),
                scope="policy:check",
            ),
            Operation(
                "GET",
                "/v1/approvals",
                "Approvals, oldest first",
                self.tickets,
                None,
                list[Ticket],
                scope="policy:approve",
            ),
            Operation(
                "POST",
                "/v1/approvals/{approval_id}",
                "Approve or refuse",
                self.resolve,
                Decision,
                Ticket,
                errors=(400, 404, 409, 413, 429),
                scope="policy:approve",
            ),
            Operation(
                "GET",
                "/v1/usage",
                "What the caller uses of its plan",
                self.usage,
                None,
                UsageView,
                scope="sessions:read",
            ),
        ]

    async def explain(self, request: Request) -> Response:
        """POST /v1/policy/explain"""
        body = await json_body(request, Question)
        return answer(self._gate.explain(_policy_request(body, self._caller(request))))

    async def check(self, request: Request) -> Response:
        """POST /v1/policy/check"""
        body = await json_body(request, Question)
        wanted = _policy_request(body, self._caller(request))
        return answer(await self._gate.check(wanted, approval_id=body.approval_id))

    async def tickets(self, request: Request) -> Response:
        """GET /v1/approvals; who is not the operator sees their own."""
        caller = self._caller(request)
        found = await self._gate.tickets()
        return answer([each for each in found if caller.is_operator or each.subject == caller.owner])

    async def resolve(self, request: Request) -> Response:
        """POST /v1/approvals/{approval_id}"""
        body = await json_body(request, Decision)
        caller = self._caller(request)
        approval_id = str(request.path_params["approval_id"])
        if not caller.is_operator and any(
            each.approval_id == approval_id and each.subject == caller.owner for each in await self._gate.tickets()
        ):
            raise NotOwnerError("Nobody approves what they asked for themselves.")
        return answer(
            await self._gate.resolve(approval_id, approved=body.approved, reason=body.reason, by=caller.owner)
        )

    async def usage(self, request: Request) -> Response:
        """GET /v1/usage"""
        owner = self._caller(request).owner
        quota = Quota() if self._caller(request).is_operator else self._rules.quota_of(owner)
        return answer(UsageView(owner=owner, use=await self._owners.use(owner), quota=quota))


def _policy_request(question: Question, caller: Caller) -> PolicyRequest:
    if not caller.is_operator and (question.subject not in (None, caller.owner) or question.roles):
        raise NotOwnerError("Only the operator asks for others.")
    if not question.tool_name or len(question.tool_name) > 255:
        raise InvalidInputError("A tool's name has 1 to 255 characters.")
    return PolicyRequest(
        tool_name=question.tool_name,
        subject=question.subject if question.subject is not None else caller.owner,
        arguments=question.arguments,
        category=question.category,
        risk=question.risk,
        session_id=question.session_id,
        roles=question.roles,
        sandbox_tier=question.sandbox_tier,
    )
