"""One model call: the request goes out, text is streamed as it comes, the whole answer is kept for the journal."""

from __future__ import annotations

from collections.abc import Callable

from life.aios.errors import ProviderError
from life.aios.ports.clock import Clock
from life.aios.ports.provider import (
    Chunk,
    ModelNotice,
    ModelProvider,
    ModelRequest,
    NoticeChunk,
    ReasoningBlock,
    ReasoningChunk,
    StopChunk,
    TextChunk,
    ToolCallChunk,
)
from life.arcan.errors import ProviderInterruptedError
from life.arcan.events import PlacedReasoning, Reasoning
from life.arcan.unicode import ends_in_half, whole_characters


class ModelCall:
    """The answer while it comes in. After `run` it is whole; after an interruption it is what had arrived."""

    def __init__(
        self,
        provider: ModelProvider,
        request: ModelRequest,
        on_text: Callable[[str], None],
        *,
        on_notice: Callable[[ModelNotice], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`on_notice` hears what happens around the call; with a `clock` the time to its first piece is measured."""
        self._provider = provider
        self._request = request
        self._on_text = on_text
        self._on_notice = on_notice
        self._clock = clock
        self._asked_us = 0
        self._text: list[str] = []
        self._said = 0
        self._reasoning: list[PlacedReasoning] = []
        self.begun = False
        """Whether any piece of an answer has come."""
        self.first_token_ms: int | None = None
        self._half = ""
        self.calls: list[ToolCallChunk] = []
        self.stop: StopChunk | None = None

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._text)

    def becomes(self, text: str, calls: tuple[ToolCallChunk, ...]) -> None:
        """The answer as middleware leaves it. Thoughts are sealed to the very answer that they led to."""
        if text != self.text or list(calls) != self.calls:
            self._reasoning = []
        self._text = [text]
        self.calls = list(calls)

    @property
    def reasoning(self) -> Reasoning | None:
        """What the answer was thought out with, for the journal; None when nothing came."""
        if not self._reasoning:
            return None
        return Reasoning(blocks=tuple(self._reasoning), vendor_calls=tuple(call.call_id for call in self.calls))

    async def run(self) -> StopChunk:
        """The end of the answer. Failures are ProviderErrors, whatever the provider raised."""
        if self._clock is not None:
            self._asked_us = self._clock.monotonic_us()
        chunks = self._provider.stream(self._request)
        try:
            async for chunk in chunks:
                self._take(chunk)
        except ProviderError:
            raise
        except Exception as error:
            # A provider's defect must not take the run's journal with it; its words might hold a key, so only its type.
            raise ProviderError(f"The provider failed: {type(error).__name__}.") from error
        finally:
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()
        self._say(whole_characters(self._half))
        if self.stop is None:
            raise ProviderInterruptedError("The answer ended without its last chunk.")
        return self.stop

    def _take(self, chunk: Chunk) -> None:
        if isinstance(chunk, NoticeChunk):
            if self._on_notice is not None:
                self._on_notice(chunk.notice)
            return
        if not self.begun:
            self.begun = True
            if self._clock is not None:
                self.first_token_ms = (self._clock.monotonic_us() - self._asked_us) // 1000
        if isinstance(chunk, TextChunk):
            text, self._half = self._half + chunk.text, ""
            if ends_in_half(text):
                text, self._half = text[:-1], text[-1:]
            self._say(whole_characters(text))
        elif isinstance(chunk, ToolCallChunk):
            self.calls.append(_storable(chunk))
        elif isinstance(chunk, ReasoningChunk):
            block = _readable(chunk.block)
            self._reasoning.append(
                PlacedReasoning(block=block, after_characters=self._said, after_calls=len(self.calls))
            )
        elif isinstance(chunk, StopChunk):
            self.stop = chunk

    def _say(self, text: str) -> None:
        if text:
            self._text.append(text)
            self._said += len(text)
            self._on_text(text)


def _readable(block: ReasoningBlock) -> ReasoningBlock:
    text = whole_characters(block.text)
    return block if text == block.text else ReasoningBlock(block.origin, text, block.sealed)


def _storable(call: ToolCallChunk) -> ToolCallChunk:
    arguments = whole_characters(call.arguments) if isinstance(call.arguments, str) else call.arguments
    return ToolCallChunk(call.call_id, whole_characters(call.tool_name), arguments)
