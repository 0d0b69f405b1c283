"""`POST /v1/chat/completions` and `GET /v1/models`: an agent as if it were a model.

The tools that the agent uses are its own: they run here, under its policy, and are not shown as calls, which clients would try to
answer. Tools of the client are called as clients expect it (`client_tools`), under names that the agent's own tools do not have. The messages that the agent writes on its way come as one text, set apart by empty lines.
Sampling parameters (temperature, max_tokens, …) belong to a model, not to an agent: they are not applied, and the header
`X-Life-Not-Applied` says which. A run that waits for an approval keeps the answer waiting, too.

Source: OpenAI API reference, "Chat completions", "Models"; docs/doors.md.
"""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from life.aios.errors import InvalidInputError
from life.aios.json import Json
from life.aios.ports.http import Operation
from life.aios.state import TokenUsage
from life.aios.streams.openai import OPENAI, OpenAiMachine, client_call_id
from life.aios.streams.runs import ToolCalled
from life.arcan.doors.answers import Answer, read_answer
from life.arcan.doors.client_tools import answer_client_calls, client_tools
from life.arcan.doors.conversations import Asked, Conversations, OpenedRun, Turn
from life.arcan.doors.errors import RunNeedsPersonError, UnsupportedParameterError
from life.arcan.doors.following import follow_run
from life.arcan.doors.requests import Parts, answer_json, read_json, text_of
from life.arcan.doors.telling import GeneratedWrites, tell
from life.arcan.people_api import SCOPE

SESSION_HEADER: Final = "x-life-session"
RUN_HEADER: Final = "x-life-run"
KEY_HEADER: Final = "idempotency-key"
NOT_APPLIED_HEADER: Final = "x-life-not-applied"
_LENGTH: Final = frozenset({"length", "maxtokens", "maxiterations", "budgetexhausted", "budgetexceeded"})
_FILTERED: Final = frozenset({"safety", "contentfilter"})


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`stream_options`."""

    include_usage: bool = False


class ChatMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message. Calls and results of tools in it are passed over, unless they stand at the end:
    then they answer calls of the client's own tools."""

    role: str
    content: Json = None
    tool_call_id: str | None = None


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Body of POST /v1/chat/completions; unknown fields are passed over."""

    model: str
    messages: list[ChatMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    metadata: dict[str, Json] | None = None
    n: int | None = None
    tools: list[Json] | None = None
    functions: list[Json] | None = None
    tool_choice: Json = None
    response_format: dict[str, Json] | None = None
    modalities: list[str] | None = None
    audio: Json = None
    logprobs: bool | None = None
    stop: Json = None
    temperature: Json = None
    top_p: Json = None
    max_tokens: Json = None
    max_completion_tokens: Json = None
    presence_penalty: Json = None
    frequency_penalty: Json = None
    seed: Json = None
    reasoning_effort: Json = None
    logit_bias: Json = None


_NOT_APPLIED: Final = (
    "temperature",
    "top_p",
    "max_tokens",
    "max_completion_tokens",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "reasoning_effort",
    "logit_bias",
)


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A line of GET /v1/models."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "life"


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """Answer of GET /v1/models."""

    data: list[Model]
    object: str = "list"


class OpenAiChatDoor:
    """The handlers."""

    def __init__(self, parts: Parts, conversations: Conversations) -> None:
        self._parts = parts
        self._conversations = conversations

    def operations(self) -> list[Operation[Request, Response]]:
        """The routes."""
        return [
            Operation(
                "POST",
                "/v1/chat/completions",
                "Run an agent as OpenAI's chat completions do",
                self.create,
                ChatRequest,
                None,
                errors=(400, 404, 409, 502),
                scope=SCOPE,
            ),
            Operation("GET", "/v1/models", "The agents that can be named", self.models, None, ModelList, scope=SCOPE),
            Operation(
                "GET", "/v1/models/{model:path}", "One of them", self.model, None, Model, errors=(404,), scope=SCOPE
            ),
        ]

    async def models(self, _: Request) -> Response:
        """GET /v1/models"""
        return answer_json(ModelList(data=[Model(id=name) for name in self._parts.models]))

    async def model(self, request: Request) -> Response:
        """GET /v1/models/{model}"""
        name = str(request.path_params["model"])
        self._conversations.model(name, self._parts.owner_of(request))
        return answer_json(Model(id=name))

    async def create(self, request: Request) -> Response:
        """POST /v1/chat/completions"""
        body = await read_json(request, ChatRequest)
        _check(body)
        tools = client_tools(body, self._parts.runtime.tool_names)
        after = 0
        if body.messages and body.messages[-1].role == "tool":
            opened, after = await answer_client_calls(self._parts, request, body.messages)
        else:
            opened = await self._conversations.open_run(self._asked(request, body)._replace(client_tools=tools))
        headers = run_headers(opened, body, _NOT_APPLIED)
        batches = follow_run(self._parts.runtime, opened.session_id, opened.run_id, opened.after_sequence)
        if not body.stream:
            answer = await read_answer(batches, opened.session_id, after=after)
            if answer.ended is not None:
                await self._conversations.noted(opened.run_id)
            completion = _completion(opened, body.model, answer)
            return answer_json(completion, headers=dict(headers))
        usage = body.stream_options is not None and body.stream_options.include_usage
        machine = OpenAiMachine(with_usage=usage, with_tools=False, model=body.model)
        chunks = tell(
            batches,
            machine,
            OPENAI.heartbeat,
            after=after,
            before_end=lambda: self._conversations.noted(opened.run_id),
            at_rest=machine.calls_out,
            unfinished=RunNeedsPersonError(opened.session_id),
        )
        return self._parts.stream(GeneratedWrites(chunks), error=OPENAI.error, headers=headers)

    def _asked(self, request: Request, body: ChatRequest) -> Asked:
        system: list[str] = []
        turns: list[Turn] = []
        for number, message in enumerate(body.messages):
            where = f"messages[{number}].content"
            if message.role in ("system", "developer"):
                system.append(text_of(message.content, where))
            elif message.role == "user":
                turns.append(Turn("user", text_of(message.content, where)))
            elif message.role == "assistant":
                turns.append(Turn("assistant", text_of(message.content, where)))
            elif message.role not in ("tool", "function"):
                raise InvalidInputError(
                    f"There is no role '{message.role[:32]}'.", details={"param": f"messages[{number}].role"}
                )
        session = request.headers.get(SESSION_HEADER)
        named = (body.metadata or {}).get("session_id")
        return Asked(
            owner=self._parts.owner_of(request),
            model=body.model,
            system="\n\n".join(system),
            turns=tuple(turns),
            session_id=session or (named if isinstance(named, str) else None),
            key=request.headers.get(KEY_HEADER),
            is_retry=is_retry(request),
        )


def is_retry(request: Request) -> bool:
    """Whether the vendors' official clients say that they repeat a request by themselves."""
    return request.headers.get("x-stainless-retry-count", "0") not in ("", "0")


def run_headers(opened: OpenedRun, body: msgspec.Struct, not_applied: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Which session and run answer, and what of the request has no effect here."""
    unused = [name for name in not_applied if getattr(body, name) is not None]
    headers = [(SESSION_HEADER, opened.session_id), (RUN_HEADER, opened.run_id)]
    return (*headers, (NOT_APPLIED_HEADER, ", ".join(unused))) if unused else tuple(headers)


def finish_reason(reason: str) -> str:
    """OpenAI's word for how a run ended."""
    return "length" if reason in _LENGTH else "content_filter" if reason in _FILTERED else "stop"


def check_tools(tools: list[Json] | None, tool_choice: Json, name: str = "tools") -> None:
    """UnsupportedParameterError when the client brings tools of its own."""
    if tools:
        raise UnsupportedParameterError(
            name, "the agent uses its own tools, here; leave this out, or give the agent a tool through MCP."
        )
    if tool_choice not in (None, "none", "auto"):
        raise UnsupportedParameterError("tool_choice", "the agent chooses its own tools.")


def _check(body: ChatRequest) -> None:
    check_tools(None, body.tool_choice)
    check_tools(body.functions, None, "functions")
    if body.n not in (None, 1):
        raise UnsupportedParameterError("n", "an agent acts once.")
    if body.response_format is not None and body.response_format.get("type") != "text":
        raise UnsupportedParameterError("response_format", "an agent answers in text.")
    if body.audio is not None or (body.modalities is not None and body.modalities != ["text"]):
        raise UnsupportedParameterError("modalities", "an agent answers in text.")
    if body.logprobs:
        raise UnsupportedParameterError("logprobs", "an agent's answer has none.")
    if body.stop not in (None, []):
        raise UnsupportedParameterError("stop", "an agent's answer is not cut.")


def _completion(opened: OpenedRun, model: str, answer: Answer) -> dict[str, Json]:
    message: dict[str, Json] = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.ended is None:
        message |= {
            "content": answer.text or None,
            "tool_calls": [_call(opened, call) for call in answer.calls.values()],
        }
    usage = (answer.ended.usage if answer.ended is not None else None) or TokenUsage()
    reason = finish_reason(answer.reason) if answer.ended is not None else "tool_calls"
    return {
        "id": f"chatcmpl-{opened.run_id}",
        "object": "chat.completion",
        "created": answer.at_us // 1_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "usage": msgspec.to_builtins(usage),
    }


def _call(opened: OpenedRun, call: ToolCalled) -> Json:
    arguments = msgspec.json.encode(call.arguments).decode()
    function: Json = {"name": call.tool_name, "arguments": arguments}
    return {"id": client_call_id(opened.run_id, call.call_id), "type": "function", "function": function}
