"""One answer that asks for eight reads of 20 ms each, on a durable journal: side by side, one after the other, and the bare wait.

The floor is `asyncio.gather` over the same eight waits, with nothing written down. LangGraph's and others' tool nodes are such a gather; what
is measured here is what durable intents and outcomes add to it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from agent_turn import UNLIMITED, USAGE, OneTool, SystemClock, SystemEntropy
from measure import Claim, arguments, interleaved, report

from life.aios.policy import PolicySet
from life.aios.ports.provider import ModelRequest
from life.aios.ports.tools import ToolAnnotations, ToolCall, ToolContext, ToolDefinition, ToolOutcome
from life.arcan.providers.scripted import ScriptedCall, ScriptedProvider, ScriptedTurn
from life.arcan.runtime import Runtime
from life.arcan.settings import RuntimeSettings
from life.lago.journal.sqlite import SqliteJournal

READS = 8
WAIT_S = 0.02


class SlowReader(OneTool):
    """The same tool; it only reads, and it takes its time."""

    def definitions(self) -> list[ToolDefinition]:
        reading = ToolAnnotations(read_only=True)
        return [
            ToolDefinition(name="fetch_row", description="A row.", input_schema={"type": "object"}, annotations=reading)
        ]

    async def execute(self, call: ToolCall, context: ToolContext) -> ToolOutcome:
        await asyncio.sleep(WAIT_S)
        return await super().execute(call, context)


def answers(request: ModelRequest) -> ScriptedTurn:
    """Eight reads, then the last word."""
    if len(request.messages) > 1:
        return ScriptedTurn(text="Done.", usage=USAGE)
    return ScriptedTurn(calls=tuple(ScriptedCall("fetch_row", {"row": row}) for row in range(READS)), usage=USAGE)


async def bare() -> float:
    """Milliseconds of the waits alone."""
    began = time.perf_counter()
    await asyncio.gather(*(asyncio.sleep(WAIT_S) for _ in range(READS)))
    return (time.perf_counter() - began) * 1000


async def whole(folder: Path, at_once: int) -> float:
    """Milliseconds of a run, from the objective to its durable end."""
    async with SqliteJournal.open(folder / f"{at_once}.db", clock=SystemClock(), writer="in_loop") as journal:
        runtime = Runtime(
            journal,
            SlowReader(),
            provider=ScriptedProvider(answers, clock=SystemClock()),
            clock=SystemClock(),
            entropy=SystemEntropy(),
            agent_id="agent-1",
            workspace_of=lambda session_id: str(folder),
            settings=RuntimeSettings(
                policy=PolicySet(allow_capabilities=("*",)), limits=UNLIMITED, reads_at_once=at_once
            ),
        )
        async with runtime:
            session = await runtime.create_session()
            began = time.perf_counter()
            ended = await runtime.run(session.session_id, "Fetch the rows.")
            assert ended.reason == "completed", ended
            return (time.perf_counter() - began) * 1000


def main() -> None:
    """Run the cases and print the claims."""
    options = arguments(__doc__ or "")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = interleaved(
            {
                "the waits alone": lambda: asyncio.run(bare()),
                "side by side": lambda: asyncio.run(whole(folder, READS)),
                "one at a time": lambda: asyncio.run(whole(folder, 1)),
            },
            rounds=options.rounds,
        )
    claims = [
        Claim("T1", "side by side", "the waits alone", at_most=1.5),
        Claim("T2", "one at a time", "side by side", at_least=4.0),
    ]
    sys.exit(report(results, "ms", claims))


if __name__ == "__main__":
    main()
