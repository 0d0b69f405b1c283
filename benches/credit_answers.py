"""Credit answers at a million finance events: a score and a report, against an empty journal and a limit of 5 ms.

`warm start` opens the projections from their snapshots, folds the few events that came after, and gives the first report.
`score` and `report` are answers of a process that runs, each after one more event. `empty` is the report at an empty journal.
Events: settled payments and revenue of 1,000 agents with 40 counterparties each, modes and trust among them.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from measure import Claim, arguments, interleaved, report

from life.aios.events import Custom, encode_kind
from life.aios.record import NewEvent
from life.haima import events
from life.haima.credit_api import read_report
from life.haima.house import Key
from life.host.haima_credit import OpenCredit, credit_over
from life.host.haima_directory import JOURNAL_FILE
from life.lago.journal.sqlite import SqliteJournal
from life.lago.snapshots import SqliteSnapshots
from life.testing.clock import ManualClock, SeededEntropy

AGENTS = 1_000
COUNTERPARTIES = 40
LIMIT_MS = 5.0


class Histories:
    """Finance events of many agents, one after the other."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._number = 0

    def take(self, count: int) -> list[NewEvent]:
        """The next `count` events; ten milliseconds pass with each."""
        return [self._next() for _ in range(count)]

    def _next(self) -> NewEvent:
        number = self._number
        self._number += 1
        self._clock.advance_us(10_000)
        agent = f"agent-{number % AGENTS}"
        step = number // AGENTS
        if step % 50 == 0:
            data = {"score": 0.5 + step % 5 / 10, "tier": "trusted", "trajectory": "stable"}
            kind = encode_kind(Custom(event_type="autonomic.TrustAssessed", data=data))
        elif step % 50 == 1:
            data = {"from": "hustle", "to": ("sovereign", "hustle")[step // 50 % 2], "reason": "r"}
            kind = encode_kind(Custom(event_type="autonomic.EconomicModeChanged", data=data))
        else:
            kind = encode_kind(events.as_kind(self._payment(number, step)))
        return NewEvent(
            event_id=f"event-{number}",
            session_id=f"wallet-{number % AGENTS}",
            agent_id=agent,
            timestamp_us=self._clock.now_us(),
            payload=kind,
            kind_name="Custom",
        )

    def _payment(self, number: int, step: int) -> events.FinanceEvent:
        own, other = f"0x{number % AGENTS:040x}", f"0x{(number * 7 + step) % COUNTERPARTIES + 10**6:040x}"
        if step % 3 == 0:
            return events.RevenueReceived(
                tx_hash="0x", amount_micro_credits=900, payer_address=other, payee=own, payment_id=f"p{number}"
            )
        return events.PaymentSettled(
            tx_hash="0x",
            amount_micro_credits=1_000 + number % 777,
            chain="eip155:8453",
            latency_ms=40,
            facilitator="f",
            payment_id=f"p{number}",
            wallet=own,
            payee=other,
        )


async def fill(folder: Path, count: int, clock: ManualClock) -> Histories:
    """A journal with `count` finance events, and the projections' snapshots."""
    histories = Histories(clock)
    path = folder / JOURNAL_FILE
    async with SqliteJournal.open(path, clock=clock, verify=False) as journal, SqliteSnapshots(path) as snapshots:
        for _ in range(count // 1_000):
            await journal.append(histories.take(1_000))
        began = time.perf_counter()
        async with credit_over(journal, snapshots, clock, SeededEntropy("fill")) as credit:
            await credit.desk.fund(10**12, Key("bench", "capital", b""))
        spent = time.perf_counter() - began
        if count:
            kept = await snapshots.load("haima.credit", 1)
            assert kept is not None
            print(
                f"{count} events folded at {count / spent:,.0f}/s; the snapshot has {len(kept.state) / 2**20:.1f} MiB"
            )
    return histories


def main() -> int:
    """Run the cases and print the claims."""
    options = arguments(__doc__ or "")
    count = 100_000 if options.quick else 1_000_000
    clock = ManualClock()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name, asyncio.Runner() as runner:
        full, empty = Path(name) / "full", Path(name) / "empty"
        full.mkdir()
        empty.mkdir()
        histories = runner.run(fill(full, count, clock))
        runner.run(fill(empty, 0, clock))
        stack = AsyncExitStack()
        parts = {folder: runner.run(_open(stack, folder, clock)) for folder in (full, empty)}
        running = runner.run(_credit(stack, parts[full], clock))
        running_empty = runner.run(_credit(stack, parts[empty], clock))

        async def one_more(credit: OpenCredit, answer: Callable[[], Awaitable[object]]) -> float:
            journal = parts[full if credit is running else empty][0]
            await journal.append(histories.take(1))
            return await _timed(answer)

        async def warm_start() -> float:
            await parts[full][0].append(histories.take(10))
            own = AsyncExitStack()
            began = time.perf_counter()
            credit = await _credit(own, parts[full], clock)
            await read_report(credit.desk, "agent-7")
            spent = time.perf_counter() - began
            await own.aclose()
            return spent * 1_000

        results = interleaved(
            {
                "score": lambda: runner.run(one_more(running, lambda: running.desk.assess("agent-7"))),
                "report": lambda: runner.run(one_more(running, lambda: read_report(running.desk, "agent-7"))),
                "empty": lambda: runner.run(
                    one_more(running_empty, lambda: read_report(running_empty.desk, "agent-7"))
                ),
                "warm start": lambda: runner.run(warm_start()),
                "limit": lambda: LIMIT_MS,
            },
            rounds=options.rounds,
        )
        runner.run(stack.aclose())
    print(f"answers at {count} finance events of {AGENTS} agents")
    return report(
        results,
        "ms",
        [
            Claim("score", "score", "limit", at_most=1),
            Claim("report", "report", "limit", at_most=1),
            Claim("report against an empty journal", "report", "empty"),
            Claim("first report after a warm start", "warm start", "limit", at_most=1),
        ],
    )


async def _timed(answer: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await answer()
    return (time.perf_counter() - began) * 1_000


async def _open(stack: AsyncExitStack, folder: Path, clock: ManualClock) -> tuple[SqliteJournal, SqliteSnapshots]:
    path = folder / JOURNAL_FILE
    journal = await stack.enter_async_context(SqliteJournal.open(path, clock=clock, verify=False))
    return journal, await stack.enter_async_context(SqliteSnapshots(path))


async def _credit(
    stack: AsyncExitStack, parts: tuple[SqliteJournal, SqliteSnapshots], clock: ManualClock
) -> OpenCredit:
    return await stack.enter_async_context(credit_over(*parts, clock, SeededEntropy("run")))


if __name__ == "__main__":
    sys.exit(main())
