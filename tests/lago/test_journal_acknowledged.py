"""The mark beside the journal: what it remembers, what it survives, and when it goes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.ports.journal import EventQuery
from life.lago.errors import JournalFileDamagedError
from life.lago.journal.acknowledged import SLOTS, Acknowledged, AcknowledgedMark, discard, mark_path, newest
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import ManualClock
from tests.lago.appender import SHARED, event


def test_the_newest_note_counts(tmp_path: Path) -> None:
    """However many were made, and whichever writer was late."""
    path = tmp_path / "journal.db"
    assert newest(path) is None
    one, two = AcknowledgedMark.open(path), AcknowledgedMark.open(path)
    assert newest(path) is None
    for position in range(1, 3 * SLOTS):
        (one, two)[position % 2].note(position, bytes([position % 256]) * 32)
    two.note(5 * SLOTS, b"n" * 32)
    one.note(5 * SLOTS - 1, b"l" * 32)  # its commit came first, its note later
    assert newest(path) == Acknowledged(5 * SLOTS, b"n" * 32)
    assert stat.S_IMODE(mark_path(path).stat().st_mode) == 0o600
    one.close()
    two.close()


@given(
    positions=st.lists(st.integers(1, 2**63 - 1), min_size=1, max_size=20),
    places=st.lists(st.integers(0, SLOTS * 48 - 1), max_size=5),
)
def test_a_damaged_mark_never_says_more_than_it_was_told(
    tmp_path_factory: pytest.TempPathFactory, positions: list[int], places: list[int]
) -> None:
    """Whatever bytes of it are wrong: what it gives is one of the notes, or nothing."""
    path = tmp_path_factory.mktemp("mark") / "journal.db"
    mark = AcknowledgedMark.open(path)
    for position in positions:
        mark.note(position, position.to_bytes(32, "big"))
    mark.close()
    data = bytearray(mark_path(path).read_bytes())
    for place in places:
        data[place] ^= 0x5A
    mark_path(path).write_bytes(data)
    found = newest(path)
    assert found is None or (found.position in positions and found.digest == found.position.to_bytes(32, "big"))
    mark_path(path).write_bytes(data[: len(data) // 2])
    newest(path)


def test_only_the_last_one_removes_it(tmp_path: Path) -> None:
    """While a writer holds it, or a write-ahead log stands there, the mark stays."""
    path = tmp_path / "journal.db"
    discard(path)
    mark = AcknowledgedMark.open(path)
    mark.note(1, bytes(32))
    discard(path)
    assert mark_path(path).exists()
    mark.close()
    log = tmp_path / "journal.db-wal"
    log.write_bytes(b"")
    discard(path)
    assert mark_path(path).exists()
    log.unlink()
    discard(path)
    assert not mark_path(path).exists()


async def test_two_openers_share_it(tmp_path: Path) -> None:
    """Each commit of either is noted; it goes when both have closed."""
    path = tmp_path / "journal.db"
    async with SqliteJournal.open(path, clock=ManualClock()) as one:
        async with SqliteJournal.open(path, clock=ManualClock(), writer="process", warm_log=False) as two:
            for number in range(4):
                (placed,) = await (one, two)[number % 2].append([event(f"e{number}", SHARED)])
                assert newest(path) == (placed.position, bytes.fromhex(placed.digest))
        assert newest(path) is not None
        await one.append([event("last", SHARED)])
    assert [file.name for file in tmp_path.iterdir()] == ["journal.db"]


async def test_an_older_copy_in_place_of_the_journal_is_noticed(tmp_path: Path) -> None:
    """A journal that was killed and then replaced by a backup: what is missing is said, and how to go on."""
    path = tmp_path / "journal.db"
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        await journal.append([event("e1", SHARED)])
    backup = path.read_bytes()
    mark = AcknowledgedMark.open(path)
    mark.note(2, b"2" * 32)
    mark.close()
    path.write_bytes(backup)
    with pytest.raises(JournalFileDamagedError, match=r"position 2.* is missing.*remove journal\.db-mark"):
        async with SqliteJournal.open(path, clock=ManualClock()):
            pass
    mark_path(path).unlink()
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        assert len(await journal.read(EventQuery())) == 1
