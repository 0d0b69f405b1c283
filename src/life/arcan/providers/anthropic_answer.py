"""An answer of Anthropic's Messages API as it comes in, event by event, put into the port's chunks.

Source: the API's streaming documentation (message_start, content_block_*, message_delta, message_stop; ping and kinds
that are not known are passed over) and the types of the official client.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from msgspec import UNSET

from life.aios.ports.provider import (
    Chunk,
    ReasoningBlock,
    ReasoningChunk,
    ReasoningTextChunk,
    StopChunk,
    StopReason,
    TextChunk,
    ToolCallChunk,
)
from life.aios.state import TokenUsage
from life.arcan.errors import ProviderInterruptedError
from life.arcan.providers.tool_arguments import parse_arguments

if TYPE_CHECKING:
    from anthropic.types import (
        MessageDeltaUsage,
        RawContentBlockDeltaEvent,
        RawContentBlockStartEvent,
        RawMessageStreamEvent,
        Usage,
    )

VENDOR: Final = "Anthropic"

_STOP_REASONS: Final[dict[str, StopReason]] = {
    "end_turn": "completed",
    "stop_sequence": "completed",
    "tool_use": "tool_call",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "max_tokens",
    "refusal": "refused",
}


class _OpenCall:
    """A tool call that is still coming in."""

    def __init__(self, call_id: str, name: str, given: str) -> None:
        self.call_id = call_id
        self.name = name
        self.pieces = [given]


class _OpenThought:
    """A thinking block that is still coming in."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.signature: list[str] = []


class AnthropicAnswer:
    """What has arrived of one answer."""

    def __init__(self, origin: str) -> None:
        self.begun = False
        self._origin = origin
        self._calls: dict[int, _OpenCall] = {}
        """Open calls by block."""
        self._thoughts: dict[int, _OpenThought] = {}
        self._stop: str | None = None
        self._model: str | None = None
        self._usage = _Usage()

    def take(self, event: RawMessageStreamEvent) -> Iterable[Chunk]:
        """The chunks that an event completes. Events and blocks of kinds that are not known are passed over."""
        self.begun = True
        match event.type:
            case "message_start":
                self._model = event.message.model
                self._usage.take(event.message.usage)
            case "content_block_start":
                yield from self._started(event)
            case "content_block_delta":
                yield from self._delta(event)
            case "content_block_stop":
                yield from self._finished(event.index)
            case "message_delta":
                if event.delta.stop_reason is not None:
                    self._stop = event.delta.stop_reason
                self._usage.take(event.usage)
            case _:
                pass

    def end(self) -> StopChunk:
        """The last chunk; an answer that never said why it stopped was cut off."""
        if self._stop is None:
            raise ProviderInterruptedError(f"{VENDOR}'s answer broke off.")
        return StopChunk(_STOP_REASONS.get(self._stop, "other"), self._usage.counted(), self._model)

    def _started(self, event: RawContentBlockStartEvent) -> Iterable[Chunk]:
        block = event.content_block
        if block.type == "tool_use":
            given = json.dumps(block.input) if block.input else ""  # some servers send it whole
            self._calls[event.index] = _OpenCall(block.id, block.name, given)
        elif block.type == "thinking":
            thought = self._thoughts[event.index] = _OpenThought()
            thought.text.append(block.thinking or "")
            thought.signature.append(block.signature or "")
        elif block.type == "redacted_thinking":
            yield ReasoningChunk(ReasoningBlock(self._origin, sealed={"data": block.data}))
        elif block.type == "text" and block.text:
            yield TextChunk(block.text)

    def _delta(self, event: RawContentBlockDeltaEvent) -> Iterable[Chunk]:
        delta = event.delta
        if delta.type == "text_delta":
            yield TextChunk(delta.text)
        elif delta.type == "input_json_delta" and event.index in self._calls:
            self._calls[event.index].pieces.append(delta.partial_json)
        elif delta.type == "thinking_delta" and event.index in self._thoughts:
            self._thoughts[event.index].text.append(delta.thinking)
            yield ReasoningTextChunk(delta.thinking)
        elif delta.type == "signature_delta" and event.index in self._thoughts:
            self._thoughts[event.index].signature.append(delta.signature)

    def _finished(self, index: int) -> Iterable[Chunk]:
        call = self._calls.pop(index, None)
        if call is not None:
            yield ToolCallChunk(call.call_id, call.name, parse_arguments("".join(call.pieces)))
        thought = self._thoughts.pop(index, None)
        if thought is not None:
            text, signature = "".join(thought.text), "".join(thought.signature)
            yield ReasoningChunk(ReasoningBlock(self._origin, text, {"signature": signature}))


class _Usage:
    """The counts of an answer; later events say the totals so far."""

    def __init__(self) -> None:
        self._input = self._output = 0
        self._written: int | None = None
        self._read: int | None = None
        self._thinking: int | None = None

    def take(self, usage: Usage | MessageDeltaUsage | None) -> None:
        """Counts of one event; what it leaves out stays as it was."""
        if usage is None:
            return
        if usage.input_tokens is not None:
            self._input = usage.input_tokens
        if usage.output_tokens is not None:
            self._output = usage.output_tokens
        if usage.cache_creation_input_tokens is not None:
            self._written = usage.cache_creation_input_tokens
        if usage.cache_read_input_tokens is not None:
            self._read = usage.cache_read_input_tokens
        if usage.output_tokens_details is not None:
            self._thinking = usage.output_tokens_details.thinking_tokens

    def counted(self) -> TokenUsage:
        """In our terms: the prompt is all of it, cached or not."""
        prompt = self._input + (self._written or 0) + (self._read or 0)
        return TokenUsage(
            prompt,
            self._output,
            prompt + self._output,
            cached_prompt_tokens=UNSET if self._read is None else self._read,
            cache_write_tokens=UNSET if self._written is None else self._written,
            reasoning_tokens=UNSET if self._thinking is None else self._thinking,
        )
