"""A damaged journal is found when it is opened, and what is wrong is named."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest

from life.aios.errors import JournalDamagedError, JournalError
from life.aios.ports.journal import EventQuery
from life.aios.record import Stream
from life.lago.errors import JournalFileDamagedError
from life.lago.journal.acknowledged import mark_path
from life.lago.journal.sqlite import SqliteJournal
from life.lago.journal.survey import survey_file
from life.lago.journal.verification import Verified, verify_file
from life.testing.clock import ManualClock
from tests.lago.appender import event
from tests.lago.test_journal_crash import appender

STREAMS = [Stream("s"), Stream("s", "side"), Stream("other")]


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A closed journal with 40 events in each of three streams, one file without a WAL."""
    path = tmp_path / "journal.db"
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        for number in range(40):
            await journal.append(
                [
                    msgspec.structs.replace(
                        event(f"{stream}-{number}", stream),
                        causation_id="01ARZ3NDEKTSV4RRFFQ69G5FAV",
                        correlation_id="run",
                        trace_id="0af7651916cd43dd8448eb211c80319c",
                        span_id="b7ad6b7169203331",
                    )
                    for stream in STREAMS
                ]
            )
    return path


def change(path: Path, statement: str, *values: Any) -> None:
    """Change the file behind the journal's back; exactly one row is meant."""
    connection = apsw.Connection(str(path))
    connection.execute(statement, values)
    assert connection.changes() == 1
    connection.close()


async def damage_of(path: Path) -> JournalDamagedError:
    """What opening the journal says."""
    with pytest.raises(JournalDamagedError) as caught:
        async with SqliteJournal.open(path, clock=ManualClock()):
            pass
    return caught.value


def place(error: JournalDamagedError) -> tuple[str, str, int]:
    """Where the error says the damage is."""
    return (error.session_id, error.branch_id, error.sequence)


async def test_an_intact_journal(path: Path) -> None:
    """All events and streams are counted; a part can be checked by itself."""
    assert verify_file(path) == Verified(120, 3)
    assert verify_file(path, after_position=100) == Verified(20, 3)
    assert verify_file(path, after_position=120) == Verified(0, 0)
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        await journal.append([event("one-more", STREAMS[0])])
        assert await journal.verify() == Verified(121, 3)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("stream", 2),
        ("id", "s/main-11x"),
        ("id", b"s/main-11"),
        ("kind", 77),
        ("ts_us", 1),
        ("ts_us", "yesterday"),
        ("origin", 77),
        ("causation", None),
        ("causation", bytes(16)),
        ("correlation", "Run"),
        ("trace", "0af7651916cd43dd8448eb211c80319c"),
        ("span", b"\0"),
        ("body", b'{"type":"UserMessage","content":"y"}'),
        ("body", 5),
        ("digest", bytes(32)),
        ("digest", None),
    ],
)
async def test_a_changed_column_is_found(path: Path, column: str, value: object) -> None:
    """Whatever is changed in a row, its stream and sequence are named, with the expected and the found digest."""
    where = "WHERE stream = 1 AND seq = 12"
    if column == "stream":  # or else the row would collide with one that is there
        change(path, "DELETE FROM event WHERE stream = 2 AND seq = 12")
    if value is None and column == "digest":
        value = "none"
    change(path, f"UPDATE event SET {column} = ? {where}", value)
    error = await damage_of(path)
    if column != "stream":
        assert place(error) == ("s", "main", 12)
        assert len(error.expected) == 64 or column == "digest"
    assert error.code == "journal.damaged"


async def test_a_changed_sequence_is_found(path: Path) -> None:
    """A row that was moved to another sequence leaves a gap at its own."""
    change(path, "UPDATE event SET seq = 99 WHERE stream = 2 AND seq = 30")
    assert place(await damage_of(path)) == ("s", "side", 30)


async def test_a_single_bit_is_found(path: Path) -> None:
    """One bit of one payload: the expected digest is the stored one, the found one is another."""
    connection = apsw.Connection(str(path))
    body, digest = connection.execute("SELECT body, digest FROM event WHERE stream = 3 AND seq = 7").fetchone()  # type: ignore[misc]
    assert isinstance(body, bytes)
    assert isinstance(digest, bytes)
    connection.close()
    change(path, "UPDATE event SET body = ? WHERE stream = 3 AND seq = 7", body[:-5] + b"y" + body[-4:])
    error = await damage_of(path)
    assert place(error) == ("other", "main", 7)
    assert error.expected == digest.hex()
    assert len(error.found) == 64
    assert error.found != error.expected


@pytest.mark.parametrize("sequence", [1, 2, 20, 39, 40])
@pytest.mark.parametrize("stream", [1, 2, 3])
async def test_a_deleted_row_is_found(path: Path, stream: int, sequence: int) -> None:
    """At the beginning, in the middle or at the end of its stream or of the journal: the missing event is named."""
    change(path, "DELETE FROM event WHERE stream = ? AND seq = ?", stream, sequence)
    error = await damage_of(path)
    assert place(error) == (*STREAMS[stream - 1], sequence)
    assert "missing" in error.found


async def test_a_stream_without_any_of_its_rows_is_found(path: Path) -> None:
    """Its head still says how many there were."""
    connection = apsw.Connection(str(path))
    connection.execute("DELETE FROM event WHERE stream = 2")
    connection.close()
    assert place(await damage_of(path)) == ("s", "side", 1)


async def test_a_cut_tail_is_found(path: Path) -> None:
    """All events from a point on are gone: the heads know better."""
    connection = apsw.Connection(str(path))
    connection.execute("DELETE FROM event WHERE pos > 60")
    connection.close()
    assert place(await damage_of(path)) == ("s", "main", 21)


@pytest.mark.parametrize(
    ("change_of_head", "sequence"),
    [("seq = 39", 40), ("digest = zeroblob(32)", 40), ("seq = 41", 41), ("seq = 'forty'", 40)],
)
async def test_a_wrong_head_is_found(path: Path, change_of_head: str, sequence: int) -> None:
    """A head that is behind, ahead or has another digest."""
    change(path, f"UPDATE stream SET {change_of_head} WHERE no = 1")
    assert place(await damage_of(path)) == ("s", "main", sequence)


async def test_names_are_part_of_the_chain(path: Path) -> None:
    """Renaming a session, an agent or a kind changes the digests of its events."""
    for statement in (
        "UPDATE stream SET session = 'S' WHERE no = 1",
        "UPDATE origin SET agent = 'somebody-else'",
        "UPDATE origin SET component = NULL",
        "UPDATE kind SET name = 'Message'",
    ):
        copy = path.with_name("copy.db")
        copy.write_bytes(path.read_bytes())
        change(copy, statement)
        assert (await damage_of(copy)).sequence == 1


async def test_an_index_that_disagrees_is_found(path: Path) -> None:
    """An id index that leads nowhere would let an event be stored twice; it is found although every row is intact."""
    connection = apsw.Connection(str(path))
    connection.pragma("writable_schema", True)
    connection.execute("UPDATE sqlite_schema SET sql = replace(sql, '(id)', '(ts_us)') WHERE name = 'event_by_id'")
    connection.close()
    assert isinstance(await damage_of(path), JournalFileDamagedError)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM stretch WHERE stream = 2",
        "UPDATE stretch SET segment = 1 WHERE stream = 2",
        "UPDATE stretch SET first_seq = 2 WHERE stream = 2",
        "INSERT INTO stretch VALUES (2, 30, 0)",
    ],
)
async def test_a_wrong_stretch_is_found(path: Path, statement: str) -> None:
    """What leads to a stream's events is checked as well, and reading by it is an error and not a shorter answer."""
    change(path, statement)
    assert isinstance(await damage_of(path), JournalFileDamagedError)
    async with SqliteJournal.open(path, clock=ManualClock(), verify=False) as journal:
        with suppress(JournalDamagedError):
            assert len(await journal.read(EventQuery("s", "side"))) == 40
        assert len(await journal.read(EventQuery("s", "main"))) == 40


async def test_a_truncated_file_is_found(path: Path) -> None:
    """Half a file is no journal, and the words are not a stack trace."""
    data = path.read_bytes()
    for size in (len(data) // 2, len(data) - 4096, len(data) - 100, 5000):
        path.write_bytes(data[:size])
        with pytest.raises(JournalError, match="journal"):
            async with SqliteJournal.open(path, clock=ManualClock()):
                pass


async def test_any_flipped_bit_is_found_or_harmless(path: Path) -> None:
    """Bits anywhere in the file: either opening says so, or everything reads as it was written."""
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        intact = await journal.read(EventQuery(), limit=1000)
    data = path.read_bytes()
    chance = random.Random(5)
    found = 0
    for number in range(250):
        damaged = bytearray(data)
        damaged[number if number < 100 else chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            async with SqliteJournal.open(path, clock=ManualClock()) as journal:
                assert await journal.read(EventQuery(), limit=1000) == intact
                by_id = [await journal.get(record.event_id) for record in intact]
                assert by_id == intact
        except JournalError:
            found += 1
    assert found > 50


async def test_reading_a_damaged_journal_never_leaves_events_out(path: Path) -> None:
    """Opened without verification, a page with a missing row is an error and not a shorter page."""
    change(path, "DELETE FROM event WHERE stream = 1 AND seq = 12")
    async with SqliteJournal.open(path, clock=ManualClock(), verify=False) as journal:
        for query in (EventQuery("s", "main"), EventQuery("s"), EventQuery()):
            for limit in (20, 500):
                with pytest.raises(JournalDamagedError, match="missing"):
                    records = await journal.read(query, limit=limit)
                    await journal.read(query._replace(after_position=records[-1].position), limit=500)
        assert len(await journal.read(EventQuery("s", "side"))) == 40


async def killed(path: Path, clients: int, answers: int) -> tuple[dict[str, bytes], set[str]]:
    """The files that a killed process leaves (the journal, its write-ahead log and its mark), and what was answered."""
    with appender("endless", str(path), "in_loop", "run", str(clients)) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(answers)]
        process.kill()
        lines += [line for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        process.wait()
    answered = {f"run-{line.split()[0]}" for line in lines}
    files = (path, path.with_name("journal.db-wal"), mark_path(path))
    return {file.name: file.read_bytes() for file in files}, answered


def put_back(folder: Path, files: dict[str, bytes]) -> None:
    """These files and no others."""
    for leftover in folder.glob("journal.db*"):
        leftover.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)


async def test_damage_in_the_write_ahead_log_is_found(tmp_path: Path) -> None:
    """After a crash the last commits stand in the WAL. A flipped bit anywhere in it, in the very last commit too, must not
    make one of them vanish; whoever opens the journal again hears the same."""
    path, log = tmp_path / "journal.db", tmp_path / "journal.db-wal"
    files, answered = await killed(path, 4, 60)
    data = files[log.name]
    put_back(tmp_path, files)
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        intact = await journal.read(EventQuery(), limit=10_000)
    assert len(intact) >= 60
    chance = random.Random(3)
    places = [*range(20), *(chance.randrange(len(data)) for _ in range(30)), *range(len(data) - 9000, len(data), 300)]
    found = 0
    for number in places:
        damaged = bytearray(data)
        damaged[number] ^= 1 << chance.randrange(8)
        put_back(tmp_path, {**files, log.name: bytes(damaged)})
        try:
            async with SqliteJournal.open(path, clock=ManualClock()) as journal:
                records = await journal.read(EventQuery(), limit=10_000)
            assert records == intact[: len(records)]
            assert answered <= {record.event_id.rsplit("-", 1)[0] for record in records}  # nobody was told of the rest
        except JournalFileDamagedError as error:
            found += 1
            assert "write-ahead log" in str(error)
            assert log.read_bytes() == damaged  # what can't be read is still there for whoever can
            with pytest.raises(JournalFileDamagedError, match="write-ahead log"):
                async with SqliteJournal.open(path, clock=ManualClock(), verify=False):
                    pass
    assert found > 30  # the end may belong to a commit that the kill came before the end of


async def test_any_flipped_bit_of_the_last_commit_is_found(tmp_path: Path) -> None:
    """Every byte of the frames that the newest acknowledged commit wrote, without anything behind it that could give it away."""
    path, log = tmp_path / "journal.db", tmp_path / "journal.db-wal"
    async with SqliteJournal.open(path, clock=ManualClock(), warm_log=False) as journal:
        for number in range(10):
            before = log.stat().st_size if log.exists() else 0
            await journal.append([event(f"e{number}", STREAMS[0])])
        files = {file.name: file.read_bytes() for file in (path, log, mark_path(path))}
    data, chance = files[log.name], random.Random(4)
    assert len(data) - before >= 3 * 4120
    for place in range(before, len(data), 211):
        damaged = bytearray(data)
        damaged[place] ^= 1 << chance.randrange(8)
        put_back(tmp_path, {**files, log.name: bytes(damaged)})
        with pytest.raises(
            JournalFileDamagedError, match="position 10, the last whose append was answered, is missing"
        ):
            async with SqliteJournal.open(path, clock=ManualClock()):
                pass


async def test_a_write_ahead_log_that_was_removed_is_missed(tmp_path: Path) -> None:
    """Somebody tidies up after a crash: the mark knows that there was more."""
    path = tmp_path / "journal.db"
    files, _ = await killed(path, 1, 20)
    del files["journal.db-wal"]
    put_back(tmp_path, files)
    for verify in (True, False):
        with pytest.raises(JournalFileDamagedError, match=r"journal\.db-mark"):
            async with SqliteJournal.open(path, clock=ManualClock(), verify=verify):
                pass
    with pytest.raises(JournalFileDamagedError, match="is missing"):
        verify_file(path)
    mark_path(path).unlink()  # as the words say, for whoever means it
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        assert await journal.read(EventQuery()) == []


async def test_a_commit_that_was_cut_off_is_not_damage(tmp_path: Path) -> None:
    """A WAL that ends inside of a commit is what a loss of power leaves; the commits before it are there."""
    path, log = tmp_path / "journal.db", tmp_path / "journal.db-wal"
    await killed(path, 1, 20)
    log.write_bytes(log.read_bytes()[:-2000])
    mark_path(path).unlink()  # nobody was answered: the mark is written after the commit
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        records = await journal.read(EventQuery(), limit=10_000)
        assert {record.event_id.split("-")[1] for record in records} >= {str(number) for number in range(19)}


async def test_torn_pages_leave_healthy_sessions_readable(tmp_path: Path) -> None:
    """Half of a page is of another time, zeros or nonsense: the damaged session is named, and each session that has nothing on
    that page is read as it was written."""
    path = tmp_path / "journal.db"
    sessions = [Stream(f"session-{number}") for number in range(6)]
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        for stream in sessions:
            await journal.append([event(f"{stream.session_id}-{number}", stream) for number in range(120)])
        intact = {stream: await journal.read(EventQuery(*stream)) for stream in sessions}
    connection = apsw.Connection(str(path))
    leaves = [
        (page, first, first + cells - 1)
        for page, cells, first in connection.execute(
            "SELECT pageno, ncell, (SELECT sum(other.ncell) FROM dbstat AS other WHERE other.name = 'event'"
            " AND other.pagetype = 'leaf' AND other.path < dbstat.path) FROM dbstat"
            " WHERE name = 'event' AND pagetype = 'leaf' ORDER BY path"
        )
        if first
    ]
    connection.close()
    data, chance = path.read_bytes(), random.Random(8)
    assert len(leaves) > 30
    for page, first, last in chance.sample(leaves, 12):
        torn = bytearray(data)
        half = (page - 1) * 4096 + 2048
        torn[half : half + 2048] = chance.choice((bytes(2048), chance.randbytes(2048), data[half - 4096 : half - 2048]))
        path.write_bytes(torn)
        on_page = {sessions[position // 120] for position in range(first, min(last + 1, 719) + 1)}
        error = await damage_of(path)
        assert Stream(error.session_id, error.branch_id) in {*on_page, *neighbours(sessions, on_page)}
        survey = survey_file(path)
        damaged = {Stream(one.session_id, one.branch_id) for one in survey.damaged}
        assert set(sessions) - on_page <= set(survey.sound) == set(sessions) - damaged
        assert damaged
        async with SqliteJournal.open(path, clock=ManualClock(), verify=False) as journal:
            for stream in survey.sound:
                assert await journal.read(EventQuery(*stream)) == intact[stream]


def neighbours(sessions: list[Stream], damaged: set[Stream]) -> set[Stream]:
    """Where SQLite can't read a page at all, the last event before it is named."""
    return {sessions[max(sessions.index(stream) - 1, 0)] for stream in damaged}


async def test_a_survey_names_every_damaged_stream(path: Path) -> None:
    """Two of three streams are damaged in different ways; both are named, the third is sound, and a whole journal is, too."""
    survey = survey_file(path)
    assert (survey.events, survey.sound, survey.damaged) == (120, STREAMS, [])
    change(path, "UPDATE event SET span = NULL WHERE stream = 1 AND seq = 7")
    change(path, "UPDATE stream SET digest = zeroblob(32) WHERE no = 3")
    survey = survey_file(path)
    assert survey.sound == [STREAMS[1]]
    assert [place(error) for error in survey.damaged] == [("s", "main", 7), ("other", "main", 40)]
    change(path, "DELETE FROM event WHERE stream = 2 AND seq = 30")
    change(path, "UPDATE event SET kind = 'x' WHERE stream = 3 AND seq = 5")
    survey = survey_file(path)
    assert [place(error) for error in survey.damaged] == [("s", "main", 7), ("s", "side", 30), ("other", "main", 0)]
