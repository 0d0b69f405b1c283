"""Calling another agent over A2A 1.0.

    peer = await discover("https://agents.example", http, trusted=friends.__contains__, token=token)
    task = await peer.send(peer.say("Translate this.", message_id="01J…"))

A card counts when somebody who is trusted signed it; an unsigned one is read only when that is allowed. The interface is chosen by our
preference (JSON-RPC, then HTTP+JSON) among those of version 1.0; one at another origin than the card's counts only when the card is
signed. Everything that comes is bounded and checked; what is not of the protocol is an InvalidAgentResponseError. A request that got no
answer raises PeerUnavailableError: with the same `message_id` it may be sent again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Final, NamedTuple, Protocol, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from life.aios.json import Json
from life.spaces.a2a.card import MAX_CARD_BYTES, AgentCard, Trust, verify_card
from life.spaces.a2a.errors import (
    BY_REASON,
    BY_RPC_CODE,
    ERROR_INFO,
    A2aError,
    CardRefusedError,
    InvalidAgentResponseError,
    PeerUnavailableError,
    remote_error,
)
from life.spaces.a2a.wire import (
    CARD_PATH,
    EXTENSIONS_HEADER,
    MEDIA_TYPE,
    VERSION,
    VERSION_HEADER,
    ListPushConfigsRequest,
    ListPushConfigsResponse,
    ListTasksRequest,
    ListTasksResponse,
    Message,
    Metadata,
    Part,
    PushConfig,
    PushConfigRequest,
    Role,
    SendConfiguration,
    SendMessageRequest,
    SendMessageResponse,
    StreamResponse,
    Task,
    TaskRequest,
    text_part,
)

MAX_ANSWER_BYTES: Final = 8 * 1_048_576
MAX_EVENT_BYTES: Final = 1_048_576
JSON_RPC: Final = "JSONRPC"
HTTP_JSON: Final = "HTTP+JSON"
BINDINGS: Final = (JSON_RPC, HTTP_JSON)
_SSE: Final = "text/event-stream"
_T = TypeVar("_T")

Token = Callable[[str], Awaitable[str]]
"""Makes a bearer token for a URL that is called. Agent tokens are used once, so each request asks for one."""


class Reply(NamedTuple):
    """An HTTP answer, whole."""

    status: int
    media_type: str
    body: bytes


class Streaming(NamedTuple):
    """An HTTP answer as it comes."""

    status: int
    media_type: str
    chunks: AsyncIterator[bytes]


class Http(Protocol):
    """HTTP as the client needs it; the host's part, which guards where requests go and how long they take."""

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, max_bytes: int
    ) -> Reply:
        """One request without redirects. PeerUnavailableError when there is no answer, or one beyond `max_bytes`."""
        ...

    def stream(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> AbstractAsyncContextManager[Streaming]:
        """As `request`, with the body as it comes."""
        ...


class _RpcError(msgspec.Struct, frozen=True):
    code: int = 0
    message: str = ""


class _RpcReply(msgspec.Struct, frozen=True):
    error: _RpcError | None = None
    result: msgspec.Raw = msgspec.Raw()


class _Info(msgspec.Struct, frozen=True):
    type: str = msgspec.field(name="@type", default="")
    reason: str = ""


class _Status(msgspec.Struct, frozen=True):
    message: str = ""
    details: tuple[_Info, ...] = ()


class _RestError(msgspec.Struct, frozen=True):
    error: _Status


async def discover(
    base_url: str,
    http: Http,
    *,
    trusted: Trust,
    require_signature: bool = True,
    bindings: Sequence[str] = BINDINGS,
    token: Token | None = None,
    extensions: Sequence[str] = (),
    path: str = CARD_PATH,
) -> A2aClient:
    """A client of the agent whose card stands at `base_url`. CardRefusedError, PeerUnavailableError."""
    url = base_url.rstrip("/") + path
    reply = await http.request("GET", url, {"accept": "application/json"}, None, max_bytes=MAX_CARD_BYTES)
    if reply.status != 200:
        raise PeerUnavailableError(f"There is no agent card: the answer was {reply.status}.")
    verified = verify_card(reply.body, trusted=trusted, required=require_signature)
    interface = _interface(verified.card, bindings, url, signed=verified.signer is not None)
    return A2aClient(
        verified.card,
        http,
        signer=verified.signer,
        url=interface[0],
        binding=interface[1],
        token=token,
        extensions=extensions,
    )


class A2aClient:
    """One other agent."""

    def __init__(
        self,
        card: AgentCard,
        http: Http,
        *,
        signer: str | None,
        url: str,
        binding: str,
        token: Token | None = None,
        extensions: Sequence[str] = (),
    ) -> None:
        self.card = card
        self.signer = signer
        """The DID that signed the card; None when nobody did."""
        self.url = url.rstrip("/") if binding == HTTP_JSON else url
        self.binding = binding
        self._http = http
        self._token = token
        self._extensions = tuple(extensions)

    def say(
        self,
        text: str,
        *,
        message_id: str,
        context_id: str = "",
        task_id: str = "",
        data: Json | msgspec.UnsetType = msgspec.UNSET,
        metadata: Metadata | None = None,
    ) -> Message:
        """A message of ours. `message_id` is what makes sending it twice harmless."""
        parts = [text_part(text)] if text else []
        if data is not msgspec.UNSET:
            parts.append(Part(data=data, media_type="application/json"))
        return Message(
            message_id=message_id,
            context_id=context_id,
            task_id=task_id,
            role=Role.USER,
            parts=tuple(parts),
            metadata=metadata,
            extensions=self._extensions,
        )

    async def send(self, message: Message, configuration: SendConfiguration | None = None) -> Task | Message:
        """SendMessage: a task, or of a simple agent a message."""
        request = SendMessageRequest(message=message, configuration=configuration)
        answer = await self._call("SendMessage", request, SendMessageResponse, "POST", "/message:send", body=request)
        found = answer.task or answer.message
        if found is None:
            raise InvalidAgentResponseError("The agent answered with neither a task nor a message.")
        return found

    def stream(
        self, message: Message, configuration: SendConfiguration | None = None
    ) -> AsyncGenerator[StreamResponse, None]:
        """SendStreamingMessage. Close it with `aclose` to listen no more; the task goes on."""
        request = SendMessageRequest(message=message, configuration=configuration)
        return self._events("SendStreamingMessage", request, "POST", "/message:stream", body=request)

    def subscribe(self, task_id: str) -> AsyncGenerator[StreamResponse, None]:
        """SubscribeToTask."""
        return self._events("SubscribeToTask", TaskRequest(id=task_id), "GET", f"/tasks/{_segment(task_id)}:subscribe")

    async def get(self, task_id: str, *, history_length: int | None = None) -> Task:
        """GetTask."""
        request = TaskRequest(id=task_id, history_length=history_length)
        query = {} if history_length is None else {"historyLength": str(history_length)}
        return await self._call("GetTask", request, Task, "GET", f"/tasks/{_segment(task_id)}", query=query)

    async def list(self, request: ListTasksRequest | None = None) -> ListTasksResponse:
        """ListTasks."""
        request = request or ListTasksRequest()
        builtins: dict[str, Json] = msgspec.to_builtins(request)
        query = {name: _query(value) for name, value in builtins.items() if value is not None}
        return await self._call("ListTasks", request, ListTasksResponse, "GET", "/tasks", query=query)

    async def cancel(self, task_id: str) -> Task:
        """CancelTask."""
        request = TaskRequest(id=task_id)
        return await self._call("CancelTask", request, Task, "POST", f"/tasks/{_segment(task_id)}:cancel", body=request)

    async def create_push(self, config: PushConfig) -> PushConfig:
        """CreateTaskPushNotificationConfig."""
        path = f"/tasks/{_segment(config.task_id)}/pushNotificationConfigs"
        return await self._call("CreateTaskPushNotificationConfig", config, PushConfig, "POST", path, body=config)

    async def get_push(self, task_id: str, config_id: str) -> PushConfig:
        """GetTaskPushNotificationConfig."""
        request = PushConfigRequest(task_id=task_id, id=config_id)
        path = f"/tasks/{_segment(task_id)}/pushNotificationConfigs/{_segment(config_id)}"
        return await self._call("GetTaskPushNotificationConfig", request, PushConfig, "GET", path)

    async def list_push(self, task_id: str) -> ListPushConfigsResponse:
        """ListTaskPushNotificationConfigs."""
        request = ListPushConfigsRequest(task_id=task_id)
        path = f"/tasks/{_segment(task_id)}/pushNotificationConfigs"
        return await self._call("ListTaskPushNotificationConfigs", request, ListPushConfigsResponse, "GET", path)

    async def delete_push(self, task_id: str, config_id: str) -> None:
        """DeleteTaskPushNotificationConfig."""
        request = PushConfigRequest(task_id=task_id, id=config_id)
        path = f"/tasks/{_segment(task_id)}/pushNotificationConfigs/{_segment(config_id)}"
        await self._call("DeleteTaskPushNotificationConfig", request, msgspec.Raw, "DELETE", path)

    async def extended_card(self) -> bytes:
        """GetExtendedAgentCard: the document, to be verified like any (`verify_card`)."""
        raw = await self._call("GetExtendedAgentCard", {}, msgspec.Raw, "GET", "/extendedAgentCard")
        return bytes(raw)

    # ---- inside

    async def _call(
        self,
        rpc_method: str,
        params: object,
        kind: type[_T],
        method: str,
        path: str,
        *,
        body: object = None,
        query: Mapping[str, str] | None = None,
    ) -> _T:
        url, method, content, headers = await self._request(rpc_method, params, method, path, body, query or {})
        reply = await self._http.request(method, url, headers, content, max_bytes=MAX_ANSWER_BYTES)
        if self.binding == JSON_RPC:
            return _decode(_rpc_result(reply.status, reply.body), kind)
        _check_rest(reply.status, reply.body)
        return _decode(reply.body or b"null", kind)

    async def _events(
        self, rpc_method: str, params: object, method: str, path: str, *, body: object = None
    ) -> AsyncGenerator[StreamResponse, None]:
        url, method, content, headers = await self._request(rpc_method, params, method, path, body, {})
        headers["accept"] = _SSE
        async with self._http.stream(method, url, headers, content) as answer:
            if answer.media_type != _SSE or answer.status != 200:
                whole = await _whole(answer.chunks)
                if self.binding == JSON_RPC:
                    _rpc_result(answer.status, whole)
                else:
                    _check_rest(answer.status, whole)
                raise InvalidAgentResponseError("The agent does not stream its answer.")
            async with aclosing(_frames(answer.chunks)) as frames:
                async for name, frame in frames:
                    if self.binding == JSON_RPC:
                        yield _one(_decode(_rpc_result(200, frame), StreamResponse))
                    elif name == "error":
                        _check_rest(500, frame)
                    else:
                        yield _one(_decode(frame, StreamResponse))

    async def _request(
        self, rpc_method: str, params: object, method: str, path: str, body: object, query: Mapping[str, str]
    ) -> tuple[str, str, bytes | None, dict[str, str]]:
        headers = {VERSION_HEADER: VERSION, "accept": "application/json"}
        if self._extensions:
            headers[EXTENSIONS_HEADER] = ", ".join(self._extensions)
        if self.binding == JSON_RPC:
            url, method = self.url, "POST"
            # One call per request: the id needs to be nobody's but this answer's.
            body = {"jsonrpc": "2.0", "id": 1, "method": rpc_method, "params": params}
            headers["content-type"] = "application/json"
        else:
            url = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
            headers["accept"] = f"{MEDIA_TYPE}, application/json"
            if body is not None:
                headers["content-type"] = MEDIA_TYPE
        if self._token is not None:
            headers["authorization"] = f"Bearer {await self._token(url)}"
        return url, method, None if body is None else msgspec.json.encode(body), headers


def _interface(card: AgentCard, bindings: Sequence[str], card_url: str, *, signed: bool) -> tuple[str, str]:
    """Address and binding of the interface to use; CardRefusedError when there is none."""
    for binding in bindings:
        for interface in card.supported_interfaces:
            if interface.protocol_binding != binding or not interface.protocol_version.startswith("1."):
                continue
            parts = urlsplit(interface.url)
            if parts.scheme not in ("https", "http") or not parts.hostname or parts.username is not None:
                continue
            if signed or (parts.scheme, parts.netloc) == urlsplit(card_url)[:2]:
                return interface.url, binding
    raise CardRefusedError("The card names no interface that can be used: A2A 1.0 over JSON-RPC or HTTP+JSON.")


def _rpc_result(status: int, body: bytes) -> bytes:
    """The result of a JSON-RPC answer; the agent's error otherwise."""
    if status in (401, 403):
        raise PeerUnavailableError(f"The agent does not let us in ({status}).")
    try:
        reply = msgspec.json.decode(body, type=_RpcReply)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if status >= 500:
            raise PeerUnavailableError(f"The agent answered {status}.") from None
        raise InvalidAgentResponseError("The agent's answer is no JSON-RPC.") from None
    if reply.error is not None:
        raise remote_error(BY_RPC_CODE.get(reply.error.code), reply.error.message)
    if not bytes(reply.result):
        raise InvalidAgentResponseError("The agent's answer has no result.")
    return bytes(reply.result)


def _check_rest(status: int, body: bytes) -> None:
    """The error in an answer of the HTTP+JSON binding, raised."""
    if 200 <= status < 300:
        return
    if status in (401, 403):
        raise PeerUnavailableError(f"The agent does not let us in ({status}).")
    try:
        refused = msgspec.json.decode(body, type=_RestError).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if status >= 500:
            raise PeerUnavailableError(f"The agent answered {status}.") from None
        raise InvalidAgentResponseError(f"The agent answered {status} without saying why.") from None
    kind: type[A2aError] | None = next(
        (BY_REASON[info.reason] for info in refused.details if info.type == ERROR_INFO and info.reason in BY_REASON),
        None,
    )
    raise remote_error(kind, refused.message)


def _decode(body: bytes, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidAgentResponseError(f"The agent's answer does not fit: {str(error)[:200]}.") from None


def _one(event: StreamResponse) -> StreamResponse:
    if sum(each is not None for each in (event.task, event.message, event.status_update, event.artifact_update)) != 1:
        raise InvalidAgentResponseError("An event of a stream is exactly one thing.")
    return event


async def _whole(chunks: AsyncIterator[bytes]) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise InvalidAgentResponseError("The agent's answer is too large.")
    return bytes(body)


async def _frames(chunks: AsyncIterator[bytes]) -> AsyncGenerator[tuple[str, bytes], None]:
    """Name and data of each event (HTML standard, "Server-sent events"). A frame that the end cuts off is none."""
    rest = bytearray()
    name, data = "message", bytearray()
    async for chunk in chunks:
        # Only the new piece is looked through: a line that comes byte by byte costs no more than one that comes whole.
        *ends, tail = chunk.split(b"\n")
        for end in ends:
            line = bytes(rest + end).removesuffix(b"\r")
            rest.clear()
            if not line:
                if data:
                    yield name, bytes(data[:-1])
                name, data = "message", bytearray()
            elif line.startswith(b"event:"):
                name = line[6:].strip().decode("utf-8", "replace")[:64]
            elif line.startswith(b"data:"):
                data += line[5:].removeprefix(b" ") + b"\n"
        rest += tail
        if len(data) + len(rest) > MAX_EVENT_BYTES:
            raise InvalidAgentResponseError("An event of the agent's stream is too large.")


def _segment(text: str) -> str:
    return quote(text, safe="")


def _query(value: Json) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
