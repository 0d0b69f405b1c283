"""Anthropic's Messages API, through the official client (extra `anthropic`).

Streaming, structured replay of tool calls and results, prompt caching switched on (a resumed conversation is the same
bytes, so its prefix is found again), no retries of the client's own: those stand in `life.arcan.providers.retry`.

Thinking that a model sends is not shown and not kept. Tool input that is not a JSON object stays the text it was, for the
runtime to report back; it is never executed as `{}`.

Source: arcan.md §4.3; the API's streaming documentation (event types message_start … message_stop).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Final, cast

import httpx2

from life.aios.errors import MissingExtraError, ProviderError
from life.aios.json import Json, JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.provider import (
    Block,
    ChatMessage,
    Chunk,
    ModelRequest,
    StopChunk,
    StopReason,
    TextBlock,
    TextChunk,
    ToolCallChunk,
    ToolUseBlock,
)
from life.aios.state import TokenUsage
from life.arcan.errors import ProviderInterruptedError, ProviderUnreachableError
from life.arcan.providers.tool_arguments import parse_arguments
from life.arcan.providers.vendor_errors import error_of_status, error_of_type

if TYPE_CHECKING:
    import anthropic
    from anthropic import AsyncAnthropic, AsyncStream
    from anthropic.types import (
        MessageParam,
        RawContentBlockDeltaEvent,
        RawMessageDeltaEvent,
        RawMessageStartEvent,
        RawMessageStreamEvent,
        ToolParam,
    )

DEFAULT_MODEL: Final = "claude-sonnet-5-5"
DEFAULT_BASE_URL: Final = "https://api.anthropic.com"
VENDOR: Final = "Anthropic"

_STOP_REASONS: Final[dict[str, StopReason]] = {
    "end_turn": "completed",
    "stop_sequence": "completed",
    "tool_use": "tool_call",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "max_tokens",
    "refusal": "refused",
}


class AnthropicProvider:
    """A Claude model (life.aios.ports.provider.ModelProvider)."""

    def __init__(
        self,
        *,
        api_key: str,
        clock: Clock,
        model: str = DEFAULT_MODEL,
        base_url: str = DEFAULT_BASE_URL,
        timeout_s: float = 120.0,
        prompt_caching: bool | None = None,
    ) -> None:
        """`timeout_s` limits every wait for bytes, not the whole answer. `prompt_caching` is on by default at Anthropic's
        own address; other servers may not know it. MissingExtraError without the client."""
        self._client = _open_client(api_key=api_key, base_url=base_url, timeout_s=timeout_s)
        self._api_key = api_key
        self._clock = clock
        self._model = model
        self._caching = base_url == DEFAULT_BASE_URL if prompt_caching is None else prompt_caching

    @property
    def name(self) -> str:
        """`anthropic:<model>`."""
        return f"anthropic:{self._model}"

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """See life.aios.ports.provider.ModelProvider."""
        import anthropic

        answer = _Answer()
        events: AsyncStream[RawMessageStreamEvent] | None = None
        try:
            events = await self._client.messages.create(
                model=self._model,
                max_tokens=request.max_output_tokens,
                messages=_messages(request.messages),
                system=request.system or anthropic.omit,
                tools=_tools(request) or anthropic.omit,
                cache_control={"type": "ephemeral"} if self._caching else anthropic.omit,
                stream=True,
            )
            async for event in events:
                for chunk in answer.take(event):
                    yield chunk
        except anthropic.APIStatusError as error:
            raise self._status_error(error) from None
        except (anthropic.APIConnectionError, httpx2.HTTPError) as error:
            raise _connection_error(error, begun=answer.begun) from None
        except ValueError as error:
            raise ProviderInterruptedError(f"{VENDOR} sent something unreadable: {type(error).__name__}.") from None
        finally:
            if events is not None:
                await events.close()
        yield answer.end()

    def _status_error(self, error: anthropic.APIStatusError) -> ProviderError:
        message = error.api_message or error.message
        if error.status_code < 400:  # announced inside a stream that had begun well
            return error_of_type(VENDOR, error.type or "", message, api_key=self._api_key)
        return error_of_status(
            VENDOR,
            error.status_code,
            message,
            headers=error.response.headers,
            api_key=self._api_key,
            now_us=self._clock.now_us(),
        )


class _Answer:
    """What has arrived of one answer."""

    def __init__(self) -> None:
        self.begun = False
        self._tools: dict[int, tuple[str, str, list[str]]] = {}
        """Open calls by block: id, name, and the pieces of their arguments."""
        self._stop: str | None = None
        self._model: str | None = None
        self._prompt_tokens = 0
        self._completion_tokens = 0

    def take(self, event: RawMessageStreamEvent) -> Iterable[Chunk]:
        """The chunks that an event completes."""
        self.begun = True
        match event.type:
            case "message_start":
                self._started(event)
            case "content_block_start":
                block = event.content_block
                if block.type == "tool_use":
                    given = [json.dumps(block.input)] if block.input else []  # some servers send it whole
                    self._tools[event.index] = (block.id, block.name, given)
                elif block.type == "text" and block.text:
                    yield TextChunk(block.text)
            case "content_block_delta":
                yield from self._delta(event)
            case "content_block_stop":
                tool = self._tools.pop(event.index, None)
                if tool is not None:
                    call_id, name, pieces = tool
                    yield ToolCallChunk(call_id, name, parse_arguments("".join(pieces)))
            case "message_delta":
                self._changed(event)
            case _:
                pass

    def end(self) -> StopChunk:
        """The last chunk; an answer that never said why it stopped was cut off."""
        if self._stop is None:
            raise ProviderInterruptedError(f"{VENDOR}'s answer broke off.")
        prompt, completion = self._prompt_tokens, self._completion_tokens
        usage = TokenUsage(prompt, completion, prompt + completion)
        return StopChunk(_STOP_REASONS.get(self._stop, "other"), usage, self._model)

    def _started(self, event: RawMessageStartEvent) -> None:
        usage = event.message.usage
        self._model = event.message.model
        self._prompt_tokens = (
            usage.input_tokens + (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
        )
        self._completion_tokens = usage.output_tokens

    def _delta(self, event: RawContentBlockDeltaEvent) -> Iterable[Chunk]:
        delta = event.delta
        if delta.type == "text_delta":
            yield TextChunk(delta.text)
        elif delta.type == "input_json_delta" and event.index in self._tools:
            self._tools[event.index][2].append(delta.partial_json)

    def _changed(self, event: RawMessageDeltaEvent) -> None:
        if event.delta.stop_reason is not None:
            self._stop = event.delta.stop_reason
        usage = event.usage
        self._completion_tokens = usage.output_tokens
        if usage.input_tokens is not None:
            self._prompt_tokens = (
                usage.input_tokens + (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
            )


def _open_client(*, api_key: str, base_url: str, timeout_s: float) -> AsyncAnthropic:
    try:
        import anthropic
    except ImportError:
        raise MissingExtraError("The provider 'anthropic'", "anthropic") from None
    return anthropic.AsyncAnthropic(api_key=api_key, base_url=base_url, timeout=timeout_s, max_retries=0)


def _connection_error(error: Exception, *, begun: bool) -> ProviderError:
    if begun:
        return ProviderInterruptedError(f"The connection to {VENDOR} broke off: {type(error).__name__}.")
    return ProviderUnreachableError(f"No answer from {VENDOR}: {type(error).__name__}.")


def _messages(messages: tuple[ChatMessage, ...]) -> list[MessageParam]:
    """Turns of the API: roles alternate, so neighbours of one role are joined."""
    turns: list[tuple[str, list[JsonObject]]] = []
    for message in messages:
        blocks = [_block(block) for block in message.content if not _is_blank(block)]
        if not blocks:
            continue
        if turns and turns[-1][0] == message.role:
            turns[-1][1].extend(blocks)
        else:
            turns.append((message.role, blocks))
    return cast("list[MessageParam]", [{"role": role, "content": blocks} for role, blocks in turns])


def _is_blank(block: Block) -> bool:
    """The API refuses text without a visible character."""
    return isinstance(block, TextBlock) and not block.text.strip()


def _block(block: Block) -> JsonObject:
    if isinstance(block, TextBlock):
        return {"type": "text", "text": block.text}
    if isinstance(block, ToolUseBlock):
        return {"type": "tool_use", "id": block.call_id, "name": block.tool_name, "input": _input(block.arguments)}
    return {
        "type": "tool_result",
        "tool_use_id": block.call_id,
        "content": block.content,
        "is_error": block.is_error,
    }


def _input(arguments: Json) -> Json:
    """The API takes objects only; text that was not one is replayed inside of one."""
    return arguments if isinstance(arguments, dict) else {"invalid_json": _text(arguments)}


def _text(arguments: Json) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)


def _tools(request: ModelRequest) -> list[ToolParam]:
    return [
        cast("ToolParam", {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema})
        for tool in request.tools
    ]
