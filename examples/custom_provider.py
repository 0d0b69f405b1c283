"""A model of one's own: anything that can stream chunks is a provider. Offline; this one counts words instead of thinking.

A real one would send `request` to a server and yield what comes back. It passes the same tests as the built-in ones:
subclass `life.testing.provider.ProviderSuite` (docs/models.md).
"""

import asyncio
from collections.abc import AsyncIterator

import life
from life.aios.ports.provider import (
    Chunk,
    ModelRequest,
    StopChunk,
    TextBlock,
    TextChunk,
    ToolCallChunk,
    ToolResultBlock,
)
from life.aios.state import TokenUsage


class WordCounter:
    """Writes the number of words into a file, then says so. The request carries the whole conversation: no state here."""

    name = "words:counter"

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """One answer, piece by piece, with one StopChunk at its end. Failures would be ProviderErrors."""
        last = request.messages[-1].content
        words = sum(len(block.text.split()) for block in last if isinstance(block, TextBlock))
        usage = TokenUsage(words, 1, words + 1)
        if any(isinstance(block, ToolResultBlock) for block in last):
            for piece in ("The number ", "is in words.txt."):
                yield TextChunk(piece)
            yield StopChunk("completed", usage)
        else:
            yield ToolCallChunk("count", "write_file", {"path": "words.txt", "content": f"{words} words\n"})
            yield StopChunk("tool_call", usage)


async def main() -> None:
    async with life.open(".life", provider=WordCounter()) as agent:
        report = await agent.ask("How many words are in this sentence?")
        print(report.final_answer)


asyncio.run(main())
