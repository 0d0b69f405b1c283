"""arcand's event stream under load, as a real process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx2
import pytest

from life.host.http.events import KEEP_ALIVE_S
from tests.cli.daemon import Arcand, Event, write_script

RUNS = 120
"""How many runs go on while everybody listens."""


def chatty(folder: Path) -> str:
    """A script that answers every objective of a session at once, in pieces."""
    turn = {"deltas": ["one ", "two ", "three"], "delta_delay_ms": 1}
    return write_script(folder / "chatty.json", [turn] * 1_000)


async def read_some(client: httpx2.AsyncClient, path: str, seen: list[Event], *, at_most: int, head: int) -> None:
    """One connection: resume behind what was seen, read up to `at_most` durable events or the `head`, and hang up."""
    last = {"last-event-id": str(seen[-1]["sequence"])} if seen else {}
    async with client.stream("GET", path, headers=last) as response:
        assert response.status_code == 200
        event_id: int | None = None
        taken = 0
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                event_id = int(line[4:])
            elif line.startswith("data: "):
                event = json.loads(line[6:])
                assert event_id == (event["sequence"] or None), "an ephemeral event carries no id"
                if event_id is not None:
                    seen.append(event)
                    taken += 1
                event_id = None
                if taken == at_most or (seen and seen[-1]["sequence"] == head):
                    return


@pytest.mark.slow
async def test_twenty_reconnecting_clients_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """A backlog of a thousand events and live ones on top; everybody hangs up ever again and holds exactly the journal."""
    with Arcand(tmp_path, "--provider", chatty(tmp_path)) as arcand:
        async with httpx2.AsyncClient(
            base_url=arcand.url,
            headers=arcand.bearer,
            trust_env=False,
            timeout=30,
            limits=httpx2.Limits(max_connections=64),
        ) as client:

            async def talk(times: int) -> None:
                for _ in range(times):
                    answer = await client.post("/sessions/s/runs", json={"objective": "go"})
                    assert answer.json()["reason"] == "completed", answer.text

            async def head() -> int:
                return int((await client.get("/sessions/s")).json()["version"])

            await talk(1)
            while await head() < 1_000:
                await talk(10)
            done = asyncio.Event()

            async def listen(number: int) -> list[Event]:
                seen: list[Event] = []
                while not done.is_set() or seen[-1]["sequence"] != await head():
                    await read_some(
                        client, "/sessions/s/events/stream", seen, at_most=50 + number * 7, head=await head()
                    )
                return seen

            listeners = [asyncio.create_task(listen(number)) for number in range(20)]
            await talk(RUNS)
            done.set()
            async with asyncio.timeout(60):
                all_seen = await asyncio.gather(*listeners)
            journal = (await client.get("/sessions/s/events?limit=10000")).json()["events"]
            assert len(journal) >= 1_000 + RUNS * 4
            assert [event["sequence"] for event in journal] == list(range(1, len(journal) + 1))
            for seen in all_seen:
                assert seen == journal
        assert arcand.process.stderr() == ""


def test_bad_cursors_are_refused_and_far_ones_wait(tmp_path: Path) -> None:
    """A cursor that is no number is a 400; one beyond the end hears the events after it, once there are any."""
    with Arcand(tmp_path) as arcand:
        arcand.request("POST", "/sessions", {"session_id": "s"})
        for value in ("x", "-1", "1.5", "9" * 30, "0x10"):
            answer = arcand.request("GET", "/sessions/s/events/stream", headers={"last-event-id": value})
            assert answer.status_code == 400, value
        with arcand.client as client:
            with client.stream("GET", "/sessions/s/events/stream?cursor=2") as stream:
                lines = stream.iter_lines()
                arcand.request("POST", "/sessions/s/runs", {"objective": "hello"})
                ids = []
                for line in lines:
                    if line.startswith("id: "):
                        ids.append(int(line[4:]))
                    if line.startswith("data: ") and '"RunFinished"' in line:
                        break
                assert ids == list(range(3, ids[-1] + 1))


def test_the_keep_alive_is_what_the_documents_say() -> None:
    """A comment every 15 seconds (arcan.md §9.1)."""
    assert KEEP_ALIVE_S == 15.0
