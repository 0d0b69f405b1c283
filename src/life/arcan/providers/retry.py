"""Asking again: one retry policy for all providers.

Repeated are failures that say repeating can help (429, 5xx, time-outs, connections), and only before the first piece of
the answer: what was streamed can't be taken back. Waiting grows exponentially with jitter; a Retry-After that the vendor
sent is kept to, up to a limit beyond which the failure is passed on at once.

Source: arcan.md §4 (Build).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import msgspec

from life.aios.errors import ProviderError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.provider import Chunk, ModelProvider, ModelRequest

_JITTER_STEPS: Final = 2**16


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how long. Times in milliseconds."""

    attempts: int = 4
    first_wait_ms: int = 500
    longest_wait_ms: int = 20_000
    longest_retry_after_ms: int = 60_000
    """A vendor that wants more is not waited for."""


class RetryingProvider:
    """A provider that asks another one again (life.aios.ports.provider.ModelProvider)."""

    def __init__(
        self, inner: ModelProvider, *, clock: Clock, entropy: Entropy, policy: RetryPolicy | None = None
    ) -> None:
        self._inner = inner
        self._clock = clock
        self._entropy = entropy
        self._policy = policy or RetryPolicy()

    @property
    def name(self) -> str:
        """The inner provider's."""
        return self._inner.name

    async def aclose(self) -> None:
        """Close the inner provider's connections, if it has any."""
        close = getattr(self._inner, "aclose", None)
        if close is not None:
            await close()

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """The first answer that begins; the last failure when none does."""
        attempt = 1
        while True:
            begun = False
            chunks = self._inner.stream(request)
            try:
                async for chunk in chunks:
                    begun = True
                    yield chunk
                return
            except ProviderError as error:
                wait_us = self._wait_us(error, attempt)
                if begun or wait_us is None:
                    raise
            finally:
                close = getattr(chunks, "aclose", None)
                if close is not None:
                    await close()
            attempt += 1
            await self._clock.sleep_us(wait_us)

    def _wait_us(self, error: ProviderError, attempt: int) -> int | None:
        """How long to wait before the next attempt, or None for none."""
        policy = self._policy
        if not error.retryable or attempt >= policy.attempts:
            return None
        asked_us: int | None = getattr(error, "retry_after_us", None)
        if asked_us is not None:
            return asked_us if asked_us <= policy.longest_retry_after_ms * 1000 else None
        full_us: int = min(policy.first_wait_ms << (attempt - 1), policy.longest_wait_ms) * 1000
        # Half of it certain, half by chance: many agents that were refused at once do not come back at once.
        share = int.from_bytes(self._entropy.token_bytes(2), "big")
        return full_us // 2 + full_us * share // (2 * _JITTER_STEPS)
