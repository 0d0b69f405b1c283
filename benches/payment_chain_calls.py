"""JSON-RPC calls per payment (verify and settle), ours against the official facilitators, on anvil with automining.

The same official shop and client pay through each facilitator in turn; a counting proxy stands before the node. The first
payment is left out: it also asks for what is remembered afterwards (chain id, code, account nonce). Needs `make peers`.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from measure import arguments  # noqa: E402
from tests.harness.anvil import FACILITATOR, MERCHANT, PAYER, Anvil  # noqa: E402
from tests.harness.process import ChildProcess  # noqa: E402
from tests.harness.rpc_counter import RpcCounter  # noqa: E402
from tests.peers import processes  # noqa: E402

GOAL = 5


@contextmanager
def ours(rpc: str) -> Iterator[str]:
    """`haima facilitator`, as a user starts it."""
    with tempfile.TemporaryDirectory() as directory:
        command = [
            str(Path(sys.executable).parent / "haima"),
            "facilitator",
            "--port",
            "0",
            "--rpc",
            rpc,
            "--network",
            "eip155:84532",
            "--data-dir",
            directory,
        ]
        environment = {**os.environ, "HAIMA_PRIVATE_KEY": FACILITATOR.key}
        child = ChildProcess.spawn(command, name="haima facilitator", env=environment)
        try:
            yield child.wait_for_line(r"http://127\.0\.0\.1:\d+").group(0)
        finally:
            child.stop()


@contextmanager
def official(start: Callable[[], processes.Peer]) -> Iterator[str]:
    """One of the SDKs' facilitators."""
    with start() as peer:
        yield peer.url


def calls_per_payment(counter: RpcCounter, facilitator: str, payments: int) -> list[int]:
    """Calls of each payment after the first."""
    counts = []
    with processes.express_server(facilitator=facilitator, pay_to=MERCHANT.address) as shop:
        for number in range(payments + 1):
            counter.reset()
            bought = processes.fetch_client(f"{shop.url}/paid", key=PAYER.key)
            if bought.status != 200:
                raise SystemExit(f"the payment failed: {bought}")
            if number:
                counts.append(counter.total)
    return counts


def main() -> int:
    """Print the counts."""
    options = arguments(__doc__ or "")
    with Anvil.start() as anvil:
        anvil.etch_contracts()
        anvil.mint(PAYER.address, 10_000_000)
        counter = RpcCounter(anvil.url)
        try:
            cases = {
                "haima facilitator": ours(counter.url),
                "official, npm": official(lambda: processes.ts_facilitator(rpc=counter.url, key=FACILITATOR.key)),
                "official, PyPI": official(lambda: processes.python_facilitator(rpc=counter.url, key=FACILITATOR.key)),
            }
            medians = {}
            for name, starting in cases.items():
                with starting as facilitator:
                    counts = calls_per_payment(counter, facilitator, options.rounds)
                medians[name] = statistics.median(counts)
                print(f"  {name:<18}  {medians[name]:g} calls   {dict(counter.counts)}")
        finally:
            counter.close()
    held = medians["haima facilitator"] <= GOAL
    print(f"  calls per payment: {medians['haima facilitator']:g}  (goal ≤ {GOAL})  {'ok' if held else 'MISSED'}")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
