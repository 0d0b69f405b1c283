"""Spaces' own protocol over real sockets: a real server, real clients, and hostile ones."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
import uvicorn
import websockets

from life.host.clock import SystemClock, SystemEntropy
from life.spaces.commands import SendMessage, StartTyping
from life.spaces.engine.embedded import EmbeddedEngine, Owner
from life.spaces.errors import ForbiddenError, InvalidArgumentError, NotMemberError, SpacesNotFoundError
from life.spaces.limits import Limits
from life.spaces.listeners.websocket import door as door_module
from life.spaces.listeners.websocket.client import Snapshot, SpacesClient
from life.spaces.listeners.websocket.door import Door, bound_unsent
from life.spaces.listeners.websocket.frames import MAX_FRAME_BYTES, TransientFrame, UpdateFrame
from life.spaces.model import Message
from life.spaces.queries import History
from life.testing.spaces import GENERAL, OPERATOR, ScriptedTokens


class Served(NamedTuple):
    """A running server."""

    engine: EmbeddedEngine
    door: Door
    tokens: ScriptedTokens
    address: str
    port: int

    @asynccontextmanager
    async def client(self, name: str) -> AsyncIterator[SpacesClient]:
        """Somebody's client."""

        async def token() -> str:
            return self.tokens.token(name, kind="person")

        async with SpacesClient.connect(self.address, token, clock=SystemClock(), entropy=SystemEntropy()) as client:
            yield client

    @asynccontextmanager
    async def raw(self, name: str | None = "raw", **options: Any) -> AsyncIterator[Any]:
        """A plain WebSocket, logged in unless the name is None."""
        async with websockets.connect(self.address, compression=None, proxy=None, **options) as link:
            if name is not None:
                await link.send(json.dumps({"op": "login", "token": self.tokens.token(name, kind="person")}))
                assert json.loads(await link.recv())["op"] == "welcome"
            yield link


@asynccontextmanager
async def serving(limits: Limits | None = None, port: int = 0) -> AsyncIterator[Served]:
    """An engine in memory behind a door, on a free port of the loopback."""
    tokens = ScriptedTokens()
    opened = EmbeddedEngine.open(
        None, clock=SystemClock(), entropy=SystemEntropy(), tokens=tokens, owner=Owner(OPERATOR), limits=limits
    )
    async with opened as engine:
        door = Door(engine)
        async with listening(door, port) as bound:
            yield Served(engine, door, tokens, f"ws://127.0.0.1:{bound}/", bound)


@asynccontextmanager
async def listening(door: Door, port: int = 0) -> AsyncIterator[int]:
    """The door on a port, as the daemon serves it."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        bound_unsent(listener, door_module.SEND_PATIENCE_S)
        config = uvicorn.Config(
            door,
            log_config=None,
            lifespan="off",
            ws="websockets-sansio",
            ws_max_size=MAX_FRAME_BYTES,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        task = asyncio.create_task(server._serve([listener]))
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            yield listener.getsockname()[1]
        finally:
            await door.aclose()
            async with asyncio.timeout(10):  # nobody holds a socket for ever
                while server.server_state.connections:
                    await asyncio.sleep(0.01)
            server.should_exit = True
            await task


async def test_two_people_talk() -> None:
    """Calls, queries, following, typing and refusals, as a program uses them."""
    async with serving() as served, served.client("ann") as ann, served.client("bob") as bob:
        news = bob.follow([f"channel:{GENERAL}"])
        assert isinstance(await anext(news), Snapshot)
        sent = await ann.call(SendMessage(channel_id=GENERAL, content="hello ❤️"))
        update = await anext(news)
        assert isinstance(update, UpdateFrame) and update.position == sent.position
        assert isinstance(update.inserts[0], Message) and update.inserts[0].content == "hello ❤️"
        await ann.call(StartTyping(channel_id=GENERAL))
        typing = await anext(news)
        assert isinstance(typing, TransientFrame) and typing.kind == "typing.started"
        page = await bob.query(History(channel_id=GENERAL))
        assert page.rows[-1] == sent.row
        for command, kind in (
            (SendMessage(channel_id=3, content="news"), ForbiddenError),
            (SendMessage(channel_id=99, content="x"), SpacesNotFoundError),
            (SendMessage(channel_id=GENERAL, content=""), InvalidArgumentError),
        ):
            with pytest.raises(kind):
                await bob.call(command)
        await ann.set_presence("busy", "thinking")
        assert ann.welcome is not None
        for _ in range(100):
            (who,) = (await bob.who([ann.welcome.identity])).presences
            if who.state == "busy":
                break
            await asyncio.sleep(0.01)
        assert (who.state, who.status_text) == ("busy", "thinking")
        await news.aclose()


async def test_a_lost_connection_loses_and_repeats_nothing() -> None:
    """The server goes away in the middle and comes back on the same port: the follower gets every message once, in order, and calls that
    were under way are carried out once."""
    async with serving() as served:
        door = Door(served.engine)
        async with listening(door) as port:
            away = served._replace(address=f"ws://127.0.0.1:{port}/")
            async with away.client("ann") as ann:
                news = ann.follow([f"channel:{GENERAL}"])
                await anext(news)
                texts: list[str] = []

                async def read() -> None:
                    async for update in news:
                        if isinstance(update, UpdateFrame):
                            texts.extend(row.content for row in update.inserts if isinstance(row, Message))
                            if "29" in texts:
                                return

                reading = asyncio.create_task(read())
                async with served.client("bob") as bob:
                    calls = []
                    for number in range(30):
                        calls.append(
                            asyncio.create_task(ann.call(SendMessage(channel_id=GENERAL, content=f"a{number}")))
                        )
                        await bob.call(SendMessage(channel_id=GENERAL, content=str(number)))
                        if number in (7, 19):
                            while ann.reconnections < number // 10 or not door:
                                await asyncio.sleep(0.01)
                            for connection in list(door._connections):
                                await connection.stop(1012, "restart")
                    await asyncio.wait_for(asyncio.gather(*calls, reading), 20)
                assert ann.reconnections >= 2
                assert [text for text in texts if text.isdigit()] == [str(number) for number in range(30)]
                stored = [row.content for row in served.engine.state.table(Message).values()]
                assert sorted(text for text in stored if text.startswith("a")) == sorted(f"a{n}" for n in range(30))
                await news.aclose()


async def test_following_ends_although_the_server_is_away() -> None:
    """Who stops following while there is no connection does not wait for the next one."""
    async with serving() as served:
        async with listening(Door(served.engine)) as port:
            away = served._replace(address=f"ws://127.0.0.1:{port}/")
            ann = await (client := away.client("ann")).__aenter__()
            news = ann.follow([f"channel:{GENERAL}"])
            await anext(news)
        while ann.is_connected:
            await asyncio.sleep(0.01)
        await asyncio.wait_for(news.aclose(), 2)
        await asyncio.wait_for(client.__aexit__(None, None, None), 5)


async def test_sessions_that_end_close_the_connection_at_once() -> None:
    """A kicked identity's connection is told why and closed; its token does not let it back."""
    async with serving() as served, served.raw("eve") as link:
        identity = next(iter(served.engine._sessions._of))
        assert await served.engine.kick(identity) == 1
        farewell = json.loads(await asyncio.wait_for(link.recv(), 2))
        assert (farewell["op"], farewell["code"], farewell["details"]["reason"]) == ("error", "token_expired", "kicked")
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await link.recv()
        assert caught.value.rcvd is not None and caught.value.rcvd.code == 4403


@pytest.mark.parametrize(
    "first",
    [
        "",
        "{",
        "[]",
        '{"op":"ping"}',
        '{"op":"login","token":"x"}',
        '{"op":"login","token":5}',
        "\x00",
        '{"op":"call","id":1}',
    ],
)
async def test_nobody_gets_in_without_a_login(first: str) -> None:
    """Anything but a valid login is answered with an error and closed."""
    async with serving() as served, served.raw(None) as link:
        await link.send(first)
        answer = json.loads(await link.recv())
        assert answer["op"] == "error" and "id" not in answer
        with pytest.raises(websockets.ConnectionClosed):
            await link.recv()


async def test_hostile_frames_are_contained() -> None:
    """Frames that do not fit are refused one by one, then the connection ends; deep nesting, giant numbers and unknown commands harm
    nothing; a giant frame ends the connection; others go on."""
    async with serving() as served, served.client("ann") as ann:
        async with served.raw() as link:
            for text in (
                '{"op":"call","id":1,"command":{"command":"initialize","owner":"x","owner_did":"y"}}',
                '{"op":"call","id":2,"command":{"command":"no_such"}}',
                '{"op":"call","id":3,"command":' + "[" * 5000 + "]" * 5000 + "}",
                '{"op":"query","id":4,"query":{"query":"rows","tables":[{"table":"idempotency"}]}}',
                '{"op":"query","id":5,"query":{"query":"history","channel_id":1,"limit":100000}}',
                '{"op":"subscribe","id":6,"topics":["channel:99"]}',
                '{"op":"subscribe","id":7,"topics":["nonsense"]}',
                '{"op":"call","id":8,"command":{"command":"send_message","channel_id":99999999999999999999,"content":"x"}}',
                '{"op":"call","id":9,"command":{"command":"send_message","channel_id":1,"content":"\\ud800"}}',
                '{"op":"unsubscribe","id":10}',
                '{"op":"subscribe","id":11,"topics":["directory"],"since":-4}',
            ):
                await link.send(text)
                answer = json.loads(await asyncio.wait_for(link.recv(), 5))
                assert answer["op"] == "error", (text, answer)
            with pytest.raises(websockets.ConnectionClosed):
                for _ in range(40):
                    await link.send("nonsense")
                    await link.recv()
        async with served.raw("big") as link:
            with pytest.raises(websockets.ConnectionClosed) as caught:
                await link.send("x" * (MAX_FRAME_BYTES + 1))
                await link.recv()
            assert caught.value.rcvd is None or caught.value.rcvd.code == 1009
        await ann.call(SendMessage(channel_id=GENERAL, content="still here"))


@pytest.mark.slow
async def test_a_client_that_never_reads_is_disconnected_and_others_are_not_held_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It subscribes and stops reading: its buffers are bounded, it is cut off, and a reader beside it gets everything meanwhile."""
    monkeypatch.setattr(door_module, "SEND_PATIENCE_S", 1.0)
    async with serving() as served, served.client("ann") as ann, served.client("bob") as bob:
        news = bob.follow([f"channel:{GENERAL}"])
        await anext(news)
        deaf = websockets.connect(served.address, compression=None, proxy=None, max_queue=1)
        link = await deaf
        await link.send(json.dumps({"op": "login", "token": served.tokens.token("deaf")}))
        await link.recv()
        await link.send(json.dumps({"op": "subscribe", "id": 1, "topics": [f"channel:{GENERAL}"]}))
        link.transport.pause_reading()
        connections = len(served.door)
        text = "x" * 4000
        received = 0
        for _ in range(40):
            await asyncio.gather(*(ann.call(SendMessage(channel_id=GENERAL, content=text)) for _ in range(50)))
            for _ in range(50):
                update = await asyncio.wait_for(anext(news), 5)
                received += isinstance(update, UpdateFrame)
        assert received == 2000
        for _ in range(400):
            if len(served.door) < connections:
                break
            await asyncio.sleep(0.01)
        assert len(served.door) < connections
        link.transport.abort()
        await news.aclose()


async def test_a_flood_slows_only_whoever_makes_it() -> None:
    """With the usual limits a flooder is told to wait, and read more and more slowly; somebody else's message goes through at once."""
    async with serving(Limits()) as served, served.client("ann") as ann, served.raw("flood") as link:
        begun = asyncio.get_running_loop().time()
        for number in range(150):
            command = {"command": "send_message", "channel_id": GENERAL, "content": str(number)}
            await link.send(json.dumps({"op": "call", "id": number, "command": command}))
        await asyncio.wait_for(ann.call(SendMessage(channel_id=GENERAL, content="hello")), 2)
        answers = [json.loads(await link.recv()) for _ in range(150)]
        took_s = asyncio.get_running_loop().time() - begun
        accepted = sum(answer["op"] == "result" for answer in answers)
        refused = [answer for answer in answers if answer["op"] == "error"]
        assert took_s > 1
        assert 20 <= accepted <= 21 + 5 * (took_s + 1) and {answer["code"] for answer in refused} == {"rate_limited"}
        assert all(answer["details"]["retry_after_ms"] > 0 and answer["retryable"] for answer in refused)


async def test_following_what_one_loses_sight_of_ends_it() -> None:
    """A topic of a space that one is no member of is refused, and named so."""
    async with serving() as served, served.client("ann") as ann, served.client("bob") as bob:
        from life.spaces.commands import CreateServer
        from life.spaces.model import Space

        space = (await ann.call(CreateServer(name="own"))).row
        assert isinstance(space, Space)
        with pytest.raises((SpacesNotFoundError, NotMemberError)):
            await anext(bob.follow(["channel:4"]))
