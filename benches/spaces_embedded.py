"""The embedded Spaces engine: durable reducers per second in groups, and deliveries per second to 50 subscribers over WebSockets.

`reducers` submits messages from 50 senders at once, each waiting for its own answer: every answer is on disk. Compared in the same run with
the plain rows of the same size, by hand, 50 to a transaction with the same flush (`raw group`), and told per second of the process's own
work too. `deliveries` serves 50 subscribed WebSocket
clients in another process: every message of 256 characters reaches and is decoded by each of them. Goals (issue 8): 9,000 reducers/s, 10,000 deliveries/s.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import apsw
import msgspec
import uvicorn
import websockets
from measure import Claim, arguments, interleaved, report, runner

from life.host.clock import SystemClock, SystemEntropy
from life.spaces.commands import SendMessage
from life.spaces.engine.embedded import EmbeddedEngine, Owner
from life.spaces.identity import Caller
from life.spaces.listeners.websocket.door import Door
from life.spaces.listeners.websocket.frames import MAX_FRAME_BYTES
from life.testing.spaces import OPERATOR, ScriptedTokens, enter

SENDERS = 50
SUBSCRIBERS = 50
TEXT = "x" * 256
REDUCERS_GOAL = 9_000.0
DELIVERIES_GOAL = 10_000.0


class Bench:
    """An open engine in a file, with 50 callers, and the loop it lives in."""

    def __init__(self, folder: Path) -> None:
        self.runner = runner()
        self.stack = AsyncExitStack()
        self.tokens = ScriptedTokens()
        self.engine: EmbeddedEngine = self.runner.run(self._open(folder / "spaces.db"))
        self.callers: list[Caller] = self.runner.run(self._enter())
        self.raw = apsw.Connection(str(folder / "raw.db"))
        self.raw.pragma("journal_mode", "wal")
        self.raw.pragma("synchronous", "FULL")
        self.raw.execute("CREATE TABLE entry (position INTEGER PRIMARY KEY, data BLOB, digest BLOB)")

    async def _open(self, path: Path) -> EmbeddedEngine:
        opened = EmbeddedEngine.open(
            path,
            clock=SystemClock(),
            entropy=SystemEntropy(),
            tokens=self.tokens,
            owner=Owner(OPERATOR),
            limits=None,
        )
        return await self.stack.enter_async_context(opened)

    async def _enter(self) -> list[Caller]:
        return [await enter(self.engine, self.tokens, f"sender{number}") for number in range(SENDERS)]

    def close(self) -> None:
        """Close the engine and the loop."""
        self.runner.run(self.stack.aclose())
        self.runner.close()
        self.raw.close()

    def reducers(self, count: int) -> float:
        """Durable messages per second."""

        async def send(caller: Caller) -> None:
            for _ in range(count // SENDERS):
                await self.engine.submit(SendMessage(channel_id=1, content=TEXT), caller)

        async def everybody() -> float:
            began = time.perf_counter()
            await asyncio.gather(*(send(caller) for caller in self.callers))
            return count / (time.perf_counter() - began)

        return self.runner.run(everybody())

    def reducers_per_cpu(self, count: int) -> float:
        """Durable messages per second of this process's own work: what a busy machine does not blur."""
        began = time.process_time()
        self.reducers(count)
        return count / (time.process_time() - began)

    def raw_group(self, count: int) -> float:
        """Rows per second by hand."""
        data, digest = os.urandom(600), os.urandom(32)
        began = time.perf_counter()
        for _ in range(count // SENDERS):
            self.raw.execute("BEGIN IMMEDIATE")
            self.raw.executemany("INSERT INTO entry (data, digest) VALUES (?, ?)", [(data, digest)] * SENDERS)
            self.raw.execute("COMMIT")
        return count / (time.perf_counter() - began)

    def deliveries(self, count: int) -> float:
        """Frames per second that reach 50 WebSocket clients, each of which gets them all."""
        return self.runner.run(self._deliver(count))

    async def _deliver(self, count: int) -> float:
        door = Door(self.engine)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            door,
            log_config=None,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=MAX_FRAME_BYTES,
            ws_per_message_deflate=False,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve([listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        address = f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        reader = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--listen", address, str(count), stdin=PIPE, stdout=PIPE
        )
        assert reader.stdout is not None
        await reader.stdout.readline()  # all are subscribed
        began = time.perf_counter()
        for start in range(0, count, 10):
            some = self.callers[start % SENDERS : start % SENDERS + 10]
            await asyncio.gather(
                *(self.engine.submit(SendMessage(channel_id=1, content=TEXT), caller) for caller in some)
            )
        await reader.stdout.readline()  # all have everything
        rate = count * SUBSCRIBERS / (time.perf_counter() - began)
        await reader.wait()
        await door.aclose()
        server.should_exit = True
        await serving
        listener.close()
        return rate


async def listen(address: str, count: int) -> None:
    """The other process: 50 clients that subscribe and take everything."""
    run = os.urandom(4).hex()
    links = [await _subscribed(address, number, run) for number in range(SUBSCRIBERS)]
    print("subscribed", flush=True)
    await asyncio.gather(*(_read(link, count) for link in links))
    print("done", flush=True)
    for link in links:
        await link.close()


async def _subscribed(address: str, number: int, run: str) -> Any:
    link = await websockets.connect(address, compression=None, proxy=None, max_queue=None, max_size=None)
    await link.send(json.dumps({"op": "login", "token": f"agent|listener{number}||listener{number}#{run}-{number}"}))
    await link.recv()
    where = {"table": "message", "where": {"channel_id": 1}, "latest": 0}
    await link.send(json.dumps({"op": "subscribe", "id": 1, "queries": [where]}))
    await link.recv()
    return link


async def _read(link: Any, count: int) -> None:
    got = 0
    while got < count:
        frames = msgspec.json.decode(await link.recv())
        got += len(frames) if isinstance(frames, list) else 1


def main() -> int:
    """Run it."""
    options = arguments(__doc__ or "")
    count, sent = (5_000, 500) if options.quick else (20_000, 2_000)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        try:
            results = interleaved(
                {
                    "reducers": lambda: bench.reducers(count),
                    "reducers per CPU second": lambda: bench.reducers_per_cpu(count),
                    "raw group": lambda: bench.raw_group(count),
                    "deliveries": lambda: bench.deliveries(sent),
                    "goal: reducers": lambda: REDUCERS_GOAL,
                    "goal: deliveries": lambda: DELIVERIES_GOAL,
                },
                rounds=options.rounds,
            )
        finally:
            bench.close()
    return report(
        results,
        "/s",
        [
            Claim("durable reducers in groups of 50", "reducers", "goal: reducers", at_least=1.0),
            Claim("the same per second of its own work", "reducers per CPU second", "goal: reducers", at_least=1.0),
            Claim("against rows written by hand", "reducers", "raw group"),
            Claim("deliveries to 50 subscribers", "deliveries", "goal: deliveries", at_least=1.0),
        ],
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--listen"]:
        asyncio.run(listen(sys.argv[2], int(sys.argv[3])))
    else:
        sys.exit(main())
