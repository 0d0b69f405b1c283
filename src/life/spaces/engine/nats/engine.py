"""The engine on NATS: one hub (life.spaces.engine.port.Engine). How it works is said in this package's docstring.

async with NatsEngine.open(access, folder / "hub.db", clock=clock, entropy=entropy, tokens=tokens, owner=owner) as engine:
    result = await engine.submit(SendMessage(channel_id=1, content="hello"), caller)
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from life.aios.errors import LifeError
from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.spaces.commands import Admit, Command, Initialize, Sweep
from life.spaces.engine.embedded import Owner
from life.spaces.engine.embedded_store import EmbeddedStore
from life.spaces.engine.nats.blocks import Block, Kick
from life.spaces.engine.nats.contention import Contention
from life.spaces.engine.nats.draft import Asked
from life.spaces.engine.nats.errors import CutOffError
from life.spaces.engine.nats.follower import CONTACT_S, Follower
from life.spaces.engine.nats.link import Link, Msg, RefusedError, UnreachableError, patiently
from life.spaces.engine.nats.names import Names
from life.spaces.engine.nats.once import OnceTokens
from life.spaces.engine.nats.presence import SharedPresence
from life.spaces.engine.nats.replica import Replica
from life.spaces.engine.nats.settings import NatsSettings
from life.spaces.engine.nats.stream import Durability, StreamInfo
from life.spaces.engine.nats.writer import Writer
from life.spaces.engine.port import Health, Presence, Result, Session
from life.spaces.errors import (
    InvalidArgumentError,
    SpacesConflictError,
    SpacesError,
    SpacesUnavailableError,
    StaleSequenceError,
    TokenExpiredError,
    UnauthenticatedError,
)
from life.spaces.events import Entry, Transient
from life.spaces.identity import SYSTEM, Caller, identity_of
from life.spaces.limits import Limits, RateLimiter
from life.spaces.model import PresenceState, Profile, UserKey
from life.spaces.queries import Answer, AnyQuery, TableQuery, answer
from life.spaces.reducers import decide
from life.spaces.reducers.transaction import Context
from life.spaces.sessions import Login, OpenSession, Sessions, TokenCheck
from life.spaces.state import State
from life.spaces.subscriptions import Fanout, LiveSubscription

_log: Final = logging.getLogger(__name__)

T = TypeVar("T")

LOOK_US: Final = 1_000_000
"""How often leases, revocations and presence are looked after."""
SWEEP_EVERY: Final = 30
_MOST_HEEDED: Final = 1_024


class _Told(msgspec.Struct, frozen=True):
    hub: str
    transient: Transient


_json: Final = msgspec.json.Encoder()
_told: Final = msgspec.json.Decoder(_Told)
_kick: Final = msgspec.json.Decoder(Kick)


class NatsEngine:
    """One hub. Made by `open_hub` (life.spaces.engine.nats.opening)."""

    def __init__(
        self,
        link: Link,
        names: Names,
        store: EmbeddedStore,
        state: State,
        *,
        deployment: str,
        sequence: int,
        durability: Durability,
        settings: NatsSettings,
        clock: Clock,
        entropy: Entropy,
        tokens: TokenCheck,
        limits: Limits | None,
    ) -> None:
        self.link = link
        self.names = names
        self.deployment = deployment
        """The log's name, the same for as long as the stream exists."""
        self.durability = durability
        self.hub = new_id(clock, entropy)
        """This process, for as long as it is open."""
        self._store = store
        self._state = state
        self._clock = clock
        self._entropy = entropy
        self._settings = settings
        self._limiter = None if limits is None else RateLimiter(limits)
        self.fanout = Fanout(state)
        self.tokens = OnceTokens(tokens, link, names, replicas=settings.replicas)
        self._sessions = Sessions(self.tokens, clock, entropy, on_end=self._session_ended)
        self.replica = Replica(store, state, self.fanout, sequence=sequence, on_block=self._took)
        self.follower = Follower(link, names, self.replica, deployment, clock=clock, on_damage=self._stop_serving)
        contention = Contention(link, names, self.hub)
        self._contention = contention
        self._writer = Writer(
            link,
            names,
            self.replica,
            self.follower,
            contention,
            hub=self.hub,
            clock=clock,
            entropy=entropy,
            patience_s=settings.patience_s,
            on_transient=self._spread,
        )
        self._presence = SharedPresence(
            link,
            names,
            hub=self.hub,
            clock=clock,
            replicas=settings.replicas,
            on_change=self._tell_presence,
        )
        self._committed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._kick_hooks: list[Callable[[Kick], None]] = []
        self._heeded: OrderedDict[str, None] = OrderedDict()
        """The newest kicks that were carried out here, by their ids."""
        self._damage: SpacesError | None = None
        self._closed = False

    async def begin(self, info: StreamInfo, owner: Owner) -> None:
        """Compare with the servers, read what is missing, listen, and make the Hub if nobody has."""
        sequence = self.replica.sequence
        if sequence:
            last = await self._patiently(lambda: self.link.at(info.config.name, sequence))
            self.replica.check_last(last)
        await self.follower.listen()
        await self._contention.listen()
        await self.link.subscribe(self.names.transient, self._heard_transient)
        await self.link.subscribe(self.names.kick, self._heard_kick)
        await self._patiently(self.follower.sync)
        await self._patiently(self._presence.bucket.open)
        await self._presence.bucket.read()
        await self._patiently(lambda: self.tokens.bucket.open(listen=False))
        if self._state.position == 0:
            first = Initialize(owner=identity_of(owner.did), owner_did=owner.did, owner_is_agent=owner.is_agent)
            with suppress(SpacesConflictError):  # another hub was quicker
                await self.submit(first, SYSTEM)
        self._start(self.follower.run())
        self._start(self._look_after())

    async def _patiently(self, call: Callable[[], Coroutine[None, None, T]]) -> T:
        return await patiently(call, self._settings.name, self._settings.patience_s)

    @property
    def state(self) -> State:
        """See the port. It is the log's, never ahead of it."""
        return self._state

    @property
    def accepted(self) -> int:
        """Commands of this hub that were carried out since it was opened."""
        return self._writer.accepted

    @property
    def refused(self) -> int:
        """Those that were refused."""
        return self._writer.refused

    # ── commands ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def submit(
        self, command: Command, caller: Caller, *, key: str | None = None, trace_id: str | None = None
    ) -> Result:
        """See the port."""
        self._require_open()
        if trace_id is not None and not (len(trace_id) <= 64 and trace_id.isascii() and trace_id.isprintable()):
            raise InvalidArgumentError("A trace id has at most 64 printable ASCII characters.")
        if self._limiter is not None:
            self._limiter.check_command(command, caller, self._clock.monotonic_us())
        self._require_time()
        if command.TRANSIENT and self._show(command, caller):
            return Result(0, 0, None)
        return await self._writer.submit(Asked(command, caller, key, trace_id))

    def _show(self, command: Command, caller: Caller) -> bool:
        """Deliver a transient command at once, without the log. False when it would be refused: that is for the newest state to say."""
        self.follower.require_contact()
        state = self._state
        context = Context(max(self._clock.now_us(), state.at_us), self._writer.nonce())
        try:
            outcome = decide(state, command, caller, context)
        except SpacesError:
            return False
        for transient in outcome.transients:
            self._spread(transient)
        return True

    def _spread(self, transient: Transient) -> None:
        """Tell our own subscribers, and the other hubs."""
        self.fanout.transient(transient)
        self._start(self._say(self.names.transient, _json.encode(_Told(self.hub, transient))))

    async def _say(self, subject: str, body: bytes) -> None:
        await self.link.tell(subject, body)

    async def _heard_transient(self, message: Msg) -> None:
        with suppress(msgspec.MsgspecError):
            told = _told.decode(message.data)
            if told.hub != self.hub:
                self.fanout.transient(told.transient)

    def _took(self, block: Block) -> None:
        """A block was taken from the log, whoever wrote it."""
        self._writer.saw(block)
        for kick in block.kicks:
            self._throw_out(kick)
        if block.entries:
            self._committed.set()

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def query(self, query: AnyQuery, caller: Caller) -> Answer:
        """See the port. CutOffError when what this hub knows may be old."""
        self._require_open()
        self.follower.require_contact()
        if self._limiter is not None:
            self._limiter.check_query(caller, self._clock.monotonic_us())
        return answer(self._state, query, caller)

    async def subscribe(
        self, queries: Sequence[TableQuery], caller: Caller, *, since: int | None = None, session: Session | None = None
    ) -> LiveSubscription:
        """See the port. With a session, the subscription ends with it. A position that only another hub knows yet is waited for."""
        self._require_open()
        self.follower.require_contact()
        if session is not None:
            self._sessions.require_open(_own(session))
        if self._limiter is not None:
            self._limiter.check_query(caller, self._clock.monotonic_us())
        if since is not None and since > self._state.position:
            try:
                await self.follower.sync()
            except (UnreachableError, RefusedError) as error:
                raise CutOffError(str(error)) from None
        if since is not None and not 0 <= since <= self._state.position:
            raise StaleSequenceError("This log has no such position; subscribe anew.")
        session_id = None if session is None else session.id
        return self.fanout.add(queries, caller, session_id=session_id, since=since, backlog=self._backlog)

    def _backlog(self, after: int, limit: int) -> list[Entry]:
        return [] if self._closed else self._store.entries(after, limit=limit)

    async def entries(self, after: int, *, limit: int = 500) -> list[Entry]:
        """See the port."""
        self._require_open()
        return self._store.entries(after, limit=limit)

    async def committed(self) -> None:
        """Wait until something was stored since the last call: for exporters."""
        await self._committed.wait()
        self._committed.clear()

    def verify(self) -> int:
        """Replay the whole log from empty and compare with the state; how many entries. LogDamagedError at a difference."""
        return self._store.verify(self._state)

    # ── sessions ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def login(self, token: str) -> OpenSession:
        """See the port. The first login makes the profile and enters the Hub."""
        self._require_open()
        self.follower.require_contact()
        session = await self._sessions.open(token)
        await self._admit(session)
        return session

    async def adopt(self, login: Login) -> OpenSession:
        """A session for somebody whose login the host has checked itself (the daemon's own operator)."""
        self._require_open()
        self.follower.require_contact()
        session = self._sessions.adopt(login, caller_of(login))
        await self._admit(session)
        return session

    async def _admit(self, session: OpenSession) -> None:
        try:
            await self.admit(session.login)
        except BaseException:
            self._sessions.end(session, "closed")
            raise

    async def admit(self, login: Login) -> None:
        """Make the profile of somebody who logs in for the first time, and note a key that is new."""
        caller = caller_of(login)
        known = self._state.get(Profile, caller.identity) is not None
        if known and (not login.key or self._state.get(UserKey, (caller.identity, login.key)) is not None):
            return
        admit = Admit(identity=caller.identity, did=caller.did, key=login.key, is_agent=caller.is_agent)
        await self.submit(admit, SYSTEM)

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
        """See the port. Here at once, on the other hubs as soon as they hear it; it is in the log when this returns, so a hub that is
        cut off now learns it before it serves anything again. SpacesUnavailableError when the log can't be written."""
        return await self.throw_out(Kick(identity=identity, reason=reason))

    async def throw_out(self, kick: Kick) -> int:
        """The same for one key of an identity, with any reason."""
        self._require_open()
        kick = self._named(kick)
        ended = self._throw_out(kick)
        await self.link.tell(self.names.kick, _json.encode(kick))
        await self._writer.submit(Asked(None, SYSTEM, kick=kick))
        return ended

    def on_kick(self, hook: Callable[[Kick], None]) -> None:
        """Call this for everybody who is thrown out, on whatever hub that was asked for."""
        self._kick_hooks.append(hook)

    def _named(self, kick: Kick) -> Kick:
        return replace(kick, kick_id=new_id(self._clock, self._entropy))

    def _throw_out(self, kick: Kick) -> int:
        if kick.kick_id in self._heeded:
            return 0
        if kick.kick_id:
            self._heeded[kick.kick_id] = None
            if len(self._heeded) > _MOST_HEEDED:
                self._heeded.popitem(last=False)
        ended = self._sessions.kick(kick.identity, kick.reason, key=kick.key)
        if not kick.key:
            self.fanout.end(
                lambda one: one.caller.identity == kick.identity, UnauthenticatedError("You were thrown out.")
            )
        for hook in self._kick_hooks:
            hook(kick)
        return ended

    async def _heard_kick(self, message: Msg) -> None:
        with suppress(msgspec.MsgspecError):
            self._throw_out(_kick.decode(message.data))

    def _session_ended(self, session: OpenSession, reason: str) -> None:
        self.fanout.end(
            lambda one: one.session_id == session.id,
            TokenExpiredError("The session is over.", details={"reason": reason}),
        )
        identity = session.caller.identity
        self._presence.forget(identity, session.id)
        self._start(self._presence.drop(identity, session.id))

    # ── presence ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def set_presence(self, session: Session, state: PresenceState, status_text: str = "") -> None:
        """See the port."""
        self._require_open()
        own = _own(session)
        self._sessions.require_open(own)
        await self._presence.beat(own.caller.identity, own.id, state, status_text)

    async def present(self, identity: str, connection: str, state: PresenceState, status_text: str = "") -> None:
        """A heartbeat of a connection that has no session here: an agent's that is connected to the servers."""
        self._require_open()
        await self._presence.beat(identity, connection, state, status_text)

    async def leave(self, identity: str, connection: str) -> None:
        """Such a connection is gone."""
        self._presence.forget(identity, connection)
        await self._presence.drop(identity, connection)

    async def presence(self, identities: Sequence[str]) -> list[Presence]:
        """See the port."""
        self._require_open()
        return [self._presence.of(identity) for identity in identities]

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
        """Look after leases, revocations, presence and (with `sweep`) expired rows, now; otherwise it happens every second.

        Whoever is found revoked here is thrown out on every hub.
        """
        for login in await self._sessions.look():
            await self.announce(Kick(identity=identity_of(login.did), reason="revoked", key=login.key))
        self._presence.expire()
        if sweep:
            await self.submit(Sweep(), SYSTEM)

    async def announce(self, kick: Kick) -> None:
        """Throw out here, and tell every hub, at once and in the log; nobody waits for the log."""
        kick = self._named(kick)
        self._throw_out(kick)
        await self.link.tell(self.names.kick, _json.encode(kick))
        self._writer.submit(Asked(None, SYSTEM, kick=kick)).add_done_callback(_heed)

    async def _look_after(self) -> None:
        looks = int.from_bytes(self._entropy.token_bytes(1)) % SWEEP_EVERY  # not all hubs at once
        while not self._closed:
            await self._clock.sleep_us(LOOK_US)
            looks += 1
            try:
                await self.look(sweep=looks % SWEEP_EVERY == 0)
            except LifeError as error:
                _log.warning("looking after sessions failed: %s", error)

    async def health(self) -> Health:
        """See the port."""
        detail: dict[str, int | str] = {
            "engine": "nats",
            "accepted": self.accepted,
            "refused": self.refused,
            "sequence": self.replica.sequence,
            "blocks": self._writer.blocks,
            "late_blocks": self._contention.losses,
            "skew_ms": self.follower.skew_us // 1000,
            "silence_ms": int(self.follower.silence_s * 1000),
            "durability": self.durability.level,
        }
        if self._damage is not None:
            detail["damage"] = self._damage.message
        return Health(
            ready=not self._closed and self._damage is None and self.follower.silence_s <= CONTACT_S,
            position=self._state.position,
            sessions=len(self._sessions),
            subscriptions=len(self.fanout),
            detail=detail,
        )

    async def aclose(self) -> None:
        """See the port."""
        if self._closed:
            return
        if self._damage is None:
            await self._writer.finish()
        self._sessions.close()
        self._closed = True
        error = SpacesUnavailableError("The engine is closed.")
        self._writer.close(error)
        self.fanout.end(lambda _: True, error)
        await self._writer.stop()
        await asyncio.sleep(0)  # whoever left is told to the other hubs
        leaving = [task for task in self._tasks if not task.done()]
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)

    def reconnected(self) -> None:
        """The connection was made anew: something may have been said meanwhile."""
        self.follower.ring()
        self._start(self._read_presence())

    async def _read_presence(self) -> None:
        await self._presence.bucket.read()

    def _stop_serving(self, damage: SpacesError) -> None:
        """What is here is not the log any more: serve nothing of it."""
        if self._damage is not None:
            return
        _log.error("this hub stops serving: %s", damage)
        self._damage = damage
        self._writer.close(damage)
        self.fanout.end(lambda _: True, damage)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        if self._closed:
            work.close()
            return
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _require_time(self) -> None:
        """SpacesUnavailableError when this hub's clock is wrong: the log's time never goes back, so it would be wrong for all."""
        limit = self._settings.max_skew_us
        if limit is not None and abs(self.follower.skew_us) > limit:
            raise SpacesUnavailableError(
                f"This machine's clock differs from the NATS servers' by {self.follower.skew_us / 1e6:+.0f} seconds.",
                next_step="Set the clocks, by NTP; then commands are taken again.",
            )

    def _require_open(self) -> None:
        if self._closed:
            raise SpacesUnavailableError("The engine is closed.")
        if self._damage is not None:
            raise self._damage


def caller_of(login: Login) -> Caller:
    """Who acts in a session that this login opened."""
    return Caller(identity=identity_of(login.did), did=login.did, key=login.key, kind=login.kind, ceiling=login.ceiling)


def _own(session: Session) -> OpenSession:
    if not isinstance(session, OpenSession):
        raise UnauthenticatedError("This session is another engine's.")
    return session


def _heed(done: asyncio.Future[Result]) -> None:
    """Nobody waits for this answer; a failure is worth a line."""
    if not done.cancelled() and done.exception() is not None:
        _log.warning("a revocation could not be written to the log: %s", done.exception())
