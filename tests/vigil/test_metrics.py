"""Metrics: names, units, buckets and labels of the convention, in both profiles (vigil.md §16, §21)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from life.vigil.exporting import Exporting
from life.vigil.metrics import AGENT_SECONDS, SECONDS, TOKENS
from tests.arcan.workbench import Workbench
from tests.vigil.kit import telemetry_on, watched_runtime
from tests.vigil.test_spans import FULL_RUN, Failing

DEV = {
    "gen_ai.client.inference.duration": "s",
    "gen_ai.client.inference.time_to_first_chunk": "s",
    "gen_ai.client.inference.usage.input_tokens": "{token}",
    "gen_ai.client.inference.usage.output_tokens": "{token}",
    "gen_ai.client.inference.operation.input_tokens": "{token}",
    "gen_ai.client.inference.operation.output_tokens": "{token}",
    "gen_ai.invoke_agent.duration": "s",
    "gen_ai.invoke_agent.inference_calls": "{inference_call}",
    "gen_ai.invoke_agent.tool_calls": "{tool_call}",
}
V1_41 = {
    "gen_ai.client.token.usage": "{token}",
    "gen_ai.client.operation.duration": "s",
    "gen_ai.client.operation.time_to_first_chunk": "s",
}
TOOL = {"gen_ai.execute_tool.duration": "s"}
OURS = {"vigil.requests": "{request}", "life.runs": "{run}", "vigil.estimated_cost_usd": "USD"}


def read(live: Any) -> dict[str, Any]:
    """Every metric by its name."""
    assert isinstance(live.exports, Exporting) and live.exports.metric_memory is not None
    assert live.flush()
    found = live.exports.metric_memory.get_metrics_data()
    assert found is not None
    data = json.loads(found.to_json())
    return {metric["name"]: metric for metric in data["resource_metrics"][0]["scope_metrics"][0]["metrics"]}


async def measured(tmp_path: Path, *, metrics: str) -> dict[str, Any]:
    """The metrics of a run with a priced model."""
    from life.arcan.runtime import Runtime
    from life.arcan.settings import RuntimeSettings
    from life.lago.journal.memory import MemoryJournal
    from life.testing.clock import SeededEntropy
    from tests.arcan.workbench import EVERYTHING
    from tests.vigil.kit import MovingClock

    live = telemetry_on(metrics=metrics)
    runtime = Runtime(
        live.watch(MemoryJournal()),
        Workbench(tmp_path),
        provider=Failing(times=0),
        clock=MovingClock(),
        entropy=SeededEntropy("m"),
        agent_id="agent-1",
        workspace_of=lambda _: str(tmp_path),
        settings=RuntimeSettings(policy=EVERYTHING, shutdown_grace_ms=0),
        telemetry=live,
    )
    async with runtime:
        await runtime.create_session("s")
        await runtime.run("s", "Go.")
    found = read(live)
    live.close()
    return found


@pytest.mark.parametrize(
    ("profile", "there", "not_there"),
    [("dev", DEV, V1_41), ("v1.41", V1_41, DEV), ("both", DEV | V1_41, {})],
)
async def test_profiles(tmp_path: Path, profile: str, there: dict[str, str], not_there: dict[str, str]) -> None:
    """Each profile has its metrics with their units, and not the other's; ours come with both."""
    metrics = await measured(tmp_path, metrics=profile)
    wanted = there | OURS
    assert {name: metrics[name]["unit"] for name in wanted if name in metrics} == wanted
    assert not not_there.keys() & metrics.keys()


async def test_values_buckets_and_labels(tmp_path: Path) -> None:
    """What is counted is what the events say, in the convention's buckets, and no label names a session, run or person."""
    metrics = await measured(tmp_path, metrics="both")
    tokens = metrics["gen_ai.client.inference.usage.input_tokens"]["data"]
    assert tokens["is_monotonic"] and tokens["data_points"][0]["value"] == 100
    assert tokens["data_points"][0]["attributes"] == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-test",
        "gen_ai.response.model": "claude-test-0101",
        "server.address": "models.example",
        "server.port": 8443,
        "gen_ai.token.modality": "text",
    }
    assert metrics["gen_ai.client.inference.usage.cache_read.input_tokens"]["data"]["data_points"][0]["value"] == 40
    assert metrics["vigil.estimated_cost_usd"]["data"]["data_points"][0]["value"] == pytest.approx(0.0015)
    for name, bounds in (
        ("gen_ai.client.inference.duration", SECONDS),
        ("gen_ai.client.inference.operation.input_tokens", TOKENS),
        ("gen_ai.invoke_agent.duration", AGENT_SECONDS),
        ("gen_ai.client.token.usage", TOKENS),
    ):
        assert tuple(metrics[name]["data"]["data_points"][0]["explicit_bounds"]) == bounds
    assert SECONDS[-1] == pytest.approx(81.92) and AGENT_SECONDS[-1] == 409.6 and TOKENS[-1] == 67_108_864
    for metric in metrics.values():
        for point in metric["data"]["data_points"]:
            assert (
                not {"gen_ai.conversation.id", "session.id", "life.run_id", "life.session_id"}
                & point["attributes"].keys()
            )


async def test_tools_gates_and_runs(tmp_path: Path) -> None:
    """Tools by how they ended, decisions of the gate, runs by how they ended (waiting for a person among them)."""
    live = telemetry_on()
    async with watched_runtime(Workbench(tmp_path), FULL_RUN, live) as (runtime, _):
        await runtime.create_session("s")
        run_id = await runtime.start("s", "Go.")
        await runtime.wait("s", run_id)
        (pending,) = await runtime.pending_approvals()
        await runtime.resolve_approval("s", pending.approval_id, approved=True, actor="ann")
        await runtime.wait("s", run_id)
    metrics = read(live)

    def counts(name: str, label: str) -> dict[str, int]:
        return {point["attributes"][label]: point["value"] for point in metrics[name]["data"]["data_points"]}

    assert counts("life.tool.executions", "gen_ai.tool.name") == {"write": 1, "fail": 1, "sign": 1}
    assert counts("life.runs", "life.run.reason") == {"approval": 1, "completed": 1}
    assert counts("life.gate.decisions", "life.gate.decision") == {
        "allow": 2,
        "denied": 1,
        "require_approval": 1,
        "approved": 1,
    }
    (tool,) = [
        point
        for point in metrics["gen_ai.execute_tool.duration"]["data"]["data_points"]
        if point["attributes"]["gen_ai.tool.name"] == "fail"
    ]
    assert tool["attributes"]["error.type"] == "tool_error"
    assert metrics["gen_ai.invoke_agent.tool_calls"]["data"]["data_points"][0]["count"] == 2
    live.close()
