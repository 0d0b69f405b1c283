"""A paid call against two plain GETs of the same client: what paying costs beyond the second round trip (C1, C2, C3).

The payee is a process of its own that verifies nothing (payment_server). Each client is measured against itself: two GETs
of a free resource, one paid call with the books in memory, one with the books on disk, one with terms that are known
already; and the official SDK, which keeps no books, on its own client.

    C1   the paid call ≤ 1.15 × two GETs with the books in memory; the official client's ratio in the same run
    C2   the paid call with known terms ≤ 0.85 × two GETs, with the books in memory
    C3   a durable intent adds at most 1.5 commits of the same journal on the same disk
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import httpx
import httpx2
from eth_account import Account
from measure import Claim, arguments, interleaved, report
from payment_server import payee
from x402 import x402Client
from x402.http.clients.httpx import wrapHttpxWithPayment
from x402.mechanisms.evm.exact import ExactEvmScheme

from life.aios.events import ErrorRaised
from life.aios.ports.journal import Journal
from life.aios.record import EventWriter, Stream
from life.anima.custody.in_process import InProcessAnima
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy
from life.haima.x402 import aiohttp_middleware, httpx_transport, transport
from life.haima.x402.blocking import BlockingPayer
from life.haima.x402.context import CONTEXT
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal

KEY = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
POLICY = PaymentPolicy(max_tx_per_minute=2**31, session_spend_cap_micro=2**62)


class BenchClock:
    """The real clock."""

    def now_us(self) -> int:
        """Wall clock."""
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        """Monotonic clock."""
        return time.monotonic_ns() // 1000

    async def sleep_us(self, duration_us: int) -> None:
        """Sleep."""
        await asyncio.sleep(duration_us / 1_000_000)


class BenchEntropy:
    """The system's entropy."""

    def token_bytes(self, length: int) -> bytes:
        """Random bytes."""
        return os.urandom(length)


@contextlib.asynccontextmanager
async def paying(folder: Path | None, wake: Callable[[], None] | None = None) -> AsyncIterator[Payer]:
    """A payer with its books in memory, or on disk below `folder`."""
    clock = BenchClock()
    async with contextlib.AsyncExitStack() as stack:
        journal: Journal = MemoryJournal()
        if folder is not None:
            path = Path(tempfile.mkdtemp(dir=folder)) / "journal.db"
            journal = await stack.enter_async_context(SqliteJournal.open(path, clock=clock))
        custody = InProcessAnima.from_wallet_key(bytearray.fromhex(KEY), clock=clock)
        payer = Payer(
            journal=journal,
            custody=custody,
            clock=clock,
            entropy=BenchEntropy(),
            agent_id="agent",
            policy=POLICY,
            wake=wake,
        )
        yield await stack.enter_async_context(payer)


def blocking(folder: Path | None) -> BlockingPayer:
    """The same for synchronous clients."""
    return BlockingPayer(lambda wake: paying(folder, wake))


class Bench:
    """The cases, over one event loop and one payee."""

    def __init__(self, url: str, folder: Path, calls: int, loop: asyncio.AbstractEventLoop) -> None:
        self.url = url
        self.folder = folder
        self.calls = calls
        self.loop = loop
        self.stack = contextlib.ExitStack()

    def _enter(self, manager: contextlib.AbstractAsyncContextManager[Payer]) -> Payer:
        payer = self.loop.run_until_complete(manager.__aenter__())
        self.stack.callback(lambda: self.loop.run_until_complete(manager.__aexit__(None, None, None)))
        return payer

    def asynchronous(
        self, client: httpx2.AsyncClient | httpx.AsyncClient, *, paid: bool, ahead: bool = False
    ) -> Callable[[], float]:
        """Microseconds of a paid call (`ahead`: with known terms), or of two plain ones."""
        extensions = {CONTEXT: {"ahead": True}} if ahead else None
        self.stack.callback(lambda: self.loop.run_until_complete(client.aclose()))

        async def run() -> float:
            start = time.perf_counter()
            for _ in range(self.calls):
                if paid:
                    answer = await client.get(self.url + "/paid", extensions=extensions)
                    assert answer.status_code == 200
                else:
                    await client.get(self.url + "/free")
                    await client.get(self.url + "/free")
            return (time.perf_counter() - start) / self.calls * 1e6

        return lambda: self.loop.run_until_complete(run())

    def aiohttp(self, payer: Payer | None) -> Callable[[], float]:
        """The same for aiohttp; without a payer two plain GETs."""

        async def open_session() -> aiohttp.ClientSession:
            middlewares = () if payer is None else (aiohttp_middleware.PayingMiddleware(payer),)
            return aiohttp.ClientSession(middlewares=middlewares)

        session = self.loop.run_until_complete(open_session())
        self.stack.callback(lambda: self.loop.run_until_complete(session.close()))

        async def run() -> float:
            start = time.perf_counter()
            for _ in range(self.calls):
                for path in ("/free", "/free") if payer is None else ("/paid",):
                    async with session.get(self.url + path) as answer:
                        await answer.read()
                        assert answer.status == 200
            return (time.perf_counter() - start) / self.calls * 1e6

        return lambda: self.loop.run_until_complete(run())

    def synchronous(self, client: httpx2.Client | httpx.Client, *, paid: bool) -> Callable[[], float]:
        """The same for synchronous clients."""
        self.stack.enter_context(client)

        def run() -> float:
            start = time.perf_counter()
            for _ in range(self.calls):
                if paid:
                    answer = client.get(self.url + "/paid")
                    assert answer.status_code == 200
                else:
                    client.get(self.url + "/free")
                    client.get(self.url + "/free")
            return (time.perf_counter() - start) / self.calls * 1e6

        return run

    def commit(self) -> Callable[[], float]:
        """Microseconds of one durable append of one event, awaited alone."""
        clock = BenchClock()
        manager = SqliteJournal.open(Path(tempfile.mkdtemp(dir=self.folder)) / "journal.db", clock=clock)
        journal = self.loop.run_until_complete(manager.__aenter__())
        self.stack.callback(lambda: self.loop.run_until_complete(manager.__aexit__(None, None, None)))
        writer = EventWriter(clock, BenchEntropy(), agent_id="agent", stream=Stream("bench"))

        async def run() -> float:
            taken = []
            for _ in range(self.calls):
                event = writer.event(ErrorRaised(message="x" * 900))
                start = time.perf_counter()
                await journal.append([event])
                taken.append(time.perf_counter() - start)
            return statistics.median(taken) * 1e6

        return lambda: self.loop.run_until_complete(run())

    def cases(self) -> dict[str, Callable[[], float]]:
        """Every client with its own yardstick."""
        memory, disk = self._enter(paying(None)), self._enter(paying(self.folder))
        sync_memory = self.stack.enter_context(blocking(None))
        sync_disk = self.stack.enter_context(blocking(self.folder))
        official = x402Client()
        official.register("eip155:*", ExactEvmScheme(Account.from_key("0x" + KEY)))
        return {
            "httpx2 async, two GETs": self.asynchronous(httpx2.AsyncClient(), paid=False),
            "httpx2 async, paid": self.asynchronous(
                httpx2.AsyncClient(transport=transport.AsyncPayingTransport(memory)), paid=True
            ),
            "httpx2 async, paid, known terms": self.asynchronous(
                httpx2.AsyncClient(transport=transport.AsyncPayingTransport(memory)), paid=True, ahead=True
            ),
            "httpx2 async, paid, auth flow": self.asynchronous(
                httpx2.AsyncClient(auth=transport.PaymentAuth(memory)), paid=True
            ),
            "aiohttp, two GETs": self.aiohttp(None),
            "aiohttp, paid": self.aiohttp(memory),
            "httpx2 async, paid, on disk": self.asynchronous(
                httpx2.AsyncClient(transport=transport.AsyncPayingTransport(disk)), paid=True
            ),
            "httpx2 sync, two GETs": self.synchronous(httpx2.Client(), paid=False),
            "httpx2 sync, paid": self.synchronous(
                httpx2.Client(transport=transport.PayingTransport(sync_memory)), paid=True
            ),
            "httpx2 sync, paid, on disk": self.synchronous(
                httpx2.Client(transport=transport.PayingTransport(sync_disk)), paid=True
            ),
            "httpx async, two GETs": self.asynchronous(httpx.AsyncClient(), paid=False),
            "httpx async, paid": self.asynchronous(
                httpx.AsyncClient(transport=httpx_transport.AsyncPayingTransport(memory)), paid=True
            ),
            "httpx async, official": self.asynchronous(wrapHttpxWithPayment(official), paid=True),
            "one commit": self.commit(),
        }


@contextlib.contextmanager
def bench(calls: int) -> Iterator[Bench]:
    """A payee, a folder and a loop."""
    with payee() as url, tempfile.TemporaryDirectory() as folder:
        loop = asyncio.new_event_loop()
        made = Bench(url, Path(folder), calls, loop)
        try:
            with made.stack:
                yield made
        finally:
            loop.close()


def main() -> int:
    """Run and report."""
    options = arguments(__doc__ or "")
    with bench(80 if options.quick else 400) as made:
        results = interleaved(made.cases(), rounds=options.rounds)
    for kind in ("httpx2 async", "httpx2 sync"):
        added = statistics.median(
            (disk - memory) / commit
            for disk, memory, commit in zip(
                results[f"{kind}, paid, on disk"], results[f"{kind}, paid"], results["one commit"], strict=True
            )
        )
        print(f"  C3, {kind}: the books on disk add {added:.2f} commits  (goal ≤ 1.5)")
    for ours, plain in (
        ("httpx async, paid", "httpx async, two GETs"),
        ("httpx async, official", "httpx async, two GETs"),
    ):
        results[f"{ours}: added"] = [a - b for a, b in zip(results[ours], results[plain], strict=True)]
    return report(
        results,
        "µs",
        [
            Claim("C1, httpx2 async", "httpx2 async, paid", "httpx2 async, two GETs", at_most=1.15),
            Claim("C1, httpx2 sync", "httpx2 sync, paid", "httpx2 sync, two GETs", at_most=1.15),
            Claim("C1, httpx async", "httpx async, paid", "httpx async, two GETs", at_most=1.15),
            Claim("C1, aiohttp", "aiohttp, paid", "aiohttp, two GETs"),
            Claim("aiohttp, against httpx2", "aiohttp, paid", "httpx2 async, paid"),
            Claim("C1, auth flow", "httpx2 async, paid, auth flow", "httpx2 async, two GETs"),
            Claim("C2", "httpx2 async, paid, known terms", "httpx2 async, two GETs", at_most=0.85),
            Claim("official", "httpx async, official", "httpx async, two GETs"),
            Claim(
                "added, against the official", "httpx async, paid: added", "httpx async, official: added", at_most=0.6
            ),
            Claim("on disk, async", "httpx2 async, paid, on disk", "httpx2 async, two GETs"),
            Claim("on disk, sync", "httpx2 sync, paid, on disk", "httpx2 sync, two GETs"),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
