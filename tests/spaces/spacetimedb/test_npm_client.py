"""The vendor's own npm client, over the bindings that this server writes: v2 and v3, plain and gzip."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from life.spaces.commands import BanMember, SendMessage
from life.spaces.identity import Caller, identity_of
from life.testing.spaces import OPERATOR
from tests.spaces.spacetimedb.kit import Hub, hub

PEERS = Path(__file__).parents[2] / "peers"
pytestmark = pytest.mark.part("npm-peers", "node")


class Client:
    """The script, running."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, home: Hub, name: str, version: str, compression: str, scenario: str) -> Client:
        """Start it, as somebody."""
        process = await asyncio.create_subprocess_exec(
            "node",
            PEERS / "spacetimedb_client.mjs",
            home.address,
            home.tokens.token(name, kind="person"),
            version,
            compression,
            scenario,
            cwd=PEERS,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return cls(process)

    async def ready(self) -> None:
        """Wait until it has done its part."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 30)
        if line != b"ready\n":
            raise AssertionError((line + await self.errors()).decode())

    async def errors(self) -> bytes:
        """What it complained about."""
        assert self._process.stderr is not None
        return await self._process.stderr.read()

    async def end(self) -> Any:
        """What it saw."""
        out, error = await asyncio.wait_for(self._process.communicate(), 30)
        assert self._process.returncode == 0, error.decode()
        return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize(("version", "compression"), [("v2", "none"), ("v2", "gzip"), ("v3", "none"), ("v3", "gzip")])
async def test_the_npm_client_talks_with_others(tmp_path: Path, version: str, compression: str) -> None:
    """Swap of the token, identity, subscriptions with rows, own calls as reducer events, others' as transactions, updates as updates,
    refusals as rejected promises with our words, queries beyond the subset politely refused, twenty calls at once."""
    async with hub(tmp_path) as home:
        bob = await home.login("bob")
        await home.engine.submit(SendMessage(channel_id=1, content="x" * 3000), bob.caller)
        client = await Client.start(home, "alice", version, compression, "talk")
        await client.ready()
        await home.engine.submit(SendMessage(channel_id=1, content="from Python"), bob.caller)
        seen = await client.end()
    alice = identity_of("did:test:alice")
    assert seen["identity"] == alice
    assert seen["subscribed"] == "applied"
    assert ["agent-logs", "AgentLog"] in seen["channels"]
    assert ["general", "Text"] in seen["channels"]
    assert seen["before"] == ["x" * 3000]
    assert seen["row"]["content"] == "hello from JavaScript"
    assert seen["row"]["channelId"] == 1
    assert ["insert", "Reducer", "hello from JavaScript", alice] in seen["events"]
    assert ["update", "Reducer", "hello from JavaScript", "edited"] in seen["events"]
    assert ["insert", "Transaction", "from Python", bob.caller.identity] in seen["events"]
    assert ["delete", "Reducer", "burst 3"] in seen["events"]
    assert seen["count"] == 19
    bursts = [event[2] for event in seen["events"] if event[0] == "insert" and event[2].startswith("burst")]
    assert bursts == [f"burst {number}" for number in range(20)]
    assert len(seen["refusals"]) == 3
    assert seen["refusals"][0].startswith(("invalid_argument", "too_long"))
    assert seen["refusals"][1].startswith("forbidden")
    assert all("SELECT * FROM table" in error for error in seen["badQueries"])
    assert seen["typed"] == "applied"


async def test_a_banned_client_loses_its_rows_and_a_kicked_one_its_connection(tmp_path: Path) -> None:
    """What it may no longer see is deleted from its cache at once; thrown out, it is disconnected."""
    async with hub(tmp_path) as home:
        bob = await home.login("bob")
        await home.engine.submit(SendMessage(channel_id=1, content="secret"), bob.caller)
        client = await Client.start(home, "mallory", "v3", "none", "watch")
        await client.ready()
        owner = Caller(identity=identity_of(OPERATOR), did=OPERATOR, kind="person")
        mallory = identity_of("did:test:mallory")
        await home.engine.submit(BanMember(server_id=1, identity=mallory), owner)
        await home.engine.submit(SendMessage(channel_id=1, content="after the ban"), bob.caller)
        await asyncio.sleep(0.2)
        assert await home.engine.kick(mallory) == 1
        seen = await client.end()
    assert seen["disconnected"] is True
    assert seen["before"] == ["secret"]
    assert ["delete", "Transaction", "secret"] in seen["events"]
    assert seen["left"] == []
    assert not any("after the ban" in event for event in seen["events"])
