"""A process that runs a parent with children on a journal file, and kills itself at the n-th effect, before or after it.

python -m tests.arcan.agents.fleet_process FOLDER before|after N
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from life.aios.ports.tools import ToolCall
from life.arcan.providers.scripted import ScriptedCall
from life.host.clock import SystemClock
from life.lago.journal.sqlite import SqliteJournal
from tests.arcan.agents.fleet_kit import VERDICT, Cast, agent, fleet_on, record, spawn, turn
from tests.arcan.workbench import Workbench, says, script

CALL = ScriptedCall("transfer", {"to": "bob"})
SCRIPTS = {
    "root": script(turn(spawn("a", "one"), spawn("a", "two")), says("All done.")),
    "a": script(turn(spawn("b", "x")), turn(CALL), says("a did it")),
    "b": script(turn(CALL), record({"verdict": "good"})),
}
AGENTS = (agent("a"), agent("b", VERDICT))


async def run(folder: Path, when: str, number: int) -> None:
    """Take up what is there, or begin; to the end, or to the effect that kills."""
    bench, left = Workbench(folder, SystemClock()), number

    def die(_: ToolCall) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    if when == "before":
        bench.before_effect = die
    else:
        bench.after_effect = die
    async with (
        SqliteJournal.open(folder / "journal.db", clock=bench.clock) as journal,
        fleet_on(journal, bench, Cast(SCRIPTS, bench), *AGENTS, seed=os.urandom(8).hex()) as runtime,
    ):
        await runtime.create_session("s")
        await runtime.recover_all()
        report = await runtime.run("s", "Do it.", idempotency_key="once")
        print(report.final_answer, len(await runtime.sessions()))


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
