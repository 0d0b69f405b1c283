"""The memory of a payer over 100,000 payments: it must not grow with them.

One payer with its books on disk, 64 purchases at a time, every one with an id, a URL and a task of its own kind; the payee is
answered for in the same process, because what is measured is what the payer keeps. The process's resident size after the
first fifth is the yardstick for that after all of them.

    flat    resident size after all payments ≤ 1.10 × after the first fifth
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
import time
from pathlib import Path

from measure import arguments
from payment_client import paying
from payment_server import _Payee

from life.haima.payer import Payer
from life.haima.x402 import wire
from life.haima.x402.purchase import Pause, PurchaseRequest, ReadBody, Receipt, Reply, Send

AT_ONCE = 64
RESOURCES = 500
GOAL = 1.10

_ASK = {wire.PAYMENT_REQUIRED: _Payee.terms}.get
_DONE = {wire.PAYMENT_RESPONSE: _Payee.done}.get


async def purchase(payer: Payer, number: int) -> None:
    """One purchase, whose seller answers at once."""
    url = f"http://127.0.0.1/{number % RESOURCES}"
    conversation = payer.purchase(PurchaseRequest("GET", url, purchase_id=f"order-{number}", task_id=f"{number % 20}"))
    try:
        step = next(conversation)
        while True:
            if isinstance(step, Send):
                step.reply = Reply(402, _ASK) if step.header is None else Reply(200, _DONE)
            elif not isinstance(step, ReadBody | Pause):
                await step.perform()
            step = next(conversation)
    except StopIteration as done:
        receipt: Receipt = done.value
        assert receipt.state == "settled"
        payer.note_delivered(receipt.payment)


def resident_bytes() -> int:
    """What the kernel counts for this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


async def run(count: int, folder: Path) -> tuple[int, int, float]:
    """(resident size after a fifth, after all, payments a second)."""
    async with paying(folder) as payer:
        start, after_a_fifth = time.perf_counter(), 0
        for first in range(0, count, AT_ONCE):
            await asyncio.gather(*(purchase(payer, number) for number in range(first, first + AT_ONCE)))
            if not after_a_fifth and first >= count // 5:
                after_a_fifth = resident_bytes()
        rate = count / (time.perf_counter() - start)
        return after_a_fifth, resident_bytes(), rate


def main() -> int:
    """Run and report."""
    options = arguments(__doc__ or "")
    count = 20_000 if options.quick else 100_000
    with tempfile.TemporaryDirectory() as folder:
        early, late, rate = asyncio.run(run(count, Path(folder)))
    ratio = late / early
    print(f"  {count:,} payments, {rate:,.0f} a second, each durable before it is signed")
    print(f"  resident: {early / 2**20:.1f} MiB after a fifth, {late / 2**20:.1f} MiB after all")
    print(f"  flat: {ratio:.3f}  (goal ≤ {GOAL})" + ("" if ratio <= GOAL else "  MISSED"))
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
