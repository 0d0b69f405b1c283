"""One Spaces with all its listeners, composed as the daemons compose it: who is thrown out is out everywhere, at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
import websockets

from life.anima.registry import IdentityRegistry
from life.anima.revoking import revoke_identity
from life.anima.tokens import issue_agent_token
from life.host.access import Access, load_or_create_token
from life.host.anima_identity import OpenedAgent, open_agent_identity
from life.host.anima_verifier import open_identity_services
from life.host.clock import SystemClock, SystemEntropy
from life.host.spaces import AUDIENCE, OpenSpaces, SpacesParts, open_spaces
from life.host.spaces_routes import KICK_PATH, SOCKET_PATH, STATUS_PATH
from life.host.spacesd import application
from life.lago.journal.memory import MemoryJournal
from life.spaces.commands import SendMessage
from life.spaces.errors import ForbiddenError, InvalidArgumentError, RevokedError, UnauthenticatedError
from life.spaces.identity import identity_of
from life.spaces.listeners.spacetimedb.messages import V2, V3
from life.spaces.listeners.websocket.client import Snapshot, SpacesClient
from life.spaces.listeners.websocket.frames import UpdateFrame
from life.spaces.model import Message
from life.spaces.queries import History
from life.spaces.seat import LocalSeat, RemoteSeat, Seat
from tests.anima.material import raw_key
from tests.spaces.spacetimedb.kit import serving_sockets

CLOCK, ENTROPY = SystemClock(), SystemEntropy()


class _Late:
    inner: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.inner(scope, receive, send)


class House(NamedTuple):
    """What a test looks at."""

    address: str
    spaces: OpenSpaces
    agent: OpenedAgent
    journal: MemoryJournal
    registry: IdentityRegistry
    operator: str

    async def token(self) -> str:
        """A fresh token of the agent."""
        return await issue_agent_token(
            self.agent.custody,
            agent_id=self.agent.identity.agent_id,
            audience=AUDIENCE,
            clock=CLOCK,
            entropy=ENTROPY,
        )

    @property
    def identity(self) -> str:
        """The agent's."""
        return identity_of(self.agent.identity.did)

    @property
    def ws(self) -> str:
        """The daemon's address for WebSockets."""
        return self.address.replace("http", "ws", 1)

    def http(self) -> httpx2.AsyncClient:
        """With the operator's token."""
        return httpx2.AsyncClient(
            base_url=self.address, trust_env=False, headers={"authorization": f"Bearer {self.operator}"}
        )

    async def revoke(self) -> None:
        """The agent's identity is revoked."""
        await revoke_identity(
            self.journal,
            self.agent.custody,
            agent_id=self.agent.identity.agent_id,
            reason="compromised",
            clock=CLOCK,
            registry=self.registry,
        )


@asynccontextmanager
async def house(root: Path) -> AsyncIterator[House]:
    """A daemon's application, served."""
    app = _Late()
    async with MemoryJournal() as journal, serving_sockets(app) as address:
        agent = await open_agent_identity(journal, root / "identity", raw_key(), clock=CLOCK, entropy=ENTROPY)
        operator = load_or_create_token(root / "token", ENTROPY)
        access = Access(operator, CLOCK, ENTROPY)
        async with open_identity_services(
            journal, clock=CLOCK, directory=None, daemon=AUDIENCE, environment={}
        ) as services:
            parts = SpacesParts(None, journal, access, services)
            host = address.removeprefix("http://")
            async with open_spaces(parts, clock=CLOCK, entropy=ENTROPY) as spaces:
                app.inner = application(spaces, access, hosts=[host])
                yield House(address, spaces, agent, journal, services.registry, operator)
        agent.custody.close()


async def knocking(home: House) -> Any:
    """A connection of our own protocol, before anything was said."""
    return await websockets.connect(
        home.ws + SOCKET_PATH, additional_headers={"authorization": f"Bearer {await home.token()}"}, proxy=None
    )


async def native(home: House) -> Any:
    """The same, past its greeting: there is a session."""
    link = await knocking(home)
    assert "welcome" in await link.recv()
    return link


async def foreign(home: House, protocol: str) -> Any:
    """A connection of SpacetimeDB's protocol, past its greeting."""
    link = await websockets.connect(
        f"{home.ws}/v1/database/spaces/subscribe?compression=None",
        additional_headers={"authorization": f"Bearer {await home.token()}"},
        subprotocols=[protocol],  # type: ignore[list-item]
        proxy=None,
    )
    await link.recv()
    return link


async def ended(link: Any) -> int:
    """How the connection was closed."""
    try:
        while True:
            await asyncio.wait_for(link.recv(), 20)
    except websockets.ConnectionClosed as error:
        assert error.rcvd is not None
        return int(error.rcvd.code)


async def test_a_kick_ends_every_connection_at_once(tmp_path: Path) -> None:
    """The operator's route ends the agent's connections of both protocols within a second, and nobody else's; a ticket that is out is
    worthless; and the agent, which was not banned, may come back."""
    async with house(tmp_path) as home, home.http() as http:
        links = [await native(home), await foreign(home, V2), await foreign(home, V3)]
        swapped = await http.post(
            "/v1/identity/websocket-token", headers={"authorization": f"Bearer {await home.token()}"}
        )
        status = (await http.get(STATUS_PATH)).json()
        assert (status["sessions"], status["connections"], status["clients"]) == (4, 1, 2)
        operator = await websockets.connect(
            home.ws + SOCKET_PATH, additional_headers={"authorization": f"Bearer {home.operator}"}, proxy=None
        )
        begun = time.monotonic()
        answer = await http.post(KICK_PATH, json={"identity": home.identity})
        assert (answer.status_code, answer.json()) == (200, {"sessions": 4})
        assert await asyncio.gather(*(ended(link) for link in links)) == [4403, 1008, 1008]
        assert time.monotonic() - begun < 10
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(
                f"{home.ws}/v1/database/spaces/subscribe?token={swapped.json()['token']}",
                subprotocols=[V2],  # type: ignore[list-item]
                proxy=None,
            )
        await operator.send('{"op":"ping"}')
        assert "welcome" in await operator.recv()
        assert "pong" in await operator.recv()
        again = await native(home)
        await operator.send(f'{{"op":"kick","id":1,"identity":"{home.identity}","reason":"spam"}}')
        assert '"sessions":1' in await operator.recv()
        assert await ended(again) == 4403


async def test_only_the_operator_kicks(tmp_path: Path) -> None:
    """Over HTTP the route wants the daemon's token, over the WebSocket an agent's kick is forbidden; what fits not is refused."""
    async with house(tmp_path) as home, home.http() as http:
        shown = {"authorization": f"Bearer {await home.token()}"}
        assert (await http.post(KICK_PATH, json={"identity": home.identity}, headers=shown)).status_code == 401
        for body in (
            {},
            {"identity": "x"},
            {"identity": home.identity, "reason": ""},
            {"identity": home.identity, "y": 1},
        ):
            assert (await http.post(KICK_PATH, json=body)).status_code == 400, body
        assert (await http.post(KICK_PATH, content=b"x" * 10_000)).status_code == 400
        async with SpacesClient.connect(home.ws + SOCKET_PATH, home.token, clock=CLOCK, entropy=ENTROPY) as client:
            with pytest.raises(ForbiddenError):
                await client.kick(home.identity)

        async def operator() -> str:
            return home.operator

        async with SpacesClient.connect(home.ws + SOCKET_PATH, operator, clock=CLOCK, entropy=ENTROPY) as client:
            with pytest.raises(InvalidArgumentError):
                await client.kick("nobody")
            assert await client.kick(home.identity) == 0


async def test_a_revocation_ends_every_connection_at_once(tmp_path: Path) -> None:
    """Both protocols and the seat: over within a second, and no door opens again."""
    async with house(tmp_path) as home, home.http() as http:
        links = [await native(home), await foreign(home, V2), await foreign(home, V3)]
        async with LocalSeat.open(
            home.spaces.engine, home.token, home.agent.custody, clock=CLOCK, entropy=ENTROPY
        ) as seat:
            following = seat.follow(["channel:1"])
            assert isinstance(await anext(following), Snapshot)
            begun = time.monotonic()
            await home.revoke()
            assert await asyncio.gather(*(ended(link) for link in links)) == [4403, 1008, 1008]
            with pytest.raises(RevokedError):
                await asyncio.wait_for(anext(following), 20)
            assert time.monotonic() - begun < 10
            with pytest.raises(RevokedError):
                await seat.submit(SendMessage(channel_id=1, content="still here?"))
        link = await knocking(home)
        assert await ended(link) == 4401
        shown = {"authorization": f"Bearer {await home.token()}"}
        assert (await http.post("/v1/identity/websocket-token", headers=shown)).status_code == 401
        with pytest.raises(websockets.InvalidStatus):
            await foreign(home, V2)


async def test_strangers_at_the_clients_door(tmp_path: Path) -> None:
    """A foreign Host or Origin gets nothing of SpacetimeDB's routes either, over HTTP or WebSocket; neither does an unknown agent."""
    async with house(tmp_path) as home, home.http() as http:
        assert (await http.get("/v1/ping", headers={"authorization": ""})).status_code == 200
        for header in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
            assert (await http.get("/v1/ping", headers=header)).status_code == 403
            assert (await http.post("/v1/identity/websocket-token", headers=header)).status_code == 403
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(
                f"{home.ws}/v1/database/spaces/subscribe",
                additional_headers={"authorization": f"Bearer {await home.token()}"},
                origin="https://evil.example",  # type: ignore[arg-type]
                subprotocols=[V2],  # type: ignore[list-item]
                proxy=None,
            )
        unknown = {"authorization": "Bearer a.b.c"}
        assert (await http.post("/v1/identity/websocket-token", headers=unknown)).status_code == 401


@pytest.mark.parametrize("kind", ["local", "remote"])
async def test_both_seats_do_the_same(tmp_path: Path, kind: str) -> None:
    """Over an engine in the process and over a connection: a signed message, its row, history, presence, following with resumption, a repeat
    under one key, a trace that reaches the follower, refusals; and after a kick the seat goes on."""
    async with house(tmp_path) as home:
        async with seat_of(home, kind) as seat:
            assert seat.identity == home.identity
            trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            signature = await seat.sign("channel:1", "c-1", "hello")
            first = await seat.submit(
                SendMessage(channel_id=1, content="hello", client_id="c-1", signature=signature), trace_id=trace
            )
            assert isinstance(first.row, Message)
            anew = await seat.sign("channel:1", "c-1", "hello")
            again = await seat.submit(SendMessage(channel_id=1, content="hello", client_id="c-1", signature=anew))
            assert (again.position, again.duplicate, again.row) == (first.position, True, first.row)
            (row,) = [one for one in (await seat.query(History(channel_id=1))).rows if isinstance(one, Message) and one.content == "hello"]  # fmt: skip
            assert row == first.row
            await seat.set_presence("busy", "thinking")
            (here,) = await seat.who([seat.identity])
            assert (here.state, here.status_text) == ("busy", "thinking")
            resumed = seat.follow(["channel:1"], since=first.position - 1)
            told = await asyncio.wait_for(anext(resumed), 5)
            assert isinstance(told, UpdateFrame)
            assert (told.position, told.trace_id) == (first.position, trace)
            await resumed.aclose()
            following = seat.follow(["channel:1"])
            assert isinstance(await asyncio.wait_for(anext(following), 5), Snapshot)
            assert await home.spaces.kick(seat.identity) == 1
            async with asyncio.timeout(10):
                after = await seat.submit(SendMessage(channel_id=1, content="still here", client_id="c-2"))
                while True:
                    news = await anext(following)
                    if isinstance(news, UpdateFrame) and news.position == after.position:
                        break
            await following.aclose()
            with pytest.raises(ForbiddenError):
                await seat.submit(SendMessage(channel_id=3, content="not mine to announce"))


@asynccontextmanager
async def seat_of(home: House, kind: str) -> AsyncIterator[Seat]:
    """A seat of either kind."""
    if kind == "local":
        async with LocalSeat.open(
            home.spaces.engine, home.token, home.agent.custody, clock=CLOCK, entropy=ENTROPY
        ) as local:
            yield local
        return
    address = home.ws + SOCKET_PATH
    async with SpacesClient.connect(address, home.token, clock=CLOCK, entropy=ENTROPY) as client:
        yield RemoteSeat(client, home.address, home.agent.custody, CLOCK)


async def test_a_seat_whose_token_is_refused_is_not_taken(tmp_path: Path) -> None:
    """An unknown agent: said at once."""
    async with house(tmp_path) as home:

        async def bad() -> str:
            return "a.b.c"

        with pytest.raises(UnauthenticatedError):
            async with LocalSeat.open(home.spaces.engine, bad, home.agent.custody, clock=CLOCK, entropy=ENTROPY):
                pass
