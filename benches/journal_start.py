"""Starting on a large journal: opening it (K3), a projection from a snapshot and from nothing (P1, P2, P3), verification, memory (M3).

One million events (100,000 with `--quick`) in 200 sessions, and a tenth of them for comparison. `open` is what every start
does, on a journal that was closed; `open empty` the same with no events. The projection looks at five of the eleven kinds.
`fold limit` reads the same rows in one query, decodes them with msgspec and folds; `fold json.loads` decodes with json.
Memory is the peak of a process that folds everything, against one that only opened the journal.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from journal_events import EventSource
from journal_replay import Tally, TallyProjection
from measure import Claim, arguments, interleaved, report

from life.aios.events import decode_kind
from life.aios.ports.journal import EventQuery
from life.aios.record import Stream
from life.lago.journal import schema
from life.lago.journal.sqlite import SqliteJournal
from life.lago.journal.verification import verify_file
from life.lago.projection import ProjectionRunner
from life.lago.snapshots import SqliteSnapshots
from life.testing.clock import ManualClock

SESSIONS = 200
FOLDED = ("UserMessage", "Message", "ToolCallCompleted", "StepFinished", "Custom")
BATCH = 1000


class FoldedTally(TallyProjection):
    """The tally, with the kinds that it looks at."""

    name = "bench.folded"
    kinds: tuple[str, ...] = FOLDED


class Started:
    """One journal, and ways to start on it."""

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        self.count = count
        asyncio.run(self._fill())

    async def _fill(self) -> None:
        """Events, and a snapshot 1,000 events before the end."""
        source = EventSource()
        async with SqliteJournal.open(self.path, clock=ManualClock(), warm_log=False) as journal:
            async with SqliteSnapshots(self.path) as snapshots:
                runner = ProjectionRunner(journal, FoldedTally(), snapshots, snapshot_events=10 * self.count)
                for start in range(0, self.count, BATCH):
                    if start == self.count - BATCH and start:
                        await runner.catch_up()
                        await runner.save()
                    await journal.append(source.take(BATCH, sessions=SESSIONS))

    async def _open(self) -> float:
        began = time.perf_counter()
        async with SqliteJournal.open(self.path, clock=ManualClock()) as journal:
            await journal.head(Stream("01K9ZH3V7Q8M4T2S6R5P0N0001"))
            return (time.perf_counter() - began) * 1e3

    async def _start(self, *, from_snapshot: bool) -> float:
        began = time.perf_counter()
        async with SqliteJournal.open(self.path, clock=ManualClock()) as journal, SqliteSnapshots(self.path) as kept:
            runner = ProjectionRunner(
                journal, FoldedTally(), kept if from_snapshot else None, snapshot_events=10 * self.count
            )
            await runner.catch_up()
            return (time.perf_counter() - began) * 1e3

    def open(self) -> float:
        """Milliseconds until the journal answers."""
        return asyncio.run(self._open())

    def start(self, *, from_snapshot: bool) -> float:
        """Milliseconds until the journal is open and the projection up to date."""
        return asyncio.run(self._start(from_snapshot=from_snapshot))

    def verify(self) -> float:
        """Events per second of a whole verification."""
        began = time.perf_counter()
        verify_file(self.path)
        return self.count / (time.perf_counter() - began)

    def fold(self, decode: Callable[[bytes, str], object]) -> float:
        """Milliseconds to fold the same kinds from rows, by hand."""
        began = time.perf_counter()
        connection = schema.connect(self.path, purpose="read")
        names: dict[int, str] = dict(schema.fetch(connection, "SELECT no, name FROM kind"))
        numbers = ",".join(str(no) for no, name in names.items() if name in FOLDED)
        tallies: dict[int, Tally] = {}
        rows = connection.execute(f"SELECT stream, kind, body FROM event WHERE kind IN ({numbers})")
        for stream, kind, body in rows:
            decode(body, names[kind])
            tally = tallies.get(stream)
            if tally is None:
                tally = tallies[stream] = Tally()
            tally.messages += 1
        connection.close()
        return (time.perf_counter() - began) * 1e3

    def peak_kib(self, what: str) -> float:
        """Peak memory of a process that did this."""
        done = subprocess.run(
            [sys.executable, __file__, what, str(self.path)], capture_output=True, text=True, check=True
        )
        return float(done.stdout)


async def _in_a_process(what: str, path: Path) -> None:
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        if what == "replay":
            await ProjectionRunner(journal, TallyProjection()).catch_up()
        else:
            await journal.read(EventQuery(), limit=1)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> int:
    """Run the cases and print the claims."""
    options = arguments(__doc__ or "")
    count = 100_000 if options.quick else 1_000_000
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        began = time.perf_counter()
        large = Started(folder / "large.db", count)
        filled = count / (time.perf_counter() - began)
        tenth, empty = Started(folder / "tenth.db", count // 10), Started(folder / "empty.db", 0)
        size = large.path.stat().st_size
        print(
            f"{count} events in {SESSIONS} sessions: {size / count * 1e6 / 2**20:.0f} MiB per million,"
            f" {filled:,.0f}/s in batches of {BATCH}"
        )
        gc.freeze()
        print("open")
        status = report(
            interleaved({"open": large.open, "open empty": empty.open}, rounds=options.rounds),
            "ms",
            [Claim("K3", "open", "open empty", at_most=1.1)],
        )
        print("start: open, and a projection up to date")
        starts = interleaved(
            {
                "snapshot + 1000": lambda: large.start(from_snapshot=True),
                "snapshot + 1000, a tenth": lambda: tenth.start(from_snapshot=True),
                "from nothing": lambda: large.start(from_snapshot=False),
                "fold limit": lambda: large.fold(decode_kind),
                "fold json.loads": lambda: large.fold(lambda body, _: json.loads(body)),
                "100 ms": lambda: 100.0,
                "1 s": lambda: 1000.0,
            },
            rounds=options.rounds,
        )
        status |= report(
            starts,
            "ms",
            [
                Claim("start from a snapshot", "snapshot + 1000", "100 ms", at_most=1.0),
                Claim("start from nothing", "from nothing", "1 s", at_most=count / 1e6),
                Claim("P1", "from nothing", "snapshot + 1000", at_least=100 * count / 1e6),
                Claim("P2", "snapshot + 1000", "snapshot + 1000, a tenth", at_most=1.2),
                Claim("P3 limit", "from nothing", "fold limit", at_most=1.5),
                Claim("P3 json.loads", "fold json.loads", "from nothing"),
            ],
        )
        print("verification of everything")
        verified = interleaved({"verify": large.verify, "200,000/s": lambda: 200_000.0}, rounds=min(options.rounds, 3))
        status |= report(verified, "events/s", [Claim("verify", "verify", "200,000/s", at_least=1.0)])
        print("peak memory")
        peaks = interleaved(
            {"replay": lambda: large.peak_kib("replay"), "opened": lambda: large.peak_kib("open")}, rounds=1
        )
        return status | report(peaks, "KiB", [Claim("M3", "replay", "opened", at_most=1.5)])


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] in ("replay", "open"):
        asyncio.run(_in_a_process(sys.argv[1], Path(sys.argv[2])))
        sys.exit(0)
    sys.exit(main())
