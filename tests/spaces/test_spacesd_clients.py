"""A real `spacesd` and a real `arcand` with the vendor's npm client, and with clients that mean harm."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import websockets

from life.anima.custody.in_process import InProcessAnima
from life.anima.identity import agent_id_of_did
from life.anima.tokens import issue_agent_token
from life.host.clock import SystemClock, SystemEntropy
from life.host.spaces_client import operator_client
from life.host.spaces_routes import SOCKET_PATH, STATUS_PATH
from life.spaces.commands import SendMessage
from life.spaces.identity import identity_of
from life.spaces.listeners.spacetimedb.messages import V2
from tests.cli.daemon import Arcand
from tests.harness.process import ChildProcess

PEERS = Path(__file__).parents[1] / "peers"
SERVE = "from life.cli.spacesd import spacesd; spacesd()"
pytestmark = pytest.mark.slow


class Daemon:
    """`spacesd` or `arcand`, with agents from anywhere."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.data = folder / "life"
        if kind == "arcand":
            self._arcand: Arcand | None = Arcand(folder, env={"LIFE_SPACES_ADMIT_STRANGERS": "true"})
            self._arcand.start()
            self.process = self._arcand.process
            self.address = self._arcand.url
        else:
            command = [sys.executable, "-c", SERVE, "--data-dir", str(self.data), "--bind", "127.0.0.1:0"]
            self.process = ChildProcess.spawn([*command, "--admit-strangers"], name="spacesd")
            self.address = self.process.wait_for_line(r"spacesd listens on (http://\S+)").group(1)
            self.process.wait_for_line(r"Ctrl-C stops it\.")

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()

    @property
    def ws(self) -> str:
        """Its address for WebSockets."""
        return self.address.replace("http", "ws", 1)

    @property
    def bearer(self) -> dict[str, str]:
        """The operator's."""
        return {"authorization": f"Bearer {(self.data / 'token').read_text().strip()}"}

    def status(self) -> dict[str, int]:
        """As the operator sees it."""
        found: dict[str, int] = httpx2.get(self.address + STATUS_PATH, headers=self.bearer, trust_env=False).json()
        return found

    def memory_kib(self) -> int:
        """What the process holds."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0])

    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


async def token(seed: int = 5) -> tuple[str, str]:
    """A token of an agent that nobody knows, and its identity."""
    clock = SystemClock()
    keys = InProcessAnima.from_seed(bytearray(bytes([seed]) * 32), clock=clock)
    did = keys.capabilities().did
    assert did is not None
    agent_id = agent_id_of_did(did)
    assert agent_id is not None
    shown = await issue_agent_token(keys, agent_id=agent_id, audience="spacesd", clock=clock, entropy=SystemEntropy())
    keys.close()
    return shown, identity_of(did)


# ---- the vendor's client


@pytest.mark.part("npm-peers", "node")
@pytest.mark.parametrize(
    ("kind", "version", "compression"),
    [
        ("spacesd", "v2", "none"),
        ("spacesd", "v2", "gzip"),
        ("spacesd", "v3", "none"),
        ("spacesd", "v3", "gzip"),
        ("arcand", "v3", "gzip"),
    ],
)
async def test_the_npm_client_talks_through_a_real_daemon(
    tmp_path: Path, kind: str, version: str, compression: str
) -> None:
    """It swaps its agent token, subscribes, sees rows, calls, is refused politely, and hears what the operator writes over the other
    protocol, as the operator hears it."""
    with Daemon(kind, tmp_path) as daemon:
        shown, identity = await token()
        process = await asyncio.create_subprocess_exec(
            "node",
            PEERS / "spacetimedb_client.mjs",
            daemon.address,
            shown,
            version,
            compression,
            "talk",
            cwd=PEERS,
            env={"PATH": os.environ["PATH"], "BURST": "8"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        if line != b"ready\n":
            out, error = await process.communicate()
            raise AssertionError((line + out + error).decode())
        async with operator_client(daemon.data) as operator:
            following = operator.follow(["channel:1"], latest=20)
            snapshot: Any = await anext(following)
            texts = {getattr(row, "content", "") for row in snapshot.rows}
            assert {"edited", "burst 7"} <= texts
            await operator.call(SendMessage(channel_id=1, content="from Python"))
            out, error = await asyncio.wait_for(process.communicate(), 30)
            await following.aclose()
        assert process.returncode == 0, error.decode()
        seen = json.loads(out.splitlines()[-1])
    assert seen["identity"] == identity
    assert ["agent-logs", "AgentLog"] in seen["channels"]
    assert ["insert", "Reducer", "hello from JavaScript", identity] in seen["events"]
    assert any(event[:3] == ["insert", "Transaction", "from Python"] for event in seen["events"])
    assert ["delete", "Reducer", "burst 3"] in seen["events"]
    assert seen["refusals"][1].startswith("forbidden")
    assert all("SELECT * FROM table" in error for error in seen["badQueries"])


# ---- clients that mean harm


@contextlib.asynccontextmanager
async def quiet_pair(daemon: Daemon) -> AsyncIterator[Any]:
    """Somebody who only wants to talk: gives a coroutine that says something and waits until it comes back; how long it took (s)."""
    async with operator_client(daemon.data) as operator:
        following = operator.follow(["channel:1"], latest=0)
        await anext(following)

        async def say(text: str) -> float:
            begun = time.monotonic()
            await operator.call(SendMessage(channel_id=1, content=text))
            async with asyncio.timeout(10):
                async for news in following:
                    if any(getattr(row, "content", "") == text for row in getattr(news, "inserts", ())):
                        return time.monotonic() - begun
            raise AssertionError

        yield say
        await following.aclose()


def raw(daemon: Daemon) -> socket.socket:
    """A bare connection."""
    host, _, port = daemon.address.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def upgrade(daemon: Daemon, path: str, bearer: str, protocol: str = "") -> bytes:
    """A handshake."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {daemon.address.removeprefix('http://')}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        f"Authorization: Bearer {bearer}",
    ]
    if protocol:
        lines.append(f"Sec-WebSocket-Protocol: {protocol}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def test_slow_and_half_open_clients_are_let_go(tmp_path: Path) -> None:
    """Sixty connections that send a byte of their request now and then, never finish their handshake, or log in and fall silent in the
    middle of a frame: all are closed within their time, and nobody else waits meanwhile."""
    with Daemon("arcand", tmp_path) as daemon:
        before = daemon.descriptors()
        async with quiet_pair(daemon) as say:
            slow = [raw(daemon) for _ in range(30)]
            for link in slow:
                link.sendall(b"GET /health HTT")
            shut = [raw(daemon) for _ in range(15)]
            silent = [raw(daemon) for _ in range(15)]
            for link in silent:
                link.sendall(upgrade(daemon, SOCKET_PATH, "").replace(b"Authorization: Bearer \r\n", b""))
            took = [await say(f"tick {number}") for number in range(5)]
            assert max(took) < 2
            deadline = time.monotonic() + 40
            dripping = set(slow)
            while daemon.descriptors() > before + 6 and time.monotonic() < deadline:
                for link in list(dripping):
                    try:
                        link.sendall(b"P")
                    except OSError:
                        dripping.discard(link)
                await asyncio.sleep(0.5)
                await say(f"tock {time.monotonic()}")
            assert daemon.descriptors() <= before + 6
        for link in (*slow, *shut, *silent):
            link.close()


async def test_giant_and_broken_frames_end_their_sender_only(tmp_path: Path) -> None:
    """Frames of 64 MiB (announced, and really sent), frames of random bytes of both protocols, a megabyte of nested brackets: their
    connections end, memory stays where it was, the others talk on."""
    with Daemon("spacesd", tmp_path) as daemon:
        async with quiet_pair(daemon) as say:
            await say("before")
            memory = daemon.memory_kib()
            for number in range(6):
                shown, _ = await token(20 + number)
                link = raw(daemon)
                is_foreign = number % 2 == 1
                path = "/v1/database/spaces/subscribe" if is_foreign else SOCKET_PATH
                link.sendall(upgrade(daemon, path, shown, V2 if is_foreign else ""))
                assert b"101" in link.recv(4096)
                head = b"\x82\xff" + (64 << 20).to_bytes(8, "big") + b"\0\0\0\0"
                with contextlib.suppress(OSError):
                    link.sendall(head)
                    for _ in range(64):
                        link.sendall(bytes(1 << 20))
                link.close()
            for number in range(8):
                shown, _ = await token(40 + number)
                headers = {"authorization": f"Bearer {shown}"}
                is_foreign = number % 2 == 1
                path = "/v1/database/spaces/subscribe" if is_foreign else SOCKET_PATH
                async with websockets.connect(
                    daemon.ws + path,
                    additional_headers=headers,
                    subprotocols=[V2] if is_foreign else None,  # type: ignore[list-item]
                    proxy=None,
                ) as link_:
                    with contextlib.suppress(websockets.ConnectionClosed):
                        for _ in range(40):
                            await link_.send(os.urandom(512) if is_foreign else "[" * 400_000)
                        async with asyncio.timeout(5):
                            while True:
                                await link_.recv()
            assert await say("after") < 2
            assert daemon.memory_kib() < memory + 40_000
            assert daemon.status()["ready"]


async def flood(daemon: Daemon, seed: int, stop: float) -> int:
    """Log in, and send commands as fast as they are taken, until then; nothing is read. How many were sent."""
    shown, _ = await token(seed)
    link = raw(daemon)
    link.sendall(upgrade(daemon, SOCKET_PATH, shown))
    assert b"101" in link.recv(4096)
    link.setblocking(False)
    command = {"command": "send_message", "channel_id": 1, "content": "x" * 300}
    text = json.dumps({"op": "call", "id": 1, "command": command}).encode()
    frame = b"\x81\xfe" + len(text).to_bytes(2, "big") + b"\0\0\0\0" + text  # masked with zeros
    sent = 0
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(stop - time.monotonic()):
            while True:
                await asyncio.get_running_loop().sock_sendall(link, frame * 50)
                sent += 50
    link.close()
    return sent


async def test_a_flood_is_slowed_and_nobody_else_notices(tmp_path: Path) -> None:
    """Twenty connections of four agents send commands as fast as they can, and read nothing: beyond their share they are refused, the
    quiet ones are served promptly, memory stays bounded, and nothing of it outlives the connections."""
    with Daemon("spacesd", tmp_path) as daemon:
        async with quiet_pair(daemon) as say:
            await say("before")
            memory = daemon.memory_kib()
            stop = time.monotonic() + 4
            floods = [asyncio.create_task(flood(daemon, 60 + number % 4, stop)) for number in range(20)]
            took: list[float] = []
            while time.monotonic() < stop:
                took.append(await say(f"quiet {len(took)}"))
                await asyncio.sleep(0.25)
            assert sum(await asyncio.gather(*floods)) > 1000
            assert sorted(took)[len(took) // 2] < 1
            assert daemon.memory_kib() < memory + 60_000
            status = daemon.status()
            assert status["refused"] > 0
            async with asyncio.timeout(10):
                while daemon.status()["sessions"] > 1:
                    await asyncio.sleep(0.1)
