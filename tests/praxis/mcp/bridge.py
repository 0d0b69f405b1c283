"""A bridge to servers of the tests, over an inner toolbox without tools."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from life.aios.json import Json
from life.aios.ports.tools import Probe, ToolCall, ToolContext, ToolDefinition, ToolOutcome
from life.host.clock import SystemClock
from life.praxis.mcp.config import parse_servers
from life.praxis.mcp.toolbox import McpToolbox
from life.praxis.mcp.trust import TrustStore

CONTEXT = ToolContext(
    session_id="s", branch_id="main", agent_id="a", run_id="r", workspace="/nowhere", idempotency_key="k"
)
ROOT = Path(__file__).resolve().parents[3]


class NoTools:
    """A toolbox without tools."""

    def definitions(self) -> Sequence[ToolDefinition]:
        return ()

    def capabilities(self, call: ToolCall, context: ToolContext) -> tuple[str, ...]:
        raise AssertionError(call)

    async def prepare(self, call: ToolCall, context: ToolContext) -> Json:
        raise AssertionError(call)

    async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        raise AssertionError(call)

    async def probe(self, call: ToolCall, context: ToolContext, prepared: Json) -> Probe:
        raise AssertionError(call)


def hostile(mode: str, *arguments: str, **members: Json) -> Mapping[str, Json]:
    """The entry of the hostile server."""
    args: list[Json] = ["-m", "tests.peers.mcp_hostile_server", mode, *arguments]
    return {"command": sys.executable, "args": args, "cwd": str(ROOT), **members}


@asynccontextmanager
async def bridge(
    folder: Path,
    entries: Mapping[str, Mapping[str, Json]],
    *,
    accept: bool = True,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[McpToolbox]:
    """A bridge to these servers, accepted unless the test does that itself."""
    environment = os.environ if environment is None else environment
    file = parse_servers(json.dumps({"mcpServers": entries}).encode(), environment)
    assert not file.problems
    trust = TrustStore(folder / "trust.json")
    for server in file.servers:
        if accept:
            trust.accept(server.name, server.entry)
    toolbox = McpToolbox(NoTools(), file.servers, trust, clock=SystemClock(), environment=environment)
    try:
        yield toolbox
    finally:
        await toolbox.aclose()


async def call(toolbox: McpToolbox, tool: str, **arguments: Json) -> ToolOutcome:
    """Run one call."""
    return await toolbox.execute(ToolCall("c", tool, arguments), CONTEXT)
