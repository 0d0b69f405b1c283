"""What a daemon serves of Spaces: the WebSocket, SpacetimeDB's clients, how it is doing, and the operator's kick.

    GET  /v1/spaces/ws                    the WebSocket: JSON frames; logs in with the daemon's token or an agent's
    POST /v1/identity/websocket-token     SpacetimeDB's clients (life.spaces.listeners.spacetimedb): they show agent tokens
    *    /v1/database/spaces/…
    GET  /v1/spaces/status                for the operator: position, sessions, subscriptions, connections
    POST /v1/spaces/kick                  for the operator: {"identity": "…", "reason": "…"} ends every session of an identity

The first three check tokens themselves, so they stand beside the daemon's guard; Host and Origin are checked for them here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from life.aios.errors import InvalidInputError
from life.aios.ports.http import Operation
from life.host.errors import ForbiddenError
from life.host.http.problem import EXCEPTION_HANDLERS, UnexpectedErrors, problem_response
from life.host.spaces import OpenSpaces
from life.spaces.listeners.spacetimedb.messages import MAX_FRAME_BYTES as CLIENT_FRAME_BYTES
from life.spaces.listeners.websocket.frames import MAX_FRAME_BYTES as SOCKET_FRAME_BYTES

SOCKET_PATH: Final = "/v1/spaces/ws"
STATUS_PATH: Final = "/v1/spaces/status"
KICK_PATH: Final = "/v1/spaces/kick"
MAX_FRAME_BYTES: Final = max(CLIENT_FRAME_BYTES, SOCKET_FRAME_BYTES)
"""What the server has to take; each listener has its own limit within it."""
_CLIENT_PATHS: Final = ("/v1/identity/", "/v1/database/")
_CLIENT_PATH: Final = frozenset({"/v1/identity", "/v1/ping"})
_MAX_BODY_BYTES: Final = 4096

ApiOperation = Operation[Request, Response]


class SpacesStatus(msgspec.Struct, frozen=True):
    """How Spaces is doing."""

    ready: bool
    position: int
    exported: int
    """Up to which position the journal has everything."""
    sessions: int
    subscriptions: int
    connections: int
    """Over the WebSocket."""
    clients: int
    """SpacetimeDB's."""
    accepted: int
    refused: int


class KickRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose sessions end."""

    identity: str
    reason: str = "kicked"


class Kicked(msgspec.Struct, frozen=True):
    """So many sessions were ended."""

    sessions: int


def admits(hosts: Sequence[str]) -> Callable[[Scope], bool]:
    """Whether a request or handshake is for one of our names and from none but our own pages."""
    names = frozenset(host.lower() for host in hosts)
    origins = frozenset(f"{scheme}://{host}" for host in names for scheme in ("http", "https"))

    def check(scope: Scope) -> bool:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        return headers.get("host", "").lower() in names and (origin is None or origin.lower() in origins)

    return check


class BesideSpaces:
    """An application with the listeners of Spaces beside it: they get what is theirs, the application everything else."""

    def __init__(self, app: ASGIApp, spaces: OpenSpaces, *, hosts: Sequence[str]) -> None:
        self.app = app
        self._door = spaces.door
        self._admits = admits(hosts)
        clients = Starlette(routes=spaces.clients.routes(), exception_handlers=EXCEPTION_HANDLERS)
        clients.router.redirect_slashes = False
        self._clients = UnexpectedErrors(clients)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        if scope["type"] == "websocket":
            await self._connect(scope, receive, send)
        elif scope["type"] == "http" and _is_clients(scope["path"]):
            if self._admits(scope):
                await self._clients(scope, receive, send)
            else:
                refusal = ForbiddenError("This daemon does not answer to that Host name or Origin.")
                await problem_response(refusal)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == SOCKET_PATH:
            await self._door(scope, receive, send)
        elif _is_clients(scope["path"]) and self._admits(scope):
            await self._clients(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1008})


def _is_clients(path: str) -> bool:
    return path in _CLIENT_PATH or path.startswith(_CLIENT_PATHS)


def spaces_operations(spaces: OpenSpaces) -> list[ApiOperation]:
    """What the operator may ask and do. The routes belong behind the daemon's guard; they name no scope, so agents and users may not."""

    async def status(_: Request) -> Response:
        engine = await spaces.engine.health()
        body = SpacesStatus(
            engine.ready,
            engine.position,
            spaces.export.position,
            engine.sessions,
            engine.subscriptions,
            len(spaces.door),
            spaces.clients.connections,
            int(engine.detail.get("accepted", 0)),
            int(engine.detail.get("refused", 0)),
        )
        return _json(body)

    async def kick(request: Request) -> Response:
        wanted = await _kick_request(request)
        return _json(Kicked(await spaces.kick(wanted.identity, reason=wanted.reason)))

    return [
        Operation("GET", STATUS_PATH, "How Spaces is doing", status, None, SpacesStatus),
        Operation("POST", KICK_PATH, "End every session of an identity", kick, KickRequest, Kicked, errors=(400,)),
    ]


async def _kick_request(request: Request) -> KickRequest:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise InvalidInputError("The body is too large.")
    try:
        wanted = msgspec.json.decode(bytes(body), type=KickRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"The body does not fit: {error}.") from None
    if not wanted.reason or len(wanted.reason) > 100 or not wanted.reason.isprintable():
        raise InvalidInputError("A reason has 1 to 100 printable characters.")
    return wanted


def _json(value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), 200, {"cache-control": "no-store"}, "application/json")
