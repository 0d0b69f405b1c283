"""A seat: one identity's place in Spaces, over an engine in this process or over a connection to a daemon.

    outcome = await seat.submit(SendMessage(channel_id=1, content="hello", client_id="…"))
    async for news in seat.follow(["channel:1"]):
        …

Both kinds log in with agent tokens, renew their lease, say that they are present, and begin anew after a kick or a lost connection with a
fresh token: what the verifier refuses (a revoked key) stays out. Whoever should stay out for other reasons is banned.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple, Protocol

import msgspec

from life.aios.ids import new_id
from life.aios.json import JsonObject
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.telemetry import working_in
from life.spaces.commands import Command
from life.spaces.engine.port import LEASE_US, Engine, Presence, Session, Subscription
from life.spaces.errors import SlowConsumerError, SpacesError, StaleSequenceError, TokenExpiredError
from life.spaces.listeners.websocket.client import News, Snapshot, SpacesClient, Tokens
from life.spaces.listeners.websocket.frames import news_of
from life.spaces.model import PresenceState, Row
from life.spaces.queries import Answer, AnyQuery, TableQuery, topic_queries
from life.spaces.signatures import TYP, claims_for

BEAT_US: Final = 10_000_000
"""Between two heartbeats."""


class Outcome(NamedTuple):
    """What became of a command."""

    position: int
    """Its place in the log; 0 for a transient one, and for one that found nothing to do."""
    space_seq: int
    row: Row | None
    """The row it is about; None where there is none (any more)."""
    duplicate: bool = False
    """It was carried out before; position and row are those of then."""


class Signer(Protocol):
    """Signs as the agent (a part of the Custody port)."""

    async def sign_token(self, claims: JsonObject, *, typ: str = "JWT") -> str:
        """A compact JWS over `claims`, members in the order given; `kid` is the agent's DID."""
        ...


class Seat(Protocol):
    """One identity in Spaces."""

    @property
    def identity(self) -> str:
        """64 hex digits."""
        ...

    @property
    def address(self) -> str:
        """The daemon's; empty for an engine in this process."""
        ...

    async def submit(self, command: Command, *, key: str | None = None, trace_id: str | None = None) -> Outcome:
        """Carry a command out, once, for the span that the caller works in unless another trace is given. SpacesErrors are refusals. Without a key (and a client_id) the call gets a key of its own, so that it
        survives a lost answer; give one to have the same command carried out once over restarts (24 hours)."""
        ...

    async def query(self, query: AnyQuery) -> Answer:
        """Answer a question as this identity sees things."""
        ...

    async def who(self, identities: Sequence[str]) -> list[Presence]:
        """Who of these (at most 200) is here."""
        ...

    async def set_presence(self, state: PresenceState, status_text: str = "") -> None:
        """Be present from now on."""
        ...

    def follow(
        self, topics: Sequence[str], *, queries: Sequence[TableQuery] = (), latest: int = 50, since: int | None = None
    ) -> AsyncGenerator[News, None]:
        """The rows (a Snapshot), then every change, over lost connections and slow reading; after a change of one's own rights with a new
        Snapshot. `since` resumes after a position. SpacesErrors end it."""
        ...

    async def sign(self, place: str, client_id: str, content: str) -> str:
        """The signature of a message (life.spaces.signatures) by the agent's own key."""
        ...


class LocalSeat:
    """A seat over an engine in this process. Made by `LocalSeat.open`."""

    def __init__(self, engine: Engine, tokens: Tokens, signer: Signer, clock: Clock, entropy: Entropy) -> None:
        self._engine = engine
        self._tokens = tokens
        self._signer = signer
        self._clock = clock
        self._entropy = entropy
        self._session: Session | None = None
        self._entering = asyncio.Lock()
        self._presence: tuple[PresenceState, str] | None = None
        self._identity = ""

    @classmethod
    @asynccontextmanager
    async def open(
        cls, engine: Engine, tokens: Tokens, signer: Signer, *, clock: Clock, entropy: Entropy
    ) -> AsyncIterator[LocalSeat]:
        """Log in, and stay logged in. UnauthenticatedError and its leaves when the token is refused."""
        seat = cls(engine, tokens, signer, clock, entropy)
        await seat._entered()
        keeping = asyncio.create_task(seat._keep())
        try:
            yield seat
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            session, seat._session = seat._session, None
            if session is not None:
                with suppress(SpacesError):
                    await engine.logout(session)

    @property
    def identity(self) -> str:
        """See Seat."""
        return self._identity

    @property
    def address(self) -> str:
        """See Seat."""
        return ""

    async def submit(self, command: Command, *, key: str | None = None, trace_id: str | None = None) -> Outcome:
        """See Seat."""
        if key is None and not command.TRANSIENT and getattr(command, "client_id", None) is None:
            key = new_id(self._clock, self._entropy)
        session = await self._entered()
        result = await self._engine.submit(command, session.caller, key=key, trace_id=trace_id or _trace())
        return Outcome(result.position, result.space_seq, result.row, result.duplicate)

    async def query(self, query: AnyQuery) -> Answer:
        """See Seat."""
        return await self._engine.query(query, (await self._entered()).caller)

    async def who(self, identities: Sequence[str]) -> list[Presence]:
        """See Seat."""
        await self._entered()
        return await self._engine.presence(identities)

    async def set_presence(self, state: PresenceState, status_text: str = "") -> None:
        """See Seat."""
        await self._engine.set_presence(await self._entered(), state, status_text)
        self._presence = (state, status_text)

    async def follow(
        self, topics: Sequence[str], *, queries: Sequence[TableQuery] = (), latest: int = 50, since: int | None = None
    ) -> AsyncGenerator[News, None]:
        """See Seat."""
        position = since
        while True:
            try:
                subscription = await self._subscribed(topics, queries, latest, position)
            except StaleSequenceError:
                if position is None:
                    raise
                position = None
                continue
            if position is None:
                position = subscription.position
                yield Snapshot(position, subscription.initial)
            try:
                async for update in subscription:
                    news = news_of(update)
                    position = update.position or position
                    yield news
            except SlowConsumerError:
                pass  # from where it was
            except StaleSequenceError:
                position = None
            except TokenExpiredError:
                if self._session is None:  # the seat is closed
                    raise
            finally:
                await subscription.aclose()

    async def sign(self, place: str, client_id: str, content: str) -> str:
        """See Seat."""
        return await signed(self._signer, self._clock, self._identity, place, client_id, content)

    async def _subscribed(
        self, topics: Sequence[str], queries: Sequence[TableQuery], latest: int, since: int | None
    ) -> Subscription:
        session = await self._entered()
        wanted = [
            query
            for topic in topics
            for query in topic_queries(self._engine.state, topic, session.caller, latest=latest)
        ]
        return await self._engine.subscribe([*wanted, *queries], session.caller, since=since, session=session)

    async def _entered(self) -> Session:
        """The open session; a new one when it was ended."""
        session = self._session
        if session is not None and session.is_open:
            return session
        async with self._entering:
            session = self._session
            if session is None or not session.is_open:
                session = self._session = await self._engine.login(await self._tokens())
                self._identity = session.caller.identity
                if self._presence is not None:
                    await self._engine.set_presence(session, *self._presence)
        return session

    async def _keep(self) -> None:
        renew_at_us = self._clock.monotonic_us() + LEASE_US // 2
        while True:
            await self._clock.sleep_us(BEAT_US)
            session = self._session
            if session is None or not session.is_open:
                continue
            with suppress(SpacesError):
                if self._presence is not None:
                    await self._engine.set_presence(session, *self._presence)
                if self._clock.monotonic_us() >= renew_at_us:
                    await self._engine.renew(session, await self._tokens())
                    renew_at_us = self._clock.monotonic_us() + LEASE_US // 2


class RemoteSeat:
    """A seat over a connection that comes back. The connection is its maker's to close."""

    def __init__(self, client: SpacesClient, address: str, signer: Signer, clock: Clock) -> None:
        self._client = client
        self._address = address
        self._signer = signer
        self._clock = clock

    @property
    def identity(self) -> str:
        """See Seat."""
        assert self._client.welcome is not None  # a connected client was welcomed
        return self._client.welcome.identity

    @property
    def address(self) -> str:
        """See Seat."""
        return self._address

    async def submit(self, command: Command, *, key: str | None = None, trace_id: str | None = None) -> Outcome:
        """See Seat."""
        result = await self._client.call(command, key=key, trace_id=trace_id or _trace())
        return Outcome(result.position, result.space_seq, result.row, result.duplicate)

    async def query(self, query: AnyQuery) -> Answer:
        """See Seat."""
        found = await self._client.query(query)
        return Answer(position=found.position, rows=found.rows, more=found.more, counts=found.counts)

    async def who(self, identities: Sequence[str]) -> list[Presence]:
        """See Seat."""
        return list((await self._client.who(identities)).presences)

    async def set_presence(self, state: PresenceState, status_text: str = "") -> None:
        """See Seat."""
        await self._client.set_presence(state, status_text)

    def follow(
        self, topics: Sequence[str], *, queries: Sequence[TableQuery] = (), latest: int = 50, since: int | None = None
    ) -> AsyncGenerator[News, None]:
        """See Seat."""
        return self._client.follow(topics, queries=queries, latest=latest, since=since)

    async def sign(self, place: str, client_id: str, content: str) -> str:
        """See Seat."""
        return await signed(self._signer, self._clock, self.identity, place, client_id, content)


def _trace() -> str | None:
    """The span that this code works in, when telemetry is on."""
    place = working_in.get()
    return None if place is None else place.traceparent


async def signed(signer: Signer, clock: Clock, sender: str, place: str, client_id: str, content: str) -> str:
    """A message's JWS."""
    claims = claims_for(
        sender=sender, place=place, client_id=client_id, content=content, now_s=clock.now_us() // 1_000_000
    )
    members: JsonObject = msgspec.to_builtins(claims)
    return await signer.sign_token(members, typ=TYP)


OpenSeat = Callable[[], Awaitable[Seat]]
"""Gives the seat, which is opened at the first call. SpacesUnavailableError while nobody answers."""
