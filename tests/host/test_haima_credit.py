"""Credit as the host wires it: snapshots, restarts, and the job that stops when it is told."""

from __future__ import annotations

import asyncio
from pathlib import Path

from life.host.haima_credit import HOUSE_AGENT, credit_over, lending_job, open_credit
from life.host.haima_directory import JOURNAL_FILE
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal
from life.lago.snapshots import SqliteSnapshots
from life.testing.clock import ManualClock, SeededEntropy
from tests.haima.credit_kit import DAY_US, address, fresh, key, mode, paid, trust
from tests.haima.faulty_journal import FaultyJournal

A = "agent-a"


async def good_history(journal: SqliteJournal | MemoryJournal, clock: ManualClock) -> None:
    start = clock.now_us() - 100 * DAY_US
    shops = [paid(A, address(f"s{number}"), 3_000_000, start) for number in range(4)]
    await journal.append([*shops, mode(A, "sovereign", start), trust(A, 0.9, clock.now_us())])


async def test_a_restart_goes_on_from_the_snapshots(tmp_path: Path) -> None:
    """House and projection are kept at the end, and give the same line and score at the next start."""
    clock = ManualClock()
    path = tmp_path / JOURNAL_FILE
    async with SqliteJournal.open(path, clock=clock) as journal:
        await good_history(journal, clock)
    async with open_credit(tmp_path, clock=clock, entropy=SeededEntropy("1")) as credit:
        await credit.desk.fund(1_000, key("fund"))
        await credit.desk.open(A, fresh())
        await credit.desk.draw(A, 500, fresh())
        before = await credit.desk.line(A), await credit.desk.assess(A)
    async with SqliteSnapshots(path) as snapshots:
        kept = await snapshots.load("haima.house", 2), await snapshots.load("haima.credit", 1)
        assert None not in kept
    async with open_credit(tmp_path, clock=clock, entropy=SeededEntropy("2")) as credit:
        assert (await credit.desk.line(A), await credit.desk.assess(A)) == before
        assert (await credit.desk.fund(1_000, key("fund"))).repeated
    assert HOUSE_AGENT == "haima"


async def test_the_job_looks_after_lines_and_stops() -> None:
    """It runs at once and every so often, survives a journal that fails, and is gone when the block ends."""
    clock, entropy = ManualClock(), SeededEntropy("job")
    journal = FaultyJournal(MemoryJournal())
    await good_history(journal.inner, clock)
    async with credit_over(journal, None, clock, entropy) as credit:
        await credit.desk.fund(1_000_000, key("fund"))
        await credit.desk.open(A, fresh())
        await credit.desk.draw(A, 500_000, fresh())
        tasks = len(asyncio.all_tasks())
        async with lending_job(credit, clock):
            await _settle()
            journal.faults = ["before"]
            clock.advance_us(31 * DAY_US)
            await _settle()
            assert (await credit.desk.line(A)).statement is None
            clock.advance_us(60_000_000)
            await _settle()
            assert (await credit.desk.line(A)).statement is not None
        assert len(asyncio.all_tasks()) == tasks


async def test_a_house_that_is_there_already_is_used() -> None:
    """One house per process: others may hold it, too."""
    clock, journal = ManualClock(), MemoryJournal()
    async with credit_over(journal, None, clock, SeededEntropy("a")) as first:
        async with credit_over(journal, None, clock, SeededEntropy("b"), house=first.house) as second:
            assert second.house is first.house
        await first.desk.fund(5, key("still-open"))


async def test_readers_at_once_fold_every_event_once(tmp_path: Path) -> None:
    """Many answers at the same time over one runner."""
    clock = ManualClock()
    path = tmp_path / JOURNAL_FILE
    async with SqliteJournal.open(path, clock=clock) as journal:
        await good_history(journal, clock)
        async with credit_over(journal, None, clock, SeededEntropy("a")) as credit:
            await journal.append([paid(A, address("late"), 7, clock.now_us())])
            scores = await asyncio.gather(*(credit.desk.assess(A) for _ in range(20)))
            assert {one.factors.volume_micro_usd for one in scores} == {12_000_007}


async def _settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)
