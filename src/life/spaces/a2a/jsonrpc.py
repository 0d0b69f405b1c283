"""The JSON-RPC binding: one address, `POST`, JSON-RPC 2.0 (A2A 1.0, "JSON-RPC Protocol Binding").

Answers have HTTP status 200, errors among them. The two streaming methods answer with server-sent events, each a JSON-RPC response.
Batches are refused, as the protocol has none.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

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
from life.spaces.a2a.errors import (
    A2aError,
    ExtendedCardNotConfiguredError,
    InvalidRequestError,
    MethodNotFoundError,
    as_a2a,
    details_of,
)
from life.spaces.a2a.service import Asked
from life.spaces.a2a.wire import (
    ExtendedCardRequest,
    ListPushConfigsRequest,
    ListTasksRequest,
    PushConfig,
    PushConfigRequest,
    SendMessageRequest,
    SendMessageResponse,
    StreamResponse,
    TaskRequest,
)

RpcId = str | int | None
_encode: Final = msgspec.json.Encoder().encode


class JsonRpcBinding:
    """The handler."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._methods: dict[str, Callable[[Json, Asked], Awaitable[object]]] = {
            "SendMessage": self._send,
            "GetTask": self._get,
            "ListTasks": self._list,
            "CancelTask": self._cancel,
            "CreateTaskPushNotificationConfig": self._create_push,
            "GetTaskPushNotificationConfig": self._get_push,
            "ListTaskPushNotificationConfigs": self._list_push,
            "DeleteTaskPushNotificationConfig": self._delete_push,
            "GetExtendedAgentCard": self._card,
        }
        self._streams: dict[str, Callable[[Json, Asked], AsyncGenerator[StreamResponse, None]]] = {
            "SendStreamingMessage": self._stream,
            "SubscribeToTask": self._subscribe,
        }

    def operations(self, path: str) -> list[Operation[Request, Response]]:
        """The route."""
        return [Operation("POST", path, "A2A over JSON-RPC", self.handle, scope=SCOPE)]

    async def handle(self, request: Request) -> Response:
        """One call."""
        rpc_id: RpcId = None
        try:
            call = read_json(await read_body(request))
            rpc_id, method, params = _read_call(call)
            asked = asked_of(request, self._parts)
            headers = extension_headers(asked)
            if method in self._streams:
                events = await begun(self._streams[method](params, asked))
                return SseResponse(
                    _frames(rpc_id, events), error=lambda e: _frame(_failed(rpc_id, as_a2a(e))), headers=headers
                )
            if method not in self._methods:
                raise MethodNotFoundError(f"There is no method '{method[:64]}'.")
            result = await self._methods[method](params, asked)
            return _answer({"jsonrpc": "2.0", "id": rpc_id, "result": result}, headers)
        except _CallError as error:
            return _answer(_failed(error.rpc_id, error.error))
        except LifeError as error:
            return _answer(_failed(rpc_id, as_a2a(error)))

    async def _send(self, params: Json, asked: Asked) -> object:
        task = await self._parts.service.send(read_params(params, SendMessageRequest), asked)
        return SendMessageResponse(task=task)

    async def _stream(self, params: Json, asked: Asked) -> AsyncGenerator[StreamResponse, None]:
        async for event in self._parts.service.stream(read_params(params, SendMessageRequest), asked):
            yield event

    async def _subscribe(self, params: Json, asked: Asked) -> AsyncGenerator[StreamResponse, None]:
        async for event in self._parts.service.subscribe(read_params(params, TaskRequest), asked):
            yield event

    async def _get(self, params: Json, asked: Asked) -> object:
        return self._parts.service.get(read_params(params, TaskRequest), asked)

    async def _list(self, params: Json, asked: Asked) -> object:
        return self._parts.service.list(read_params(params, ListTasksRequest), asked)

    async def _cancel(self, params: Json, asked: Asked) -> object:
        return await self._parts.service.cancel(read_params(params, TaskRequest), asked)

    async def _create_push(self, params: Json, asked: Asked) -> object:
        return await self._parts.service.create_push(read_params(params, PushConfig), asked)

    async def _get_push(self, params: Json, asked: Asked) -> object:
        return self._parts.service.get_push(read_params(params, PushConfigRequest), asked)

    async def _list_push(self, params: Json, asked: Asked) -> object:
        return self._parts.service.list_push(read_params(params, ListPushConfigsRequest), asked)

    async def _delete_push(self, params: Json, asked: Asked) -> object:
        await self._parts.service.delete_push(read_params(params, PushConfigRequest), asked)
        return {}

    async def _card(self, params: Json, asked: Asked) -> object:
        read_params(params, ExtendedCardRequest)
        if self._parts.cards.extended is None:
            raise ExtendedCardNotConfiguredError("This agent has one card for everybody.")
        return msgspec.Raw(self._parts.cards.extended)


class _CallError(Exception):
    """A call that is none, under the id that it may have."""

    def __init__(self, rpc_id: RpcId, error: A2aError) -> None:
        self.rpc_id = rpc_id
        self.error = error


def _read_call(call: Json) -> tuple[RpcId, str, Json]:
    if not isinstance(call, dict):
        raise _CallError(None, InvalidRequestError("A call is one JSON object; batches are not taken."))
    rpc_id = call.get("id")
    if isinstance(rpc_id, bool) or not isinstance(rpc_id, str | int | None) or len(str(rpc_id)) > 256:
        raise _CallError(None, InvalidRequestError("An id is a text, an integer or null."))
    method, params = call.get("method"), call.get("params")
    if call.get("jsonrpc") != "2.0" or not isinstance(method, str) or not method:
        raise _CallError(rpc_id, InvalidRequestError("A call has jsonrpc '2.0' and a method."))
    return rpc_id, method, params


def _failed(rpc_id: RpcId, error: A2aError) -> object:
    words = f"{error.message} {error.next_step}" if error.next_step else error.message
    return {
        "jsonrpc": "2.0",
        "id": rpc_id,
        "error": {"code": error.rpc_code, "message": words, "data": details_of(error)},
    }


def _answer(value: object, headers: dict[str, str] | None = None) -> Response:
    return Response(_encode(value), 200, {"cache-control": "no-store", **(headers or {})}, "application/json")


def _frame(value: object) -> bytes:
    return b"data: %b\n\n" % _encode(value)


async def _frames(rpc_id: RpcId, events: AsyncGenerator[StreamResponse, None]) -> AsyncGenerator[bytes, None]:
    try:
        async for event in events:
            yield _frame({"jsonrpc": "2.0", "id": rpc_id, "result": event})
    finally:
        await events.aclose()
