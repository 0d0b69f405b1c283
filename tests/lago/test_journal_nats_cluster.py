"""The NATS journal on three servers that are really killed, stopped and cut off from each other.

Partitions are made twice: with servers that stand still (SIGSTOP: their connections stay open, nothing is answered), and,
where the system lets an ordinary user make network namespaces, with servers in namespaces of their own whose link goes
down (tests/lago/nats_partition.py).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from pathlib import Path
from typing import cast

import pytest

from life.aios.errors import JournalUnavailableError
from life.aios.ports.journal import Appended, EventQuery, Journal
from life.aios.record import EventRecord, Stream
from life.lago.journal.nats.access import NatsAccess
from life.lago.journal.nats.journal import NatsJournal
from life.lago.journal.nats.stream import StreamInfo
from life.lago.nats_server import NatsCluster, NatsServer, run_cluster
from life.testing.clock import SeededEntropy
from life.testing.journal import Gap, JournalConformance, JournalHarness
from tests.lago.appender import event

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    # nats-py leaves the streams of attempts to reconnect that failed to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning"),
]

ROOT = Path(__file__).parents[2]
_openings = itertools.count()


def opened(access: NatsAccess, name: str, **settings: object) -> AbstractAsyncContextManager[NatsJournal]:
    """A journal with three copies; every opening is a writer of its own."""
    entropy = SeededEntropy(f"opening {next(_openings)}")
    return NatsJournal.open(access, name=name, entropy=entropy, replicas=3, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    """Three servers for the tests that do them no harm."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        running = run_cluster(tmp_path_factory.mktemp("cluster"), entropy=SeededEntropy("cluster"))
        try:
            yield runner.run(stack.enter_async_context(running))
        finally:
            runner.run(stack.aclose())


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[NatsCluster]:
    """Three servers for one test."""
    async with run_cluster(tmp_path / "cluster", entropy=SeededEntropy("cluster")) as running:
        yield running


def can_make_namespaces() -> bool:
    """Whether an ordinary user may make network namespaces here."""
    command = ["unshare", "--user", "--map-root-user", "--net", "--mount", "ip", "link", "add", "type", "veth"]
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


class NatsHarness:
    """Journals with three copies."""

    gaps: frozenset[Gap] = frozenset()
    model_examples = 3
    _prefixes = itertools.count()

    def __init__(self, access: NatsAccess) -> None:
        self._access = access
        self._prefix = f"test-{next(self._prefixes)}"

    def open(self, name: str = "journal") -> AbstractAsyncContextManager[Journal]:
        """The journal `<prefix>-<name>`."""
        return cast(AbstractAsyncContextManager[Journal], opened(self._access, f"{self._prefix}-{name}"))


class TestReplicatedNatsJournal(JournalConformance):
    """The journal on three servers."""

    @pytest.fixture
    def harness(self, shared_cluster: NatsCluster) -> JournalHarness:
        """A harness over the module's cluster."""
        return NatsHarness(shared_cluster.access)


class Load:
    """Producers that append batches of 1 to 5 events to two streams, and remember what they were told."""

    def __init__(self, journal: NatsJournal, run: str, *, producers: int = 6) -> None:
        self.acknowledged: dict[str, Appended] = {}
        self.unknown: set[str] = set()
        self._journal = journal
        self._run = run
        self._numbers = itertools.count()
        self._stopping = False
        self._tasks = [asyncio.create_task(self._produce()) for _ in range(producers)]

    async def __aenter__(self) -> Load:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _produce(self) -> None:
        while not self._stopping:
            number = next(self._numbers)
            size = 1 + number % 5
            streams = [Stream("session"), Stream("session", "side")]
            batch = [
                event(f"{self._run}-{number}-{index}", streams[index % 2], text=str(size)) for index in range(size)
            ]
            try:
                stored = await self._journal.append(batch)
            except JournalUnavailableError:
                self.unknown.update(each.event_id for each in batch)
                await asyncio.sleep(0)
            else:
                self.acknowledged.update(zip((each.event_id for each in batch), stored, strict=True))

    async def reach(self, count: int) -> None:
        """Wait until so many events were acknowledged."""
        async with asyncio.timeout(60):
            while len(self.acknowledged) < count:
                await asyncio.sleep(0.02)

    async def more(self, count: int) -> None:
        """Wait until so many more were."""
        await self.reach(len(self.acknowledged) + count)

    async def stop(self) -> None:
        """Let each producer finish its batch."""
        self._stopping = True
        await asyncio.gather(*self._tasks)


async def all_records(journal: NatsJournal) -> list[EventRecord]:
    """Everything, after it was checked from end to end."""
    await journal.verify()
    records: list[EventRecord] = []
    while page := await journal.read(EventQuery(after_position=records[-1].position if records else 0), limit=10_000):
        records += page
    return records


async def check(journal: NatsJournal, *loads: Load) -> list[EventRecord]:
    """Every acknowledged event is there once, where it was said to be; no other but of batches whose outcome was unknown;
    every batch is whole."""
    records = await all_records(journal)
    found = {record.event_id: record for record in records}
    assert len(found) == len(records)
    unknown = set().union(*(load.unknown for load in loads))
    acknowledged = {key: value for load in loads for key, value in load.acknowledged.items()}
    for event_id, told in acknowledged.items():
        record = found[event_id]
        assert told == Appended(record.sequence, record.position, record.digest or "", False), event_id
    assert found.keys() <= acknowledged.keys() | unknown
    for record in records:
        batch, size = record.event_id.rpartition("-")[0], int(json.loads(record.payload)["content"])
        assert all(f"{batch}-{index}" in found for index in range(size)), f"half of {batch}"
    return records


async def leader_of(cluster: NatsCluster, journal: NatsJournal) -> NatsServer:
    """The server that leads the journal's stream."""
    answer = await journal.connection.ask(f"$JS.API.STREAM.INFO.{journal.name}", {}, StreamInfo)
    assert answer.cluster is not None
    return next(node for node in cluster.nodes if node.name == answer.cluster.leader)


async def test_the_leader_is_killed_under_load(cluster: NatsCluster) -> None:
    """Kill -9 of the leader, twice: no acknowledged event is lost or there twice, no producer is refused, and a subscriber
    sees every event once, in order."""
    async with opened(cluster.access, "journal") as journal, opened(cluster.access, "journal") as other:
        assert journal.durability.level == "replicated"
        seen: list[EventRecord] = []

        async def watch() -> None:
            async for record in other.subscribe(EventQuery()):
                seen.append(record)

        watching = asyncio.create_task(watch())
        async with Load(journal, "a") as first, Load(other, "b") as second:
            loads = [first, second]
            for _ in range(2):
                await first.more(300)
                leader = await leader_of(cluster, journal)
                await leader.kill()
                await first.more(300)
                await second.more(100)
                await leader.start()
                await cluster.ready(3)
            for load in loads:
                await load.stop()
        records = await check(journal, *loads)
        assert not loads[0].unknown | loads[1].unknown
        async with asyncio.timeout(20):
            while len(seen) < len(records):
                await asyncio.sleep(0.02)
        assert seen == records
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def test_without_a_majority_nothing_is_acknowledged(cluster: NatsCluster) -> None:
    """Two of three killed under load: every append ends as JournalUnavailableError, reads too. When they are back all is
    there as it was told, and the refused events can be appended again: each is stored once."""
    async with (
        opened(cluster.access, "journal", patience_s=4) as journal,
        opened(cluster.access, "journal", patience_s=30) as patient,
        Load(journal, "a") as load,
    ):
        await load.reach(300)
        leader = await leader_of(cluster, journal)
        survivor = next(node for node in cluster.nodes if node is not leader)
        killed = [node for node in cluster.nodes if node is not survivor]
        for node in killed:
            await node.kill()
        await load.stop()
        told = len(load.acknowledged)
        async with Load(journal, "late", producers=2) as late:
            await load_refused(late)
        assert not late.acknowledged
        with pytest.raises(JournalUnavailableError):
            await journal.head(Stream("session"))
        for node in killed:
            await node.start()
        await cluster.ready(3)
        records = await check(patient, load, late)
        assert len(load.acknowledged) == told
        present = {record.event_id for record in records}
        for event_id in sorted(late.unknown):
            size = len([other for other in late.unknown if other.rpartition("-")[0] == event_id.rpartition("-")[0]])
            index = int(event_id.rpartition("-")[2])
            again = event(event_id, [Stream("session"), Stream("session", "side")][index % 2], text=str(size))
            (stored,) = await patient.append([again])
            assert stored.duplicate == (event_id in present)
        final = await all_records(patient)
        assert late.unknown <= {record.event_id for record in final}


async def load_refused(load: Load) -> None:
    """Wait until every producer was refused, and stop them."""
    async with asyncio.timeout(60):
        while not load.unknown:
            await asyncio.sleep(0.02)
    await load.stop()


async def test_a_leader_that_stands_still(cluster: NatsCluster) -> None:
    """The leader is stopped (SIGSTOP) under load and goes on after the others have chosen another: what it was told in
    between is no truth, and appends go on."""
    async with opened(cluster.access, "journal", patience_s=30) as journal, Load(journal, "a") as load:
        await load.reach(300)
        leader = await leader_of(cluster, journal)
        leader.freeze()
        try:
            await load.more(300)
        finally:
            leader.thaw()
        await load.more(300)
        await load.stop()
        await cluster.ready(3)
        await check(journal, load)
        assert not load.unknown


async def test_both_followers_stand_still(cluster: NatsCluster) -> None:
    """A leader alone acknowledges nothing; when the followers go on, so do the appends, with nothing lost or doubled."""
    async with opened(cluster.access, "journal", patience_s=3) as journal, Load(journal, "a") as load:
        await load.reach(200)
        leader = await leader_of(cluster, journal)
        followers = [node for node in cluster.nodes if node is not leader]
        for node in followers:
            node.freeze()
        try:
            async with asyncio.timeout(60):
                while not load.unknown:
                    await asyncio.sleep(0.05)
            told = len(load.acknowledged)
            await asyncio.sleep(2)
            assert len(load.acknowledged) == told
        finally:
            for node in followers:
                node.thaw()
        await load.more(200)
        await load.stop()
        await cluster.ready(3)
        await check(journal, load)


@pytest.mark.skipif(
    not can_make_namespaces(),
    reason="Needs network namespaces for ordinary users (sysctl kernel.unprivileged_userns_clone=1), unshare and ip.",
)
def test_a_partition_of_the_network(tmp_path: Path) -> None:
    """The leader's link goes down under load, then a follower's, then everybody's: appends go on where a majority is, none
    is acknowledged where there is none, and in the end all is there as it was told, once."""
    command = ["unshare", "--user", "--map-root-user", "--net", "--mount", sys.executable]
    command += ["-m", "tests.lago.nats_partition", str(tmp_path / "partition")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["acknowledged"] >= found["before"] + 200 >= 1000
    assert found["stored"] == found["verified"] >= found["acknowledged"]
    assert {name: found[name] for name in ("while_cut", "twice", "lost", "from_nowhere", "halves")} == {
        "while_cut": 0,
        "twice": 0,
        "lost": 0,
        "from_nowhere": 0,
        "halves": 0,
    }
    assert found["unknown"] > 0
