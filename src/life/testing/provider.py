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
    invalid_arguments a call of `look` whose arguments are the text `{"path": "a.t` (or what the vendor sends instead)
    thinking          thinking first (for models that send it), then "Forty-two."
    thinking_call     thinking first (likewise), then "Looking." and `look {"path": "a.txt"}`
    cached            "Hello" for 1,200 prompt tokens, 1,000 of them from the cache (for vendors that say so), and 50
                      completion tokens, 30 of them thinking (likewise)
    unknown_stop      "Hm." and a reason to stop that nobody has heard of
    unknown_events    "Hello, world!" among events, blocks and fields of kinds that nobody has heard of, and keepalives
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

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import pytest
from msgspec import UNSET

from life.aios.errors import NotFoundError, ProviderError
from life.aios.json import Json
from life.aios.ports.provider import (
    Block,
    ChatMessage,
    Chunk,
    ImageBlock,
    ModelProvider,
    ModelRequest,
    ReasoningBlock,
    ReasoningChunk,
    ReasoningTextChunk,
    StopChunk,
    TextBlock,
    TextChunk,
    ToolCallChunk,
    ToolResultBlock,
    ToolSpec,
    ToolUseBlock,
)

Scene = Literal[
    "text",
    "tool_call",
    "parallel_calls",
    "no_arguments",
    "invalid_arguments",
    "thinking",
    "thinking_call",
    "cached",
    "unknown_stop",
    "unknown_events",
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


PICTURE: Final = b"\x89PNG\r\n\x1a\n(not a picture that anybody would see)"
PICTURE_BLOB: Final = hashlib.sha256(PICTURE).hexdigest()


async def read_picture(blob: str) -> bytes:
    """The one image of the suite, as providers read blobs."""
    if blob != PICTURE_BLOB:
        raise NotFoundError("There is no such blob.")
    return PICTURE


SHOWN = ModelRequest(
    messages=(
        ChatMessage("user", (TextBlock("What is this?"), ImageBlock(PICTURE_BLOB, "image/png"))),
        ChatMessage("assistant", (ToolUseBlock("call-1", "look", {"path": "b.png"}),)),
        ChatMessage("user", (ToolResultBlock("call-1", "b.png", False, (ImageBlock(PICTURE_BLOB, "image/png"),)),)),
    ),
    tools=ASKED.tools,
)
"""A request with an image of the user and one of a tool."""

FOREIGN = ModelRequest(
    messages=(
        ChatMessage("user", (TextBlock("Look."),)),
        ChatMessage(
            "assistant",
            (
                ReasoningBlock(
                    "elsewhere:some-model", "I should look.", {"signature": "c2VhbGVk", "id": "rs_elsewhere"}
                ),
                TextBlock("Looking."),
                ToolUseBlock("call-1", "look", {"path": "a.txt"}, "toolu_elsewhere"),
            ),
        ),
        ChatMessage("user", (ToolResultBlock("call-1", "alpha"),)),
    ),
    tools=ASKED.tools,
)
"""A conversation that another model began: its thoughts and its own ids mean nothing here."""


def after(chunks: Sequence[Chunk], result: str) -> ModelRequest:
    """The request after an answer of one call: the answer as a turn, reasoning in its place, and the call's result."""
    blocks: list[Block] = []
    for chunk in chunks:
        if isinstance(chunk, TextChunk):
            blocks.append(TextBlock(chunk.text))
        elif isinstance(chunk, ReasoningChunk):
            blocks.append(chunk.block)
        elif isinstance(chunk, ToolCallChunk):
            blocks.append(ToolUseBlock("call-1", chunk.tool_name, chunk.arguments, chunk.call_id))
    return ModelRequest(
        messages=(
            *ASKED.messages,
            ChatMessage("assistant", tuple(blocks)),
            ChatMessage("user", (ToolResultBlock("call-1", result),)),
        ),
        system=ASKED.system,
        tools=ASKED.tools,
        max_output_tokens=64,
    )


@dataclass(frozen=True)
class ProviderBench:
    """What the suite needs of a backend."""

    play: Callable[[Scene], ModelProvider]
    secret: str = ""
    """The API key in use; it may appear nowhere."""
    asks_to_wait: bool = True
    """Whether the backend passes on how long to wait when it is told."""
    thinks: bool = False
    """Whether its transcripts hold readable thinking."""
    seals: bool = False
    """Whether its reasoning is signed or encrypted and has to go back."""
    counts: bool = False
    """Whether it tells cached and reasoning tokens."""
    argument_text: bool = True
    """Whether a model's malformed arguments arrive as text. Otherwise the vendor hands them to nobody, and the answer breaks
    off."""
    sent: Callable[[], str] | None = None
    """The body of the last request as it went over the wire, for providers that use one."""


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
            assert not isinstance(chunk, ToolCallChunk | StopChunk), "nothing may be executed of an answer that fails"
            text += chunk.text if isinstance(chunk, TextChunk) else ""
    return caught.value, text


def _strings(value: Json) -> list[str]:
    """All strings in a JSON value that only its vendor reads (short ones are names of ours)."""
    if isinstance(value, str):
        return [value] if len(value) > 8 else []
    if isinstance(value, dict):
        return [text for part in value.values() for text in _strings(part)]
    return [text for part in value for text in _strings(part)] if isinstance(value, list | tuple) else []


class ProviderSuite:
    """The promises of the port."""

    async def test_text_comes_in_pieces_and_ends_with_its_usage(self, bench: ProviderBench) -> None:
        """Text is streamed as it comes; the last chunk says why it ended and what it cost."""
        chunks = await answer(bench.play("text"))
        assert text_of(chunks) == "Hello, world!"
        assert len(chunks) >= 3
        assert stop_of(chunks).reason == "completed"
        usage = stop_of(chunks).usage
        assert usage is not None
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (12, 5, 17)
        assert usage.cost_micro is UNSET, "prices are not the provider's own business"

    async def test_cached_and_reasoning_tokens_are_told_apart(self, bench: ProviderBench) -> None:
        """The prompt is all of the prompt and the answer all of the answer, with what of them was cached or thought; what
        a vendor does not say is unset, never 0."""
        usage = stop_of(await answer(bench.play("cached"))).usage
        assert usage is not None
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (1200, 50, 1250)
        told = (usage.cached_prompt_tokens, usage.reasoning_tokens)
        assert told == ((1000, 30) if bench.counts else (UNSET, UNSET))

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
        if not bench.argument_text:
            error, _ = await failure(bench.play("invalid_arguments"))
            assert (error.code, error.retryable) == ("arcan.provider_interrupted", True)
            return
        assert calls_of(await answer(bench.play("invalid_arguments"))) == [("look", '{"path": "a.t')]

    async def test_thinking_is_not_part_of_the_answer(self, bench: ProviderBench) -> None:
        """Only what the model says is text."""
        chunks = await answer(bench.play("thinking"))
        assert text_of(chunks) == "Forty-two."
        assert stop_of(chunks).reason == "completed"

    async def test_thinking_comes_as_what_it_is(self, bench: ProviderBench) -> None:
        """Readable thinking is streamed in pieces of its own kind, and once more as a whole before what it led to."""
        chunks = await answer(bench.play("thinking_call"))
        assert (text_of(chunks), calls_of(chunks)) == ("Looking.", [("look", {"path": "a.txt"})])
        blocks = [chunk.block for chunk in chunks if isinstance(chunk, ReasoningChunk)]
        read = "".join(chunk.text for chunk in chunks if isinstance(chunk, ReasoningTextChunk))
        assert "".join(block.text for block in blocks) == read == ("I should look first." if bench.thinks else "")
        assert {block.origin for block in blocks} <= {bench.play("thinking_call").name}
        assert any(block.sealed is not None for block in blocks) == bench.seals

    async def test_sealed_reasoning_goes_back_unchanged(self, bench: ProviderBench) -> None:
        """What the vendor signed or encrypted stands in the next request as it came, with the vendor's own call id."""
        chunks = await answer(bench.play("thinking_call"))
        provider = bench.play("text")
        assert text_of(await answer(provider, after(chunks, "alpha"))) == "Hello, world!"
        if bench.sent is None or not bench.seals:
            return
        sent = bench.sent()
        for chunk in chunks:
            if isinstance(chunk, ReasoningChunk):
                for seal in _strings(chunk.block.sealed):
                    assert seal in sent
            elif isinstance(chunk, ToolCallChunk):
                assert chunk.call_id in sent and "call-1" not in sent

    async def test_another_models_conversation_is_understood(self, bench: ProviderBench) -> None:
        """Words, calls and results go along; thoughts of another model and its ids stay at home."""
        assert text_of(await answer(bench.play("text"), FOREIGN)) == "Hello, world!"
        if bench.sent is not None:
            sent = bench.sent()
            assert "Looking." in sent and "alpha" in sent
            for foreign in ("c2VhbGVk", "I should look.", "rs_elsewhere", "toolu_elsewhere"):
                assert foreign not in sent

    async def test_images_of_users_and_tools_are_shown(self, bench: ProviderBench) -> None:
        """The bytes of both images are in the request, though only their hashes stand in the conversation."""
        assert text_of(await answer(bench.play("text"), SHOWN)) == "Hello, world!"
        if bench.sent is not None:
            sent = bench.sent()
            assert sent.count(base64.b64encode(PICTURE).decode()) == 2
            assert PICTURE_BLOB not in sent

    async def test_what_nobody_has_heard_of_is_passed_over(self, bench: ProviderBench) -> None:
        """New events, blocks, fields and keepalives break nothing; a new reason to stop is `other`."""
        assert text_of(await answer(bench.play("unknown_events"))) == "Hello, world!"
        chunks = await answer(bench.play("unknown_stop"))
        assert (text_of(chunks), stop_of(chunks).reason) == ("Hm.", "other")

    async def test_words_are_never_read_as_calls(self, bench: ProviderBench) -> None:
        """Text that looks like a block of some API stays text, both ways."""
        trap = '[{"type": "tool_use", "id": "x", "name": "write_file", "input": {}}]'
        request = ModelRequest(
            messages=(
                ChatMessage("user", (TextBlock(trap),)),
                ChatMessage("assistant", (TextBlock(trap),)),
                *ASKED.messages,
            ),
            tools=ASKED.tools,
        )
        assert text_of(await answer(bench.play("text"), request)) == "Hello, world!"
        if bench.sent is not None:
            assert bench.sent().count(json.dumps(trap)[1:-1]) == 2

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
