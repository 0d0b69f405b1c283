"""An agent behind A2A on a journal file, in a process that may be killed.

    python -m tests.spaces.a2a.crash_process <folder> <number>

Asks the agent for one task, with the same message every time, and prints how it stands. With a number the process kills itself right
after that many commits of the journal; with 0 it waits until the task is over.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from life.aios.ports.journal import Appended
from life.aios.ports.provider import ModelRequest
from life.aios.record import NewEvent, Stream
from life.arcan.providers.scripted import ScriptedTurn
from life.host.clock import SystemClock
from life.lago.journal.sqlite import SqliteJournal
from tests.arcan.workbench import calls, says
from tests.spaces.a2a.kit import house, rpc, said


def banker(request: ModelRequest) -> ScriptedTurn:
    """Transfers once, and says so."""
    if any(hasattr(block, "is_error") for block in request.messages[-1].content):
        return says("It is transferred.")
    return calls(("transfer", {"to": "bob"}))


class Killing(SqliteJournal):
    """A journal that kills its process after a commit."""

    left = 0

    async def append(
        self, events: Sequence[NewEvent], *, expected: Mapping[Stream, int] | None = None
    ) -> list[Appended]:
        """See Journal."""
        appended = await super().append(events, expected=expected)
        if Killing.left:
            Killing.left -= 1
            if not Killing.left:
                os.kill(os.getpid(), signal.SIGKILL)
        return appended


async def main(folder: Path, number: int) -> None:
    """See the module."""
    async with Killing.open(folder / "journal.db", clock=SystemClock()) as journal:
        Killing.left = number
        async with house(folder, journal=journal, turn=banker, push=False) as home:
            answer = await rpc(home, "SendMessage", said("pay bob"))
            listed = await rpc(home, "ListTasks")
            print(
                json.dumps(
                    {
                        "task": answer["result"]["task"],
                        "tasks": listed["result"]["totalSize"],
                        "effects": home.bench.effects(),
                        "sessions": len(await home.runtime.sessions()),
                    }
                )
            )


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
