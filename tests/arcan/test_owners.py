"""Two owners never see each other's sessions, events, files or approvals (acceptance 7), and the routes of the session API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from life.aios.errors import LifeError
from life.aios.policy import PolicySet
from life.arcan.api import SessionApi
from life.arcan.errors import SessionNotFoundError, SessionTakenError
from life.arcan.settings import RuntimeSettings
from life.arcan.workspace_files import list_files, read_file
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock
from tests.arcan.test_acceptance import Holding
from tests.arcan.workbench import calls, kinds, runtime_on, says, script

GATED = RuntimeSettings(
    policy=PolicySet(allow_capabilities=("fs:read:**",), gate_capabilities=("fs:write:**",)), shutdown_grace_ms=0
)


def owner_of(request: Request) -> str | None:
    """The tests' callers say who they are; nobody is the operator."""
    return request.headers.get("x-owner")


async def problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, LifeError)
    return Response(error.code, error.status)


class House:
    """An application over one runtime, and a client."""

    def __init__(self, journal: MemoryJournal, bench: Holding, client: httpx2.AsyncClient) -> None:
        self.journal, self.bench, self.client = journal, bench, client

    async def ask(self, method: str, path: str, owner: str | None = None, body: object = None) -> httpx2.Response:
        headers = {} if owner is None else {"x-owner": owner}
        return await self.client.request(method, path, json=body, headers=headers)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    journal, bench = MemoryJournal(), Holding(tmp_path, ManualClock())
    plan = script(calls(("write", {"path": "note.txt", "content": "mine"})), says("Written."), says("More."))
    async with runtime_on(journal, bench, plan, settings=GATED) as runtime:

        def stream(request: Request, after: Callable[[int], object]) -> Response:
            return Response("stream")

        api = SessionApi(
            runtime, journal, stream, owner_of=owner_of, actor_of=lambda request: owner_of(request) or "operator"
        )
        routes = [Route(item.path, item.endpoint, methods=[item.method]) for item in api.operations()]
        app = Starlette(routes=routes, exception_handlers={LifeError: problem})
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://life") as client:
            yield House(journal, bench, client)


async def test_7_two_owners_never_meet(house: House) -> None:
    """Acceptance 7: lists, state, runs, events, journal, files, approvals, queue: a foreign session does not exist."""
    run = await house.ask("POST", "/sessions/notes/runs", "user:ann", {"objective": "Write."})
    assert (run.status_code, run.json()["status"]) == (200, "waiting")
    (ticket,) = (await house.ask("GET", "/approvals", "user:ann")).json()
    approval, run_id = ticket["approval_id"], run.json()["run_id"]
    for method, path, body in (
        ("GET", "/sessions/notes", None),
        ("GET", "/sessions/notes/state", None),
        ("GET", "/sessions/notes/events", None),
        ("GET", "/sessions/notes/events/stream", None),
        ("GET", "/sessions/notes/journal", None),
        ("GET", "/sessions/notes/files", None),
        ("GET", "/sessions/notes/files/note.txt", None),
        ("GET", "/sessions/notes/approvals", None),
        ("GET", "/sessions/notes/doubts", None),
        ("GET", "/sessions/notes/rules", None),
        ("GET", "/sessions/notes/queue", None),
        ("GET", "/sessions/notes/recovery", None),
        ("GET", f"/sessions/notes/runs/{run_id}", None),
        ("POST", "/sessions/notes/runs", {"objective": "Mine now."}),
        ("POST", "/sessions/notes/messages", {"message": "Hello?"}),
        ("POST", "/sessions/notes/cancel", None),
        ("POST", "/sessions/notes/pause", None),
        ("POST", "/sessions/notes/continue", None),
        ("POST", "/sessions/notes/resume", None),
        ("POST", "/sessions/notes/close", {}),
        ("DELETE", "/sessions/notes", None),
        ("PUT", "/sessions/notes/provider", {}),
        ("POST", f"/sessions/notes/approvals/{approval}", {"approved": True}),
        ("POST", "/sessions/notes/calls/call-1/result", {}),
        ("DELETE", "/sessions/notes/rules/x", None),
    ):
        answer = await house.ask(method, path, "user:bob", body)
        assert (answer.status_code, answer.text) == (404, "arcan.session_not_found"), (method, path)
    assert (await house.ask("GET", "/sessions", "user:bob")).json() == []
    assert (await house.ask("GET", "/sessions?owner=user:ann", "user:bob")).json() == []
    assert (await house.ask("GET", "/approvals", "user:bob")).json() == []
    taken = await house.ask("POST", "/sessions", "user:bob", {"session_id": "notes"})
    assert (taken.status_code, taken.text) == (409, "arcan.session_taken")
    assert house.bench.effects() == []
    decided = await house.ask("POST", f"/sessions/notes/approvals/{approval}", "user:ann", {"approved": True})
    assert decided.status_code == 202


async def test_every_route_of_a_session_asks_whose_it_is(house: House) -> None:
    """No operation with a session in its path forgets it: a stranger is told 404 by each of them."""
    await house.ask("POST", "/sessions", "user:ann", {"session_id": "notes"})
    api_paths = [
        (route.path, method)
        for route in house.client._transport.app.routes  # type: ignore[attr-defined]
        for method in sorted(route.methods - {"HEAD"})
        if "{session_id}" in route.path
    ]
    assert len(api_paths) >= 25
    for path, method in api_paths:
        concrete = path.replace("{session_id}", "notes").replace("{path:path}", "x")
        concrete = concrete.replace("{run_id}", "r").replace("{approval_id}", "a").replace("{call_id}", "c")
        concrete = concrete.replace("{rule_id}", "r")
        bodies = {
            "/runs": {"objective": "x"},
            "/messages": {"message": "x"},
            "/a": {"approved": True},
            "/c": {"decision": "done"},
        }
        body = next((value for end, value in bodies.items() if concrete.endswith(end)), {})
        answer = await house.ask(method, concrete, "user:bob", body)
        assert answer.status_code == 404, (method, path, answer.text)


async def test_only_the_operator_names_owners_and_providers(house: House) -> None:
    """A user's session is theirs whatever they say; limits stay within the daemon's."""
    for body in ({"owner": "user:ann"}, {"provider": "scripted:/etc/passwd"}):
        assert (await house.ask("POST", "/sessions", "user:bob", body)).status_code == 400
    made = (await house.ask("POST", "/sessions", "user:bob", {"session_id": "b"})).json()
    assert made["owner"] == "user:bob"
    assert (await house.ask("PUT", "/sessions/b/provider", "user:bob", {"provider": "x"})).status_code == 400
    wide = {"objective": "Go.", "limits": {"max_tokens": 10**9, "max_steps": 10**6}, "async": True}
    accepted = await house.ask("POST", "/sessions/b/runs", "user:bob", wide)
    assert accepted.status_code == 202
    view = (await house.ask("GET", "/sessions/b")).json()
    assert view["run"]["limits"]["max_tokens"] == 120_000


async def test_unbound_sessions_are_never_claimed(house: House) -> None:
    """What the operator made belongs to nobody else."""
    await house.ask("POST", "/sessions", None, {"session_id": "old"})
    assert (await house.ask("POST", "/sessions", "user:ann", {"session_id": "old"})).status_code == 409
    assert (await house.ask("GET", "/sessions/old", "user:ann")).status_code == 404


async def test_a_deleted_session_is_gone_for_everybody(house: House) -> None:
    """Not listed, not readable, its id not given out again; its events stay."""
    await house.ask("POST", "/sessions", "user:ann", {"session_id": "notes"})
    assert (await house.ask("DELETE", "/sessions/notes", "user:ann")).status_code == 204
    for who in ("user:ann", None):
        assert (await house.ask("GET", "/sessions/notes", who)).status_code == 404
        assert (await house.ask("GET", "/sessions/notes/events", who)).status_code == 404
        assert (await house.ask("GET", "/sessions/notes/state", who)).status_code == 404
        assert (await house.ask("GET", "/sessions", who)).json() == []
        assert (await house.ask("POST", "/sessions", who, {"session_id": "notes"})).status_code == 409
        assert (await house.ask("POST", "/sessions/notes/runs", who, {"objective": "x"})).status_code == 404
    assert (await kinds(house.journal, "notes"))[-1] == "arcan.session_deleted"


async def test_people_work_through_the_routes(house: House) -> None:
    """Approve with other arguments for the session, send, look at queue, files, journal and recovery."""
    run = await house.ask("POST", "/sessions/n/runs", None, {"objective": "Write.", "idempotency_key": "k"})
    approval = run.json()["pending"]["approval_id"]
    queued = await house.ask("POST", "/sessions/n/messages", None, {"message": "And more.", "steering": "followup"})
    assert (queued.status_code, queued.json()["queue_position"]) == (202, 1)
    queue = (await house.ask("GET", "/sessions/n/queue")).json()
    assert (queue["queue_depth"], queue["has_active_run"]) == (1, True)
    assert [each["content"] for each in queue["pending"]] == ["And more."]
    bad = await house.ask(
        "POST", f"/sessions/n/approvals/{approval}", None, {"approved": True, "arguments": {"path": 1}}
    )
    assert bad.status_code == 400
    answer = {"approved": True, "arguments": {"path": "b.txt", "content": "two"}, "scope": "session"}
    assert (await house.ask("POST", f"/sessions/n/approvals/{approval}", None, answer)).status_code == 202
    async with asyncio.timeout(10):
        while (view := (await house.ask("GET", "/sessions/n")).json())["status"] != "idle" or "queue" in view:
            await asyncio.sleep(0)
    (rule,) = (await house.ask("GET", "/sessions/n/rules")).json()["rules"]
    assert (await house.ask("DELETE", f"/sessions/n/rules/{rule['rule_id']}")).status_code == 204
    files = (await house.ask("GET", "/sessions/n/files")).json()["files"]
    assert [(file["path"], file["size_bytes"]) for file in files] == [("b.txt", 3)]
    content = await house.ask("GET", "/sessions/n/files/b.txt")
    assert (content.text, content.headers["x-content-type-options"]) == ("two", "nosniff")
    assert (await house.ask("GET", "/sessions/n/files/../effects.log")).status_code == 404
    newest = (await house.ask("GET", "/sessions/n/journal?limit=3")).json()
    assert len(newest["events"]) == 3 and newest["events"][-1]["kind"]["event_type"] == "arcan.rule_revoked"
    assert (await house.ask("GET", "/sessions/n/recovery")).json()["calls"] == []
    assert (await house.ask("POST", "/sessions/n/pause")).status_code == 409


def test_files_outside_the_workspace_are_not_there(tmp_path: Path) -> None:
    """Links, dots, special files and absolute paths lead nowhere."""
    root = tmp_path / "w"
    (root / "in").mkdir(parents=True)
    (tmp_path / "secret").write_text("s")
    (root / "in" / "a.txt").write_text("a")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "up").symlink_to(tmp_path, target_is_directory=True)
    assert [file.path for file in list_files(str(root))] == ["in/a.txt"]
    assert read_file(str(root), "in/a.txt") == b"a"
    for path in (
        "link",
        "up/secret",
        "../secret",
        "/etc/passwd",
        "in",
        "in/",
        "in//a.txt",
        "./in/a.txt",
        "a\0b",
        "none",
    ):
        with pytest.raises(LifeError):
            read_file(str(root), path)


async def test_the_runtime_itself_keeps_owners_apart(tmp_path: Path) -> None:
    """Without HTTP, too."""
    bench = Holding(tmp_path, ManualClock())
    async with runtime_on(MemoryJournal(), bench, script(says("Hi."))) as runtime:
        await runtime.create_session("s", owner="ann")
        await runtime.require_owner("s", "ann")
        await runtime.require_owner("s", None)
        with pytest.raises(SessionNotFoundError):
            await runtime.require_owner("s", "bob")
        with pytest.raises(SessionTakenError):
            await runtime.create_session("s", owner="bob")
        assert (await runtime.create_session("s")).config.owner == "ann"
