"""Durable appends: throughput with 64 producers (J3, J4), latency of one (J1, J2), and how even it is (J7).

Compared in the same run with the same rows written by hand: one transaction of 64 (`raw group`) and of one (`raw single`),
both in a bare loop that checks, chains and answers nothing; one transaction per event from 64 producers (`one by one`, what
the original's redb and aiosqlite users do); and a preallocated file with fdatasync (`file`).
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
        warm_log(self.connection)
        self._position = 0

    def rows(self, events: list[NewEvent]) -> list[tuple[object, ...]]:
        """Rows as the journal would write them, but for the digest, which is any 32 bytes."""
        rows = []
        for entry in Admission().admit(events)[0]:
            _, key, _, time_us, _, causation, correlation, trace, span, _, body = entry
            self._position += 1
            at = self._position
            rows.append(
                (
                    at,
                    at % SESSIONS,
                    at // SESSIONS,
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


def main() -> int:
    """Run the cases and print the claims."""
    options = arguments(__doc__ or "")
    many, few = (6_400, 400) if options.quick else (25_600, 2_000)
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        folder = Path(name)
        journals = Journals(folder)
        raw = {case: Raw(folder / f"raw-{case}.db") for case in ("group", "single", "each")}
        plain = PlainFile(folder / "plain", 2**24)
        source = EventSource()
        spread: dict[str, list[float]] = {}

        def ours(host: WriterHost, count: int, producers: int) -> tuple[float, list[float]]:
            return journals.produce(host, source.take(count, sessions=SESSIONS), producers)

        def throughput(host: WriterHost) -> Callable[[], float]:
            def case() -> float:
                seconds, times = ours(host, many, PRODUCERS)
                times.sort()
                spread.setdefault(host, []).append(times[int(len(times) * 0.99)] / times[len(times) // 2])
                return many / seconds

            return case

        def latency(host: WriterHost) -> Callable[[], float]:
            return lambda: statistics.median(ours(host, few, 1)[1]) * 1e6

        def group() -> float:
            rows = raw["group"].rows(source.take(many, sessions=SESSIONS))
            return many / raw["group"].write(rows, PRODUCERS)

        def single() -> float:
            rows = raw["single"].rows(source.take(few, sessions=SESSIONS))
            return few / raw["single"].write(rows, 1)

        def each() -> float:
            rows = raw["each"].rows(source.take(few, sessions=SESSIONS))
            return few / journals.runner.run(one_by_one(raw["each"], rows))

        lines = [b"%b\n" % event.payload.ljust(585) for event in source.take(few, sessions=SESSIONS)]

        def file_group() -> float:
            return few * 8 / plain.write(lines * 8, PRODUCERS)[0]

        print(f"appends per second, {PRODUCERS} producers of one event at a time")
        status = report(
            interleaved(
                {
                    "in loop": throughput("in_loop"),
                    "process": throughput("process"),
                    "raw group": group,
                    "raw single": single,
                    "one by one": each,
                    "file": file_group,
                },
                rounds=options.rounds,
            ),
            "events/s",
            [
                Claim("J4a in loop", "in loop", "raw group", at_least=0.7),
                Claim("J4a process", "process", "raw group"),
                Claim("J4b in loop", "in loop", "raw single", at_least=14),
                Claim("J4b process", "process", "raw single", at_least=14),
                Claim("J4c in loop", "in loop", "one by one"),
                Claim("J4c process", "process", "one by one"),
                Claim("J3 process", "process", "file", at_least=0.30),
            ],
        )
        for host, ratios in spread.items():
            print(f"  J7 {host}: p99 ÷ p50 = {statistics.median(ratios[1:]):.2f}  (goal ≤ 3)")
        print("latency of one producer, p50")
        status |= report(
            interleaved(
                {
                    "in loop": latency("in_loop"),
                    "process": latency("process"),
                    "file": lambda: statistics.median(plain.write(lines, 1)[1]) * 1e6,
                },
                rounds=options.rounds,
            ),
            "µs",
            [Claim("J1", "in loop", "file", at_most=1.5), Claim("J2", "process", "file", at_most=2.2)],
        )
        journals.close()
    return status


if __name__ == "__main__":
    sys.exit(main())
