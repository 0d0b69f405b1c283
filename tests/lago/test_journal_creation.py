"""A journal that several processes make at the same moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from life.aios.record import Stream
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import ManualClock

PROCESS = """
import asyncio, sys
from pathlib import Path
from life.aios.events import ErrorRaised
from life.aios.record import EventWriter, Stream
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import ManualClock, SeededEntropy

async def main(path, number):
    print("ready", flush=True)
    sys.stdin.readline()
    writer = EventWriter(ManualClock(), SeededEntropy(number), agent_id="a", stream=Stream("s"))
    async with SqliteJournal.open(Path(path), clock=ManualClock()) as journal:
        await journal.append([writer.event(ErrorRaised(message=number))])

asyncio.run(main(*sys.argv[1:]))
"""
PROCESSES = 5
ROUNDS = 6


async def test_all_of_them_get_the_same_journal(tmp_path: Path) -> None:
    """Whoever comes while the file is half made waits its turn: nobody is refused, and every append is there."""
    for number in range(ROUNDS):
        path = tmp_path / f"journal-{number}.db"
        makers = [
            subprocess.Popen(
                [sys.executable, "-c", PROCESS, str(path), str(maker)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for maker in range(PROCESSES)
        ]
        for maker in makers:
            assert maker.stdout is not None
            assert maker.stdout.readline() == "ready\n"
        for maker in makers:
            assert maker.stdin is not None
            maker.stdin.write("go\n")
            maker.stdin.flush()
        for maker in makers:
            _, errors = maker.communicate(timeout=60)
            assert maker.returncode == 0, errors
        async with SqliteJournal.open(path, clock=ManualClock()) as journal:
            assert (await journal.head(Stream("s"))).sequence == PROCESSES
