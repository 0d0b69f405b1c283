"""Loss of power, disks without room, flushes that fail: what was answered is there, whole, and nothing else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from life.aios.errors import JournalError, JournalFullError
from life.aios.events import UserMessage
from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord, Stream
from life.lago.journal import schema
from life.lago.journal.acknowledged import AcknowledgedMark, mark_path
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import ManualClock
from tests.lago.appender import event
from tests.lago.recorded_disk import Entry, RecordedDisk, files_after_power_loss, recorded_disk

STREAMS = [Stream("session"), Stream("session", "side"), Stream("other")]
MARK = "mark"
ANSWERED = "answered"


@pytest.fixture
def small_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints every forty pages, so that a short run has many of them, and logs that start again."""
    monkeypatch.setattr(schema, "CHECKPOINT_PAGES", 40)


def remember_marks(disk: RecordedDisk, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark beside the journal goes into the log as well, at the moment when it is written."""
    note = AcknowledgedMark.note

    def noted(mark: AcknowledgedMark, position: int, digest: bytes) -> None:
        note(mark, position, digest)
        disk.note(MARK, mark_path(path).read_bytes())

    monkeypatch.setattr(AcknowledgedMark, "note", noted)


async def work(journal: SqliteJournal, disk: RecordedDisk, batches: int) -> None:
    """Four clients append batches of one to five events over three streams and note each answer."""

    async def client(number: int) -> None:
        chance = random.Random(number)
        for index in range(batches // 4):
            size = chance.randint(1, 5)
            name = f"c{number}-{index}"
            text = f"{size} {'x' * chance.randint(1, 900)}"
            batch = [
                event(f"{name}-{part}", STREAMS[(number + part) % len(STREAMS)], text=text) for part in range(size)
            ]
            await journal.append(batch)
            disk.note(ANSWERED, name.encode())

    await asyncio.gather(*(client(number) for number in range(4)))


async def restore(folder: Path, log: list[Entry], chance: random.Random) -> Path:
    """The files as they may be after a loss of power, with the newest mark that may have been written, an older one or none."""
    folder.mkdir()
    path = folder / "journal.db"
    for name, data in files_after_power_loss(log, chance).items():
        (folder / name).write_bytes(data)
    marks = [entry.data for entry in log if entry.file == MARK]
    if marks and chance.random() < 0.9:
        mark_path(path).write_bytes(marks[-1] if chance.random() < 0.7 else chance.choice(marks))
    return path


async def check(path: Path, answered: set[str]) -> int:
    """Every answered batch is there, every batch is whole, and the chain holds."""
    async with SqliteJournal.open(path, clock=ManualClock(), verify=True) as journal:
        records = await journal.read(EventQuery(), limit=10_000)
    batches: dict[str, list[EventRecord]] = {}
    for record in records:
        batches.setdefault(record.event_id.rsplit("-", 1)[0], []).append(record)
    assert answered <= batches.keys()
    for batch in batches.values():
        assert isinstance(batch[0].kind, UserMessage)
        assert len(batch) == int(batch[0].kind.content.split()[0])
    return len(records)


async def record(path: Path, disk: RecordedDisk, *, batches: int = 120, flushes: bool = True) -> list[Entry]:
    """The log of a run, from a journal that was just made to one that is still open."""
    async with SqliteJournal.open(path, clock=ManualClock(), warm_log=False) as journal:
        made = len(disk.log)
        if not flushes:
            journal._writer._store._connection.pragma("synchronous", "OFF")  # type: ignore[attr-defined]
        await work(journal, disk, batches)
        log = list(disk.log)
    assert made > 0
    return [*log[:made], Entry("note", "made"), *log[made:]]


async def play(tmp_path: Path, log: list[Entry], cuts: list[int], chance: random.Random) -> list[int]:
    """Lose power after each of so many entries; how many events were there each time."""
    found = []
    for number, cut in enumerate(cuts):
        path = await restore(tmp_path / f"cut{number}", log[:cut], chance)
        answered = {entry.data.decode() for entry in log[:cut] if entry.file == ANSWERED}
        found.append(await check(path, answered))
    return found


@pytest.mark.usefixtures("small_log")
async def test_a_loss_of_power_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Power is lost between any two writes, flushes and answers, with any part of the unflushed writes on disk: every
    answered event is there, every batch is whole, nobody else's events are, and it is never called damage."""
    path = tmp_path / "journal.db"
    with recorded_disk() as disk:
        remember_marks(disk, path, monkeypatch)
        log = await record(path, disk)
    monkeypatch.undo()
    restarts = sum(entry.file.endswith("-wal") and entry.what == "write" and entry.offset == 0 for entry in log)
    assert restarts >= 3  # the log has begun again several times: old commits stand behind new ones
    chance = random.Random(11)
    start = log.index(Entry("note", "made"))
    found = await play(tmp_path, log, [chance.randrange(start, len(log) + 1) for _ in range(160)], chance)
    assert max(found) > 250
    assert min(found) < 60


@pytest.mark.usefixtures("small_log")
async def test_what_is_not_flushed_is_lost(tmp_path: Path) -> None:
    """The disk of these tests does lose things: without flushes, answered events are missing."""
    with recorded_disk() as disk:
        log = await record(tmp_path / "journal.db", disk, batches=40, flushes=False)
    with pytest.raises((AssertionError, JournalError)):
        await play(tmp_path, log, [len(log)] * 5, random.Random(1))


async def refused(append: Callable[[], Awaitable[object]], kind: type[JournalError]) -> None:
    """An append that must fail."""
    with pytest.raises(kind):
        await append()


@pytest.mark.usefixtures("small_log")
async def test_no_room_at_any_write(tmp_path: Path) -> None:
    """The disk is full at the first, second, third … write of an append: it is refused, or stored and answered; with room
    again the same append goes in once, and what was answered before is untouched."""
    path = tmp_path / "journal.db"
    with recorded_disk() as disk:
        async with SqliteJournal.open(path, clock=ManualClock(), warm_log=False) as journal:
            refusals = 0
            for number in range(120):
                batch = [event(f"e{number}-{part}", STREAMS[part], text="x" * 700) for part in range(3)]
                disk.refuse_write_in = number % 12
                try:
                    await journal.append(batch)
                except JournalFullError:
                    refusals += 1
                    assert (await journal.head(STREAMS[0])).sequence == number
                disk.refuse_write_in = None
                placed = await journal.append(batch)
                assert [one.sequence for one in placed] == [number + 1] * 3
            assert refusals > 60
            assert (await journal.verify()).events == 360


@pytest.mark.usefixtures("small_log")
async def test_a_flush_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flush that the disk refuses is no answer: the append fails, appending again stores it once, and a loss of power
    afterwards takes nothing that was answered."""
    path = tmp_path / "journal.db"
    with recorded_disk() as disk:
        remember_marks(disk, path, monkeypatch)
        async with SqliteJournal.open(path, clock=ManualClock(), warm_log=False) as journal:
            failures = 0
            for number in range(60):
                batch = [event(f"e{number}-{part}", STREAMS[part], text=f"3 {'x' * 500}") for part in range(3)]
                disk.fail_flush_in = number % 3
                try:
                    await journal.append(batch)
                    disk.note(ANSWERED, f"e{number}".encode())
                except JournalError:
                    failures += 1
                disk.fail_flush_in = None
                await journal.append(batch)
                disk.note(ANSWERED, f"e{number}".encode())
            log = list(disk.log)
            assert failures >= 20
            assert (await journal.verify()).events == 180
    monkeypatch.undo()
    chance = random.Random(5)
    made = next(number for number, entry in enumerate(log) if entry.file == ANSWERED)
    await play(tmp_path, log, [chance.randrange(made, len(log) + 1) for _ in range(40)], chance)
