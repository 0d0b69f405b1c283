"""A process of its own that gives the house commands, for tests that kill it or let two of them race.

    python -m tests.haima.house_process JOURNAL NAME COUNT AMOUNT

Alice pays Bob COUNT times, each under the key NAME-<n>; a line on standard output says what came of each.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from life.haima.house import House
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.sqlite import SqliteJournal
from tests.haima.house_kit import spend


async def main(path: Path, name: str, count: int, amount_micro: int) -> None:
    """Give the commands, eight at a time."""
    clock, entropy = SystemClock(), SystemEntropy()
    async with SqliteJournal.open(path, clock=clock) as journal:
        house = House(journal, clock, entropy, agent_id="house")
        await house.open()
        print("ready", flush=True)
        gate = asyncio.Semaphore(8)

        async def one(number: int) -> None:
            async with gate:
                paid = await spend(house, amount_micro, f"{name}-{number}")
                print("paid" if paid else "refused", number, flush=True)

        await asyncio.gather(*(one(number) for number in range(count)))
        await house.aclose()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
