"""Crashes: processes that are really killed while they write (kill -9), and what the journal holds afterwards."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from life.aios.errors import JournalUnavailableError
from life.aios.events import UserMessage
from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord, Stream
from life.lago.journal import process_writer
from life.lago.journal.sqlite import SqliteJournal, WriterHost
from life.testing.clock import ManualClock
from tests.lago.appender import SHARED, event

ROOT = Path(__file__).parents[2]


@contextmanager
def appender(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """An appending process that has opened its journal; it is gone after the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.lago.appender", *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    try:
        with process.stdout:
            assert process.stdout.readline() == "open\n"
            yield process
    finally:
        process.kill()
        process.wait()


def competitor(path: Path, host: str, run: str) -> subprocess.Popen[str]:
    """A process that appends forty events by compare-and-append."""
    arguments = ["compete", str(path), host, run, "40"]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.lago.appender", *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


async def all_records(path: Path) -> list[EventRecord]:
    """Everything in the journal, after it was checked from end to end."""
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        records: list[EventRecord] = []
        while page := await journal.read(EventQuery(after_position=len(records)), limit=10_000):
            records += page
        return records


@pytest.mark.parametrize(("host", "rounds"), [("in_loop", 8), ("process", 4)])
async def test_acknowledged_events_survive_kill_9(tmp_path: Path, host: WriterHost, rounds: int) -> None:
    """Killed at a random moment, round after round: what was answered is there, every batch is whole, the chain holds."""
    path = tmp_path / "journal.db"
    chance = random.Random(7)
    acknowledged: set[str] = set()
    for number in range(rounds):
        with appender("endless", str(path), host, f"run{number}", "4") as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(chance.randint(1, 120))]
            process.kill()
            lines += [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
            process.wait()
        acknowledged |= {f"run{number}-{line.split()[0]}" for line in lines}
        records = await all_records(path)
        stored: dict[str, list[EventRecord]] = {}
        for record in records:
            stored.setdefault(record.event_id.rsplit("-", 1)[0], []).append(record)
        assert acknowledged <= stored.keys()
        for batch in stored.values():  # also those that were killed before their answer
            assert isinstance(batch[0].kind, UserMessage)
            assert len(batch) == int(batch[0].kind.content.split()[0])
        for stream in (Stream("session"), Stream("session", "side")):
            sequences = [record.sequence for record in records if record.stream == stream]
            assert sequences == list(range(1, len(sequences) + 1))


async def test_a_killed_writer_is_replaced_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """The writer process is killed again and again under load: every append is answered, each event is there once."""
    path = tmp_path / "journal.db"
    async with SqliteJournal.open(path, clock=ManualClock(), writer="process", warm_log=False) as journal:
        answers = 0
        killed: set[int] = set()

        async def client(number: int) -> None:
            nonlocal answers
            for index in range(60):
                name = f"client{number}-{index}"
                await journal.append([event(f"{name}-a", SHARED), event(f"{name}-b", Stream("other"))])
                answers += 1
                writer = journal.writer_process_id
                if answers % 100 == 50 and writer is not None and writer not in killed:
                    killed.add(writer)
                    os.kill(writer, signal.SIGKILL)

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(client(number))
        assert len(killed) >= 3
        assert journal.writer_process_id not in killed
    records = await all_records(path)
    assert len(records) == len({record.event_id for record in records}) == 960
    assert [record.sequence for record in records if record.stream == SHARED] == list(range(1, 481))


async def test_an_expectation_survives_the_death_of_the_writer(tmp_path: Path) -> None:
    """A batch with an expected head whose answer was lost is sent again and found done, not in conflict with itself."""
    path = tmp_path / "journal.db"
    async with SqliteJournal.open(path, clock=ManualClock(), writer="process", warm_log=False) as journal:
        for index in range(12):
            append = asyncio.create_task(journal.append([event(f"e{index}", SHARED)], expected={SHARED: index}))
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # the frame is on its way; the writer may or may not have committed it
            writer = journal.writer_process_id
            assert writer is not None
            os.kill(writer, signal.SIGKILL)
            async with asyncio.timeout(30):
                (placed,) = await append
            assert placed.sequence == index + 1


async def test_a_writer_that_cannot_live_fails_the_waiting_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When no writer can be started any more, appends say so, and work again once one can."""
    monkeypatch.setattr(process_writer, "_PAUSES_S", (0.0,) * process_writer.MAX_STARTS)
    path = tmp_path / "journal.db"
    async with SqliteJournal.open(path, clock=ManualClock(), writer="process", warm_log=False) as journal:
        await journal.append([event("e1", SHARED)])
        python = sys.executable
        monkeypatch.setattr(sys, "executable", "/bin/false")
        writer = journal.writer_process_id
        assert writer is not None
        os.kill(writer, signal.SIGKILL)
        async with asyncio.timeout(30):
            with pytest.raises(JournalUnavailableError, match="keeps dying"):
                await journal.append([event("e2", SHARED)])
        assert [record.event_id for record in await journal.read(EventQuery())] == ["e1"]
        monkeypatch.setattr(sys, "executable", python)
        async with asyncio.timeout(30):
            assert (await journal.append([event("e2", SHARED)]))[0].sequence == 2


async def test_the_writer_outlives_signals_to_the_group_and_goes_with_its_parent(tmp_path: Path) -> None:
    """INT, TERM and HUP do not stop it (the journal's process decides); when that process is gone, it exits."""
    path = tmp_path / "journal.db"
    async with SqliteJournal.open(path, clock=ManualClock(), writer="process", warm_log=False) as journal:
        writer = journal.writer_process_id
        assert writer is not None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(writer, number)
        assert (await journal.append([event("e1", SHARED)]))[0].sequence == 1
        assert journal.writer_process_id == writer
    with pytest.raises(ProcessLookupError):
        os.kill(writer, 0)


async def test_processes_that_compete_for_one_stream(tmp_path: Path) -> None:
    """Four processes append with expected heads: no gap, no loss, no double; a claim has one winner."""
    path = tmp_path / "journal.db"
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        await journal.append([event("first", SHARED)])
    hosts = ("in_loop", "in_loop", "in_loop", "process")
    children = [competitor(path, host, f"run{number}") for number, host in enumerate(hosts)]
    outputs = [child.communicate(timeout=60)[0] for child in children]
    assert sorted(output.split()[-1] for output in outputs) == ["first", "second", "second", "second"]
    records = await all_records(path)
    shared = [record for record in records if record.stream == SHARED]
    assert [record.sequence for record in shared] == list(range(1, 162))
    assert len({record.event_id for record in shared}) == 161
