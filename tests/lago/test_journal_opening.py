"""What opening a journal costs and checks: nothing that grows with the number of its events."""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw
import pytest

from life.aios.errors import JournalDamagedError
from life.aios.ports.journal import EventQuery
from life.aios.record import Stream
from life.lago.journal import store
from life.lago.journal.sqlite import SqliteJournal
from life.lago.journal.verification import SMALL_EVENTS, Verified, verify_file, verify_recent
from life.testing.clock import ManualClock
from tests.lago.appender import event
from tests.lago.recorded_disk import recorded_disk

SESSION = Stream("session")


async def fill(path: Path, count: int, *, sessions: int = 1) -> None:
    """A journal with so many small events, closed."""
    async with SqliteJournal.open(path, clock=ManualClock(), warm_log=False) as journal:
        for start in range(0, count, 5000):
            streams = [SESSION if sessions == 1 else Stream(f"session-{n % sessions}") for n in range(5000)]
            await journal.append([event(f"e{start + n}", stream, text="x") for n, stream in enumerate(streams)])


async def bytes_to_open(path: Path, stream: Stream) -> int:
    """How much is read from the journal's files to open it and read the newest three events of a stream."""
    with recorded_disk() as disk:
        async with SqliteJournal.open(path, clock=ManualClock()) as journal:
            head = await journal.head(stream)
            records = await journal.read(EventQuery(*stream, after_sequence=head.sequence - 3))
            assert [record.sequence for record in records] == [head.sequence - 2, head.sequence - 1, head.sequence]
        return disk.bytes_read


async def test_a_long_session_opens_without_being_read(tmp_path: Path) -> None:
    """Four times the events: a few pages more for the depth of the trees, and no more."""
    small, large = tmp_path / "small.db", tmp_path / "large.db"
    await fill(small, 15_000)
    await fill(large, 60_000)
    read_small, read_large = await bytes_to_open(small, SESSION), await bytes_to_open(large, SESSION)
    assert read_large <= read_small + 6 * 4096
    assert read_large < 250_000 < large.stat().st_size / 30


async def test_many_sessions_open_without_being_read(tmp_path: Path) -> None:
    """The same for sessions: twenty thousand of them are a matter of a few pages."""
    path = tmp_path / "journal.db"
    await fill(path, 20_000, sessions=5_000)
    assert await bytes_to_open(path, Stream("session-77")) < 250_000


async def test_after_a_crash_only_the_newest_events_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was settled before is left alone, what came later is followed from there."""
    path, copy = tmp_path / "journal.db", tmp_path / "copy.db"
    monkeypatch.setattr(store, "SETTLE_EVENTS", 2000)
    async with SqliteJournal.open(path, clock=ManualClock(), warm_log=False) as journal:
        for start in range(0, 15_000, 500):
            await journal.append([event(f"e{start + n}", SESSION, text="x") for n in range(500)])
        for name in ("", "-wal"):
            shutil.copy(f"{path}{name}", f"{copy}{name}")
    assert verify_recent(copy) == Verified(3000, 1)
    assert verify_file(copy) == Verified(15_000, 1)
    assert verify_recent(path) == Verified(0, 0)


@pytest.mark.parametrize("position", [3, 14_000])
async def test_what_opening_leaves_out_verification_finds(tmp_path: Path, position: int) -> None:
    """A large journal that was closed opens although an old event was changed; `verify` and `verify=True` name it."""
    path = tmp_path / "journal.db"
    await fill(path, 15_000)
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE event SET ts_us = 1 WHERE pos = ?", (position,))
    connection.close()
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        with pytest.raises(JournalDamagedError, match=f"sequence {position}:"):
            await journal.verify()
    with pytest.raises(JournalDamagedError, match=f"sequence {position}:"):
        async with SqliteJournal.open(path, clock=ManualClock(), verify=True):
            pass


async def test_a_cut_tail_of_a_large_journal_is_found(tmp_path: Path) -> None:
    """The last events of a closed journal are gone, heads and all: it knows how many there were."""
    path = tmp_path / "journal.db"
    await fill(path, SMALL_EVENTS + 5000)
    connection = apsw.Connection(str(path))
    connection.execute("DELETE FROM event WHERE pos > 12000")
    connection.execute("UPDATE stream SET seq = 12000, digest = (SELECT digest FROM event WHERE pos = 12000)")
    connection.close()
    with pytest.raises(JournalDamagedError, match="position 15000 is missing"):
        async with SqliteJournal.open(path, clock=ManualClock()):
            pass
