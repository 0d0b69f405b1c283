"""Hubs on three servers, and everything that can be killed is: uniqueness, order and acknowledged durability hold."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from life.lago.nats_server import NatsCluster, NatsServer
from life.spaces.commands import SendMessage, SetProfile
from life.spaces.engine.nats.access import NatsAccess
from life.spaces.engine.nats.engine import NatsEngine
from life.spaces.errors import AlreadyExistsError, SpacesUnavailableError
from life.spaces.events import Entry
from life.spaces.model import Message
from life.spaces.queries import TableQuery
from life.testing.spaces import GENERAL, ScriptedTokens, contents, watch
from tests.harness.nats_cluster import access_of, leader_of, open_hub, running_cluster
from tests.spaces.nats.load import Load, check, people

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    # nats-py leaves the streams of attempts to reconnect that failed to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning"),
]

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[NatsCluster]:
    """Three servers for one test."""
    async with running_cluster(tmp_path / "cluster") as running:
        yield running


@asynccontextmanager
async def two_hubs(
    cluster: NatsCluster, folder: Path, tokens: ScriptedTokens, *, patience_s: float = 20
) -> AsyncIterator[tuple[NatsEngine, NatsEngine]]:
    """Two hubs with a file each."""
    access = access_of(cluster.access)
    async with AsyncExitStack() as stack:
        left, right = [
            await stack.enter_async_context(
                open_hub(access, folder / f"{side}.db", tokens=tokens, patience_s=patience_s)
            )
            for side in ("left", "right")
        ]
        yield left, right


async def test_the_leader_is_killed_under_load(cluster: NatsCluster, tmp_path: Path) -> None:
    """Kill -9 of the server that leads the log, twice, while two hubs write: nobody is refused, nothing acknowledged is lost or there
    twice, and a subscriber sees every message once, in the log's order."""
    tokens = ScriptedTokens()
    async with two_hubs(cluster, tmp_path, tokens) as (left, right):
        assert left.durability.level == "replicated"
        callers = await people(left, tokens, "p", 12)
        await right.follower.sync()
        seen: list[tuple[int, str]] = []
        listener = await watch(right, f"channel:{GENERAL}", callers[0])

        async def listen() -> None:
            async for update in listener:
                seen.extend((update.position, text) for text in contents(update))

        listening = asyncio.create_task(listen())
        async with Load(left, callers[:6], "a") as first, Load(right, callers[6:], "b") as second:
            for _ in range(2):
                await first.more(300)
                victim = await leader_of(left, cluster)
                await victim.kill()
                await asyncio.gather(first.more(300), second.more(300))
                await victim.start()
                await cluster.ready(3)
            await asyncio.gather(first.stop(), second.stop())
        found = await check(left, first.acknowledged | second.acknowledged, set())
        assert first.unavailable == second.unavailable == 0
        await right.follower.sync()
        assert right.state.digest() == left.state.digest()
        async with asyncio.timeout(20):
            while len(seen) < len(found):
                await asyncio.sleep(0.02)
        assert seen == sorted((position, text) for text, position in found.items())
        listening.cancel()


async def spawn_hub(access: NatsAccess, path: Path, run: str) -> asyncio.subprocess.Process:
    """A hub process under load."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.spaces.nats.load", cwd=ROOT, stdin=PIPE, stdout=PIPE, limit=2**24
    )
    assert process.stdin is not None
    settings = {"servers": ",".join(access.servers), "path": str(path), "run": run, "replicas": "3"}
    users = {"user": access.user, "password": access.password}
    users |= {"system_user": access.system_user, "system_password": access.system_password}
    process.stdin.write(json.dumps(settings | users).encode() + b"\n")
    await process.stdin.drain()
    return process


async def acknowledged_by(process: asyncio.subprocess.Process, count: int) -> dict[str, int]:
    """Read so many acknowledgements, kill -9, and read what it had still said."""
    assert process.stdout is not None
    told: dict[str, int] = {}
    async with asyncio.timeout(90):
        assert await process.stdout.readline() == b"ready\n"
        while len(told) < count:
            text, position = json.loads(await process.stdout.readline())
            told[text] = position
        process.kill()
        for line in (await process.stdout.read()).split(b"\n"):
            if line.endswith(b"]"):
                text, position = json.loads(line)
                told[text] = position
    await process.wait()
    return told


async def test_a_hub_is_killed_under_load(cluster: NatsCluster, tmp_path: Path) -> None:
    """Kill -9 of a hub, twice, while another writes: everything it had acknowledged is in the log, it restarts from its file, and the other
    one is never refused."""
    tokens = ScriptedTokens()
    access = access_of(cluster.access)
    async with open_hub(access, tmp_path / "other.db", tokens=tokens, patience_s=20) as other:
        callers = await people(other, tokens, "p")
        told: dict[str, int] = {}
        async with Load(other, callers, "other") as load:
            for run in ("first", "second"):
                process = await spawn_hub(access, tmp_path / "victim.db", run)
                told |= await acknowledged_by(process, 400)
                await load.more(100)
            await load.stop()
        assert load.unavailable == 0 and len(told) >= 800
        found = await check(other, load.acknowledged | told, unfinished(other, told))
        assert len(found) >= len(load.acknowledged) + len(told)
    async with open_hub(access, tmp_path / "victim.db", tokens=tokens) as again:
        await check(again, load.acknowledged | told, unfinished(again, told))


def unfinished(engine: NatsEngine, told: dict[str, int]) -> set[str]:
    """Messages of the killed hubs that nobody was told about: they may be in the log, or not."""
    texts = {row.content for row in engine.state.table(Message).values()}
    return {text for text in texts if text.partition("-")[0] in ("first", "second")} - told.keys()


async def test_without_a_majority_nothing_is_acknowledged(cluster: NatsCluster, tmp_path: Path) -> None:
    """Two of three servers killed under load: commands, refusals and reads end as `unavailable`, and nothing is acknowledged. When they
    are back, everything is there as it was told, and the refused ones are carried out once when repeated."""
    tokens = ScriptedTokens()
    async with two_hubs(cluster, tmp_path, tokens, patience_s=3) as (left, right):
        callers = await people(left, tokens, "p", 12)
        await right.follower.sync()
        async with Load(left, callers[:6], "a", repeat=False) as load:
            await load.more(300)
            leader = await leader_of(left, cluster)
            killed = [node for node in cluster.nodes if node is not leader]
            for node in killed:
                await node.kill()
            await asyncio.sleep(0.5)  # acknowledgements that had already arrived are taken in
            told = len(load.acknowledged)
            async with asyncio.timeout(40):
                while not load.given_up:
                    await asyncio.sleep(0.05)
            await load.stop()
        assert len(load.acknowledged) == told
        async with Load(right, callers[6:], "late", repeat=False) as late:
            async with asyncio.timeout(40):
                while len(late.given_up) < 6:
                    await asyncio.sleep(0.05)
            await late.stop()
        assert not late.acknowledged
        with pytest.raises(SpacesUnavailableError):
            await left.submit(SetProfile(username="!"), callers[0])
        async with asyncio.timeout(30):
            while (await left.health()).ready:
                await asyncio.sleep(0.1)
        with pytest.raises(SpacesUnavailableError):
            await left.subscribe([TableQuery(table="server")], callers[0])
        for node in killed:
            await node.start()
        await cluster.ready(3)
        await patiently(left)
        refused = load.given_up | late.given_up
        found = await check(left, load.acknowledged, refused)
        again: dict[str, int] = {}
        for text, caller in refused.items():
            result = await left.submit(SendMessage(channel_id=GENERAL, content=text, client_id=text), caller)
            assert result.duplicate or text not in found  # a block that nobody answered may be stored late
            again[text] = result.position
        found = await check(left, load.acknowledged | again, ())
        assert found.keys() == load.acknowledged.keys() | again.keys()
        await right.follower.sync()
        assert right.state.digest() == left.state.digest()


async def patiently(engine: NatsEngine) -> None:
    """Wait until a hub is ready again."""
    async with asyncio.timeout(40):
        while not (await engine.health()).ready:
            await asyncio.sleep(0.05)


async def test_a_restart_of_everything(tmp_path: Path) -> None:
    """All servers killed -9 at once under load, hubs closed; everything started again from its files: what was acknowledged is there, once."""
    tokens = ScriptedTokens()
    async with running_cluster(tmp_path / "cluster") as cluster:
        async with two_hubs(cluster, tmp_path, tokens, patience_s=1) as (left, right):
            callers = await people(left, tokens, "p", 12)
            await right.follower.sync()
            async with (
                Load(left, callers[:6], "a", repeat=False) as first,
                Load(right, callers[6:], "b", repeat=False) as second,
            ):
                await asyncio.gather(first.more(300), second.more(300))
                await asyncio.gather(*(node.kill() for node in cluster.nodes))
                await asyncio.gather(first.stop(), second.stop())
        for node in cluster.nodes:
            await node.start()
        await cluster.ready(3)
        told = first.acknowledged | second.acknowledged
        async with two_hubs(cluster, tmp_path, tokens) as (left, right):
            await check(left, told, first.given_up | second.given_up)
            assert right.state.digest() == left.state.digest()
            await left.submit(SetProfile(username="unique"), callers[0])
            with pytest.raises(AlreadyExistsError):
                await right.submit(SetProfile(username="unique"), callers[1])


async def test_a_server_that_lost_its_copy(cluster: NatsCluster, tmp_path: Path) -> None:
    """A follower is killed and its data are wiped; it gets the log again from the others, and hubs notice nothing."""
    tokens = ScriptedTokens()
    async with two_hubs(cluster, tmp_path, tokens) as (left, right):
        callers = await people(left, tokens, "p", 6)
        await right.follower.sync()
        async with Load(left, callers, "a") as load:
            await load.more(200)
            leader = await leader_of(left, cluster)
            victim: NatsServer = next(node for node in cluster.nodes if node is not leader)
            await victim.kill()
            (data,) = (tmp_path / "cluster").glob(f"*/{victim.name}/data")
            shutil.rmtree(data)
            await victim.start()
            await load.more(200)
            await cluster.ready(3)
            await load.stop()
        await check(left, load.acknowledged, set())
        entries: list[Entry] = await right.entries(0, limit=10)
        assert entries


@pytest.mark.part("network-namespaces")
def test_a_partition_of_the_network(tmp_path: Path) -> None:
    """In network namespaces: the leader's link goes down under load, then a follower's, then everybody's, with two hubs: writing goes on
    where a majority is, nothing is acknowledged where there is none, and in the end all is there as it was told, once, in one order."""
    command = ["unshare", "--user", "--map-root-user", "--net", "--mount", sys.executable]
    command += ["-m", "tests.spaces.nats.partition", str(tmp_path / "partition")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=220, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["acknowledged"] >= 1000
    assert found["unavailable"] > 0
    assert found["confined"] > 100
    assert {name: found[name] for name in ("while_cut", "confined_while_cut", "diverged")} == {
        "while_cut": 0,
        "confined_while_cut": 0,
        "diverged": 0,
    }
