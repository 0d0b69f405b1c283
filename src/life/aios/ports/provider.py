"""Model providers: a stream of typed chunks for a structured request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, Protocol

import msgspec

from life.aios.json import Json, JsonObject
from life.aios.state import TokenUsage

StopReason = Literal["completed", "tool_call", "max_tokens", "refused", "other"]


class TextBlock(msgspec.Struct, frozen=True, tag_field="type", tag="text"):
    """Text of the user or the assistant."""

    text: str


class ToolUseBlock(msgspec.Struct, frozen=True, tag_field="type", tag="tool_use"):
    """The assistant asked for a tool. `arguments` is a JSON object; what was not valid JSON is a string."""

    call_id: str
    tool_name: str
    arguments: Json


class ToolResultBlock(msgspec.Struct, frozen=True, tag_field="type", tag="tool_result"):
    """What a tool call gave."""

    call_id: str
    content: str
    is_error: bool = False


Block = TextBlock | ToolUseBlock | ToolResultBlock


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


class TextChunk(msgspec.Struct, frozen=True):
    """A piece of the answer's text."""

    text: str


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


Chunk = TextChunk | ToolCallChunk | StopChunk


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
