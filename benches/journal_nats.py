"""Durable appends on NATS JetStream: 1, 8 and 64 producers, one server and three, against the servers themselves.

`ours` appends events one at a time from so many producers to eight sessions. Compared in the same run with messages of
the same size published by hand to a stream with the same settings, nothing checked, chained, or answered to a caller:

    raw batch    atomic batches of as many messages as there are producers: what group commit could give at best
    raw pairs    the same with two messages per event, since every event of ours brings its id along
    raw single   from as many producers, each message for itself and acknowledged, with no batch at all

Every server flushes before it acknowledges (`sync_interval: always`). Three servers on one machine share its cores and
its disk, so those figures are a floor. Also printed: how long a lookup of one event takes, events per second in pages, and
what the servers need of memory and disk.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from journal_events import EventSource
from measure import Claim, arguments, interleaved, report, runner

from life.aios.ports.journal import EventQuery
from life.aios.record import NewEvent
from life.lago.journal.admission import Admission
from life.lago.journal.chain import GENESIS
from life.lago.journal.nats.access import NatsAccess
from life.lago.journal.nats.connection import Connection, connect
from life.lago.journal.nats.journal import NatsJournal
from life.lago.journal.nats.messages import wrap
from life.lago.nats_server import NatsServer, run_cluster
from life.testing.clock import SeededEntropy

SESSIONS = 8
PRODUCERS = (1, 8, 64)


class Bench:
    """A server or a cluster, a journal on it, and raw streams beside it."""

    def __init__(self, folder: Path, servers: int) -> None:
        self.runner = runner()
        self.stack = AsyncExitStack()
        self.servers = servers
        self.source = EventSource()
        self.batches = 0
        self.runner.run(self._start(folder))

    async def _start(self, folder: Path) -> None:
        entropy = SeededEntropy(f"bench {self.servers}")
        access: NatsAccess
        if self.servers == 1:
            node = await self.stack.enter_async_context(NatsServer.run(folder, entropy=entropy))
            self.processes, access = [node.process_id or 0], node.access
        else:
            cluster = await self.stack.enter_async_context(run_cluster(folder, entropy=entropy))
            self.processes, access = [node.process_id or 0 for node in cluster.nodes], cluster.access
        self.journal = await self.stack.enter_async_context(
            NatsJournal.open(access, entropy=entropy, replicas=self.servers)
        )
        client = await self.stack.enter_async_context(connect(access, name="bench", patience_s=10))
        self.raw = Connection(client, "raw", 10)
        await self.raw.listen()
        config = {"name": "raw", "subjects": ["raw.>"], "storage": "file", "num_replicas": self.servers}
        await self.raw.ask("$JS.API.STREAM.CREATE.raw", {**config, "allow_atomic": True}, dict)

    def close(self) -> None:
        """Stop everything."""
        self.runner.run(self.stack.aclose())
        self.runner.close()

    def ours(self, count: int, producers: int) -> tuple[float, list[float]]:
        """Events per second, and the seconds of each append."""
        events = self.source.take(count, sessions=SESSIONS)
        return self.runner.run(self._ours(events, producers))

    async def _ours(self, events: list[NewEvent], producers: int) -> tuple[float, list[float]]:
        times: list[float] = []

        async def producer(own: list[NewEvent]) -> None:
            for event in own:
                began = time.perf_counter()
                await self.journal.append([event])
                times.append(time.perf_counter() - began)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(producers):
                group.create_task(producer(events[number::producers]))
        return len(events) / (time.perf_counter() - began), times

    def raw_batch(self, count: int, size: int, *, pairs: bool) -> float:
        """Events per second in atomic batches of `size` events, one after the other."""
        return self.runner.run(self._raw_batch(self._bodies(count), size, pairs=pairs))

    async def _raw_batch(self, bodies: list[bytes], size: int, *, pairs: bool) -> float:
        began = time.perf_counter()
        for start in range(0, len(bodies), size):
            self.batches += 1
            messages: list[tuple[str, bytes, dict[str, str]]] = []
            for number, body in enumerate(bodies[start : start + size]):
                if pairs:
                    messages.append((f"raw.i.{self.batches}-{number}", b"", {}))
                messages.append((f"raw.e.{number % SESSIONS}", body, {}))
            await self.raw.publish_batch(messages, f"bench-{self.batches}")
        return len(bodies) / (time.perf_counter() - began)

    def raw_single(self, count: int, producers: int) -> float:
        """Messages per second, each acknowledged for itself."""
        return self.runner.run(self._raw_single(self._bodies(count), producers))

    async def _raw_single(self, bodies: list[bytes], producers: int) -> float:
        stream = self.raw.client.jetstream()

        async def producer(number: int) -> None:
            for body in bodies[number::producers]:
                await stream.publish(f"raw.e.{number % SESSIONS}", body)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(producers):
                group.create_task(producer(number))
        return len(bodies) / (time.perf_counter() - began)

    def _bodies(self, count: int) -> list[bytes]:
        entries = Admission().admit(self.source.take(count, sessions=SESSIONS))[0]
        return [wrap(entry, GENESIS, 1)[0] for entry in entries]

    async def reads(self) -> tuple[float, float]:
        """Microseconds of one lookup by id, and events per second in pages."""
        page = await self.journal.read(EventQuery(), limit=10_000)
        began = time.perf_counter()
        for record in page[:200]:
            await self.journal.get(record.event_id)
        lookup_us = (time.perf_counter() - began) / len(page[:200]) * 1e6
        began = time.perf_counter()
        page = await self.journal.read(EventQuery(), limit=10_000)
        return lookup_us, len(page) / (time.perf_counter() - began)

    async def events(self) -> int:
        """How many are stored."""
        return (await self.journal.verify()).events

    def memory_bytes(self) -> int:
        """What the servers hold in memory now."""
        pages = [int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in self.processes]
        return max(pages) * 4096


def measure(folder: Path, servers: int, *, quick: bool, rounds: int) -> int:
    """All cases on one server or three."""
    bench = Bench(folder, servers)
    status = 0
    try:
        for producers in PRODUCERS:
            count = {1: 200, 8: 800, 64: 6_400}[producers] // (4 if quick else 1)
            delays: list[float] = []

            def ours(count: int = count, producers: int = producers, delays: list[float] = delays) -> float:
                figure, times = bench.ours(count, producers)
                delays += times
                return figure

            def raw(pairs: bool, count: int = count, producers: int = producers) -> Callable[[], float]:
                return lambda: bench.raw_batch(count, producers, pairs=pairs)

            def single(count: int = count, producers: int = producers) -> float:
                return bench.raw_single(count, producers)

            cases: dict[str, Callable[[], float]] = {
                "ours": ours,
                "raw batch": raw(False),
                "raw pairs": raw(True),
                "raw single": single,
            }
            print(f"{servers} server{'s' * (servers > 1)}, {producers} producers")
            status |= report(
                interleaved(cases, rounds=rounds),
                "events/s",
                [
                    Claim(f"N{servers}-{producers}a", "ours", "raw batch"),
                    Claim(f"N{servers}-{producers}b", "ours", "raw pairs"),
                    Claim(f"N{servers}-{producers}c", "ours", "raw single"),
                ],
            )
            delays.sort()
            p50, p99 = statistics.median(delays) * 1e3, delays[int(len(delays) * 0.99)] * 1e3
            print(f"  append p50 {p50:.2f} ms, p99 {p99:.2f} ms")
        lookup_us, per_second = bench.runner.run(bench.reads())
        events = bench.runner.run(bench.events())
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and "journal" in file.parts)
        print(f"  lookup by id {lookup_us:.0f} µs, pages {per_second:,.0f} events/s")
        print(f"  {events:,} events, {size / events / servers:.0f} bytes on disk each per server")
        print(f"  largest server: {bench.memory_bytes() / 2**20:.0f} MiB of memory")
    finally:
        bench.close()
    return status


def main() -> int:
    """Run the cases on one server, then on three."""
    options = arguments(__doc__ or "")
    status = 0
    with tempfile.TemporaryDirectory() as name:
        for servers in (1, 3):
            status |= measure(Path(name) / str(servers), servers, quick=options.quick, rounds=options.rounds)
    return status


if __name__ == "__main__":
    sys.exit(main())
