"""Asking again: one retry policy for all providers.

Repeated are failures that say repeating can help (429, 5xx, time-outs, connections), and only before the first piece of
the answer: what was streamed can't be taken back. Waiting grows exponentially with jitter; a Retry-After that the vendor
sent is kept to, up to a limit beyond which the failure is passed on at once. All attempts together have a time limit, too.
Every repetition is a notice, and so stands in the journal.

Source: arcan.md §4 (Build).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import msgspec

from life.aios.errors import ProviderError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.provider import ANSWER_CHUNKS, Chunk, ModelNotice, ModelProvider, ModelRequest, NoticeChunk
from life.arcan.errors import ProviderCircuitOpenError

_JITTER_STEPS: Final = 2**16


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how long. Times in milliseconds."""

    attempts: int = 4
    first_wait_ms: int = 500
    longest_wait_ms: int = 20_000
    longest_retry_after_ms: int = 60_000
    """A vendor that wants more is not waited for."""
    total_ms: int = 300_000
    """After so long no further attempt begins."""
    waits_for_circuit: bool = True
    """Whether to wait until a provider that is left alone may be asked again. Not where another one follows."""


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

    def knows_price(self) -> bool:
        """As the inner provider."""
        known = getattr(self._inner, "knows_price", None)
        return bool(known()) if known is not None else False

    async def aclose(self) -> None:
        """Close the inner provider's connections, if it has any."""
        close = getattr(self._inner, "aclose", None)
        if close is not None:
            await close()

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """The first answer that begins; the last failure when none does."""
        attempt = 1
        began_us = self._clock.monotonic_us()
        while True:
            begun = False
            chunks = self._inner.stream(request)
            try:
                async for chunk in chunks:
                    begun = begun or isinstance(chunk, ANSWER_CHUNKS)
                    yield chunk
                return
            except ProviderError as error:
                wait_us = self._wait_us(error, attempt, self._clock.monotonic_us() - began_us)
                if begun or wait_us is None:
                    raise
                words = f"{error.code}: {error.message}"
            finally:
                close = getattr(chunks, "aclose", None)
                if close is not None:
                    await close()
            yield NoticeChunk(
                ModelNotice(what="retried", provider=self.name, error=words, attempt=attempt, wait_ms=wait_us // 1000)
            )
            attempt += 1
            await self._clock.sleep_us(wait_us)

    def _wait_us(self, error: ProviderError, attempt: int, elapsed_us: int) -> int | None:
        """How long to wait before the next attempt, or None for none."""
        policy = self._policy
        if not error.retryable or attempt >= policy.attempts:
            return None
        if isinstance(error, ProviderCircuitOpenError) and not policy.waits_for_circuit:
            return None
        asked_us: int | None = getattr(error, "retry_after_us", None)
        if asked_us is not None and asked_us > policy.longest_retry_after_ms * 1000:
            return None
        wait_us = self._step_us(attempt) if asked_us is None else asked_us
        return wait_us if elapsed_us + wait_us <= policy.total_ms * 1000 else None

    def _step_us(self, attempt: int) -> int:
        policy = self._policy
        full_us: int = min(policy.first_wait_ms << (attempt - 1), policy.longest_wait_ms) * 1000
        # Half of it certain, half by chance: many agents that were refused at once do not come back at once.
        share = int.from_bytes(self._entropy.token_bytes(2), "big")
        return full_us // 2 + full_us * share // (2 * _JITTER_STEPS)
