"""Agents and users at the door: who asks, what they may call, and everything that must not pass."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from life.anima.capability_tokens import CapabilityGrant, issue_capability
from life.anima.events import CapabilityGranted
from life.anima.policy import PolicyManifest
from life.anima.revoking import revoke_identity
from life.anima.user_tokens import DEFAULT_AUDIENCE, DEFAULT_ISSUER, UserTokenVerifier
from life.host.access import COOKIE_NAME, Access
from life.host.anima_verifier import IdentityServices
from life.host.http.authentication import Authenticated, RouteScope, auth_of, require_scopes, require_session
from life.host.http.guard import Guard
from life.host.http.problem import EXCEPTION_HANDLERS
from life.testing.clock import SeededEntropy
from tests.anima.material import AgentBench, agent_bench, forged

TOKEN = "t" * 43
HOST = "127.0.0.1:3000"
SECRET = b"0123456789abcdef0123456789abcdef"
ROUTES = (
    RouteScope("GET", "/events", "events:read"),
    RouteScope("POST", "/pay", "x402:pay"),
    RouteScope("GET", "/sessions/{session_id}", "agent:read"),
)


class Door:
    """An application behind guard and authentication, with two agents."""

    def __init__(self, own: AgentBench, other: AgentBench, access: Access, client: httpx2.AsyncClient) -> None:
        self.own = own
        self.other = other
        self.access = access
        self.client = client

    async def get(self, path: str, token: str | None = None, **headers: str) -> httpx2.Response:
        """A request with a bearer token."""
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return await self.client.get(path, headers=headers)


async def who(request: Request) -> JSONResponse:
    """Tells who asks, and what the application is shown."""
    auth = auth_of(request.scope)
    shown = request.headers.get("authorization", "")
    return JSONResponse(
        {"kind": auth.kind, "subject": auth.subject, "scopes": list(auth.scopes), "own": shown == f"Bearer {TOKEN}"}
    )


async def session(request: Request) -> JSONResponse:
    """A session that belongs to an agent."""
    require_session(request.scope, request.path_params["session_id"], owner=request.query_params.get("owner", ""))
    return JSONResponse({})


async def strict(request: Request) -> JSONResponse:
    """A route that asks again."""
    require_scopes(request.scope, "wallet:write")
    return JSONResponse({})


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    """The host's own agent and another, which may be granted anything."""
    values = PolicyManifest(capability_ceiling=("*",))
    own = await agent_bench(tmp_path / "own", seed="own", values=values)
    other = await agent_bench(
        tmp_path / "other", seed="other", values=values, journal=own.journal, registry=own.registry, clock=own.clock
    )
    access = Access(TOKEN, own.clock, SeededEntropy())
    app = Starlette(
        routes=[
            Route("/events", who),
            Route("/pay", who, methods=["POST"]),
            Route("/health", who),
            Route("/admin", who),
            Route("/strict", strict),
            Route("/sessions/{session_id}", session),
        ],
        exception_handlers=EXCEPTION_HANDLERS,
    )
    services = IdentityServices(
        own.registry, own.verifier(audience="haimad"), UserTokenVerifier(SECRET, clock=own.clock)
    )
    guarded = Guard(app, access, hosts=[HOST], public_paths=["/health"])
    authenticated = Authenticated(
        guarded,
        access=access,
        token=TOKEN,
        services=services,
        clock=own.clock,
        routes=ROUTES,
        is_trusted=lambda agent_id: agent_id == own.agent_id,
    )
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(authenticated), base_url=f"http://{HOST}") as client:
        yield Door(own, other, access, client)


def user_token(door: Door, *scopes: str, sub: str = "user-1", **changes: Any) -> str:
    """A user's token."""
    now = door.own.now_s
    claims = {"sub": sub, "aud": DEFAULT_AUDIENCE, "iss": DEFAULT_ISSUER, "iat": now, "exp": now + 60}
    return jwt.encode({**claims, "scopes": list(scopes), **changes}, SECRET, algorithm="HS256")


async def test_the_daemons_own_token_and_cookies_pass_as_before(door: Door) -> None:
    """They open every route; without one only public paths answer, and know that nobody asked."""
    answer = (await door.get("/admin", TOKEN)).json()
    assert (answer["kind"], answer["scopes"]) == ("operator", ["*"])
    cookie = door.access.redeem_link(door.access.new_link_code())
    assert (await door.get("/admin", cookie=f"{COOKIE_NAME}={cookie}")).json()["kind"] == "person"
    assert (await door.get("/admin")).status_code == 401
    assert (await door.get("/admin", "x" * 43)).status_code == 401
    assert (await door.get("/health")).json()["kind"] == "anonymous"
    assert (await door.get("/health", cookie=f"{COOKIE_NAME}=1.x.y")).json()["kind"] == "anonymous"


async def test_an_agent_with_a_grant_gets_in_once_per_token(door: Door) -> None:
    """The token is verified, the route's scope is checked, and the application learns who asks."""
    await door.other.write(CapabilityGranted(capability="events:*", granted_by="operator"))
    token = await door.other.token(audience="haimad")
    answer = await door.get("/events", token)
    assert answer.status_code == 200
    assert answer.json() == {
        "kind": "agent",
        "subject": door.other.agent_id,
        "scopes": ["events:*"],
        "own": True,
    }
    again = await door.get("/events", token)
    assert (again.status_code, again.json()["details"]["reason"]) == (401, "replayed")


async def test_an_agent_gets_what_it_was_granted_and_nothing_else(door: Door) -> None:
    """No scope, another scope, an unlisted route, another audience: 403 and 401."""
    fresh = door.other.token
    answer = await door.get("/events", await fresh(audience="haimad"))
    assert (answer.status_code, answer.json()["code"]) == (403, "anima.scope_insufficient")
    await door.other.write(CapabilityGranted(capability="events:read", granted_by="operator"))
    for path in ("/admin", "/strict", "/events/", "/unknown"):
        assert (await door.get(path, await fresh(audience="haimad"))).status_code == 403
    assert (
        await door.client.post("/pay", headers={"authorization": f"Bearer {await fresh(audience='haimad')}"})
    ).status_code == 403
    answer = await door.get("/events", await fresh(audience="arcand"))
    assert (answer.status_code, answer.json()["details"]["reason"]) == (401, "wrong_audience")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_permit_opens_what_it_says(door: Door) -> None:
    """Shown beside the holder's own token; a thief's token, a permit by somebody untrusted, or two of them do not."""

    async def permit(giver: AgentBench, taker: AgentBench) -> str:
        return await issue_capability(
            giver.custody,
            grantee_did=taker.did,
            capabilities=[CapabilityGrant(capability="events:read")],
            clock=giver.clock,
            entropy=giver.entropy,
            lifetime_s=60,
        )

    good = await permit(door.own, door.other)
    answer = await door.get("/events", await door.other.token(audience="haimad"), **{"life-capability": good})
    assert answer.json()["scopes"] == ["events:read"]
    self_made = await permit(door.other, door.other)
    for shown in (self_made, await permit(door.own, door.own), "x", good[:-3]):
        answer = await door.get("/events", await door.other.token(audience="haimad"), **{"life-capability": shown})
        assert answer.status_code == 401, answer.text
    token = await door.other.token(audience="haimad")
    twice = [("authorization", f"Bearer {token}"), ("life-capability", good), ("life-capability", good)]
    assert (await door.client.get("/events", headers=twice)).status_code == 401


async def test_revocation_closes_the_door_at_once(door: Door) -> None:
    """The next request after the revocation is refused."""
    await door.other.write(CapabilityGranted(capability="events:read", granted_by="operator"))
    assert (await door.get("/events", await door.other.token(audience="haimad"))).status_code == 200
    await revoke_identity(
        door.other.journal,
        door.other.custody,
        agent_id=door.other.agent_id,
        reason="compromised",
        clock=door.other.clock,
        registry=door.other.registry,
    )
    answer = await door.get("/events", await door.other.token(audience="haimad"))
    assert (answer.status_code, answer.json()["details"]["reason"]) == (401, "revoked")


async def test_users_come_with_their_own_tokens(door: Door) -> None:
    """A user's scopes are those in the token; sessions of others stay closed (AN-VER-11)."""
    answer = await door.get("/events", user_token(door, "events:read"))
    assert (answer.json()["kind"], answer.json()["subject"]) == ("user", "user-1")
    assert (await door.get("/events", user_token(door))).status_code == 403
    assert (await door.get("/events", user_token(door, "*", aud="other"))).status_code == 401
    reader = user_token(door, "agent:read")
    assert (await door.get("/sessions/vault:user-1", reader)).status_code == 200
    for path in ("/sessions/vault:user-2", "/sessions/other", "/sessions/vault:"):
        assert (await door.get(path, reader)).status_code == 403


async def test_sessions_belong_to_their_owner(door: Door) -> None:
    """An agent opens its own sessions, operators all."""
    await door.other.write(CapabilityGranted(capability="agent:read", granted_by="operator"))
    mine, theirs = f"/sessions/s1?owner={door.other.agent_id}", f"/sessions/s1?owner={door.own.agent_id}"
    assert (await door.get(mine, await door.other.token(audience="haimad"))).status_code == 200
    assert (await door.get(theirs, await door.other.token(audience="haimad"))).status_code == 403
    assert (await door.get(theirs, TOKEN)).status_code == 200


async def test_the_guards_other_checks_hold_for_agents(door: Door) -> None:
    """Host and Origin are checked for a verified agent as for everybody."""
    await door.other.write(CapabilityGranted(capability="events:read", granted_by="operator"))
    for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
        answer = await door.get("/events", await door.other.token(audience="haimad"), **headers)
        assert answer.status_code == 403


async def test_confusions(door: Door) -> None:
    """Neither family's token passes at the other's entry, and several Authorization headers are refused."""
    now = door.own.now_s
    agent_claims = {"sub": door.other.agent_id, "aud": "haimad", "iss": DEFAULT_ISSUER, "iat": now, "exp": now + 60}
    mac_as_agent = jwt.encode(agent_claims, SECRET, algorithm="HS256", headers={"typ": "agent+jwt"})
    answer = await door.get("/events", mac_as_agent)
    assert (answer.status_code, answer.json()["details"]["reason"]) == (401, "algorithm")
    signed_as_user = forged(
        {"sub": "user-1", "aud": DEFAULT_AUDIENCE, "iss": DEFAULT_ISSUER, "iat": now, "exp": now + 9}
    )
    answer = await door.get("/events", signed_as_user)
    assert (answer.status_code, answer.json()["details"]["reason"]) == (401, "algorithm")
    none = jwt.encode(agent_claims, "", algorithm="none")
    assert (await door.get("/events", none)).status_code == 401
    twice = [("authorization", "Bearer x"), ("authorization", f"Bearer {TOKEN}")]
    assert (await door.client.get("/admin", headers=twice)).status_code == 401


@pytest.mark.parametrize("junk", ["..", "a.b.c", "é.ü.x", "." * 9000, "a" * 9000 + ".b.c", "%00.%00.%00"])
async def test_junk_is_answered_with_401(door: Door, junk: str) -> None:
    """Whatever stands in the header, the answer is a problem document."""
    answer = await door.client.get("/events", headers=[(b"authorization", f"Bearer {junk}".encode())])
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


def test_routes_match_whole_segments() -> None:
    """A placeholder is one segment; nothing else is open."""
    route = RouteScope("GET", "/sessions/{id}/events", "x")
    assert route.matches("GET", "/sessions/a.b/events")
    for method, path in (
        ("POST", "/sessions/a/events"),
        ("GET", "/sessions/a/b/events"),
        ("GET", "/sessions//events"),
        ("GET", "/sessions/a/eventsX"),
        ("GET", "/x/sessions/a/events"),
    ):
        assert not route.matches(method, path)
