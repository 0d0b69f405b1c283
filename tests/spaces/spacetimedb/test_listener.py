"""Tokens and tickets, calls over HTTP, and clients that mean harm or do not read."""

from __future__ import annotations

import asyncio
import json
import random
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from life.spaces.commands import SendMessage
from life.spaces.identity import identity_of
from life.spaces.listeners.spacetimedb.messages import MAX_FRAME_BYTES, V2, V3
from tests.spaces.spacetimedb.kit import Hub, hub

DATABASE = "/v1/database/spaces"


async def swap(home: Hub, name: str) -> str:
    """A ticket for somebody."""
    async with httpx2.AsyncClient() as http:
        headers = {"authorization": f"Bearer {home.tokens.token(name, kind='person')}"}
        answer = await http.post(f"{home.address}/v1/identity/websocket-token", headers=headers)
        assert answer.status_code == 200, answer.text
        ticket: str = answer.json()["token"]
        return ticket


@asynccontextmanager
async def client(home: Hub, name: str, *, protocol: Any = V2) -> AsyncIterator[ClientConnection]:
    """A connection after its first message."""
    url = f"{home.ws}?token={await swap(home, name)}&compression=None"
    async with connect(url, subprotocols=[protocol], max_size=None) as socket:
        first = await socket.recv()
        assert isinstance(first, bytes)
        assert first[:2] == b"\x00\x00"
        assert first[2:34][::-1].hex() == identity_of(f"did:test:{name}")
        yield socket


def subscribe(query: str, number: int = 1) -> bytes:
    """A Subscribe message."""
    raw = query.encode()
    return struct.pack("<BIIII", 0, number, number, 1, len(raw)) + raw


def call(name: str, arguments: bytes, number: int = 1) -> bytes:
    """A CallReducer message."""
    raw = name.encode()
    return struct.pack("<BIBI", 3, number, 0, len(raw)) + raw + struct.pack("<I", len(arguments)) + arguments


def send_message(text: str, number: int = 1) -> bytes:
    """A call of send_message into the general channel."""
    raw = text.encode()
    rest = struct.pack("<Q", 0) + b"\x01\x01" + struct.pack("<I", 0) + b"\x01"
    return call("send_message", struct.pack("<QI", 1, len(raw)) + raw + rest, number)


async def closed_with(socket: ClientConnection) -> tuple[int, str]:
    """How the server ended the connection."""
    try:
        while True:
            await asyncio.wait_for(socket.recv(), 10)
    except ConnectionClosed as end:
        assert end.rcvd is not None
        return end.rcvd.code, end.rcvd.reason


async def test_a_ticket_works_once_and_only_with_a_good_token(tmp_path: Path) -> None:
    """No token, garbage, a used token, a used ticket, another database, another protocol: refused before the WebSocket is open."""
    async with hub(tmp_path) as home, httpx2.AsyncClient() as http:
        url = f"{home.address}/v1/identity/websocket-token"
        assert (await http.post(url)).status_code == 401
        assert (await http.post(url, headers={"authorization": "Bearer garbage"})).status_code == 401
        token = home.tokens.token("alice")
        assert (await http.post(url, headers={"authorization": f"Bearer {token}"})).status_code == 200
        assert (await http.post(url, headers={"authorization": f"Bearer {token}"})).status_code == 401
        assert (await http.post(f"{home.address}/v1/identity")).status_code == 400
        ticket = await swap(home, "alice")
        async with connect(f"{home.ws}?token={ticket}", subprotocols=[Subprotocol(V3)]):
            pass
        fresh = await swap(home, "alice")
        for address, protocols, status in (
            (f"{home.ws}?token={ticket}", [V3], 401),
            (f"{home.ws}?token=x", [V3], 401),
            (home.ws, [V3], 401),
            (f"{home.ws}?token={fresh}", ["v1.bsatn.spacetimedb"], 400),
            (f"{home.ws.replace('spaces', 'other')}?token={fresh}", [V3], 400),
            (f"{home.ws}?token={fresh}&connection_id=zz", [V3], 400),
        ):
            with pytest.raises(InvalidStatus) as refused:
                await connect(address, subprotocols=protocols)  # type: ignore[arg-type]
            assert refused.value.response.status_code == status


async def test_calls_and_queries_over_http(tmp_path: Path) -> None:
    """A reducer by a JSON array, a refusal with its word (530, as there), rows by SQL, the description of the module."""
    async with hub(tmp_path) as home, httpx2.AsyncClient() as http:
        await home.login("alice")

        async def post(path: str, body: bytes) -> httpx2.Response:
            headers = {"authorization": f"Bearer {home.tokens.token('alice', kind='person')}"}
            return await http.post(f"{home.address}{DATABASE}{path}", content=body, headers=headers)

        assert (await post("/call/send_message", b'[1, "by HTTP"]')).status_code == 200
        refused = await post("/call/delete_server", b"[1]")
        assert (refused.status_code, refused.text.split(":")[0]) == (530, "forbidden")
        for path, body in (
            ("/call/send_message", b"{"),
            ("/call/send_message", b"{}"),
            ("/call/send_message", b'["x"]'),
            ("/call/send_message", b"[1,2,3,4,5,6,7,8,9]"),
            ("/call/nothing", b"[]"),
            ("/call/admit", b"[]"),
            ("/sql", b"\xff"),
            ("/sql", b"DROP TABLE message"),
        ):
            assert (await post(path, body)).status_code == 400, (path, body)
        (found,) = (await post("/sql", b"SELECT * FROM message WHERE channel_id = 1")).json()
        content = found["columns"].index("content")
        assert "by HTTP" in [row[content] for row in found["rows"]]
        schema = (await http.get(f"{home.address}{DATABASE}/schema")).json()
        tables = {table["name"]: table for table in schema["tables"]}
        row = schema["typespace"]["types"][tables["message"]["product_type_ref"]]["Product"]["elements"]
        assert [element["name"]["some"] for element in row] == found["columns"]
        assert "send_message" in [reducer["name"] for reducer in schema["reducers"]]
        assert (await http.post(f"{home.address}{DATABASE}/call/send_message", json=[1, "x"])).status_code == 401
        assert home.engine.fanout is not None


@pytest.mark.parametrize("protocol", [V2, V3])
async def test_a_message_that_is_none_ends_its_sender_and_nobody_else(tmp_path: Path, protocol: str) -> None:
    """Random bytes, cut messages, text frames, an oversized frame: closed with a reason; another client goes on undisturbed."""
    chance = random.Random(7)
    hostile: list[bytes | str] = [chance.randbytes(chance.randint(0, 60)) for _ in range(8)]
    hostile += [subscribe("SELECT * FROM message")[:-3], "text", b"\x07", b"\x00" * (MAX_FRAME_BYTES + 10)]
    async with hub(tmp_path) as home, client(home, "alice") as good:
        await good.send(subscribe("SELECT * FROM message WHERE channel_id = 1"))
        assert (await good.recv())[1] == 1
        for frame in hostile:
            async with client(home, "mallory", protocol=protocol) as bad:
                await bad.send(frame)
                if protocol == V2 and isinstance(frame, bytes) and len(frame) > 4 and frame[0] in (2, 3, 4):
                    await bad.send(b"")
                code, reason = await closed_with(bad)
                assert code in (1008, 1009)
                assert reason or code == 1009
        bob = await home.login("bob")
        await home.engine.submit(SendMessage(channel_id=1, content="still here"), bob.caller)
        update = b""
        while b"still here" not in update:  # others who came and went are told of before
            frame = await asyncio.wait_for(good.recv(), 5)
            assert isinstance(frame, bytes)
            update = frame
        assert home.listener.connections == 1


async def test_bad_arguments_are_an_answer_and_no_end(tmp_path: Path) -> None:
    """A reducer that does not exist and arguments of the wrong types are refused by name; the connection goes on."""
    async with hub(tmp_path) as home, client(home, "alice") as socket:
        for frame, word in (
            (call("nothing", b""), b"There is no reducer"),
            (call("initialize", b""), b"There is no reducer"),
            (call("send_message", b"\x01"), b"not of its types"),
            (call("create_server", b"\x00" * 3), b"not of its types"),
        ):
            await socket.send(frame)
            answer = await asyncio.wait_for(socket.recv(), 5)
            assert isinstance(answer, bytes)
            assert answer[1] == 6
            assert word in answer
        await socket.send(struct.pack("<BIBI", 4, 9, 0, 1) + b"p" + struct.pack("<I", 0))
        answer = await asyncio.wait_for(socket.recv(), 5)
        assert isinstance(answer, bytes)
        assert answer[1] == 7


async def test_a_client_that_does_not_read_is_ended_and_holds_nobody_up(tmp_path: Path) -> None:
    """Thousands of large messages that it does not take: its subscription ends, its memory is given back; a reading client gets all."""
    async with hub(tmp_path, send_timeout_us=500_000) as home, client(home, "alice") as good:
        bob = await home.login("bob")
        await good.send(subscribe("SELECT * FROM message WHERE channel_id = 1"))
        await good.recv()
        url = f"{home.ws}?token={await swap(home, 'mallory')}&compression=None"
        async with connect(url, subprotocols=[V2], max_queue=1) as lazy:  # type: ignore[list-item]
            await lazy.send(subscribe("SELECT * FROM message WHERE channel_id = 1"))
            got = 0

            async def read_all() -> None:
                nonlocal got
                while got < 2500:
                    got += (await good.recv()).count(b"#" * 100)  # type: ignore[arg-type]

            reading = asyncio.create_task(read_all())
            for batch in range(50):
                sent = (
                    home.engine.submit(
                        SendMessage(channel_id=1, content="#" * 100 + "\N{GRINNING FACE}" * 3800), bob.caller
                    )
                    for _ in range(50)
                )
                await asyncio.gather(*sent)
                while got < 50 * batch:
                    await asyncio.sleep(0.002)
            await asyncio.wait_for(reading, 30)
            for _ in range(200):
                if home.listener.connections == 1:
                    break
                await asyncio.sleep(0.05)
            assert home.listener.connections == 1
            lazy.transport.abort()
        assert got >= 2500


async def test_a_flood_of_calls_is_answered_in_order_and_in_bounds(tmp_path: Path) -> None:
    """A thousand calls in one go over v3: every one answered once, in order, each with its own row."""
    async with hub(tmp_path) as home:
        await home.login("alice")
        async with client(home, "alice", protocol=V3) as socket:
            await socket.send(subscribe("SELECT * FROM message WHERE channel_id = 1"))
            await socket.recv()
            for begin in range(0, 1000, 100):
                await socket.send(b"".join(send_message(f"n{n}.", n) for n in range(begin, begin + 100)))
            told = b""
            while b"n999." not in told:
                frame = await asyncio.wait_for(socket.recv(), 20)
                assert isinstance(frame, bytes)
                told += frame
            places = [told.index(f"n{number}.".encode()) for number in range(1000)]
            assert places == sorted(places)


async def test_a_query_set_that_is_left_is_told_no_more(tmp_path: Path) -> None:
    """Unsubscribe gives its rows back where that is asked for; an unknown or doubled query set is an error of its own."""
    async with hub(tmp_path) as home, client(home, "alice") as socket:
        bob = await home.login("bob")
        await home.engine.submit(SendMessage(channel_id=1, content="before"), bob.caller)
        await socket.send(subscribe("SELECT * FROM message WHERE channel_id = 1"))
        assert b"before" in await socket.recv()
        await socket.send(subscribe("SELECT * FROM message WHERE channel_id = 1"))
        assert (await socket.recv())[1] == 3
        await socket.send(struct.pack("<BIIB", 1, 5, 1, 1))
        gone = await socket.recv()
        assert isinstance(gone, bytes)
        assert gone[1] == 2
        assert b"before" in gone
        await socket.send(struct.pack("<BIIB", 1, 6, 1, 0))
        assert (await socket.recv())[1] == 3
        await home.engine.submit(SendMessage(channel_id=1, content="after"), bob.caller)
        question = b"SELECT * FROM channel WHERE id = 1"
        await socket.send(struct.pack("<BII", 2, 7, len(question)) + question)
        answer = await socket.recv()
        assert isinstance(answer, bytes)
        assert answer[1] == 5
        assert b"general" in answer
        assert b"after" not in answer


async def test_a_lease_is_prolonged_by_a_fresh_token_of_the_same_identity(tmp_path: Path) -> None:
    """By the connection's number; another's token is refused."""
    async with hub(tmp_path) as home, httpx2.AsyncClient() as http:
        number = "11" * 16
        url = f"{home.ws}?token={await swap(home, 'alice')}&connection_id={number}"
        async with connect(url, subprotocols=[V3]) as socket:  # type: ignore[list-item]
            await socket.recv()
            renew = f"{home.address}/v1/identity/websocket-token?connection={number}"
            for name, status in (("alice", 200), ("bob", 401)):
                headers = {"authorization": f"Bearer {home.tokens.token(name, kind='person')}"}
                assert (await http.post(renew, headers=headers)).status_code == status, name
            assert json.dumps(home.listener.connections) == "1"
