"""Every provider keeps the promises of the port: scripted and recorded ones by themselves, the others with the vendors'
official clients against wire transcripts on a local server."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from life.aios.errors import ProviderError
from life.aios.ports.provider import Chunk, ModelProvider, ModelRequest
from life.aios.state import TokenUsage
from life.arcan.providers.anthropic import AnthropicProvider
from life.arcan.providers.circuit import Circuit
from life.arcan.providers.fallback import FallbackProvider
from life.arcan.providers.gemini import GeminiProvider
from life.arcan.providers.guarded import GuardedProvider
from life.arcan.providers.openai_compatible import OpenAICompatibleProvider
from life.arcan.providers.openai_responses import OpenAIResponsesProvider
from life.arcan.providers.pricing import price_table
from life.arcan.providers.rate_limit import RateLimiter
from life.arcan.providers.recording import RecordingProvider, ReplayProvider
from life.arcan.providers.retry import RetryingProvider, RetryPolicy
from life.arcan.providers.scripted import Script, ScriptedCall, ScriptedFailure, ScriptedProvider, ScriptedTurn
from life.testing.clock import ManualClock, SeededEntropy
from life.testing.provider import ProviderBench, ProviderSuite, Scene, read_picture
from tests.arcan.providers.vendor_server import VendorServer

SECRET = "sk-test-6f1d0b7e9c2a4d58b3e0f7a1"  # invented


def nobody_listens() -> str:
    """An address of this machine that refuses connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


SCRIPTED: dict[Scene, ScriptedTurn] = {
    "text": ScriptedTurn(deltas=("Hello", ", ", "world!"), usage=TokenUsage(12, 5, 17)),
    "tool_call": ScriptedTurn(
        text="I'll write it.", calls=(ScriptedCall("write_file", {"path": "a.txt", "content": "hi"}),)
    ),
    "parallel_calls": ScriptedTurn(
        calls=(ScriptedCall("look", {"path": "a.txt"}), ScriptedCall("look", {"path": "b.txt"}))
    ),
    "no_arguments": ScriptedTurn(calls=(ScriptedCall("now"),)),
    "invalid_arguments": ScriptedTurn(calls=(ScriptedCall("look", '{"path": "a.t'),)),
    "thinking": ScriptedTurn(text="Forty-two."),
    "thinking_call": ScriptedTurn(text="Looking.", calls=(ScriptedCall("look", {"path": "a.txt"}),)),
    "cached": ScriptedTurn(text="Hello", usage=TokenUsage(1200, 50, 1250)),
    "unknown_stop": ScriptedTurn(text="Hm.", stop="other"),
    "unknown_events": ScriptedTurn(text="Hello, world!"),
    "max_tokens": ScriptedTurn(text="Once upon a", stop="max_tokens"),
    "refused": ScriptedTurn(text="I can't help with that.", stop="refused"),
    "unauthorized": ScriptedTurn(error=ScriptedFailure(kind="unauthorized")),
    "rejected": ScriptedTurn(error=ScriptedFailure(kind="rejected")),
    "rate_limited": ScriptedTurn(error=ScriptedFailure(kind="rate_limited", retry_after_ms=7000)),
    "unavailable": ScriptedTurn(error=ScriptedFailure(kind="unavailable")),
    "overloaded": ScriptedTurn(text="Half ", error=ScriptedFailure(kind="overloaded")),
    "interrupted": ScriptedTurn(text="Half ", error=ScriptedFailure(kind="interrupted")),
    "unreachable": ScriptedTurn(error=ScriptedFailure(kind="unreachable")),
}


class TestScripted(ProviderSuite):
    """The scripted provider."""

    @pytest.fixture
    def bench(self) -> ProviderBench:
        """Every scene as a script; it plays the same turn at any place of the conversation."""

        def play(scene: Scene) -> ModelProvider:
            return ScriptedProvider(Script(turns=(SCRIPTED[scene],) * 3), clock=ManualClock())

        return ProviderBench(play)


class TestReplay(ProviderSuite):
    """Answers that were recorded from a provider and are played from the file, failures included."""

    @pytest.fixture
    def bench(self, tmp_path: Path) -> ProviderBench:
        """Every scene recorded from the scripted provider, for every request that is made."""

        def play(scene: Scene) -> ModelProvider:
            script = Script(turns=(SCRIPTED[scene],) * 3)
            return RecordedOnce(ScriptedProvider(script, clock=ManualClock()), tmp_path / f"{scene}.jsonl")

        return ProviderBench(play)


class RecordedOnce:
    """Records each answer, and gives what a replay of the recording says."""

    def __init__(self, inner: ModelProvider, path: Path) -> None:
        self._recording = RecordingProvider(inner, path)
        self._path = path

    @property
    def name(self) -> str:
        """The recorded provider's."""
        return self._recording.name

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """The recorded answer."""
        try:
            async for _ in self._recording.stream(request):
                pass
        except ProviderError:
            pass
        replay = ReplayProvider(self._path)
        async for chunk in replay.stream(request):
            yield chunk


Opener = Callable[[str], ModelProvider]


@asynccontextmanager
async def transcripts(folder: str, open_at: Opener, bench: ProviderBench) -> AsyncIterator[ProviderBench]:
    """A bench whose vendor is the folder's transcripts on the loopback."""
    opened: list[ModelProvider] = []
    async with VendorServer(folder) as server:

        def play(scene: Scene) -> ModelProvider:
            server.play(scene)
            opened.append(open_at(nobody_listens() if scene == "unreachable" else server.url))
            return opened[-1]

        yield replace(bench, play=play, secret=SECRET, sent=lambda: server.bodies[-1])
        for provider in opened:
            await provider.aclose()  # type: ignore[attr-defined]


def _none(_: Scene) -> ModelProvider:
    raise AssertionError("replaced by the transcripts")


class TestAnthropic(ProviderSuite):
    """The Messages API through the official client."""

    @pytest.fixture
    async def bench(self) -> AsyncIterator[ProviderBench]:
        """Transcripts on the loopback."""

        def open_at(url: str) -> ModelProvider:
            return AnthropicProvider(
                api_key=SECRET, clock=ManualClock(), base_url=url, timeout_s=5, read_image=read_picture
            )

        bench = ProviderBench(_none, thinks=True, seals=True, counts=True)
        async with transcripts("anthropic", open_at, bench) as ready:
            yield ready


class TestOpenAICompatible(ProviderSuite):
    """Chat Completions through the official client."""

    @pytest.fixture
    async def bench(self) -> AsyncIterator[ProviderBench]:
        """Transcripts on the loopback."""

        def open_at(url: str) -> ModelProvider:
            return OpenAICompatibleProvider(
                model="gpt-5.4-mini",
                clock=ManualClock(),
                api_key=SECRET,
                base_url=f"{url}/v1",
                timeout_s=5,
                read_image=read_picture,
            )

        bench = ProviderBench(_none, thinks=True, counts=True)
        async with transcripts("openai", open_at, bench) as ready:
            yield ready


class TestOpenAIResponses(ProviderSuite):
    """The Responses API through the official client."""

    @pytest.fixture
    async def bench(self) -> AsyncIterator[ProviderBench]:
        """Transcripts on the loopback."""

        def open_at(url: str) -> ModelProvider:
            return OpenAIResponsesProvider(
                api_key=SECRET, clock=ManualClock(), base_url=f"{url}/v1", timeout_s=5, read_image=read_picture
            )

        bench = ProviderBench(_none, thinks=True, seals=True, counts=True)
        async with transcripts("openai_responses", open_at, bench) as ready:
            yield ready


@pytest.mark.filterwarnings("ignore:PONDERED is not a valid FinishReason")  # the client's own word on it
class TestGemini(ProviderSuite):
    """The Gemini API through the official client."""

    @pytest.fixture
    async def bench(self) -> AsyncIterator[ProviderBench]:
        """Transcripts on the loopback."""

        def open_at(url: str) -> ModelProvider:
            return GeminiProvider(
                api_key=SECRET, clock=ManualClock(), base_url=url, timeout_s=5, read_image=read_picture
            )

        bench = ProviderBench(_none, thinks=True, seals=True, counts=True, argument_text=False)
        async with transcripts("gemini", open_at, bench) as ready:
            yield ready


class TestGuarded(ProviderSuite):
    """What stands around every vendor's provider changes none of the promises."""

    @pytest.fixture
    async def bench(self) -> AsyncIterator[ProviderBench]:
        """Transcripts on the loopback, with circuit, limits, prices, retry and a chain of one around the client."""

        def open_at(url: str) -> ModelProvider:
            clock = ManualClock()
            inner = AnthropicProvider(api_key=SECRET, clock=clock, base_url=url, timeout_s=5, read_image=read_picture)
            guarded = GuardedProvider(
                inner,
                clock=clock,
                circuit=Circuit(clock),
                limiter=RateLimiter(clock, requests_per_minute=100, tokens_per_minute=1_000_000),
                prices=price_table(),
                vendor="",
            )
            policy = RetryPolicy(attempts=1)
            retrying = RetryingProvider(guarded, clock=clock, entropy=SeededEntropy(), policy=policy)
            return FallbackProvider([retrying])

        bench = ProviderBench(_none, thinks=True, seals=True, counts=True)
        async with transcripts("anthropic", open_at, bench) as ready:
            yield ready
