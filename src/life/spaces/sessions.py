"""Logins: an agent token opens a session with a lease; kick, expiry and revocation end it at once (spaces.md §13).

The token is checked by a `TokenCheck`, which the host makes of Anima's verifier. The session's caller is the root DID's identity, so
a rotated key is the same caller. A lease lasts 15 minutes and is prolonged by a fresh token of the same identity.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from msgspec import structs

from life.aios.ids import new_id
from life.aios.ports.clock import Clock, Entropy
from life.spaces.engine.port import LEASE_US
from life.spaces.errors import SpacesUnavailableError, TokenExpiredError, UnauthenticatedError
from life.spaces.identity import Caller, CallerKind, identity_of

MAX_SESSIONS: Final = 20_000
MAX_PER_IDENTITY: Final = 50


class Login(NamedTuple):
    """What a token proved."""

    did: str
    """The root DID (or another stable subject)."""
    key: str
    """The did:key that signed; empty for a login without one."""
    kind: CallerKind = "agent"
    ceiling: frozenset[str] | None = None
    issued_at_s: int = 0


class TokenCheck(Protocol):
    """Who presents a token, and whether they still may be here."""

    async def check(self, token: str) -> Login:
        """What the token proves, once. UnauthenticatedError and its leaves."""
        ...

    async def is_revoked(self, login: Login) -> bool:
        """Whether a session opened by this login must end: the key or the identity was revoked since."""
        ...


class OpenSession:
    """A login (life.spaces.engine.port.Session)."""

    def __init__(self, session_id: str, login: Login, caller: Caller, lease_until_us: int) -> None:
        self._id = session_id
        self.login = login
        self._caller = caller
        self.lease_until_us = lease_until_us
        self._end: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def id(self) -> str:
        """Unique."""
        return self._id

    @property
    def caller(self) -> Caller:
        """Who it is."""
        return self._caller

    def adopt(self, caller: Caller) -> None:
        """The same identity with another key or ceiling."""
        self._caller = caller

    @property
    def is_open(self) -> bool:
        """Whether it still counts."""
        return not self._end.done()

    @property
    def reason(self) -> str | None:
        """Why it ended."""
        return self._end.result() if self._end.done() else None

    async def closed(self) -> str:
        """Wait for the end and say why."""
        return await asyncio.shield(self._end)

    def end(self, reason: str) -> None:
        """End it."""
        if not self._end.done():
            self._end.set_result(reason)


class Sessions:
    """The open sessions of one process. `on_end` is called with each that ends."""

    def __init__(
        self,
        tokens: TokenCheck,
        clock: Clock,
        entropy: Entropy,
        *,
        on_end: Callable[[OpenSession, str], None],
        lease_us: int = LEASE_US,
    ) -> None:
        self._tokens = tokens
        self._clock = clock
        self._entropy = entropy
        self._on_end = on_end
        self._lease_us = lease_us
        self._open: dict[str, OpenSession] = {}
        self._of: dict[str, dict[str, OpenSession]] = {}
        self.opened = 0
        self.ended = 0
        """How many so far."""

    def __len__(self) -> int:
        return len(self._open)

    async def open(self, token: str) -> OpenSession:
        """A session for whoever the token proves."""
        login = await self._tokens.check(token)
        if not login.did:
            raise UnauthenticatedError("The token names nobody.")
        caller = Caller(
            identity=identity_of(login.did), did=login.did, key=login.key, kind=login.kind, ceiling=login.ceiling
        )
        return self.adopt(login, caller)

    def adopt(self, login: Login, caller: Caller) -> OpenSession:
        """A session for somebody whose login was checked elsewhere."""
        mine = self._of.get(caller.identity, {})
        if len(self._open) >= MAX_SESSIONS or len(mine) >= MAX_PER_IDENTITY:
            raise SpacesUnavailableError("Too many sessions are open.")
        until_us = self._clock.monotonic_us() + self._lease_us
        session = OpenSession(new_id(self._clock, self._entropy), login, caller, until_us)
        self._open[session.id] = session
        self.opened += 1
        self._of.setdefault(caller.identity, {})[session.id] = session
        return session

    async def renew(self, session: OpenSession, token: str) -> OpenSession:
        """Prolong by a fresh token of the same identity; its ceiling is the new one's from then on."""
        return self.extend(session, await self._tokens.check(token))

    def extend(self, session: OpenSession, login: Login) -> OpenSession:
        """Prolong by a login that was checked elsewhere."""
        if not session.is_open:
            raise TokenExpiredError("The session is over.")
        if identity_of(login.did) != session.caller.identity:
            raise UnauthenticatedError("The token is somebody else's.")
        session.login = login
        session.adopt(structs.replace(session.caller, key=login.key, ceiling=login.ceiling))
        session.lease_until_us = self._clock.monotonic_us() + self._lease_us
        return session

    def require_open(self, session: OpenSession) -> None:
        """TokenExpiredError when it is over."""
        if not session.is_open:
            raise TokenExpiredError("The session is over.", details={"reason": session.reason or ""})

    def end(self, session: OpenSession, reason: str) -> None:
        """End one."""
        if self._open.pop(session.id, None) is None:
            return
        mine = self._of[session.caller.identity]
        del mine[session.id]
        if not mine:
            del self._of[session.caller.identity]
        self.ended += 1
        session.end(reason)
        self._on_end(session, reason)

    def kick(self, identity: str, reason: str, *, key: str = "") -> int:
        """End all of an identity's; with `key`, those that this did:key opened."""
        mine = [one for one in self._of.get(identity, {}).values() if not key or one.login.key == key]
        for session in mine:
            self.end(session, reason)
        return len(mine)

    async def look(self) -> list[Login]:
        """End the sessions whose lease ran out or whose login was revoked; the revoked logins. To be called every second or so."""
        now_us = self._clock.monotonic_us()
        verdicts: dict[Login, bool] = {}
        for session in list(self._open.values()):
            if session.lease_until_us <= now_us:
                self.end(session, "expired")
                continue
            if session.login not in verdicts:
                verdicts[session.login] = await self._tokens.is_revoked(session.login)
            if verdicts[session.login]:
                self.end(session, "revoked")
        return [login for login, is_revoked in verdicts.items() if is_revoked]

    def close(self) -> None:
        """End all."""
        for session in list(self._open.values()):
            self.end(session, "engine_closed")
