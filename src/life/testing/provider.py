"""Conformance suite of the ModelProvider port (`life.aios.ports.provider`): every provider passes the same tests.

Subclass `ProviderSuite` in a test module and give it a fixture `bench` that returns a `ProviderBench`::

    class TestMyProvider(ProviderSuite):
        @pytest.fixture
        def bench(self) -> ProviderBench: ...

`bench.play(scene)` gives a provider whose model behaves as the scene says. The scenes:

    text              "Hello, world!" in at least two pieces; 12 prompt tokens, 5 completion tokens
    tool_call         "I'll write it." and then `write_file {"path": "a.txt", "content": "hi"}`
    parallel_calls    no text; `look {"path": "a.txt"}` and `look {"path": "b.txt"}`, in this order
    no_arguments      a call of `now` without any arguments
    invalid_arguments a call of `look` whose arguments are the text `{"path": "a.t`
    thinking          thinking first (for models that send it), then "Forty-two."
    max_tokens        "Once upon a" and the output limit
    refused           the model declines
    unauthorized      the vendor does not accept the key
    rejected          the vendor does not accept the request
    rate_limited      too many requests; the vendor asks to wait 7 seconds
    unavailable       the vendor is overloaded before the answer begins
    overloaded        the vendor announces within the answer, after "Half ", that it can't go on
    interrupted       the connection ends after "Half "
    unreachable       nobody answers at all
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import pytest

from life.aios.errors import ProviderError
from life.aios.ports.provider import (
    ChatMessage,
    Chunk,
    ModelProvider,
    ModelRequest,
    StopChunk,
    TextBlock,
    TextChunk,
    ToolCallChunk,
    ToolResultBlock,
    ToolSpec,
    ToolUseBlock,
)
from life.aios.state import TokenUsage

Scene = Literal[
    "text",
    "tool_call",
    "parallel_calls",
    "no_arguments",
    "invalid_arguments",
    "thinking",
    "max_tokens",
    "refused",
    "unauthorized",
    "rejected",
    "rate_limited",
    "unavailable",
    "overloaded",
    "interrupted",
    "unreachable",
]

SCENES: tuple[Scene, ...] = get_args(Scene)

ASKED = ModelRequest(
    messages=(ChatMessage("user", (TextBlock("Say hello."),)),),
    system="You are terse.",
    tools=(
        ToolSpec("write_file", "Write a file.", {"type": "object", "properties": {"path": {"type": "string"}}}),
        ToolSpec("look", "Look.", {"type": "object", "properties": {"path": {"type": "string"}}}),
        ToolSpec("now", "The time.", {"type": "object", "properties": {}}),
    ),
    max_output_tokens=64,
)
"""A first request."""

REPLAYED = ModelRequest(
    messages=(
        ChatMessage("user", (TextBlock("Look at both."),)),
        ChatMessage(
            "assistant",
            (
                TextBlock("Looking."),
                ToolUseBlock("call-1", "look", {"path": "a.txt"}),
                ToolUseBlock("call-2", "look", '{"path": "b.t'),
            ),
        ),
        ChatMessage(
            "user",
            (ToolResultBlock("call-1", "alpha"), ToolResultBlock("call-2", "The arguments are not JSON.", True)),
        ),
        ChatMessage("user", (TextBlock("And now?"),)),
    ),
    system="You are terse.",
    tools=ASKED.tools,
    max_output_tokens=64,
)
"""A later request: tool calls and their results stand before it, one of them with arguments that were no JSON."""


@dataclass(frozen=True)
class ProviderBench:
    """What the suite needs of a backend."""

    play: Callable[[Scene], ModelProvider]
    secret: str = ""
    """The API key in use; it may appear nowhere."""
    asks_to_wait: bool = True
    """Whether the backend passes on how long to wait when it is told."""


async def answer(provider: ModelProvider, request: ModelRequest = ASKED) -> list[Chunk]:
    """The whole answer."""
    return [chunk async for chunk in provider.stream(request)]


def text_of(chunks: list[Chunk]) -> str:
    """The text in an answer."""
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, TextChunk))


def calls_of(chunks: list[Chunk]) -> list[tuple[str, object]]:
    """The tool calls in an answer, by name and arguments."""
    return [(chunk.tool_name, chunk.arguments) for chunk in chunks if isinstance(chunk, ToolCallChunk)]


def stop_of(chunks: list[Chunk]) -> StopChunk:
    """The last chunk; there is exactly one StopChunk, and nothing after it."""
    assert [chunk for chunk in chunks if isinstance(chunk, StopChunk)] == [chunks[-1]]
    last = chunks[-1]
    assert isinstance(last, StopChunk)
    return last


async def failure(provider: ModelProvider) -> tuple[ProviderError, str]:
    """The error that an answer ends with, and the text before it."""
    text = ""
    with pytest.raises(ProviderError) as caught:
        async for chunk in provider.stream(ASKED):
            assert isinstance(chunk, TextChunk), "nothing may be executed of an answer that fails"
            text += chunk.text
    return caught.value, text


class ProviderSuite:
    """The promises of the port."""

    async def test_text_comes_in_pieces_and_ends_with_its_usage(self, bench: ProviderBench) -> None:
        """Text is streamed as it comes; the last chunk says why it ended and what it cost."""
        chunks = await answer(bench.play("text"))
        assert text_of(chunks) == "Hello, world!"
        assert len(chunks) >= 3
        assert stop_of(chunks).reason == "completed"
        assert stop_of(chunks).usage == TokenUsage(12, 5, 17)

    async def test_a_tool_call_arrives_whole(self, bench: ProviderBench) -> None:
        """A call is one chunk with its arguments as an object, after the text before it."""
        chunks = await answer(bench.play("tool_call"))
        assert text_of(chunks) == "I'll write it."
        assert calls_of(chunks) == [("write_file", {"path": "a.txt", "content": "hi"})]
        assert stop_of(chunks).reason == "tool_call"

    async def test_several_calls_keep_their_order_and_their_ids(self, bench: ProviderBench) -> None:
        """Calls of one answer stay apart and in order."""
        chunks = await answer(bench.play("parallel_calls"))
        assert calls_of(chunks) == [("look", {"path": "a.txt"}), ("look", {"path": "b.txt"})]
        ids = [chunk.call_id for chunk in chunks if isinstance(chunk, ToolCallChunk)]
        assert all(ids) and len(set(ids)) == 2
        assert stop_of(chunks).reason == "tool_call"

    async def test_a_call_without_arguments_has_an_empty_object(self, bench: ProviderBench) -> None:
        """No argument text at all is `{}`."""
        assert calls_of(await answer(bench.play("no_arguments"))) == [("now", {})]

    async def test_invalid_arguments_stay_text(self, bench: ProviderBench) -> None:
        """What is not a JSON object is handed on as the text it was, never as an empty object."""
        assert calls_of(await answer(bench.play("invalid_arguments"))) == [("look", '{"path": "a.t')]

    async def test_thinking_is_not_part_of_the_answer(self, bench: ProviderBench) -> None:
        """Only what the model says is text."""
        chunks = await answer(bench.play("thinking"))
        assert text_of(chunks) == "Forty-two."
        assert stop_of(chunks).reason == "completed"

    async def test_why_it_ended(self, bench: ProviderBench) -> None:
        """The output limit and a refusal are ends of their own."""
        cut = await answer(bench.play("max_tokens"))
        assert (text_of(cut), stop_of(cut).reason) == ("Once upon a", "max_tokens")
        assert stop_of(await answer(bench.play("refused"))).reason == "refused"

    async def test_a_replayed_conversation_is_accepted(self, bench: ProviderBench) -> None:
        """Earlier tool calls and results may stand in a request, also calls whose arguments were no JSON."""
        assert text_of(await answer(bench.play("text"), REPLAYED)) == "Hello, world!"

    async def test_the_same_request_twice(self, bench: ProviderBench) -> None:
        """A provider holds no conversation: the request carries it."""
        provider = bench.play("text")
        assert text_of(await answer(provider)) == text_of(await answer(provider))

    async def test_closing_the_stream_ends_the_call(self, bench: ProviderBench) -> None:
        """A caller may stop listening after any chunk, and ask again."""
        provider = bench.play("text")
        stream = provider.stream(ASKED)
        async for _ in stream:
            break
        await stream.aclose()  # type: ignore[attr-defined]
        assert text_of(await answer(provider)) == "Hello, world!"

    @pytest.mark.parametrize(
        ("scene", "code", "retryable", "said"),
        [
            ("unauthorized", "arcan.provider_unauthorized", False, ""),
            ("rejected", "arcan.provider_rejected", False, ""),
            ("rate_limited", "arcan.provider_rate_limited", True, ""),
            ("unavailable", "arcan.provider_unavailable", True, ""),
            ("unreachable", "arcan.provider_unreachable", True, ""),
            ("interrupted", "arcan.provider_interrupted", True, "Half "),
        ],
    )
    async def test_failures_are_told_apart(
        self, bench: ProviderBench, scene: Scene, code: str, retryable: bool, said: str
    ) -> None:
        """Each way to fail has its code and says whether repeating can help; text before it has been streamed."""
        error, text = await failure(bench.play(scene))
        assert (error.code, error.retryable, text) == (code, retryable, said)

    async def test_a_failure_announced_within_the_answer(self, bench: ProviderBench) -> None:
        """A vendor that gives up in the middle is unavailable, and nothing after it is believed."""
        error, text = await failure(bench.play("overloaded"))
        assert (error.code, error.retryable, text) == ("arcan.provider_unavailable", True, "Half ")

    async def test_how_long_to_wait_is_passed_on(self, bench: ProviderBench) -> None:
        """A Retry-After is kept for whoever retries."""
        error, _ = await failure(bench.play("rate_limited"))
        if bench.asks_to_wait:
            assert getattr(error, "retry_after_us", None) == 7_000_000

    @pytest.mark.parametrize("scene", ["unauthorized", "rejected", "rate_limited", "unavailable", "overloaded"])
    async def test_the_key_is_in_no_error(self, bench: ProviderBench, scene: Scene) -> None:
        """Neither the words nor the details of an error hold the key, whatever the vendor wrote."""
        error, _ = await failure(bench.play(scene))
        shown = f"{error}{error!r}{error.details}{error.next_step}{error.__cause__!r}{error.__context__!r}"
        assert error.__suppress_context__ or error.__context__ is None
        if bench.secret:
            assert bench.secret not in f"{error}{error!r}{error.details}{error.next_step}{error.__cause__!r}", shown
