"""Three NATS servers in network namespaces of their own, for tests that cut one off from the others.

python -m tests.lago.nats_partition <folder>

must be run as the root of a new user, network and mount namespace (`unshare --user --map-root-user --net --mount`), which
an ordinary user may make on most systems. A bridge joins the three; the test itself is on the bridge too, so a server
whose link goes down is cut off from the other servers and from the client. The leader is cut off under load, then a
follower, then everybody from everybody; the last line printed is what was found, as JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

from life.aios.errors import JournalUnavailableError
from life.aios.ports.journal import Appended, EventQuery
from life.aios.record import EventRecord, Stream
from life.lago.journal.nats.access import NatsAccess
from life.lago.journal.nats.journal import NatsJournal
from life.lago.journal.nats.stream import StreamInfo
from life.lago.nats_server import find_binary
from life.lago.nats_server_files import Member, ensure_credentials, server_config
from life.testing.clock import SeededEntropy
from tests.lago.appender import event

HOSTS = {f"n{number}": f"10.99.0.{number}" for number in (1, 2, 3)}


def run(*command: str) -> None:
    """A command that must succeed."""
    subprocess.run(command, check=True, capture_output=True)


class Network:
    """A bridge, and a namespace per server."""

    def __init__(self) -> None:
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "bridge0", "type", "bridge")
        run("ip", "address", "add", "10.99.0.254/24", "dev", "bridge0")
        run("ip", "link", "set", "bridge0", "up")
        self._holders: dict[str, subprocess.Popen[bytes]] = {}
        self._servers: list[subprocess.Popen[bytes]] = []
        for name, host in HOSTS.items():
            holder = self._holders[name] = subprocess.Popen(["unshare", "--net", "sleep", "600"])
            self._until_apart(holder.pid)
            run("ip", "link", "add", f"v{name}", "type", "veth", "peer", "name", "eth0", "netns", str(holder.pid))
            run("ip", "link", "set", f"v{name}", "master", "bridge0", "up")
            for command in ("link set lo up", f"address add {host}/24 dev eth0", "link set eth0 up"):
                run("nsenter", "--net", "--target", str(holder.pid), "ip", *command.split())

    def start(self, name: str, config: Path) -> None:
        """Start a server in its namespace."""
        holder = str(self._holders[name].pid)
        command = ["nsenter", "--net", "--target", holder, str(find_binary()), "-c", str(config)]
        self._servers.append(subprocess.Popen(command))

    def holder_of(self, name: str) -> int:
        """The process that keeps a server's namespace."""
        return self._holders[name].pid

    def cut(self, name: str) -> None:
        """Take the link down: what is sent is lost, nobody is told."""
        run("ip", "link", "set", f"v{name}", "down")

    def heal(self, name: str) -> None:
        """Bring it up again."""
        run("ip", "link", "set", f"v{name}", "up")

    def close(self) -> None:
        """End the servers and the namespaces."""
        for process in (*self._servers, *self._holders.values()):
            process.kill()
            process.wait()

    def _until_apart(self, process_id: int) -> None:
        mine = Path("/proc/self/ns/net").readlink()
        for _ in range(200):
            if Path(f"/proc/{process_id}/ns/net").readlink() != mine:
                return
            time.sleep(0.01)
        raise RuntimeError("no namespace was made")


class Load:
    """Producers of single events and pairs, and what they were told."""

    def __init__(self, journal: NatsJournal) -> None:
        self.acknowledged: dict[str, Appended] = {}
        self.unknown: set[str] = set()
        self._journal = journal
        self._numbers = itertools.count()
        self._stopping = False
        self._tasks = [asyncio.create_task(self._produce()) for _ in range(4)]

    async def _produce(self) -> None:
        while not self._stopping:
            number = next(self._numbers)
            pair = [event(f"{number}-{index}", Stream(f"session-{number % 3}")) for index in range(2)]
            try:
                stored = await self._journal.append(pair)
            except JournalUnavailableError:
                self.unknown.update(each.event_id for each in pair)
                await asyncio.sleep(0)
            else:
                self.acknowledged.update(zip((each.event_id for each in pair), stored, strict=True))

    async def more(self, count: int) -> None:
        """Wait until so many more events were acknowledged."""
        goal = len(self.acknowledged) + count
        async with asyncio.timeout(60):
            while len(self.acknowledged) < goal:
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Let the producers finish."""
        self._stopping = True
        await asyncio.gather(*self._tasks)


async def leader_of(journal: NatsJournal) -> str:
    """The name of the server that leads the stream."""
    info = await journal.connection.ask(f"$JS.API.STREAM.INFO.{journal.name}", {}, StreamInfo)
    assert info.cluster is not None
    return info.cluster.leader


async def partitions(network: Network, journal: NatsJournal) -> dict[str, int | bool]:
    """Cut, heal, and compare what was told with what is stored."""
    load = Load(journal)
    await load.more(200)
    for follower in (False, True):
        leader = await leader_of(journal)
        victim = next(name for name in HOSTS if name != leader) if follower else leader
        network.cut(victim)
        await load.more(200)
        network.heal(victim)
        await load.more(200)
    before = len(load.acknowledged)
    refused_before = len(load.unknown)
    for name in HOSTS:
        network.cut(name)
    await asyncio.sleep(0.3)  # acknowledgements that had already arrived are taken in
    acknowledged_at_cut = len(load.acknowledged)
    async with asyncio.timeout(60):
        while len(load.unknown) == refused_before:
            await asyncio.sleep(0.05)
    while_cut = len(load.acknowledged) - acknowledged_at_cut
    for name in HOSTS:
        network.heal(name)
    await load.more(200)
    await load.stop()
    verified = await journal.verify()
    records: list[EventRecord] = []
    while page := await journal.read(EventQuery(after_position=records[-1].position if records else 0), limit=10_000):
        records += page
    found = {record.event_id: record for record in records}
    return {
        "acknowledged": len(load.acknowledged),
        "before": before,
        "while_cut": while_cut,
        "unknown": len(load.unknown),
        "stored": len(records),
        "verified": verified.events,
        "twice": len(records) - len(found),
        "lost": sum(
            event_id not in found
            or (found[event_id].sequence, found[event_id].position) != (told.sequence, told.position)
            for event_id, told in load.acknowledged.items()
        ),
        "from_nowhere": len(found.keys() - load.acknowledged.keys() - load.unknown),
        "halves": sum((f"{event_id[:-1]}{1 - int(event_id[-1])}") not in found for event_id in found),
    }


async def main(folder: Path) -> None:
    """Start everything, run the test, print what was found."""
    entropy = SeededEntropy("partition")
    folder.mkdir()
    credentials = ensure_credentials(folder, entropy)
    network = Network()
    try:
        peers = tuple((host, 6222) for host in HOSTS.values())
        for name, host in HOSTS.items():
            own = folder / name
            (own / "ports").mkdir(parents=True)
            config = own / "server.conf"
            config.write_text(
                server_config(own, credentials, name=name, host=host, port=4222, member=Member(6222, peers))
            )
            network.start(name, config)
        servers = tuple(f"nats://{host}:4222" for host in HOSTS.values())
        access = NatsAccess(
            servers,
            credentials.user,
            credentials.password,
            credentials.system_user,
            credentials.system_password,
        )
        async with NatsJournal.open(await formed(access), entropy=entropy, replicas=3, patience_s=25) as journal:
            found = await partitions(network, journal)
        sys.stdout.write(json.dumps(found) + "\n")
    finally:
        network.close()


async def formed(access: NatsAccess) -> NatsAccess:
    """The access, once the servers have chosen a leader."""
    for _ in range(40):
        try:
            async with NatsJournal.open(access, entropy=SeededEntropy("look"), name="look", replicas=3, patience_s=5):
                return access
        except JournalUnavailableError:
            await asyncio.sleep(0.5)
    raise RuntimeError("the servers did not form a cluster")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
