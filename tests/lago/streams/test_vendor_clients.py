"""The vendors' own clients read our streams over loopback: PyPI openai and anthropic, npm ai in its versions 6 and 7."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from life.aios.events import Heartbeat
from life.aios.record import EventWriter
from life.lago.journal.memory import MemoryJournal
from life.lago.streams.log import FrameLogs
from life.testing.clock import ManualClock, SeededEntropy
from tests.lago.streams.golden_run import STREAM, new_events
from tests.lago.streams.serving import streaming

PEERS = Path(__file__).parents[2] / "peers"


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """A server over the golden run."""
    async with MemoryJournal() as journal:
        await journal.append(new_events())
        logs = FrameLogs(journal)
        async with streaming(logs) as address:
            yield address
            await logs.aclose()


def _openai(address: str) -> Any:
    openai = pytest.importorskip("openai")
    return openai.AsyncOpenAI(base_url=f"{address}/openai", api_key="none", max_retries=0)


async def test_the_openai_client_reads_a_run(address: str) -> None:
    """Text once, both tool calls whole, one finish reason, the usage, and the end."""
    async with _openai(address) as client:
        stream = await client.chat.completions.create(
            model="m", messages=[], stream=True, extra_query={"run": "1", "after": "0"}
        )
        chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == 'I look into it.It says "Hello".'
    assert [delta.role for delta in deltas if delta.role] == ["assistant"]
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    assert [(call.index, call.id, call.function.name) for call in calls] == [
        (0, "call-1", "read_file"),
        (1, "call-2", "bash"),
    ]
    assert json.loads(calls[0].function.arguments) == {"path": "hello.txt"}
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage.total_tokens == 42
    assert len({chunk.id for chunk in chunks}) == 1


async def test_the_openai_client_accumulates_a_run(address: str) -> None:
    """The client's own accumulator builds one completion."""
    async with _openai(address) as client:
        async with client.chat.completions.stream(
            model="m", messages=[], extra_query={"run": "1", "after": "0"}
        ) as stream:
            completion = await stream.get_final_completion()
    message = completion.choices[0].message
    assert message.content == 'I look into it.It says "Hello".'
    assert [call.function.name for call in message.tool_calls or ()] == ["read_file", "bash"]


async def test_the_openai_client_raises_what_broke_a_run(address: str) -> None:
    """An error of the run is an APIError of the client."""
    openai = pytest.importorskip("openai")
    async with _openai(address) as client:
        stream = await client.chat.completions.create(
            model="m", messages=[], stream=True, extra_query={"run": "1", "after": "24"}
        )
        with pytest.raises(openai.APIError, match="The model gave up"):
            async for _ in stream:
                pass


async def test_the_openai_client_survives_heartbeats() -> None:
    """Silence, with and without events that are not told, gives no frame that the client can't read."""
    async with MemoryJournal() as journal:
        golden = new_events()
        await journal.append(golden[:6])
        logs = FrameLogs(journal, heartbeat_s=0.02)
        async with streaming(logs) as address, _openai(address) as client:
            stream = await client.chat.completions.create(model="m", messages=[], stream=True, extra_query={"run": "1"})
            seen = aiter(stream)
            first = await anext(seen)
            writer = EventWriter(ManualClock(), SeededEntropy(), agent_id="a", stream=STREAM)
            await journal.append([writer.event(Heartbeat(summary="alive"))])
            empty = await anext(seen)
            assert empty.choices[0].delta.content is None
            await asyncio.sleep(0.1)
            await journal.append(golden[6:])
            rest = [chunk async for chunk in seen]
            texts = [chunk.choices[0].delta.content or "" for chunk in (first, *rest) if chunk.choices]
            assert "".join(texts) == 'I look into it.It says "Hello".'
            await logs.aclose()


def _anthropic(address: str) -> Any:
    anthropic = pytest.importorskip("anthropic")
    return anthropic.AsyncAnthropic(base_url=f"{address}/anthropic", api_key="none", max_retries=0)


async def test_the_anthropic_client_reads_a_run(address: str) -> None:
    """The client's accumulator builds one message with its blocks in order."""
    async with _anthropic(address) as client:
        async with client.messages.stream(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}], extra_query={"run": "1"}
        ) as stream:
            message = await stream.get_final_message()
    assert [block.type for block in message.content] == ["text", "tool_use", "tool_use", "text"]
    assert message.content[0].text == "I look into it."
    assert message.content[1].input == {"path": "hello.txt"}
    assert message.content[3].text == 'It says "Hello".'
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == 12


async def test_the_anthropic_client_raises_what_broke_a_run(address: str) -> None:
    """An error of the run is an error of the client."""
    anthropic = pytest.importorskip("anthropic")
    async with _anthropic(address) as client:
        with pytest.raises(anthropic.APIStatusError, match="The model gave up"):
            async with client.messages.stream(
                model="m",
                max_tokens=9,
                messages=[{"role": "user", "content": "x"}],
                extra_query={"run": "1", "after": "24"},
            ) as stream:
                await stream.get_final_message()


async def _ui_message(package: str, url: str) -> Any:
    process = await asyncio.create_subprocess_exec(
        "node",
        PEERS / "ui_message_reader.mjs",
        package,
        url,
        "GET",
        cwd=PEERS,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, error.decode()
    return json.loads(out)


@pytest.mark.part("npm-peers", "node")
@pytest.mark.parametrize("package", ["ai-v6", "ai"])
async def test_the_ai_sdk_reads_a_run(address: str, package: str) -> None:
    """Its transport accepts every frame, and its reader builds one message: steps, texts, tools and what came of them."""
    read = await _ui_message(package, f"{address}/vercel?run=1")
    assert read["headers"]["stream"] == "v1"
    assert read["errors"] == []
    parts = [part for part in read["message"]["parts"] if part["type"] != "step-start"]
    assert [part["type"] for part in parts] == ["text", "tool-read_file", "tool-bash", "text"]
    assert parts[0]["text"] == "I look into it." and parts[0]["state"] == "done"
    assert parts[1]["state"] == "output-available" and parts[1]["output"] == {"text": "Hello\nWörld"}
    assert parts[2]["state"] == "output-error" and parts[2]["errorText"] == "A person said no."
    assert parts[3]["text"] == 'It says "Hello".'
    assert read["message"]["id"] == "01GOLDEN000000000000000003"
    assert read["chunks"][-1] == {"type": "finish", "finishReason": "stop"}
    assert sum(chunk["type"] == "data-aios-event" for chunk in read["chunks"]) == 9


@pytest.mark.part("npm-peers", "node")
@pytest.mark.parametrize("package", ["ai-v6", "ai"])
async def test_the_ai_sdk_is_told_what_broke_a_run(address: str, package: str) -> None:
    """The error reaches `onError`, the text so far stays."""
    read = await _ui_message(package, f"{address}/vercel?run=1&after=24")
    assert read["errors"] == ["The model gave up."]
    assert read["message"]["parts"][-1]["text"] == "I beg"
