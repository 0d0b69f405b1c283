"""bash in a run of the runtime: what stands in the journal, and that cancelling the run ends the command."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from life.aios.policy import PolicySet
from life.arcan.providers.scripted import Script, ScriptedCall, ScriptedProvider, ScriptedTurn
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.host.clock import SystemClock, SystemEntropy
from life.host.sandboxes import open_bash
from life.host.settings import SandboxSettings
from life.lago.journal.memory import MemoryJournal
from life.praxis.registry import ToolRegistry
from life.testing.sandbox import alive_with
from tests.arcan.workbench import history, kinds

EVERYTHING = PolicySet(allow_capabilities=("*",), max_tool_runtime_secs=600)


async def runtime_with_bash(journal: MemoryJournal, tmp_path: Path, *commands: str) -> Runtime:
    """A runtime whose model calls bash with each command in turn."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    clock = SystemClock()
    registry = ToolRegistry()
    bash = await open_bash(
        SandboxSettings(confirm=False, allow_hosts=("allowed.test",)),
        clock=clock,
        entropy=SystemEntropy(),
        data_root=tmp_path / "data",
        environment={},
    )
    assert bash is not None
    registry.register(bash)
    turns = [ScriptedTurn(calls=(ScriptedCall("bash", {"command": command}),)) for command in commands]
    return Runtime(
        journal,
        registry,
        provider=ScriptedProvider(Script(turns=(*turns, ScriptedTurn(text="done"))), clock=clock),
        clock=clock,
        entropy=SystemEntropy(),
        agent_id="agent-1",
        workspace_of=lambda session_id: str(workspace),
        settings=RuntimeSettings(policy=EVERYTHING, shutdown_grace_ms=0),
    )


@pytest.mark.part("bubblewrap")
async def test_the_journal_tells_what_a_command_did(tmp_path: Path) -> None:
    """Its run in the sandbox, the host it was refused, and the files it changed, with the acting session."""
    journal = MemoryJournal()
    command = (
        "echo made > made; python3 -c \"import urllib.request as u; u.urlopen('http://evil.test/')\" 2>/dev/null; true"
    )
    async with await runtime_with_bash(journal, tmp_path, command) as runtime:
        await runtime.create_session("s")
        await runtime.run("s", "go")
    names = await kinds(journal, "s")
    assert names.index("ToolCallStarted") < names.index("SandboxExecuted")
    by_name = {record.kind_name: json.loads(record.payload) for record in await history(journal, "s")}
    assert by_name["SandboxExecuted"]["exit_code"] == 0
    assert by_name["SandboxViolation"]["details"] == "evil.test:80 (not on the list of allowed hosts)"
    assert by_name["FileMutated"]["path"] == "made"
    assert by_name["ToolCallCompleted"]["result"]["network"] == [
        "denied evil.test:80 (not on the list of allowed hosts)"
    ]


@pytest.mark.part("bubblewrap")
async def test_cancelling_a_run_ends_its_command(tmp_path: Path) -> None:
    """Within two seconds, with everything it started, and with the files it changed in the journal."""
    journal = MemoryJournal()
    async with await runtime_with_bash(
        journal, tmp_path, "trap '' TERM; echo x > up; setsid sleep 15158 & sleep 15158"
    ) as runtime:
        await runtime.create_session("s")
        await runtime.start("s", "go")
        async with asyncio.timeout(10):
            while not alive_with("sleep\x0015158"):
                await asyncio.sleep(0.02)
        began = asyncio.get_running_loop().time()
        await runtime.cancel("s")
        assert asyncio.get_running_loop().time() - began < 2
        assert alive_with("sleep\x0015158") == []
    by_name = {record.kind_name: json.loads(record.payload) for record in await history(journal, "s")}
    assert by_name["FileMutated"]["path"] == "up"
    assert by_name["ToolCallCompleted"]["status"] == "cancelled"
