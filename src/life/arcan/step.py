"""One model call: the request goes out, text is streamed as it comes, the whole answer is kept for the journal."""

from __future__ import annotations

from collections.abc import Callable

from life.aios.errors import ProviderError
from life.aios.ports.provider import ModelProvider, ModelRequest, StopChunk, TextChunk, ToolCallChunk
from life.arcan.errors import ProviderInterruptedError
from life.arcan.unicode import ends_in_half, whole_characters


class ModelCall:
    """The answer while it comes in. After `run` it is whole; after an interruption it is what had arrived."""

    def __init__(self, provider: ModelProvider, request: ModelRequest, on_text: Callable[[str], None]) -> None:
        self._provider = provider
        self._request = request
        self._on_text = on_text
        self._text: list[str] = []
        self._half = ""
        self.calls: list[ToolCallChunk] = []
        self.stop: StopChunk | None = None

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self._text)

    async def run(self) -> StopChunk:
        """The end of the answer. Failures are ProviderErrors, whatever the provider raised."""
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

    def _take(self, chunk: TextChunk | ToolCallChunk | StopChunk) -> None:
        if isinstance(chunk, TextChunk):
            text, self._half = self._half + chunk.text, ""
            if ends_in_half(text):
                text, self._half = text[:-1], text[-1:]
            self._say(whole_characters(text))
        elif isinstance(chunk, ToolCallChunk):
            self.calls.append(_storable(chunk))
        else:
            self.stop = chunk

    def _say(self, text: str) -> None:
        if text:
            self._text.append(text)
            self._on_text(text)


def _storable(call: ToolCallChunk) -> ToolCallChunk:
    arguments = whole_characters(call.arguments) if isinstance(call.arguments, str) else call.arguments
    return ToolCallChunk(call.call_id, whole_characters(call.tool_name), arguments)
