"""Where projections keep their state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from life.aios.errors import JournalUnavailableError
from life.aios.ports.snapshots import Snapshot, Snapshots
from life.lago.journal import schema
from life.lago.journal.sqlite import SqliteJournal
from life.lago.snapshots import MemorySnapshots, SqliteSnapshots
from life.testing.clock import ManualClock
from tests.lago.appender import SHARED, event


@pytest.fixture(params=["memory", "sqlite"])
async def snapshots(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Snapshots]:
    """An empty place for snapshots."""
    if request.param == "memory":
        yield MemorySnapshots()
        return
    schema.create(tmp_path / "journal.db", created_us=0)
    async with SqliteSnapshots(tmp_path / "journal.db") as opened:
        yield opened


async def test_the_newest_is_kept(snapshots: Snapshots) -> None:
    """A later position replaces an earlier one, and an earlier one that comes late does not."""
    assert await snapshots.load("ledger", 1) is None
    await snapshots.save("ledger", 1, Snapshot(10, b"ten"))
    await snapshots.save("ledger", 1, Snapshot(20, b"twenty"))
    await snapshots.save("ledger", 1, Snapshot(15, b"late"))
    assert await snapshots.load("ledger", 1) == Snapshot(20, b"twenty")
    await snapshots.save("ledger", 1, Snapshot(20, b"again"))
    assert await snapshots.load("ledger", 1) == Snapshot(20, b"again")


async def test_names_and_versions_are_apart(snapshots: Snapshots) -> None:
    """Another version is another snapshot."""
    await snapshots.save("ledger", 1, Snapshot(10, b"old"))
    await snapshots.save("ledger", 2, Snapshot(3, b"new"))
    await snapshots.save("memory", 1, Snapshot(4, b"\0" * 3_000_000))
    assert await snapshots.load("ledger", 1) == Snapshot(10, b"old")
    assert await snapshots.load("ledger", 2) == Snapshot(3, b"new")
    assert await snapshots.load("memory", 2) is None
    assert await snapshots.load("memory", 1) == Snapshot(4, b"\0" * 3_000_000)


async def test_snapshots_stand_in_the_journals_file(tmp_path: Path) -> None:
    """They survive closing, do not disturb the journal, and can be thrown away."""
    path = tmp_path / "journal.db"
    async with SqliteJournal.open(path, clock=ManualClock()) as journal, SqliteSnapshots(path) as snapshots:
        for number in range(10):
            await journal.append([event(f"e{number}", SHARED)])
            await snapshots.save("ledger", 1, Snapshot(number, b"state"))
        assert (await journal.head(SHARED)).sequence == 10
    async with SqliteJournal.open(path, clock=ManualClock()), SqliteSnapshots(path) as snapshots:
        assert await snapshots.load("ledger", 1) == Snapshot(9, b"state")


async def test_without_a_journal(tmp_path: Path) -> None:
    """Snapshots are no file of their own."""
    with pytest.raises(JournalUnavailableError):
        SqliteSnapshots(tmp_path / "missing.db")
