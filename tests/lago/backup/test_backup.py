"""Backups: consistent while the journal is written, incremental, whole or not there, and back again."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

from life.aios.errors import JournalDamagedError, NotFoundError
from life.aios.events import FileWrite, encode_kind
from life.aios.ports.journal import EventQuery
from life.aios.record import NewEvent, Stream, encode_record
from life.host.clock import SystemClock
from life.lago.backup.making import Made, create_backup
from life.lago.backup.repository import Repository
from life.lago.backup.restoring import restore_backup, verify_backup
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.s3 import Bucket, S3Objects
from life.lago.blobs.store import BlobStore
from life.lago.errors import BackupDamagedError, BackupError, BackupNotFoundError, BackupTargetError, BlobStoreFullError
from life.lago.journal.acknowledged import AcknowledgedMark
from life.lago.journal.sqlite import SqliteJournal
from life.lago.journal.verification import verify_file
from life.testing.clock import START_US, ManualClock, SeededEntropy
from tests.lago.appender import event
from tests.lago.blobs.test_s3 import CREDENTIALS, endpoint  # noqa: F401 (a fixture)


class Project(NamedTuple):
    """A journal, its blobs, and a place for backups."""

    path: Path
    journal: SqliteJournal
    objects: DirectoryObjects
    blobs: BlobStore
    repository: Repository
    clock: ManualClock
    entropy: SeededEntropy

    async def back_up(self, **options: Any) -> Made:
        """A backup now, a second after the last."""
        self.clock.advance_us(1_000_000)
        return await create_backup(
            self.repository, self.path, self.objects, clock=self.clock, entropy=self.entropy, **options
        )

    async def write(self, name: str, content: bytes) -> str:
        """Store a file the way it is done: the blob first, its event after it."""
        blob = await self.blobs.put(content)
        kind = FileWrite(path=name, blob_hash=blob.hash, size_bytes=blob.size_bytes)
        new = NewEvent(
            event_id=f"write-{name}", session_id="files", agent_id="agent", timestamp_us=START_US,
            payload=encode_kind(kind), kind_name="FileWrite",
        )  # fmt: skip
        await self.journal.append([new])
        return blob.hash


@pytest.fixture
async def project(tmp_path: Path) -> AsyncIterator[Project]:
    """Some events, and three files."""
    clock, entropy = ManualClock(), SeededEntropy("backup")
    objects = DirectoryObjects(tmp_path / "life" / "blobs", entropy)
    (tmp_path / "life").mkdir()
    async with SqliteJournal.open(tmp_path / "life" / "journal.db", clock=clock) as journal:
        blobs = BlobStore(objects, entropy)
        repository = Repository.in_directory(tmp_path / "backups", entropy)
        made = Project(tmp_path / "life" / "journal.db", journal, objects, blobs, repository, clock, entropy)
        await journal.append([event(f"e-{number}", Stream(f"s{number % 3}")) for number in range(200)])
        for number in range(3):
            await made.write(f"file-{number}", b"content %d " % number * 1000)
        yield made


async def lines_of(path: Path) -> list[bytes]:
    async with SqliteJournal.open(path, clock=ManualClock(), verify=True) as journal:
        return [encode_record(record) for record in await journal.read(EventQuery(), limit=10_000)]


async def test_there_and_back(project: Project, tmp_path: Path) -> None:
    """The restored journal has the same events and digests and verifies, every blob is there, and work goes on in it."""
    made = await project.back_up()
    assert (made.events, made.streams, made.blobs, made.blobs_new, made.damaged) == (203, 4, 3, 3, ())
    checked = await verify_backup(project.repository, made.backup, entropy=project.entropy)
    assert (checked.events, checked.blobs, checked.sealed, checked.missing) == (203, 3, 0, ())
    target = tmp_path / "restored"
    await restore_backup(project.repository, made.backup, target, entropy=project.entropy)
    assert await lines_of(target / "journal.db") == await lines_of(project.path)
    assert sorted(entry.name for entry in target.iterdir()) == ["blobs", "journal.db"]
    assert (target.stat().st_mode & 0o777, (target / "journal.db").stat().st_mode & 0o777) == (0o700, 0o600)
    restored = BlobStore(DirectoryObjects(target / "blobs", project.entropy), project.entropy)
    assert await restored.get(await project.write("file-0", b"content 0 " * 1000)) == b"content 0 " * 1000
    async with SqliteJournal.open(target / "journal.db", clock=ManualClock()) as journal:
        await journal.append([event("after", Stream("s0"))])
        assert (await journal.verify()).events == 204


async def test_a_second_backup_copies_what_is_new(project: Project) -> None:
    """Old pieces and blobs are shared; both backups can be restored."""
    first = await project.back_up()
    same = await project.back_up()
    assert (same.pieces_new, same.blobs_new) == (0, 0)
    await project.write("new", b"new content" * 1000)
    second = await project.back_up()
    assert second.blobs_new == 1
    assert await project.repository.backups() == [first.backup, same.backup, second.backup]
    assert await project.repository.newest() == second.backup
    for made, events in ((first, 203), (second, 204)):
        assert (await verify_backup(project.repository, made.backup, entropy=project.entropy)).events == events


async def test_while_the_journal_is_written(project: Project) -> None:
    """Each backup is one moment: gapless, verified, and every blob that its events mention is in it."""
    going = True

    async def work() -> int:
        number = 0
        while going:
            await project.write(f"live-{number}", b"%d" % number * 500)
            await project.journal.append([event(f"live-e-{number}-{one}", Stream("live")) for one in range(20)])
            number += 1
            await asyncio.sleep(0)
        return number

    working = asyncio.create_task(work())
    made = [await project.back_up() for _ in range(4)]
    going = False
    assert await working > 4
    for one in made:
        checked = await verify_backup(project.repository, one.backup, entropy=project.entropy)
        assert checked.missing == ()
    assert made[0].events < made[-1].events


async def test_a_target_that_holds_something(project: Project, tmp_path: Path) -> None:
    """Refused, and untouched: a file, a folder with a file in it. An empty folder is fine."""
    backup = (await project.back_up()).backup
    target = tmp_path / "target"
    target.mkdir()
    (target / "mine").write_text("mine")
    file = tmp_path / "file"
    file.write_text("mine")
    for occupied in (target, file):
        with pytest.raises(BackupTargetError, match="not empty"):
            await restore_backup(project.repository, backup, occupied, entropy=project.entropy)
    assert (target / "mine").read_text() == file.read_text() == "mine"
    (target / "mine").unlink()
    await restore_backup(project.repository, backup, target, entropy=project.entropy)
    assert (target / "journal.db").exists()


async def test_an_interrupted_restore(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data directory appears; run again, it does. A folder of somebody else in the way is left alone."""
    backup, target = (await project.back_up()).backup, tmp_path / "target"
    with monkeypatch.context() as patched:

        def dies(*_: object) -> None:
            raise KeyboardInterrupt

        patched.setattr("life.lago.backup.restoring._publish", dies)
        patched.setattr("life.lago.backup.restoring.shutil.rmtree", lambda *_: None)  # as after kill −9
        with pytest.raises(KeyboardInterrupt):
            await restore_backup(project.repository, backup, target, entropy=project.entropy)
    staging = tmp_path / ".target.restoring"
    assert staging.exists()
    assert not target.exists()
    await restore_backup(project.repository, backup, target, entropy=project.entropy)
    assert not staging.exists()
    staging.mkdir()
    (staging / "mine").write_text("mine")
    with pytest.raises(BackupTargetError):
        await restore_backup(project.repository, backup, target, entropy=project.entropy)
    shutil.rmtree(target)
    with pytest.raises(BackupTargetError, match="in the way"):
        await restore_backup(project.repository, backup, target, entropy=project.entropy)
    assert (staging / "mine").exists()


async def test_a_damaged_journal_is_not_backed_up(project: Project) -> None:
    """It is named, and the place of backups is as before; so is a journal whose last acknowledged event is gone."""
    await project.back_up()
    await project.journal.aclose()
    connection = apsw.Connection(str(project.path))
    connection.execute("UPDATE event SET body = ? WHERE id = 'e-7'", (b'{"type":"UserMessage","content":"other"}',))
    connection.close()
    with pytest.raises(JournalDamagedError, match="s1/main sequence 3"):
        await project.back_up()
    assert len(await project.repository.backups()) == 1
    mark = AcknowledgedMark.open(project.path)
    mark.note(10_000, b"!" * 32)
    mark.close()
    with pytest.raises(JournalDamagedError, match="missing"):
        await project.back_up()


async def test_a_damaged_blob_is_said(project: Project) -> None:
    """A good copy of before is kept; one that was never copied is named, and the rest is backed up."""
    name = await project.write("first", b"first" * 500)
    await project.back_up()
    other = await project.write("second", b"second" * 500)
    for blob in (name, other):
        (file,) = (project.path.parent / "blobs" / blob[:2]).glob(f"{blob[2:]}*")
        file.write_bytes(file.read_bytes()[:-1] + b"!")
    made = await project.back_up(repair=True)
    assert made.damaged == (other,)
    checked = await verify_backup(project.repository, made.backup, entropy=project.entropy)
    assert checked.missing == (other,)
    assert checked.blobs == 4


async def test_every_kind_of_damage_to_a_backup(project: Project, tmp_path: Path) -> None:
    """Pieces, blobs and manifests: flipped, truncated, exchanged or gone; named, never restored, and repaired on request."""
    made = await project.back_up()
    root = tmp_path / "backups"
    target = tmp_path / "target"
    for folder, part in (("pieces", "the journal|the list"), ("blobs", "the blob"), ("manifests", "its manifest")):
        for file in sorted((root / folder).rglob(f"*{made.backup[2:] if folder == 'manifests' else ''}.*")):
            whole = file.read_bytes()
            for damage in (whole[:-1], bytes([whole[0] ^ 1]) + whole[1:], b"", whole[: len(whole) // 2] + b"!!"):
                file.write_bytes(damage)
                with pytest.raises(BackupDamagedError, match=part):
                    await verify_backup(project.repository, made.backup, entropy=project.entropy)
                with pytest.raises(BackupDamagedError, match=part):
                    await restore_backup(project.repository, made.backup, target, entropy=project.entropy)
                assert not target.exists()
            if folder != "manifests":
                again = await project.back_up(repair=True)
                await verify_backup(project.repository, again.backup, entropy=project.entropy)
                file.unlink()
                with pytest.raises(BackupDamagedError):
                    await verify_backup(project.repository, made.backup, entropy=project.entropy)
            file.write_bytes(whole)
    await verify_backup(project.repository, made.backup, entropy=project.entropy)
    assert list((root / "blobs" / "incoming").iterdir()) == []


async def test_no_room(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Wherever the disk is full: an error that says so, no new backup, nothing left lying about; later it works."""
    await project.back_up()
    await project.write("big", random.Random(1).randbytes(50_000))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for where in ("life.lago.blobs.directory.DirectoryObjects._publish", "life.lago.backup.journal_copy.touch"):
        with monkeypatch.context() as patched:
            patched.setattr(where, full)
            with pytest.raises((BackupError, BlobStoreFullError, OSError)) as caught:
                await project.back_up()
            assert isinstance(caught.value, (BackupError, BlobStoreFullError)), where
    assert len(await project.repository.backups()) == 1
    assert list((tmp_path / "backups" / "blobs" / "incoming").iterdir()) == []
    assert (await project.back_up()).blobs_new == 1


async def test_what_is_not_there(project: Project, tmp_path: Path) -> None:
    """No journal, no backup, no such backup."""
    with pytest.raises(BackupNotFoundError):
        await project.repository.newest()
    with pytest.raises(BackupNotFoundError):
        await project.repository.read("20260101T000000.000000Z-0000000000000000")
    with pytest.raises(NotFoundError):
        await create_backup(
            project.repository, tmp_path / "none.db", None, clock=project.clock, entropy=project.entropy
        )


async def test_a_place_that_can_not_be_written(project: Project, tmp_path: Path) -> None:
    """An error that says so, before anything is read."""
    (tmp_path / "backups").write_text("a file")
    with pytest.raises(BackupError, match="can't be"):
        await project.back_up()


@pytest.mark.slow
async def test_killed_at_any_moment(project: Project, tmp_path: Path) -> None:
    """Kill −9 anywhere in a backup: what is listed is whole, and the next one works with what was left."""
    chance = random.Random(3)
    for number in range(30):
        await project.write(f"more-{number}", chance.randbytes(20_000))
    await project.journal.aclose()
    for attempt in range(6):
        arguments = [project.path, project.path.parent / "blobs", tmp_path / "backups", f"seed-{attempt}"]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.lago.backup.creator", *map(str, arguments)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.readline()
        await asyncio.sleep(chance.random() * 0.15)  # any moment will do
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for backup in await project.repository.backups():
            await verify_backup(project.repository, backup, entropy=project.entropy)
    incoming = tmp_path / "backups" / "blobs" / "incoming"
    for left in incoming.glob("journal-*"):
        os.utime(left, (0, 0))  # a day later
    made = await project.back_up()
    assert list(incoming.glob("journal-*")) == []
    assert (await verify_backup(project.repository, made.backup, entropy=project.entropy)).blobs == 33
    assert verify_file(project.path).events == 233


async def test_in_a_bucket(project: Project, endpoint: str, tmp_path: Path) -> None:  # noqa: F811
    """The same over S3: made, listed, verified, restored."""
    spaces = [
        S3Objects(
            Bucket(endpoint, "blobs", prefix=f"backup/{name}/", region="us-east-1"),
            CREDENTIALS,
            SystemClock(),
            scratch=tmp_path / "scratch",
        )
        for name in ("blobs", "pieces", "manifests")
    ]
    repository = Repository(spaces[0], spaces[1], spaces[2], project.entropy)
    bucket = project._replace(repository=repository)
    try:
        assert (await spaces[0]._call("PUT", "")).status_code == 200
        made = await bucket.back_up()
        assert await repository.backups() == [made.backup]
        assert (await bucket.back_up()).blobs_new == 0
        await restore_backup(repository, made.backup, tmp_path / "target", entropy=project.entropy)
        assert verify_file(tmp_path / "target" / "journal.db").events == 203
    finally:
        for space in spaces:
            await space.aclose()
