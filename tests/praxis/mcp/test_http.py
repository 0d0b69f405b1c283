"""The door over HTTP: Host, Origin, token, metadata, limits, and whose session it is (praxis.md §12.9)."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from life.praxis.mcp.http import MAX_BODY_BYTES
from tests.praxis.mcp.served import TOKEN, bearer, over_http, served

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


@pytest.mark.parametrize("era", ["legacy", "auto"])
async def test_an_official_client_lists_and_calls(tmp_path: Path, era: str) -> None:
    """Both eras, with our token."""
    async with served(tmp_path) as parts, over_http(parts.server) as address, bearer() as http:
        async with Client(streamable_http_client(f"{address}/mcp", http_client=http), mode=era) as client:
            assert (await client.list_tools()).tools
            assert not (await client.call_tool("list_dir", {"path": "."})).is_error
            assert client.protocol_version == ("2025-11-25" if era == "legacy" else "2026-07-28")


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer a.b.c"]
)
async def test_no_token_is_401_and_says_where_to_look(tmp_path: Path, authorization: str | None) -> None:
    """The challenge names the protected-resource metadata (RFC 9728 §5.1), and the metadata is there without a token."""
    async with served(tmp_path) as parts, over_http(parts.server) as address, httpx2.AsyncClient() as http:
        headers = ACCEPT if authorization is None else {**ACCEPT, "Authorization": authorization}
        answer = await http.post(f"{address}/mcp", json=INITIALIZE, headers=headers)
        assert answer.status_code == 401
        where = f'resource_metadata="{address}/.well-known/oauth-protected-resource/mcp"'
        assert where in answer.headers["www-authenticate"]
        metadata = (await http.get(f"{address}/.well-known/oauth-protected-resource/mcp")).json()
        assert metadata["resource"] == f"{address}/mcp"
        assert metadata["authorization_servers"] == ["https://auth.example"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Origin": "http://127.0.0.1:1"},
    ],
)
async def test_a_foreign_origin_or_host_is_403_even_with_a_token(tmp_path: Path, headers: dict[str, str]) -> None:
    """A page elsewhere, or a name that was rebound to loopback, gets nothing."""
    async with served(tmp_path) as parts, over_http(parts.server) as address, bearer() as http:
        answer = await http.post(f"{address}/mcp", json=INITIALIZE, headers={**ACCEPT, **headers})
        assert answer.status_code == 403
        assert (
            await http.post(f"{address}/mcp", json=INITIALIZE, headers={**ACCEPT, "Origin": address})
        ).status_code == 200


async def test_large_bodies_other_paths_and_stolen_sessions_are_refused(tmp_path: Path) -> None:
    """413 beyond the limit, 404 elsewhere and for a session that is not there, 400 for nonsense; the server stays up."""
    async with served(tmp_path) as parts, over_http(parts.server) as address, bearer() as http:
        large = await http.post(
            f"{address}/mcp",
            content=b"[" * (MAX_BODY_BYTES + 1),
            headers={**ACCEPT, "Content-Type": "application/json"},
        )
        assert large.status_code == 413
        assert (await http.get(f"{address}/other")).status_code == 404
        stolen = {**ACCEPT, "Mcp-Session-Id": "0" * 32}
        assert (
            await http.post(f"{address}/mcp", json={**INITIALIZE, "method": "ping"}, headers=stolen)
        ).status_code == 404
        nonsense = await http.post(
            f"{address}/mcp", content=b"{", headers={**ACCEPT, "Content-Type": "application/json"}
        )
        assert nonsense.status_code == 400
        assert (await http.post(f"{address}/mcp", json=INITIALIZE, headers=ACCEPT)).status_code == 200
