"""Signing a person in at an MCP server: a listener on loopback for the browser's way back, and the SDK's OAuth flow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp.client.auth import AuthorizationCodeResult

from life.host.clock import SystemClock
from life.host.mcp_clients import REDIRECT_PORT, redirect_uri
from life.praxis.errors import McpSignInError
from life.praxis.mcp.config import ServerConfig
from life.praxis.mcp.connection import ServerConnection
from life.praxis.mcp.sign_in import REDIRECT_PATH, oauth, token_file

PATIENCE_S: Final = 300
_MAX_REQUEST_BYTES: Final = 16 * 1024


async def sign_in(server: ServerConfig, folder: Path, *, show: Callable[[str], None]) -> None:
    """Go through the flow and leave the tokens in the server's file. McpSignInError, McpUnavailableError."""
    if not server.oauth or server.url is None:
        raise McpSignInError(f'The entry of {server.name} does not say "oauth": true.')
    arrived: asyncio.Future[AuthorizationCodeResult] = asyncio.get_running_loop().create_future()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(10):
                line = await reader.readuntil(b"\r\n")
            words = "Nothing was expected here."
            target = urlsplit(line.decode("latin-1").split(" ")[1])
            given = parse_qs(target.query)
            if target.path == REDIRECT_PATH and not arrived.done():
                if "code" in given:
                    arrived.set_result(
                        AuthorizationCodeResult(
                            code=given["code"][0], state=given.get("state", [None])[0], iss=given.get("iss", [None])[0]
                        )
                    )
                    words = "You are signed in. This page may be closed."
                else:
                    reason = given.get("error", ["no code"])[0][:100]
                    arrived.set_exception(McpSignInError(f"The authorization server refused: {reason}."))
                    words = "Signing in was refused."
            body = f"<!doctype html><title>Life</title><p>{words}</p>".encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
            await writer.drain()
        except (OSError, ValueError, IndexError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever knocked was not the browser
        finally:
            writer.close()

    async def open_browser(url: str) -> None:
        show(url)

    async def wait_for_code() -> AuthorizationCodeResult:
        return await arrived

    def auth_of(config: ServerConfig) -> httpx2.Auth:
        storage = token_file(folder, config, SystemClock())
        return oauth(
            config, storage, redirect_uri=redirect_uri(), open_browser=open_browser, wait_for_code=wait_for_code
        )

    try:
        listener = await asyncio.start_server(answer, "127.0.0.1", REDIRECT_PORT, limit=_MAX_REQUEST_BYTES)
    except OSError as error:
        raise McpSignInError(f"Port {REDIRECT_PORT} is needed for the browser's way back: {error.strerror}.") from None
    patient = ServerConfig(
        name=server.name,
        entry=server.entry,
        url=server.url,
        headers=server.headers,
        start_timeout_s=PATIENCE_S,
        oauth=True,
    )
    connection = ServerConnection(patient, clock=SystemClock(), environment={}, auth_of=auth_of)
    async with listener:
        try:
            await connection.list_tools()
        finally:
            await connection.aclose()
            if arrived.done() and not arrived.cancelled():
                arrived.exception()
