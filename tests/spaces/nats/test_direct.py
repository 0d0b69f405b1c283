"""Agents with the official client `nats-py`: the servers vouch for them, and they get at nothing that is not theirs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

import msgspec
import nats
import nats.errors
import pytest
from nats.aio.client import Client

from life.aios.ports.clock import Clock
from life.host.clock import SystemClock
from life.lago.nats_server import NatsServer
from life.lago.nats_server_files import Addition
from life.spaces.commands import BanMember, SendDirectMessage, SendMessage
from life.spaces.engine.nats.access import NatsAccess
from life.spaces.engine.nats.direct import DirectAccess, DirectAgents
from life.spaces.engine.nats.engine import NatsEngine
from life.spaces.engine.nats.feeds import MAX_FEEDS, NUMBER_HEADER
from life.spaces.engine.nats.nkeys import AccountKey, new_seed, verified_claims
from life.spaces.engine.nats.server_settings import callout_account, callout_settings
from life.spaces.engine.port import LEASE_US
from life.spaces.errors import InvalidArgumentError, UnauthenticatedError
from life.spaces.identity import Caller, identity_of
from life.spaces.sessions import Login
from life.testing.clock import SeededEntropy
from life.testing.spaces import GENERAL, HUB, OPERATOR, ScriptedTokens, enter, furnish
from tests.harness.nats_cluster import access_of, kept, open_hub

pytestmark = [
    # The official client leaves the streams of attempts that failed to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed transport:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:loop is closed:ResourceWarning"),
]

KEY = AccountKey(new_seed(bytes(range(32))))
TOKENS = ScriptedTokens()
"""One for all tests of the module, as they share a deployment: a token is good once in it."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """A server with the auth callout."""
    addition = Addition(
        accounts=(callout_account("life-callout", "callout-password"),),
        settings=(callout_settings(KEY.public, ["life", "life-system", "life-callout"]),),
    )
    running = NatsServer.run(tmp_path_factory.mktemp("nats"), entropy=SeededEntropy("server"), addition=addition)
    with kept(running) as found:
        yield found


class Place(NamedTuple):
    """A server, a hub and its agents."""

    url: str
    access: NatsAccess
    tokens: ScriptedTokens
    hub: NatsEngine
    direct: DirectAgents


@asynccontextmanager
async def hub_with_agents(
    server: NatsServer, tokens: ScriptedTokens, *, clock: Clock | None = None
) -> AsyncIterator[Place]:
    """A hub that lets agents in."""
    access = access_of(server.access)
    callout = NatsAccess(access.servers, "life-callout", "callout-password")
    system = access.system
    assert system is not None
    async with open_hub(access, None, tokens=tokens, replicas=1) as hub:
        async with DirectAgents.open(
            hub, DirectAccess(callout, KEY, "LIFE"), system, clock=clock or SystemClock(), replicas=1
        ) as direct:
            yield Place(server.url, access, tokens, hub, direct)


@pytest.fixture
async def place(server: NatsServer) -> AsyncIterator[Place]:
    """A hub that lets agents in, over the module's one deployment."""
    async with hub_with_agents(server, TOKENS) as found:
        yield found


class Agent:
    """An agent with the official client and nothing of ours."""

    def __init__(self, client: Client, name: str, troubles: list[str]) -> None:
        self.client = client
        self.principal = identity_of(f"did:test:{name}")
        self.troubles = troubles

    async def ask(self, space: object, what: str, frame: Mapping[str, Any], *, principal: str = "") -> Any:
        """A request and its answer."""
        subject = f"spaces.cmd.{principal or self.principal}.{space}.{what}"
        message = await self.client.request(subject, msgspec.json.encode(frame), timeout=5)
        return msgspec.json.decode(message.data)

    async def call(self, space: object, command: str, **arguments: object) -> Any:
        """A command."""
        return await self.ask(space, command, {"op": "call", "id": 1, "command": {"command": command, **arguments}})

    async def listen(self, feed_id: int, topics: list[str], *, since: int | None = None) -> asyncio.Queue[Any]:
        """Subscribe; what is told, frame by frame, with its number."""
        told: asyncio.Queue[Any] = asyncio.Queue()

        async def take(message: Any) -> None:
            found = msgspec.json.decode(message.data)
            for one in found if isinstance(found, list) else [found]:
                told.put_nowait((int(message.headers[NUMBER_HEADER]), one))

        await self.client.subscribe(f"spaces.evt.{self.principal}.{feed_id}", cb=take)
        frame = {"op": "subscribe", "id": feed_id, "topics": topics, **({} if since is None else {"since": since})}
        answer = await self.ask("-", "subscribe", frame)
        assert answer["op"] == "result", answer
        return told


@asynccontextmanager
async def connected(place: Place, name: str, *, token: str = "", reconnect: bool = False) -> AsyncIterator[Agent]:
    """An agent with a fresh token."""
    troubles: list[str] = []

    async def note(error: Exception) -> None:
        troubles.append(str(error))

    client = await nats.connect(
        place.url,
        token=token or place.tokens.token(name),
        inbox_prefix=f"spaces.inbox.{identity_of(f'did:test:{name}')}".encode(),
        allow_reconnect=reconnect,
        error_cb=note,
        connect_timeout=5,
    )
    try:
        yield Agent(client, name, troubles)
    finally:
        await client.close()


async def until(told: asyncio.Queue[Any], op: str) -> Any:
    """The next frame of a kind."""
    async with asyncio.timeout(10):
        while True:
            _, frame = await told.get()
            if frame["op"] == op:
                return frame


async def gone(agent: Agent) -> None:
    """Wait until the server has closed the connection."""
    async with asyncio.timeout(10):
        while agent.client.is_connected:
            await asyncio.sleep(0.01)


async def test_an_agent_talks_with_its_own_client(place: Place) -> None:
    """Commands, queries, subscriptions with resume, presence and refusals work as on the WebSocket; a repeat gets the first answer."""
    async with connected(place, "ann") as ann, connected(place, "ben") as ben:
        told = await ben.listen(7, [f"channel:{GENERAL}", f"space:{HUB}"])
        assert (await until(told, "rows")).get("last", True)
        first = await ann.call(HUB, "send_message", channel_id=GENERAL, content="hello", client_id="c1")
        assert first["op"] == "result" and first["row"]["sender"] == ann.principal
        again = await ann.call(HUB, "send_message", channel_id=GENERAL, content="hello", client_id="c1")
        assert again["duplicate"] and again["position"] == first["position"]
        update = await until(told, "update")
        assert update["position"] == first["position"] and update["id"] == 7
        await ann.ask("-", "presence", {"op": "presence", "state": "busy"})
        assert (await until(told, "transient"))["data"]["state"] == "busy"
        who = await ben.ask("-", "who", {"op": "who", "id": 2, "identities": [ann.principal]})
        assert who["presences"][0]["state"] == "busy"
        page = await ben.ask(
            "-", "query", {"op": "query", "id": 3, "query": {"query": "history", "channel_id": GENERAL}}
        )
        assert page["rows"][-1]["content"] == "hello"
        await ben.ask("-", "unsubscribe", {"op": "unsubscribe", "id": 7})
        await ann.call(HUB, "send_message", channel_id=GENERAL, content="missed")
        resumed = await ben.listen(8, [f"channel:{GENERAL}"], since=update["position"])
        assert (await until(resumed, "rows")).get("resumed")
        assert (await until(resumed, "update"))["inserts"][0]["content"] == "missed"
        refused = await ann.call(HUB, "delete_server", server_id=HUB)
        assert refused["op"] == "error" and refused["code"] == "forbidden"
        assert (await ann.ask("-", "ping", {"op": "ping"}))["op"] == "pong"
    async with asyncio.timeout(5):
        while (await place.hub.presence([ann.principal]))[0].state != "offline":
            await asyncio.sleep(0.01)


async def test_the_server_refuses_what_is_not_ones_own(place: Place) -> None:
    """Commands as somebody else, others' events, inboxes, the log, the buckets, JetStream and the system: a permissions violation."""
    async with connected(place, "eve") as eve, connected(place, "ann") as ann:
        inbox = f"spaces.inbox.{eve.principal}.x"
        for subject in (
            f"spaces.cmd.{ann.principal}.{HUB}.send_message",
            "spaces.log",
            "spaces.live",
            "spaces.kick",
            "spaces.transient",
            f"spaces.evt.{ann.principal}.1",
            f"spaces.inbox.{ann.principal}.x",
            "spaces.lease.logins.x",
            "spaces.stop.x.1",
            "$JS.API.STREAM.DELETE.spaces",
            "$JS.API.STREAM.INFO.spaces",
            "$JS.API.DIRECT.GET.spaces",
            "$SYS.REQ.SERVER.PING",
            "$SYS.REQ.USER.AUTH",
        ):
            before = len(eve.troubles)
            await eve.client.publish(subject, b"{}", reply=inbox)
            await eve.client.flush()
            await violated(eve, before)
        for subject in (
            ">",
            "spaces.>",
            "spaces.live",
            "spaces.cmd.>",
            f"spaces.evt.{ann.principal}.>",
            f"spaces.inbox.{ann.principal}.>",
            "spaces.evt.*.1",
            "spaces.lease.logins.>",
            "_INBOX.>",
        ):
            before = len(eve.troubles)
            await eve.client.subscribe(subject)
            await eve.client.flush()
            await violated(eve, before)
        with pytest.raises(nats.errors.Error):
            await eve.call("x y", "ping")
        assert (await place.hub.health()).ready


async def violated(agent: Agent, before: int) -> None:
    """Wait for the server's word."""
    async with asyncio.timeout(5):
        while len(agent.troubles) == before:
            await asyncio.sleep(0.01)
    assert "ermissions" in agent.troubles[-1]


async def test_a_hub_lends_nobody_its_permissions(place: Place) -> None:
    """An answer goes to the asker's own inbox only: named elsewhere (the log, another inbox, JetStream) it goes nowhere."""
    async with connected(place, "eve") as eve, connected(place, "ann") as ann:
        overheard: list[bytes] = []
        listener = await place.hub.link.client.subscribe(">", cb=_noting(overheard))
        sequence = place.hub.replica.sequence
        ping = msgspec.json.encode({"op": "ping"})
        for reply in (
            "spaces.log",
            "$JS.API.STREAM.PURGE.spaces",
            f"spaces.inbox.{ann.principal}.x",
            f"spaces.inbox.{eve.principal}",
            f"spaces.cmd.{ann.principal}.-.ping",
        ):
            await eve.client.publish(f"spaces.cmd.{eve.principal}.-.ping", ping, reply=reply)
        assert (await eve.ask("-", "ping", {"op": "ping"}))["op"] == "pong"
        await asyncio.sleep(0.05)
        await listener.unsubscribe()
        assert sum(b"pong" in one for one in overheard) == 1
        await place.hub.follower.sync()
        assert place.hub.replica.sequence == sequence and (await place.hub.health()).ready


def _noting(found: list[bytes]) -> Any:
    async def note(message: Any) -> None:
        found.append(message.data)

    return note


@pytest.mark.usefixtures("swept")
async def test_only_a_good_token_opens(place: Place) -> None:
    """No token, a used one, nonsense, a revoked agent's, a hub's user with a wrong password: refused. A hub that is down lets nobody in."""
    token = place.tokens.token("ann")
    async with connected(place, "ann", token=token):
        pass
    TOKENS.revoke("rex")
    for bad in (token, "nonsense", "", place.tokens.token("rex")):
        with pytest.raises((nats.errors.Error, OSError, asyncio.IncompleteReadError)):
            await nats.connect(place.url, token=bad or None, allow_reconnect=False, connect_timeout=3, error_cb=_ignore)
    with pytest.raises((nats.errors.Error, OSError, asyncio.IncompleteReadError)):
        await nats.connect(
            place.url, user="life", password="wrong", allow_reconnect=False, connect_timeout=3, error_cb=_ignore
        )
    assert place.direct.callout.refused >= 4


async def _ignore(_: Exception) -> None:
    return


@pytest.mark.usefixtures("swept")
async def test_a_kick_and_a_revocation_close_the_connection(server: NatsServer, place: Place) -> None:
    """Kicked on another hub: the server closes the connection at once, its feeds end, and its used token does not let it back; revoked:
    the same within a look, and a new token is refused."""
    async with hub_with_agents(server, place.tokens) as other:
        async with connected(place, "kit") as kit, connected(place, "ann") as ann:
            told = await kit.listen(1, [f"channel:{GENERAL}"])
            await until(told, "rows")
            await other.hub.kick(kit.principal)
            await gone(kit)
            assert ann.client.is_connected
            async with asyncio.timeout(5):
                while len(place.direct.feeds) + len(other.direct.feeds):
                    await asyncio.sleep(0.01)
        async with connected(place, "kit") as back:  # a kick is no ban
            place.tokens.revoke("kit")
            await other.direct.look()
            await gone(back)
        with pytest.raises((nats.errors.Error, OSError, asyncio.IncompleteReadError)):
            async with connected(place, "kit"):
                pass


async def test_the_subject_says_what_the_request_is(place: Place) -> None:
    """The space and the name in the subject are the command's; another space, another name, or a space for a command without one is refused;
    nothing is learned of spaces that one is not in."""
    room = await furnish(place.hub, place.tokens, name="Subjects")
    async with connected(place, "gent") as gent, connected(place, "sam") as sam:
        send = {"channel_id": room.channel_id, "content": "x"}
        assert (await gent.call(room.space_id, "send_message", **send))["op"] == "result"
        for space in (HUB, "-"):
            assert (await gent.call(space, "send_message", **send))["code"] == "invalid_argument"
        frame = {"op": "call", "id": 1, "command": {"command": "send_message", **send}}
        assert (await gent.ask(room.space_id, "pin_message", frame))["code"] == "invalid_argument"
        assert (await gent.ask("-", "who", {"op": "ping"}))["code"] == "invalid_argument"
        assert (await gent.call(HUB, "set_profile", bio="x"))["code"] == "invalid_argument"
        assert (await gent.call("-", "set_profile", bio="x"))["op"] == "result"
        posted = await place.hub.submit(SendMessage(channel_id=room.channel_id, content="y"), room.owner)
        secret = {"message_id": posted.row.id}  # type: ignore[union-attr]
        answers = [await sam.call(space, "edit_message", content="z", **secret) for space in (room.space_id, HUB, "-")]
        nowhere = await sam.call("-", "edit_message", content="z", message_id=10**6)
        assert answers[0]["op"] == "error" and all(one["code"] == answers[0]["code"] for one in answers)
        assert nowhere["op"] == "error"
        for bad in (b"", b"{}", b"[1]", b"\xff", b'{"op":"login","token":"x"}', b'{"op":"kick","id":1,"identity":"x"}'):
            message = await gent.client.request(f"spaces.cmd.{gent.principal}.-.x", bad, timeout=5)
            assert msgspec.json.decode(message.data)["op"] == "error"


async def test_direct_messages_and_bans_hold(place: Place) -> None:
    """A feed shows an agent what it may see and nothing else, as of every change of its rights."""
    room = await furnish(place.hub, place.tokens, name="Rights")
    async with connected(place, "gent") as gent:
        told = await gent.listen(1, [f"channel:{room.channel_id}", "dm:self"])
        await until(told, "rows")
        await place.hub.submit(SendDirectMessage(recipient=room.member.identity, content="secret"), room.owner)
        await place.hub.submit(SendMessage(channel_id=room.channel_id, content="seen"), room.owner)
        assert (await until(told, "update"))["inserts"][0]["content"] == "seen"
        await place.hub.submit(BanMember(server_id=room.space_id, identity=gent.principal), room.owner)
        await place.hub.submit(SendMessage(channel_id=room.channel_id, content="after"), room.owner)
        update = await until(told, "update")
        assert update.get("removed") and not update.get("inserts")
        await asyncio.sleep(0.05)
        assert told.empty()


async def test_a_flood_is_held_off(place: Place) -> None:
    """An agent that asks for hundreds of things at once is told so; everybody else is served meanwhile."""
    async with connected(place, "flo") as flo, connected(place, "ann") as ann:
        flood = [
            asyncio.create_task(flo.call(HUB, "send_message", channel_id=GENERAL, content=f"{number}"))
            for number in range(400)
        ]
        async with asyncio.timeout(5):
            assert (await ann.call(HUB, "send_message", channel_id=GENERAL, content="me too"))["op"] == "result"
        answers = await asyncio.gather(*flood)
        assert {one.get("code", "fine") for one in answers} == {"fine", "rate_limited"}


async def test_subscriptions_asked_for_at_once_are_counted(place: Place) -> None:
    """The bound on an agent's subscriptions holds also when it asks for all of them in the same moment."""
    async with connected(place, "many") as many:
        frames = [{"op": "subscribe", "id": number, "topics": ["directory"]} for number in range(1, MAX_FEEDS + 11)]
        answers = await asyncio.gather(*(many.ask("-", "subscribe", frame) for frame in frames))
        assert sum(one["op"] == "result" for one in answers) == MAX_FEEDS
        assert {one["code"] for one in answers if one["op"] != "result"} == {"invalid_argument"}


async def test_hubs_take_over_from_each_other(server: NatsServer, place: Place) -> None:
    """An agent is let in by one hub and served by another that never saw its token; when the first hub is closed it goes on."""
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(hub_with_agents(server, place.tokens))
        agents = [await stack.enter_async_context(connected(place, f"a{number}")) for number in range(6)]
        for _ in range(5):
            answers = await asyncio.gather(
                *(agent.call(HUB, "send_message", channel_id=GENERAL, content="x") for agent in agents)
            )
            assert all(one["op"] == "result" for one in answers)
        assert place.hub.accepted > 0 and other.hub.accepted > 0
        known = [{connection.principal for connection, _ in one.direct.logins.all()} for one in (place, other)]
        assert all({agent.principal for agent in agents} <= each for each in known)
    async with hub_with_agents(server, place.tokens) as late, connected(place, "b") as agent:
        async with asyncio.timeout(20):  # the other hub may have let it in
            while all(connection.principal != agent.principal for connection, _ in late.direct.logins.all()):
                await asyncio.sleep(0.01)
        assert (await agent.call(HUB, "send_message", channel_id=GENERAL, content="y"))["op"] == "result"


async def test_a_subscription_goes_on_at_another_hub(server: NatsServer) -> None:
    """The hub that tells a subscription closes: the agent is told from where to go on, and misses nothing at the next hub; nothing is told twice
    at a time by two hubs."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(hub_with_agents(server, TOKENS))
        agent = await stack.enter_async_context(connected(first, "mover"))
        told = await agent.listen(5, [f"channel:{GENERAL}"])
        await until(told, "rows")
        async with hub_with_agents(server, TOKENS) as second:
            await agent.call(HUB, "send_message", channel_id=GENERAL, content="one")
            update = await until(told, "update")
            assert update["inserts"][0]["content"] == "one"
            teller = first if len(first.direct.feeds) else second
            other = second if teller is first else first
            await teller.direct._close()
            ended = await until(told, "ended")
            assert ended["code"] == "unavailable" and ended["position"] == update["position"]
            speaker = await enter(other.hub, TOKENS, "speaker", kind="person")
            await other.hub.submit(SendMessage(channel_id=GENERAL, content="two"), speaker)
            frame = {"op": "subscribe", "id": 5, "topics": [f"channel:{GENERAL}"], "since": ended["position"]}
            assert (await agent.ask("-", "subscribe", frame))["op"] == "result"
            while True:
                news = await until(told, "update")
                if news["inserts"][0]["content"] == "two":
                    break


async def test_a_ceiling_holds_on_every_hub(place: Place) -> None:
    """What the token's agent may at most comes with the login, whichever hub answers."""
    await enter(place.hub, place.tokens, "tame", kind="agent")
    token = place.tokens.token("tame", ceiling="reaction.add")
    async with connected(place, "tame", token=token) as tame:
        refused = await tame.call(HUB, "send_message", channel_id=GENERAL, content="x")
        assert refused["code"] == "forbidden" and refused["details"]["permission"] == "message.send"


async def test_a_login_whose_end_nobody_heard_is_cleared(server: NatsServer) -> None:
    """An agent leaves while no hub is there to hear it: the next one asks the server, and forgets the login."""
    async with AsyncExitStack() as stack:
        async with hub_with_agents(server, TOKENS) as place:
            agent = await stack.enter_async_context(connected(place, "leaver"))
            stayer = await stack.enter_async_context(connected(place, "stayer"))
        await agent.client.close()
        async with hub_with_agents(server, TOKENS) as place:
            assert {agent.principal, stayer.principal} <= {one.principal for one, _ in place.direct.logins.all()}
            await place.direct.clear()
            known = {connection.principal for connection, _ in place.direct.logins.all()}
            assert agent.principal not in known and stayer.principal in known


class EarlyClock(SystemClock):
    """A clock that is slow by all of a lease but two seconds: what it grants ends in two seconds."""

    def now_us(self) -> int:
        """The time, wrong."""
        return super().now_us() - LEASE_US + 2_000_000


@pytest.mark.usefixtures("swept")
async def test_the_server_ends_a_connection_with_its_lease(server: NatsServer) -> None:
    """Not the hub but the NATS server closes a connection whose lease is over; the agent comes back with a fresh token."""
    async with hub_with_agents(server, TOKENS, clock=EarlyClock()) as early, connected(early, "ann") as ann:
        assert (await ann.ask("-", "ping", {"op": "ping"}))["op"] == "pong"
        await gone(ann)
        async with connected(early, "ann") as again:
            assert (await again.ask("-", "ping", {"op": "ping"}))["op"] == "pong"


def test_account_keys() -> None:
    """A seed gives its public key and shows nothing; other texts are refused without being repeated; only servers' tokens are taken."""
    nkeys = "SAAAAAIBAIBQIBIGA4EASCQLBQGQ4DYQCEJBGFAVCYLRQGJ2DMOB2HQ7ABBA"
    assert KEY.public.startswith("A") and len(KEY.public) == 56
    assert KEY.public in repr(KEY) and new_seed(bytes(range(32))) not in repr(KEY)
    for bad in ("", nkeys, KEY.public, "SUA" + "A" * 55, new_seed(bytes(32))[:-1] + "0"):
        with pytest.raises(InvalidArgumentError) as caught:
            AccountKey(bad)
        assert not bad or bad not in str(caught.value)
    for token in (KEY.sign({"sub": "x"}, at_s=1), "a.b.c", "", "x" * 70_000):
        with pytest.raises(UnauthenticatedError):
            verified_claims(token)


def test_the_operator_is_somebody_else() -> None:
    """No agent's principal is the operator's: the operator has no DID."""
    operator = Caller(identity=identity_of(OPERATOR), did=OPERATOR)
    assert identity_of("did:test:operator") != operator.identity
    assert Login("did:test:operator", "").did != OPERATOR
