"""Journals of an earlier format, and streams that are spread over many segments."""

from __future__ import annotations

import random
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord, Stream
from life.lago.errors import JournalFormatError
from life.lago.journal import reader, schema
from life.lago.journal.sqlite import SqliteJournal
from life.lago.journal.verification import verify_file
from life.testing.clock import ManualClock
from tests.lago.appender import event


def as_format_1(path: Path) -> None:
    """Turn the file into what the first format was: one index over (stream, seq), and no stretches."""
    connection = apsw.Connection(str(path))
    connection.execute(
        "DROP TABLE stretch; DROP INDEX event_by_sequence;"
        " CREATE UNIQUE INDEX event_by_sequence ON event (stream, seq); DELETE FROM meta WHERE key = 'settled'"
    )
    connection.pragma("user_version", 1)
    connection.close()


async def test_a_journal_of_the_first_format_is_brought_up_to_date(tmp_path: Path) -> None:
    """Opened once, it reads as before, passes verification and takes new events; until then only opening it helps."""
    path = tmp_path / "journal.db"
    chance = random.Random(2)
    streams = [Stream(f"session-{number}") for number in range(7)]
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        for start in range(0, 4000, 500):
            await journal.append(
                [event(f"e{start + number}", chance.choice(streams), text="x") for number in range(500)]
            )
        before = [await journal.read(EventQuery(*stream), limit=5000) for stream in streams]
    as_format_1(path)
    with pytest.raises(JournalFormatError, match="older format"):
        verify_file(path)
    async with SqliteJournal.open(path, clock=ManualClock(), verify=True) as journal:
        assert [await journal.read(EventQuery(*stream), limit=5000) for stream in streams] == before
        (placed,) = await journal.append([event("new", streams[0])])
        assert placed.sequence == len(before[0]) + 1
    assert verify_file(path).events == 4001


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32), batches=st.integers(1, 6))
async def test_pages_over_segments_are_the_same_events(
    tmp_path_factory: pytest.TempPathFactory, seed: int, batches: int
) -> None:
    """Any stream read from any sequence, up to any other, behind any position, of some kinds and
    in pages of any size, equals what the whole journal holds."""
    path = tmp_path_factory.mktemp("segments") / "journal.db"
    chance = random.Random(seed)
    streams = [Stream("a"), Stream("a", "side"), Stream("b")]
    weights = [chance.random() ** 3 for _ in streams]
    async with SqliteJournal.open(path, clock=ManualClock(), warm_log=False) as journal:
        for number in range(batches):
            size = chance.randint(1, 1200)
            chosen = chance.choices(streams, weights, k=size)
            await journal.append([event(f"{number}-{index}", stream) for index, stream in enumerate(chosen)])
        whole: list[EventRecord] = []
        while page := await journal.read(EventQuery(after_position=len(whole)), limit=10_000):
            whole += page
        for _ in range(25):
            stream = chance.choice(streams)
            after, position = chance.randint(0, 900), chance.choice([0, chance.randint(0, len(whole))])
            before = chance.choice([None, chance.randint(0, 2000)])
            limit = chance.choice([1, 7, 500, 10_000])
            expected = [
                record
                for record in whole
                if record.stream == stream
                and record.sequence > after
                and record.position > position
                and (before is None or record.sequence < before)
            ]
            query = EventQuery(*stream, after_sequence=after, before_sequence=before, after_position=position)
            assert await journal.read(query, limit=limit) == expected[:limit]
            session = [record for record in whole if record.session_id == "a" and record.position > position]
            assert await journal.read(EventQuery("a", after_position=position), limit=limit) == session[:limit]
        assert (await journal.verify()).events == len(whole)


def test_the_planner_uses_the_segments(tmp_path: Path) -> None:
    """Reading a stream searches its stretches and the index, and sorts nothing."""
    path = tmp_path / "journal.db"
    schema.create(path, created_us=0)
    connection = schema.connect(path, purpose="read")
    statements = {
        f"{reader._SELECT_STREAM}{reader._IN_ORDER} LIMIT ?": (1, 2, 3, 4),
        reader._POSITION: (1, 2),
    }
    for statement, values in statements.items():
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
        assert any("event_by_sequence (<expr>=? AND stream=?" in step for step in plan)
        assert not any("SCAN event" in step or "TEMP B-TREE" in step for step in plan)
    connection.close()
