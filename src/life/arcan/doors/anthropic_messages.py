"""`POST /v1/messages`: an agent as if it were a Claude model.

As in `openai_chat`: the agent's tools run here and are not shown, the client's are refused, sampling parameters are not applied.
Each message that the agent writes on its way is a text block. `max_tokens`, which the protocol demands, bounds one answer of a
model and is not applied either.

Source: Anthropic API, "Messages", "Streaming messages", "Errors"; docs/doors.md.
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
from life.aios.streams.anthropic import ANTHROPIC, AnthropicMachine
from life.arcan.doors.answers import Answer, read_answer
from life.arcan.doors.conversations import Asked, Conversations, OpenedRun, Turn
from life.arcan.doors.errors import RunNeedsPersonError, UnsupportedParameterError
from life.arcan.doors.following import follow_run
from life.arcan.doors.openai_chat import KEY_HEADER, SESSION_HEADER, check_tools, finish_reason, is_retry, run_headers
from life.arcan.doors.requests import Parts, answer_json, read_json, text_of
from life.arcan.doors.telling import GeneratedWrites, tell
from life.arcan.people_api import SCOPE

_STOP: Final = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}
_NOT_APPLIED: Final = ("max_tokens", "temperature", "top_p", "top_k", "thinking")


class AnthropicMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message."""

    role: str
    content: Json


class MessagesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Body of POST /v1/messages; unknown fields are passed over."""

    model: str
    max_tokens: int
    messages: list[AnthropicMessage]
    system: Json = None
    stream: bool | None = None
    tools: list[Json] | None = None
    tool_choice: dict[str, Json] | None = None
    stop_sequences: list[str] | None = None
    temperature: Json = None
    top_p: Json = None
    top_k: Json = None
    thinking: Json = None


class AnthropicMessagesDoor:
    """The handler."""

    def __init__(self, parts: Parts, conversations: Conversations) -> None:
        self._parts = parts
        self._conversations = conversations

    def operations(self) -> list[Operation[Request, Response]]:
        """The route."""
        return [
            Operation(
                "POST",
                "/v1/messages",
                "Run an agent as Anthropic's Messages do",
                self.create,
                MessagesRequest,
                None,
                errors=(400, 404, 409, 502),
                scope=SCOPE,
            )
        ]

    async def create(self, request: Request) -> Response:
        """POST /v1/messages"""
        body = await read_json(request, MessagesRequest)
        _check(body)
        opened = await self._conversations.open_run(self._asked(request, body))
        headers = run_headers(opened, body, _NOT_APPLIED)
        batches = follow_run(self._parts.runtime, opened.session_id, opened.run_id, opened.after_sequence)
        if not body.stream:
            answer = await read_answer(batches, opened.session_id)
            await self._conversations.noted(opened.run_id)
            return answer_json(_message(opened, body.model, answer), headers=dict(headers))
        chunks = tell(
            batches,
            AnthropicMachine(with_tools=False, model=body.model),
            ANTHROPIC.heartbeat,
            before_end=lambda: self._conversations.noted(opened.run_id),
            at_rest=bytes,
            unfinished=RunNeedsPersonError(opened.session_id),
        )
        return self._parts.stream(GeneratedWrites(chunks), error=ANTHROPIC.error, headers=headers)

    def _asked(self, request: Request, body: MessagesRequest) -> Asked:
        turns: list[Turn] = []
        for number, message in enumerate(body.messages):
            text = text_of(message.content, f"messages.{number}.content")
            if message.role == "user":
                turns.append(Turn("user", text))
            elif message.role == "assistant":
                turns.append(Turn("assistant", text))
            else:
                raise InvalidInputError(f"messages.{number}.role: there is no role '{message.role[:32]}'.")
        return Asked(
            owner=self._parts.owner_of(request),
            model=body.model,
            system=text_of(body.system, "system"),
            turns=tuple(turns),
            session_id=request.headers.get(SESSION_HEADER),
            key=request.headers.get(KEY_HEADER),
            is_retry=is_retry(request),
        )


def _check(body: MessagesRequest) -> None:
    kind = (body.tool_choice or {}).get("type")
    check_tools(body.tools, kind)
    if body.stop_sequences:
        raise UnsupportedParameterError("stop_sequences", "an agent's answer is not cut.")
    if body.max_tokens < 1:
        raise InvalidInputError("max_tokens: must be at least 1.")


def _message(opened: OpenedRun, model: str, answer: Answer) -> dict[str, Json]:
    assert answer.ended is not None
    usage = answer.ended.usage or TokenUsage()
    content: list[Json] = [{"type": "text", "text": text} for text in answer.messages]
    return {
        "id": f"msg_{opened.run_id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": _STOP[finish_reason(answer.reason)],
        "stop_sequence": None,
        "usage": {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens},
    }
