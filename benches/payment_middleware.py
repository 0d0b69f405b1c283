"""What selling costs: paid requests and 402 answers of X402Middleware against a hand-made limit and the official SDK.

Every seller runs in its own process; a bounded load generator keeps 32 requests in flight on loopback. Every paid request
carries a payment of its own, signed before the clock starts. Ratios are those of performance.md §10 (X1 to X5) and of the
limit that has two durable journal commits as well; ours makes three, because it keeps the answer before it settles.

X1 and X2 are what a paid request adds to a plain one, in CPU time of the seller's processes, as multiples of the bare check
(header, EIP-712 digest, recovery, the answer's header) timed in this process: without a journal, and with one on disk.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from measure import Claim, arguments, interleaved, report
from msgspec import Raw
from payment_sellers import AMOUNT, PAY_TO, PRICE, check_payment

from life.aios.ports.custody import TransferAuthorization
from life.haima.x402 import exact, wire
from life.haima.x402.networks import BASE_SEPOLIA
from life.haima.x402.price import make_offer, parse_price
from life.host.clock import SystemClock
from life.testing.chain import PAYER, sign

IN_FLIGHT = 32
SELLERS = Path(__file__).with_name("payment_sellers.py")


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as an answer is complete."""

    def __init__(self, requests: Source, done: asyncio.Future[None]) -> None:
        self._requests = requests
        self._done = done
        self._received = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        head = received.find(b"\r\n\r\n")
        if head < 0:
            self._received = received
            return
        lowered = received[:head].lower()
        start = lowered.find(b"content-length: ") + 16
        end = lowered.find(b"\r", start)
        length = int(lowered[start : end if end > 0 else head])
        if len(received) < head + 4 + length:
            self._received = received
            return
        self._received = b""
        self._requests.answered(received[9:12], time.perf_counter() - self._began)
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError("the seller closed the connection"))

    def _next(self) -> None:
        request = self._requests.take()
        if request is None:
            if not self._done.done():
                self._done.set_result(None)
            self._transport.close()
            return
        self._began = time.perf_counter()
        self._transport.write(request)  # type: ignore[attr-defined]


class Source:
    """The requests of one measurement, and the answers they got."""

    def __init__(self, requests: Sequence[bytes], expected: bytes) -> None:
        self._left = iter(requests)
        self._expected = expected
        self.latencies: list[float] = []

    def take(self) -> bytes | None:
        """The next request."""
        return next(self._left, None)

    def answered(self, status: bytes, latency: float) -> None:
        """An answer came; the wrong status ends the benchmark."""
        if status != self._expected:
            raise RuntimeError(f"answered {status.decode()}, not {self._expected.decode()}")
        self.latencies.append(latency)


async def _drive(port: int, requests: Sequence[bytes], expected: bytes) -> tuple[float, list[float]]:
    loop = asyncio.get_running_loop()
    source = Source(requests, expected)
    began = time.perf_counter()
    ends = []
    for _ in range(IN_FLIGHT):
        done: asyncio.Future[None] = loop.create_future()
        ends.append(done)
        await loop.create_connection(lambda done=done: _Connection(source, done), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.wait_for(asyncio.gather(*ends), 120)
    return time.perf_counter() - began, source.latencies


class Wallet:
    """Signs payments ahead, each with a nonce of its own."""

    def __init__(self) -> None:
        self._offer = make_offer(parse_price(PRICE, network=BASE_SEPOLIA), PAY_TO)
        self._numbers = itertools.count(1)
        self._valid_before_s = SystemClock().now_us() // 1_000_000 + 3600

    def requests(self, count: int) -> list[bytes]:
        """So many paid requests, as bytes."""
        return [self._request() for _ in range(count)]

    def headers(self, count: int) -> list[bytes]:
        """So many payments, as header values."""
        return [request.partition(b"PAYMENT-SIGNATURE: ")[2].strip() for request in self.requests(count)]

    def _request(self) -> bytes:
        terms = self._offer.requirements
        authorization = TransferAuthorization(
            network=terms.network,
            asset=terms.asset,
            token_name="USDC",
            token_version="2",
            from_address=PAYER,
            to_address=PAY_TO,
            value_atomic=AMOUNT,
            valid_after_s=0,
            valid_before_s=self._valid_before_s,
            nonce=next(self._numbers).to_bytes(32, "big"),
        )
        payload = exact.build_payload(Raw(self._offer.raw), authorization, sign(authorization))
        header = wire.encode_header(payload)
        return f"GET /paid HTTP/1.1\r\nHost: 127.0.0.1\r\nPAYMENT-SIGNATURE: {header}\r\n\r\n".encode()


class Shop:
    """A seller's process."""

    def __init__(self, seller: str, folder: Path) -> None:
        self._process = subprocess.Popen([sys.executable, SELLERS, seller, folder], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        line = self._process.stdout.readline().split()
        if not line:
            raise RuntimeError(f"{seller} did not start")
        self.port = int(line[1])

    def cpu_s(self) -> float:
        """CPU time of the seller and its journal writer so far; less moved by other load than the clock on the wall."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return sum(_cpu_s(int(pid)) for pid in (self._process.pid, *children))

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(timeout=20)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Run everything and print ratios."""
    options = arguments(__doc__ or "")
    runner = asyncio.Runner(loop_factory=__import__("uvloop").new_event_loop)
    wallet = Wallet()
    counts = {"bare": 4000, "limit": 4000, "unkept": 4000, "ours": 4000, "official": 1000}
    if options.quick:
        counts = {seller: count // 4 for seller, count in counts.items()}
    p99: dict[str, list[float]] = {seller: [] for seller in counts}
    cpu: dict[str, list[float]] = {seller: [] for seller in counts}
    with tempfile.TemporaryDirectory() as folder:
        shops = {seller: Shop(seller, Path(folder)) for seller in counts}

        def paid(seller: str) -> Callable[[], float]:
            def run() -> float:
                requests = wallet.requests(counts[seller])
                began_s = shops[seller].cpu_s()
                seconds, latencies = runner.run(_drive(shops[seller].port, requests, b"200"))
                cpu[seller].append((shops[seller].cpu_s() - began_s) / len(requests) * 1e6)
                p99[seller].append(statistics.quantiles(latencies, n=100)[98])
                return len(requests) / seconds

            return run

        def unpaid(seller: str, expected: bytes) -> Callable[[], float]:
            def run() -> float:
                requests = [b"GET /paid HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"] * counts[seller]
                return len(requests) / runner.run(_drive(shops[seller].port, requests, expected))[0]

            return run

        checks: list[float] = []

        def checked() -> float:
            headers = wallet.headers(1000)
            began_s = time.process_time()
            for header in headers:
                check_payment(header)
            checks.append((time.process_time() - began_s) / len(headers) * 1e6)
            return 1e6 / checks[-1]

        try:
            cases = {each: paid(each) for each in ("bare", "limit", "unkept", "ours", "official")}
            sold = interleaved({**cases, "check": checked}, rounds=options.rounds)
            asked = interleaved(
                {
                    "bare": unpaid("bare", b"200"),
                    "ours": unpaid("ours", b"402"),
                    "official": unpaid("official", b"402"),
                },
                rounds=options.rounds,
            )
        finally:
            for shop in shops.values():
                shop.close()
            runner.close()
    print(f"paid requests, {IN_FLIGHT} in flight")
    missed = report(
        sold,
        "requests/s",
        [
            Claim("X3a", "ours", "limit", at_least=0.65),
            Claim("X3b", "ours", "official", at_least=5),
            Claim("", "ours", "unkept"),
        ],
    )
    late = {seller: [round_ * 1000 for round_ in figures[1:]] for seller, figures in p99.items() if figures}
    print("p99 of paid requests")
    missed += report(late, "ms", [Claim("X5", "ours", "official", at_most=0.25)])
    print("CPU of a paid request, journal writer included")
    report({seller: figures[1:] for seller, figures in cpu.items() if figures}, "µs", [Claim("", "ours", "limit")])
    added = {
        seller: [figure - plain for figure, plain in zip(cpu[seller][1:], cpu["bare"][1:], strict=True)]
        for seller in ("unkept", "ours")
    }
    print("CPU that a paid request adds, in bare checks")
    missed += report(
        {**added, "check": checks[1:]},
        "µs",
        [Claim("X1", "unkept", "check", at_most=1.6), Claim("X2", "ours", "check", at_most=2.4)],
    )
    print("402 answers")
    missed += report(
        asked,
        "answers/s",
        [Claim("X4a", "ours", "bare", at_least=0.75), Claim("X4b", "ours", "official", at_least=5)],
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
