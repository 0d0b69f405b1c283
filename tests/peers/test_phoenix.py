"""A real Phoenix shows the tree: `life trace --to` and live export reach it, and it reads the convention as we write it.

Phoenix is optional (`make phoenix`; 620 MB in .cache). Its own assistant and its telemetry are switched off, and it listens on loopback.
"""

from __future__ import annotations

import asyncio
import json
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from life.testing.parts import find_phoenix
from life.vigil import names as n
from life.vigil.spans import project
from tests.arcan.workbench import Workbench, history
from tests.harness.process import ChildProcess
from tests.vigil.kit import telemetry_on, watched_runtime
from tests.vigil.test_spans import FULL_RUN

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    """A port that nobody uses."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def get(port: int, path: str) -> Any:
    """A JSON answer of Phoenix's API."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return json.loads(answer.read())


@pytest.mark.slow
@pytest.mark.part("phoenix")
@pytest.mark.timeout(240)
async def test_phoenix_shows_the_tree(tmp_path: Path) -> None:
    """What Phoenix gives back is the tree: every span with its parent, models, tools and agents known as such, tokens and errors read."""
    phoenix = find_phoenix(ROOT)
    assert phoenix is not None
    port, grpc_port = free_port(), free_port()
    environment = {
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(grpc_port),
        "PHOENIX_WORKING_DIR": str(tmp_path),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_DISABLE_AGENT_ASSISTANT": "true",
        "PHOENIX_AGENTS_DISABLE_BASH": "true",
        "PHOENIX_AGENTS_DISABLE_WEB_ACCESS": "true",
        "HOME": str(tmp_path),
    }
    with ChildProcess.spawn([phoenix, "serve"], name="phoenix", env=environment) as server:
        for _ in range(600):
            assert server.is_running, server.stderr()[-2000:]
            try:
                await asyncio.to_thread(get, port, "/v1/projects")
                break
            except OSError:
                await asyncio.sleep(0.2)
        live = telemetry_on({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"})
        (tmp_path / "bench").mkdir()
        async with watched_runtime(Workbench(tmp_path / "bench"), FULL_RUN, live) as (runtime, journal):
            await runtime.create_session("s")
            run_id = await runtime.start("s", "Do everything.")
            await runtime.wait("s", run_id)
            (pending,) = await runtime.pending_approvals()
            await runtime.resolve_approval("s", pending.approval_id, approved=True, actor="ann")
            await runtime.wait("s", run_id)
            wanted = project(await history(journal, "s"))
        await asyncio.to_thread(live.close)
        found: list[dict[str, Any]] = []
        for _ in range(100):
            found = (await asyncio.to_thread(get, port, "/v1/projects/default/spans?limit=1000"))["data"]
            if len(found) >= len(wanted):
                break
            await asyncio.sleep(0.2)
    shown = {
        (one["context"]["trace_id"], one["context"]["span_id"], one["parent_id"], one["name"]): one for one in found
    }
    assert shown.keys() == {(span.trace_id, span.span_id, span.parent_id, span.name) for span in wanted}
    kinds = {one["name"].partition(" ")[0]: one["span_kind"] for one in found}
    assert (kinds["invoke_agent"], kinds["chat"], kinds["execute_tool"]) == ("AGENT", "LLM", "TOOL")
    for span in wanted:
        one = shown[span.trace_id, span.span_id, span.parent_id, span.name]
        assert one["status_code"] == ("UNSET" if span.error is None else "ERROR")
        if span.attributes.get(n.OPERATION) == "chat" and n.INPUT_TOKENS in span.attributes:
            assert one["attributes"]["llm.token_count.prompt"] == span.attributes[n.INPUT_TOKENS]
