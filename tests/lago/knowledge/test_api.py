"""The memory routes over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from life.aios.errors import LifeError
from life.aios.events import UserMessage
from life.aios.record import EventWriter, Stream
from life.host.http.routes import openapi_document, routes
from life.lago.knowledge.api import knowledge_operations
from life.lago.knowledge.event_search import EventSearch
from life.lago.knowledge.vault import Vault
from life.lago.knowledge.vaults import owner_session
from life.testing.clock import SeededEntropy
from tests.lago.knowledge.kit import digest, open_library


class NobodyError(LifeError):
    code = "test.nobody"
    status = 401


def subject_of(request: Request) -> str:
    subject = request.headers.get("x-subject")
    if subject is None:
        raise NobodyError("Who are you?")
    return owner_session(subject)


async def problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, LifeError)
    return JSONResponse({"code": error.code}, error.status)


@asynccontextmanager
async def open_client(root: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """Ada's and Bob's notes behind the routes; the header says who asks."""
    async with open_library(root) as library:
        desk = library.office.desk
        await desk.write(owner_session("ada"), "/w/lake.md", b"---\ntitle: L\n---\nThe lake [[river]]")
        await desk.write(owner_session("ada"), "/river.md", b"runs")
        await desk.write(owner_session("bob"), "/secret.md", b"bob's lake")
        stream = Stream(owner_session("ada"))
        writer = EventWriter(library.office.clock, SeededEntropy("api"), agent_id="a", stream=stream)
        await library.office.journal.append([writer.event(UserMessage(content="where is the lake"))])

        async def vault_of(request: Request) -> Vault:
            return await library.vaults.vault(subject_of(request))

        async def events_of(request: Request) -> EventSearch:
            return await library.vaults.events(subject_of(request))

        app = Starlette(
            routes=routes(knowledge_operations(vault_of, events_of)),
            exception_handlers={LifeError: problem},
        )
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://memory", headers={"x-subject": "ada"}
        ) as client:
            yield client


async def test_search_answers_with_sources(tmp_path: Path) -> None:
    """Results, and the notes they link to when that is asked for."""
    async with open_client(tmp_path) as client:
        answer = (await client.post("/v1/memory/search", json={"query": "lake", "follow_links": True})).json()
        (hit,) = answer["results"]
        assert hit["path"] == "/w/lake.md"
        assert hit["frontmatter"] == {"title": "L"}
        assert hit["excerpts"] == ["The lake [[river]]"]
        assert hit["blob_hash"] == digest("---\ntitle: L\n---\nThe lake [[river]]")
        assert answer["linked_notes"] == [{"path": "/river.md", "name": "river", "depth": 1, "links": []}]
        plain = (await client.post("/v1/memory/search", json={"query": "lak", "mode": "scored"})).json()
        assert [hit["score"] for hit in plain["results"]] == [3.0]
        assert "linked_notes" not in plain


async def test_the_other_routes(tmp_path: Path) -> None:
    """Walk, note, lint, context, events."""
    async with open_client(tmp_path) as client:
        walk = (await client.post("/v1/memory/traverse", json={"target": "[[Lake]]"})).json()
        assert [note["path"] for note in walk["notes"]] == ["/w/lake.md", "/river.md"]
        note = (await client.get("/v1/memory/note/Lake")).json()
        assert (note["body"], note["links"]) == ("The lake [[river]]", ["river"])
        report = (await client.get("/v1/memory/lint")).json()
        assert (report["notes"], report["orphans"]) == (2, ["/w/lake.md"])
        context = (await client.post("/v1/memory/context", json={"query": "lake"})).json()
        assert context["excerpts"][0]["sequence"] == 1
        events = (await client.post("/v1/memory/events", json={"query": "lake"})).json()
        assert [hit["excerpt"] for hit in events["results"]] == ["[user] where is the lake"]


async def test_nobody_reaches_into_another_vault(tmp_path: Path) -> None:
    """Whatever is written into a request: only the caller's own notes are there; without a caller nothing is."""
    async with open_client(tmp_path) as client:
        for target in ("secret", "/secret.md", "vault:bob/secret", "../vault:bob/secret"):
            answer = await client.post("/v1/memory/traverse", json={"target": target})
            assert (answer.status_code, answer.json()["code"]) == (404, "lago.note_not_found")
        assert (await client.get("/v1/memory/note/secret")).status_code == 404
        del client.headers["x-subject"]
        for method, path in (("POST", "search"), ("GET", "lint"), ("GET", "note/lake"), ("POST", "events")):
            assert (await client.request(method, f"/v1/memory/{path}")).status_code == 401


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("search", "{}"),
        ("search", "not json"),
        ("search", '{"query": 1}'),
        ("search", '{"query": "x", "max_results": 0}'),
        ("search", '{"query": "x", "max_results": 101}'),
        ("search", '{"query": "x", "session_id": "vault:bob"}'),
        ("search", '{"query": "x", "mode": "sql"}'),
        ("search", json.dumps({"query": "x" * 2001})),
        ("search", '"' + "x" * 70_000 + '"'),
        ("traverse", '{"target": "lake", "depth": 17}'),
        ("traverse", '{"target": "lake", "max_notes": 1001}'),
        ("context", '{"query": "x", "budget_tokens": 0}'),
        ("context", '{"query": "x", "budget_tokens": 200001}'),
        ("events", '{"query": "x", "max_results": -1}'),
    ],
)
async def test_what_can_not_be_right_is_refused(tmp_path: Path, path: str, body: str) -> None:
    """One clear error, no traceback."""
    async with open_client(tmp_path) as client:
        answer = await client.post(f"/v1/memory/{path}", content=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "life.invalid_input")


def test_the_routes_describe_themselves() -> None:
    """Each has a schema of its answer and a scope."""

    async def nobody(_: Request) -> Vault:
        raise NobodyError("Who are you?")

    operations = knowledge_operations(nobody)
    document = json.loads(openapi_document("memory", operations))
    assert set(document["paths"]) == {
        "/v1/memory/search",
        "/v1/memory/traverse",
        "/v1/memory/note/{name}",
        "/v1/memory/lint",
        "/v1/memory/context",
    }
    assert {operation.scope for operation in operations} == {"knowledge:read"}
