"""The doors of other people's protocols on a daemon: who asks, keys and errors in each vendor's shape, and their routes.

    async with open_doors(system, prompt=…) as doors:
        operations = doors.beside(SessionApi(…).operations())
        app = doors.around(Authenticated(…))

Source: docs/doors.md; OpenAI and Anthropic API references, "Errors".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from life.aios.json import Json
from life.aios.ports.http import Operation
from life.arcan.doors.ag_ui import AgUiDoor
from life.arcan.doors.ai_sdk import AiSdkDoor
from life.arcan.doors.anthropic_messages import AnthropicMessagesDoor
from life.arcan.doors.conversations import Conversations
from life.arcan.doors.openai_chat import OpenAiChatDoor
from life.arcan.doors.openai_responses import OpenAiResponsesDoor
from life.arcan.doors.requests import DoorModel, Parts
from life.arcan.doors.run_streams import RunStreams
from life.arcan.doors.webhook_delivery import Webhooks
from life.arcan.doors.webhooks import WebhookApi
from life.arcan.settings import DEFAULT_SYSTEM_PROMPT
from life.host.http.authentication import auth_of
from life.host.http.events import WritesResponse
from life.host.http.problem import MEDIA_TYPE
from life.host.system import System, egress_policy
from life.host.webhook_client import CheckedWebhookClient, load_webhook_secrets

ApiOperation = Operation[Request, Response]
STREAM_PATH: Final = "/sessions/{session_id}/events/stream"
WEBHOOK_KEY: Final = "webhooks.key"
"""In the data directory, 0600: what webhook secrets are derived from."""
MESSAGES_PATH: Final = "/v1/messages"
_OPENAI_PATHS: Final = ("/v1/chat/", "/v1/responses", "/v1/models")


class Doors:
    """The routes, and what stands around the application for them."""

    def __init__(self, operations: Sequence[ApiOperation], streams: RunStreams) -> None:
        self.operations = tuple(operations)
        self._streams = streams

    def beside(self, session_api: Sequence[ApiOperation]) -> list[ApiOperation]:
        """The session API, its event stream extended by the other formats, and the doors."""
        extended = [self._streams.beside(item) if item.path == STREAM_PATH else item for item in session_api]
        return [*extended, *self.operations]

    def around(self, app: ASGIApp) -> ASGIApp:
        """The application with the vendors' keys and errors."""
        return VendorShapes(app)


@asynccontextmanager
async def open_doors(system: System, *, models: Mapping[str, DoorModel] | None = None) -> AsyncIterator[Doors]:
    """The doors of one open system. `models`: further agents that clients may name beside `life`."""
    parts = Parts(
        runtime=system.runtime,
        journal=system.journal,
        clock=system.clock,
        entropy=system.entropy,
        agent_id=system.identity.agent_id,
        stream=WritesResponse,
        owner_of=owner_of,
        models={"life": DoorModel(), **(models or {})},
        default_prompt=system.settings.model.system or DEFAULT_SYSTEM_PROMPT,
    )
    conversations = Conversations(parts)
    client = CheckedWebhookClient(egress_policy(system.settings.tools))
    webhooks = Webhooks(
        system.journal,
        client,
        clock=system.clock,
        entropy=system.entropy,
        agent_id=system.identity.agent_id,
        secret_of=load_webhook_secrets(system.data.root / WEBHOOK_KEY, system.entropy),
    )
    await webhooks.start()
    try:
        yield Doors(
            [
                *OpenAiChatDoor(parts, conversations).operations(),
                *OpenAiResponsesDoor(parts, conversations).operations(),
                *AnthropicMessagesDoor(parts, conversations).operations(),
                *AiSdkDoor(parts, conversations).operations(),
                *AgUiDoor(parts, conversations).operations(),
                *WebhookApi(webhooks, owner_of).operations(),
            ],
            RunStreams(parts),
        )
    finally:
        await conversations.aclose()
        await webhooks.aclose()
        await client.aclose()


def owner_of(request: Request) -> str | None:
    """Whose sessions the caller may use: operators and people at the page everybody's (None), agents and users their own."""
    auth = auth_of(request.scope)
    return None if auth.kind in ("operator", "person") else f"{auth.kind}:{auth.subject}"


class VendorShapes:
    """Pure ASGI middleware: Anthropic's clients show their key in `x-api-key`, and both vendors' clients read errors in their own
    shape. Problem details of their paths are told in it, with the code that they carry."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, translated where it is a vendor's."""
        path = scope.get("path", "")
        shape: Callable[[_Problem], Json] | None = None
        if path == MESSAGES_PATH:
            scope, shape = _with_bearer(scope), _anthropic_error
        elif scope["type"] == "http" and path.startswith(_OPENAI_PATHS):
            shape = _openai_error
        await self.app(scope, receive, send if shape is None else _Reshaped(send, shape))


class _Problem(msgspec.Struct):
    """What is read of a problem document."""

    detail: str = ""
    status: int = 500
    code: str = ""
    next_step: str | None = None
    details: dict[str, Json] | None = None

    @property
    def message(self) -> str:
        return f"{self.detail} {self.next_step}" if self.next_step else self.detail


class _Reshaped:
    """A `send` that holds a problem document back until it is whole, and sends it in another shape."""

    def __init__(self, send: Send, shape: Callable[[_Problem], Json]) -> None:
        self._send = send
        self._shape = shape
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        """Pass a message on, or keep it."""
        if message["type"] == "http.response.start" and _is_problem(message):
            self._start = message
        elif self._start is None or message["type"] != "http.response.body":
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._told(self._start)

    async def _told(self, start: Message) -> None:
        body = msgspec.json.encode(self._shape(msgspec.json.decode(bytes(self._body), type=_Problem)))
        kept = [(name, value) for name, value in start["headers"] if name not in (b"content-type", b"content-length")]
        headers = [*kept, (b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await self._send({**start, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _is_problem(start: Message) -> bool:
    media_type = MEDIA_TYPE.encode()
    return any(name == b"content-type" and value.startswith(media_type) for name, value in start["headers"])


_OPENAI_TYPES: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_ANTHROPIC_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def _openai_error(problem: _Problem) -> Json:
    type_ = _OPENAI_TYPES.get(problem.status, "invalid_request_error" if problem.status < 500 else "server_error")
    code = "model_not_found" if problem.code == "arcan.unknown_model" else problem.code
    param = (problem.details or {}).get("param")
    return {"error": {"message": problem.message, "type": type_, "param": param, "code": code}}


def _anthropic_error(problem: _Problem) -> Json:
    type_ = _ANTHROPIC_TYPES.get(problem.status, "invalid_request_error" if problem.status < 500 else "api_error")
    return {"type": "error", "error": {"type": type_, "message": f"{problem.message} [{problem.code}]"}}


def _with_bearer(scope: Scope) -> Scope:
    """The scope with the key of `x-api-key` as a bearer token, unless there is one already."""
    headers: list[tuple[bytes, bytes]] = list(scope["headers"])
    keys = [value for name, value in headers if name == b"x-api-key"]
    if len(keys) != 1 or any(name == b"authorization" for name, _ in headers):
        return scope
    return {**scope, "headers": [*headers, (b"authorization", b"Bearer " + keys[0])]}
