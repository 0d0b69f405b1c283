"""OAuth with the SDK's own authorization server: signing in once, refreshing, and tokens that stay private (praxis.md §8)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from life.host.clock import SystemClock
from life.host.mcp_sign_in import sign_in
from life.praxis.errors import McpSignInError, McpTrustError, McpUnavailableError
from life.praxis.mcp.config import ServerConfig
from life.praxis.mcp.connection import ServerConnection
from life.praxis.mcp.sign_in import TokenFile, oauth, token_file
from tests.peers.processes import Peer, python


@pytest.fixture(scope="module")
def guarded() -> Iterator[Peer]:
    """A server that wants OAuth."""
    with Peer.start(python("mcp_oauth_server")) as peer:
        yield peer


def config(address: str, **members: object) -> ServerConfig:
    """Its entry."""
    return ServerConfig(name="g", entry=b"{}", url=f"{address}/mcp", oauth=True, **members)  # type: ignore[arg-type]


def connection(server: ServerConfig, folder: Path) -> ServerConnection:
    """A connection as a daemon makes it: nobody can be asked to sign in."""
    return ServerConnection(
        server,
        clock=SystemClock(),
        environment={},
        auth_of=lambda each: oauth(
            each, token_file(folder, each, SystemClock()), redirect_uri="http://127.0.0.1:33418/callback"
        ),
    )


async def browse(url: str) -> None:
    """The person's browser."""
    async with httpx2.AsyncClient(follow_redirects=True) as browser:
        answer = await browser.get(url)
        assert "You are signed in" in answer.text


async def test_a_person_signs_in_once_and_tokens_are_refreshed(guarded: Peer, tmp_path: Path) -> None:
    """Without signing in nothing is called; then the flow leaves private tokens, which work and are refreshed when they end."""
    server = config(guarded.url)
    before = connection(server, tmp_path)
    with pytest.raises(McpUnavailableError, match="sign in"):
        await before.list_tools()
    await before.aclose()
    browsing: list[asyncio.Task[None]] = []
    await sign_in(server, tmp_path, show=lambda url: browsing.append(asyncio.create_task(browse(url))))
    await asyncio.gather(*browsing)
    file = tmp_path / "g.json"
    assert file.stat().st_mode & 0o777 == 0o600
    first = file.read_text()
    after = connection(server, tmp_path)
    try:
        assert "secret" in await after.list_tools()
        await asyncio.sleep(2.2)  # the access token ends on the wall clock of the other process
        assert "forty-two for 1 client" in str((await after.call("secret", {})).content)
    finally:
        await after.aclose()
    assert file.read_text() != first  # another access token


async def test_tokens_belong_to_an_address(tmp_path: Path) -> None:
    """The same name at another address starts with nothing, and a damaged or readable file is an error."""
    file = TokenFile(tmp_path / "g.json", "https://a/", SystemClock())
    assert await file.get_tokens() is None
    (tmp_path / "g.json").write_text('{"url":"https://a/","tokens":{"access_token":"t","token_type":"Bearer"}}')
    (tmp_path / "g.json").chmod(0o600)
    tokens = await file.get_tokens()
    assert tokens is not None and tokens.access_token == "t"
    assert await TokenFile(tmp_path / "g.json", "https://b/", SystemClock()).get_tokens() is None
    assert "access_token" not in repr(file)
    (tmp_path / "g.json").chmod(0o640)
    with pytest.raises(McpTrustError):
        await file.get_tokens()
    (tmp_path / "g.json").chmod(0o600)
    (tmp_path / "g.json").write_text("{")
    with pytest.raises(McpTrustError):
        await file.get_tokens()


async def test_an_entry_without_oauth_is_not_signed_in_at(tmp_path: Path) -> None:
    """The person says in the file which server wants it."""
    plain = ServerConfig(name="g", entry=b"{}", url="http://127.0.0.1:9/mcp")
    with pytest.raises(McpSignInError, match="oauth"):
        await sign_in(plain, tmp_path, show=lambda _: None)


async def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    """Nothing listens: nothing was sent, and the error says so."""
    away = ServerConnection(
        ServerConfig(name="g", entry=b"{}", url="http://127.0.0.1:9/mcp"), clock=SystemClock(), environment={}
    )
    with pytest.raises(McpUnavailableError):
        await away.list_tools()
    await away.aclose()
