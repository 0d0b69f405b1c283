"""Spaces on NATS JetStream: durable commands per second on three servers (and one), against the servers themselves.

`one hub` submits messages from 128 senders at once, each waiting for its own answer: every answer is on the disks of a majority
(`sync_interval: always`, three copies). `three hubs` has the same senders spread over three hubs, which take turns at the end of one log, in one
process. Compared in the same run with blocks of the same bytes, published by hand to a stream with the same settings:

    raw one by one   the next is published when the last one is acknowledged: what a log with one block under way could do without groups
    raw group        the same, each message as long as a block of 128 commands: what group commit could give at best, per command

Three servers on one machine share its cores and its disk, so these figures are a floor. Goal (issue 8): 1,000 commands/s on three servers.
Also printed: how long a command takes that nobody else hurries along, and a refusal.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from measure import Claim, arguments, interleaved, report, runner

from life.host.clock import SystemClock, SystemEntropy
from life.lago.nats_server import NatsServer, run_cluster
from life.spaces.commands import LeaveServer, SendMessage
from life.spaces.engine.embedded import Owner
from life.spaces.engine.nats.access import NatsAccess
from life.spaces.engine.nats.engine import NatsEngine
from life.spaces.engine.nats.link import Link, connect
from life.spaces.engine.nats.opening import open_hub
from life.spaces.engine.nats.settings import NatsSettings
from life.spaces.errors import SpacesConflictError
from life.spaces.identity import Caller, identity_of
from life.testing.clock import SeededEntropy
from life.testing.spaces import OPERATOR, ScriptedTokens, enter

SENDERS = 128
TEXT = "x" * 256
GOAL = 1_000.0


class Bench:
    """Servers, three hubs on them, and a raw stream beside the log."""

    def __init__(self, folder: Path, servers: int) -> None:
        self.runner = runner()
        self.stack = AsyncExitStack()
        self.servers = servers
        self.tokens = ScriptedTokens()
        self.raw_sequence = 0
        self.runner.run(self._start(folder))

    async def _start(self, folder: Path) -> None:
        entropy = SeededEntropy(f"bench {self.servers}")
        if self.servers == 1:
            running = (await self.stack.enter_async_context(NatsServer.run(folder, entropy=entropy))).access
        else:
            running = (await self.stack.enter_async_context(run_cluster(folder, entropy=entropy))).access
        access = NatsAccess(*running)
        self.servers_access = running
        self.hubs = [
            await self.stack.enter_async_context(
                open_hub(
                    access,
                    folder / f"hub{number}.db",
                    clock=SystemClock(),
                    entropy=SystemEntropy(),
                    tokens=self.tokens,
                    owner=Owner(OPERATOR),
                    settings=NatsSettings(replicas=self.servers),
                    limits=None,
                )
            )
            for number in range(3)
        ]
        self.callers = [await enter(self.hubs[0], self.tokens, f"sender{number}") for number in range(SENDERS)]
        self.raw = Link(await self.stack.enter_async_context(connect(access, name="bench", patience_s=10)))
        await self.raw.listen()
        config = {"name": "raw", "subjects": ["raw.log"], "storage": "file", "num_replicas": self.servers}
        await self.raw.ask("$JS.API.STREAM.CREATE.raw", config, dict)

    def close(self) -> None:
        """Stop everything."""
        self.runner.run(self.stack.aclose())
        self.runner.close()

    def ours(self, count: int, hubs: int) -> float:
        """Durable commands per second."""
        return self.runner.run(self._ours(count, hubs))

    async def _ours(self, count: int, hubs: int) -> float:
        async def send(hub: NatsEngine, caller: Caller) -> None:
            for _ in range(count // SENDERS):
                await hub.submit(SendMessage(channel_id=1, content=TEXT), caller)

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number, caller in enumerate(self.callers):
                group.create_task(send(self.hubs[number % hubs], caller))
        return count // SENDERS * SENDERS / (time.perf_counter() - began)

    def raw_blocks(self, count: int, commands: int) -> float:
        """Commands per second, if each message carried so many."""
        return self.runner.run(self._raw_blocks(count, commands))

    async def _raw_blocks(self, count: int, commands: int) -> float:
        body = b"x" * (700 * commands)
        began = time.perf_counter()
        for _ in range(count):
            await self.raw.append("raw", "raw.log", body, {}, expected=self.raw_sequence)
            self.raw_sequence += 1
        return count * commands / (time.perf_counter() - began)

    def openings(self, folder: Path) -> tuple[int, float, float]:
        """Entries in the log, and the seconds that a hub takes to open that has no file, and one that has."""
        return self.runner.run(self._openings(folder / "late.db"))

    async def _openings(self, path: Path) -> tuple[int, float, float]:
        access = NatsAccess(*self.servers_access)
        times: list[float] = []
        for _ in range(2):
            began = time.perf_counter()
            async with open_hub(
                access,
                path,
                clock=SystemClock(),
                entropy=SystemEntropy(),
                tokens=self.tokens,
                owner=Owner(OPERATOR),
                settings=NatsSettings(replicas=self.servers),
            ) as engine:
                times.append(time.perf_counter() - began)
                position = engine.state.position
        return position, times[0], times[1]

    def delays(self, count: int) -> tuple[list[float], list[float]]:
        """Milliseconds of single commands and of refusals."""
        return self.runner.run(self._delays(count))

    async def _delays(self, count: int) -> tuple[list[float], list[float]]:
        hub, caller = self.hubs[0], self.callers[0]
        owner = Caller(identity=identity_of(OPERATOR), did=OPERATOR, kind="person")
        commands, refusals = [], []
        await asyncio.sleep(2.5)  # hubs that met at the end of the log wait for each other that long
        for _ in range(count):
            began = time.perf_counter()
            await hub.submit(SendMessage(channel_id=1, content=TEXT), caller)
            commands.append((time.perf_counter() - began) * 1e3)
            began = time.perf_counter()
            try:
                await hub.submit(LeaveServer(server_id=1), owner)
            except SpacesConflictError:
                refusals.append((time.perf_counter() - began) * 1e3)
        return sorted(commands), sorted(refusals)


def measure(folder: Path, servers: int, *, quick: bool, rounds: int) -> int:
    """All cases on one server or three."""
    bench = Bench(folder, servers)
    try:
        count = SENDERS * (10 if quick else 40)
        cases = {
            "one hub": lambda: bench.ours(count, 1),
            "three hubs": lambda: bench.ours(count, 3),
            "raw one by one": lambda: bench.raw_blocks(200, 1),
            "raw group": lambda: bench.raw_blocks(20 if quick else 60, SENDERS),
            "goal": lambda: GOAL,
        }
        print(f"{servers} server{'s' * (servers > 1)}")
        claims = [
            Claim(f"S{servers}-a", "one hub", "raw one by one"),
            Claim(f"S{servers}-b", "one hub", "raw group"),
            Claim(f"S{servers}-c", "three hubs", "one hub"),
            Claim(f"S{servers}-d", "one hub", "goal", at_least=1.0),
            Claim(f"S{servers}-e", "three hubs", "goal", at_least=1.0),
        ]
        status = report(interleaved(cases, rounds=rounds), "commands/s", claims)
        commands, refusals = bench.delays(100)
        for name, times in (("command", commands), ("refusal", refusals)):
            print(
                f"  one {name} alone: p50 {statistics.median(times):.2f} ms, p99 {times[int(len(times) * 0.99)]:.2f} ms"
            )
        entries, unread, read = bench.openings(folder)
        print(f"  a hub opens with {entries:,} entries in {unread:.2f} s from the log, in {read:.2f} s from its file")
        return status
    finally:
        bench.close()


def main() -> int:
    """Run the cases on three servers, then on one."""
    options = arguments(__doc__ or "")
    status = 0
    with tempfile.TemporaryDirectory() as name:
        for servers in (3, 1):
            status |= measure(Path(name) / str(servers), servers, quick=options.quick, rounds=options.rounds)
    return status


if __name__ == "__main__":
    sys.exit(main())
