"""Members who write at once through one hub, and remember what they were told.

Whoever is told `unavailable` repeats the same message under the same client id, through whatever hub there is, as clients do.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from life.spaces.commands import SendMessage
from life.spaces.engine.nats.engine import NatsEngine
from life.spaces.errors import SpacesUnavailableError
from life.spaces.identity import Caller
from life.spaces.model import Message, MessageType
from life.testing.spaces import GENERAL, ScriptedTokens, enter, replayed


class Load:
    """Producers on one hub. Use it as a context manager, or call `stop`."""

    def __init__(self, engine: NatsEngine, callers: list[Caller], run: str, *, repeat: bool = True) -> None:
        self.engine = engine
        self.acknowledged: dict[str, int] = {}
        """Positions by the texts that were acknowledged."""
        self.unavailable = 0
        self.given_up: dict[str, Caller] = {}
        """Texts whose outcome was never learned, and who wrote them; only where nobody repeats."""
        self._repeat = repeat
        self._run = run
        self._numbers = itertools.count()
        self._stopping = False
        self._tasks = [asyncio.create_task(self._produce(caller)) for caller in callers]

    async def __aenter__(self) -> Load:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _produce(self, caller: Caller) -> None:
        while not self._stopping:
            text = f"{self._run}-{next(self._numbers)}"
            await self._send(text, caller)

    async def _send(self, text: str, caller: Caller) -> None:
        command = SendMessage(channel_id=GENERAL, content=text, client_id=text)
        while True:
            try:
                result = await self.engine.submit(command, caller)
            except SpacesUnavailableError:
                self.unavailable += 1
                if not self._repeat:
                    self.given_up[text] = caller
                    return
                await asyncio.sleep(0.05)
            else:
                self.acknowledged[text] = result.position
                return

    async def more(self, count: int, *, within_s: float = 60) -> None:
        """Wait until so many more were acknowledged."""
        goal = len(self.acknowledged) + count
        async with asyncio.timeout(within_s):
            while len(self.acknowledged) < goal:
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """Let each producer finish its message."""
        self._stopping = True
        await asyncio.gather(*self._tasks)


async def people(engine: NatsEngine, tokens: ScriptedTokens, prefix: str, count: int = 8) -> list[Caller]:
    """Members of the Hub."""
    return [await enter(engine, tokens, f"{prefix}{number}") for number in range(count)]


async def check(engine: NatsEngine, acknowledged: dict[str, int], unknown: Iterable[str]) -> dict[str, int]:
    """Every acknowledged message is in the log once, where it was said to be; no other but of unknown outcome; the chain holds, and the
    log replays to the state. The places of all messages."""
    await engine.follower.sync()
    assert engine.verify() == engine.state.position
    assert (await replayed(engine)).digest() == engine.state.digest()
    found: dict[str, int] = {}
    after = 0
    while page := await engine.entries(after, limit=500):
        for entry in page:
            after += 1
            assert entry.position == after
            for event in entry.events:
                for row in event.puts:
                    if isinstance(row, Message) and row.message_type is MessageType.TEXT:
                        assert row.content not in found, f"{row.content} twice"
                        found[row.content] = entry.position
    assert {text: found.get(text) for text in acknowledged} == acknowledged
    assert sorted(found.keys() - acknowledged.keys() - set(unknown)) == []
    return found


async def hub_process(settings: dict[str, str]) -> None:
    """A hub in a process of its own, under load: prints `ready`, then a line per acknowledgement, until it is killed."""
    from life.spaces.engine.nats.access import NatsAccess
    from tests.harness.nats_cluster import open_hub

    access = NatsAccess(
        tuple(settings["servers"].split(",")),
        settings["user"],
        settings["password"],
        settings["system_user"],
        settings["system_password"],
    )
    tokens = ScriptedTokens()
    async with open_hub(
        access, Path(settings["path"]), tokens=tokens, replicas=int(settings["replicas"]), seed=settings["run"]
    ) as engine:
        callers = await people(engine, tokens, f"{settings['run']}p", 6)
        sys.stdout.write("ready\n")
        async with Load(engine, callers, settings["run"]) as load:
            told: set[str] = set()
            while True:
                for text in load.acknowledged.keys() - told:
                    told.add(text)
                    sys.stdout.write(json.dumps([text, load.acknowledged[text]]) + "\n")
                sys.stdout.flush()
                await asyncio.sleep(0.005)


if __name__ == "__main__":
    asyncio.run(hub_process(json.loads(sys.stdin.readline())))
