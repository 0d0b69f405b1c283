"""Proof and backups beside another process that appends to the same file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from life.aios.errors import JournalUnavailableError
from life.aios.record import Stream
from life.lago.backup.making import create_backup
from life.lago.backup.repository import Repository
from life.lago.backup.restoring import verify_backup
from life.lago.journal.redacted import read_stub
from life.lago.journal.sqlite import SqliteJournal
from life.lago.proof.checkpoints import verify_checkpoints
from life.lago.proof.redaction import redact, resume_redactions
from life.testing.clock import ManualClock
from tests.lago.proof.bench import proof_bench, said


@contextmanager
def somebody_appends(path: Path, run: str) -> Iterator[None]:
    """Another process that appends without end, as soon as this begins."""
    arguments = [sys.executable, "-m", "tests.lago.appender", "endless", str(path), "in_loop", run, "2"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_checkpoints_and_backups_beside_a_writer(tmp_path: Path) -> None:
    """Each is of one moment; all of them hold afterwards."""
    async with proof_bench(tmp_path / "journal.db") as bench:
        place = Repository.in_directory(tmp_path / "backups", bench.entropy)
        made = []
        with somebody_appends(bench.path, "one"):
            taker = bench.checkpointer()
            for _ in range(4):
                await taker.take(when_due=False)
                bench.clock.advance_us(1_000_000)
                made.append(await create_backup(place, bench.path, None, clock=bench.clock, entropy=bench.entropy))
        assert (await verify_checkpoints(bench.journal, bench.keys)).checkpoints >= 4
        for one in made:
            assert (await verify_backup(place, one.backup, entropy=bench.entropy)).events == one.events
        assert made[0].events < made[-1].events


async def test_two_that_take_checkpoints(tmp_path: Path) -> None:
    """Each its own connection: what one took the other does not take again, and the signed chain is one."""
    async with proof_bench(tmp_path / "journal.db") as bench:
        async with SqliteJournal.open(bench.path, clock=ManualClock()) as second:
            one, two = bench.checkpointer(), bench._replace(journal=second).checkpointer()
            for number in range(6):
                await bench.journal.append([said(f"more-{number}", Stream("s" if number % 2 else "other"))])
                taken = [await one.take(when_due=False), await two.take(when_due=False)]
                if number % 3:
                    taken.reverse()
                assert sum(map(len, taken)) == (3 if number == 0 else 1)
            assert (await verify_checkpoints(second, bench.keys)).checkpoints == 8


async def test_a_redaction_beside_a_writer(tmp_path: Path) -> None:
    """Done, or refused because the other is in the way and done when it is gone; the other's events are all there."""
    async with proof_bench(tmp_path / "journal.db") as bench:
        with somebody_appends(bench.path, "two"):
            try:
                await redact(
                    bench.journal,
                    ["s/main-4"],
                    reason="asked for",
                    custody=bench.custody,
                    keys=bench.keys,
                    agent_id="agent",
                    clock=bench.clock,
                    entropy=bench.entropy,
                )
            except JournalUnavailableError:
                pass
        await resume_redactions(bench.journal, bench.keys)
        record = await bench.journal.get("s/main-4")
        assert record is not None
        assert read_stub(record.payload) is not None
        assert (await bench.journal.verify()).events > 60
        assert b"content of s/main-4" not in bench.path.read_bytes()
