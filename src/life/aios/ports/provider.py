"""Model providers: a stream of typed chunks for a structured request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, Literal, Protocol

import msgspec

from life.aios.json import Json, JsonObject
from life.aios.state import TokenUsage

StopReason = Literal["completed", "tool_call", "max_tokens", "refused", "other"]


class TextBlock(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """Text of the user or the assistant."""

    text: str


class ImageBlock(msgspec.Struct, frozen=True, tag_field="type", tag="image"):
    """An image. Its bytes are a blob; only its SHA-256 (64 hex digits) stands here and in the journal."""

    blob: str
    media_type: str
    """`image/png`, `image/jpeg`, `image/gif` or `image/webp`."""


class ReasoningBlock(msgspec.Struct, frozen=True, tag_field="type", tag="reasoning", omit_defaults=True):
    """What the model thought before what follows it. Never shown as part of the answer."""

    origin: str
    """The name of the provider it came from (`anthropic:claude-…`); it means nothing to any other and is not sent there."""
    text: str = ""
    """The part that people may read; empty when the vendor shows none."""
    sealed: Json = None
    """The vendor's signed or encrypted payload. Only its origin reads it, and it goes back as it came."""


class ToolUseBlock(msgspec.Struct, frozen=True, tag_field="type", tag="tool_use"):
    """The assistant asked for a tool. `arguments` is a JSON object; what was not valid JSON is a string."""

    call_id: str
    tool_name: str
    arguments: Json
    vendor_id: str = ""
    """The id that the vendor gave it, kept beside reasoning; `call_id` is unique in the session, this may not be."""


class ToolResultBlock(msgspec.Struct, frozen=True, tag_field="type", tag="tool_result"):
    """What a tool call gave."""

    call_id: str
    content: str
    is_error: bool = False
    images: tuple[ImageBlock, ...] = ()


Block = TextBlock | ImageBlock | ReasoningBlock | ToolUseBlock | ToolResultBlock


class ChatMessage(msgspec.Struct, frozen=True):
    """One turn. Tool results stand in user turns."""

    role: Literal["user", "assistant"]
    content: tuple[Block, ...]


class ToolSpec(msgspec.Struct, frozen=True):
    """A tool as the model sees it."""

    name: str
    description: str
    input_schema: JsonObject


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the model is given. The same events give the same request, byte for byte."""

    messages: tuple[ChatMessage, ...]
    system: str = ""
    tools: tuple[ToolSpec, ...] = ()
    max_output_tokens: int = 4096
    earlier_answers: int = 0
    """Answers of this conversation that are not among the messages, because a summary stands for them. Not sent to vendors."""
    cache_key: str = ""
    """The same for all requests of one conversation, for vendors that route by it to a warm cache."""


class TextChunk(msgspec.Struct, frozen=True):
    """A piece of the answer's text."""

    text: str


class ReasoningTextChunk(msgspec.Struct, frozen=True):
    """A piece of readable thinking, while it comes. The whole follows as a ReasoningChunk."""

    text: str


class ReasoningChunk(msgspec.Struct, frozen=True):
    """A whole piece of reasoning, standing where the model put it among text and calls."""

    block: ReasoningBlock


class ToolCallChunk(msgspec.Struct, frozen=True):
    """A whole tool call, once its arguments are complete. Invalid JSON stays text, for the runtime to report back."""

    call_id: str
    tool_name: str
    arguments: Json


class StopChunk(msgspec.Struct, frozen=True):
    """The end of the answer: always the last chunk, exactly once."""

    reason: StopReason
    usage: TokenUsage | None = None
    model: str | None = None
    """The model that answered, as its vendor names it."""


NoticeKind = Literal["retried", "fell_back", "waited", "circuit_opened"]


class ModelNotice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something about the call that people will want to know later, and that is no part of the answer."""

    what: NoticeKind
    provider: str
    """Where it happened."""
    error: str = ""
    """`code: message` of the failure behind it."""
    attempt: int = 0
    """The attempt that failed, from 1."""
    wait_ms: int = 0
    """How long is waited before the next attempt, or was waited for the rate limit."""
    next_provider: str = ""
    """Who is asked instead."""


class NoticeChunk(msgspec.Struct, frozen=True):
    """A notice, as soon as it is known; also before an answer that fails in the end."""

    notice: ModelNotice


Chunk = TextChunk | ReasoningTextChunk | ReasoningChunk | ToolCallChunk | NoticeChunk | StopChunk
ANSWER_CHUNKS: Final = (TextChunk, ReasoningTextChunk, ReasoningChunk, ToolCallChunk, StopChunk)
"""What belongs to an answer: after the first of these it has begun, and is not asked for again unseen."""


class ModelProvider(Protocol):
    """A model behind some API. Stateless: the request carries the whole conversation."""

    @property
    def name(self) -> str:
        """For the journal: `scripted`, `anthropic:claude-…`."""
        ...

    def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """The answer as it comes, ending with one StopChunk. Failures are ProviderErrors; `retryable` says whether
        repeating can help, and nothing was executed by a failed call. Closing the iterator cancels the call."""
        ...
