"""A process that forks and merges in a project on disk, and kills itself at its n-th append: `root n before|after`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from life.arcan.providers.scripted import ScriptedProvider, ScriptedTurn
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import ManualClock
from tests.arcan.branch_bench import Bench
from tests.arcan.crashing import DyingJournal


class Killing(DyingJournal):
    """Death is the real one: no handler runs, nothing is flushed."""

    def die(self) -> NoReturn:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")


async def fork_and_merge(bench: Bench) -> None:
    """What is done, and done again after the crash."""
    async with bench.runtime(ScriptedProvider(lambda _: ScriptedTurn(text="ok"), clock=bench.clock)) as runtime:
        await runtime.branches.fork("s", "second", parent="idea", at=1)
        await runtime.branches.merge("s", "idea")


async def main(root: Path, at: int, moment: str) -> None:
    async with SqliteJournal.open(root / "journal.db", clock=ManualClock()) as journal:
        killing = Killing(journal, at=at, moment="after" if moment == "after" else "before")
        await fork_and_merge(Bench(root, killing, seed="killed"))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
