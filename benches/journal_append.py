"""Durable appends with 1, 8 and 64 producers against raw group commit (J4), latency of one (J1, J2), and how even it is (J7).

Each producer appends one event at a time and has a session of its own, as agents have; 64 on 8 sessions is measured as well.
Compared in the same run with the same rows written by hand, in one table with unique indexes over (stream, sequence) and
(id): as many rows per transaction as there are producers (`raw group`) and one (`raw single`), both in a bare loop that
checks, chains and answers nothing; one transaction per event from 64 producers (`one by one`, what the original's redb and
aiosqlite users do); and a preallocated file with fdatasync (`file`).
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from journal_events import EventSource
from measure import Claim, arguments, interleaved, report, runner

from life.aios.record import NewEvent
from life.lago.journal import schema
from life.lago.journal.admission import Admission
from life.lago.journal.sqlite import SqliteJournal, WriterHost
from life.lago.journal.write_ahead_log import warm_log
from life.testing.clock import ManualClock

PRODUCERS = 64
INSERT = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
SESSIONS = 8
_PLAIN_LAYOUT = """
DROP TABLE stretch;
DROP INDEX event_by_sequence;
CREATE UNIQUE INDEX event_by_sequence ON event (stream, seq);
"""


class Journals:
    """The open journals of one run, and the loop they live in."""

    def __init__(self, folder: Path) -> None:
        self.runner = runner()
        self.stack = AsyncExitStack()
        self.journals: dict[WriterHost, SqliteJournal] = {}
        hosts: tuple[WriterHost, ...] = ("in_loop", "process")
        for host in hosts:
            opening = SqliteJournal.open(folder / f"{host}.db", clock=ManualClock(), writer=host, warm_log=True)
            self.journals[host] = self.runner.run(self.stack.enter_async_context(opening))

    def close(self) -> None:
        """Close the journals and the loop."""
        self.runner.run(self.stack.aclose())
        self.runner.close()

    def produce(self, host: WriterHost, events: list[NewEvent], producers: int) -> tuple[float, list[float]]:
        """Seconds for all, and for each append."""
        return self.runner.run(_produce(self.journals[host], events, producers))


async def _produce(journal: SqliteJournal, events: list[NewEvent], producers: int) -> tuple[float, list[float]]:
    times: list[float] = []
    clock = time.perf_counter

    async def producer(own: list[NewEvent]) -> None:
        for event in own:
            began = clock()
            await journal.append([event])
            times.append(clock() - began)

    began = clock()
    async with asyncio.TaskGroup() as group:
        for number in range(producers):
            group.create_task(producer(events[number::producers]))
    return clock() - began, times


class Raw:
    """The same rows by hand: what SQLite can do when nothing is checked, chained or answered."""

    def __init__(self, path: Path) -> None:
        schema.create(path, created_us=0)
        self.connection = schema.connect(path, purpose="write")
        self.connection.execute(_PLAIN_LAYOUT)
        warm_log(self.connection)
        self._position = 0

    def rows(self, events: list[NewEvent], *, sessions: int = SESSIONS) -> list[tuple[object, ...]]:
        """Rows as the journal would write them, but for the digest, which is any 32 bytes."""
        rows: list[tuple[object, ...]] = []
        for entry in Admission().admit(events)[0]:
            _, key, _, time_us, _, causation, correlation, trace, span, _, body = entry
            self._position += 1
            at = self._position
            rows.append(
                (
                    at,
                    at % sessions,
                    at // sessions,
                    key,
                    at % 11,
                    time_us,
                    1,
                    causation,
                    correlation,
                    trace,
                    span,
                    body,
                    os.urandom(32),
                )
            )
        return rows

    def write(self, rows: list[tuple[object, ...]], per_transaction: int) -> float:
        """Seconds for all rows."""
        connection = self.connection
        began = time.perf_counter()
        for start in range(0, len(rows), per_transaction):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows[start : start + per_transaction],
            )
            connection.execute("COMMIT")
        return time.perf_counter() - began


async def one_by_one(raw: Raw, rows: list[tuple[object, ...]]) -> float:
    """Seconds for all rows when 64 producers commit each for itself on an executor, as with aiosqlite."""
    loop = asyncio.get_running_loop()
    turn = asyncio.Lock()

    async def producer(own: list[tuple[object, ...]]) -> None:
        for row in own:
            async with turn:
                await loop.run_in_executor(None, raw.write, [row], 1)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(PRODUCERS):
            group.create_task(producer(rows[number::PRODUCERS]))
    return time.perf_counter() - began


class PlainFile:
    """The disk itself: records into a preallocated file, one fdatasync per group."""

    def __init__(self, path: Path, size: int) -> None:
        self.file = os.open(path, os.O_RDWR | os.O_CREAT)
        os.write(self.file, bytes(size))
        os.fsync(self.file)
        self.size = size

    def write(self, lines: list[bytes], per_sync: int) -> tuple[float, list[float]]:
        """Seconds for all, and for each group."""
        times = []
        offset = 0
        began = time.perf_counter()
        for start in range(0, len(lines), per_sync):
            before = time.perf_counter()
            data = b"".join(lines[start : start + per_sync])
            if offset + len(data) > self.size:
                offset = 0
            os.pwrite(self.file, data, offset)
            os.fdatasync(self.file)
            offset += len(data)
            times.append(time.perf_counter() - before)
        return time.perf_counter() - began, times


class Bench:
    """The cases of one run, and what they share."""

    def __init__(self, folder: Path, *, quick: bool) -> None:
        self.folder = folder
        self.journals = Journals(folder)
        self.source = EventSource()
        self.plain = PlainFile(folder / "plain", 2**24)
        self.spread: dict[str, list[float]] = {}
        self.counts = {1: 400, 8: 1_600, 64: 6_400} if quick else {1: 2_000, 8: 8_000, 64: 25_600}

    def ours(self, host: WriterHost, producers: int, sessions: int) -> Callable[[], float]:
        """Events per second of the journal."""
        count = self.counts[producers]

        def case() -> float:
            seconds, times = self.journals.produce(host, self.source.take(count, sessions=sessions), producers)
            times.sort()
            ratio = times[int(len(times) * 0.99)] / times[len(times) // 2]
            self.spread.setdefault(f"{producers} on {sessions}, {host}", []).append(ratio)
            return count / seconds

        return case

    def raw(self, producers: int, sessions: int, *, per_transaction: int) -> Callable[[], float]:
        """Events per second of the same rows by hand."""
        raw, count = Raw(self.folder / f"raw-{producers}-{sessions}-{per_transaction}.db"), self.counts[producers]
        count = count if per_transaction > 1 else min(count, self.counts[1])

        def case() -> float:
            rows = raw.rows(self.source.take(count, sessions=sessions), sessions=sessions)
            return count / raw.write(rows, per_transaction)

        return case

    def each(self, sessions: int) -> Callable[[], float]:
        """Events per second when every producer commits for itself."""
        raw, count = Raw(self.folder / "each.db"), self.counts[1]

        def case() -> float:
            rows = raw.rows(self.source.take(count, sessions=sessions), sessions=sessions)
            return count / self.journals.runner.run(one_by_one(raw, rows))

        return case

    def file(self, per_sync: int) -> Callable[[], float]:
        """Events per second of the disk itself."""
        count = self.counts[64] if per_sync > 1 else self.counts[1]
        lines = [b"%b\n" % event.payload.ljust(585) for event in self.source.take(count)]
        return lambda: count / self.plain.write(lines, per_sync)[0]

    def latency(self, host: WriterHost) -> Callable[[], float]:
        """Microseconds of one append, p50."""
        count = self.counts[1]
        return lambda: statistics.median(self.journals.produce(host, self.source.take(count, sessions=1), 1)[1]) * 1e6

    def file_latency(self) -> Callable[[], float]:
        """Microseconds of one flush, p50."""
        lines = [b"%b\n" % event.payload.ljust(585) for event in self.source.take(self.counts[1])]
        return lambda: statistics.median(self.plain.write(lines, 1)[1]) * 1e6


def main() -> int:
    """Run the cases and print the claims."""
    options = arguments(__doc__ or "")
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        bench = Bench(Path(name), quick=options.quick)
        status = 0
        for producers, sessions, goal in ((64, 64, 0.7), (64, 8, None), (8, 8, 0.8), (1, 1, 0.9)):
            cases = {
                "in loop": bench.ours("in_loop", producers, sessions),
                "process": bench.ours("process", producers, sessions),
                "raw group": bench.raw(producers, sessions, per_transaction=producers),
            }
            claims = [
                Claim("raw group commit, in loop", "in loop", "raw group", at_least=goal),
                Claim("raw group commit, process", "process", "raw group"),
            ]
            if producers == PRODUCERS:
                cases |= {
                    "raw single": bench.raw(producers, sessions, per_transaction=1),
                    "file": bench.file(producers),
                }
                claims += [
                    Claim("J4 one transaction per event, in loop", "in loop", "raw single", at_least=10),
                    Claim("J4 one transaction per event, process", "process", "raw single", at_least=10),
                    Claim("J3 process", "process", "file", at_least=0.30),
                ]
            if (producers, sessions) == (64, 64):
                cases["one by one"] = bench.each(sessions)
                claims += [Claim("64 producers that commit each for itself", "in loop", "one by one", at_least=10)]
            print(f"appends per second, {producers} producers of one event at a time, {sessions} sessions")
            status |= report(interleaved(cases, rounds=options.rounds), "events/s", claims)
        for case, ratios in bench.spread.items():
            print(f"  J7 {case}: p99 ÷ p50 = {statistics.median(ratios[1:]):.2f}  (goal ≤ 3)")
        print("latency of one producer, p50")
        status |= report(
            interleaved(
                {
                    "in loop": bench.latency("in_loop"),
                    "process": bench.latency("process"),
                    "file": bench.file_latency(),
                },
                rounds=options.rounds,
            ),
            "µs",
            [Claim("J1", "in loop", "file", at_most=1.5), Claim("J2", "process", "file", at_most=2.2)],
        )
        bench.journals.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
