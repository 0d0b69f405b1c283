"""The doors on the daemon: tokens in every vendor's way, errors in every vendor's shape, webhooks across a restart."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from life.host.access import Access
from life.host.arcand import open_application
from life.host.doors import WEBHOOK_KEY
from life.host.system import open_system
from life.testing.clock import SeededEntropy

TOKEN = "t" * 43
HOST = "127.0.0.1:3000"
BEARER = {"authorization": f"Bearer {TOKEN}"}
CHAT = {"model": "life", "messages": [{"role": "user", "content": "write a.txt: hello"}]}
MESSAGES = {**CHAT, "max_tokens": 9}


@asynccontextmanager
async def daemon(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    environment = {"LIFE_KEY_FILE": str(tmp_path / "key" / "identity.key")}
    async with open_system(tmp_path / "life", environment=environment) as system:
        access = Access(TOKEN, system.clock, SeededEntropy())
        async with (
            open_application(system, access, TOKEN, hosts=[HOST], environment={}) as app,
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=f"http://{HOST}") as client,
        ):
            yield client


async def test_each_vendors_key_opens_its_door(tmp_path: Path) -> None:
    """`Authorization: Bearer` everywhere, `x-api-key` for Anthropic's clients; the agent works."""
    async with daemon(tmp_path) as client:
        chat = await client.post("/v1/chat/completions", json=CHAT, headers=BEARER)
        assert chat.status_code == 200 and "a.txt" in chat.json()["choices"][0]["message"]["content"]
        messages = await client.post("/v1/messages", json=MESSAGES, headers={"x-api-key": TOKEN})
        assert messages.status_code == 200 and messages.json()["type"] == "message"
        models = await client.get("/v1/models", headers=BEARER)
        assert [model["id"] for model in models.json()["data"]] == ["life"]


async def test_without_a_token_every_door_is_closed(tmp_path: Path) -> None:
    """401 in the vendor's shape where there is one; a foreign page's Origin is refused."""
    async with daemon(tmp_path) as client:
        refused = await client.post("/v1/chat/completions", json=CHAT)
        assert (refused.status_code, refused.json()["error"]["type"]) == (401, "authentication_error")
        refused = await client.post("/v1/messages", json=MESSAGES, headers={"x-api-key": "wrong"})
        assert (refused.status_code, refused.json()["error"]["type"]) == (401, "authentication_error")
        for method, path in (
            ("POST", "/v1/responses"),
            ("GET", "/v1/models"),
            ("POST", "/ai-sdk/chat"),
            ("POST", "/ag-ui/runs"),
            ("GET", "/webhooks"),
            ("POST", "/webhooks"),
        ):
            assert (await client.request(method, path, json={})).status_code == 401, path
            foreign = await client.request(method, path, json={}, headers=BEARER | {"origin": "https://evil.example"})
            assert foreign.status_code == 403, path


async def test_errors_of_unknown_routes_and_methods(tmp_path: Path) -> None:
    """Also what no handler saw has the vendor's shape; other routes keep problem details."""
    async with daemon(tmp_path) as client:
        wrong = await client.get("/v1/chat/completions", headers=BEARER)
        assert wrong.status_code == 405 and "error" in wrong.json()
        missing = await client.get("/v1/responses/resp_none", headers=BEARER)
        assert missing.status_code == 404 and missing.json()["error"]["code"] == "arcan.run_not_found"
        plain = await client.get("/webhooks/none/deliveries", headers=BEARER)
        assert plain.json()["code"] == "arcan.webhook_not_found"


async def test_webhooks_over_http(tmp_path: Path) -> None:
    """The secret is shown once; private targets are refused; the subscription is there after a restart, its key file is 0600."""
    async with daemon(tmp_path) as client:
        made = await client.post("/webhooks", json={"url": "https://hooks.invalid/x"}, headers=BEARER)
        assert made.status_code == 201 and made.json()["secret"].startswith("whsec_")
        webhook_id = made.json()["webhook_id"]
        refused = await client.post("/webhooks", json={"url": "https://127.0.0.1/"}, headers=BEARER)
        assert (refused.status_code, refused.json()["code"]) == (400, "arcan.webhook_target")
        assert (await client.post("/webhooks", json={"url": "https://x", "e": 1}, headers=BEARER)).status_code == 400
    async with daemon(tmp_path) as client:
        listed = (await client.get("/webhooks", headers=BEARER)).json()
        assert [each["webhook_id"] for each in listed] == [webhook_id] and "secret" not in listed[0]
        rotated = await client.post(f"/webhooks/{webhook_id}/rotate", headers=BEARER)
        assert rotated.json()["secret"] != made.json()["secret"]
        assert (await client.delete(f"/webhooks/{webhook_id}", headers=BEARER)).status_code == 204
        assert (await client.get("/webhooks", headers=BEARER)).json() == []
    assert (tmp_path / "life" / WEBHOOK_KEY).stat().st_mode & 0o777 == 0o600


async def test_the_document_lists_every_door(tmp_path: Path) -> None:
    """OpenAPI has the paths, and the stream's formats."""
    async with daemon(tmp_path) as client:
        paths = (await client.get("/openapi.json", headers=BEARER)).json()["paths"]
    doors = {"/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/models", "/ai-sdk/chat", "/ag-ui/runs"}
    assert doors | {"/webhooks", "/webhooks/{webhook_id}"} <= set(paths)
    assert "ai_sdk_v7" in json.dumps(paths["/sessions/{session_id}/events/stream"])


@pytest.mark.parametrize("format_", ["openai", "anthropic", "ai_sdk_v6", "ai_sdk_v7"])
async def test_a_run_in_every_format_over_the_daemon(tmp_path: Path, format_: str) -> None:
    """The stream of a finished run ends by itself."""
    async with daemon(tmp_path) as client:
        run = (await client.post("/sessions/s/runs", json={"objective": "hello"}, headers=BEARER)).json()["run_id"]
        told = await client.get(f"/sessions/s/events/stream?format={format_}&run={run}", headers=BEARER)
        assert told.status_code == 200 and told.text
        if format_.startswith("ai_sdk"):
            assert told.headers["x-vercel-ai-ui-message-stream"] == "v1"
