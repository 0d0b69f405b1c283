"""Ten thousand files (lago.md §5): folding a manifest, one write beside them all, and looking at a directory again.

The limits of the same run: decoding the same events and putting them into a dict; a write to an empty session; a bare walk
with `stat` over the directory.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from measure import Claim, arguments, interleaved, report, runner

from life.aios.events import FileWrite
from life.aios.ports.journal import EventQuery
from life.host.clock import SystemClock, SystemEntropy
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.store import BlobStore
from life.lago.files.desk import FileDesk
from life.lago.files.manifest import FILE_KINDS
from life.lago.files.view import FileView
from life.lago.files.workspace import Workspace
from life.lago.journal.sqlite import SqliteJournal

SESSION, EMPTY = "many", "empty"
_WRITES = 20


def main() -> int:
    """Run it."""
    options = arguments(__doc__ or "")
    count = 2_000 if options.quick else 10_000
    with tempfile.TemporaryDirectory() as folder, runner() as loop:
        root = Path(folder)
        files = root / "files"
        for number in range(count):
            path = files / f"d{number % 100}" / f"f{number}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"content {number % 1000}")
            os.utime(path, (1_700_000_000, 1_700_000_000))
        clock, entropy = SystemClock(), SystemEntropy()
        opened = AsyncExitStack()
        journal = loop.run(opened.enter_async_context(SqliteJournal.open(root / "journal.db", clock=clock)))
        blobs = BlobStore(DirectoryObjects(root / "blobs", entropy), entropy)
        desk = FileDesk(journal, blobs, clock, entropy, agent_id="bench")
        space = Workspace(desk, blobs, clock, files, session_id=SESSION)
        loop.run(space.take_in())

        def timed(work: Callable[[], Awaitable[object]], per: int = 1) -> Callable[[], float]:
            async def run() -> float:
                begun = time.perf_counter()
                await work()
                return (time.perf_counter() - begun) * 1_000 / per

            return lambda: loop.run(run())

        async def by_hand() -> None:
            found: dict[str, tuple[str, int]] = {}
            after = 0
            while page := await journal.read(
                EventQuery(SESSION, "main", after_sequence=after, kinds=FILE_KINDS), limit=2_000
            ):
                for record in page:
                    kind = record.kind
                    if isinstance(kind, FileWrite):
                        found[kind.path] = (kind.blob_hash, kind.size_bytes)
                after = page[-1].sequence
            assert len(found) >= count

        async def write(session: str) -> None:
            for number in range(_WRITES):
                await desk.write(session, f"/d1/written{number}.txt", b"one content")

        async def walk() -> None:
            total = 0
            for where, _, names in os.walk(files):
                for name in names:
                    total += os.stat(os.path.join(where, name)).st_size
            assert total

        cases = {
            "manifest, first time": timed(lambda: FileView(journal).manifest(SESSION)),
            "read by hand": timed(by_hand),
            "manifest, again": timed(lambda: desk.view.manifest(SESSION)),
            f"a write beside {count}": timed(lambda: write(SESSION), _WRITES),
            "a write beside none": timed(lambda: write(EMPTY), _WRITES),
            "directory again": timed(space.take_in),
            "walk and stat": timed(walk),
        }
        results = interleaved(cases, rounds=options.rounds)
        loop.run(opened.aclose())
    return report(
        results,
        "ms",
        [
            Claim("a manifest of many files", "manifest, first time", "read by hand", at_most=2.5),
            Claim("one write", f"a write beside {count}", "a write beside none", at_most=3.0),
            Claim("an unchanged directory", "directory again", "walk and stat", at_most=4.0),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
