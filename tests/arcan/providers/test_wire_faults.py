"""What goes wrong on the wire: connections cut at every event, failures within an answer, a caller who stops listening, refused
thoughts; and a key that may be nowhere."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from life.aios.errors import ProviderError
from life.aios.ports.provider import (
    Chunk,
    ModelProvider,
    NoticeChunk,
    ReasoningChunk,
    StopChunk,
    TextChunk,
    ToolCallChunk,
)
from life.arcan.providers.anthropic import AnthropicProvider
from life.arcan.providers.gemini import GeminiProvider
from life.arcan.providers.ollama import OllamaServer
from life.arcan.providers.openai_compatible import OpenAICompatibleProvider
from life.arcan.providers.openai_responses import OpenAIResponsesProvider
from life.arcan.providers.recording import RecordingProvider
from life.testing.clock import ManualClock
from life.testing.provider import ASKED, SHOWN, after, answer, calls_of, failure, stop_of, text_of
from tests.arcan.providers.vendor_server import TRANSCRIPTS, VendorServer

CANARY = "sk-canary-3f9d2c7b51e84a06"  # invented

Open = Callable[[str], ModelProvider]

VENDORS: dict[str, Open] = {
    "anthropic": lambda url: AnthropicProvider(
        api_key=CANARY, clock=ManualClock(), base_url=url, timeout_s=5, prompt_caching=True
    ),
    "openai": lambda url: OpenAICompatibleProvider(
        model="gpt-5.4-mini", clock=ManualClock(), api_key=CANARY, base_url=f"{url}/v1", timeout_s=5
    ),
    "openai_responses": lambda url: OpenAIResponsesProvider(
        api_key=CANARY, clock=ManualClock(), base_url=f"{url}/v1", timeout_s=5
    ),
    "gemini": lambda url: GeminiProvider(api_key=CANARY, clock=ManualClock(), base_url=url, timeout_s=5),
}


@asynccontextmanager
async def vendor(name: str) -> AsyncIterator[tuple[VendorServer, ModelProvider]]:
    """A server of this vendor, and its provider."""
    async with VendorServer(name) as server:
        provider = VENDORS[name](server.url)
        yield server, provider
        await provider.aclose()  # type: ignore[attr-defined]


async def collected(provider: ModelProvider) -> tuple[list[Chunk], ProviderError | None]:
    """What came of a call, and how it failed."""
    chunks: list[Chunk] = []
    try:
        async for chunk in provider.stream(ASKED):
            chunks.append(chunk)
    except ProviderError as error:
        return chunks, error
    return chunks, None


@pytest.mark.parametrize("name", VENDORS)
@pytest.mark.parametrize("scene", ["tool_call", "thinking_call", "parallel_calls"])
async def test_a_connection_cut_after_any_event(name: str, scene: str) -> None:
    """Wherever the connection ends before the answer does, it is an interrupted one: it says so, it may be repeated, and
    nothing in it is an end. Calls and text that did come are whole prefixes of the true answer."""
    events = len(
        [part for part in (TRANSCRIPTS / name / f"{scene}.http").read_text().split("\n\n")[1:] if part.strip()]
    )
    async with vendor(name) as (server, provider):
        server.play(scene)
        whole = await answer(provider)
        ended = 0
        for cut in range(events):
            server.cut_after = cut
            chunks, error = await collected(provider)
            calls = calls_of(chunks)
            assert text_of(whole).startswith(text_of(chunks)), cut
            assert calls == calls_of(whole)[: len(calls)], cut
            if error is None:  # the vendor had said everything that counts
                assert stop_of(chunks).reason == stop_of(whole).reason
                ended += 1
                continue
            assert not any(isinstance(chunk, StopChunk) for chunk in chunks)
            assert error.retryable and error.code in ("arcan.provider_interrupted", "arcan.provider_unreachable")
        assert ended <= 1


@pytest.mark.parametrize("name", ["anthropic", "openai", "openai_responses"])
async def test_a_rate_limit_within_an_answer(name: str) -> None:
    """A failure that is announced after the answer began keeps its kind."""
    async with vendor(name) as (server, provider):
        server.play("limited_within")
        error, text = await failure(provider)
    assert (error.code, error.retryable, text) == ("arcan.provider_rate_limited", True, "Half ")


@pytest.mark.parametrize("name", ["openai_responses", "gemini"])
async def test_a_filtered_answer_is_a_refusal(name: str) -> None:
    """What a vendor's filter ends was refused."""
    async with vendor(name) as (server, provider):
        server.play("filtered")
        chunks = await answer(provider)
    assert (text_of(chunks), stop_of(chunks).reason) == ("Half ", "refused")


@pytest.mark.parametrize("name", ["openai_responses", "gemini"])
async def test_an_answer_without_its_end_is_not_believed(name: str) -> None:
    """A body that ends properly but never said why the model stopped is an interrupted answer."""
    async with vendor(name) as (server, provider):
        server.play("truncated")
        error, text = await failure(provider)
    assert (error.code, text) == ("arcan.provider_interrupted", "Half ")


class HangingVendor:
    """A vendor that begins an answer and never goes on; it sees when the other side hangs up."""

    def __init__(self, opening: bytes) -> None:
        self._opening = opening
        self.hung_up = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            start = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            writer.write(start + b"%x\r\n%s\r\n" % (len(self._opening), self._opening))
            await writer.drain()
            await reader.read()
            self.hung_up.set()
        except ConnectionError:
            self.hung_up.set()
        finally:
            writer.close()


def opening_of(name: str) -> bytes:
    """The beginning of an answer, up to its first words."""
    body = (TRANSCRIPTS / name / "interrupted.http").read_text().split("\n\n", 1)[1]
    return body.removesuffix("(cut)\n").encode()


@pytest.mark.parametrize("name", VENDORS)
@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_who_stops_listening_hangs_up(name: str, how: str) -> None:
    """Closing the stream, or cancelling the task that reads it, closes the connection: the vendor stops, and stops charging."""
    hanging = HangingVendor(opening_of(name))
    async with hanging as url:
        provider = VENDORS[name](url)
        heard = asyncio.Event()

        async def listen() -> None:
            stream = provider.stream(ASKED)
            try:
                async for chunk in stream:
                    if isinstance(chunk, TextChunk):
                        heard.set()
                        if how == "close":
                            break
            finally:
                await stream.aclose()  # type: ignore[attr-defined]

        task = asyncio.create_task(listen())
        await asyncio.wait_for(heard.wait(), 10)
        if how == "cancel":
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.wait_for(hanging.hung_up.wait(), 5)
        await provider.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "seal"),
    [
        ("anthropic", "EqQBCgIYAhIM"),
        ("openai_responses", "gAAAAABo-sealed-reasoning=="),
        ("gemini", "c2VhbGVkLXNpZ25hdHVyZS0y"),
    ],
)
async def test_refused_thoughts_are_left_out_and_stay_out(name: str, seal: str) -> None:
    """When the vendor does not accept its thoughts any more, the request goes out once more without any, says so, and the
    next request does not try those again."""
    async with vendor(name) as (server, provider):
        server.play("thinking_call")
        first = await answer(provider)
        server.play("bound", "text")
        chunks = await answer(provider, after(first, "alpha"))
        assert text_of(chunks) == "Hello, world!"
        assert [chunk.notice.what for chunk in chunks if isinstance(chunk, NoticeChunk)] == ["retried"]
        assert [seal in body for body in server.bodies[1:]] == [True, False]
        server.play("text")
        assert text_of(await answer(provider, after(first, "alpha"))) == "Hello, world!"
        assert seal not in server.bodies[-1]


async def test_a_refusal_of_something_else_is_not_repeated() -> None:
    """Only a refusal that is about thinking is worth a second request."""
    async with vendor("anthropic") as (server, provider):
        server.play("thinking_call")
        first = await answer(provider)
        server.play("rejected")
        with pytest.raises(ProviderError):
            await answer(provider, after(first, "alpha"))
        assert len(server.bodies) == 2


async def test_prompt_cache_breakpoints() -> None:
    """The prefix (tools and system prompt), the end of the conversation and the end of the user turn before: three of the
    four that are allowed, and each request's last is among the next one's."""
    async with vendor("anthropic") as (server, provider):
        server.play("thinking_call")
        first = await answer(provider)
        server.play("text")
        await answer(provider, after(first, "alpha"))
        sent = [json.loads(body) for body in server.bodies]
    for request in sent:
        assert json.dumps(request).count('"cache_control"') <= 4
        assert request["system"][-1]["cache_control"] == {"type": "ephemeral"}
    assert sent[0]["messages"][-1]["content"][-1]["cache_control"]
    assert sent[1]["messages"][0]["content"][-1]["cache_control"], "what the request before wrote is read"
    assert sent[1]["messages"][-1]["content"][-1]["cache_control"]
    assert sent[1]["messages"][0] == sent[0]["messages"][0], "the same bytes, so the prefix is found"


async def test_responses_requests() -> None:
    """Nothing is stored at the vendor, tools are not strict, and one conversation keeps its cache key."""
    async with vendor("openai_responses") as (server, provider):
        await answer(provider)
        sent = json.loads(server.bodies[0])
    assert server.paths == ["/v1/responses"]
    assert (sent["store"], sent["stream"], sent["instructions"]) == (False, True, "You are terse.")
    assert all(tool["strict"] is False for tool in sent["tools"])
    assert "prompt_cache_key" not in sent and "reasoning" not in sent


async def test_gemini_requests() -> None:
    """The key is in a header, never in the address; the client's own calling of functions is off."""
    async with vendor("gemini") as (server, provider):
        await answer(provider)
    assert server.paths == ["/v1beta/models/gemini-3.5-flash:streamGenerateContent?alt=sse"]
    assert server.headers[0]["x-goog-api-key"] == CANARY


async def test_gemini_signatures_go_back_on_the_part_that_carried_them() -> None:
    """A call's signature stands on that call, an empty part's in an empty part of its own at the end."""
    async with vendor("gemini") as (server, provider):
        server.play("thinking_call")
        called = await answer(provider)
        server.play("text")
        await answer(provider, after(called, "alpha"))
        parts = json.loads(server.bodies[-1])["contents"][1]["parts"]
        assert "thoughtSignature" not in parts[0] and parts[0]["text"] == "Looking."
        assert parts[1]["functionCall"]["name"] == "look" and parts[1]["thoughtSignature"] == "c2VhbGVkLXNpZ25hdHVyZS0y"
        assert len(parts) == 2, "readable thoughts are not sent back"
        server.play("thinking")
        thought = await answer(provider)
        assert [chunk.block.sealed is None for chunk in thought if isinstance(chunk, ReasoningChunk)] == [True, False]


async def test_images_without_a_store_are_refused_not_dropped() -> None:
    """A question about a picture that the model would not see is not asked."""
    async with vendor("openai_responses") as (server, provider):
        with pytest.raises(ProviderError) as caught:
            await answer(provider, SHOWN)
        assert caught.value.code == "arcan.provider_rejected"
        assert server.bodies == []


@pytest.mark.parametrize("name", VENDORS)
async def test_the_key_is_nowhere(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a vendor writes into its messages: no error, no log at any level, no chunk and no recording holds the key."""
    caplog.set_level(logging.DEBUG)
    seen: list[str] = []
    recording = tmp_path / "calls.jsonl"
    async with vendor(name) as (server, provider):
        recorder = RecordingProvider(provider, recording, secrets=[CANARY])
        for scene in ("text", "unauthorized", "rejected", "rate_limited", "unavailable", "overloaded", "thinking_call"):
            server.play(scene)
            chunks, error = await collected(recorder)
            seen.append(repr(chunks))
            if error is not None:
                seen.append(f"{error!r}{error}{error.details}{error.next_step}{error.__cause__!r}")
        assert CANARY in str(server.headers), "the vendor itself got it"
        seen.append(repr(provider) + repr(vars(recorder).keys()))
    assert CANARY not in "".join(seen)
    assert CANARY not in recording.read_text()
    assert CANARY not in "".join(record.getMessage() for record in caplog.records), "clients' own logs included"


async def test_parallel_calls_of_servers_that_give_no_ids() -> None:
    """Gemini may leave ids out; calls of one answer stay apart all the same."""
    async with vendor("gemini") as (server, provider):
        server.play("parallel_calls")
        chunks = await answer(provider)
    assert [chunk.call_id for chunk in chunks if isinstance(chunk, ToolCallChunk)] == ["call_0", "call_1"]


async def test_an_ollama_server_says_what_it_has() -> None:
    """Its version and its models; a server that is not there is unreachable, with or without `/v1` in its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
        body = {
            b"/api/version": b'{"version":"0.14.2"}',
            b"/api/tags": b'{"models":[{"name":"llama3.2:latest","size":2019393189,"digest":"a80c"}]}',
        }[path]
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        ollama = OllamaServer(f"{address}/v1")
        assert await ollama.version() == "0.14.2"
        assert [(model.name, model.size) for model in await ollama.models()] == [("llama3.2:latest", 2019393189)]
    with pytest.raises(ProviderError) as caught:
        await OllamaServer(address).version()
    assert caught.value.code == "arcan.provider_unreachable"
