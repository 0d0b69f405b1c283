"""Tasks are told in an agent log of Spaces: signed, once each, and never what was said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from life.aios.events.codec import decode_kind
from life.aios.ports.journal import EventQuery
from life.host.clock import SystemClock
from life.lago.journal.memory import MemoryJournal
from life.spaces.a2a.channel import AgentLogChannel
from life.spaces.a2a.driver import conversation_of
from life.spaces.a2a.events import TASKS
from life.spaces.a2a.ports import Told
from life.spaces.errors import SpacesNotFoundError, SpacesUnavailableError
from life.spaces.model import Message
from life.spaces.seat import LocalSeat
from life.spaces.sessions import Login
from life.spaces.signatures import is_genuine
from life.testing.clock import SeededEntropy
from life.testing.spaces import ScriptedTokens
from tests.spaces.a2a.kit import custody, house, rpc, said
from tests.spaces.spacetimedb.kit import Hub, hub

LOGS = 2
"""The Hub's agent log."""


class KeyTokens(ScriptedTokens):
    """Takes any did:key for its holder's."""

    async def check(self, token: str) -> Login:
        """See TokenCheck."""
        return Login(did=token, key=token) if token.startswith("did:key:") else await super().check(token)


@asynccontextmanager
async def seated(home: Hub) -> AsyncIterator[LocalSeat]:
    """The agent's seat."""
    keys = custody()
    did = keys.capabilities().did
    assert did is not None

    async def token() -> str:
        return did

    async with LocalSeat.open(home.engine, token, keys, clock=SystemClock(), entropy=SeededEntropy("seat")) as seat:
        yield seat


def bodies(home: Hub) -> list[dict[str, Any]]:
    """What stands in the agent log."""
    rows = [row for row in home.engine.state.table(Message).values() if row.channel_id == LOGS]
    assert all(is_genuine(home.engine.state, row) for row in rows)
    return [json.loads(row.content) for row in rows]


async def told(home: Hub, count: int) -> list[dict[str, Any]]:
    """The same, once there are so many."""
    async with asyncio.timeout(10):
        while len(bodies(home)) < count:
            await asyncio.sleep(0.01)
    return bodies(home)


async def test_a_task_is_told_where_people_watch(tmp_path: Path) -> None:
    """Submitted, working, waiting, working, completed: each a genuine AgentEvent of the agent's identity in the log, with the session
    and the run that stand in the journal; the words of the task are not in it. A log that refuses holds nothing up."""
    (tmp_path / "hub").mkdir()
    async with hub(tmp_path / "hub", tokens=KeyTokens()) as home, seated(home) as seat:

        async def mine() -> LocalSeat:
            return seat

        channel = AgentLogChannel(mine, "#agent-logs", agent_id="agent-1")
        async with house(tmp_path / "one", channel=channel) as one:
            asked = (await rpc(one, "SendMessage", said("sign it")))["result"]["task"]
            await rpc(one, "SendMessage", said("yes", "m-2", taskId=asked["id"]), x_approve="1")
            seen = await told(home, 5)
            task = one.agent.service._ledger.tasks.get(asked["id"])
            assert task is not None
            session = conversation_of(task)
            runs = [
                record.event_id
                for record in await one.journal.read(EventQuery(session), limit=1000)
                if type(decode_kind(record.payload)).__name__ == "RunStarted"
            ]
        lines = [body["data"]["line"] for body in seen]
        assert lines == ["submitted", "working", "waits for a decision about sign", "working", "completed"]
        assert [body["data"]["state"] for body in seen][2] == "input_required"
        assert {body["data"]["task_id"] for body in seen} == {asked["id"]}
        assert {body["session_id"] for body in seen} == {session}
        assert {body.get("run_id", "") for body in seen} == {"", *runs}
        assert "I ask first" not in str(seen)
        refusing = AgentLogChannel(mine, "#nowhere", agent_id="agent-1")
        async with house(tmp_path / "two", channel=refusing) as two:
            done = await rpc(two, "SendMessage", said("hello"))
            assert done["result"]["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
        assert len(bodies(home)) == 5


class Flaky:
    """A channel that does not answer at first, and forgets that it was told."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.told: list[Told] = []

    async def tell(self, told: Told) -> None:
        """See TaskChannel."""
        if self.failures:
            self.failures -= 1
            raise SpacesUnavailableError("Nobody answers.")
        self.told.append(told)


async def test_a_channel_that_does_not_answer_is_told_later_in_order(tmp_path: Path) -> None:
    """Two failures delay, and lose nothing; what is refused is passed over."""
    channel = Flaky(2)
    async with house(tmp_path, channel=channel) as home:
        await rpc(home, "SendMessage", said("hello"))
        async with asyncio.timeout(10):
            while len(channel.told) < 3:
                await asyncio.sleep(0.01)
    assert [told.state for told in channel.told] == ["submitted", "working", "completed"]


async def test_what_was_not_told_is_told_after_the_next_start(tmp_path: Path) -> None:
    """The process ends before the channel answers: the next one tells how the task stands; and telling twice is once."""
    async with MemoryJournal() as journal:
        async with house(tmp_path, journal=journal, channel=Flaky(1000)) as home:
            asked = (await rpc(home, "SendMessage", said("hello")))["result"]["task"]
        assert asked["status"]["state"] == "TASK_STATE_COMPLETED"
        assert (await journal.head(TASKS)).sequence > 0
        (tmp_path / "hub").mkdir()
        async with hub(tmp_path / "hub", tokens=KeyTokens()) as hub_home, seated(hub_home) as seat:

            async def mine() -> LocalSeat:
                return seat

            for _ in range(2):
                channel = AgentLogChannel(mine, "agent-logs", agent_id="agent-1")
                async with house(tmp_path, journal=journal, channel=channel):
                    assert [body["data"]["line"] for body in await told(hub_home, 1)] == ["completed"]
            assert len(bodies(hub_home)) == 1


async def test_a_channel_that_is_none_is_refused(tmp_path: Path) -> None:
    """A name that no agent log of the Hub has, and a text channel: not found, said once it is told."""
    async with hub(tmp_path, tokens=KeyTokens()) as home, seated(home) as seat:

        async def mine() -> LocalSeat:
            return seat

        told = Told("o", "c", "t", 1, "working", "working")
        for name in ("#nowhere", "general"):
            channel = AgentLogChannel(mine, name, agent_id="agent-1")
            try:
                await channel.tell(told)
            except SpacesNotFoundError as error:
                assert name.removeprefix("#") in error.message
            else:
                raise AssertionError(name)
