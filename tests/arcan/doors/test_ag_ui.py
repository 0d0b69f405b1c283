"""POST /ag-ui/runs: every event against the official Python models, whole runs with npm @ag-ui/client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.arcan.doors.kit import frames, house, node, types
from tests.arcan.doors.test_client_tools import asks_for_weather


def body(text: str, **more: Any) -> dict[str, Any]:
    messages = [{"id": "u1", "role": "user", "content": text}]
    return {"threadId": "thread", "runId": "r1", "messages": messages, "tools": [], "context": [], "state": {}, **more}


async def test_every_event_fits_the_official_models(tmp_path: Path) -> None:
    """Parsed by ag-ui-protocol's models, all fields known; one start, one end; text and calls are closed."""
    core = pytest.importorskip("ag_ui.core")
    pydantic = pytest.importorskip("pydantic")
    adapter = pydantic.TypeAdapter(core.Event)
    async with house(tmp_path) as home, httpx2.AsyncClient(base_url=home.address) as http:
        answer = await http.post("/ag-ui/runs", json=body("transfer bob"))
    told = frames(answer.text)
    for frame in told:
        event = adapter.validate_python(frame)
        assert not event.model_extra, frame
    names = types(told)
    assert names[:3] == ["RUN_STARTED", "STATE_SNAPSHOT", "STEP_STARTED"] and names[-1] == "RUN_FINISHED"
    assert told[-1]["outcome"] == {"type": "success"}
    for opened, closed in (
        ("STEP_STARTED", "STEP_FINISHED"),
        ("TEXT_MESSAGE_START", "TEXT_MESSAGE_END"),
        ("TOOL_CALL_START", "TOOL_CALL_END"),
    ):
        assert names.count(opened) == names.count(closed) >= 1
    assert "STATE_DELTA" in names and "TOOL_CALL_RESULT" in names


@pytest.mark.part("npm-peers", "node")
async def test_the_official_agent_runs_it(tmp_path: Path) -> None:
    """HttpAgent, which verifies the order of events, builds the messages and applies the state's patches."""
    async with house(tmp_path) as home:
        seen = await node("ag_ui_agent.mjs", f"{home.address}/ag-ui/runs", "transfer bob", "none")
    assert [run["errors"] for run in seen["runs"]] == [[]]
    assert [message["role"] for message in seen["messages"]] == ["user", "assistant", "assistant", "tool", "assistant"]
    assert seen["messages"][-1]["content"] == "It is done."
    assert seen["state"]["session_id"] == "thread"


@pytest.mark.part("npm-peers", "node")
@pytest.mark.parametrize("answer", ["yes", "no"])
async def test_an_interrupt_is_answered(tmp_path: Path, answer: str) -> None:
    """The run ends with an interrupt; `resume` goes on with it; the call runs once, or not at all."""
    async with house(tmp_path) as home:
        seen = await node("ag_ui_agent.mjs", f"{home.address}/ag-ui/runs", "sign this", answer)
        first, second = seen["runs"]
        assert first["errors"] == second["errors"] == []
        outcome = first["events"][-1]["outcome"]
        assert outcome["type"] == "interrupt" and outcome["interrupts"][0]["toolCallId"]
        assert second["events"][-1]["outcome"] == {"type": "success"}
        assert home.bench.effects() == (["sign:this"] if answer == "yes" else [])
        assert seen["messages"][-1]["content"] == ("It is done." if answer == "yes" else "It failed.")


async def test_the_same_run_posted_again_runs_once(tmp_path: Path) -> None:
    """The client's run id is the key; the repetition is told the same run."""
    async with house(tmp_path) as home, httpx2.AsyncClient(base_url=home.address) as http:
        one = frames((await http.post("/ag-ui/runs", json=body("transfer bob"))).text)
        two = frames((await http.post("/ag-ui/runs", json=body("transfer bob"))).text)
        results = [[frame for frame in told if frame["type"] == "TOOL_CALL_RESULT"] for told in (one, two)]
        assert results[0] == results[1] and types(one)[-1] == types(two)[-1] == "RUN_FINISHED"
        assert len(home.bench.effects()) == 1


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"tools": [{"name": "transfer", "description": "", "parameters": {}}]}, 400),
        ({"messages": [{"id": "t", "role": "tool", "toolCallId": "x", "content": "x"}]}, 404),
        ({"messages": []}, 400),
        ({"threadId": "../up"}, 400),
        ({"resume": [{"interruptId": "x", "status": "resolved", "payload": {}}]}, 404),
        ({"resume": [{"interruptId": "x", "status": "perhaps"}]}, 400),
    ],
)
async def test_what_is_not_done_is_refused(tmp_path: Path, wrong: dict[str, Any], status: int) -> None:
    """With a status before the stream begins; nothing ran."""
    async with house(tmp_path) as home, httpx2.AsyncClient(base_url=home.address) as http:
        answer = await http.post("/ag-ui/runs", json=body("transfer bob", **wrong))
        assert answer.status_code == status, answer.text
        assert not home.bench.effects()


async def test_a_tool_of_the_client_is_run_by_the_client(tmp_path: Path) -> None:
    """The run ends with the pending call; the next one brings its result, and goes on; a result that nobody waits for is refused."""
    core = pytest.importorskip("ag_ui.core")
    pydantic = pytest.importorskip("pydantic")
    adapter = pydantic.TypeAdapter(core.Event)
    tool = {"name": "weather", "description": "The weather.", "parameters": {"type": "object", "properties": {}}}
    async with (
        house(tmp_path, turn=asks_for_weather) as home,
        httpx2.AsyncClient(base_url=home.address) as http,
    ):
        first = frames((await http.post("/ag-ui/runs", json=body("How is it?", tools=[tool]))).text)
        pending = first[-1]["outcome"]["pendingToolCallIds"]
        results = [{"id": f"t-{each}", "role": "tool", "toolCallId": each, "content": "sunny"} for each in pending]
        answer = body("How is it?", tools=[tool], runId="r2")
        answer["messages"] += results
        second = frames((await http.post("/ag-ui/runs", json=answer)).text)
        for frame in (*first, *second):
            assert not adapter.validate_python(frame).model_extra, frame
        assert len(pending) == 2 and second[-1]["outcome"] == {"type": "success"}
        said = "".join(frame["delta"] for frame in second if frame["type"] == "TEXT_MESSAGE_CONTENT")
        assert said.count("sunny") == 2 and len(home.bench.effects()) == 1
        assert (await http.post("/ag-ui/runs", json=answer)).status_code == 409
