"""Circuit, rate limit and time limits: what stands around a vendor, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec import UNSET

from life.aios.errors import ProviderError
from life.aios.ports.provider import Chunk, ModelProvider, ModelRequest, NoticeChunk, StopChunk, TextChunk
from life.aios.state import TokenUsage
from life.arcan.errors import ProviderCircuitOpenError, ProviderRateLimitedError, ProviderUnavailableError
from life.arcan.providers.circuit import Circuit
from life.arcan.providers.guarded import GuardedProvider, TimeLimits
from life.arcan.providers.pricing import price_table
from life.arcan.providers.rate_limit import RateLimiter
from life.arcan.providers.retry import RetryingProvider, RetryPolicy
from life.arcan.providers.scripted import Script, ScriptedFailure, ScriptedProvider, ScriptedTurn
from life.testing.clock import ManualClock, SeededEntropy
from life.testing.provider import ASKED, answer, stop_of, text_of
from tests.arcan.providers.test_retry import NappingClock


def guarded(
    inner: ModelProvider,
    clock: ManualClock,
    *,
    circuit: Circuit | None = None,
    limiter: RateLimiter | None = None,
    limits: TimeLimits | None = None,
    vendor: str = "",
) -> GuardedProvider:
    """The wrapper under test."""
    return GuardedProvider(
        inner,
        clock=clock,
        circuit=circuit or Circuit(clock),
        limiter=limiter or RateLimiter(clock),
        prices=price_table(["scripted-model=1000000/2000000"]),
        vendor=vendor,
        limits=limits,
    )


def broken(clock: ManualClock, times: int | None = None) -> ScriptedProvider:
    """Unavailable so often, then "There."."""
    failure = ScriptedFailure(kind="unavailable", times=times)
    return ScriptedProvider(Script(turns=(ScriptedTurn(text="There.", error=failure),)), clock=clock)


async def fails(provider: ModelProvider) -> tuple[ProviderError, list[str]]:
    """The failure of a call, and its notices."""
    notices: list[str] = []
    with pytest.raises(ProviderError) as caught:
        async for chunk in provider.stream(ASKED):
            assert isinstance(chunk, NoticeChunk)
            notices.append(chunk.notice.what)
    return caught.value, notices


async def test_a_circuit_opens_rests_tries_and_closes() -> None:
    """Five failures in a row open it, nobody asks while it rests, one call tries after it, and success closes it."""
    clock = ManualClock()
    circuit, inner = Circuit(clock), broken(clock, times=6)
    provider = guarded(inner, clock, circuit=circuit)
    told = [(await fails(provider))[1] for _ in range(5)]
    assert told == [[], [], [], [], ["circuit_opened"]]
    error, _ = await fails(provider)
    assert isinstance(error, ProviderCircuitOpenError) and error.retry_after_us == 30_000_000
    assert (inner.requests, circuit.state) == (5, "open")
    clock.advance_us(30_000_000)
    assert (await fails(provider))[1] == ["circuit_opened"], "the trial failed"
    clock.advance_us(59_000_000)
    assert isinstance((await fails(provider))[0], ProviderCircuitOpenError), "it rests twice as long"
    clock.advance_us(1_000_000)
    assert text_of(await answer(provider)) == "There."
    assert circuit.state == "closed"


async def test_only_one_call_tries() -> None:
    """While one call tries, others are refused; a trial that was given up lets the next one try."""
    clock = ManualClock()
    circuit = Circuit(clock, failures=1)
    circuit.failed(ProviderUnavailableError("down"))
    clock.advance_us(30_000_000)
    circuit.enter("p")
    assert circuit.state == "trying"
    with pytest.raises(ProviderCircuitOpenError):
        circuit.enter("p")
    circuit.abandoned()
    circuit.enter("p")


def test_what_says_nothing_about_health_does_not_count() -> None:
    """A full quota is no broken provider."""
    circuit = Circuit(ManualClock(), failures=1)
    assert not circuit.failed(ProviderRateLimitedError("slow down"))
    assert circuit.state == "closed"


async def test_requests_per_minute_are_kept_in_the_order_of_coming() -> None:
    """Three calls with two a minute: the third waits half a minute, and its wait is a notice."""
    clock = ManualClock()
    limiter = RateLimiter(clock, requests_per_minute=2)
    provider = guarded(ScriptedProvider(Script(turns=(ScriptedTurn(text="x"),)), clock=clock), clock, limiter=limiter)
    await answer(provider)
    await answer(provider)
    third = asyncio.create_task(answer(provider))
    while not clock.sleepers:
        await asyncio.sleep(0)
    clock.advance_us(29_999_000)
    await asyncio.sleep(0)
    assert not third.done()
    clock.advance_us(1_000)
    chunks = await third
    assert isinstance(chunks[0], NoticeChunk)
    assert (chunks[0].notice.what, chunks[0].notice.wait_ms) == ("waited", 30_000)


async def test_tokens_per_minute_are_settled_with_what_was_used() -> None:
    """An estimate goes in, the true use is settled: the next call waits for what the last one really took."""
    clock = ManualClock()
    limiter = RateLimiter(clock, tokens_per_minute=600)
    assert await limiter.enter(10) == 0
    limiter.settle(10, 900)  # overdrawn by 300: ten a second come back
    entering = asyncio.create_task(limiter.enter(100))
    while not clock.sleepers:
        await asyncio.sleep(0)
    clock.advance_us(39_000_000)
    await asyncio.sleep(0)
    assert not entering.done()
    clock.advance_us(1_000_000)
    assert await entering == 40_000_000


async def test_a_call_larger_than_the_bucket_goes_out_when_it_is_full() -> None:
    """A prompt above the limit waits for a full bucket, not for ever."""
    clock = ManualClock()
    limiter = RateLimiter(clock, tokens_per_minute=100)
    assert await limiter.enter(10_000) == 0


async def test_giving_up_in_the_queue_leaves_it_in_order() -> None:
    """A cancelled call does not block the ones behind it."""
    clock = ManualClock()
    limiter = RateLimiter(clock, requests_per_minute=1)
    await limiter.enter(1)
    first, second = asyncio.create_task(limiter.enter(1)), asyncio.create_task(limiter.enter(1))
    while not clock.sleepers:
        await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    clock.advance_us(60_000_000)
    await second


class Slow:
    """Says a word, and then nothing until it is told to stop."""

    def __init__(self, words: int) -> None:
        self._words = words
        self.closed = False

    @property
    def name(self) -> str:
        """For the journal."""
        return "slow:scripted-model"

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """Words, then silence."""
        try:
            for _ in range(self._words):
                yield TextChunk("Half ")
            await asyncio.get_running_loop().create_future()
        finally:
            self.closed = True


@pytest.mark.parametrize(
    ("words", "after_ms", "code"),
    [(0, 2_000, "arcan.provider_unreachable"), (1, 3_000, "arcan.provider_interrupted")],
)
async def test_time_limits(words: int, after_ms: int, code: str) -> None:
    """Until the first piece, and between two: past it the call is closed and the failure says which."""
    clock = ManualClock()
    inner = Slow(words)
    limits = TimeLimits(first_piece_ms=2_000, idle_ms=3_000)
    task = asyncio.create_task(answer(guarded(inner, clock, limits=limits)))
    for _ in range(after_ms // 500):
        assert not task.done()
        for _ in range(5):
            await asyncio.sleep(0)
        clock.advance_us(500_000)
    with pytest.raises(ProviderError) as caught:
        await task
    assert (caught.value.code, caught.value.retryable, inner.closed) == (code, True, True)


async def test_all_of_it_has_a_limit_too() -> None:
    """An answer that never ends is ended."""

    class Endless(Slow):
        async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
            try:
                while True:
                    yield TextChunk("and ")
                    await clock.sleep_us(400_000)
            finally:
                self.closed = True

    clock = ManualClock()
    inner = Endless(0)
    task = asyncio.create_task(answer(guarded(inner, clock, limits=TimeLimits(total_ms=5_000))))
    for _ in range(60):
        for _ in range(5):
            await asyncio.sleep(0)
        clock.advance_us(100_000)
    with pytest.raises(ProviderError) as caught:
        await task
    assert (caught.value.code, inner.closed) == ("arcan.provider_interrupted", True)


async def test_a_callers_cancellation_stays_one() -> None:
    """Who cancels gets CancelledError, not a time limit."""
    clock = ManualClock()
    inner = Slow(1)
    task = asyncio.create_task(answer(guarded(inner, clock)))
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert inner.closed


async def test_the_answer_gets_its_price() -> None:
    """By the model that answered, or by the one that was asked; without a price the cost stays unset."""

    class Priced(Slow):
        async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
            yield StopChunk("completed", TokenUsage(3, 4, 7), self.model)

        model: str | None = None

    clock = ManualClock()
    inner = Priced(0)
    for model, cost in ((None, 11), ("scripted-model-2026-01-01", 11), ("other", 11)):
        inner.model = model
        usage = stop_of(await answer(guarded(inner, clock))).usage
        assert usage is not None and usage.cost_micro == cost
    unknown = ScriptedProvider(Script(turns=(ScriptedTurn(text="x", usage=TokenUsage(1, 1, 2)),)), clock=clock)
    usage = stop_of(await answer(guarded(unknown, clock))).usage
    assert usage is not None and usage.cost_micro is UNSET


async def test_retries_have_a_time_limit_and_are_told() -> None:
    """No attempt begins after the total time; every repetition is a notice with its reason and its wait."""
    clock = NappingClock()
    inner = broken(clock)
    policy = RetryPolicy(attempts=20, first_wait_ms=10_000, longest_wait_ms=10_000, total_ms=25_000)
    error, notices = await fails(RetryingProvider(inner, clock=clock, entropy=SeededEntropy(), policy=policy))
    assert error.code == "arcan.provider_unavailable"
    assert 2 <= len(notices) <= 4 and set(notices) == {"retried"}
    assert sum(clock.naps_ms) <= 25_000 and inner.requests == len(notices) + 1


@pytest.mark.parametrize(("waits", "requests"), [(True, 1), (False, 0)])
async def test_an_open_circuit_is_waited_for_only_where_nobody_else_can_answer(waits: bool, requests: int) -> None:
    """The last one of a chain waits until it may be asked again; the others pass on at once."""
    clock = NappingClock()
    circuit = Circuit(clock, failures=1)
    circuit.failed(ProviderUnavailableError("down"))
    inner = ScriptedProvider(Script(turns=(ScriptedTurn(text="There."),)), clock=clock)
    provider = RetryingProvider(
        guarded(inner, clock, circuit=circuit),
        clock=clock,
        entropy=SeededEntropy(),
        policy=RetryPolicy(waits_for_circuit=waits),
    )
    if waits:
        assert text_of(await answer(provider)) == "There."
    else:
        assert isinstance((await fails(provider))[0], ProviderCircuitOpenError)
    assert inner.requests == requests
