"""OpenAI's Responses API, through the official client (extra `openai`).

Nothing is stored at the vendor (`store: false`): the request carries the whole conversation, and reasoning items go back
encrypted as they came, in their places, with the vendor's own call ids. No retries of the client's own. Requests of one
conversation carry the same `prompt_cache_key`, so that they meet the cache that the last one warmed.

Source: the API reference of `POST /v1/responses`, its streaming events, and the guide to keeping reasoning items.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Final, cast

import httpx2

from life.aios.errors import ProviderError
from life.aios.json import Json, JsonObject
from life.aios.ports.clock import Clock
from life.aios.ports.provider import (
    Block,
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
from life.arcan.providers.openai_compatible import argument_text, data_url, open_openai_client, told
from life.arcan.providers.refused_thoughts import RefusedThoughts
from life.arcan.providers.tool_arguments import parse_arguments
from life.arcan.providers.translation import Effort, ReadImage, call_ids, load_images
from life.arcan.providers.vendor_errors import connection_error, error_of_status, error_of_type, unreadable

if TYPE_CHECKING:
    import openai
    from openai import AsyncStream
    from openai.types.responses import (
        Response,
        ResponseInputParam,
        ResponseOutputItem,
        ResponseReasoningItem,
        ResponseStreamEvent,
        ResponseUsage,
        ToolParam,
    )

DEFAULT_MODEL: Final = "gpt-5.4-mini"
DEFAULT_BASE_URL: Final = "https://api.openai.com/v1"
VENDOR: Final = "OpenAI"

_INCOMPLETE: Final[dict[str, StopReason]] = {"max_output_tokens": "max_tokens", "content_filter": "refused"}


class OpenAIResponsesProvider:
    """An OpenAI model behind the Responses API (life.aios.ports.provider.ModelProvider)."""

    def __init__(
        self,
        *,
        api_key: str,
        clock: Clock,
        model: str = DEFAULT_MODEL,
        base_url: str = DEFAULT_BASE_URL,
        timeout_s: float = 120.0,
        effort: Effort | None = None,
        read_image: ReadImage | None = None,
    ) -> None:
        """`timeout_s` limits every wait for bytes. `effort` asks a reasoning model for that depth and for a readable
        summary. MissingExtraError without the client."""
        self._client = open_openai_client(api_key=api_key, base_url=base_url, timeout_s=timeout_s)
        self._api_key = api_key
        self._clock = clock
        self._model = model
        self._effort = effort
        self._read_image = read_image
        self._refused = RefusedThoughts(self.name)

    @property
    def name(self) -> str:
        """`openai:<model>`."""
        return f"openai:{self._model}"

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """See life.aios.ports.provider.ModelProvider."""
        images = await load_images(request, self._read_image)
        answer = self._refused.ask(request, lambda asked: self._attempt(asked, images))
        try:
            async for chunk in answer:
                yield chunk
        finally:
            await answer.aclose()

    async def _attempt(self, request: ModelRequest, images: Mapping[str, str]) -> AsyncGenerator[Chunk, None]:
        import openai

        answer = _Answer(self.name, self._api_key)
        events: AsyncStream[ResponseStreamEvent] | None = None
        try:
            events = await self._client.responses.create(
                model=self._model,
                input=_input(request, self.name, images),
                instructions=request.system or openai.omit,
                tools=_tools(request) or openai.omit,
                max_output_tokens=request.max_output_tokens,
                prompt_cache_key=request.cache_key or openai.omit,
                reasoning={"effort": self._effort, "summary": "auto"} if self._effort else openai.omit,
                include=["reasoning.encrypted_content"] if self._effort else openai.omit,
                store=False,
                stream=True,
            )
            async for event in events:
                for chunk in answer.take(event):
                    yield chunk
        except openai.APIStatusError as error:
            raise self._status_error(error) from None
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            raise connection_error(VENDOR, error, begun=answer.begun) from None
        except openai.APIError as error:
            kind = error.type or error.code or ""
            raise error_of_type(VENDOR, kind, error.message, api_key=self._api_key) from None
        except (
            ValueError,
            TypeError,
            AttributeError,
        ) as error:  # fields that the protocol promises and that are not there
            raise unreadable(VENDOR, error) from None
        finally:
            if events is not None:
                await events.close()
        yield answer.end()

    def _status_error(self, error: openai.APIStatusError) -> ProviderError:
        return error_of_status(
            VENDOR,
            error.status_code,
            error.message,
            headers=error.response.headers,
            api_key=self._api_key,
            now_us=self._clock.now_us(),
        )


class _Answer:
    """What has arrived of one answer."""

    def __init__(self, origin: str, api_key: str) -> None:
        self.begun = False
        self._origin = origin
        self._api_key = api_key
        self._called = False
        self._refused = False
        self._final: Response | None = None

    def take(self, event: ResponseStreamEvent) -> Iterable[Chunk]:
        """The chunks that an event completes. Events of kinds that are not known are passed over."""
        self.begun = True
        match event.type:
            case "response.output_text.delta":
                yield TextChunk(event.delta)
            case "response.refusal.delta":
                self._refused = True
                yield TextChunk(event.delta)
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                yield ReasoningTextChunk(event.delta)
            case "response.output_item.done":
                yield from self._item(event.item)
            case "response.completed" | "response.incomplete":
                self._final = event.response
            case "response.failed":
                failure = event.response.error
                code, words = (failure.code, failure.message) if failure is not None else ("", "no reason was given")
                raise error_of_type(VENDOR, code, words, api_key=self._api_key)
            case "error":
                raise error_of_type(VENDOR, event.code or "", event.message, api_key=self._api_key)
            case _:
                pass

    def end(self) -> StopChunk:
        """The last chunk; an answer without its final event was cut off."""
        final = self._final
        if final is None:
            raise ProviderInterruptedError(f"{VENDOR}'s answer broke off.")
        reason: StopReason = "tool_call" if self._called else "completed"
        if final.status == "incomplete":
            why = final.incomplete_details.reason if final.incomplete_details is not None else None
            reason = _INCOMPLETE.get(why or "", "other")
        usage = _counted(final.usage) if final.usage is not None else None
        return StopChunk("refused" if self._refused else reason, usage, final.model)

    def _item(self, item: ResponseOutputItem) -> Iterable[Chunk]:
        if item.type == "function_call":
            self._called = True
            yield ToolCallChunk(item.call_id, item.name, parse_arguments(item.arguments))
        elif item.type == "reasoning":
            yield ReasoningChunk(_sealed(item, self._origin))


def _sealed(item: ResponseReasoningItem, origin: str) -> ReasoningBlock:
    """A reasoning item as it has to go back: its id, its encrypted content and its summary, part by part."""
    summary = [part.text for part in item.summary]
    sealed: dict[str, Json] = {"id": item.id, "summary": list(summary)}
    if item.encrypted_content is not None:
        sealed["encrypted_content"] = item.encrypted_content
    return ReasoningBlock(origin, "\n\n".join(summary), sealed)


def _counted(usage: ResponseUsage) -> TokenUsage:
    of_prompt, of_answer = usage.input_tokens_details, usage.output_tokens_details
    return TokenUsage(
        usage.input_tokens,
        usage.output_tokens,
        usage.input_tokens + usage.output_tokens,
        cached_prompt_tokens=told(of_prompt.cached_tokens if of_prompt is not None else None),
        cache_write_tokens=told(getattr(of_prompt, "cache_write_tokens", None)),
        reasoning_tokens=told(of_answer.reasoning_tokens if of_answer is not None else None),
    )


def _input(request: ModelRequest, origin: str, images: Mapping[str, str]) -> ResponseInputParam:
    """The conversation as items, in order."""
    ids = call_ids(request.messages, origin)
    items = [item for message in request.messages for item in _items(message, origin, ids, images)]
    return cast("ResponseInputParam", items)


def _items(
    message: ChatMessage, origin: str, ids: Mapping[str, str], images: Mapping[str, str]
) -> Iterable[JsonObject]:
    said: list[Json] = []
    for block in message.content:
        if message.role == "user" and isinstance(block, TextBlock | ImageBlock):
            said.append(_part(block, images))
        elif isinstance(block, TextBlock):
            if block.text:
                yield {"role": "assistant", "content": block.text}
        elif isinstance(block, ReasoningBlock):
            if block.origin == origin and isinstance(block.sealed, dict):
                yield _reasoning(block.sealed)
        elif isinstance(block, ToolUseBlock):
            yield {
                "type": "function_call",
                "call_id": ids.get(block.call_id, block.call_id),
                "name": block.tool_name,
                "arguments": argument_text(block.arguments),
            }
        elif isinstance(block, ToolResultBlock):
            yield _result(block, ids, images)
    if said:
        yield {"role": "user", "content": said}


def _reasoning(sealed: Mapping[str, Json]) -> JsonObject:
    texts = sealed.get("summary")
    summary: list[Json] = [
        {"type": "summary_text", "text": text} for text in (texts if isinstance(texts, list | tuple) else ())
    ]
    item: dict[str, Json] = {"type": "reasoning", "id": sealed.get("id", ""), "summary": summary}
    if "encrypted_content" in sealed:
        item["encrypted_content"] = sealed["encrypted_content"]
    return item


def _result(block: ToolResultBlock, ids: Mapping[str, str], images: Mapping[str, str]) -> JsonObject:
    text = f"Error: {block.content}" if block.is_error else block.content
    output: Json = text
    if block.images:
        output = [{"type": "input_text", "text": text}, *(_part(image, images) for image in block.images)]
    return {"type": "function_call_output", "call_id": ids.get(block.call_id, block.call_id), "output": output}


def _part(block: Block, images: Mapping[str, str]) -> JsonObject:
    if isinstance(block, ImageBlock):
        return {"type": "input_image", "image_url": data_url(block, images), "detail": "auto"}
    assert isinstance(block, TextBlock)
    return {"type": "input_text", "text": block.text}


def _tools(request: ModelRequest) -> list[ToolParam]:
    return [
        cast(
            "ToolParam",
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.input_schema,
                "strict": False,
            },
        )
        for tool in request.tools
    ]
