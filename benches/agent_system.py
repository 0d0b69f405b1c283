"""A turn with one tool call in a whole system, everything on but the sandbox (which is measured by sandbox_overhead.py).

    floor     the same events by hand with two durable commits (agent_turn.py)
    todo      gate, policy, budgets, regulator, memory and its context, skills, versions of files, checkpoints; a tool that does nothing outside
    read      the same with `read_file`
    write     the same with `write_file`: a file on disk, and its version in the blob store and the journal

Conversations of 20 turns, one case after the other in one process, so that whatever else the machine does is the same for all. What a
real tool itself costs (a file that is written and flushed, say) is part of the figure; the floor has none.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent_turn import USAGE, Floor, SystemClock
from measure import Claim, arguments, report

from life.aios.json import JsonObject
from life.aios.ports.provider import ModelProvider, ModelRequest
from life.arcan.events import RunLimits
from life.arcan.providers.scripted import ScriptedCall, ScriptedProvider, ScriptedTurn
from life.host.settings import SandboxSettings, Settings
from life.host.system import System, open_system

TURNS = 20
LIMITS = RunLimits(max_steps=10**6, max_tokens=10**9, max_time_ms=10**9, max_tool_calls=10**6, max_errors=10**6)
CASES = ("todo", "read", "write")


def call(kind: str, number: int) -> ScriptedCall:
    """A call that differs from the one before: the same over and over is a loop, and stopped."""
    arguments_of: dict[str, tuple[str, JsonObject]] = {
        "todo": ("todo", {"items": [{"text": f"Step {number}.", "status": "in_progress"}]}),
        "read": ("read_file", {"path": "table.txt", "offset": number}),
        "write": ("write_file", {"path": "notes.txt", "content": f"Row {number}.\n" * 40}),
    }
    tool, arguments = arguments_of[kind]
    return ScriptedCall(tool, arguments)


def model(request: ModelRequest) -> ScriptedTurn:
    """Calls the tool that the objective names, so many times, and then answers."""
    block = request.messages[0].content[0]
    kind = getattr(block, "text", "").rpartition(":")[2].strip()
    said = request.earlier_answers + sum(message.role == "assistant" for message in request.messages)
    if said >= TURNS:
        return ScriptedTurn(text="Done.", usage=USAGE)
    return ScriptedTurn(calls=(call(kind, said + 1),), usage=USAGE)


@asynccontextmanager
async def a_system(folder: Path, provider: ModelProvider) -> AsyncIterator[System]:
    """A new project in this folder, with this model."""
    environment = {"LIFE_KEY_FILE": str(folder / "key" / "identity.key")}
    settings = Settings(sandbox=SandboxSettings(backend="off"))
    async with open_system(folder / "life", settings=settings, environment=environment, provider=provider) as system:
        yield system


async def run(folder: Path, count: int) -> dict[str, list[float]]:
    """Milliseconds per turn of so many conversations of every kind, taking turns."""
    figures: dict[str, list[float]] = {"floor": [], **{kind: [] for kind in CASES}}
    floor = Floor(folder)
    async with a_system(folder, ScriptedProvider(model, clock=SystemClock())) as system:
        for number in range(count + 2):  # the first two do not count
            for name in figures:
                if name == "floor":
                    began = time.perf_counter()
                    await floor.conversation(TURNS)
                else:
                    session = await system.runtime.create_session()
                    workspace = Path(system.runtime.parts.workspace_of(session.session_id))
                    (workspace / "table.txt").write_text("A row of the table.\n" * 40)
                    began = time.perf_counter()
                    done = await system.runtime.run(session.session_id, f"Do it: {name}", limits=LIMITS)
                    assert (done.reason, done.final_answer) == ("completed", "Done."), done
                if number >= 2:
                    figures[name].append((time.perf_counter() - began) * 1000 / TURNS)
    return figures


def main() -> int:
    """Measure and print."""
    options = arguments(__doc__ or "")
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        results = asyncio.run(run(Path(name), 5 if options.quick else 10 * options.rounds))
    claims = [Claim("A1, everything on", "todo", "floor", at_most=2.0)]
    claims += [Claim("with a real tool", kind, "floor") for kind in ("read", "write")]
    return report(results, "ms/turn", claims)


if __name__ == "__main__":
    sys.exit(main())
