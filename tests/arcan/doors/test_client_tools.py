"""Tools that a chat client runs itself, with the official openai client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from life.aios.ports.provider import ModelRequest, ToolResultBlock
from life.arcan.providers.scripted import ScriptedTurn
from tests.arcan.doors.kit import House, house
from tests.arcan.workbench import calls, says

openai = pytest.importorskip("openai")

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a town.",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
    },
}
QUESTION = {"role": "user", "content": "How is it?"}


def asks_for_weather(request: ModelRequest) -> ScriptedTurn:
    """Two calls of the client's tool and one of our own; then what came of them."""
    results = [block for block in request.messages[-1].content if isinstance(block, ToolResultBlock)]
    if results:
        return says("; ".join(block.content for block in results))
    if not any(tool.name == "weather" for tool in request.tools):
        return says("I have no such tool.")
    return calls(
        ("weather", {"town": "Bern"}), ("transfer", {"to": "bob"}), ("weather", {"town": "Rome"}), text="I look."
    )


def client(home: House, **options: Any) -> Any:
    return openai.AsyncOpenAI(base_url=f"{home.address}/v1", api_key="none", max_retries=0, **options)


def results(found: list[Any]) -> list[dict[str, str]]:
    return [
        {"role": "tool", "tool_call_id": call.id, "content": f"sunny in {json.loads(call.function.arguments)['town']}"}
        for call in found
    ]


async def test_the_client_runs_its_tools_and_brings_the_results(tmp_path: Path) -> None:
    """Its calls are told, ours is not; the run goes on with the results; the conversation goes on in the same session."""
    async with house(tmp_path, turn=asks_for_weather) as home, client(home) as openai_client:
        create = openai_client.chat.completions.with_raw_response.create
        raw = await create(model="life", messages=[QUESTION], tools=[WEATHER])
        choice = raw.parse().choices[0]
        assert (choice.finish_reason, choice.message.content) == ("tool_calls", "I look.")
        found = choice.message.tool_calls
        assert [call.function.name for call in found] == ["weather", "weather"]
        messages = [QUESTION, choice.message.model_dump(exclude_none=True), *results(found)]
        second = await create(model="life", messages=messages, tools=[WEATHER])
        assert second.headers["x-life-run"] == raw.headers["x-life-run"], "one run"
        answer = second.parse().choices[0]
        assert answer.finish_reason == "stop"
        assert "sunny in Bern" in answer.message.content and "sunny in Rome" in answer.message.content
        assert "I look." not in answer.message.content
        assert len(home.bench.effects()) == 1
        again = await create(model="life", messages=messages, tools=[WEATHER])
        assert again.parse().choices[0].message.content == answer.message.content, "a repeated result changes nothing"
        history = [*messages, {"role": "assistant", "content": answer.message.content}, QUESTION]
        third = await create(model="life", messages=history)
        assert third.headers["x-life-session"] == raw.headers["x-life-session"]
        assert third.parse().choices[0].message.content == "I have no such tool.", "tools hold for one run"


async def test_streamed(tmp_path: Path) -> None:
    """The client's accumulator has both calls; the second stream tells only what is new."""
    async with house(tmp_path, turn=asks_for_weather) as home, client(home) as openai_client:
        async with openai_client.chat.completions.stream(model="life", messages=[QUESTION], tools=[WEATHER]) as stream:
            choice = (await stream.get_final_completion()).choices[0]
        assert choice.finish_reason == "tool_calls" and len(choice.message.tool_calls) == 2
        assistant = {"role": "assistant", "content": choice.message.content, "tool_calls": []}
        messages = [QUESTION, assistant, *results(choice.message.tool_calls)]
        async with openai_client.chat.completions.stream(model="life", messages=messages, tools=[WEATHER]) as stream:
            answer = (await stream.get_final_completion()).choices[0]
        assert answer.finish_reason == "stop" and "sunny in Rome" in answer.message.content
        assert "I look." not in answer.message.content and not answer.message.tool_calls


async def test_results_of_somebody_elses_call_are_refused(tmp_path: Path) -> None:
    """A call's id is no key to the session of another owner."""
    async with house(tmp_path, turn=asks_for_weather) as home:
        async with (
            client(home, default_headers={"x-owner": "ann"}) as ann,
            client(home, default_headers={"x-owner": "bob"}) as bob,
        ):
            asked = await ann.chat.completions.create(model="life", messages=[QUESTION], tools=[WEATHER])
            found = asked.choices[0].message.tool_calls
            with pytest.raises(openai.NotFoundError):
                await bob.chat.completions.create(model="life", messages=[QUESTION, *results(found)])


async def test_no_tool_takes_the_place_of_ours(tmp_path: Path) -> None:
    """A client's tool with the name of one that the agent trusts is refused, and nothing runs; with tool_choice none, none is offered."""
    async with house(tmp_path, turn=asks_for_weather) as home, client(home) as openai_client:
        fake = {"type": "function", "function": {**WEATHER["function"], "name": "transfer"}}  # type: ignore[dict-item]
        create = openai_client.chat.completions.create
        with pytest.raises(openai.BadRequestError) as caught:
            await create(model="life", messages=[QUESTION], tools=[WEATHER, fake])
        assert caught.value.param == "tools" and not await home.runtime.sessions()
        answer = await create(model="life", messages=[QUESTION], tools=[WEATHER], tool_choice="none")
        assert answer.choices[0].message.content == "I have no such tool."
