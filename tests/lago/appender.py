"""A process that appends to a journal, for tests that kill it or let several compete.

python -m tests.lago.appender endless <path> <host> <run> <clients>
    Clients append batches of 1 to 7 events to two streams until the process is killed. After each answer it prints
    `<batch> <events>`; the events of batch n are `<run>-<n>-0`, `<run>-<n>-1`, …

python -m tests.lago.appender compete <path> <host> <run> <events>
    Appends events to one stream, each with the head it has just read as expectation, until all are stored. Then it
    claims the event `claim` and prints whether it was first.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import sys
from pathlib import Path
from typing import cast

from life.aios.errors import SequenceConflictError
from life.aios.events import UserMessage, encode_kind
from life.aios.record import NewEvent, Stream
from life.lago.journal.sqlite import SqliteJournal, WriterHost
from life.testing.clock import ManualClock

SHARED = Stream("shared")


def event(event_id: str, stream: Stream, *, text: str = "x" * 200) -> NewEvent:
    """An event whose content follows from its id."""
    return NewEvent(
        event_id=event_id,
        session_id=stream.session_id,
        branch_id=stream.branch_id,
        agent_id="agent",
        timestamp_us=1_763_622_180_000_000,
        payload=encode_kind(UserMessage(content=text)),
        kind_name="UserMessage",
    )


async def endless(journal: SqliteJournal, run: str, clients: int) -> None:
    """Append until killed."""
    numbers = itertools.count()

    async def client(chance: random.Random) -> None:
        while True:
            number, size = next(numbers), chance.randint(1, 7)
            streams = [Stream("session"), Stream("session", "side")]
            text = f"{size} {'x' * 200}"  # so that a reader knows how many belong together
            batch = [event(f"{run}-{number}-{index}", streams[index % 2], text=text) for index in range(size)]
            await journal.append(batch)
            sys.stdout.write(f"{number} {size}\n")
            sys.stdout.flush()

    async with asyncio.TaskGroup() as group:
        for seed in range(clients):
            group.create_task(client(random.Random(seed)))


async def compete(journal: SqliteJournal, run: str, count: int) -> None:
    """Append by compare-and-append."""
    for number in range(count):
        while True:
            head = await journal.head(SHARED)
            try:
                await journal.append([event(f"{run}-{number}", SHARED)], expected={SHARED: head.sequence})
                break
            except SequenceConflictError:
                continue
    (claimed,) = await journal.append([event("claim", Stream("claims"))])
    sys.stdout.write("second\n" if claimed.duplicate else "first\n")
    sys.stdout.flush()


async def main(mode: str, path: Path, host: WriterHost, run: str, number: int) -> None:
    """Open the journal and work."""
    async with SqliteJournal.open(path, clock=ManualClock(), writer=host, verify=False, warm_log=False) as journal:
        sys.stdout.write("open\n")
        sys.stdout.flush()
        await (endless if mode == "endless" else compete)(journal, run, number)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), cast(WriterHost, sys.argv[3]), sys.argv[4], int(sys.argv[5])))
