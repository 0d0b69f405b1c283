"""arcand's application: the session API, the event stream, the pages; all through HTTP."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from life.anima.tokens import issue_agent_token
from life.host.access import Access
from life.host.arcand import open_application
from life.host.system import System, open_system
from life.testing.clock import SeededEntropy

TOKEN = "t" * 43
HOST = "127.0.0.1:3000"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    environment = {"LIFE_KEY_FILE": str(tmp_path / "key" / "identity.key")}
    async with open_system(tmp_path / "life", environment=environment) as system:
        yield system


@pytest.fixture
def access(system: System) -> Access:
    return Access(TOKEN, system.clock, SeededEntropy())


@pytest.fixture
async def client(system: System, access: Access) -> AsyncIterator[httpx2.AsyncClient]:
    async with (
        open_application(system, access, TOKEN, hosts=[HOST], environment={}) as app,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=f"http://{HOST}") as client,
    ):
        yield client


async def post(client: httpx2.AsyncClient, path: str, body: object, **headers: str) -> httpx2.Response:
    return await client.post(path, json=body, headers=BEARER | headers)


async def get(client: httpx2.AsyncClient, path: str) -> httpx2.Response:
    return await client.get(path, headers=BEARER)


async def test_a_run_from_creation_to_answer(client: httpx2.AsyncClient) -> None:
    """Create, run, read events and state: one session, gap-free sequences, the file in the workspace."""
    created = await post(client, "/sessions", {"session_id": "notes", "name": "My notes"})
    assert (created.status_code, created.json()["status"]) == (201, "idle")
    run = await post(client, "/sessions/notes/runs", {"objective": "write a.txt: hello"})
    assert (run.status_code, run.json()["status"], run.json()["reason"]) == (200, "finished", "completed")
    page = (await get(client, "/sessions/notes/events?limit=5")).json()
    assert [event["sequence"] for event in page["events"]] == [1, 2, 3, 4, 5]
    rest = (await get(client, f"/sessions/notes/events?from_sequence={page['next_sequence']}")).json()
    assert rest["next_sequence"] is None
    assert rest["events"][-1]["kind"]["type"] == "RunFinished"
    state = (await get(client, "/sessions/notes")).json()
    assert state["totals"]["files_changed"] == 1
    assert [row["session_id"] for row in (await get(client, "/sessions")).json()] == ["notes"]


async def test_state_at_a_position_is_rebuilt_from_the_journal(client: httpx2.AsyncClient) -> None:
    """The last position gives the live state; an earlier one the state of then; one beyond the end is 404."""
    await post(client, "/sessions/s/runs", {"objective": "hello"})
    live = (await get(client, "/sessions/s")).json()
    assert (await get(client, f"/sessions/s/state?at={live['version']}")).json() == live
    early = (await get(client, "/sessions/s/state?at=3")).json()
    assert (early["status"], early["version"]) == ("running", 3)
    assert (await get(client, "/sessions/s/state?at=999")).status_code == 404
    assert (await get(client, "/sessions/s/state?at=x")).json()["code"] == "life.invalid_input"


async def test_a_run_can_be_started_without_waiting_and_only_once(client: httpx2.AsyncClient) -> None:
    """202 with the run's id; the same idempotency key is the same run; another objective under it conflicts."""
    body = {"objective": "hello", "wait": False}
    first = await post(client, "/sessions/s/runs", body, **{"idempotency-key": "k1"})
    again = await post(client, "/sessions/s/runs", body, **{"idempotency-key": "k1"})
    assert first.status_code == again.status_code == 202
    run_id = first.json()["run_id"]
    assert again.json()["run_id"] == run_id
    async with asyncio.timeout(10):
        while (await get(client, f"/sessions/s/runs/{run_id}")).json()["status"] == "running":
            await asyncio.sleep(0)
    other = await post(client, "/sessions/s/runs", {"objective": "other"}, **{"idempotency-key": "k1"})
    assert other.status_code == 409


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/sessions", {"session_id": "../escape"}, 400),
        ("POST", "/sessions", {"session_id": "s", "nonsense": 1}, 400),
        ("POST", "/sessions", {"provider": "nobody"}, 400),
        ("POST", "/sessions/s/runs", {}, 400),
        ("POST", "/sessions/s/runs", {"objective": "  "}, 400),
        ("POST", "/sessions/s/runs", [1], 400),
        ("GET", "/sessions/unknown", None, 404),
        ("GET", "/sessions/unknown/events", None, 404),
        ("GET", "/sessions/unknown/events/stream", None, 404),
        ("GET", "/sessions/s/events?limit=0", None, 400),
        ("GET", "/sessions/s/events?from_sequence=-1", None, 400),
        ("POST", "/sessions/s/approvals/none", {"approved": True}, 404),
        ("GET", "/nowhere", None, 404),
        ("DELETE", "/sessions", None, 405),
    ],
)
async def test_bad_requests_get_problem_documents(
    client: httpx2.AsyncClient, method: str, path: str, body: object, status: int
) -> None:
    """Each with its status and a stable code, never a traceback."""
    response = await client.request(method, path, json=body, headers=BEARER)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["code"]


async def events_from(client: httpx2.AsyncClient, path: str, count: int, **headers: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    async with client.stream("GET", path, headers=BEARER | headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                event = json.loads(line[6:])
                if event["sequence"]:
                    found.append(event)
                if len(found) == count:
                    return found
    return found


async def test_the_stream_replays_and_resumes(system: System, access: Access) -> None:
    """From the beginning, and after Last-Event-ID without loss or repetition, over a real connection."""
    from tests.host.serving import serving

    async with (
        open_application(system, access, TOKEN, hosts=["127.0.0.1:0", "localhost"], environment={}) as app,
        serving(app) as address,
    ):
        headers = {"host": "localhost"}
        async with httpx2.AsyncClient(base_url=address, timeout=10) as client:
            report = await client.post("/sessions/s/runs", json={"objective": "hello"}, headers=BEARER | headers)
            head = (await client.get("/sessions/s", headers=BEARER | headers)).json()["version"]
            assert report.status_code == 200
            events = await events_from(client, "/sessions/s/events/stream", head, **headers)
            assert [event["sequence"] for event in events] == list(range(1, head + 1))
            resumed = await events_from(
                client, "/sessions/s/events/stream", head - 3, **headers, **{"last-event-id": "3"}
            )
            assert [event["sequence"] for event in resumed] == list(range(4, head + 1))


async def test_openapi_describes_every_route_of_the_api(client: httpx2.AsyncClient) -> None:
    """OpenAPI 3.1 from the same table as the router; no reference dangles."""
    document = (await get(client, "/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    assert {"/health", "/sessions", "/sessions/{session_id}/runs", "/sessions/{session_id}/doubts/{call_id}"} <= set(
        document["paths"]
    )
    for name in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)):
        assert name in document["components"]["schemas"]


async def test_only_health_login_and_the_identity_are_public(system: System, client: httpx2.AsyncClient) -> None:
    """Without the token nothing else answers."""
    assert (await client.get("/health")).json()["service"] == "arcan"
    assert (await client.get("/login")).status_code == 200
    published = await client.get("/.well-known/anima/identity", params={"did": system.identity.did})
    assert (published.status_code, system.identity.did in published.text) == (200, True)
    for path in (
        "/",
        "/sessions",
        "/ledger",
        "/identity",
        "/system",
        "/openapi.json",
        "/s/x",
        "/v1/approvals",
        "/anima/identities",
    ):
        assert (await client.get(path)).status_code == 401


async def log_in(client: httpx2.AsyncClient) -> None:
    link = (await post(client, "/login-links", {})).json()["path"]
    answer = await client.get(link)
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert (await client.get(link)).status_code == 401, "a link works once"
    client.cookies.set("life_login", cookie.split("=", 1)[1].split(";")[0])


async def test_a_person_works_through_the_pages(client: httpx2.AsyncClient) -> None:
    """Log in by link, start a session by form, see the answer, the journal, the identity: without script."""
    await log_in(client)
    origin = {"origin": f"http://{HOST}"}
    form = re.search(r'name="form_token" value="([^"]+)"', (await client.get("/")).text)
    assert form is not None
    token = {"form_token": form[1]}
    started = await client.post("/sessions", data={"objective": "write a.txt: <b>hi</b>", **token}, headers=origin)
    assert started.status_code == 303
    address = started.headers["location"]
    async with asyncio.timeout(10):
        while "write_file answered" not in (page := await client.get(address)).text:
            await asyncio.sleep(0)
    assert "&lt;b&gt;hi&lt;/b&gt;" in page.text, "text of people and models is escaped"
    assert "<b>hi" not in page.text
    assert "script" not in page.headers["content-security-policy"]
    assert "ToolCallStarted" in (await client.get(f"{address}/journal")).text
    assert "did:key:zDn" in (await client.get("/anima")).text
    for path in ("/", "/finance/ledger", "/system"):
        assert (await client.get(path)).status_code == 200
    again = await client.post(f"{address}/runs", data={"objective": "", **token}, headers=origin)
    assert "life.invalid_input" in again.text, "a mistake is said on the page"


async def test_a_foreign_page_can_start_nothing(client: httpx2.AsyncClient, system: System) -> None:
    """A cross-site form with the victim's cookie is refused and nothing is written."""
    await log_in(client)
    answer = await client.post("/sessions", data={"objective": "x"}, headers={"origin": "https://evil.example"})
    assert answer.status_code == 403
    assert await system.runtime.sessions() == []


async def test_an_agents_token_opens_what_names_a_scope_and_nothing_else(
    system: System, client: httpx2.AsyncClient
) -> None:
    """The agent itself may not approve its payments, nor start sessions, and reads identities only with a grant."""

    async def asked(method: str, path: str) -> httpx2.Response:
        token = await issue_agent_token(
            system.custody,
            clock=system.clock,
            entropy=system.entropy,
            agent_id=system.identity.agent_id,
            audience="arcand",
            lifetime_s=30,
        )
        return await client.request(method, path, headers={"authorization": f"Bearer {token}"})

    for method, path in (("GET", "/v1/approvals"), ("POST", "/v1/approvals/x"), ("GET", "/sessions")):
        answer = await asked(method, path)
        assert (answer.status_code, answer.json()["code"]) == (403, "anima.scope_insufficient")
    assert (await asked("GET", "/anima/identities")).status_code == 403


async def test_payments_that_wait_are_listed_for_people(client: httpx2.AsyncClient) -> None:
    """None wait in a new project; an unknown one is 404."""
    assert (await get(client, "/v1/approvals")).json() == {"approvals": [], "next_cursor": None}
    assert (await post(client, "/v1/approvals/nothing", {"decision": "approve"})).status_code == 404


@pytest.mark.parametrize(
    "name", ["relay-agent-0123456789abcdef", "identity-agent-x", "sales", "refunds", "catalogue", "skills"]
)
async def test_no_session_takes_the_stream_of_another_part(
    client: httpx2.AsyncClient, system: System, name: str
) -> None:
    """Whoever had a session of that name before the part wrote its first event would read everything that it writes."""
    for path, body in (("/sessions", {"session_id": name}), (f"/sessions/{name}/runs", {"objective": "x"})):
        answer = await post(client, path, body)
        assert answer.status_code in (404, 409)
    assert name not in {stream.session_id for stream in await system.journal.streams()}
