"""Tasks are told in an agent log of Spaces: signed, once each, and never what was said."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from life.host.clock import SystemClock
from life.spaces.a2a.channel import AgentLogChannel
from life.spaces.model import Channel, ChannelType, Message
from life.spaces.sessions import Login
from life.spaces.signatures import is_genuine
from tests.spaces.a2a.kit import custody, house, rpc, said
from tests.spaces.spacetimedb.kit import hub


async def test_a_task_is_told_where_people_watch(tmp_path: Path) -> None:
    """Working, waiting, completed: each a genuine AgentEvent of the agent's identity in the log; the words of the task are not in it. A log
    that refuses holds nothing up."""
    (tmp_path / "hub").mkdir()
    async with hub(tmp_path / "hub") as home:
        keys = custody()
        did = keys.capabilities().did
        assert did is not None
        session = await home.engine.adopt(Login(did=did, key=did))
        logs = next(
            channel
            for channel in home.engine.state.table(Channel).values()
            if channel.channel_type is ChannelType.AGENT_LOG
        )
        told = AgentLogChannel(home.engine, session.caller, logs.id, keys, SystemClock(), agent_id="agent-1")
        async with house(tmp_path / "one", channel=told) as one:
            asked = (await rpc(one, "SendMessage", said("sign it")))["result"]["task"]
            await rpc(one, "SendMessage", said("yes", "m-2", taskId=asked["id"]), x_approve="1")
        for _ in range(100):
            written = [row for row in home.engine.state.table(Message).values() if row.channel_id == logs.id]
            if len(written) == 3:
                break
            await asyncio.sleep(0.02)
        bodies = [json.loads(row.content) for row in written]
        lines = [body["data"]["line"] for body in bodies]
        assert lines == ["working", "waits for a decision about sign", "completed"]
        assert all(row.sender == session.caller.identity and is_genuine(home.engine.state, row) for row in written)
        assert {body["data"]["task_id"] for body in bodies} == {asked["id"]}
        assert "I ask first" not in str(bodies)
        refusing = AgentLogChannel(home.engine, session.caller, 10_000, keys, SystemClock(), agent_id="agent-1")
        async with house(tmp_path / "two", channel=refusing) as two:
            done = await rpc(two, "SendMessage", said("hello"))
            assert done["result"]["task"]["status"]["state"] == "TASK_STATE_COMPLETED"
