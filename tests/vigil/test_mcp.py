"""The MCP convention: attributes on the span of a tool call, SERVER spans of our own server, and both metrics (vigil.md §17)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from life.aios.json import Json
from life.aios.policy import PolicySet
from life.aios.ports.telemetry import SpanPlace
from life.arcan.providers.scripted import ScriptedProvider
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.host.clock import SystemClock
from life.host.mcp_tracing import trace_requests
from life.host.trace import session_spans
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import SeededEntropy
from life.vigil import names as n
from life.vigil.metrics import MCP_SECONDS
from life.vigil.span import Span
from tests.arcan.workbench import calls, says, script
from tests.praxis.mcp.bridge import bridge, hostile
from tests.praxis.mcp.served import TOKEN, over_http, served
from tests.vigil.kit import spans_of, telemetry_on
from tests.vigil.test_metrics import read

TRACE, SPAN = "ab" * 16, "cd" * 8


REFUSING = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    tools = [{"name": "echo", "inputSchema": {"type": "object"}}]
    results = {
        "initialize": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "r", "version": "1"}},
        "tools/list": {"tools": tools},
    }
    answer = {"jsonrpc": "2.0", "id": asked["id"]}
    if asked["method"] in results:
        answer["result"] = results[asked["method"]]
    else:
        code = -32601 if asked["method"] != "tools/call" else -32050
        answer["error"] = {"code": code, "message": "secret words"}
    print(json.dumps(answer), flush=True)
"""
"""A server that answers every call with a JSON-RPC error of its own."""


async def called(
    tmp_path: Path, entry: Mapping[str, Json], tool: str, arguments: dict[str, Json]
) -> tuple[Span, dict[str, Any]]:
    """An agent calls a real server: the span of its call, live and rebuilt alike, and the metrics."""
    live, journal = telemetry_on(clock=SystemClock()), MemoryJournal()  # type: ignore[arg-type]
    async with bridge(tmp_path, {"h": entry}, environment=os.environ) as toolbox:
        await toolbox.refresh()
        clock = SystemClock()
        steps = script(calls((f"mcp__h__{tool}", arguments)), says("Done."))
        runtime = Runtime(
            live.watch(journal),
            toolbox,
            provider=ScriptedProvider(steps, clock=clock),
            clock=clock,
            entropy=SeededEntropy("mcp"),
            agent_id="agent-1",
            workspace_of=lambda _: str(tmp_path),
            settings=RuntimeSettings(policy=PolicySet(allow_capabilities=("mcp:*",)), shutdown_grace_ms=0),
            telemetry=live,
        )
        async with runtime:
            await runtime.create_session("s")
            await runtime.run("s", "Go.")
    spans = spans_of(live)
    assert {span.span_id: span for span in spans} == {span.span_id: span for span in await session_spans(journal, "s")}
    metrics = read(live)
    live.close()
    return next(span for span in spans if span.name == f"execute_tool mcp__h__{tool}"), metrics


async def test_a_call_over_a_pipe(tmp_path: Path) -> None:
    """The span that surrounds the call has the convention's attributes, and the metric its buckets; no second span is made."""
    span, metrics = await called(tmp_path, hostile("plain"), "echo", {"text": "hello"})
    found = span.attributes
    assert (found[n.MCP_METHOD], found[n.OPERATION], found[n.TOOL_NAME]) == (
        "tools/call",
        "execute_tool",
        "mcp__h__echo",
    )
    assert (found[n.TRANSPORT], n.SERVER_ADDRESS in found, span.error) == ("pipe", False, None)
    assert str(found[n.MCP_PROTOCOL]).startswith("20")
    (point,) = metrics["mcp.client.operation.duration"]["data"]["data_points"]
    assert metrics["mcp.client.operation.duration"]["unit"] == "s"
    assert tuple(point["explicit_bounds"]) == MCP_SECONDS
    took_s = found[n.MCP_SECONDS]
    assert isinstance(took_s, float) and 0 < took_s <= (span.end_us - span.start_us) / 1e6
    assert (point["count"], point["sum"]) == (1, took_s)
    assert point["attributes"] == {
        n.MCP_METHOD: "tools/call",
        n.OPERATION: "execute_tool",
        n.TOOL_NAME: "mcp__h__echo",
        n.MCP_PROTOCOL: found[n.MCP_PROTOCOL],
        n.TRANSPORT: "pipe",
    }


async def test_a_refusal(tmp_path: Path) -> None:
    """A JSON-RPC error is `error.type` by its code; what the server said with it stays out."""
    entry: dict[str, Json] = {"command": sys.executable, "args": ["-c", REFUSING]}
    span, metrics = await called(tmp_path, entry, "echo", {})
    assert (span.error, span.attributes[n.RPC_STATUS]) == ("-32050", "-32050")
    (point,) = metrics["mcp.client.operation.duration"]["data"]["data_points"]
    assert point["attributes"][n.ERROR_TYPE] == "-32050"
    assert "secret words" not in repr(span)


async def test_a_call_over_http(tmp_path: Path) -> None:
    """Over HTTP the server's address and port are known, and an outcome that is an error is `tool_error`."""
    async with served(tmp_path) as parts, over_http(parts.server) as address:
        entry: dict[str, Json] = {"url": f"{address}/mcp", "headers": {"Authorization": f"Bearer {TOKEN}"}}
        (tmp_path / "agent").mkdir()
        span, metrics = await called(tmp_path / "agent", entry, "read_file", {"path": "missing.txt"})
    port = int(address.rpartition(":")[2])
    found = span.attributes
    assert (found[n.TRANSPORT], found[n.SERVER_ADDRESS], found[n.SERVER_PORT]) == ("tcp", "127.0.0.1", port)
    assert span.error == "tool_error" and TOKEN not in repr(span)
    (point,) = metrics["mcp.client.operation.duration"]["data"]["data_points"]
    assert point["attributes"][n.SERVER_PORT] == port


async def test_our_server(tmp_path: Path) -> None:
    """A client's request is a SERVER span below the span of its `_meta`; the client's own mistakes are no errors of ours, and a
    name that it made up is shown nowhere."""
    live = telemetry_on()
    async with served(tmp_path) as parts, Client(parts.server.protocol) as client:
        trace_requests(parts.server, live)
        meta: Any = {"traceparent": SpanPlace(TRACE, SPAN).traceparent}
        await client.call_tool("read_file", {"path": "missing.txt"}, meta=meta)
        with pytest.raises(MCPError):
            await client.call_tool("canary_tool", {})
        await client.list_tools(cache_mode="bypass")
    spans = {span.name: span for span in spans_of(live)}
    failed, refused = spans["tools/call read_file"], spans["tools/call"]
    assert (failed.kind, failed.trace_id, failed.parent_id, failed.error) == ("server", TRACE, SPAN, "tool_error")
    assert (refused.error, refused.attributes[n.RPC_STATUS]) == (None, "-32602")
    assert spans["tools/list"].error is None and "canary" not in repr(spans)
    assert all(span.attributes.keys() <= n.ATTRIBUTES for span in spans.values())
    points = read(live)["mcp.server.operation.duration"]["data"]["data_points"]
    assert {point["attributes"][n.MCP_METHOD] for point in points} == {"tools/call", "tools/list"}
    assert sum(point["count"] for point in points) == len(spans) == 3
    live.close()
