"""Paid requests per second with everything real and durable: our client, `haima serve` and `haima facilitator` on the local ledger.

Three processes with a journal each: the payer decides, reserves and books; the shop claims, keeps its answer and books; the
facilitator keeps its intent and moves the play money. 32 requests are in flight. No peer does the same: the official SDKs make nothing
durable, and their chain is a node (`payment_chain_calls.py` compares that).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2
from measure import Claim, arguments, interleaved, report, runner

from life.anima.custody.in_process import InProcessAnima
from life.haima.payer import Payer
from life.haima.policy import PaymentPolicy
from life.haima.x402.transport import AsyncPayingTransport
from life.host.clock import SystemClock, SystemEntropy
from life.lago.journal.sqlite import SqliteJournal

IN_FLIGHT = 32
GOAL = "the goal"
KEY = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
PAYEE = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"
_BIN = Path(sys.executable).parent


def main() -> int:
    """Run it."""
    options = arguments(__doc__ or "")
    count = 500 if options.quick else 3_000
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        facilitator = _start("facilitator", "--port", "0", "--json", "--data-dir", str(root / "facilitator"))
        address = json.loads(_line(facilitator))["address"]
        shop = _start(
            "serve", "--port", "0", "--facilitator", address, "--pay-to", PAYEE, "--price", "100",
            "--data-dir", str(root / "shop"),
        )  # fmt: skip
        shop_address = next(word for word in _line(shop).split() if word.startswith("http"))
        try:
            with runner() as loop:
                number = iter(range(10**6))

                def ours() -> float:
                    return loop.run(_buy(root / f"payer-{next(number)}", shop_address, count))

                results = interleaved({"paid requests": ours, GOAL: lambda: 500.0}, rounds=options.rounds)
        finally:
            for process in (shop, facilitator):
                process.terminate()
                process.wait(20)
    return report(results, "per s", [Claim("end to end", "paid requests", GOAL, at_least=1.0)])


async def _buy(folder: Path, shop: str, count: int) -> float:
    folder.mkdir()
    clock = SystemClock()
    custody = InProcessAnima.from_wallet_key(bytearray.fromhex(KEY), clock=clock)
    policy = PaymentPolicy(
        auto_approve_cap_micro=10**6, max_tx_per_minute=10**9, session_spend_cap_micro=10**12, price_jump_percent=None
    )
    async with (
        SqliteJournal.open(folder / "journal.db", clock=clock) as journal,
        Payer(
            journal=journal, custody=custody, clock=clock, entropy=SystemEntropy(), agent_id="bench", policy=policy
        ) as payer,
        httpx2.AsyncClient(
            transport=AsyncPayingTransport(payer, httpx2.AsyncHTTPTransport(limits=httpx2.Limits(max_connections=64))),
            timeout=60,
        ) as client,
    ):
        left = iter(range(count))

        async def worker() -> None:
            for _ in left:
                answer = await client.get(f"{shop}/paid")
                assert answer.status_code == 200, answer.text

        begun = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
        return count / (time.perf_counter() - begun)


def _start(*command: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HAIMA_")}
    return subprocess.Popen(
        [str(_BIN / "haima"), *command], stdout=subprocess.PIPE, text=True, env={**environment, "PYTHONUNBUFFERED": "1"}
    )


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    while line := process.stdout.readline():
        if "http" in line:
            return line
    raise SystemExit("the process did not start")


if __name__ == "__main__":
    sys.exit(main())
