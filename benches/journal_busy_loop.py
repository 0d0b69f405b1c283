"""Appends while the event loop never rests (J6): the writer process against committing in the loop, and a writer thread.

Four producers append one event at a time while another task burns slices of 100 µs without a pause. `other work` is how
many slices were done per second, compared with the same loop without any appends. A thread is not offered by the journal;
it is measured here, by hand with the same rows, because it is what most programs do: beside a busy loop it starves.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from journal_append import INSERT, Raw
from journal_events import EventSource
from measure import Claim, arguments, interleaved, report, runner

from life.aios.record import NewEvent
from life.lago.journal.sqlite import SqliteJournal, WriterHost
from life.testing.clock import ManualClock

PRODUCERS = 4
SLICE_S = 100e-6

Append = Callable[[NewEvent], Awaitable[object]]


class ThreadWriter:
    """Group commit in a thread, as one would write it by hand: everything queued is one transaction."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self._waiting: queue.SimpleQueue[tuple[NewEvent, asyncio.Future[None]] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    async def append(self, event: NewEvent) -> None:
        """Durable when it returns."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.put((event, future))
        await future

    def close(self) -> None:
        """Stop the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            group = [first]
            while not self._waiting.empty():
                further = self._waiting.get()
                if further is None:
                    return
                group.append(further)
            connection = self._raw.connection
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT, self._raw.rows([event for event, _ in group]))
            connection.execute("COMMIT")
            self._loop.call_soon_threadsafe(_answer, [future for _, future in group])


def _answer(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


async def saturate(append: Append | None, source: EventSource, duration_s: float) -> tuple[float, float]:
    """Appends per second and slices per second in a loop that never rests."""
    clock = time.perf_counter
    end = clock() + duration_s
    counts = {"appends": 0, "slices": 0}

    async def burn() -> None:
        while (now := clock()) < end:
            while clock() - now < SLICE_S:
                pass
            counts["slices"] += 1
            await asyncio.sleep(0)

    async def produce(events: list[NewEvent], one: Append) -> None:
        for event in events:
            await one(event)
            counts["appends"] += 1

    producers = []
    if append is not None:
        enough = int(duration_s * 20_000) // PRODUCERS
        producers = [asyncio.create_task(produce(source.take(enough), append)) for _ in range(PRODUCERS)]
        end = clock() + duration_s
    await burn()
    for producer in producers:
        producer.cancel()
    if producers:
        await asyncio.wait(producers)
    return counts["appends"] / duration_s, counts["slices"] / duration_s


def main() -> int:
    """Run the cases and print the claims."""
    options = arguments(__doc__ or "")
    duration_s = 0.5 if options.quick else 2.0
    source = EventSource()
    work: dict[str, list[float]] = {"alone": [], "in loop": [], "process": [], "thread": []}
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name, runner() as loop:
        folder = Path(name)
        stack = AsyncExitStack()

        def journal(host: WriterHost) -> SqliteJournal:
            opening = SqliteJournal.open(folder / f"{host}.db", clock=ManualClock(), writer=host, warm_log=True)
            return loop.run(stack.enter_async_context(opening))

        in_loop, process = journal("in_loop"), journal("process")
        raw = Raw(folder / "thread.db")

        def case(name: str, append: Append | None) -> Callable[[], float]:
            def run() -> float:
                appends, slices = loop.run(saturate(append, source, duration_s))
                work[name].append(slices)
                return appends if append is not None else slices

            return run

        async def threaded() -> float:
            writer = ThreadWriter(raw)
            try:
                appends, slices = await saturate(writer.append, source, duration_s)
            finally:
                writer.close()
            work["thread"].append(slices)
            return max(appends, 0.1)

        cases = {
            "in loop": case("in loop", lambda event: in_loop.append([event])),
            "process": case("process", lambda event: process.append([event])),
            "thread": lambda: loop.run(threaded()),
            "alone": case("alone", None),
        }
        results = interleaved(cases, rounds=options.rounds)
        loop.run(stack.aclose())
    print("appends per second beside slices of 100 µs")
    appends = {name: figures for name, figures in results.items() if name != "alone"}
    status = report(appends, "events/s", [Claim("J6", "process", "in loop", at_least=0.6)])
    print("other work done meanwhile, slices per second")
    return status | report(
        {name: figures[1:] for name, figures in work.items()},
        "slices/s",
        [
            Claim("J6 other work", "process", "alone", at_least=0.85),
            Claim("in loop", "in loop", "alone"),
            Claim("thread", "thread", "alone"),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
