"""A process that redacts, for tests that kill it: python -m tests.lago.proof.redactor <path> <event id>…"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from life.lago.journal.sqlite import SqliteJournal
from life.lago.proof.redaction import redact
from life.testing.clock import ManualClock, SeededEntropy
from tests.anima.material import handle
from tests.lago.proof.bench import keys_of


async def main(path: Path, event_ids: list[str]) -> None:
    """Say that it begins, and redact."""
    clock = ManualClock()
    custody = handle(clock=clock)
    async with SqliteJournal.open(path, clock=clock) as journal:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await redact(
            journal,
            event_ids,
            reason="asked for",
            custody=custody,
            keys=keys_of(custody),
            agent_id="agent",
            clock=clock,
            entropy=SeededEntropy(event_ids[0]),
        )


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
