"""The embedded engine: one process, one file, no server (spaces-engines.md §5).

A command is decided against the state in memory at once and waits for the disk with whatever else was submitted in the same pass of
the loop: one transaction, one flush (group commit). It is answered, and told to subscribers, once it is on disk. When the disk
refuses, everybody who waits is told so, and the state is read again from the file: what was not stored did not happen.

    async with EmbeddedEngine.open(path, clock=clock, entropy=entropy, tokens=tokens, owner=owner) as engine:
        result = await engine.submit(SendMessage(channel_id=1, content="hello"), caller)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from life.aios.errors import LifeError
from life.aios.ports.clock import Clock, Entropy
from life.spaces.commands import Admit, Command, Initialize, Sweep
from life.spaces.engine.embedded_store import EmbeddedStore
from life.spaces.engine.port import Health, Presence, Result, Session, Update
from life.spaces.errors import (
    InvalidArgumentError,
    SpacesError,
    SpacesUnavailableError,
    StaleSequenceError,
    TokenExpiredError,
    UnauthenticatedError,
)
from life.spaces.events import Entry, Transient
from life.spaces.identity import SYSTEM, Caller, identity_of
from life.spaces.limits import Limits, RateLimiter
from life.spaces.model import PresenceState, Profile, Space, UserKey
from life.spaces.presence import PresenceBook
from life.spaces.queries import Answer, AnyQuery, TableQuery, answer
from life.spaces.reducers import decide, entry_of
from life.spaces.reducers.repeats import repeated
from life.spaces.reducers.spaces import HUB_ID
from life.spaces.reducers.transaction import Context
from life.spaces.sessions import Login, OpenSession, Sessions, TokenCheck
from life.spaces.state import State
from life.spaces.subscriptions import Fanout, LiveSubscription

_log: Final = logging.getLogger(__name__)

LOOK_US: Final = 1_000_000
"""How often leases, revocations and expired rows are looked after."""
SWEEP_EVERY: Final = 30
"""Looks between two sweeps."""
_NONCE_BYTES: Final = 32


class Owner(NamedTuple):
    """Who owns the Hub of a new log: a root DID (or a stable subject such as `operator`)."""

    did: str
    is_agent: bool = False


class _Pending(NamedTuple):
    entry: Entry
    result: Result
    future: asyncio.Future[Result]
    told: list[tuple[LiveSubscription, Update]]


class EmbeddedEngine:
    """An engine in this process (life.spaces.engine.port.Engine). Made by `EmbeddedEngine.open`."""

    def __init__(
        self, store: EmbeddedStore, state: State, deployment: str, *, clock: Clock, entropy: Entropy, tokens: TokenCheck,
        limits: Limits | None,
    ) -> None:  # fmt: skip
        self._store = store
        self._state = state
        self.deployment = deployment
        """The log's name, the same for as long as the file exists."""
        self._clock = clock
        self._entropy = entropy
        self._limiter = None if limits is None else RateLimiter(limits)
        self.fanout = Fanout(state)
        self._book = PresenceBook()
        self._sessions = Sessions(tokens, clock, entropy, on_end=self._session_ended)
        self._pending: list[_Pending] = []
        self._drain_handle: asyncio.Handle | None = None
        self._committed: asyncio.Event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._chance = b""
        self.accepted = 0
        self.refused = 0
        """Commands carried out and refused since the engine was opened."""
        self.denied = 0
        """Refused for want of a right, a role or a login."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path | None,
        *,
        clock: Clock,
        entropy: Entropy,
        tokens: TokenCheck,
        owner: Owner,
        limits: Limits | None = Limits(),  # noqa: B008  # an immutable value
        synchronous: bool = True,
    ) -> AsyncIterator[EmbeddedEngine]:
        """Open the log at `path` (None: in memory, gone at the end), and begin one with a Hub if there is none.

        `limits` None sets no rate limits. `synchronous` False may lose the newest commands at a power loss, never at a crash. SpacesUnavailableError when the file is in use or can't
        be opened, LogDamagedError when it is not what was stored.
        """
        state = State()
        store = EmbeddedStore(path, deployment=entropy.token_bytes(8).hex(), synchronous=synchronous)
        try:
            loaded = store.load(state)
            engine = cls(store, state, loaded.deployment, clock=clock, entropy=entropy, tokens=tokens, limits=limits)
        except BaseException:
            store.close()
            raise
        try:
            if state.get(Space, HUB_ID) is None and state.position == 0:
                first = Initialize(owner=identity_of(owner.did), owner_did=owner.did, owner_is_agent=owner.is_agent)
                await engine.submit(first, SYSTEM)
            looking = asyncio.create_task(engine._look_after())
            try:
                yield engine
            finally:
                looking.cancel()
                with suppress(asyncio.CancelledError):
                    await looking
        finally:
            await engine.aclose()

    @property
    def state(self) -> State:
        """See the port."""
        return self._state

    # ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def submit(
        self, command: Command, caller: Caller, *, key: str | None = None, trace_id: str | None = None
    ) -> Result:
        """See the port."""
        self._require_open()
        if trace_id is not None and not (len(trace_id) <= 64 and trace_id.isascii() and trace_id.isprintable()):
            raise InvalidArgumentError("A trace id has at most 64 printable ASCII characters.")
        try:
            future = self._accept(command, caller, key, trace_id)
        except SpacesError as error:
            self.refused += 1
            self.denied += error.status in (401, 403)
            raise
        if isinstance(future, Result):
            return future
        return await future

    def _accept(
        self, command: Command, caller: Caller, key: str | None, trace_id: str | None
    ) -> Result | asyncio.Future[Result]:
        now_us = self._clock.now_us()
        state = self._state
        if self._limiter is not None:
            self._limiter.check_command(command, caller, self._clock.monotonic_us())
        first = repeated(state, command, caller, key=key, now_us=max(now_us, state.at_us))
        if first is not None:
            result = Result(first.position, first.space_seq, first.row, duplicate=True)
            return self._after_commit(first.position, result)
        context = Context(max(now_us, state.at_us), self._nonce())
        outcome = decide(state, command, caller, context, key=key)
        for transient in outcome.transients:
            self.fanout.transient(transient)
        if not outcome.events:
            return self._after_commit(state.position, Result(0, 0, outcome.result))
        entry = entry_of(state, command, caller, context, outcome, key=key, trace_id=trace_id)
        applied = state.apply(entry)
        told = self.fanout.prepare(entry, applied)
        space_seq = next((event.space_seq for event in reversed(entry.events) if event.space_seq), 0)
        future: asyncio.Future[Result] = self._loop.create_future()
        self._pending.append(
            _Pending(entry, Result(entry.position, space_seq, outcome.result, outcome.events), future, told)
        )
        if self._drain_handle is None:
            self._drain_handle = self._loop.call_soon(self._drain)
        return future

    def _nonce(self) -> bytes:
        """Chance for one command, drawn for many at once."""
        if len(self._chance) < _NONCE_BYTES:
            self._chance = self._entropy.token_bytes(128 * _NONCE_BYTES)
        nonce, self._chance = self._chance[:_NONCE_BYTES], self._chance[_NONCE_BYTES:]
        return nonce

    def _after_commit(self, position: int, result: Result) -> Result | asyncio.Future[Result]:
        """An answer that rests on an entry which may still wait for the disk."""
        if not self._pending or position < self._pending[0].entry.position:
            return result
        future: asyncio.Future[Result] = self._loop.create_future()
        self._pending[-1].future.add_done_callback(lambda done: _follow(done, future, result))
        return future

    def _drain(self) -> None:
        self._drain_handle = None
        pending, self._pending = self._pending, []
        if not pending:
            return
        try:
            self._store.commit([one.entry for one in pending], self._state)
        except Exception as error:
            self._fall_back(pending, error)
            return
        self.accepted += len(pending)
        for _, result, future, told in pending:
            if told:
                self.fanout.deliver(told)
            if not future.done():  # otherwise its caller was cancelled; it is stored all the same
                future.set_result(result)
        self._committed.set()

    def _fall_back(self, pending: Sequence[_Pending], error: Exception) -> None:
        """Nothing of the group is on disk: read the state again and tell everybody."""
        refusal = error if isinstance(error, SpacesError) else SpacesUnavailableError(f"The log failed: {error}.")
        _log.error("a group of %d commands could not be stored: %s", len(pending), refusal)
        self._state.clear()
        try:
            self._store.load(self._state)
        except SpacesError as damage:
            _log.error("the log can't be read again: %s", damage)
            self._closed = True
        self.fanout.end(lambda _: True, SpacesUnavailableError("The log failed; resume."))
        for one in pending:
            if not one.future.done():
                one.future.set_exception(refusal)

    def flush(self) -> None:
        """Commit what waits, now."""
        if self._drain_handle is not None:
            self._drain_handle.cancel()
            self._drain()

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def query(self, query: AnyQuery, caller: Caller) -> Answer:
        """See the port."""
        self._require_open()
        if self._limiter is not None:
            self._limiter.check_query(caller, self._clock.monotonic_us())
        self.flush()
        return answer(self._state, query, caller)

    async def subscribe(
        self, queries: Sequence[TableQuery], caller: Caller, *, since: int | None = None, session: Session | None = None
    ) -> LiveSubscription:
        """See the port. With a session, the subscription ends with it."""
        self._require_open()
        if session is not None and isinstance(session, OpenSession):
            self._sessions.require_open(session)
        if self._limiter is not None:
            self._limiter.check_query(caller, self._clock.monotonic_us())
        self.flush()
        if since is not None and not 0 <= since <= self._state.position:
            raise StaleSequenceError("This log has no such position; subscribe anew.")
        session_id = None if session is None else session.id
        return self.fanout.add(queries, caller, session_id=session_id, since=since, backlog=self._backlog)

    def _backlog(self, after: int, limit: int) -> list[Entry]:
        self.flush()
        return [] if self._closed else self._store.entries(after, limit=limit)

    async def entries(self, after: int, *, limit: int = 500) -> list[Entry]:
        """See the port."""
        self._require_open()
        self.flush()
        return self._store.entries(after, limit=limit)

    async def committed(self) -> None:
        """Wait until something was stored since the last call: for exporters."""
        await self._committed.wait()
        self._committed.clear()

    def verify(self) -> int:
        """Replay the whole log from empty and compare with the state; how many entries. LogDamagedError at a difference."""
        self.flush()
        return self._store.verify(self._state)

    # ── sessions ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def login(self, token: str) -> OpenSession:
        """See the port. The first login makes the profile and enters the Hub."""
        self._require_open()
        session = await self._sessions.open(token)
        await self._admit(session)
        return session

    async def adopt(self, login: Login) -> OpenSession:
        """A session for somebody whose login the host has checked itself (the daemon's own operator)."""
        self._require_open()
        caller = Caller(
            identity=identity_of(login.did), did=login.did, key=login.key, kind=login.kind, ceiling=login.ceiling
        )
        session = self._sessions.adopt(login, caller)
        await self._admit(session)
        return session

    async def _admit(self, session: OpenSession) -> None:
        caller = session.caller
        known = self._state.get(Profile, caller.identity) is not None
        key_known = not session.login.key or self._state.get(UserKey, (caller.identity, session.login.key)) is not None
        if known and key_known:
            return
        admit = Admit(identity=caller.identity, did=caller.did, key=session.login.key, is_agent=caller.is_agent)
        try:
            if not known and self._limiter is not None:
                self._limiter.check_newcomer(self._clock.monotonic_us())
            await self.submit(admit, SYSTEM)
        except BaseException:
            self._sessions.end(session, "closed")
            raise

    async def renew(self, session: Session, token: str) -> OpenSession:
        """See the port."""
        self._require_open()
        renewed = await self._sessions.renew(_own(session), token)
        await self._admit(renewed)
        return renewed

    async def extend(self, session: Session, login: Login) -> OpenSession:
        """Prolong a session by a login that the host has checked itself."""
        self._require_open()
        return self._sessions.extend(_own(session), login)

    async def logout(self, session: Session, *, reason: str = "closed") -> None:
        """See the port."""
        self._sessions.end(_own(session), reason)

    async def kick(self, identity: str, *, reason: str = "kicked") -> int:
        """See the port."""
        self._require_open()
        ended = self._sessions.kick(identity, reason)
        self.fanout.end(lambda one: one.caller.identity == identity, UnauthenticatedError("You were thrown out."))
        return ended

    def _session_ended(self, session: OpenSession, reason: str) -> None:
        self.fanout.end(
            lambda one: one.session_id == session.id,
            TokenExpiredError("The session is over.", details={"reason": reason}),
        )
        changed = self._book.drop(session.caller.identity, session.id, now_us=self._clock.monotonic_us())
        if changed is not None:
            self._tell_presence(changed)

    # ── presence ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def set_presence(self, session: Session, state: PresenceState, status_text: str = "") -> None:
        """See the port."""
        self._require_open()
        own = _own(session)
        self._sessions.require_open(own)
        changed = self._book.beat(
            own.caller.identity,
            own.id,
            state,
            status_text,
            now_us=self._clock.monotonic_us(),
            wall_us=self._clock.now_us(),
        )
        if changed is not None:
            self._tell_presence(changed)

    async def presence(self, identities: Sequence[str]) -> list[Presence]:
        """See the port."""
        self._require_open()
        now_us = self._clock.monotonic_us()
        return [self._book.of(identity, now_us=now_us) for identity in identities]

    def _tell_presence(self, presence: Presence) -> None:
        data: dict[str, str | int | bool] = {
            "state": presence.state,
            "status_text": presence.status_text,
            "last_seen_us": presence.last_seen_us,
        }
        self.fanout.transient(
            Transient(kind="presence.changed", actor=presence.identity, at_us=self._clock.now_us(), data=data)
        )

    # ── upkeep ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def look(self, *, sweep: bool = False) -> None:
        """Look after leases, revocations, presence and (with `sweep`) expired rows, now; otherwise it happens every second."""
        await self._sessions.look()
        for changed in self._book.expire(now_us=self._clock.monotonic_us()):
            self._tell_presence(changed)
        if sweep:
            await self.submit(Sweep(), SYSTEM)

    async def _look_after(self) -> None:
        looks = 0
        while not self._closed:
            await self._clock.sleep_us(LOOK_US)
            looks += 1
            try:
                await self.look(sweep=looks % SWEEP_EVERY == 0)
            except LifeError as error:
                _log.warning("looking after sessions failed: %s", error)

    async def health(self) -> Health:
        """See the port."""
        return Health(
            ready=not self._closed,
            position=self._state.position,
            sessions=len(self._sessions),
            subscriptions=len(self.fanout),
            detail={
                "engine": "embedded",
                "accepted": self.accepted,
                "refused": self.refused,
                "denied": self.denied,
                "opened": self._sessions.opened,
                "ended": self._sessions.ended,
            },
        )

    async def aclose(self) -> None:
        """See the port."""
        if self._closed:
            return
        self.flush()
        self._closed = True
        self._sessions.close()
        self.fanout.end(lambda _: True, SpacesUnavailableError("The engine is closed."))
        self._store.close()

    def _require_open(self) -> None:
        if self._closed:
            raise SpacesUnavailableError("The engine is closed.")


def _own(session: Session) -> OpenSession:
    if not isinstance(session, OpenSession):
        raise UnauthenticatedError("This session is another engine's.")
    return session


def _follow(done: asyncio.Future[Result], future: asyncio.Future[Result], result: Result) -> None:
    if future.done():
        return
    if done.cancelled() or done.exception() is None:
        future.set_result(result)
    else:
        future.set_exception(SpacesUnavailableError("The log failed."))
