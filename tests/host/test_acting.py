"""Whom the journal names: the owner for whom the operator's own program acts, and nobody else at anybody else's word."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import jwt
import pytest

from life.anima.user_tokens import DEFAULT_AUDIENCE, DEFAULT_ISSUER
from life.host.access import Access
from life.host.acting import HEADER
from life.host.arcand import open_application
from life.host.settings import ModelSettings, Settings
from life.host.system import System, open_system
from life.testing.clock import SeededEntropy
from tests.anima.material import did_of, handle, seed_of

TOKEN = "t" * 43
HOST = "127.0.0.1:3000"
BEARER = {"authorization": f"Bearer {TOKEN}"}
SECRET = "0123456789abcdef0123456789abcdef"
SCRIPT = """
[[turns]]
calls = [{ tool = "bash", arguments = { command = "true" } }]
[[turns]]
text = "done"
"""


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    (tmp_path / "script.toml").write_text(SCRIPT)
    settings = Settings(model=ModelSettings(provider=f"scripted:{tmp_path / 'script.toml'}"))
    environment = {"LIFE_KEY_FILE": str(tmp_path / "key" / "identity.key"), "HOME": str(tmp_path / "home")}
    async with open_system(tmp_path / "life", settings=settings, environment=environment) as system:
        yield system


@pytest.fixture
async def client(system: System) -> AsyncIterator[httpx2.AsyncClient]:
    access = Access(TOKEN, system.clock, SeededEntropy())
    async with (
        open_application(system, access, TOKEN, hosts=[HOST], environment={"AUTH_SECRET": SECRET}) as app,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=f"http://{HOST}") as client,
    ):
        yield client


def owner() -> str:
    """An owner's DID."""
    return did_of(handle(seed_of(7)))


async def actors(client: httpx2.AsyncClient, session: str) -> dict[str, object]:
    """By kind of event, who the journal says it was."""
    events = (await client.get(f"/sessions/{session}/events", headers=BEARER)).json()["events"]
    return {event["kind"]["type"]: event["actor"] for event in events}


async def test_the_journal_names_the_owner_for_whom_the_operators_program_acts(
    client: httpx2.AsyncClient, system: System
) -> None:
    """The objective, a message, the decision: each stands as the owner's; without the header it is the operator's, as before."""
    acting = {**BEARER, HEADER: owner()}
    named = {"type": "user", "component": owner()}
    for session, headers, said, decided in (
        ("theirs", acting, named, named),
        ("mine", BEARER, {"type": "user"}, {"type": "user", "component": "operator"}),
    ):
        run = await client.post(f"/sessions/{session}/runs", json={"objective": "go", "wait": True}, headers=headers)
        assert run.json()["status"] == "waiting", run.text
        told = await client.post(
            f"/sessions/{session}/messages", json={"message": "quick", "steering": "followup"}, headers=headers
        )
        assert told.status_code == 202
        (waiting,) = await system.runtime.pending_approvals()
        path = f"/sessions/{session}/approvals/{waiting.approval_id}"
        assert (await client.post(path, json={"approved": False}, headers=headers)).status_code == 202
        found = await actors(client, session)
        assert (found["UserMessage"], found["ApprovalResolved"]) == (said, decided)
        assert found["Queued"] == decided


async def test_nobody_but_the_operator_chooses_a_name(client: httpx2.AsyncClient, system: System) -> None:
    """A user's token and a page's cookie are refused when they name somebody; so is what is no DID, or two of them; nothing is written."""
    await client.post("/sessions", json={"session_id": "s", "owner": "user:u1"}, headers=BEARER)
    before = await actors(client, "s")
    now_s = system.clock.now_us() // 1_000_000
    claims = {"sub": "u1", "aud": DEFAULT_AUDIENCE, "iss": DEFAULT_ISSUER, "iat": now_s, "exp": now_s + 60}
    token = jwt.encode({**claims, "scopes": ["sessions:run"]}, SECRET, algorithm="HS256")
    link = (await client.post("/login-links", headers=BEARER)).json()["path"]
    cookie = (await client.get(link)).cookies
    user, person = {"authorization": f"Bearer {token}"}, {"origin": f"http://{HOST}"}
    client.cookies.clear()
    for path, body in (("/sessions/s/runs", {"objective": "go"}), ("/sessions/s/messages", {"message": "go"})):
        for headers in (user, person):
            if headers is person:
                client.cookies.update(cookie)
            answer = await client.post(path, json=body, headers={**headers, HEADER: owner()})
            client.cookies.clear()
            assert (answer.status_code, answer.json()["code"]) == (403, "host.forbidden")
        for wrong in ("operator", "system", "did:key:x", "", owner().upper(), owner() + "#" + owner()[8:]):
            answer = await client.post(path, json=body, headers={**BEARER, HEADER: wrong})
            assert answer.status_code == 400, wrong
        twice = [*BEARER.items(), (HEADER, owner()), (HEADER, owner())]
        assert (await client.post(path, json=body, headers=twice)).status_code == 400
    assert await actors(client, "s") == before
