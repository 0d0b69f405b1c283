"""POST /v1/responses with the official openai client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from life.arcan.providers.scripted import ScriptedFailure, ScriptedTurn
from tests.arcan.doors.kit import House, house

openai = pytest.importorskip("openai")


def client(home: House) -> Any:
    return openai.AsyncOpenAI(base_url=f"{home.address}/v1", api_key="none", max_retries=0)


async def test_a_response(tmp_path: Path) -> None:
    """Text, status, usage and messages; its id finds it again."""
    async with house(tmp_path) as home, client(home) as openai_client:
        response = await openai_client.responses.create(model="life", input="transfer bob", instructions="Be kind.")
        assert (response.status, response.output_text) == ("completed", "I send it.It is done.")
        assert [item.type for item in response.output] == ["message", "message"]
        assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
        again = await openai_client.responses.retrieve(response.id)
        assert again.output == response.output and "Be kind." in home.requests[0].system


async def test_a_stream_has_the_events_of_the_official_types(tmp_path: Path) -> None:
    """The client's accumulator builds the response; numbers count without gaps; items and parts open and close."""
    async with house(tmp_path) as home, client(home) as openai_client:
        async with openai_client.responses.stream(model="life", input="transfer bob") as stream:
            events = [event async for event in stream]
            response = await stream.get_final_response()
    assert response.output_text == "I send it.It is done." and response.status == "completed"
    raw = [event for event in events if event.type.startswith("response.")]
    assert [event.sequence_number for event in raw] == list(range(len(raw)))
    names = [event.type for event in raw]
    assert names[:2] == ["response.created", "response.in_progress"] and names[-1] == "response.completed"
    for opened, closed in (
        ("response.output_item.added", "response.output_item.done"),
        ("response.content_part.added", "response.content_part.done"),
    ):
        assert names.count(opened) == names.count(closed) == 2


async def test_a_previous_response_is_continued_or_forked(tmp_path: Path) -> None:
    """The last response goes on in its session; an earlier one in a new session that knows the turns up to it."""
    async with house(tmp_path) as home, client(home) as openai_client:

        async def ask(text: str, previous: str | None = None) -> tuple[str, Any]:
            more = {"previous_response_id": previous} if previous else {}
            raw = await openai_client.responses.with_raw_response.create(model="life", input=text, **more)
            return raw.headers["x-life-session"], raw.parse()

        first, one = await ask("one")
        second, two = await ask("two", one.id)
        assert second == first and two.previous_response_id == one.id
        assert two.output_text == "You said 'two', question 2."
        third, three = await ask("three", one.id)
        assert third != first and three.output_text == "You said 'three', question 2."
        with pytest.raises(openai.NotFoundError):
            await ask("x", "resp_none")


async def test_in_the_background(tmp_path: Path) -> None:
    """The answer comes at once; retrieve tells how it stands; cancel stops it."""
    async with house(tmp_path) as home, client(home) as openai_client:
        started = await openai_client.responses.create(model="life", input="hang", background=True)
        assert started.status == "in_progress"
        await home.bench.hanging.wait()
        assert (await openai_client.responses.retrieve(started.id)).status == "in_progress"
        assert (await openai_client.responses.cancel(started.id)).status == "cancelled"
        assert (await openai_client.responses.retrieve(started.id)).status == "cancelled"


async def test_a_run_that_breaks_is_a_failed_response(tmp_path: Path) -> None:
    """Streamed and not: status `failed` with the words; the chat door answers 502."""

    def broken(_: Any) -> ScriptedTurn:
        return ScriptedTurn(error=ScriptedFailure(kind="rejected", message="No."))

    async with house(tmp_path, turn=broken) as home, client(home) as openai_client:
        response = await openai_client.responses.create(model="life", input="x")
        assert response.status == "failed" and "No." in response.error.message
        stream = await openai_client.responses.create(model="life", input="y", stream=True)
        assert [event.type async for event in stream][-1] == "response.failed"
        with pytest.raises(openai.InternalServerError, match="No"):
            await openai_client.chat.completions.create(model="life", messages=[{"role": "user", "content": "x"}])


@pytest.mark.parametrize(
    "wrong",
    [
        {"tools": [{"type": "web_search"}]},
        {"store": False},
        {"conversation": "c1"},
        {"background": True, "stream": True},
        {"text": {"format": {"type": "json_object"}}},
        {"input": [{"type": "computer_call_output", "output": {}}]},
        {"input": [{"role": "wizard", "content": "x"}]},
        {"input": []},
    ],
)
async def test_what_is_not_done_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """400; nothing ran."""
    async with house(tmp_path) as home, client(home) as openai_client:
        with pytest.raises(openai.BadRequestError):
            await openai_client.responses.create(**{"model": "life", "input": "transfer x", **wrong})
        assert not home.bench.effects()
