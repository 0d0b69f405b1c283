"""What stands around every vendor's provider: its circuit, its rate limit, its time limits, and the price of its answers.

Time limits: until the first piece of an answer, between two pieces, and for all of it. Only waiting for the vendor counts.
A limit that is reached cancels the call, which closes its connection. (Connecting has a limit of its own, in the client.)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from life.aios.errors import ProviderError
from life.aios.ports.clock import Clock
from life.aios.ports.provider import (
    ANSWER_CHUNKS,
    Chunk,
    ModelNotice,
    ModelProvider,
    ModelRequest,
    NoticeChunk,
    StopChunk,
)
from life.arcan.errors import ProviderInterruptedError, ProviderUnreachableError
from life.arcan.providers.circuit import Circuit
from life.arcan.providers.pricing import PriceTable
from life.arcan.providers.rate_limit import RateLimiter

_POLL_US: Final = 500_000
_BYTES_PER_TOKEN: Final = 4

_encoder: Final = msgspec.json.Encoder()


class TimeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a vendor may take, in milliseconds."""

    first_piece_ms: int = 120_000
    idle_ms: int = 120_000
    """Between two pieces of an answer."""
    total_ms: int = 1_800_000


class GuardedProvider:
    """A vendor's provider within its limits (life.aios.ports.provider.ModelProvider)."""

    def __init__(
        self,
        inner: ModelProvider,
        *,
        clock: Clock,
        circuit: Circuit,
        limiter: RateLimiter,
        prices: PriceTable,
        vendor: str,
        limits: TimeLimits | None = None,
    ) -> None:
        """`vendor` names whose prices apply (`life.arcan.providers.pricing`); empty for services that set their own."""
        self._inner = inner
        self._clock = clock
        self._circuit = circuit
        self._limiter = limiter
        self._prices = prices
        self._vendor = vendor
        self._limits = limits or TimeLimits()

    @property
    def name(self) -> str:
        """The inner provider's."""
        return self._inner.name

    def knows_price(self) -> bool:
        """Whether the cost of its answers will be known."""
        return self._prices.rates(self._vendor, self.name.partition(":")[2]) is not None

    async def aclose(self) -> None:
        """Close the inner provider's connections, if it has any."""
        close = getattr(self._inner, "aclose", None)
        if close is not None:
            await close()

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """The inner answer, or the limit that it ran into."""
        estimated = len(_encoder.encode(request)) // _BYTES_PER_TOKEN if self._limiter.counts_tokens else 0
        waited_us = await self._limiter.enter(estimated)
        if waited_us:
            yield NoticeChunk(ModelNotice(what="waited", provider=self.name, wait_ms=waited_us // 1000))
        self._circuit.enter(self.name)
        chunks = self._inner.stream(request)
        watch = _Watch(self._clock, self._limits, self.name)
        settled = False
        try:
            watch.start()
            while (chunk := await watch.next(chunks)) is not None:
                if isinstance(chunk, StopChunk):
                    chunk = self._priced(chunk)
                    used = chunk.usage
                    self._limiter.settle(estimated, estimated if used is None else used.total_tokens)
                    self._circuit.succeeded()
                    settled = True
                yield chunk
        except ProviderError as error:
            settled = True
            if self._circuit.failed(error):
                words = f"{error.code}: {error.message}"
                yield NoticeChunk(ModelNotice(what="circuit_opened", provider=self.name, error=words))
            raise
        finally:
            watch.stop()
            if not settled:
                self._circuit.abandoned()
            close = getattr(chunks, "aclose", None)
            if close is not None:
                await close()

    def _priced(self, stop: StopChunk) -> StopChunk:
        usage = stop.usage
        if usage is None:
            return stop
        cost = self._prices.cost_micro(self._vendor, stop.model or self.name.partition(":")[2], usage)
        if cost is None and stop.model is not None:
            cost = self._prices.cost_micro(self._vendor, self.name.partition(":")[2], usage)
        if cost is None:
            return stop
        return msgspec.structs.replace(stop, usage=msgspec.structs.replace(usage, cost_micro=cost))


class _Watch:
    """Watches the time while a call waits for its vendor; the technique is that of `asyncio.timeout`."""

    def __init__(self, clock: Clock, limits: TimeLimits, name: str) -> None:
        self._clock = clock
        self._limits = limits
        self._name = name
        now_us = clock.monotonic_us()
        self._end_us = now_us + limits.total_ms * 1000
        self._until_us = min(self._end_us, now_us + limits.first_piece_ms * 1000)
        self._waiting: asyncio.Task[object] | None = None
        self._expired = False
        self._begun = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.get_running_loop().create_task(self._look())

    async def next(self, chunks: AsyncIterator[Chunk]) -> Chunk | None:
        """The next chunk, or None after the last. Past a limit: ProviderUnreachableError before the first piece, after it
        ProviderInterruptedError."""
        if self._begun:
            self._until_us = min(self._end_us, self._clock.monotonic_us() + self._limits.idle_ms * 1000)
        chunk = await self._next(chunks)
        self._begun = self._begun or isinstance(chunk, ANSWER_CHUNKS)
        return chunk

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()

    async def _next(self, chunks: AsyncIterator[Chunk]) -> Chunk | None:
        task = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        self._waiting = task
        try:
            return await anext(chunks, None)
        except asyncio.CancelledError:
            if self._expired and task.uncancel() <= cancelling:
                raise self._timeout() from None
            raise
        finally:
            self._waiting = None

    async def _look(self) -> None:
        while True:
            left_us = self._until_us - self._clock.monotonic_us()
            if left_us <= 0 and self._waiting is not None:
                self._expired = True
                self._waiting.cancel()
                return
            await self._clock.sleep_us(min(_POLL_US, max(left_us, 1_000)))

    def _timeout(self) -> ProviderError:
        if self._begun:
            return ProviderInterruptedError(f"{self._name} stopped answering: the time limit was reached.")
        return ProviderUnreachableError(f"No answer from {self._name}: the time limit was reached.")
