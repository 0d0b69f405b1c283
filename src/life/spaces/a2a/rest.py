"""The HTTP+JSON binding (A2A 1.0, "HTTP+JSON/REST Protocol Binding"): its routes under one prefix, and the public card.

Errors are google.rpc.Status in JSON: `{"error": {"code", "status", "message", "details"}}`.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import LifeError
from life.aios.json import Json
from life.aios.ports.http import Operation
from life.spaces.a2a.binding import (
    SCOPE,
    Parts,
    SseResponse,
    asked_of,
    begun,
    extension_headers,
    read_body,
    read_json,
    read_params,
)
from life.spaces.a2a.card import etag
from life.spaces.a2a.errors import (
    A2aError,
    ExtendedCardNotConfiguredError,
    InvalidParamsError,
    as_a2a,
    details_of,
)
from life.spaces.a2a.service import Asked
from life.spaces.a2a.wire import (
    CARD_PATH,
    MEDIA_TYPE,
    ListPushConfigsRequest,
    ListPushConfigsResponse,
    ListTasksRequest,
    ListTasksResponse,
    PushConfig,
    PushConfigRequest,
    SendMessageRequest,
    SendMessageResponse,
    StreamResponse,
    Task,
    TaskRequest,
)

CARD_AGE_S: Final = 300
"""How long a card may be kept by its readers."""
_ERRORS: Final = (400, 404)
_encode: Final = msgspec.json.Encoder().encode
_Handler = Callable[[Any, Request], Awaitable[Response]]


def _refusing(handler: _Handler) -> _Handler:
    """The handler, its errors in the binding's form."""

    @functools.wraps(handler)
    async def handled(self: object, request: Request) -> Response:
        try:
            return await handler(self, request)
        except LifeError as error:
            refused = as_a2a(error)
            return Response(_status(refused), refused.status, {"cache-control": "no-store"}, "application/json")

    return handled


class RestBinding:
    """The handlers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def operations(self, prefix: str) -> list[Operation[Request, Response]]:
        """The routes."""
        task, pushes = f"{prefix}/tasks/{{task_id}}", f"{prefix}/tasks/{{task_id}}/pushNotificationConfigs"
        push = f"{pushes}/{{config_id}}"
        made: list[Operation[Request, Response]] = [
            Operation(
                "POST", f"{prefix}/message:send", "Send a message", self.send, SendMessageRequest, SendMessageResponse
            ),
            _stream(
                "POST",
                f"{prefix}/message:stream",
                "Send a message, and follow its task",
                self.stream,
                SendMessageRequest,
            ),
            _stream("GET", f"{task}:subscribe", "Follow a task", self.subscribe),
            _stream("POST", f"{task}:subscribe", "Follow a task", self.subscribe),
            Operation("POST", f"{task}:cancel", "Cancel a task", self.cancel, None, Task),
            Operation("GET", task, "A task", self.get, None, Task),
            Operation("GET", f"{prefix}/tasks", "The caller's tasks", self.list, None, ListTasksResponse),
            Operation("POST", pushes, "Post a task's updates somewhere", self.create_push, PushConfig, PushConfig),
            Operation("GET", pushes, "Where they are posted", self.list_push, None, ListPushConfigsResponse),
            Operation("GET", push, "One of these", self.get_push, None, PushConfig),
            Operation("DELETE", push, "Post them there no more", self.delete_push),
            Operation("GET", f"{prefix}/extendedAgentCard", "The card for callers who are known", self.extended_card),
        ]
        return [item._replace(scope=SCOPE, errors=_ERRORS) for item in made]

    def public_operations(self) -> list[Operation[Request, Response]]:
        """The card, for everybody."""
        return [Operation("GET", CARD_PATH, "The agent card of A2A", self.card)]

    async def card(self, request: Request) -> Response:
        """GET /.well-known/agent-card.json"""
        document = self._parts.cards.public
        headers = {"etag": etag(document), "cache-control": f"public, max-age={CARD_AGE_S}"}
        if request.headers.get("if-none-match") == headers["etag"]:
            return Response(b"", 304, headers)
        return Response(document, 200, headers, "application/json")

    @_refusing
    async def extended_card(self, request: Request) -> Response:
        """GET …/extendedAgentCard"""
        asked = asked_of(request, self._parts)
        if self._parts.cards.extended is None:
            raise ExtendedCardNotConfiguredError("This agent has one card for everybody.")
        return _answer(msgspec.Raw(self._parts.cards.extended), asked)

    @_refusing
    async def send(self, request: Request) -> Response:
        """POST …/message:send"""
        asked = asked_of(request, self._parts)
        body = read_params(read_json(await read_body(request)), SendMessageRequest)
        return _answer(SendMessageResponse(task=await self._parts.service.send(body, asked)), asked)

    @_refusing
    async def stream(self, request: Request) -> Response:
        """POST …/message:stream"""
        asked = asked_of(request, self._parts)
        body = read_params(read_json(await read_body(request)), SendMessageRequest)
        return await _streamed(self._parts.service.stream(body, asked), asked)

    @_refusing
    async def subscribe(self, request: Request) -> Response:
        """GET …/tasks/{id}:subscribe"""
        asked = asked_of(request, self._parts)
        return await _streamed(self._parts.service.subscribe(TaskRequest(id=_task(request)), asked), asked)

    @_refusing
    async def get(self, request: Request) -> Response:
        """GET …/tasks/{id}"""
        asked = asked_of(request, self._parts)
        length = _number(request, "historyLength")
        return _answer(self._parts.service.get(TaskRequest(id=_task(request), history_length=length), asked), asked)

    @_refusing
    async def list(self, request: Request) -> Response:
        """GET …/tasks"""
        asked = asked_of(request, self._parts)
        query = request.query_params
        wanted: dict[str, Json] = {
            name: query[name]
            for name in ("contextId", "status", "pageToken", "statusTimestampAfter")
            if query.get(name)
        }
        wanted["pageSize"] = _number(request, "pageSize")
        wanted["historyLength"] = _number(request, "historyLength")
        wanted["includeArtifacts"] = query.get("includeArtifacts", "").lower() == "true"
        return _answer(self._parts.service.list(read_params(wanted, ListTasksRequest), asked), asked)

    @_refusing
    async def cancel(self, request: Request) -> Response:
        """POST …/tasks/{id}:cancel"""
        asked = asked_of(request, self._parts)
        return _answer(await self._parts.service.cancel(TaskRequest(id=_task(request)), asked), asked)

    @_refusing
    async def create_push(self, request: Request) -> Response:
        """POST …/tasks/{id}/pushNotificationConfigs"""
        asked = asked_of(request, self._parts)
        body = read_json(await read_body(request))
        if not isinstance(body, dict):
            raise InvalidParamsError("The body is a JSON object.")
        config = read_params({**body, "taskId": _task(request)}, PushConfig)
        return _answer(await self._parts.service.create_push(config, asked), asked)

    @_refusing
    async def list_push(self, request: Request) -> Response:
        """GET …/tasks/{id}/pushNotificationConfigs"""
        asked = asked_of(request, self._parts)
        return _answer(self._parts.service.list_push(ListPushConfigsRequest(task_id=_task(request)), asked), asked)

    @_refusing
    async def get_push(self, request: Request) -> Response:
        """GET …/tasks/{id}/pushNotificationConfigs/{config}"""
        asked = asked_of(request, self._parts)
        return _answer(self._parts.service.get_push(_push(request), asked), asked)

    @_refusing
    async def delete_push(self, request: Request) -> Response:
        """DELETE …/tasks/{id}/pushNotificationConfigs/{config}"""
        asked = asked_of(request, self._parts)
        await self._parts.service.delete_push(_push(request), asked)
        return _answer({}, asked)


def _stream(
    method: Any, path: str, summary: str, endpoint: Callable[[Request], Awaitable[Response]], body: type | None = None
) -> Operation[Request, Response]:
    return Operation(method, path, summary, endpoint, body, None, media_type="text/event-stream")


def _task(request: Request) -> str:
    task_id: str = request.path_params["task_id"]
    return task_id


def _push(request: Request) -> PushConfigRequest:
    return PushConfigRequest(task_id=_task(request), id=request.path_params["config_id"])


def _number(request: Request, name: str) -> int | None:
    text = request.query_params.get(name)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidParamsError(f"{name} is a number.")
    return int(text)


async def _streamed(events: AsyncGenerator[StreamResponse, None], asked: Asked) -> Response:
    ready = await begun(events)

    async def frames() -> AsyncGenerator[bytes, None]:
        try:
            async for event in ready:
                yield b"data: %b\n\n" % _encode(event)
        finally:
            await ready.aclose()

    def broken(error: LifeError) -> bytes:
        return b"event: error\ndata: %b\n\n" % _status(as_a2a(error))

    return SseResponse(frames(), error=broken, headers=extension_headers(asked))


def _answer(value: object, asked: Asked) -> Response:
    headers = {"cache-control": "no-store", **extension_headers(asked)}
    return Response(_encode(value), 200, headers, MEDIA_TYPE)


def _status(error: A2aError) -> bytes:
    words = f"{error.message} {error.next_step}" if error.next_step else error.message
    return _encode(
        {
            "error": {
                "code": error.status,
                "status": error.grpc_status,
                "message": words,
                "details": details_of(error),
            }
        }
    )
