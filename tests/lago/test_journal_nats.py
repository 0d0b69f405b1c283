"""The NATS journal: the conformance suite against a single local server, and what only this engine does."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import cast

import msgspec
import nats
import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import (
    InvalidInputError,
    JournalDamagedError,
    JournalFullError,
    JournalUnavailableError,
    MalformedEventError,
    SequenceConflictError,
)
from life.aios.ids import derived_event_id
from life.aios.ports.journal import Appended, EventQuery, Journal
from life.aios.ports.snapshots import Snapshot
from life.aios.record import EventRecord, NewEvent, Stream
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.nats.access import NatsAccess, read_access
from life.lago.journal.nats.errors import (
    BatchTooLargeError,
    JournalNotDurableError,
    NatsServerError,
    OutcomeUnknownError,
    StreamUnfitError,
    TornBatchError,
)
from life.lago.journal.nats.journal import NatsJournal
from life.lago.journal.nats.snapshots import NatsSnapshots
from life.lago.journal.nats.subjects import Subjects, stream_of
from life.lago.journal.sqlite import SqliteJournal
from life.lago.nats_server import NatsServer, find_binary
from life.testing.clock import ManualClock, SeededEntropy
from life.testing.journal import Gap, JournalConformance, JournalHarness, Maker
from tests.lago.appender import SHARED, event

# nats-py leaves the streams of attempts to reconnect that failed to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning")

_openings = itertools.count()


def opened(access: NatsAccess, name: str = "journal", **settings: object) -> AbstractAsyncContextManager[NatsJournal]:
    """A journal with one copy; every opening is a writer of its own."""
    entropy = SeededEntropy(f"opening {next(_openings)}")
    return NatsJournal.open(access, name=name, entropy=entropy, replicas=1, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A server for all tests of this module."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        running = NatsServer.run(tmp_path_factory.mktemp("nats"), entropy=SeededEntropy("server"))
        try:
            yield runner.run(stack.enter_async_context(running))
        finally:
            runner.run(stack.aclose())


class NatsHarness:
    """Journals as streams of one server, apart from those of other tests by their prefix."""

    gaps: frozenset[Gap] = frozenset()
    model_examples = 25
    _prefixes = itertools.count()

    def __init__(self, access: NatsAccess) -> None:
        self._access = access
        self._prefix = f"test-{next(self._prefixes)}"

    def open(self, name: str = "journal") -> AbstractAsyncContextManager[Journal]:
        """The journal `<prefix>-<name>`."""
        return cast(AbstractAsyncContextManager[Journal], opened(self._access, f"{self._prefix}-{name}"))


class TestNatsJournal(JournalConformance):
    """The journal on one server."""

    @pytest.fixture
    def harness(self, server: NatsServer) -> JournalHarness:
        """A harness over the module's server."""
        return NatsHarness(server.access)


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A server for one test, which may do it harm."""
    async with NatsServer.run(tmp_path / "own", entropy=SeededEntropy("own")) as running:
        yield running


async def records_of(journal: Journal) -> list[EventRecord]:
    """Everything."""
    records: list[EventRecord] = []
    while page := await journal.read(EventQuery(after_position=records[-1].position if records else 0), limit=10_000):
        records += page
    return records


class Relay:
    """A relay between the client and the server that loses what it is told to lose."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.lose: str | None = None
        """`request`: the last message of the next batch. `answer`: the answer to it."""
        self.lost = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def run(self) -> AsyncIterator[str]:
        """Its address."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        try:
            yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        deaf = asyncio.Event()

        async def out() -> None:
            while data := await reader.read(2**20):
                if self.lose is not None and b"Nats-Batch-Commit" in data:
                    lose, self.lose = self.lose, None
                    self.lost += 1
                    if lose == "request":
                        writer.close()
                        return
                    deaf.set()
                there_writer.write(data)

        async def back() -> None:
            while data := await there_reader.read(2**20):
                if deaf.is_set():
                    writer.close()
                    return
                writer.write(data)

        tasks = [asyncio.create_task(out()), asyncio.create_task(back())]
        self._tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for each in (writer, there_writer):
            each.close()


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_a_lost_message_is_looked_up_not_guessed(own: NatsServer, lost: str) -> None:
    """The last message of a batch, or the answer to it, is lost with the connection: the append still ends with what is
    true, stored once, and as new, also when a claim by somebody else came in between."""
    relay = Relay(int(own.url.rpartition(":")[2]))
    async with relay.run() as url, opened(own.access) as other:
        async with opened(own.access._replace(servers=(url,))) as journal:
            for number in range(5):
                relay.lose = lost
                batch = [event(f"{number}-{index}", SHARED) for index in range(3)]
                claim = event(derived_event_id("claim", str(number)), SHARED)
                results = await asyncio.gather(journal.append([*batch, claim]), journal.append([claim]))
                assert [one.duplicate for one in results[0]] == [False] * 4
                assert [one.duplicate for one in results[1]] == [True]
                assert (await other.append([claim]))[0].duplicate
                assert relay.lost == number + 1
        assert (await other.verify()).events == 20


async def test_an_unknown_outcome_is_said_to_be_one(own: NatsServer) -> None:
    """A server that stands still acknowledges nothing: OutcomeUnknownError. When it goes on, appending again stores once."""
    async with opened(own.access, patience_s=1.5) as journal:
        await journal.append([event("a", SHARED)])
        own.freeze()
        try:
            with pytest.raises(OutcomeUnknownError, match="did not acknowledge") as caught:
                await journal.append([event("b", SHARED)], expected={SHARED: 1})
        finally:
            own.thaw()
        assert isinstance(caught.value, JournalUnavailableError)
        assert caught.value.details == {"outcome": "unknown"}
    async with opened(own.access) as journal:
        (stored,) = await journal.append([event("b", SHARED)], expected={SHARED: 1})
        assert stored.sequence == 2
        assert [record.event_id for record in await records_of(journal)] == ["a", "b"]


async def test_kill_9_of_the_only_server(own: NatsServer) -> None:
    """Killed three times under load and started again: every acknowledged event is there once, batches are whole, a
    subscriber sees each event once and in order, and no append fails."""
    acknowledged: dict[str, Appended] = {}
    seen: list[EventRecord] = []
    stopping = False

    async def produce(journal: NatsJournal, producer: int) -> None:
        for number in itertools.count():
            if stopping:
                return
            streams = [Stream("session"), Stream(f"session-{producer}")]
            batch = [event(f"{producer}-{number}-{index}", streams[index % 2]) for index in range(4)]
            stored = await journal.append(batch)
            assert not any(one.duplicate for one in stored)
            acknowledged.update(zip((each.event_id for each in batch), stored, strict=True))

    async def watch(journal: NatsJournal) -> None:
        async for record in journal.subscribe(EventQuery()):
            seen.append(record)

    async with opened(own.access) as journal, opened(own.access) as watcher:
        watching = asyncio.create_task(watch(watcher))
        producers = [asyncio.create_task(produce(journal, number)) for number in range(3)]
        for _ in range(3):
            before = len(acknowledged)
            async with asyncio.timeout(20):
                while len(acknowledged) < before + 120:
                    await asyncio.sleep(0.01)
            await own.kill()
            await own.start()
        stopping = True
        await asyncio.gather(*producers)
        records = await records_of(journal)
        assert (await journal.verify()).events == len(records) == len(acknowledged)
        async with asyncio.timeout(20):
            while len(seen) < len(records):
                await asyncio.sleep(0.01)
        assert seen == records
        assert {r.event_id: Appended(r.sequence, r.position, r.digest or "", False) for r in records} == acknowledged
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def test_digests_are_those_of_the_other_engines(server: NatsServer, tmp_path: Path) -> None:
    """The same events give the same chain in SQLite, in memory and here."""
    makers = [Maker(), Maker(branch_id="side", seed="2")]
    events = [makers[number % 2].event(causation_id="x" if number % 3 else None) for number in range(20)]
    digests = []
    async with (
        opened(server.access, "same") as remote,
        SqliteJournal.open(tmp_path / "journal.db", clock=ManualClock()) as local,
        MemoryJournal() as memory,
    ):
        journals: list[Journal] = [remote, local, memory]
        for journal in journals:
            digests.append([(one.sequence, one.digest) for one in await journal.append(events)])
    assert digests[0] == digests[1] == digests[2]


async def test_pages_begin_at_marks(server: NatsServer) -> None:
    """Reading behind any sequence of a long stream gives the next events, whatever mark it lies behind."""
    maker = Maker()
    async with opened(server.access, "marks") as journal:
        await journal.append(maker.events(700))
        await journal.append(maker.events(100))
        for after in (0, 1, 126, 127, 128, 129, 255, 256, 257, 511, 640, 798, 799, 800, 5000):
            found = await journal.read(EventQuery(*maker.stream, after_sequence=after), limit=7)
            assert [record.sequence for record in found] == list(range(after + 1, min(after + 8, 801)))
            subscription = journal.subscribe(EventQuery(*maker.stream, after_sequence=after, before_sequence=802))
            if after < 800:
                assert (await anext(subscription)).sequence == after + 1
            await subscription.aclose()
        assert (await journal.verify()).events == 800


async def test_several_processes_take_turns(server: NatsServer) -> None:
    """Three writers of one stream that never rest: each gets its share, none fails, and the stream has no gap."""
    done = [0, 0, 0]

    async def write(journal: NatsJournal, number: int) -> None:
        for index in range(60):
            await journal.append([event(f"{number}-{index}", SHARED)])
            done[number] += 1
            if max(done) == 60 and min(done) < 60:
                fewest.append(min(done))

    fewest: list[int] = []
    async with (
        opened(server.access, "turns") as one,
        opened(server.access, "turns") as two,
        opened(server.access, "turns") as three,
    ):
        async with asyncio.timeout(30):
            await asyncio.gather(write(one, 0), write(two, 1), write(three, 2))
        assert fewest[0] >= 10
        assert (await one.head(SHARED)).sequence == 180
        assert (await one.verify()) == (180, 1)


async def test_expectations_about_streams_without_events_hold(server: NatsServer) -> None:
    """What is expected of another stream is checked together with the append: of two who rely on each other's stream
    staying as it is, one is refused."""
    left, right = Maker("left", seed="1"), Maker("right", seed="2")
    async with opened(server.access, "guards") as one, opened(server.access, "guards") as two:
        for number in range(20):
            results = await asyncio.gather(
                one.append([left.event()], expected={right.stream: (await two.head(right.stream)).sequence}),
                two.append([right.event()], expected={left.stream: (await one.head(left.stream)).sequence}),
                return_exceptions=True,
            )
            refused = [result for result in results if isinstance(result, BaseException)]
            assert len(refused) == 1, number
            assert isinstance(refused[0], SequenceConflictError)
        assert (await one.verify()).events == 20


async def test_what_somebody_else_wrote_is_found(server: NatsServer) -> None:
    """A forged message, an event without its id, a changed event: `verify` names the place, and reading does not hide it."""
    async with opened(server.access, "forged") as journal:
        await journal.append([event("a", SHARED), event("b", SHARED)])
        assert await journal.verify() == (2, 1)
        stored = await journal.connection.last("forged.e.shared.main")
        assert stored is not None
        client = journal.connection.client
        await client.request("forged.i.c", b"", timeout=2)
        await client.request("forged.e.shared.main", stored.body, timeout=2)
        with pytest.raises(JournalDamagedError) as caught:
            await journal.verify()
        assert (caught.value.session_id, caught.value.sequence) == ("shared", 3)
        with pytest.raises(JournalDamagedError):
            await journal.read(EventQuery(*SHARED))


async def test_a_foreign_stream_is_refused(server: NatsServer) -> None:
    """A stream of that name which drops or deletes is no journal, and is left alone."""
    client = await nats.connect(server.url, user=server.access.user, password=server.access.password)
    await client.jetstream().add_stream(name="foreign", subjects=["foreign.>"], max_age=60)
    with pytest.raises(StreamUnfitError, match="max_age is"):
        async with opened(server.access, "foreign"):
            pass
    info = await client.jetstream().stream_info("foreign")
    assert info.config.subjects == ["foreign.>"]
    await client.close()


async def test_a_journal_that_may_lose_events_is_refused(tmp_path: Path) -> None:
    """A server with the default flush interval: refused by default, opened with doubts when that is asked for."""
    config = tmp_path / "server.conf"
    config.write_text(
        f"listen: 127.0.0.1:-1\nports_file_dir: {tmp_path}\njetstream {{ store_dir: {tmp_path}/data }}\n"
        "accounts { A { jetstream: enabled, users: [{user: a, password: a}] }, S { users: [{user: s, password: s}] } }\n"
        "system_account: S\n"
    )
    process = subprocess.Popen([find_binary(), "-c", config], stderr=subprocess.DEVNULL)
    try:
        async with asyncio.timeout(20):
            while not (found := list(tmp_path.glob("*.ports"))) or not found[0].read_bytes():
                await asyncio.sleep(0.02)
        (url,) = msgspec.json.decode(found[0].read_bytes())["nats"]
        access = NatsAccess((url,), "a", "a", "s", "s")
        with pytest.raises(JournalNotDurableError, match="acknowledges up to 120 seconds before it flushes"):
            async with opened(access):
                pass
        with pytest.raises(JournalNotDurableError, match="unknown"):
            async with opened(access._replace(system_user=None)):
                pass
        with pytest.raises(JournalNotDurableError, match="could not be asked"):
            async with opened(access._replace(system_password="wrong"), patience_s=1.0):
                pass
        with pytest.raises(JournalUnavailableError, match="3 copies"):
            async with NatsJournal.open(access, name="three", entropy=SeededEntropy("x"), replicas=3):
                pass
        async with opened(access, durability="accept") as journal:
            assert journal.durability.level == "unverified"
            await journal.append([event("a", SHARED)])
            many = [event(f"many-{number}", SHARED) for number in range(600)]
            with pytest.raises(BatchTooLargeError):
                await journal.append(many)
            with pytest.raises(MalformedEventError, match="takes"):
                await journal.append([event("big", SHARED, text="x" * 1_100_000)])
            assert (await journal.head(SHARED)).sequence == 1
            await asyncio.gather(*(journal.append([each]) for each in many))
            assert (await journal.head(SHARED)).sequence == 601
        with pytest.raises(JournalNotDurableError, match="1 copies and 3 are asked for"):
            async with NatsJournal.open(access, entropy=SeededEntropy("y"), replicas=3):
                pass
    finally:
        process.kill()
        process.wait()


async def test_a_server_without_room(tmp_path: Path) -> None:
    """A server that reaches its limit in the middle of a batch keeps its beginning: that is said, nothing of it counts as
    acknowledged, the rest of the journal stays readable, and with more room the same batch is whole when appended again."""
    batch: list[NewEvent] = []
    async with limited_server(tmp_path, "2MB") as access, opened(access, durability="accept", patience_s=3) as journal:
        with pytest.raises(TornBatchError, match="only part"):
            for number in range(40):
                batch = [event(f"{number}-{index}", SHARED, text="x" * 10_000) for index in range(20)]
                await journal.append(batch)
        whole = number * 20
        begun = (await journal.head(SHARED)).sequence - whole
        assert 0 < begun < 20
        with pytest.raises(JournalFullError):
            await journal.append([event("another", SHARED, text="x" * 10_000)])
        assert (await journal.verify()).events == len(await records_of(journal)) == whole + begun
        assert await journal.get(batch[-1].event_id) is None
    async with limited_server(tmp_path, "1GB") as access, opened(access, durability="accept") as journal:
        stored = await journal.append(batch)
        assert [one.sequence for one in stored] == list(range(whole + 1, whole + 21))
        there = sum(one.duplicate for one in stored)  # the server may have made the batch whole when it started
        assert begun <= there
        assert [one.duplicate for one in stored] == [True] * there + [False] * (20 - there)
        assert (await journal.verify()).events == whole + 20


@asynccontextmanager
async def limited_server(folder: Path, room: str) -> AsyncIterator[NatsAccess]:
    """A server that stores so much and no more."""
    config = folder / f"{room}.conf"
    config.write_text(
        f"listen: 127.0.0.1:-1\nports_file_dir: {folder}\n"
        f"jetstream {{ store_dir: {folder}/data, sync_interval: always, max_file_store: {room} }}\n"
    )
    process = subprocess.Popen([find_binary(), "-c", config], stderr=subprocess.DEVNULL)
    ports = f"*_{process.pid}.ports"
    try:
        async with asyncio.timeout(20):
            while not (found := list(folder.glob(ports))) or not found[0].read_bytes():
                await asyncio.sleep(0.02)
        yield NatsAccess((msgspec.json.decode(found[0].read_bytes())["nats"][0],))
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


async def test_our_own_server_is_durable(server: NatsServer) -> None:
    """It flushes before it acknowledges, and says so; one copy is called what it is."""
    async with opened(server.access) as journal:
        assert journal.durability == ("single_copy", 1, ())


async def test_who_may_not_come_in(own: NatsServer) -> None:
    """Without the password nobody gets in; it stands in files for the owner only, and not in arguments or the log."""
    wrong = own.access._replace(password="wrong")
    # The server closes at once; whether its last words arrive before the end of the line is chance.
    with pytest.raises(JournalUnavailableError, match=r"(?i)authorization|reset by peer|closed"):
        async with opened(wrong, patience_s=1.0):
            pass
    folder = own.credentials_file.parent
    assert read_access((own.url,), own.credentials_file) == own.access
    secrets = [own.access.password or "", own.access.system_password or ""]
    assert all(len(secret) == 48 for secret in secrets)
    for file in folder.rglob("*"):
        if file.is_file() and any(secret.encode() in file.read_bytes() for secret in secrets):
            assert file.name in ("credentials.json", "server.conf")
            assert file.stat().st_mode & 0o077 == 0
    arguments = Path(f"/proc/{own.process_id}/cmdline").read_text()
    assert not any(secret in arguments or secret in repr(own.access) for secret in secrets)
    own.credentials_file.chmod(0o644)
    with pytest.raises(InvalidInputError, match="may be read by others"):
        read_access((own.url,), own.credentials_file)


async def test_one_server_per_folder(tmp_path: Path) -> None:
    """A second launcher is refused; a server whose launcher was killed is stopped before the next one starts; the events
    are still there."""
    folder = tmp_path / "nats"
    entropy = SeededEntropy("folder")
    async with NatsServer.run(folder, entropy=entropy) as first:
        process_id = first.process_id
        assert process_id is not None
        with pytest.raises(NatsServerError, match="Another process"):
            async with NatsServer.run(folder, entropy=entropy):
                pass
        async with opened(first.access) as journal:
            await journal.append([event("a", SHARED)])
        port = int(first.url.rpartition(":")[2])
    with pytest.raises(ProcessLookupError):
        os.kill(process_id, 0)
    async with NatsServer.run(folder, entropy=entropy, port=port) as second:
        assert second.url.endswith(f":{port}")
        orphan = second._process  # what is left when our process is killed: the server and its lock
        second._process = None
    assert orphan is not None
    async with NatsServer.run(folder, entropy=entropy) as third, opened(third.access) as journal:
        assert orphan.wait(timeout=10) is not None
        assert [record.event_id for record in await records_of(journal)] == ["a"]


async def test_a_server_that_can_not_start(tmp_path: Path) -> None:
    """A port that is taken, a program that is none: one sentence each, no process left."""
    listening = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    with pytest.raises(NatsServerError, match=r"ended at once: .*address already in use"):
        async with NatsServer.run(tmp_path / "a", entropy=SeededEntropy("a"), port=port):
            pass
    listening.close()
    with pytest.raises(InvalidInputError):
        find_binary(tmp_path / "nothing")


async def test_snapshots(server: NatsServer) -> None:
    """The newest is kept, names and versions are apart, large ones are cut, and one that lost a piece counts as none."""
    async with NatsSnapshots.open(server.access, replicas=1) as snapshots:
        assert await snapshots.load("ledger", 1) is None
        for position, state in ((10, b"ten"), (20, b"twenty"), (15, b"late")):
            await snapshots.save("ledger", 1, Snapshot(position, state))
        assert await snapshots.load("ledger", 1) == Snapshot(20, b"twenty")
        await snapshots.save("ledger", 1, Snapshot(20, b"again"))
        assert await snapshots.load("ledger", 1) == Snapshot(20, b"again")
        await snapshots.save("ledger", 2, Snapshot(3, b""))
        await snapshots.save("a name with blanks.*", 1, Snapshot(4, os.urandom(3_000_000)))
        assert await snapshots.load("ledger", 2) == Snapshot(3, b"")
        assert await snapshots.load("memory", 2) is None
    async with NatsSnapshots.open(server.access, replicas=1) as snapshots:
        large = await snapshots.load("a name with blanks.*", 1)
        assert large is not None
        assert len(large.state) == 3_000_000
        await asyncio.gather(*(snapshots.save("race", 1, Snapshot(number, b"%d" % number)) for number in range(8)))
        assert await snapshots.load("race", 1) == Snapshot(7, b"7")
        bucket = snapshots.bucket
        pieces = [key for key in await bucket.keys() if key.count(".") == 3]
        for key in pieces:
            await bucket.purge(key)
        assert await snapshots.load("a name with blanks.*", 1) is None


def test_without_the_extra() -> None:
    """One error that names the extra, for the journal and for the server."""
    for module in ("life.lago.journal.nats.journal", "life.lago.journal.nats.snapshots", "life.lago.nats_server"):
        program = f"""
import sys, importlib
sys.modules["nats"] = None
from life.aios.errors import MissingExtraError
try:
    importlib.import_module("{module}")
except MissingExtraError as error:
    print(error.next_step)
"""
        said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        assert said == "pip install 'lifeos[nats]'\n"


printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=255)


@given(printable, printable)
def test_any_id_is_a_subject_and_back(session_id: str, branch_id: str) -> None:
    """Sessions and branches of any printable characters are one token each, and can be read back."""
    stream = Stream(session_id, branch_id)
    subject = Subjects("j").event(stream)
    assert subject.count(".") == 3
    assert not set(subject) & {"*", ">", " "}
    assert stream_of(subject) == stream


@pytest.mark.parametrize("name", ["", "a.b", "a b", "*", "ä", "x" * 65, "-x"])
def test_names_that_are_no_stream(name: str) -> None:
    """A journal's name is a stream's and a subject's."""
    with pytest.raises(InvalidInputError):
        Subjects(name)
