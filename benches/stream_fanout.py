"""Event streams to many subscribers (performance.md §10, S1 to S4).

    S1  delivered/s to 50 subscribers in bursts of 16            against a bare asyncio.Protocol, and sse-starlette
    S2  delivered/s to 50 and 500 subscribers, one at a time     the same
    S3  milliseconds from the event to the frame, 500 paced      the same; and 100 subscribers by itself
    S4  resident bytes for an idle subscriber                    sse-starlette

The servers are those of `stream_servers.py`, one after the other in interleaved rounds; the reader is this process.
sse-starlette 3.7 is in the dependency group `peers`.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import subprocess
import sys
import time
from argparse import Namespace as Options
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

import uvloop
from measure import Claim, Results, arguments, interleaved, report

SERVERS = ("ours", "peer", "limit")
_STAMP = re.compile(rb"t=(\d+);")


class Server(NamedTuple):
    """A server that runs."""

    process: subprocess.Popen[str]
    port: int

    @classmethod
    def start(cls, name: str) -> Server:
        script = Path(__file__).with_name("stream_servers.py")
        process = subprocess.Popen([sys.executable, str(script), name], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        return cls(process, int(process.stdout.readline().split()[1]))

    def rss_bytes(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Reader(asyncio.Protocol):
    """A subscriber: counts frames, and their delays when asked to."""

    def __init__(self, delays: list[int] | None) -> None:
        self.frames = 0
        self.delays = delays
        self.last = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(b"GET /stream HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        if self.delays is None:
            self.frames += (self.last + data).count(b"t=")
            self.last = data[-1:] if data[-1:] == b"t" else b""
            return
        now = time.monotonic_ns()
        for stamp in _STAMP.findall(data):
            self.frames += 1
            self.delays.append(now - int(stamp))


async def ask(port: int, events: int, burst: int, pace_us: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"POST /go?events={events}&burst={burst}&pace_us={pace_us} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n".encode()
    )
    assert b"200" in await reader.readline()
    writer.close()


async def subscribe(port: int, count: int, delays: list[int] | None = None) -> list[Reader]:
    loop = asyncio.get_running_loop()
    readers = []
    for _ in range(count):
        _, reader = await loop.create_connection(lambda: Reader(delays), "127.0.0.1", port)
        readers.append(reader)
    await asyncio.sleep(0.3 + count / 1000)
    return readers


async def run(name: str, subscribers: int, events: int, burst: int, pace_us: int = 0) -> tuple[float, list[int]]:
    """Deliveries a second, and delays in nanoseconds where the events are paced."""
    server = Server.start(name)
    try:
        delays: list[int] | None = [] if pace_us else None
        readers = await subscribe(server.port, subscribers, delays)
        before = sum(reader.frames for reader in readers)
        await ask(server.port, burst * 4, burst, pace_us)  # warm
        await asyncio.sleep(0.1)
        if delays is not None:
            delays.clear()
        before = sum(reader.frames for reader in readers)
        began = time.perf_counter()
        asking = asyncio.ensure_future(ask(server.port, events, burst, pace_us))
        wanted = before + events * subscribers
        while sum(reader.frames for reader in readers) < wanted:
            await asyncio.sleep(0.002)
            if time.perf_counter() - began > 60:
                raise RuntimeError(f"{name}: {sum(r.frames for r in readers) - before} of {wanted - before} came")
        took = time.perf_counter() - began
        await asking
        return events * subscribers / took, delays or []
    finally:
        server.stop()


async def memory(name: str, subscribers: int) -> float:
    """Resident bytes for each idle subscriber."""
    server = Server.start(name)
    try:
        await subscribe(server.port, 50)  # what grows once only
        before = server.rss_bytes()
        readers = await subscribe(server.port, subscribers)
        await asyncio.sleep(0.5)
        after = server.rss_bytes()
        del readers
        return (after - before) / subscribers
    finally:
        server.stop()


def throughput(title: str, subscribers: int, burst: int, events: dict[str, int], options: Options) -> Results:
    """Deliveries a second of each server, one per round."""

    def case(name: str) -> Callable[[], float]:
        count = max(burst, events[name] // (4 if options.quick else 1))
        return lambda: uvloop.run(run(name, subscribers, count, burst))[0]

    print(f"\n{title}")
    return interleaved({name: case(name) for name in SERVERS}, rounds=options.rounds)


def delays(
    title: str, servers: tuple[str, ...], subscribers: int, pace_us: int, events: int, options: Options
) -> Results:
    """The 99th percentile in milliseconds of each server, one per round; the 50th is printed."""
    halves: dict[str, list[float]] = {name: [] for name in servers}

    def case(name: str) -> Callable[[], float]:
        def once() -> float:
            found = sorted(uvloop.run(run(name, subscribers, events, 1, pace_us))[1])
            halves[name].append(found[len(found) // 2] / 1e6)
            return found[len(found) * 99 // 100] / 1e6

        return once

    print(f"\n{title}")
    results = interleaved({name: case(name) for name in servers}, rounds=options.rounds)
    print("  p50 " + ", ".join(f"{name} {statistics.median(each[1:]):.2f} ms" for name, each in halves.items()))
    return results


def main() -> int:
    """All four; 1 when a claim does not hold."""
    options = arguments(__doc__ or "")
    failed = 0
    s1 = throughput(
        "S1: 50 subscribers, bursts of 16", 50, 16, {"ours": 32_000, "peer": 1_600, "limit": 64_000}, options
    )
    failed |= report(s1, "delivered/s", [_claim("S1", "limit", 0.40), _claim("S1", "peer", 20)])
    for subscribers, events in ((50, 4_000), (500, 400)):
        counts = {"ours": events, "peer": events * 2 // 5, "limit": events * 2}
        s2 = throughput(f"S2: {subscribers} subscribers, one at a time", subscribers, 1, counts, options)
        failed |= report(s2, "delivered/s", [_claim("S2", "limit", 0.45), _claim("S2", "peer", 2.5)])
    alone = delays("event to frame: 100 subscribers, 100 a second, p99", ("ours",), 100, 10_000, 300, options)
    failed |= report(alone, "ms", [])
    s3 = delays("S3: 500 subscribers, 20 a second, p99", SERVERS, 500, 50_000, 60, options)
    most = [Claim("S3", "ours", "limit", at_most=2), Claim("S3", "ours", "peer", at_most=0.25)]
    failed |= report(s3, "ms", most)
    print("\nS4: resident bytes for an idle subscriber")
    cases = {name: lambda name=name: uvloop.run(memory(name, 1000)) for name in ("ours", "peer")}
    s4 = interleaved(cases, rounds=min(options.rounds, 3))
    return failed | report(s4, "bytes", [Claim("S4", "ours", "peer", at_most=0.30)])


def _claim(name: str, other: str, at_least: float) -> Claim:
    return Claim(name, "ours", other, at_least=at_least)


if __name__ == "__main__":
    sys.exit(main())
