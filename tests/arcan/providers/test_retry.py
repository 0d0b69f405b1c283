"""The shared retry: what is repeated, how long it waits, and what it never does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from life.aios.errors import ProviderError
from life.aios.ports.provider import Chunk, ModelProvider, ModelRequest, StopChunk, TextChunk
from life.arcan.errors import ProviderInterruptedError
from life.arcan.providers.retry import RetryingProvider, RetryPolicy
from life.arcan.providers.scripted import Script, ScriptedFailure, ScriptedProvider, ScriptedTurn
from life.testing.clock import ManualClock, SeededEntropy
from life.testing.provider import ASKED, answer, text_of


class NappingClock(ManualClock):
    """A clock on which sleeping takes no time but is noted, in milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        self.naps_ms: list[int] = []

    async def sleep_us(self, duration_us: int) -> None:
        """Note it and move on."""
        self.naps_ms.append(duration_us // 1000)
        self.advance_us(duration_us)


async def collect(provider: ModelProvider, clock: NappingClock) -> tuple[list[Chunk] | ProviderError, list[int]]:
    """The answer or its failure, and how long was waited before each attempt, in milliseconds."""
    try:
        return await answer(provider), clock.naps_ms
    except ProviderError as error:
        return error, clock.naps_ms


def failing(kind: str, times: int | None, clock: ManualClock, *, wait_ms: int | None = None) -> ScriptedProvider:
    """Fails so often, then says "There."."""
    failure = ScriptedFailure(kind=kind, times=times, retry_after_ms=wait_ms)  # type: ignore[arg-type]
    return ScriptedProvider(Script(turns=(ScriptedTurn(text="There.", error=failure),)), clock=clock)


def retrying(inner: ModelProvider, clock: ManualClock, policy: RetryPolicy | None = None) -> RetryingProvider:
    """The wrapper under test."""
    return RetryingProvider(inner, clock=clock, entropy=SeededEntropy(), policy=policy)


@pytest.mark.parametrize("kind", ["rate_limited", "unavailable", "unreachable"])
async def test_failures_before_the_answer_are_repeated(kind: str) -> None:
    """429, 5xx and connections are tried again, with growing waits between half and all of the step."""
    clock = NappingClock()
    inner = failing(kind, 3, clock)
    result, waits = await collect(retrying(inner, clock), clock)
    assert isinstance(result, list) and text_of(result) == "There."
    assert inner.requests == 4
    assert [low <= wait <= 2 * low + 1 for low, wait in zip((250, 500, 1000), waits, strict=True)] == [True] * 3


async def test_the_last_failure_is_passed_on() -> None:
    """After the last attempt the caller gets the failure itself."""
    clock = NappingClock()
    inner = failing("unavailable", None, clock)
    result, waits = await collect(retrying(inner, clock, RetryPolicy(attempts=3)), clock)
    assert isinstance(result, ProviderError) and result.code == "arcan.provider_unavailable"
    assert (inner.requests, len(waits)) == (3, 2)


@pytest.mark.parametrize("kind", ["unauthorized", "rejected"])
async def test_what_repeating_can_not_help_is_not_repeated(kind: str) -> None:
    """A wrong key and a wrong request fail at once."""
    clock = NappingClock()
    inner = failing(kind, None, clock)
    result, waits = await collect(retrying(inner, clock), clock)
    assert isinstance(result, ProviderError)
    assert (inner.requests, waits) == (1, [])


async def test_retry_after_is_kept_to() -> None:
    """The vendor's own time to wait is used as it is."""
    clock = NappingClock()
    result, waits = await collect(retrying(failing("rate_limited", 1, clock, wait_ms=7000), clock), clock)
    assert isinstance(result, list)
    assert waits == [7000]


async def test_a_vendor_that_wants_too_long_is_not_waited_for() -> None:
    """An hour's Retry-After fails now instead of holding the run."""
    clock = NappingClock()
    inner = failing("rate_limited", 1, clock, wait_ms=3_600_000)
    result, waits = await collect(retrying(inner, clock), clock)
    assert isinstance(result, ProviderError)
    assert (inner.requests, waits) == (1, [])


async def test_never_after_the_first_piece() -> None:
    """What was streamed can't be taken back: an answer that breaks off is not repeated here."""
    clock = NappingClock()
    failure = ScriptedFailure(kind="overloaded")
    inner = ScriptedProvider(Script(turns=(ScriptedTurn(text="Half ", error=failure),)), clock=clock)
    pieces = []
    with pytest.raises(ProviderError):
        async for chunk in retrying(inner, clock).stream(ASKED):
            pieces.append(chunk)
    assert (len(pieces), inner.requests) == (1, 1)


class Endless:
    """A model that never stops, and notes that it was told to."""

    def __init__(self) -> None:
        self.closed = False

    @property
    def name(self) -> str:
        return "endless"

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        try:
            while True:
                yield TextChunk("and ")
                await asyncio.sleep(0)
        finally:
            self.closed = True


async def test_closing_the_wrapper_closes_the_call() -> None:
    """A caller that stops listening stops the vendor's stream, too."""
    clock = NappingClock()
    inner = Endless()
    stream = retrying(inner, clock).stream(ASKED)
    async for _ in stream:
        break
    await stream.aclose()  # type: ignore[attr-defined]
    assert inner.closed


async def test_the_name_is_the_inner_one() -> None:
    """The journal names the model, not the wrapper."""
    clock = NappingClock()
    assert retrying(failing("rejected", None, clock), clock).name == "scripted"
    assert ProviderInterruptedError.retryable
    assert StopChunk("completed").usage is None
