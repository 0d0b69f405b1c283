"""The routes of SpacetimeDB's clients: tokens, the WebSocket, one-off calls over HTTP, and what the module looks like.

    POST /v1/identity/websocket-token            an agent token for a ticket of 30 seconds that works once
    GET  /v1/database/{name}/subscribe           the WebSocket: v2 and v3, none and gzip; `?token=<ticket>`, or Authorization
    POST /v1/database/{name}/call/{reducer}      arguments as a JSON array
    POST /v1/database/{name}/sql                 one query as text
    GET  /v1/database/{name}/schema              the module's description
    GET  /v1/database/{name}/bindings.js         bindings for npm spacetimedb
    GET  /v1/ping

The bearer is an agent token of Life (ES256, did:key). It is used once: each connection takes a fresh one. A connection lasts as long as its
session's lease; `POST /v1/identity/websocket-token?connection=<id>` with a fresh token of the same identity prolongs it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import Final, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from life.aios.errors import LifeError
from life.aios.ports.clock import Clock, Entropy
from life.spaces.engine.port import Session
from life.spaces.errors import InvalidArgumentError, RateLimitedError, SpacesError, UnauthenticatedError
from life.spaces.export import TRACEPARENT
from life.spaces.listeners.spacetimedb.connection import SEND_TIMEOUT_US, ClientGoneError, Connection, Engine
from life.spaces.listeners.spacetimedb.errors import MalformedMessageError, UnsupportedRequestError
from life.spaces.listeners.spacetimedb.messages import MAX_FRAME_BYTES, V2, V3, Compression
from life.spaces.listeners.spacetimedb.schema import bindings, module_definition
from life.spaces.listeners.spacetimedb.sql import parse
from life.spaces.listeners.spacetimedb.types import TABLES_SEEN, call_from_json
from life.spaces.model import Row, table_name
from life.spaces.queries import Rows

TICKET_US: Final = 30_000_000
MAX_TICKETS: Final = 4096
MAX_CONNECTIONS: Final = 4096
MAX_BODY_BYTES: Final = 131_072
_COMPRESSIONS: Final[dict[str, Compression]] = {"None": "none", "Gzip": "gzip", "Brotli": "none"}
_REDUCER_FAILED: Final = 530
"""The status of SpacetimeDB for a reducer that refused."""
_log: Final = logging.getLogger("life.spaces.spacetimedb")


class _Ticket(NamedTuple):
    session: Session
    until_us: int


class SpacetimeDbListener:
    """The routes over one engine. Close it with `aclose`. Serve it with a frame limit of MAX_FRAME_BYTES (uvicorn: `ws_max_size`)."""

    def __init__(
        self,
        engine: Engine,
        *,
        clock: Clock,
        entropy: Entropy,
        database: str = "spaces",
        send_timeout_us: int = SEND_TIMEOUT_US,
    ) -> None:
        """`database` is the module's name in the addresses. `send_timeout_us`: how long one write to a client may take; then it is
        let go."""
        self._send_timeout_us = send_timeout_us
        self._engine = engine
        self._clock = clock
        self._entropy = entropy
        self._database = database
        self._tickets: dict[str, _Ticket] = {}
        self._open: dict[str, Connection] = {}

    def routes(self) -> list[BaseRoute]:
        """For a Starlette application."""
        place = "/v1/database/{name}"
        return [
            Route("/v1/ping", self.ping, methods=["GET"]),
            Route("/v1/identity", self.no_identity, methods=["POST"]),
            Route("/v1/identity/websocket-token", self.ticket, methods=["POST"]),
            WebSocketRoute(f"{place}/subscribe", self.subscribe),
            Route(f"{place}/call/{{reducer}}", self.call, methods=["POST"]),
            Route(f"{place}/sql", self.sql, methods=["POST"]),
            Route(f"{place}/schema", self.schema, methods=["GET"]),
            Route(f"{place}/bindings.js", self.bindings, methods=["GET"]),
        ]

    @property
    def connections(self) -> int:
        """How many clients are here."""
        return len(self._open)

    async def aclose(self) -> None:
        """End every connection and forget the tickets."""
        sessions = [connection.session for connection in self._open.values()]
        sessions += [ticket.session for ticket in self._tickets.values()]
        self._tickets.clear()
        for session in sessions:
            await self._engine.logout(session)

    # ---- HTTP

    async def ping(self, _: Request) -> Response:
        """GET /v1/ping"""
        return Response(status_code=200)

    async def no_identity(self, _: Request) -> Response:
        """POST /v1/identity: identities are not given out."""
        return _refusal(UnsupportedRequestError("Identities are agents' own: connect with an agent token."))

    async def ticket(self, request: Request) -> Response:
        """POST /v1/identity/websocket-token"""
        try:
            token = _bearer(request)
            known = request.query_params.get("connection")
            if known is not None:
                connection = self._open.get(known)
                if connection is None:
                    raise InvalidArgumentError("There is no such connection.")
                await self._engine.renew(connection.session, token)
                return _json({"token": ""})
            await self._forget_old()
            if len(self._tickets) >= MAX_TICKETS:
                raise RateLimitedError("Too many tickets are out.", retry_after_ms=TICKET_US // 1000)
            session = await self._engine.login(token)
        except LifeError as error:
            return _refusal(error)
        made = self._entropy.token_bytes(32).hex()
        self._tickets[_kept(made)] = _Ticket(session, self._clock.monotonic_us() + TICKET_US)
        return _json({"token": made})

    async def call(self, request: Request) -> Response:
        """POST /v1/database/{name}/call/{reducer}"""
        session: Session | None = None
        try:
            self._check_name(request.path_params["name"])
            arguments = _read(await _body(request))
            if not isinstance(arguments, list):
                raise InvalidArgumentError("The body is a JSON array of arguments.")
            command = call_from_json(request.path_params["reducer"], arguments)
            session = await self._engine.login(_bearer(request))
            trace = request.headers.get("traceparent", "")
            await self._engine.submit(command, session.caller, trace_id=trace if TRACEPARENT.fullmatch(trace) else None)
        except LifeError as error:
            refused = error.status if error.status in (400, 401, 404, 429) or session is None else _REDUCER_FAILED
            return _refusal(error, refused)
        finally:
            if session is not None:
                await self._engine.logout(session)
        return Response(status_code=200)

    async def sql(self, request: Request) -> Response:
        """POST /v1/database/{name}/sql: one query, its rows as objects"""
        session: Session | None = None
        try:
            self._check_name(request.path_params["name"])
            body = await _body(request)
            try:
                query = parse(body.decode())
            except UnicodeDecodeError:
                raise MalformedMessageError("The body is not UTF-8.") from None
            session = await self._engine.login(_bearer(request))
            found = await self._engine.query(Rows(tables=(query,)), session.caller)
        except LifeError as error:
            return _refusal(error)
        finally:
            if session is not None:
                await self._engine.logout(session)
        columns = [column.name for column in TABLES_SEEN[query.table].columns]
        return _json([{"columns": columns, "rows": [_values(row, columns) for row in found.rows]}])

    async def schema(self, request: Request) -> Response:
        """GET /v1/database/{name}/schema"""
        try:
            self._check_name(request.path_params["name"])
        except SpacesError as error:
            return _refusal(error)
        return Response(module_definition(), media_type="application/json")

    async def bindings(self, request: Request) -> Response:
        """GET /v1/database/{name}/bindings.js"""
        try:
            self._check_name(request.path_params["name"])
        except SpacesError as error:
            return _refusal(error)
        return Response(bindings(), media_type="text/javascript")

    # ---- WebSocket

    async def subscribe(self, websocket: WebSocket) -> None:
        """GET /v1/database/{name}/subscribe"""
        offered = websocket.scope.get("subprotocols", [])
        chosen = next((protocol for protocol in (V3, V2) if protocol in offered), None)
        session: Session | None = None
        try:
            self._check_name(websocket.path_params["name"])
            if chosen is None:
                raise UnsupportedRequestError(f"This server speaks {V3} and {V2}.")
            if len(self._open) >= MAX_CONNECTIONS:
                raise RateLimitedError("Too many clients are here.", retry_after_ms=5_000)
            session = await self._session_of(websocket)
            connection_id = _connection_id(websocket.query_params.get("connection_id"), self._entropy)
        except LifeError as error:
            if session is not None:
                await self._engine.logout(session)
            await websocket.send_denial_response(_refusal(error))
            return
        await self._serve(websocket, session, chosen, connection_id)

    async def _serve(self, websocket: WebSocket, session: Session, chosen: str, connection_id: bytes) -> None:
        await websocket.accept(subprotocol=chosen)
        name = connection_id[::-1].hex()
        connection = Connection(
            self._engine,
            session,
            _StarletteSocket(websocket),
            self._clock,
            connection_id=connection_id,
            several=chosen == V3,
            send_timeout_us=self._send_timeout_us,
            compression=_COMPRESSIONS.get(websocket.query_params.get("compression", "Gzip"), "none"),
        )
        self._open[name] = connection
        reason = ""
        try:
            reason = await connection.run()
        finally:
            if self._open.get(name) is connection:
                del self._open[name]
            await self._engine.logout(session)
            await _close(websocket, reason)

    async def _session_of(self, websocket: WebSocket) -> Session:
        ticket = websocket.query_params.get("token")
        if ticket is None:
            return await self._engine.login(_bearer(websocket))
        await self._forget_old()
        known = self._tickets.pop(_kept(ticket), None)
        if known is None or not known.session.is_open:
            raise UnauthenticatedError(
                "The ticket is unknown, was used, is older than 30 seconds, or its session was ended."
            )
        return known.session

    async def _forget_old(self) -> None:
        now_us = self._clock.monotonic_us()
        for name, ticket in list(self._tickets.items()):
            if ticket.until_us > now_us:
                return  # they stand in the order they were made
            if self._tickets.pop(name, None) is not None:
                await self._engine.logout(ticket.session)

    def _check_name(self, name: str) -> None:
        if name != self._database:
            raise InvalidArgumentError(f"The database here is called '{self._database}'.")


class _StarletteSocket:
    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> bytes | None:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            return None
        frame = message.get("bytes")
        if frame is None:
            raise MalformedMessageError("Frames of this protocol are binary.")
        if len(frame) > MAX_FRAME_BYTES:
            raise MalformedMessageError(f"A frame has at most {MAX_FRAME_BYTES} bytes.")
        return bytes(frame)

    async def send(self, frame: bytes) -> None:
        try:
            await self._websocket.send_bytes(frame)
        except (WebSocketDisconnect, RuntimeError):
            raise ClientGoneError from None


async def _close(websocket: WebSocket, reason: str) -> None:
    try:
        async with asyncio.timeout(5):
            await websocket.close(1008 if reason else 1000, reason.encode()[:120].decode(errors="ignore"))
    except (RuntimeError, TimeoutError, WebSocketDisconnect):
        pass  # it is gone


def _connection_id(text: str | None, entropy: Entropy) -> bytes:
    """The client's own 128-bit number, or a new one; little-endian."""
    if text is None:
        return entropy.token_bytes(16)
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != 16 or not any(raw):
        raise InvalidArgumentError("A connection id is 32 hex digits and not zero.")
    return raw[::-1]


def _bearer(request: Request | WebSocket) -> str:
    header = request.headers.get("authorization", "")
    if header[:7].lower() != "bearer " or len(header) > 8192:
        raise UnauthenticatedError("Show an agent token: Authorization: Bearer …")
    return header[7:].strip()


def _kept(ticket: str) -> str:
    return hashlib.sha256(ticket.encode()).hexdigest()


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise InvalidArgumentError(f"A body has at most {MAX_BODY_BYTES} bytes.")
    return bytes(body)


def _read(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedMessageError("The body is no JSON.") from None


def _values(row: Row, columns: list[str]) -> list[object]:
    assert table_name(row) in TABLES_SEEN
    return [getattr(row, name) for name in columns]


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), 200, {"cache-control": "no-store"}, "application/json")


def _refusal(error: LifeError, status: int | None = None) -> Response:
    code = error.word if isinstance(error, SpacesError) else error.code
    headers = {"cache-control": "no-store"} | ({"www-authenticate": "Bearer"} if error.status == 401 else {})
    return Response(f"{code}: {error.message}", status or error.status, headers, "text/plain")
