"""The server's side of Spaces' protocol: an ASGI application for one WebSocket path.

Nobody harms anybody else here. Per connection: frames have a maximal length, requests are worked off one after the other (a client
that does not read its answers is not read from either), subscriptions have bounded queues of their own, and a client that takes
nothing for `SEND_PATIENCE_S` is disconnected. Everything a connection holds ends with it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from life.spaces.engine.port import LEASE_US, Engine, Session, Subscription
from life.spaces.errors import (
    ForbiddenError,
    InvalidArgumentError,
    RateLimitedError,
    SlowConsumerError,
    SpacesError,
    SpacesUnavailableError,
    TokenExpiredError,
    UnauthenticatedError,
)
from life.spaces.identity import check_identity
from life.spaces.limits import Pace
from life.spaces.listeners.websocket import frames
from life.spaces.model import Profile
from life.spaces.queries import topic_queries

_log: Final = logging.getLogger(__name__)

LOGIN_PATIENCE_S: Final = 10.0
SEND_PATIENCE_S: Final = 20.0
LOOK_S: Final = 0.5
MAX_CONNECTIONS: Final = 5000
MAX_SUBSCRIPTIONS: Final = 100
"""Open at once on one connection."""
MAX_BAD_FRAMES: Final = 20
MAX_WHO: Final = 200
MAX_REASON: Final = 100

CLOSE_NORMAL: Final = 1000
CLOSE_POLICY: Final = 1008
CLOSE_TOO_BIG: Final = 1009
CLOSE_TRY_LATER: Final = 1013
CLOSE_LOGIN: Final = 4401
CLOSE_SESSION: Final = 4403
CLOSE_SLOW: Final = 4408

Login = Callable[[str], Awaitable[Session]]
"""Opens a session for a token: the engine's own `login`, or the host's that also knows the operator's token."""

Renew = Callable[[Session, str], Awaitable[Session]]
"""Prolongs a session by a fresh token."""


def bound_unsent(listener: socket.socket, patience_s: float = SEND_PATIENCE_S) -> None:
    """Let the kernel give up connections, of this listener, that take nothing of what was sent for so long (where it can: Linux).

    A peer that keeps its window shut would otherwise hold the socket and what is buffered for it for ever, even after we closed it.
    """
    option = getattr(socket, "TCP_USER_TIMEOUT", None)
    if option is not None:
        listener.setsockopt(socket.IPPROTO_TCP, option, int(patience_s * 1000))


class Door:
    """The ASGI application. `admits` says whether a handshake's Host and Origin are right (DNS rebinding, foreign pages), `may_kick`
    whether a session is the operator's."""

    def __init__(
        self,
        engine: Engine,
        login: Login | None = None,
        *,
        renew: Renew | None = None,
        admits: Callable[[Scope], bool] = lambda _: True,
        may_kick: Callable[[Session], bool] = lambda _: False,
    ) -> None:
        self._engine = engine
        self._may_kick = may_kick
        self._login: Login = engine.login if login is None else login
        self._renew: Renew = engine.renew if renew is None else renew
        self._admits = admits
        self._connections: set[_Connection] = set()
        self._looking: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._connections)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection to its end."""
        link = WebSocket(scope, receive, send)
        if not self._admits(scope) or len(self._connections) >= MAX_CONNECTIONS:
            await link.close(CLOSE_POLICY)
            return
        connection = _Connection(self._engine, self._login, self._renew, self._may_kick, link)
        self._connections.add(connection)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_after())
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)

    async def _look_after(self) -> None:
        """Cut off who takes nothing. One task for all connections: a timer per frame would cost more than the frame."""
        while self._connections:
            await asyncio.sleep(LOOK_S)
            stuck = [one for one in self._connections if one.is_stuck()]
            await asyncio.gather(*(one.stop(CLOSE_SLOW, "nothing was read for too long") for one in stuck))

    async def aclose(self) -> None:
        """Disconnect everybody."""
        await asyncio.gather(*(one.stop(CLOSE_TRY_LATER, "the server stops") for one in list(self._connections)))


class _Connection:
    def __init__(
        self, engine: Engine, login: Login, renew: Renew, may_kick: Callable[[Session], bool], link: WebSocket
    ) -> None:
        self._engine = engine
        self._may_kick = may_kick
        self._login = login
        self._renew = renew
        self._socket = link
        self._session: Session | None = None
        self._feeds: dict[int, tuple[Subscription, asyncio.Task[None]]] = {}
        self._loop = asyncio.get_running_loop()
        self._sending = asyncio.Lock()
        self._sending_since_s: float | None = None
        self._working: asyncio.Task[None] | None = None
        self._closing = False
        self._bad_frames = 0
        self._pace = Pace()

    async def serve(self) -> None:
        await self._socket.accept()
        try:
            self._session = session = await self._log_in()
        except SpacesError as error:
            await self._refuse(error)
            return
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            await self.stop(CLOSE_LOGIN, "no login")
            return
        watching = asyncio.create_task(self._watch_session(session))
        self._working = asyncio.create_task(self._work(session))
        try:
            await asyncio.wait([self._working])
            if not self._working.cancelled():
                self._working.result()
        finally:
            watching.cancel()
            self._working.cancel()
            for subscription, task in list(self._feeds.values()):
                task.cancel()
                await subscription.aclose()
            with suppress(SpacesError):
                await self._engine.logout(session)

    async def _work(self, session: Session) -> None:
        """Frame after frame, to the end."""
        try:
            await self._send(frames.encode(self._welcome(session)))
            while not self._closing:
                await self._serve_frame(await self._receive())
        except (
            WebSocketDisconnect,
            RuntimeError,
        ):  # RuntimeError: starlette's word for a socket that is closed already
            pass
        except TimeoutError:
            await self.stop(CLOSE_SLOW, "nothing was read for too long")

    async def _receive(self) -> str | bytes:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", CLOSE_NORMAL))
        text: str | None = message.get("text")
        data: bytes | None = message.get("bytes")
        frame = text if text is not None else data or b""
        if len(frame) > frames.MAX_FRAME_BYTES:
            await self.stop(CLOSE_TOO_BIG, "the frame is too long")
            raise WebSocketDisconnect(CLOSE_TOO_BIG)
        return frame

    async def _log_in(self) -> Session:
        authorization = self._socket.headers.get("authorization", "")
        if authorization[:7].lower() == "bearer ":
            return await self._login(authorization[7:].strip())
        async with asyncio.timeout(LOGIN_PATIENCE_S):
            frame = frames.decode_client_frame(await self._receive())
        if not isinstance(frame, frames.LoginFrame):
            raise UnauthenticatedError("The first frame is a login.")
        return await self._login(frame.token)

    def _welcome(self, session: Session) -> frames.WelcomeFrame:
        profile = self._engine.state.get(Profile, session.caller.identity)
        return frames.WelcomeFrame(
            version=frames.VERSION,
            identity=session.caller.identity,
            username=profile.username if profile is not None else "",
            session=session.id,
            position=self._engine.state.position,
            lease_ms=LEASE_US // 1000,
        )

    async def _serve_frame(self, data: str | bytes) -> None:
        request_id: int | None = None
        try:
            frame = frames.decode_client_frame(data)
            request_id = getattr(frame, "id", None)
            answer = await self._answer(frame)
            self._pace.accepted()
        except SpacesError as error:
            if isinstance(error, RateLimitedError):
                self._pace.refused()
            if request_id is None:
                self._bad_frames += 1
                if self._bad_frames > MAX_BAD_FRAMES:
                    await self.stop(CLOSE_POLICY, "too many frames that do not fit")
                    return
                request_id = 0
            answer = frames.encode(frames.error_frame(error, request_id))
        if answer is not None:
            await self._send(answer)
        pause_s = self._pace.pause_s or self._pace.frame(self._loop.time())
        if pause_s:
            await asyncio.sleep(pause_s)

    async def _answer(self, frame: frames.AnyClientFrame) -> str | None:
        session = self._session
        assert session is not None
        if not session.is_open:
            raise TokenExpiredError("The session is over.")
        engine = self._engine
        match frame:
            case frames.CallFrame():
                command = frames.decode_command(frame.command)
                result = await engine.submit(command, session.caller, key=frame.key, trace_id=frame.trace_id)
                return frames.encode(
                    frames.ResultFrame(
                        id=frame.id,
                        position=result.position,
                        space_seq=result.space_seq,
                        row=result.row,  # type: ignore[arg-type]  # every Row class is in the union
                        duplicate=result.duplicate,
                    )
                )
            case frames.QueryFrame():
                found = await engine.query(frame.query, session.caller)
                return frames.encode(
                    frames.AnswerFrame(
                        id=frame.id,
                        position=found.position,
                        rows=found.rows,  # type: ignore[arg-type]  # every Row class is in the union
                        more=found.more,
                        counts=found.counts,
                    )
                )
            case frames.SubscribeFrame():
                await self._subscribe(frame, session)
                return None
            case frames.UnsubscribeFrame():
                await self._end_feed(frame.id)
                return frames.encode(frames.EndedFrame(id=frame.id, code="closed", message="Unsubscribed."))
            case frames.PresenceFrame():
                await engine.set_presence(session, frame.state, frame.status_text)
                return None
            case frames.WhoFrame():
                if len(frame.identities) > MAX_WHO:
                    raise InvalidArgumentError(f"At most {MAX_WHO} identities at once.")
                presences = tuple(await engine.presence(frame.identities))
                return frames.encode(frames.WhoAnswerFrame(id=frame.id, presences=presences))
            case frames.RenewFrame():
                self._session = await self._renew(session, frame.token)
                return frames.encode(frames.ResultFrame(id=frame.id, position=0))
            case frames.KickFrame():
                if not self._may_kick(session):
                    raise ForbiddenError(
                        "Ending sessions is for the operator; kick_member removes somebody from a space."
                    )
                sessions = await engine.kick(check_identity(frame.identity), reason=_reason(frame.reason))
                return frames.encode(frames.KickedFrame(id=frame.id, sessions=sessions))
            case frames.PingFrame():
                return frames.encode(frames.PongFrame())
            case frames.LoginFrame():
                raise InvalidArgumentError("You are logged in already.")

    # ── subscriptions ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _subscribe(self, frame: frames.SubscribeFrame, session: Session) -> None:
        if frame.id in self._feeds:
            raise InvalidArgumentError("A subscription with this id is open.")
        if len(self._feeds) >= MAX_SUBSCRIPTIONS or len(frame.topics) > frames.MAX_TOPICS:
            raise InvalidArgumentError("Too many subscriptions or topics.")
        if not 0 <= frame.latest <= 1000:
            raise InvalidArgumentError("latest lies between 0 and 1000.")
        caller = session.caller
        queries = [
            *(
                query
                for topic in frame.topics
                for query in topic_queries(self._engine.state, topic, caller, latest=frame.latest)
            ),
            *frame.queries,
        ]
        if not queries:
            raise InvalidArgumentError("A subscription has topics or queries.")
        subscription = await self._engine.subscribe(queries, caller, since=frame.since, session=session)
        rows = frames.row_frames(frame.id, subscription.position, subscription.initial, resumed=frame.since is not None)
        task = asyncio.create_task(self._feed(frame.id, subscription, [frames.encode(one) for one in rows]))
        self._feeds[frame.id] = (subscription, task)

    async def _feed(self, feed_id: int, subscription: Subscription, first: list[str]) -> None:
        """Rows, then updates, as fast as the client takes them."""
        try:
            for text in first:
                await self._send(text)
            first.clear()
            while True:
                await subscription.ready()
                for text in frames.update_texts(subscription.take(), feed_id):
                    await self._send(text)
        except SpacesError as error:
            self._feeds.pop(feed_id, None)
            if isinstance(error, TokenExpiredError):
                return  # the connection ends with its session, and says so
            position = subscription.position if isinstance(error, SlowConsumerError) else 0
            ended = frames.EndedFrame(id=feed_id, code=error.word, message=error.message, position=position)
            with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
                await self._send(frames.encode(ended))
            if isinstance(error, SpacesUnavailableError):
                await self.stop(CLOSE_TRY_LATER, "the engine is closed")
        except (WebSocketDisconnect, RuntimeError):
            await subscription.aclose()

    async def _end_feed(self, feed_id: int) -> None:
        feed = self._feeds.pop(feed_id, None)
        if feed is None:
            raise InvalidArgumentError("No subscription with this id is open.")
        subscription, task = feed
        task.cancel()
        await subscription.aclose()

    # ── the connection's end ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _watch_session(self, session: Session) -> None:
        """A session that ends takes its connection along, at once."""
        reason = await session.closed()
        if not self._closing:
            with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
                error = TokenExpiredError("The session is over.", details={"reason": reason})
                async with asyncio.timeout(1):
                    await self._send(frames.encode(frames.error_frame(error, None)))
            await self.stop(CLOSE_SESSION, reason)

    async def _refuse(self, error: SpacesError) -> None:
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            await self._send(frames.encode(frames.error_frame(error, None)))
        await self.stop(CLOSE_LOGIN, error.word)

    async def _send(self, text: str) -> None:
        """Send a frame. The door sees to it that this does not take for ever."""
        async with self._sending:
            self._sending_since_s = self._loop.time()
            try:
                await self._socket.send({"type": "websocket.send", "text": text})
            finally:
                self._sending_since_s = None

    def is_stuck(self) -> bool:
        """Whether the client has taken nothing for too long."""
        return self._sending_since_s is not None and self._loop.time() - self._sending_since_s > SEND_PATIENCE_S

    async def stop(self, code: int, reason: str) -> None:
        """Close the connection. One that takes nothing, not even the farewell, is left to itself after a second."""
        if self._closing:
            return
        self._closing = True
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError, OSError):
            async with asyncio.timeout(1):
                await self._socket.close(code, reason)
        if self._working is not None and self._working is not asyncio.current_task():
            self._working.cancel()


def _reason(text: str) -> str:
    if not text or len(text) > MAX_REASON or not text.isprintable():
        raise InvalidArgumentError(f"A reason has 1 to {MAX_REASON} printable characters.")
    return text
