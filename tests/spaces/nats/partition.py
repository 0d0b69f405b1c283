"""Three NATS servers in network namespaces of their own and two hubs, for the test that cuts them off from each other.

python -m tests.spaces.nats.partition <folder>

must be run as the root of a new user, network and mount namespace (`unshare --user --map-root-user --net --mount`). One hub is on the bridge
that joins the servers and knows them all; the other is in the namespace of the first server and knows it alone.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path

from life.lago.journal.nats.access import NatsAccess as ServerAccess
from life.lago.nats_server_files import Member, ensure_credentials, server_config
from life.spaces.engine.nats.access import NatsAccess
from life.spaces.engine.nats.engine import NatsEngine
from life.spaces.engine.nats.link import RefusedError, UnreachableError
from life.spaces.engine.nats.stream import stream_info
from life.spaces.model import Message
from life.testing.clock import SeededEntropy
from life.testing.spaces import ScriptedTokens
from tests.harness.nats_cluster import open_hub
from tests.lago.nats_partition import HOSTS, Network, formed
from tests.spaces.nats.load import Load, check, people


async def leader_of(engine: NatsEngine) -> str:
    """The name of the server that leads the log."""
    info = await stream_info(engine.link, engine.names.stream)
    assert info.cluster is not None
    return info.cluster.leader


class Confined:
    """A hub process in the namespace of one server, which it alone knows: when that link is cut, both are alone."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.acknowledged: dict[str, int] = {}
        self._process = process
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, network: Network, name: str, access: NatsAccess, folder: Path) -> Confined:
        """Start it, under load."""
        command = ["nsenter", "--net", "--target", str(network.holder_of(name)), sys.executable]
        process = await asyncio.create_subprocess_exec(
            *command, "-m", "tests.spaces.nats.load", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdin is not None
        users = {"user": access.user, "password": access.password}
        users |= {"system_user": access.system_user, "system_password": access.system_password}
        where = {"servers": f"nats://{HOSTS[name]}:4222", "path": str(folder / "confined.db")}
        settings = where | {"run": "confined", "replicas": "3"} | users
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        await process.stdin.drain()
        return cls(process)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if line.startswith(b"["):
                text, position = json.loads(line)
                self.acknowledged[text] = position

    async def more(self, count: int) -> None:
        """Wait until so many more were acknowledged."""
        goal = len(self.acknowledged) + count
        async with asyncio.timeout(60):
            while len(self.acknowledged) < goal:
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """End it at once, and read what it had said."""
        if self._process.returncode is None:
            self._process.kill()
        await self._reading
        await self._process.wait()


async def partitions(
    network: Network, hub: NatsEngine, confined: Confined, tokens: ScriptedTokens
) -> dict[str, int | bool]:
    """Cut, heal, and compare what was told with what is stored."""
    load = Load(hub, await people(hub, tokens, "p", 6), "a")
    await load.more(200)
    await confined.more(50)
    for follower in (False, True):
        leader = await leader_of(hub)
        victim = next(name for name in HOSTS if (name != leader) == follower)
        network.cut(victim)
        await load.more(200)
        network.heal(victim)
        await load.more(100)
        await confined.more(20)
    confined_while_cut = 0
    for lead in (True, False):  # the confined hub's server leads the log when it is cut off, and does not
        await prefer(hub, "n1" if lead else "n2")
        await confined.more(20)
        network.cut("n1")
        await asyncio.sleep(0.5)  # acknowledgements that had already arrived are taken in
        held = len(confined.acknowledged)
        await load.more(200)
        await asyncio.sleep(3)
        confined_while_cut += len(confined.acknowledged) - held
        network.heal("n1")
        await confined.more(50)
    for name in HOSTS:
        network.cut(name)
    await asyncio.sleep(0.5)
    at_cut, refused = len(load.acknowledged), load.unavailable
    async with asyncio.timeout(60):
        while load.unavailable == refused:
            await asyncio.sleep(0.05)
    while_cut = len(load.acknowledged) - at_cut
    for name in HOSTS:
        network.heal(name)
    await load.more(100)
    await confined.more(20)
    await load.stop()
    await confined.kill()
    await hub.follower.sync()
    rest = {
        row.content
        for row in hub.state.table(Message).values()
        if row.content.startswith("confined-") and row.content not in confined.acknowledged
    }
    found = await check(hub, load.acknowledged | confined.acknowledged, rest)
    return {
        "acknowledged": len(load.acknowledged),
        "confined": len(confined.acknowledged),
        "stored": len(found),
        "while_cut": while_cut,
        "confined_while_cut": confined_while_cut,
        "unavailable": load.unavailable,
    }


async def prefer(hub: NatsEngine, name: str) -> None:
    """Let this server lead the log."""
    stepdown = f"$JS.API.STREAM.LEADER.STEPDOWN.{hub.names.stream}"
    async with asyncio.timeout(30):
        while await leader_of(hub) != name:
            with suppress(RefusedError, UnreachableError):
                await hub.link.ask(stepdown, {"placement": {"preferred": name}}, dict)
            await asyncio.sleep(0.5)


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
        users = (credentials.user, credentials.password, credentials.system_user, credentials.system_password)
        await formed(ServerAccess(servers, *users))
        tokens = ScriptedTokens()
        access = NatsAccess(servers, *users)
        async with open_hub(access, folder / "hub.db", tokens=tokens, patience_s=8) as hub:
            confined = await Confined.start(network, "n1", access, folder)
            try:
                found = await partitions(network, hub, confined, tokens)
            finally:
                await confined.kill()
            async with open_hub(access, folder / "confined.db", tokens=tokens) as again:
                found["diverged"] = hub.state.digest() != again.state.digest()
        sys.stdout.write(json.dumps(found) + "\n")
    finally:
        network.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
