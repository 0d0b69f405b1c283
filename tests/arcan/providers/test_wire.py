"""What goes over the wire to the vendors, and what a whole run with tools looks like to them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from life.aios.errors import ProviderError
from life.arcan.providers.anthropic import AnthropicProvider
from life.arcan.providers.openai_compatible import OpenAICompatibleProvider
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock
from life.testing.provider import ASKED, REPLAYED, answer, calls_of, failure, stop_of, text_of
from tests.arcan.providers.vendor_server import VendorServer
from tests.arcan.workbench import Workbench, history, runtime_on

KEY = "sk-test-0b1c"  # invented


def anthropic(server: VendorServer) -> AnthropicProvider:
    """A provider of this server."""
    return AnthropicProvider(api_key=KEY, clock=ManualClock(), base_url=server.url, timeout_s=5, prompt_caching=True)


def openai(server: VendorServer, *, key: str | None = KEY, label: str = "openai") -> OpenAICompatibleProvider:
    """A provider of this server."""
    return OpenAICompatibleProvider(
        model="gpt-5.4-mini", clock=ManualClock(), api_key=key, base_url=f"{server.url}/v1", label=label, timeout_s=5
    )


def cached(text: str) -> dict[str, object]:
    """A text block at whose end the prompt cache has a breakpoint."""
    return {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}


async def test_anthropic_request() -> None:
    """One system text, tools with their schema, streaming, prompt caching, the key in a header."""
    async with VendorServer("anthropic") as server:
        provider = anthropic(server)
        await answer(provider)
        await provider.aclose()
    assert server.paths == ["/v1/messages"]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"  # how client 2.10 sends it
    assert server.headers[0]["anthropic-version"]
    sent = server.requests[0]
    assert sent["model"] == "claude-sonnet-5-5"
    assert sent["max_tokens"] == 64
    assert sent["stream"] is True
    assert sent["system"] == [{"type": "text", "text": "You are terse.", "cache_control": {"type": "ephemeral"}}]
    assert sent["messages"] == [{"role": "user", "content": [cached("Say hello.")]}]
    assert [tool["name"] for tool in sent["tools"]] == ["write_file", "look", "now"]  # type: ignore[attr-defined]


async def test_anthropic_replay() -> None:
    """Tool calls and results are blocks with matching ids, roles alternate, and arguments that were no JSON are wrapped."""
    async with VendorServer("anthropic") as server:
        provider = anthropic(server)
        await answer(provider, REPLAYED)
        await provider.aclose()
    assert server.requests[0]["messages"] == [
        {"role": "user", "content": [cached("Look at both.")]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "call-1", "name": "look", "input": {"path": "a.txt"}},
                {"type": "tool_use", "id": "call-2", "name": "look", "input": {"invalid_json": '{"path": "b.t'}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call-1", "content": "alpha", "is_error": False},
                {
                    "type": "tool_result",
                    "tool_use_id": "call-2",
                    "content": "The arguments are not JSON.",
                    "is_error": True,
                },
                cached("And now?"),
            ],
        },
    ]


async def test_openai_request_and_replay() -> None:
    """Earlier tool calls stand in the assistant's message and each result in a tool message; no `strict`; usage asked for."""
    async with VendorServer("openai") as server:
        provider = openai(server)
        await answer(provider, REPLAYED)
        await provider.aclose()
    assert server.paths == ["/v1/chat/completions"]
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    sent = server.requests[0]
    assert sent["stream_options"] == {"include_usage": True}
    assert sent["max_tokens"] == 64
    assert "strict" not in json.dumps(sent["tools"])
    assert sent["messages"] == [
        {"role": "system", "content": "You are terse."},
        {"role": "user", "content": "Look at both."},
        {
            "role": "assistant",
            "content": "Looking.",
            "tool_calls": [
                {"id": "call-1", "type": "function", "function": {"name": "look", "arguments": '{"path": "a.txt"}'}},
                {"id": "call-2", "type": "function", "function": {"name": "look", "arguments": '{"path": "b.t'}},
            ],
        },
        {"role": "tool", "tool_call_id": "call-1", "content": "alpha"},
        {"role": "tool", "tool_call_id": "call-2", "content": "Error: The arguments are not JSON."},
        {"role": "user", "content": "And now?"},
    ]


@pytest.mark.parametrize("vendor", ["anthropic", "openai"])
async def test_an_answer_without_its_end_is_not_believed(vendor: str) -> None:
    """A body that ends properly but never said why the model stopped is an interrupted answer."""
    async with VendorServer(vendor) as server:
        server.play("truncated")
        provider = anthropic(server) if vendor == "anthropic" else openai(server)
        error, text = await failure(provider)
        await provider.aclose()
    assert (error.code, text) == ("arcan.provider_interrupted", "Half ")


async def test_a_content_filter_is_a_refusal() -> None:
    """`content_filter` ends the answer as refused."""
    async with VendorServer("openai") as server:
        server.play("filtered")
        provider = openai(server)
        assert stop_of(await answer(provider)).reason == "refused"
        await provider.aclose()


async def test_ollama() -> None:
    """Ollama needs no key, sends a call in one piece, and may give several calls the same index."""
    async with VendorServer("openai") as server:
        provider = openai(server, key=None, label="ollama")
        server.play("ollama_text")
        assert text_of(await answer(provider)) == "Hello, world!"
        server.play("ollama_tool_call")
        assert calls_of(await answer(provider)) == [("write_file", {"path": "a.txt", "content": "hi"})]
        server.play("ollama_same_index")
        chunks = await answer(provider)
        assert calls_of(chunks) == [("look", {"path": "a.txt"}), ("look", {"path": "b.txt"})]
        assert stop_of(chunks).reason == "tool_call"
        assert provider.name == "ollama:gpt-5.4-mini"
        await provider.aclose()


@pytest.mark.parametrize("vendor", ["anthropic", "openai"])
async def test_a_run_with_a_vendors_model(tmp_path: Path, vendor: str) -> None:
    """Two calls in one answer, an invalid one in the next, then text: the vendor sees each result under its call's id, the
    journal has every word and the tokens as the vendor counted them."""
    bench = Workbench(tmp_path)
    (bench.workspace / "a.txt").write_text("alpha")
    journal = MemoryJournal()
    async with VendorServer(vendor) as server:
        server.play("parallel_calls", "invalid_arguments", "text")
        provider = anthropic(server) if vendor == "anthropic" else openai(server)
        async with runtime_on(journal, bench, provider) as runtime:
            await runtime.create_session("s")
            report = await runtime.run("s", "Look at both.")
        await provider.aclose()
    assert (report.reason, report.final_answer) == ("completed", "Hello, world!")
    assert report.usage.prompt_tokens == 36
    last = json.dumps(server.requests[-1]["messages"])
    for call_id in ("call-1", "call-2", "call-3"):
        assert last.count(f'"{call_id}"') == 2, "each call stands there once, and its result once"
    assert "alpha" in last
    assert "There is no such file." in last
    assert "The arguments are not a JSON object." in last
    assert bench.effects() == []
    model = next(record for record in await history(journal, "s") if record.kind_name == "Message")
    assert ("claude" if vendor == "anthropic" else "gpt") in model.payload.decode()
    assert KEY not in "".join(record.payload.decode() for record in await history(journal, "s"))


async def test_a_vendor_that_refuses_the_key_ends_the_run_without_telling_it(tmp_path: Path) -> None:
    """The run ends with an error, the session stays usable, and the key is nowhere in the journal."""
    bench = Workbench(tmp_path)
    journal = MemoryJournal()
    async with VendorServer("openai") as server:
        server.play("unauthorized", "text")
        provider = openai(server)
        async with runtime_on(journal, bench, provider) as runtime:
            await runtime.create_session("s")
            first = await runtime.run("s", "Hello?")
            second = await runtime.run("s", "Hello again?")
        await provider.aclose()
    assert first.reason == "error"
    assert first.error == "arcan.provider_unauthorized: openai refuses the API key (401)."
    assert second.final_answer == "Hello, world!"
    assert KEY not in "".join(record.payload.decode() for record in await history(journal, "s"))


async def test_the_request_before_it_is_sent_can_fail_with_a_provider_error_only() -> None:
    """Whatever a client raises, callers see ProviderErrors."""
    async with VendorServer("openai") as server:
        server.play("rejected")
        provider = openai(server)
        with pytest.raises(ProviderError):
            await answer(provider, ASKED)
        await provider.aclose()
