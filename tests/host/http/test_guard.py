"""The guard at the door: Host, Origin, token, cookie, forged forms."""

from __future__ import annotations

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from life.host.access import COOKIE_NAME, Access
from life.host.http.guard import Guard
from life.testing.clock import ManualClock, SeededEntropy

TOKEN = "t" * 43
HOST = "127.0.0.1:3000"


async def hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


@pytest.fixture
def access() -> Access:
    return Access(TOKEN, ManualClock(), SeededEntropy())


@pytest.fixture
def client(access: Access) -> httpx2.AsyncClient:
    app = Starlette(routes=[Route("/", hello, methods=["GET", "POST"]), Route("/health", hello)])
    guard = Guard(app, access, hosts=[HOST, "localhost:3000"], public_paths=["/health"])
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(guard), base_url=f"http://{HOST}")


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_the_token_opens_the_door(client: httpx2.AsyncClient) -> None:
    """With the token any method passes; the scheme's case does not matter."""
    assert (await client.get("/", headers=bearer())).status_code == 200
    assert (await client.post("/", headers={"authorization": f"bearer {TOKEN}"})).status_code == 200


@pytest.mark.parametrize("headers", [{}, bearer("wrong"), {"authorization": TOKEN}, {"cookie": f"{COOKIE_NAME}=x.y.z"}])
async def test_without_a_valid_token_there_is_a_problem_document(
    client: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    """401 with a stable code and the next step; the token itself is never echoed."""
    response = await client.get("/", headers=headers)
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"] == "host.unauthorized"
    assert TOKEN not in response.text


async def test_public_paths_need_no_token_but_the_right_host(client: httpx2.AsyncClient) -> None:
    """Health answers to everybody on this machine, not to a rebound name."""
    assert (await client.get("/health")).status_code == 200
    assert (await client.get("/health", headers={"host": "evil.example"})).status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:3001", "127.0.0.1", ""])
async def test_a_rebound_host_name_is_refused(client: httpx2.AsyncClient, host: str) -> None:
    """DNS rebinding: even with the token a foreign Host is 403."""
    assert (await client.get("/", headers=bearer() | {"host": host})).status_code == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:3001"])
async def test_a_page_elsewhere_is_refused(client: httpx2.AsyncClient, access: Access, origin: str) -> None:
    """A foreign Origin is 403, with token or with cookie."""
    cookie = access.redeem_link(access.new_link_code())
    assert (await client.post("/", headers=bearer() | {"origin": origin})).status_code == 403
    headers = {"cookie": f"{COOKIE_NAME}={cookie}", "origin": origin}
    assert (await client.get("/", headers=headers)).status_code == 403


async def test_a_cookie_reads_and_our_own_forms_write(client: httpx2.AsyncClient, access: Access) -> None:
    """By cookie a GET passes; a POST only from our own origin."""
    cookie = {"cookie": f"{COOKIE_NAME}={access.redeem_link(access.new_link_code())}"}
    assert (await client.get("/", headers=cookie)).status_code == 200
    assert (await client.post("/", headers=cookie)).status_code == 403
    assert (await client.post("/", headers=cookie | {"sec-fetch-site": "cross-site"})).status_code == 403
    assert (await client.post("/", headers=cookie | {"sec-fetch-site": "same-origin"})).status_code == 200
    assert (await client.post("/", headers=cookie | {"origin": f"http://{HOST}"})).status_code == 200


async def test_a_person_without_login_is_led_to_it(client: httpx2.AsyncClient) -> None:
    """A browser's page request is sent to /login instead of a JSON document."""
    response = await client.get("/", headers={"accept": "text/html,*/*"})
    assert (response.status_code, response.headers["location"]) == (303, "/login")
