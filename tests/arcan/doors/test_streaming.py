"""Live streams over real sockets: pieces as they are written, slow and cut readers, many missed events (acceptance 8)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from life.aios.events import AssistantTextDelta, Heartbeat, encode_kind
from life.aios.ports.provider import Chunk, ModelRequest, StopChunk, TextChunk
from life.aios.record import EventRecord, EventWriter, Stream
from life.arcan.doors.following import coalesced
from life.testing.clock import ManualClock, SeededEntropy
from tests.arcan.doors.kit import frames, house


class Dictated:
    """A model that says what the test says, when it says it."""

    def __init__(self) -> None:
        self.name = "dictated"
        self.words: asyncio.Queue[str | None] = asyncio.Queue()

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        while (word := await self.words.get()) is not None:
            yield TextChunk(word)
        yield StopChunk("completed")


async def _next_text(lines: AsyncIterator[str]) -> str:
    async for line in lines:
        if line.startswith("data: {"):
            data = json.loads(line.removeprefix("data: "))
            if data.get("choices") and data["choices"][0]["delta"].get("content"):
                return str(data["choices"][0]["delta"]["content"])
    raise AssertionError("the stream ended")


async def test_pieces_come_as_they_are_written(tmp_path: Path) -> None:
    """Each piece reaches the client before the model says the next: nothing is held back or joined while the reader keeps up."""
    model = Dictated()
    async with house(tmp_path, model=model) as home, httpx2.AsyncClient(base_url=home.address) as http:
        body = {"model": "life", "messages": [{"role": "user", "content": "x"}], "stream": True}
        async with http.stream("POST", "/v1/chat/completions", json=body) as answer:
            lines = answer.aiter_lines()
            for word in ("one ", "two ", "three"):
                model.words.put_nowait(word)
                async with asyncio.timeout(5):
                    assert await _next_text(lines) == word
            model.words.put_nowait(None)
            rest = [line async for line in lines if line]
            assert rest[-1] == "data: [DONE]"


def _piece(text: str, index: int, *, message: str = "m") -> EventRecord:
    record = EventWriter(ManualClock(), SeededEntropy(), agent_id="a", stream=Stream("s")).event(
        AssistantTextDelta(delta=text, index=index), causation_id=message
    )
    return EventRecord(
        event_id=record.event_id,
        session_id="s",
        branch_id="main",
        agent_id="a",
        sequence=0,
        timestamp_us=record.timestamp_us,
        actor=record.actor,
        schema=record.schema,
        kind_name=record.kind_name,
        payload=record.payload,
        causation_id=message,
    )


def test_neighbours_of_one_message_are_joined() -> None:
    """Only those that follow each other without a gap, and only of the same message."""
    joined = coalesced([_piece("ab", 0), _piece("c", 2), _piece("x", 9), _piece("y", 0, message="n")])
    assert [json.loads(record.payload)["delta"] for record in joined] == ["abc", "x", "y"]
    assert joined[0].payload == encode_kind(AssistantTextDelta(delta="abc", index=0))


async def test_a_slow_reader_gets_everything(tmp_path: Path) -> None:
    """It reads nothing while thousands of pieces are written; then it gets the whole text, once, and the end. The run did not wait."""
    model = Dictated()
    async with house(tmp_path, model=model) as home:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(home.address.rpartition(":")[2]), limit=2**26)
        body = json.dumps({"model": "life", "messages": [{"role": "user", "content": "x"}], "stream": True})
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        writer.write((head + body).encode())
        await reader.readuntil(b"\r\n\r\n")
        words = [f"word {number} {'.' * 400} " for number in range(20_000)]
        for number, word in enumerate(words):
            model.words.put_nowait(word)
            if number % 100 == 0:
                await asyncio.sleep(0)
        model.words.put_nowait(None)
        session = (await home.runtime.sessions())[0].session_id
        async with asyncio.timeout(60):
            report = await home.runtime.wait(session)
        assert report.reason == "completed"
        content = (await reader.read()).decode()
        writer.close()
    texts = []
    for line in content.splitlines():
        if line.startswith("data: {"):
            for choice in json.loads(line.removeprefix("data: "))["choices"]:
                texts.append(choice["delta"].get("content") or "")
    assert "".join(texts) == "".join(words)
    assert content.count("data: [DONE]") == 1


async def _numbers(http: httpx2.AsyncClient, cursor: int, upto: int, *, cut_after: int) -> AsyncGenerator[int, None]:
    """Sequences of the canonical stream from a cursor on, until it is cut after so many."""
    headers = {"last-event-id": str(cursor)}
    async with http.stream("GET", "/sessions/s/events/stream", headers=headers) as answer:
        seen = 0
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                yield int(line.removeprefix("id: "))
                seen += 1
                if seen == cut_after or int(line.removeprefix("id: ")) == upto:
                    return


async def test_reconnecting_under_load_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """Acceptance 8: ten readers are cut again and again while events pour in; each sees every sequence once, in order."""
    async with house(tmp_path) as home, httpx2.AsyncClient(base_url=home.address, timeout=30) as http:
        await home.runtime.create_session("s")
        writer = EventWriter(ManualClock(), SeededEntropy(), agent_id="agent-1", stream=Stream("s"))
        upto = 3_001

        async def pour() -> None:
            for _ in range(300):
                await home.journal.append([writer.event(Heartbeat(summary="x")) for _ in range(10)])
                await asyncio.sleep(0)

        async def read(number: int) -> list[int]:
            seen: list[int] = []
            while not seen or seen[-1] < upto:
                cursor = seen[-1] if seen else 0
                async with contextlib.aclosing(_numbers(http, cursor, upto, cut_after=97 + 41 * number)) as numbers:
                    seen += [each async for each in numbers]
            return seen

        pouring = asyncio.create_task(pour())
        readers = await asyncio.gather(*(read(number) for number in range(10)))
        await pouring
        assert all(seen == list(range(1, upto + 1)) for seen in readers)


@pytest.mark.parametrize("format_", ["openai", "ai_sdk_v6"])
async def test_thousands_of_missed_events_are_delivered(tmp_path: Path, format_: str) -> None:
    """A client that comes back after a long run gets all of it: far more than 512 events."""
    model = Dictated()
    async with (
        house(tmp_path, model=model) as home,
        httpx2.AsyncClient(base_url=home.address, timeout=30) as http,
    ):
        await home.runtime.create_session("s")
        run_id = await home.runtime.start("s", "x")
        writer = EventWriter(ManualClock(), SeededEntropy(), agent_id="agent-1", stream=Stream("s"))
        for _ in range(3):
            await home.journal.append([writer.event(Heartbeat(summary="x")) for _ in range(700)])
        model.words.put_nowait("The end.")
        model.words.put_nowait(None)
        await home.runtime.wait("s", run_id)
        answer = await http.get(f"/sessions/s/events/stream?format={format_}&run={run_id}")
        told: list[Any] = frames(answer.text)
        assert told[-1] == "[DONE]" and "The end." in answer.text
        if format_ == "ai_sdk_v6":
            assert sum(frame != "[DONE]" and frame["type"] == "data-aios-event" for frame in told) > 2_100
