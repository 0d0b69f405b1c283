"""Spaces composed: the embedded engine with Anima's verifier at its doors and Lago behind it.

    async with open_spaces(parts, clock=clock, entropy=entropy) as spaces:
        spaces.engine.submit(…); spaces.door (an ASGI application for the WebSocket); spaces.clients.routes() (SpacetimeDB's clients)

The log is `<data directory>/spaces/spaces.db`. Its Hub belongs to the operator, who logs in with the daemon's own token. Agents log in
with agent tokens for the audience `spacesd`; what Anima grants an agent under `spaces:` is its ceiling.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from starlette.types import Scope

from life.aios.errors import LifeError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.anima.errors import AnimaError, TokenRefusedError
from life.anima.scopes import any_covers
from life.host.access import Access
from life.host.anima_verifier import IdentityServices
from life.host.audiences import own_audience
from life.host.http.authentication import granted_scopes
from life.spaces.engine.embedded import EmbeddedEngine, Owner
from life.spaces.engine.port import Engine, Session
from life.spaces.errors import (
    RevokedError,
    SpacesError,
    SpacesUnavailableError,
    TokenExpiredError,
    TokenReplayedError,
    UnauthenticatedError,
)
from life.spaces.export import JournalExport
from life.spaces.identity import check_identity, identity_of
from life.spaces.limits import Limits
from life.spaces.listeners.spacetimedb.listener import SpacetimeDbListener
from life.spaces.listeners.websocket.door import Door
from life.spaces.permissions import Permission
from life.spaces.sessions import Login

AUDIENCE: Final = "spacesd"
OPERATOR: Final = "operator"
"""The subject that the operator's identity is derived from."""
FOLDER: Final = "spaces"
LOG_FILE: Final = "spaces.db"
_GONE: Final = frozenset({"revoked", "superseded", "inactive", "suspended", "sessions_revoked"})


class AnimaTokens:
    """The TokenCheck of Anima's verifier (life.spaces.sessions.TokenCheck)."""

    def __init__(self, services: IdentityServices, clock: Clock, hosts: Collection[str] = ()) -> None:
        """`hosts`: the names that this daemon is reached under. A token for it under one of them counts, and so does one for `spacesd`."""
        self._services = services
        self._clock = clock
        self._hosts = tuple(hosts)

    async def check(self, token: str) -> Login:
        """See TokenCheck. The login's DID is the root of the rotation chain."""
        try:
            audience = own_audience(token, AUDIENCE, self._hosts)
            verified = self._services.verifier.verify_agent_token(token, audience=audience)
        except TokenRefusedError as error:
            raise _refusal(error) from None
        except AnimaError as error:
            raise SpacesUnavailableError(error.message) from None
        standing = self._services.registry.standing(verified.kid_did)
        return Login(
            did=verified.kid_did if standing is None else standing.root_did,
            key=verified.kid_did,
            ceiling=None if standing is None else self._ceiling(verified.agent_id),
            issued_at_s=verified.issued_at_s,
        )

    def _ceiling(self, agent_id: str) -> frozenset[str] | None:
        """What Anima grants the agent under `spaces:`; None when it says nothing about Spaces."""
        scopes = granted_scopes(self._services.registry, agent_id, at_us=self._clock.now_us())
        if not any(scope == "*" or scope.startswith("spaces:") for scope in scopes):
            return None
        return frozenset(
            permission.value for permission in Permission if any_covers(scopes, f"spaces:{permission.value}")
        )

    async def is_revoked(self, login: Login) -> bool:
        """See TokenCheck. A rotated key keeps its session to the end of the lease; a revoked one does not."""
        if not login.key:
            return False
        registry = self._services.registry
        standing = registry.standing(login.key)
        if standing is None:
            return False
        now_us = self._clock.now_us()
        return (
            standing.dead
            or standing.key_state == "revoked"
            or not standing.is_active(now_us)
            or registry.is_suspended(standing, now_us)
            or login.issued_at_s < standing.sessions_not_before_s
        )


def _refusal(error: TokenRefusedError) -> SpacesError:
    if error.reason == "expired":
        return TokenExpiredError(error.message)
    if error.reason == "replayed":
        return TokenReplayedError(error.message)
    if error.reason in _GONE:
        return RevokedError(error.message, details={"reason": error.reason})
    return UnauthenticatedError(error.message, details={"reason": error.reason})


class SpacesParts(NamedTuple):
    """What Spaces is made of."""

    root: Path | None
    """The data directory; None keeps the log in memory."""
    journal: Journal
    access: Access
    services: IdentityServices
    limits: Limits | None = Limits()
    hosts: tuple[str, ...] = ()
    """The names that it is reached under (Host headers)."""


class HostedEngine(Engine, Protocol):
    """What a daemon needs of an engine beyond the port."""

    @property
    def deployment(self) -> str:
        """The log's name, the same for as long as it exists."""
        ...

    async def adopt(self, login: Login) -> Session:
        """A session for somebody whose login the host has checked itself (the daemon's own operator)."""
        ...

    async def extend(self, session: Session, login: Login) -> Session:
        """Prolong one."""
        ...

    async def look(self) -> None:
        """Look after leases and revocations now."""
        ...

    async def committed(self) -> None:
        """Wait until something was stored since the last call."""
        ...


class OpenSpaces(NamedTuple):
    """Running Spaces."""

    engine: HostedEngine
    export: JournalExport
    door: Door
    clients: SpacetimeDbListener

    async def kick(self, identity: str, *, reason: str = "kicked") -> int:
        """End every session of an identity at once, over whatever listener; how many there were. They may log in again: a ban keeps
        somebody out of a space, a revocation out of everything."""
        return await self.engine.kick(check_identity(identity), reason=reason)

    async def disconnect(self) -> None:
        """End all connections, before the server that carries them stops."""
        await asyncio.gather(self.door.aclose(), self.clients.aclose())


@asynccontextmanager
async def open_spaces(
    parts: SpacesParts, *, clock: Clock, entropy: Entropy, admits: Callable[[Scope], bool] = lambda _: True
) -> AsyncIterator[OpenSpaces]:
    """Open the log, its export into the journal, and the WebSocket's door. SpacesUnavailableError while another process has the log."""
    path = None
    if parts.root is not None:
        folder = parts.root / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / LOG_FILE
    tokens = AnimaTokens(parts.services, clock, parts.hosts)
    async with (
        EmbeddedEngine.open(
            path, clock=clock, entropy=entropy, tokens=tokens, owner=Owner(OPERATOR), limits=parts.limits
        ) as engine,
        around(engine, parts, clock=clock, entropy=entropy, admits=admits) as spaces,
    ):
        yield spaces


@asynccontextmanager
async def around(
    engine: HostedEngine,
    parts: SpacesParts,
    *,
    clock: Clock,
    entropy: Entropy,
    admits: Callable[[Scope], bool] = lambda _: True,
) -> AsyncIterator[OpenSpaces]:
    """What stands around an open engine, whichever it is: its export into the journal, its look at revocations, and its listeners."""
    export = JournalExport(engine, parts.journal, clock, deployment=engine.deployment)
    await export.require_behind(engine.state.position)
    exporting = asyncio.create_task(export.run(engine.committed))
    looking: set[asyncio.Task[None]] = set()

    def identity_changed(_agent_id: str) -> None:
        """A revocation ends sessions at once; the engine's own look, every second, only catches what time brings."""
        task = asyncio.get_running_loop().create_task(engine.look())
        looking.add(task)
        task.add_done_callback(looking.discard)

    parts.services.registry.on_change(identity_changed)
    door = Door(
        engine,
        _logins(engine, parts.access),
        renew=_renewals(engine, parts.access),
        admits=admits,
        may_kick=lambda session: session.caller.identity == operator_identity(),
    )
    clients = SpacetimeDbListener(engine, clock=clock, entropy=entropy)
    spaces = OpenSpaces(engine, export, door, clients)
    try:
        yield spaces
    finally:
        await spaces.disconnect()
        exporting.cancel()
        with suppress(asyncio.CancelledError):
            await exporting
        with suppress(LifeError):  # what is missing is exported at the next start
            await export.catch_up()


def _logins(engine: HostedEngine, access: Access) -> Callable[[str], Awaitable[Session]]:
    """Logins by the daemon's own token (the operator, a person) or by an agent's."""

    async def login(token: str) -> Session:
        if access.token_is_valid(token):
            return await engine.adopt(Login(OPERATOR, "", kind="person"))
        return await engine.login(token)

    return login


def _renewals(engine: HostedEngine, access: Access) -> Callable[[Session, str], Awaitable[Session]]:
    async def renew(session: Session, token: str) -> Session:
        if access.token_is_valid(token):
            return await engine.extend(session, Login(OPERATOR, "", kind="person"))
        return await engine.renew(session, token)

    return renew


def operator_identity() -> str:
    """Who the operator is in Spaces."""
    return identity_of(OPERATOR)
