"""The client's side of Spaces' protocol: calls, queries and subscriptions that survive a lost connection.

    async with SpacesClient.connect("ws://127.0.0.1:3004/v1/spaces/ws", tokens) as client:
        result = await client.call(SendMessage(channel_id=1, content="hello", client_id="…"))
        async for update in client.follow(["channel:1"]):
            …

`tokens` is asked for a fresh token at every connection and renewal. A call whose connection breaks before the answer is sent again
under the same key, so that it is carried out once. A followed topic resumes where it was; when that is no longer possible it begins
anew with `Snapshot`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NamedTuple

import msgspec

from life.aios.errors import MissingExtraError
from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.spaces import errors
from life.spaces.commands import Command
from life.spaces.errors import SpacesError, SpacesUnavailableError, UnauthenticatedError
from life.spaces.listeners.websocket import frames
from life.spaces.model import PresenceState, Row
from life.spaces.queries import AnyQuery, TableQuery

Tokens = Callable[[], Awaitable[str]]
"""Makes a fresh token."""

BEAT_S: Final = 10.0
CALL_PATIENCE_S: Final = 30.0
FIRST_BACKOFF_S: Final = 0.25
MAX_BACKOFF_S: Final = 10.0
MAX_WAITING: Final = 4096
"""Frames of one followed topic that wait for the program; beyond that the connection is read no further."""

_BY_WORD: Final[dict[str, type[SpacesError]]] = {
    kind.code.removeprefix("spaces."): kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, SpacesError)
}


class Snapshot(NamedTuple):
    """The rows that following begins with (again)."""

    position: int
    rows: tuple[Row, ...]


News = Snapshot | frames.UpdateFrame | frames.TransientFrame
"""What following a topic gives."""


class _Follow(msgspec.Struct):
    topics: tuple[str, ...]
    queries: tuple[TableQuery, ...]
    latest: int
    position: int | None
    queue: asyncio.Queue[frames.AnyServerFrame | SpacesError]


class SpacesClient:
    """One logged-in connection that comes back. Made by `SpacesClient.connect`."""

    def __init__(self, address: str, tokens: Tokens, clock: Clock, entropy: Entropy) -> None:
        self._address = address
        self._tokens = tokens
        self._clock = clock
        self._entropy = entropy
        self._socket: Any = None
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[frames.AnyServerFrame]] = {}
        self._follows: dict[int, _Follow] = {}
        self._connected = asyncio.Event()
        self._presence: tuple[PresenceState, str] | None = None
        self._failed: SpacesError | None = None
        self.welcome: frames.WelcomeFrame | None = None
        """Who the server says we are."""
        self.reconnections = 0
        self.counts: Counter[str] = Counter(connect=0, subscribe=0, command=0, reducer_call=0)
        """Connections made, topics followed, requests sent, and commands among them."""

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, address: str, tokens: Tokens, *, clock: Clock, entropy: Entropy
    ) -> AsyncIterator[SpacesClient]:
        """Connect and log in. UnauthenticatedError when the token is refused, SpacesUnavailableError when nobody answers."""
        client = cls(address, tokens, clock, entropy)
        await client._dial()
        jobs = [asyncio.create_task(client._stay_connected()), asyncio.create_task(client._beat())]
        try:
            yield client
        finally:
            for job in jobs:
                job.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
            if client._socket is not None:
                await client._socket.close()

    @property
    def is_connected(self) -> bool:
        """Whether the connection stands now; one that is lost comes back."""
        return self._connected.is_set() and self._failed is None

    async def call(
        self, command: Command, *, key: str | None = None, trace_id: str | None = None
    ) -> frames.ResultFrame:
        """Carry a command out, once, whatever happens to the connection meanwhile. SpacesErrors are refusals."""
        if key is None and not command.TRANSIENT and getattr(command, "client_id", None) is None:
            key = new_id(self._clock, self._entropy)
        self.counts["reducer_call"] += 1
        raw = msgspec.Raw(msgspec.json.encode(command))
        answer = await self._ask(lambda number: frames.CallFrame(id=number, command=raw, key=key, trace_id=trace_id))
        assert isinstance(answer, frames.ResultFrame)
        return answer

    async def query(self, query: AnyQuery) -> frames.AnswerFrame:
        """Answer a question."""
        answer = await self._ask(lambda number: frames.QueryFrame(id=number, query=query))
        assert isinstance(answer, frames.AnswerFrame)
        return answer

    async def who(self, identities: Sequence[str]) -> frames.WhoAnswerFrame:
        """Who of these is here."""
        answer = await self._ask(lambda number: frames.WhoFrame(id=number, identities=tuple(identities)))
        assert isinstance(answer, frames.WhoAnswerFrame)
        return answer

    async def kick(self, identity: str, *, reason: str = "kicked") -> int:
        """End every session of an identity; how many of them were there. ForbiddenError unless we are the operator."""
        answer = await self._ask(lambda number: frames.KickFrame(id=number, identity=identity, reason=reason))
        assert isinstance(answer, frames.KickedFrame)
        return answer.sessions

    async def set_presence(self, state: PresenceState, status_text: str = "") -> None:
        """Be present from now on, with a heartbeat every ten seconds."""
        self._presence = (state, status_text)
        await self._send(frames.PresenceFrame(state=state, status_text=status_text))

    async def follow(
        self, topics: Sequence[str], *, queries: Sequence[TableQuery] = (), latest: int = 50, since: int | None = None
    ) -> AsyncGenerator[News, None]:
        """The rows, then every change, over lost connections. SpacesErrors end it: what was followed is out of sight."""
        self.counts["subscribe"] += 1
        number = next(self._ids)
        follow = _Follow(tuple(topics), tuple(queries), latest, since, asyncio.Queue(MAX_WAITING))
        self._follows[number] = follow
        try:
            await self._subscribe(number, follow)
            rows: list[Row] = []
            while True:
                frame = await follow.queue.get()
                match frame:
                    case SpacesError():
                        raise frame
                    case frames.RowsFrame():
                        rows += frame.rows
                        if frame.last:
                            if not frame.resumed:
                                follow.position = frame.position
                                yield Snapshot(frame.position, tuple(rows))
                            rows = []
                    case frames.UpdateFrame():
                        follow.position = frame.position
                        yield frame
                    case frames.TransientFrame():
                        yield frame
                    case frames.EndedFrame() | frames.ErrorFrame():
                        await self._begin_again(number, follow, frame)
                    case _:
                        raise SpacesUnavailableError("The server sent something unexpected.")
        finally:
            self._follows.pop(number, None)
            # A lost connection has no subscriptions, and nobody waits for the next one to end this.
            if self._connected.is_set():
                with suppress(SpacesError, OSError):
                    await self._send(frames.UnsubscribeFrame(id=number))

    async def _begin_again(self, number: int, follow: _Follow, frame: frames.EndedFrame | frames.ErrorFrame) -> None:
        """A slow or stale subscription is opened again; another refusal is final."""
        if frame.code == "slow_consumer":
            await self._subscribe(number, follow)
        elif frame.code == "stale_sequence":
            follow.position = None
            await self._subscribe(number, follow)
        elif frame.code not in (
            "token_expired",
            "unavailable",
        ):  # with these the connection ends, and a new one takes it up
            raise _error_of(frame.code, frame.message)

    async def _subscribe(self, number: int, follow: _Follow) -> None:
        await self._send(
            frames.SubscribeFrame(
                id=number, topics=follow.topics, queries=follow.queries, latest=follow.latest, since=follow.position
            )
        )

    async def _ask(self, make: Callable[[int], frames.AnyClientFrame]) -> frames.AnyServerFrame:
        try:
            async with asyncio.timeout(CALL_PATIENCE_S):
                return await self._asked(make)
        except TimeoutError:
            raise SpacesUnavailableError(
                "Spaces did not answer in time; what was asked may have happened.",
                next_step="Ask again, under the same key.",
            ) from None

    async def _asked(self, make: Callable[[int], frames.AnyClientFrame]) -> frames.AnyServerFrame:
        self.counts["command"] += 1
        while True:
            number = next(self._ids)
            future: asyncio.Future[frames.AnyServerFrame] = asyncio.get_running_loop().create_future()
            self._answers[number] = future
            try:
                await self._send(make(number))
                answer = await future
            except ConnectionError:
                continue  # sent again, under the same key, once connected again
            finally:
                self._answers.pop(number, None)
                if future.done() and not future.cancelled():
                    future.exception()  # a connection that was lost while sending has told us already
            if isinstance(answer, frames.ErrorFrame):
                raise _error_of(answer.code, answer.message, dict(answer.details))
            return answer

    # ── the connection ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _send(self, frame: frames.ClientFrame) -> None:
        await self._connected.wait()
        if self._failed is not None:
            raise self._failed
        try:
            await self._socket.send(frames.encode(frame))
        except Exception as error:
            if isinstance(frame, frames.SubscribeFrame | frames.UnsubscribeFrame | frames.PresenceFrame):
                return  # done again once connected
            self._connected.clear()
            raise ConnectionError(str(error)) from None

    async def _dial(self) -> None:
        websockets = _library()
        try:
            socket = await websockets.connect(
                self._address, max_size=8 * frames.MAX_FRAME_BYTES, compression=None, open_timeout=10, proxy=None
            )
        except (OSError, TimeoutError, websockets.InvalidHandshake, websockets.InvalidURI) as error:
            raise SpacesUnavailableError(
                f"Nobody answers at {self._address}: {error}.", next_step="Start one with `life spaces up`."
            ) from None
        try:
            await socket.send(frames.encode(frames.LoginFrame(token=await self._tokens())))
            first = frames.decode_server_frames(await socket.recv())[0]
        except websockets.ConnectionClosed as error:
            raise SpacesUnavailableError(f"The connection was closed: {error}.") from None
        if isinstance(first, frames.ErrorFrame):
            await socket.close()
            raise _error_of(first.code, first.message)
        if not isinstance(first, frames.WelcomeFrame):
            raise SpacesUnavailableError("What answers there does not speak this protocol.")
        self._socket, self.welcome = socket, first
        self.counts["connect"] += 1
        self._connected.set()

    async def _stay_connected(self) -> None:
        backoff_s = FIRST_BACKOFF_S
        while True:
            with suppress(_library().ConnectionClosed):
                async for data in self._socket:
                    backoff_s = FIRST_BACKOFF_S
                    for frame in frames.decode_server_frames(data):
                        await self._take(frame)
            self._connected.clear()
            for future in self._answers.values():
                if not future.done():
                    future.set_exception(ConnectionError("the connection was lost"))
            while not self._connected.is_set():
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)
                try:
                    await self._dial()
                except UnauthenticatedError as error:
                    await self._give_up(error)
                    return
                except SpacesError:
                    continue
            self.reconnections += 1
            for number, follow in list(self._follows.items()):
                await self._subscribe(number, follow)

    async def _give_up(self, error: SpacesError) -> None:
        self._failed = error
        self._connected.set()
        for follow in self._follows.values():
            await follow.queue.put(error)
        for future in self._answers.values():
            if not future.done():
                future.set_exception(error)

    async def _take(self, frame: frames.AnyServerFrame) -> None:
        number = getattr(frame, "id", None)
        future = self._answers.get(number) if isinstance(number, int) else None
        if future is not None:
            if not future.done():
                future.set_result(frame)
            return
        follow = self._follows.get(number) if isinstance(number, int) else None
        if follow is not None:
            await follow.queue.put(frame)

    async def _beat(self) -> None:
        renew_at_us = self._clock.monotonic_us() + self._lease_us() // 2
        while True:
            await self._clock.sleep_us(int(BEAT_S * 1_000_000))
            with suppress(SpacesError, ConnectionError, TimeoutError):
                if self._presence is not None:
                    await self._send(frames.PresenceFrame(state=self._presence[0], status_text=self._presence[1]))
                if self._clock.monotonic_us() >= renew_at_us:
                    token = await self._tokens()
                    await self._ask(lambda number: frames.RenewFrame(id=number, token=token))  # noqa: B023  # used at once
                    renew_at_us = self._clock.monotonic_us() + self._lease_us() // 2

    def _lease_us(self) -> int:
        return 60_000_000 if self.welcome is None else self.welcome.lease_ms * 1000


def _error_of(word: str, message: str, details: dict[str, str | int | bool] | None = None) -> SpacesError:
    if word == "rate_limited":
        return errors.RateLimitedError(message, retry_after_ms=int((details or {}).get("retry_after_ms", 1000)))
    kind = _BY_WORD.get(word, SpacesError)
    return kind(message, details=details)


def _library() -> Any:
    try:
        import websockets
    except ImportError:
        raise MissingExtraError("The client of Spaces", "spaces") from None
    return websockets
