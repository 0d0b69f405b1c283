"""Chat Completions, through OpenAI's official client (extra `openai`): OpenAI itself, Ollama, and what speaks the same.

Streaming with usage, tools without `strict` (not every schema fits it), and the whole exchange of earlier turns replayed:
the assistant's `tool_calls` and one `tool` message per result. No retries of the client's own.

Servers differ in small things, which are allowed for: no usage, tool calls in one piece or in many, without index or id,
`stop` as the finish reason of an answer that calls tools.

Source: arcan.md §4.4, §4.5; the API reference of `chat.completion.chunk`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Final, cast

import httpx2
from msgspec import UNSET, UnsetType

from life.aios.errors import MissingExtraError, ProviderError
from life.aios.json import Json, JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.provider import (
    ChatMessage,
    Chunk,
    ImageBlock,
    ModelRequest,
    ReasoningBlock,
    ReasoningChunk,
    ReasoningTextChunk,
    StopChunk,
    StopReason,
    TextBlock,
    TextChunk,
    ToolCallChunk,
    ToolResultBlock,
    ToolUseBlock,
)
from life.aios.state import TokenUsage
from life.arcan.errors import ProviderInterruptedError
from life.arcan.providers.tool_arguments import parse_arguments
from life.arcan.providers.translation import CONNECT_TIMEOUT_S, Effort, ReadImage, load_images
from life.arcan.providers.vendor_errors import connection_error, error_of_status, error_of_type, unreadable

if TYPE_CHECKING:
    import openai
    from openai import AsyncOpenAI, AsyncStream
    from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam, ChatCompletionToolParam
    from openai.types.chat.chat_completion_chunk import ChoiceDelta, ChoiceDeltaToolCall
    from openai.types.completion_usage import CompletionUsage

DEFAULT_MODEL: Final = "gpt-5.4-mini"
DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
OLLAMA_BASE_URL: Final = "http://127.0.0.1:11434/v1"
OLLAMA_MODEL: Final = "llama3.2"

NO_KEY: Final = "none"
"""The client insists on a key; servers that need none ignore it."""

_FINISH_REASONS: Final[dict[str, StopReason]] = {
    "stop": "completed",
    "tool_calls": "tool_call",
    "function_call": "tool_call",
    "length": "max_tokens",
    "content_filter": "refused",
}


class OpenAICompatibleProvider:
    """A model behind a Chat Completions endpoint (life.aios.ports.provider.ModelProvider)."""

    def __init__(
        self,
        *,
        model: str,
        clock: Clock,
        api_key: str | None = None,
        base_url: str = DEFAULT_BASE_URL,
        label: str = "openai-chat",
        timeout_s: float = 120.0,
        effort: Effort | None = None,
        read_image: ReadImage | None = None,
    ) -> None:
        """`label` names the provider in the journal and in errors. `effort` is sent as `reasoning_effort`.
        MissingExtraError without the client."""
        self._client = open_openai_client(api_key=api_key or NO_KEY, base_url=base_url, timeout_s=timeout_s)
        self._api_key = api_key or ""
        self._clock = clock
        self._model = model
        self._label = label
        # OpenAI's own models refuse the older name, older servers do not know the newer one.
        self._is_openai = base_url == DEFAULT_BASE_URL
        self._effort = effort
        self._read_image = read_image

    @property
    def name(self) -> str:
        """`<label>:<model>`."""
        return f"{self._label}:{self._model}"

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """See life.aios.ports.provider.ModelProvider."""
        import openai

        images = await load_images(request, self._read_image)
        answer = _Answer(self._label, self.name)
        chunks: AsyncStream[ChatCompletionChunk] | None = None
        try:
            chunks = await self._client.chat.completions.create(
                model=self._model,
                messages=_messages(request, images),
                tools=_tools(request) or openai.omit,
                stream=True,
                stream_options={"include_usage": True},
                reasoning_effort=self._effort or openai.omit,
                prompt_cache_key=(request.cache_key if self._is_openai else "") or openai.omit,
                extra_body={"max_completion_tokens" if self._is_openai else "max_tokens": request.max_output_tokens},
            )
            async for chunk in chunks:
                for piece in answer.take(chunk):
                    yield piece
        except openai.APIStatusError as error:
            raise self._status_error(error) from None
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            raise connection_error(self._label, error, begun=answer.begun) from None
        except openai.APIError as error:
            kind = error.type or error.code or ""
            raise error_of_type(self._label, kind, error.message, api_key=self._api_key) from None
        except (
            ValueError,
            TypeError,
            AttributeError,
        ) as error:  # fields that the protocol promises and that are not there
            raise unreadable(self._label, error) from None
        finally:
            if chunks is not None:
                await chunks.close()
        for piece in answer.end():
            yield piece

    def _status_error(self, error: openai.APIStatusError) -> ProviderError:
        return error_of_status(
            self._label,
            error.status_code,
            error.message,
            headers=error.response.headers,
            api_key=self._api_key,
            now_us=self._clock.now_us(),
        )


class _OpenCall:
    """A tool call that is still coming in."""

    def __init__(self, call_id: str, name: str) -> None:
        self.call_id = call_id
        self.name = name
        self.pieces: list[str] = []


class _Answer:
    """What has arrived of one answer."""

    def __init__(self, label: str, origin: str) -> None:
        self.begun = False
        self._label = label
        self._origin = origin
        self._thoughts: list[str] = []
        self._calls: list[_OpenCall] = []
        self._by_index: dict[int, _OpenCall] = {}
        self._finish: str | None = None
        self._refused = False
        self._model: str | None = None
        self._usage: TokenUsage | None = None

    def take(self, chunk: ChatCompletionChunk) -> Iterable[Chunk]:
        """The text in a chunk; calls are kept until they are whole."""
        self.begun = True
        self._model = chunk.model or self._model
        if chunk.usage is not None:
            self._usage = _counted(chunk.usage)
        for choice in chunk.choices or ():
            if choice.index:
                continue
            delta = choice.delta
            if delta is not None:
                yield from self._take_thought(delta)
                if delta.content:
                    yield TextChunk(delta.content)
                if delta.refusal:
                    self._refused = True
                    yield TextChunk(delta.refusal)
                for piece in delta.tool_calls or ():
                    self._take_call(piece)
            self._finish = choice.finish_reason or self._finish

    def _take_thought(self, delta: ChoiceDelta) -> Iterable[Chunk]:
        """Readable thinking, which several servers send in a field of their own. Nobody wants it back."""
        extra = delta.model_extra or {}
        thought = extra.get("reasoning_content") or extra.get("reasoning")
        if isinstance(thought, str) and thought:
            self._thoughts.append(thought)
            yield ReasoningTextChunk(thought)

    def _take_call(self, piece: ChoiceDeltaToolCall) -> None:
        index = piece.index if isinstance(piece.index, int) else len(self._calls)
        call = self._by_index.get(index)
        name = (piece.function.name if piece.function is not None else None) or ""
        if call is None or (piece.id and call.call_id and piece.id != call.call_id):
            call = self._by_index[index] = _OpenCall(piece.id or f"call_{len(self._calls)}", name)
            self._calls.append(call)
        elif not call.name:
            call.name = name
        if piece.function is not None and piece.function.arguments:
            call.pieces.append(piece.function.arguments)

    def end(self) -> Iterable[Chunk]:
        """The calls, and the last chunk; an answer that never said why it stopped was cut off."""
        if self._finish is None:
            raise ProviderInterruptedError(f"{self._label}'s answer broke off.")
        if self._thoughts:
            yield ReasoningChunk(ReasoningBlock(self._origin, "".join(self._thoughts)))
        for call in self._calls:
            yield ToolCallChunk(call.call_id, call.name, parse_arguments("".join(call.pieces)))
        reason = _FINISH_REASONS.get(self._finish, "other")
        if self._calls and reason == "completed":
            reason = "tool_call"
        yield StopChunk("refused" if self._refused else reason, self._usage, self._model)


def _counted(usage: CompletionUsage) -> TokenUsage:
    prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
    of_prompt, of_answer = usage.prompt_tokens_details, usage.completion_tokens_details
    return TokenUsage(
        prompt,
        completion,
        prompt + completion,
        cached_prompt_tokens=told(of_prompt.cached_tokens if of_prompt is not None else None),
        cache_write_tokens=told(of_prompt.cache_write_tokens if of_prompt is not None else None),
        reasoning_tokens=told(of_answer.reasoning_tokens if of_answer is not None else None),
    )


def told(count: int | None) -> int | UnsetType:
    """A count that a vendor may leave out."""
    return UNSET if count is None else count


def open_openai_client(*, api_key: str, base_url: str, timeout_s: float) -> AsyncOpenAI:
    """The official client without retries of its own. MissingExtraError when it is not installed."""
    try:
        import openai
    except ImportError:
        raise MissingExtraError("The provider 'openai'", "openai") from None
    timeout = httpx2.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))
    return openai.AsyncOpenAI(api_key=api_key, base_url=base_url, timeout=timeout, max_retries=0)


def _messages(request: ModelRequest, images: Mapping[str, str]) -> list[ChatCompletionMessageParam]:
    wire: list[JsonObject] = []
    if request.system:
        wire.append({"role": "system", "content": request.system})
    for message in request.messages:
        wire.extend(_turn(message, images))
    return cast("list[ChatCompletionMessageParam]", wire)


def _turn(message: ChatMessage, images: Mapping[str, str]) -> Iterable[JsonObject]:
    """One turn as the API's messages: results first, each its own; then the text. Tool messages hold no images here, so
    what tools show follows as a message of the user."""
    shown: list[ImageBlock] = []
    for block in message.content:
        if isinstance(block, ToolResultBlock):
            content = f"Error: {block.content}" if block.is_error else block.content
            yield {"role": "tool", "tool_call_id": block.call_id, "content": content}
            shown.extend(block.images)
    text = "\n".join(block.text for block in message.content if isinstance(block, TextBlock))
    calls = [_call(block) for block in message.content if isinstance(block, ToolUseBlock)]
    shown.extend(block for block in message.content if isinstance(block, ImageBlock))
    if calls:
        yield {"role": message.role, "content": text or None, "tool_calls": calls}
    elif shown:
        parts: list[Json] = [{"type": "text", "text": text}] if text else []
        parts += [{"type": "image_url", "image_url": {"url": data_url(image, images)}} for image in shown]
        yield {"role": message.role, "content": parts}
    elif text:
        yield {"role": message.role, "content": text}


def data_url(image: ImageBlock, images: Mapping[str, str]) -> str:
    """An image as OpenAI's APIs take it (RFC 2397)."""
    return f"data:{image.media_type};base64,{images[image.blob]}"


def _call(block: ToolUseBlock) -> JsonObject:
    return {
        "id": block.call_id,
        "type": "function",
        "function": {"name": block.tool_name, "arguments": argument_text(block.arguments)},
    }


def argument_text(arguments: Json) -> str:
    """OpenAI's APIs take arguments as text; what was not JSON goes back as it came."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def _tools(request: ModelRequest) -> list[ChatCompletionToolParam]:
    return [
        cast(
            "ChatCompletionToolParam",
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.input_schema},
            },
        )
        for tool in request.tools
    ]
