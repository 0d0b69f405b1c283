"""Thoughts that their own vendor refuses.

Newer models bind a sealed thought to everything that stood before it, and sometimes to the account it was made for. When that
had to change (a compaction, other instructions, another key), the vendor refuses the request. It is then sent once more
without any thoughts, which every model accepts; and these thoughts are not tried again, since each attempt would cost
another refusal. What was refused is remembered for the life of the provider; after a restart it is learnt again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Final

from life.aios.ports.provider import Chunk, ModelNotice, ModelRequest, NoticeChunk
from life.arcan.errors import ProviderRejectedError
from life.arcan.providers.translation import own_reasoning, seals_of, without_reasoning

_REMEMBERED: Final = 10_000
_WORDS: Final = ("thinking", "signature", "reasoning", "encrypted")
"""What such a refusal is about."""


class RefusedThoughts:
    """What one provider's vendor has refused."""

    def __init__(self, origin: str) -> None:
        """`origin` is the provider's name: only its own thoughts are sent at all."""
        self._origin = origin
        self._seals: dict[str, None] = {}
        """Oldest first."""

    async def ask(
        self, request: ModelRequest, attempt: Callable[[ModelRequest], AsyncGenerator[Chunk, None]]
    ) -> AsyncGenerator[Chunk, None]:
        """The answer to the request, or to the same without thoughts when it is them that were refused."""
        if self._seals:
            request = without_reasoning(request, self._seals)
        thinks = any(own_reasoning(message, self._origin) for message in request.messages)
        begun = False
        chunks = attempt(request)
        try:
            async for chunk in chunks:
                begun = True
                yield chunk
            return
        except ProviderRejectedError as error:
            if begun or not (thinks and _is_about_thoughts(error)):
                raise
            refusal = f"{error.code}: {error.message}"
        finally:
            await chunks.aclose()
        self._remember(request)
        yield NoticeChunk(ModelNotice(what="retried", provider=self._origin, error=refusal, attempt=1))
        again = attempt(without_reasoning(request))
        try:
            async for chunk in again:
                yield chunk
        finally:
            await again.aclose()

    def _remember(self, request: ModelRequest) -> None:
        self._seals.update(dict.fromkeys(seals_of(request)))
        while len(self._seals) > _REMEMBERED:
            del self._seals[next(iter(self._seals))]


def _is_about_thoughts(error: ProviderRejectedError) -> bool:
    words = error.message.lower()
    return error.details.get("http_status") == 400 and any(word in words for word in _WORDS)
