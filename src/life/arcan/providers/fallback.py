"""A chain of providers: when one can't answer, the next is asked, in order.

Only before the first piece of an answer, because what was streamed can't be taken back. Any failure leads on: a provider
that is overloaded, a key that was withdrawn, a request that this model refuses. Each step and its reason is a notice, and
so stands in the journal. The conversation needs no translation of its own: it is kept in the port's blocks, and each
provider puts it into its vendor's words and leaves out reasoning that only another one can read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from life.aios.errors import InvalidInputError, ProviderError
from life.aios.ports.provider import ANSWER_CHUNKS, Chunk, ModelNotice, ModelProvider, ModelRequest, NoticeChunk


class FallbackProvider:
    """Providers in order of preference (life.aios.ports.provider.ModelProvider)."""

    def __init__(self, providers: Sequence[ModelProvider]) -> None:
        """At least one; InvalidInputError otherwise."""
        if not providers:
            raise InvalidInputError("A chain of providers needs at least one.")
        self._providers = tuple(providers)

    @property
    def name(self) -> str:
        """The names of all, in order, with commas between them."""
        return ", ".join(provider.name for provider in self._providers)

    def knows_price(self) -> bool:
        """Whether the cost of its answers will be known, whoever answers."""
        return all(knows_price(provider) for provider in self._providers)

    async def aclose(self) -> None:
        """Close all connections."""
        for provider in self._providers:
            close = getattr(provider, "aclose", None)
            if close is not None:
                await close()

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """The first answer that begins; the last failure when none does."""
        for place, provider in enumerate(self._providers):
            following = self._providers[place + 1] if place + 1 < len(self._providers) else None
            begun = False
            chunks = provider.stream(request)
            try:
                async for chunk in chunks:
                    begun = begun or isinstance(chunk, ANSWER_CHUNKS)
                    yield chunk
                return
            except ProviderError as error:
                if begun or following is None:
                    raise
                words = f"{error.code}: {error.message}"
            finally:
                close = getattr(chunks, "aclose", None)
                if close is not None:
                    await close()
            yield NoticeChunk(
                ModelNotice(what="fell_back", provider=provider.name, error=words, next_provider=following.name)
            )


def knows_price(provider: ModelProvider) -> bool:
    """Whether the cost of this provider's answers will be known."""
    known = getattr(provider, "knows_price", None)
    return bool(known()) if known is not None else False
