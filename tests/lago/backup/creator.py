"""A process that backs up, for tests that kill it: python -m tests.lago.backup.creator <journal> <blobs> <repository> <seed>"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from life.lago.backup.making import create_backup
from life.lago.backup.repository import Repository
from life.lago.blobs.directory import DirectoryObjects
from life.testing.clock import ManualClock, SeededEntropy


async def main(journal: Path, blobs: Path, repository: Path, seed: str) -> None:
    """Say that it begins, and back up."""
    entropy = SeededEntropy(seed)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    place = Repository.in_directory(repository, entropy)
    await create_backup(place, journal, DirectoryObjects(blobs, entropy), clock=ManualClock(), entropy=entropy)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]))
