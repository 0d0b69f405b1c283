"""What only the journal on disk has: files, locks, disks that fill up, other processes."""

from __future__ import annotations

import asyncio
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import msgspec
import pytest

from life.aios.errors import JournalError, JournalFullError, JournalUnavailableError, LifeError
from life.aios.ports.journal import EventQuery
from life.aios.record import Stream
from life.lago.errors import JournalFormatError
from life.lago.journal import loop_writer, schema
from life.lago.journal.sqlite import SqliteJournal, WriterHost
from life.lago.journal.write_ahead_log import CHECKPOINT_PAGES
from life.testing.clock import ManualClock
from tests.lago.appender import SHARED, event

HOSTS: list[WriterHost] = ["in_loop", "process"]


async def open_and_close(path: Path, host: WriterHost = "in_loop") -> None:
    """Open the journal and do nothing."""
    async with SqliteJournal.open(path, clock=ManualClock(), writer=host):
        pass


async def test_the_file_is_private_and_stands_alone_when_closed(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask says, and no WAL is left beside a closed journal: one file is the backup."""
    path = tmp_path / "journal.db"
    before = os.umask(0)
    try:
        async with SqliteJournal.open(path, clock=ManualClock()) as journal:
            await journal.append([event("e", SHARED)])
            assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    finally:
        os.umask(before)
    assert [file.name for file in tmp_path.iterdir()] == ["journal.db"]


async def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    """WAL mode, pages of 4 kB, our application id and format, and a flush with every commit."""
    path = tmp_path / "journal.db"
    await open_and_close(path)
    connection = schema.connect(path, purpose="write")
    wanted = {
        "journal_mode": "wal",
        "page_size": 4096,
        "application_id": schema.APPLICATION_ID,
        "user_version": schema.FORMAT,
        "synchronous": 2,
        "wal_autocheckpoint": CHECKPOINT_PAGES,
    }
    assert {name: connection.pragma(name) for name in wanted} == wanted
    created = connection.execute("SELECT value FROM meta WHERE key = 'created_us'").get
    assert created == ManualClock().now_us()
    connection.close()


async def test_a_warm_log_has_its_size_from_the_start(tmp_path: Path) -> None:
    """16 MB of WAL are there before the first append, and nothing of them is in the journal."""
    path = tmp_path / "journal.db"
    async with SqliteJournal.open(path, clock=ManualClock(), warm_log=True) as journal:
        size = path.with_name("journal.db-wal").stat().st_size
        assert size > CHECKPOINT_PAGES * 4096
        for number in range(20):
            await journal.append([event(f"e{number}", SHARED)])
        assert path.with_name("journal.db-wal").stat().st_size == size
        assert (await journal.verify()).events == 20
    assert path.stat().st_size < 100_000


@pytest.mark.parametrize("host", HOSTS)
async def test_what_is_not_a_journal_is_refused_and_not_touched(tmp_path: Path, host: WriterHost) -> None:
    """Another program's database, text, and a journal of a later version."""
    other = tmp_path / "other.db"
    connection = apsw.Connection(str(other))
    connection.execute("CREATE TABLE bookmarks (url)")
    connection.close()
    text = tmp_path / "text.db"
    text.write_text("not a database " * 1000)
    later = tmp_path / "later.db"
    await open_and_close(later)
    connection = apsw.Connection(str(later))
    connection.pragma("user_version", schema.FORMAT + 1)
    connection.close()
    for path, words in ((other, "another program"), (text, "not a journal"), (later, "newer version")):
        before = path.read_bytes()
        with pytest.raises(JournalFormatError, match=words):
            await open_and_close(path, host)
        assert path.read_bytes() == before


async def test_an_engine_that_can_damage_a_wal_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite before 3.51.3 may corrupt a WAL when a checkpoint meets a writer."""
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(JournalUnavailableError, match=r"SQLite 3\.51\.2"):
        await open_and_close(tmp_path / "journal.db")
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.10")
    await open_and_close(tmp_path / "journal.db")


@pytest.mark.parametrize("host", HOSTS)
async def test_a_path_that_cannot_be_opened(tmp_path: Path, host: WriterHost) -> None:
    """A missing folder, a folder instead of a file, a file in place of a folder: one sentence each."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "missing" / "journal.db", tmp_path / "folder", tmp_path / "file" / "journal.db"):
        with pytest.raises(JournalUnavailableError, match="journal"):
            await open_and_close(path, host)


def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    """Without the right to write: a clear error, for a new journal and for one that is there, also to somebody who is root."""
    folder = tmp_path / "folder"
    folder.mkdir()
    asyncio.run(open_and_close(folder / "journal.db"))
    os.chmod(folder / "journal.db", 0o644)
    os.chmod(folder, 0o555)
    for parent in (tmp_path, *list(tmp_path.parents)[:3]):
        os.chmod(parent, os.stat(parent).st_mode | 0o555)
    script = """
import asyncio, os, sys
sys.path[:0] = [path for path in os.environ["PATHS"].split(os.pathsep) if path]
from life.aios.errors import JournalUnavailableError
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import ManualClock
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
async def main():
    for name in ("new.db", "journal.db"):
        try:
            async with SqliteJournal.open(os.path.join(sys.argv[1], name), clock=ManualClock()):
                print("opened")
        except JournalUnavailableError as error:
            print(error, error.next_step)
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        capture_output=True,
        text=True,
        env={"PATHS": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
        check=False,
    )
    os.chmod(folder, 0o755)
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    assert all("can't be written" in line and "must be writable" in line for line in lines)
    assert "Traceback" not in done.stderr


@contextmanager
def file_size_limit(limit: int, process_id: int) -> Iterator[None]:
    """No file of the process may grow beyond the limit: what a full disk or a quota looks like from inside."""
    before = resource.prlimit(process_id, resource.RLIMIT_FSIZE)
    resource.prlimit(process_id, resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(process_id, resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("host", HOSTS)
async def test_a_full_disk(tmp_path: Path, host: WriterHost) -> None:
    """JournalFullError and nothing of the batch stored; small batches beside a large one may still fit; with room again it goes on."""
    path = tmp_path / "journal.db"
    async with SqliteJournal.open(path, clock=ManualClock(), writer=host, warm_log=False) as journal:
        writer = journal.writer_process_id or os.getpid()
        await journal.append([event("first", SHARED)])
        size = path.with_name("journal.db-wal").stat().st_size
        with file_size_limit(size + 300_000, writer):
            large = [event(f"large-{number}", SHARED) for number in range(3000)]
            with pytest.raises(JournalFullError) as caught:
                await journal.append(large)
            assert caught.value.retryable
            together = await asyncio.gather(
                journal.append([event("small-1", SHARED)]),
                journal.append(large),
                journal.append([event("small-2", SHARED)]),
                return_exceptions=True,
            )
            assert [type(one) for one in together] == [list, JournalFullError, list]
            stored = 0
            with pytest.raises(JournalFullError):
                for number in range(1000):
                    await journal.append([event(f"one-{number}", SHARED)])
                    stored += 1
            assert 0 < stored < 1000
            assert (await journal.head(SHARED)).sequence == 3 + stored
        appended = await journal.append(large)
        assert appended[0].sequence == 4 + stored
        assert not any(one.duplicate for one in appended)
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        assert (await journal.verify()).events == 3 + stored + 3000


async def test_a_disk_that_fills_up_during_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write-ahead log can't be copied because the journal's file may not grow: appends go on until the log is full, each is
    answered or refused in truth, and with room again nothing is missing."""
    monkeypatch.setattr(schema, "CHECKPOINT_PAGES", 40)
    path = tmp_path / "journal.db"
    async with SqliteJournal.open(path, clock=ManualClock(), warm_log=False) as journal:
        number = 0
        while path.stat().st_size < 400_000:
            await journal.append([event(f"e{number}", SHARED)])
            number += 1
        with file_size_limit(path.stat().st_size, os.getpid()):
            for _ in range(5):
                with pytest.raises(JournalFullError):
                    while True:
                        await journal.append([event(f"e{number}", SHARED)])
                        number += 1
                assert (await journal.head(SHARED)).sequence == number
        assert (await journal.append([event(f"e{number}", SHARED)]))[0].sequence == number + 1
        assert (await journal.verify()).events == number + 1


async def test_another_process_that_writes_is_waited_for(tmp_path: Path) -> None:
    """While somebody else holds the write lock, appends wait without blocking the loop, and then go in."""
    path = tmp_path / "journal.db"
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        other = schema.connect(path, purpose="write")
        other.execute("BEGIN IMMEDIATE")
        waiting = [asyncio.create_task(journal.append([event(f"e{number}", SHARED)])) for number in range(3)]
        done, _ = await asyncio.wait(waiting, timeout=0.05)
        assert not done
        assert await journal.read(EventQuery()) == []
        other.execute("ROLLBACK")
        async with asyncio.timeout(10):
            assert [(await task)[0].sequence for task in waiting] == [1, 2, 3]
        other.close()


async def test_a_lock_that_is_never_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while the waiting appends fail as unavailable; nothing of them is stored."""
    monkeypatch.setattr(loop_writer, "LOCK_PATIENCE_S", 0.02)
    path = tmp_path / "journal.db"
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        other = schema.connect(path, purpose="write")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalUnavailableError, match="locked by another process"):
            await journal.append([event("e", SHARED)])
        other.execute("ROLLBACK")
        other.close()
        assert (await journal.append([event("e", SHARED)]))[0].sequence == 1


@pytest.mark.parametrize("host", HOSTS)
async def test_closing_waits_for_what_was_appended(tmp_path: Path, host: WriterHost) -> None:
    """Appends that were under way when the journal was closed are answered and stored."""
    path = tmp_path / "journal.db"
    async with SqliteJournal.open(path, clock=ManualClock(), writer=host) as journal:
        tasks = [asyncio.create_task(journal.append([event(f"e{number}", SHARED)])) for number in range(10)]
        gone = asyncio.create_task(journal.append([event("gone", SHARED)]))
        await asyncio.sleep(0)
        gone.cancel()
    assert len(await asyncio.gather(*tasks)) == 10
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        assert len(await journal.read(EventQuery())) >= 10


async def test_a_pass_of_the_loop_is_one_transaction(tmp_path: Path) -> None:
    """A hundred appends of one pass cost one commit."""
    path = tmp_path / "journal.db"
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        other = schema.connect(path, purpose="read")
        versions = {other.pragma("data_version")}
        await journal.append([event("first", SHARED)])
        versions.add(other.pragma("data_version"))
        frames = path.with_name("journal.db-wal").stat().st_size
        await asyncio.gather(*(journal.append([event(f"e{number}", SHARED)]) for number in range(100)))
        grown = path.with_name("journal.db-wal").stat().st_size - frames
        assert grown < 25 * 4120  # a hundred commits would write at least four pages each
        other.close()


async def test_readers_of_other_processes_get_everything_in_order(tmp_path: Path) -> None:
    """A subscriber over all streams, fed by two openers at once, sees positions without a gap."""
    path = tmp_path / "journal.db"
    async with (
        SqliteJournal.open(path, clock=ManualClock()) as one,
        SqliteJournal.open(path, clock=ManualClock(), writer="process", warm_log=False) as two,
    ):

        async def produce(journal: SqliteJournal, name: str) -> None:
            for number in range(50):
                await journal.append([event(f"{name}-{number}", Stream(name))])

        async def consume() -> list[int]:
            subscription = one.subscribe(EventQuery())
            positions = [(await anext(subscription)).position for _ in range(100)]
            await subscription.aclose()
            return positions

        async with asyncio.timeout(30):
            _, _, positions = await asyncio.gather(produce(one, "one"), produce(two, "two"), consume())
        assert positions == list(range(1, 101))
        assert one.listeners == 0


async def test_any_number_of_kinds_can_be_filtered(tmp_path: Path) -> None:
    """Kinds of other programs, more than a mask of 64 bits has room for: each filter gives exactly its own events."""
    names = [f"Kind{number}" for number in range(80)]
    async with SqliteJournal.open(tmp_path / "journal.db", clock=ManualClock()) as journal:
        await journal.append(
            [
                msgspec.structs.replace(event(name, SHARED), kind_name=name, payload=b'{"type":"%b"}' % name.encode())
                for name in names
            ]
        )
        for wanted in (names[:3], names[58:64], names[75:], [names[0], names[79]], ["Unheard"], names):
            for query in (EventQuery(), EventQuery(*SHARED), EventQuery(SHARED.session_id)):
                records = await journal.read(query._replace(kinds=tuple(wanted)))
                assert [record.kind_name for record in records] == [name for name in names if name in wanted]


async def test_a_folder_that_vanishes(tmp_path: Path) -> None:
    """Whatever happens to the files, callers get errors of the tree and no others."""
    path = tmp_path / "folder" / "journal.db"
    path.parent.mkdir()
    async with SqliteJournal.open(path, clock=ManualClock(), writer="process", warm_log=False) as journal:
        await journal.append([event("e1", SHARED)])
        for file in path.parent.iterdir():
            file.unlink()
        path.parent.rmdir()
        for number in range(3):
            try:
                await journal.append([event(f"after-{number}", SHARED)])
            except LifeError as error:
                assert isinstance(error, JournalError)
