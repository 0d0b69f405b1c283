"""The MCP server over streamable HTTP: who may come in, and where their calls belong.

    async with http_application(server, door_keeper, hosts=…, resource="http://127.0.0.1:3100/mcp") as app: …

Checked in this order, before anything is read: the address (`/mcp`), Host and Origin (403: a page elsewhere, DNS rebinding),
then the bearer token (401, with the address of the protected-resource metadata). The metadata of RFC 9728 stands at
`/.well-known/oauth-protected-resource/mcp`, and names the authorization servers that the operator configured. A session
belongs to the principal that began it (the SDK compares them on every request).

Source: MCP 2026-07-28 basic/authorization and basic/transports; RFC 9728 §3; praxis.md §7, §12.9.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from life.praxis.mcp.doors import LOCAL_CALLER, Caller
from life.praxis.mcp.server import McpServer

PATH: Final = "/mcp"
METADATA_PATH: Final = "/.well-known/oauth-protected-resource"
SCOPE: Final = "mcp"
SESSION_IDLE_S: Final = 1_800
MAX_SESSIONS: Final = 256
MAX_BODY_BYTES: Final = 4 * 1024 * 1024

_CALLER_KEY: Final = "life.mcp.caller"

DoorKeeper = Callable[[str], Awaitable[Caller | None]]
"""Who stands behind a bearer token; None: nobody."""


def caller_of(request: object) -> Caller:
    """Who stands behind a request of an application made here; without one (stdio) whoever started us."""
    if not isinstance(request, Request):
        return LOCAL_CALLER
    caller = request.scope[_CALLER_KEY]
    assert isinstance(caller, Caller)
    return caller


@asynccontextmanager
async def http_application(
    server: McpServer,
    door_keeper: DoorKeeper,
    *,
    hosts: Sequence[str],
    origins: Sequence[str] = (),
    resource: str,
    authorization_servers: Sequence[str] = (),
) -> AsyncIterator[ASGIApp]:
    """The ASGI application. `hosts` are the Host values under which we are known; `origins` the foreign pages that may
    come in besides our own; `resource` is our address as clients know it."""
    own = {f"{scheme}://{host}" for host in hosts for scheme in ("http", "https")}
    manager = StreamableHTTPSessionManager(
        server.protocol,
        security_settings=TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=list(hosts),
            allowed_origins=sorted(own | set(origins)),
        ),
        session_idle_timeout=SESSION_IDLE_S,
        max_sessions=MAX_SESSIONS,
        max_request_body_size=MAX_BODY_BYTES,
    )
    metadata: dict[str, object] = {
        "resource": resource,
        "resource_name": "Life",
        "bearer_methods_supported": ["header"],
        "scopes_supported": [SCOPE],
    }
    if authorization_servers:
        metadata["authorization_servers"] = list(authorization_servers)
    parts = urlsplit(resource)
    metadata_url = f"{parts.scheme}://{parts.netloc}{METADATA_PATH}{parts.path}"
    async with manager.run():
        yield _Entrance(
            manager.handle_request,
            door_keeper,
            hosts=frozenset(host.lower() for host in hosts),
            origins=frozenset(origin.lower() for origin in own | set(origins)),
            metadata=json.dumps(metadata).encode(),
            metadata_url=metadata_url,
        )


class _Entrance:
    """Host, Origin and token before the protocol."""

    def __init__(
        self,
        inner: ASGIApp,
        door_keeper: DoorKeeper,
        *,
        hosts: frozenset[str],
        origins: frozenset[str],
        metadata: bytes,
        metadata_url: str,
    ) -> None:
        self._inner = inner
        self._door_keeper = door_keeper
        self._hosts = hosts
        self._origins = origins
        self._metadata = metadata
        self._metadata_url = metadata_url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        # RFC 9110 §5.5: blanks around a value are no part of it; not every HTTP parser takes them off.
        scope = {**scope, "headers": [(name, value.strip(b" \t")) for name, value in scope["headers"]]}
        headers = [(name.lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        if not self._is_ours(headers):
            await _problem(send, 403, "praxis.mcp_forbidden", "This Host or Origin is not one of this server's.")
            return
        path = scope["path"]
        if path in (METADATA_PATH, METADATA_PATH + PATH) and scope["method"] == "GET":
            await _answer(send, 200, self._metadata, [])
            return
        if path != PATH:
            await _problem(send, 404, "praxis.mcp_not_found", f"The server's address is {PATH}.")
            return
        caller = await self._admitted(headers)
        if caller is None:
            challenge = f'Bearer resource_metadata="{self._metadata_url}", scope="{SCOPE}"'
            if any(name == b"authorization" for name, _ in headers):
                challenge += ', error="invalid_token"'
            await _problem(
                send, 401, "praxis.mcp_unauthorized", "A bearer token is needed.", [(b"www-authenticate", challenge)]
            )
            return
        principal = AccessToken(token="", client_id=caller.name, scopes=[SCOPE], subject=caller.owner)
        user = AuthenticatedUser(principal)
        await self._inner({**scope, "user": user, _CALLER_KEY: caller}, receive, send)

    def _is_ours(self, headers: list[tuple[bytes, str]]) -> bool:
        """Exactly one Host, a known one; no Origin, or a known one."""
        hosts = [value.lower() for name, value in headers if name == b"host"]
        origins = [value.lower() for name, value in headers if name == b"origin"]
        return len(hosts) == 1 and hosts[0] in self._hosts and all(origin in self._origins for origin in origins)

    async def _admitted(self, headers: list[tuple[bytes, str]]) -> Caller | None:
        given = [value for name, value in headers if name == b"authorization"]
        if len(given) != 1:
            return None
        scheme, _, token = given[0].partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return None
        return await self._door_keeper(token.strip())


async def _problem(send: Send, status: int, code: str, words: str, headers: Sequence[tuple[bytes, str]] = ()) -> None:
    body = json.dumps({"type": "about:blank", "title": words, "status": status, "code": code}).encode()
    extra = [(name, value.encode("latin-1")) for name, value in headers]
    await _answer(send, status, body, [*extra, (b"content-type", b"application/problem+json")])


async def _answer(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    named = {name for name, _ in headers}
    if b"content-type" not in named:
        headers = [*headers, (b"content-type", b"application/json")]
    headers = [*headers, (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
