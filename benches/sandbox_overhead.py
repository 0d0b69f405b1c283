"""What a sandbox costs: `bash -c true` as a plain subprocess, in each sandbox, and as a call of the tool `bash`.

The tool's figure has everything on: the durable mark before the start and the look at the workspace (200 files) before and after.
Figures are milliseconds per command; a ratio is one sandbox divided by the plain subprocess of the same round.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from measure import Claim, arguments, interleaved, report, runner

from life.aios.errors import LifeError
from life.aios.ports.sandbox import Sandbox, SandboxCommand
from life.aios.ports.tools import ToolContext
from life.host.clock import SystemClock
from life.praxis.sandbox.bubblewrap import open_bubblewrap
from life.praxis.sandbox.landlock import open_landlock
from life.praxis.sandbox.process import open_process
from life.praxis.sandbox.proxy import FilteringProxy
from life.praxis.tools.bash import Bash, BashArguments
from life.praxis.workspace import WorkspacePolicy
from life.testing.clock import SeededEntropy

ARGV = ("/bin/bash", "-c", "true")


async def plain(workspace: str) -> None:
    """The limit: no sandbox, no limits, nothing watched."""
    process = await asyncio.create_subprocess_exec(
        *ARGV, cwd=workspace, env={}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    await process.communicate()


def in_sandbox(sandbox: Sandbox) -> Callable[[str], Awaitable[None]]:
    """One command in a sandbox."""

    async def run(workspace: str) -> None:
        ran = await sandbox.run(SandboxCommand(argv=ARGV, workspace=workspace))
        assert ran.exit_code == 0

    return run


def as_tool(sandbox: Sandbox, marks: Path) -> Callable[[str], Awaitable[None]]:
    """One call of the tool."""
    tool = Bash(sandbox, WorkspacePolicy(), marks_directory=marks, entropy=SeededEntropy())
    calls = 0

    async def run(workspace: str) -> None:
        nonlocal calls
        calls += 1
        context = ToolContext(
            session_id="bench",
            branch_id="main",
            agent_id="agent",
            run_id="run",
            workspace=workspace,
            idempotency_key=f"call-{calls}",
        )
        outcome = await tool.run(BashArguments(command="true"), context)
        assert outcome.status == "ok"

    return run


async def open_all(marks: Path) -> dict[str, Callable[[str], Awaitable[None]]]:
    """What works on this machine."""
    clock = SystemClock()
    cases: dict[str, Callable[[str], Awaitable[None]]] = {"subprocess": plain}
    try:
        bubblewrap = await open_bubblewrap(clock=clock)
        proxied = await open_bubblewrap(clock=clock, proxy=FilteringProxy(("example.com",)))
        cases |= {
            "bubblewrap": in_sandbox(bubblewrap),
            "bubblewrap with a proxy": in_sandbox(proxied),
            "tool bash": as_tool(bubblewrap, marks),
        }
    except LifeError as refused:
        print(f"without bubblewrap: {refused.message}")
    try:
        cases["landlock"] = in_sandbox(await open_landlock(clock=clock))
    except LifeError as refused:
        print(f"without landlock: {refused.message}")
    cases["process"] = in_sandbox(await open_process(clock=clock))
    return cases


def main() -> int:
    """Print the figures; the exit code is 1 when a claim is missed."""
    options = arguments(__doc__ or "")
    repeats = 10 if options.quick else 30
    with tempfile.TemporaryDirectory() as directory, runner() as loop:
        workspace = Path(directory).resolve() / "workspace"
        workspace.mkdir()
        for number in range(200):
            (workspace / f"file-{number}").write_text("x")
        opened = loop.run(open_all(Path(directory, "marks")))

        def case(work: Callable[[str], Awaitable[None]]) -> Callable[[], float]:
            async def repeat() -> float:
                began = time.perf_counter()
                for _ in range(repeats):
                    await work(str(workspace))
                return (time.perf_counter() - began) * 1000 / repeats

            return lambda: loop.run(repeat())

        results = interleaved({name: case(work) for name, work in opened.items()}, rounds=options.rounds)
    goals = {"bubblewrap": 8.0, "tool bash": 10.0}
    claims = [Claim(name, name, "subprocess", at_most=goals.get(name)) for name in results if name != "subprocess"]
    return report(results, "ms per command", claims)


if __name__ == "__main__":
    sys.exit(main())
