"""Agents that use Spaces with a NATS client of their own, without a hub's WebSocket in between.

An agent connects with its agent token, sends frames of the WebSocket protocol as requests and gets their answers:

    subject  <name>.cmd.<principal>.<space>.<what>      <what>: the command's name, or query, subscribe, unsubscribe, presence, who, ping
    body     {"op": "call", "id": 1, "command": {"command": "send_message", "channel_id": 1, "content": "hello"}}

The server lets it publish under its own principal only, so a hub takes the caller from the subject and from nowhere else; the space and the name
in the subject must be the command's own. Any hub answers. Two requests that are under way at once may be carried out in any order.

Every hub sees to it that a connection ends when its login does: with a kick, a revocation, or (by the server itself) the lease.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Final, NamedTuple

import msgspec

from life.aios.ports.clock import Clock
from life.spaces.commands import Command
from life.spaces.engine.nats.access import NatsAccess
from life.spaces.engine.nats.blocks import Kick
from life.spaces.engine.nats.callout import Callout
from life.spaces.engine.nats.engine import NatsEngine, caller_of
from life.spaces.engine.nats.feeds import Feeds
from life.spaces.engine.nats.link import (
    Link,
    Msg,
    NatsError,
    NatsSubscription,
    RefusedError,
    UnreachableError,
    connect,
)
from life.spaces.engine.nats.logins import Connection, Logins
from life.spaces.engine.nats.names import NO_SPACE
from life.spaces.engine.nats.nkeys import AccountKey
from life.spaces.errors import (
    ForbiddenError,
    InvalidArgumentError,
    RateLimitedError,
    SpacesError,
    SpacesUnavailableError,
    TokenExpiredError,
)
from life.spaces.identity import Caller, identity_of
from life.spaces.listeners.websocket import frames
from life.spaces.model import Channel, Member, Message, Report, Thread
from life.spaces.queries import topic_queries
from life.spaces.sessions import Login
from life.spaces.state import State

_log: Final = logging.getLogger(__name__)

QUEUE: Final = "hubs"
MAX_AT_ONCE: Final = 32
"""Requests of one principal that one hub works on."""
MAX_IN_ALL: Final = 2000
MAX_WHO: Final = 200
MAX_LATEST: Final = 1000
LOOK_US: Final = 1_000_000
CLEAR_EVERY: Final = 60
KICK_ATTEMPTS: Final = 3
CLOSE_PATIENCE_S: Final = 2.0
_ABOUT_CONVERSATIONS: Final = frozenset({"edit_direct_message", "delete_direct_message", "mark_dm_read"})


class DirectAccess(NamedTuple):
    """What a hub needs to let agents in: its user in the account of the callout, and the key that it vouches with."""

    callout: NatsAccess
    key: AccountKey
    account: str
    """The account that hubs and agents share."""


class _SystemClient(msgspec.Struct):
    id: int = 0


class _SystemServer(msgspec.Struct):
    id: str = ""


class _Connected(msgspec.Struct):
    connections: list[_SystemClient] = []


class _Connections(msgspec.Struct):
    data: _Connected


class _Disconnected(msgspec.Struct):
    server: _SystemServer
    client: _SystemClient


class DirectAgents:
    """One hub's half of it. Made by `DirectAgents.open`."""

    def __init__(
        self, engine: NatsEngine, access: DirectAccess, callout: Link, system: Link, *, clock: Clock, replicas: int
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._system = system
        self._account = access.account
        self.logins = Logins(engine.link, engine.names, clock, replicas=replicas)
        self.feeds = Feeds(engine.link, engine.names)
        self.callout = Callout(
            callout,
            engine.names,
            access.key,
            clock,
            account=access.account,
            check=self._check,
            admit=self._admit,
        )
        self._working: dict[str, int] = {}
        self._listening: list[NatsSubscription] = []
        self._requests: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, engine: NatsEngine, access: DirectAccess, system: NatsAccess, *, clock: Clock, replicas: int
    ) -> AsyncIterator[DirectAgents]:
        """Let agents in, and serve them, until the block ends. `system` is a user of the system account.

        SpacesUnavailableError when the servers have no callout or do not let us in.
        """
        async with AsyncExitStack() as stack:
            callout, watching = [
                Link(await stack.enter_async_context(connect(who, name=name, patience_s=10)))
                for who, name in ((access.callout, "life spaces callout"), (system, "life spaces system"))
            ]
            direct = cls(engine, access, callout, watching, clock=clock, replicas=replicas)
            await watching.listen()
            stack.push_async_callback(direct._close)
            await direct.logins.bucket.open()
            await direct.logins.bucket.read()
            engine.on_kick(direct._kicked)
            direct._listening = [
                await watching.subscribe(f"$SYS.ACCOUNT.{access.account}.DISCONNECT", direct._disconnected),
                await engine.link.subscribe(engine.names.commands, direct._requested, queue=QUEUE),
                await engine.link.subscribe(engine.names.stops, direct._told_to_stop),
                await direct.callout.listen(),
            ]
            direct._start(direct._look_after())
            yield direct

    # ── letting in and throwing out ───────────────────────────────────────────────────────────────────────────────────────────

    async def _check(self, token: str) -> Login:
        await self._require_serving()
        return await self._engine.tokens.check(token)

    async def _admit(self, connection: Connection, login: Login) -> None:
        await self._engine.admit(login)
        await self.logins.begin(connection, login)

    async def _require_serving(self) -> None:
        if not (await self._engine.health()).ready:
            raise SpacesUnavailableError("This hub has no contact with the log.")

    def _kicked(self, kick: Kick) -> None:
        for connection, login in self.logins.connections(kick.identity).items():
            if not kick.key or login.key == kick.key:
                self._start(self._throw_out(connection))

    async def _throw_out(self, connection: Connection) -> None:
        """Let the server close a connection. Every hub asks; one is enough. The server does nothing that it need not answer."""
        await self.logins.end(connection)
        await self._left(connection)
        for _ in range(KICK_ATTEMPTS):
            with suppress(UnreachableError, RefusedError):  # refused: it is gone already
                kick = f"$SYS.REQ.SERVER.{connection.server}.KICK"
                await self._system.ask(kick, {"cid": connection.client}, dict)
                return

    async def _left(self, connection: Connection) -> None:
        """A connection is gone: with a principal's last one, its feeds end."""
        await self._engine.leave(connection.principal, _presence_key(connection))
        if not self.logins.connections(connection.principal):
            await self.feeds.stop_all(connection.principal)

    async def _disconnected(self, message: Msg) -> None:
        with suppress(msgspec.MsgspecError):
            told = msgspec.json.decode(message.data, type=_Disconnected)
            connection = self.logins.at(told.server.id, told.client.id)
            if connection is not None:
                await self.logins.end(connection)
                await self._left(connection)

    async def look(self) -> None:
        """Throw out whoever's login was revoked or is over, now; otherwise it happens every second."""
        now_us = self._clock.now_us()
        verdicts: dict[Login, bool] = {}
        for connection, login in self.logins.all():
            if login.until_us <= now_us:
                await self._throw_out(connection)
                continue
            proven = login.login
            if proven not in verdicts:
                verdicts[proven] = await self._engine.tokens.is_revoked(proven)
                if verdicts[proven]:
                    revoked = Kick(identity=connection.principal, reason="revoked", key=proven.key)
                    await self._engine.announce(revoked)
            if verdicts[proven]:
                await self._throw_out(connection)
        for principal in self.feeds.principals():
            if not self.logins.connections(principal):
                await self.feeds.stop_all(principal)

    async def clear(self) -> None:
        """Forget the logins whose connection is gone without anybody having heard it. A server that does not answer says nothing."""
        for connection, _ in self.logins.all():
            question = {"cid": connection.client, "limit": 1}
            try:
                answer = await self._system.ask(f"$SYS.REQ.SERVER.{connection.server}.CONNZ", question, _Connections)
            except (UnreachableError, RefusedError):
                continue
            if not answer.data.connections:
                await self.logins.end(connection)
                await self._left(connection)

    async def _look_after(self) -> None:
        looks = 0
        while True:
            await self._clock.sleep_us(LOOK_US)
            looks += 1
            try:
                await self.look()
                if looks % CLEAR_EVERY == 0:
                    await self.clear()
            except SpacesError as error:
                _log.warning("looking after agents failed: %s", error)

    async def _close(self) -> None:
        """Take no more requests, answer those under way, and send everybody elsewhere."""
        for listening in self._listening:
            with suppress(NatsError):  # the connection is closed, and the subscription with it
                await listening.unsubscribe()
        self._listening.clear()
        if self._requests:
            await asyncio.wait(self._requests, timeout=CLOSE_PATIENCE_S)
        await self.feeds.retire()
        leaving = [*self._tasks, *self._requests]
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)

    def _start(self, work: Coroutine[None, None, None], *, request: bool = False) -> None:
        tasks = self._requests if request else self._tasks
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    # ── requests ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _requested(self, message: Msg) -> None:
        principal, space, what = message.subject.split(".")[2:]
        self._start(self._serve(principal, space, what, message), request=True)

    async def _serve(self, principal: str, space: str, what: str, message: Msg) -> None:
        """One request. An agent that has too many under way is told so; its answers can't slow down anybody else's."""
        request_id = 0
        mine = self._working.get(principal, 0)
        self._working[principal] = mine + 1
        try:
            if mine >= MAX_AT_ONCE or len(self._requests) > MAX_IN_ALL:
                raise RateLimitedError("Too many requests are under way.", retry_after_ms=100)
            login = await self.logins.find(principal)
            if login is None or identity_of(login.did) != principal:
                raise TokenExpiredError("The session is over; connect again.")
            frame = frames.decode_client_frame(message.data)
            request_id = getattr(frame, "id", 0)
            answer = await self._answer(frame, caller_of(login.login), space, what)
        except SpacesError as error:
            answer = frames.error_frame(error, request_id)
        except Exception:
            _log.exception("a request failed")
            answer = frames.error_frame(SpacesUnavailableError("The request failed."), request_id)
        finally:
            self._working[principal] -= 1
            if not self._working[principal]:
                del self._working[principal]
        # An answer goes into the agent's own inbox only: elsewhere it would carry our permissions, not the agent's.
        if message.reply.startswith(f"{self._engine.names.inbox_of(principal)}."):
            await self._engine.link.tell(message.reply, frames.encode(answer).encode())

    async def _answer(self, frame: frames.AnyClientFrame, caller: Caller, space: str, what: str) -> frames.ServerFrame:
        engine = self._engine
        if isinstance(frame, frames.CallFrame):
            command = frames.decode_command(frame.command)
            _require_subject(engine.state, command, caller, space, what)
            result = await engine.submit(command, caller, key=frame.key, trace_id=frame.trace_id)
            return frames.ResultFrame(
                id=frame.id,
                position=result.position,
                space_seq=result.space_seq,
                row=result.row,  # type: ignore[arg-type]  # every Row class is in the union
                duplicate=result.duplicate,
            )
        if (space, what) != (NO_SPACE, str(frame.__struct_config__.tag)):
            raise InvalidArgumentError("The subject names something else than the request.")
        match frame:
            case frames.QueryFrame():
                found = await engine.query(frame.query, caller)
                return frames.AnswerFrame(
                    id=frame.id,
                    position=found.position,
                    rows=found.rows,  # type: ignore[arg-type]  # every Row class is in the union
                    more=found.more,
                    counts=found.counts,
                )
            case frames.SubscribeFrame():
                return await self._subscribe(frame, caller)
            case frames.UnsubscribeFrame():
                await self._unsubscribe(caller.identity, frame.id)
                return frames.EndedFrame(id=frame.id, code="closed", message="Unsubscribed.")
            case frames.PresenceFrame():
                for connection in self.logins.connections(caller.identity):
                    await engine.present(caller.identity, _presence_key(connection), frame.state, frame.status_text)
                return frames.PongFrame()
            case frames.WhoFrame():
                if len(frame.identities) > MAX_WHO:
                    raise InvalidArgumentError(f"At most {MAX_WHO} identities at once.")
                return frames.WhoAnswerFrame(id=frame.id, presences=tuple(await engine.presence(frame.identities)))
            case frames.PingFrame():
                return frames.PongFrame()
            case _:
                raise ForbiddenError("This is not for agents on NATS. A session is renewed by connecting again.")

    async def _subscribe(self, frame: frames.SubscribeFrame, caller: Caller) -> frames.ServerFrame:
        """The answer comes at once, the rows and updates on the subscription's own subject: listen there first."""
        if not 0 <= frame.latest <= MAX_LATEST or len(frame.topics) > frames.MAX_TOPICS:
            raise InvalidArgumentError("Too many topics, or too many of the latest.")
        self.feeds.require_room(caller.identity, frame.id)
        state = self._engine.state
        queries = [
            *(query for topic in frame.topics for query in topic_queries(state, topic, caller, latest=frame.latest)),
            *frame.queries,
        ]
        if not queries:
            raise InvalidArgumentError("A subscription has topics or queries.")
        await self._say_stop(caller.identity, frame.id)
        subscription = await self._engine.subscribe(queries, caller, since=frame.since)
        resumed = frame.since is not None
        rows = frames.row_frames(frame.id, subscription.position, subscription.initial, resumed=resumed)
        await self.feeds.start(caller.identity, frame.id, subscription, [frames.encode(one) for one in rows])
        return frames.ResultFrame(id=frame.id, position=subscription.position)

    async def _unsubscribe(self, principal: str, feed_id: int) -> None:
        await self.feeds.stop(principal, feed_id)
        await self._say_stop(principal, feed_id)

    async def _told_to_stop(self, message: Msg) -> None:
        principal, feed_id = message.subject.split(".")[2:]
        if message.data != self._engine.hub.encode() and feed_id.isdigit():
            await self.feeds.stop(principal, int(feed_id))

    async def _say_stop(self, principal: str, feed_id: int) -> None:
        """The feed may be another hub's."""
        await self._engine.link.tell(self._engine.names.stop(principal, str(feed_id)), self._engine.hub.encode())


def _presence_key(connection: Connection) -> str:
    return f"{connection.server}-{connection.client}"


def _require_subject(state: State, command: Command, caller: Caller, space: str, what: str) -> None:
    """InvalidArgumentError unless the subject names this command and the space it is about.

    Of a space that the caller is not in nothing is said: the reducer will refuse as it always does.
    """
    if what != command.reducer:
        raise InvalidArgumentError("The subject names another command.")
    about = space_of(state, command)
    if about is None or space == str(about):
        if about is not None or space == NO_SPACE or _may_be_about_a_space(command):
            return
        raise InvalidArgumentError("This command is about no single space: name it `-`.")
    if getattr(command, "server_id", 0) or state.get(Member, (about, caller.identity)) is not None:
        raise InvalidArgumentError("The subject names another space.")


def _may_be_about_a_space(command: Command) -> bool:
    fields = ("server_id", "channel_id", "thread_id", "message_id", "report_id")
    return any(getattr(command, field, None) for field in fields)


def space_of(state: State, command: Command) -> int | None:
    """The space that a command is about, as far as its arguments lead to one."""
    server_id: int | None = getattr(command, "server_id", None)
    if server_id:
        return server_id
    channel_id: int | None = getattr(command, "channel_id", None)
    if not channel_id and command.reducer not in _ABOUT_CONVERSATIONS:
        for field, table in (("thread_id", Thread), ("message_id", Message), ("report_id", Report)):
            number = getattr(command, field, None)
            row = state.get(table, number) if isinstance(number, int) and number else None
            if row is not None:
                found: int | None = getattr(row, "space_id", None)
                if found:
                    return found
                channel_id = getattr(row, "channel_id", None)
                break
    channel = state.get(Channel, channel_id) if channel_id else None
    return None if channel is None else channel.space_id
