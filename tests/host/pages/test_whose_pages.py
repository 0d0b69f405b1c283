"""The pages are the operator's: a token of an agent or a user opens none of them, not even where a route for programs has the same address."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import jwt
import pytest
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from life.anima.user_tokens import DEFAULT_AUDIENCE, DEFAULT_ISSUER
from life.haima.approval_desk import ApprovalDesk
from life.host.access import Access
from life.host.arcand import open_application
from life.host.http.authentication import AUTH_KEY, AuthContext
from life.host.model_api import ModelApi
from life.host.model_test_call import KeyTester
from life.host.pages.areas.room import Room
from life.host.pages.people import Pages
from life.host.pages.watched_log import watched_log
from life.host.system import System
from life.testing.clock import SeededEntropy
from tests.host.pages.reading import BROWSER, HOST, TOKEN

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
async def client(system: System) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a daemon that takes users' tokens."""
    access = Access(TOKEN, system.clock, SeededEntropy())
    async with (
        open_application(system, access, TOKEN, hosts=[HOST], environment={"AUTH_SECRET": SECRET}) as app,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=f"http://{HOST}") as client,
    ):
        yield client


def users(system: System) -> dict[str, str]:
    """What a user who may run sessions shows."""
    now_s = system.clock.now_us() // 1_000_000
    claims = {"sub": "u1", "aud": DEFAULT_AUDIENCE, "iss": DEFAULT_ISSUER, "iat": now_s, "exp": now_s + 60}
    token = jwt.encode({**claims, "scopes": ["sessions:run"]}, SECRET, algorithm="HS256")
    return {"authorization": f"Bearer {token}"}


async def test_a_user_gets_no_page_where_a_page_and_a_route_share_an_address(
    client: httpx2.AsyncClient, system: System
) -> None:
    """Asking for HTML, or posting a form, leads a user to the route for programs, which knows what is theirs: not to everybody's sessions,
    nor to a session of the operator's with a model of their choice."""
    await system.runtime.create_session("secret-plans", name="The operator's plans")
    theirs = users(system)
    for path in ("/sessions", "/sessions?format=json", "/agents"):
        answer = await client.get(path, headers={**theirs, **BROWSER})
        assert "secret-plans" not in answer.text
        assert answer.headers["content-type"] == "application/json"
    posted = await client.post("/sessions", data={"objective": "hello", "provider": "scripted"}, headers=theirs)
    assert posted.status_code == 400
    assert [each.session_id for each in await system.runtime.sessions()] == ["secret-plans"]


@pytest.mark.parametrize(("kind", "status"), [("operator", 200), ("person", 200), ("agent", 403), ("user", 403)])
async def test_a_page_asks_for_itself(system: System, kind: str, status: int) -> None:
    """Were a route to let an agent or a user through to a page, the page would refuse."""
    access = Access(TOKEN, system.clock, system.entropy)
    desk = ApprovalDesk(system.journal, system.clock, system.entropy, agent_id=system.identity.agent_id)
    tester = KeyTester(system.model_keys, system.environment, system.clock, system.entropy)
    models = ModelApi(system.settings, system.model_keys, tester)
    with watched_log() as log:
        pages = Starlette(routes=Pages(Room(system, access, desk, models, tester, log, 0)).routes())

        async def let_through(scope: Scope, receive: Receive, send: Send) -> None:
            await pages({**scope, AUTH_KEY: AuthContext(kind=kind, subject="u1", scopes=("*",))}, receive, send)  # type: ignore[arg-type]

        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(let_through), base_url=f"http://{HOST}") as client:
            assert (await client.get("/sessions")).status_code == status
    await desk.aclose()
