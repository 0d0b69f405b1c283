"""The three providers keep the promises of the port: scripted by itself, the other two with the vendors' official clients
against wire transcripts on a local server."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest

from life.aios.ports.provider import ModelProvider
from life.aios.state import TokenUsage
from life.arcan.providers.anthropic import AnthropicProvider
from life.arcan.providers.openai_compatible import OpenAICompatibleProvider
from life.arcan.providers.scripted import Script, ScriptedCall, ScriptedFailure, ScriptedProvider, ScriptedTurn
from life.testing.clock import ManualClock
from life.testing.provider import ProviderBench, ProviderSuite, Scene
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


class TestAnthropic(ProviderSuite):
    """The Messages API through the official client."""

    @pytest.fixture
    async def bench(self) -> AsyncIterator[ProviderBench]:
        """Transcripts on the loopback."""
        opened: list[AnthropicProvider] = []
        async with VendorServer("anthropic") as server:

            def play(scene: Scene) -> ModelProvider:
                server.play(scene)
                url = nobody_listens() if scene == "unreachable" else server.url
                opened.append(AnthropicProvider(api_key=SECRET, clock=ManualClock(), base_url=url, timeout_s=5))
                return opened[-1]

            yield ProviderBench(play, secret=SECRET)
            for provider in opened:
                await provider.aclose()


class TestOpenAICompatible(ProviderSuite):
    """Chat Completions through the official client."""

    @pytest.fixture
    async def bench(self) -> AsyncIterator[ProviderBench]:
        """Transcripts on the loopback."""
        opened: list[OpenAICompatibleProvider] = []
        async with VendorServer("openai") as server:

            def play(scene: Scene) -> ModelProvider:
                server.play(scene)
                url = nobody_listens() if scene == "unreachable" else server.url
                provider = OpenAICompatibleProvider(
                    model="gpt-5.4-mini", clock=ManualClock(), api_key=SECRET, base_url=f"{url}/v1", timeout_s=5
                )
                opened.append(provider)
                return provider

            yield ProviderBench(play, secret=SECRET)
            for provider in opened:
                await provider.aclose()
