"""Agents and users at a daemon's door, beside its own token.

`Authenticated` stands around the guarded application. A bearer token that is the daemon's own passes on unchanged, as do cookies;
the guard checks them. An agent token (or a user's, where a secret is configured) is verified here, and then the request goes
on with the daemon's token in its place, so that the guard's other checks hold for it too. What it may do is another
question: every route that agents and users may call at all is named with the scope that it needs, and everything else is
refused to them.

Who asks stands in `scope["life.auth"]`; `auth_of` reads it. Scopes of an agent are its unconditional grants in the journal, within
what its parents delegated, and those of a permit that it shows in `Life-Capability` (life.anima.capability_tokens), when
the permit begins with an agent whom this daemon trusts. A user's are those in its token.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Final, Literal, NamedTuple

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from life.aios.errors import LifeError
from life.aios.ports.clock import Clock
from life.anima.capability_tokens import Permit, verify_capability
from life.anima.errors import ScopeInsufficientError, TokenRefusedError
from life.anima.registry import IdentityRegistry
from life.anima.scopes import any_covers
from life.anima.verifier import VerifiedToken
from life.crypto.base64url import decode_base64url
from life.crypto.errors import CryptoError
from life.crypto.strict_json import decode_json_object
from life.host.access import COOKIE_NAME, Access
from life.host.anima_verifier import IdentityServices
from life.host.errors import UnauthorizedError
from life.host.http.problem import problem_response

AUTH_KEY: Final = "life.auth"
CAPABILITY_HEADER: Final = b"life-capability"
_AUTHORIZATION: Final = b"authorization"
_VAULT: Final = "vault:"

CallerKind = Literal["operator", "person", "agent", "user", "anonymous"]


class AuthContext(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks. `subject` is the agent id, the user id, or empty; `scopes` are patterns."""

    kind: CallerKind
    subject: str = ""
    did: str | None = None
    scopes: tuple[str, ...] = ()
    permit: Permit | None = None

    def may(self, scope: str) -> bool:
        """Whether the caller has a scope."""
        return any_covers(self.scopes, scope)


OPERATOR: Final = AuthContext(kind="operator", scopes=("*",))
PERSON: Final = AuthContext(kind="person", scopes=("*",))
ANONYMOUS: Final = AuthContext(kind="anonymous")


class RouteScope(NamedTuple):
    """A route that agents and users may call, and the scope it needs. `{name}` in the path stands for one segment, `{name:path}` for
    the rest."""

    method: str
    path: str
    scope: str

    def matches(self, method: str, path: str) -> bool:
        """Whether a request is one of this route."""
        pattern = re.sub(r"\\{\w+:path\\}", ".*", re.escape(self.path))
        pattern = re.sub(r"\\{[^/{}]+\\}", "[^/]+", pattern)
        return method == self.method and re.fullmatch(pattern, path) is not None


def auth_of(scope: Scope) -> AuthContext:
    """Who asks; anonymous when nobody said."""
    auth = scope.get(AUTH_KEY)
    return auth if isinstance(auth, AuthContext) else ANONYMOUS


def require_scopes(scope: Scope, *names: str) -> AuthContext:
    """Who asks, when they have every scope named; UnauthorizedError for nobody, ScopeInsufficientError for too little."""
    auth = auth_of(scope)
    if auth.kind == "anonymous":
        raise UnauthorizedError("This daemon wants to know who asks.", next_step="Send a bearer token.")
    for name in names:
        if not auth.may(name):
            raise ScopeInsufficientError(
                f"This needs the scope {name}.", details={"required": name, "present": " ".join(auth.scopes)[:512]}
            )
    return auth


def require_session(scope: Scope, session_id: str, *, owner: str) -> AuthContext:
    """Who asks, when the session is theirs: operators open all, a user only `vault:<own id>`, an agent its own (AN-VER-11).

    `owner` is the agent id of the session. ScopeInsufficientError otherwise.
    """
    auth = require_scopes(scope)
    own = (
        auth.kind in ("operator", "person")
        or (auth.kind == "user" and session_id == _VAULT + auth.subject)
        or (auth.kind == "agent" and owner == auth.subject)
    )
    if not own:
        raise ScopeInsufficientError("This session belongs to somebody else.", details={"session_id": session_id})
    return auth


class Authenticated:
    """Pure ASGI middleware around a guarded application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access,
        token: str,
        services: IdentityServices,
        clock: Clock,
        routes: Sequence[RouteScope],
        is_trusted: Callable[[str], bool] = lambda _agent_id: False,
        every_agent: tuple[str, ...] = (),
        public_paths: Collection[str] = (),
    ) -> None:
        """`token` is the daemon's own; `routes` what agents and users may call; `is_trusted` says of an agent id whether
        permits that begin with it count here (usually: the host's own agent). `every_agent`: scopes that all agents have who show a
        valid token, granted or not. `public_paths` are told to everybody: a token shown there is neither checked nor used up."""
        self.app = app
        self._access = access
        self._token = token.encode()
        self._services = services
        self._clock = clock
        self._routes = tuple(routes)
        self._is_trusted = is_trusted
        self._every_agent = every_agent
        self._public_paths = frozenset(public_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say who asks, and pass the request on; or answer it with 401, 403 or 503."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            inner = self._identified(scope)
        except LifeError as error:
            await problem_response(error)(scope, receive, send)
        else:
            await self.app(inner, receive, send)

    def _identified(self, scope: Scope) -> Scope:
        bearer = _bearer(scope)
        if bearer is None:
            return {**scope, AUTH_KEY: PERSON if self._has_cookie(scope) else ANONYMOUS}
        if self._access.token_is_valid(bearer):
            return {**scope, AUTH_KEY: OPERATOR}
        if bearer.count(".") != 2:
            return {**scope, AUTH_KEY: ANONYMOUS}  # the guard says what is wrong with it
        if scope["path"] in self._public_paths:
            return {**scope, AUTH_KEY: ANONYMOUS}
        auth = self._verified(bearer, scope)
        route = next((item for item in self._routes if item.matches(scope["method"], scope["path"])), None)
        if route is None:
            raise ScopeInsufficientError("Agents and users may not call this here.", details={"present": auth.kind})
        if not auth.may(route.scope):
            raise ScopeInsufficientError(
                f"This needs the scope {route.scope}.",
                details={"required": route.scope, "present": " ".join(auth.scopes)[:512]},
            )
        headers = [(name, value) for name, value in scope["headers"] if name != _AUTHORIZATION]
        headers.append((_AUTHORIZATION, b"Bearer " + self._token))
        return {**scope, "headers": headers, AUTH_KEY: auth}

    def _verified(self, bearer: str, scope: Scope) -> AuthContext:
        """The caller behind a token. Its own type chooses the entry, and each entry accepts one family of algorithms."""
        users = self._services.user_tokens
        if users is not None and _claimed_type(bearer) != "agent+jwt":
            claims = users.verify_user_token(bearer)
            return AuthContext(kind="user", subject=claims.sub, scopes=claims.scopes)
        token = self._services.verifier.verify_agent_token(bearer)
        permit = self._permit(scope, token)
        granted = granted_scopes(self._services.registry, token.agent_id, at_us=self._clock.now_us())
        granted = (*granted, *self._every_agent)
        return AuthContext(
            kind="agent",
            subject=token.agent_id,
            did=token.current_did,
            scopes=granted if permit is None else (*granted, *permit.scopes()),
            permit=permit,
        )

    def _permit(self, scope: Scope, token: VerifiedToken) -> Permit | None:
        shown = [value for name, value in scope["headers"] if name == CAPABILITY_HEADER]
        if not shown:
            return None
        if len(shown) > 1:
            raise TokenRefusedError("invalid", "A request shows one permit at most.")
        return verify_capability(
            shown[0].decode("latin-1"),
            presenter_did=token.kid_did,
            identities=self._services.registry,
            is_trusted=self._is_trusted,
            clock=self._clock,
        )

    def _has_cookie(self, scope: Scope) -> bool:
        for name, value in scope["headers"]:
            if name == b"cookie":
                try:
                    morsel = SimpleCookie(value.decode("latin-1")).get(COOKIE_NAME)
                except CookieError:
                    continue
                if morsel is not None and self._access.cookie_is_valid(morsel.value):
                    return True
        return False


def granted_scopes(registry: IdentityRegistry, agent_id: str, *, at_us: int) -> tuple[str, ...]:
    """The capabilities that an agent may use without conditions now."""
    state = registry.state(agent_id)
    if state is None:
        return ()
    return tuple(
        grant.capability
        for grant in state.active_grants(at_us)
        if not grant.constraints and registry.allows(agent_id, grant.capability, {}, at_us=at_us)
    )


def _bearer(scope: Scope) -> str | None:
    """The bearer token of a request, or None. Several Authorization headers are refused: which one counts is a matter of taste."""
    values: list[bytes] = [value for name, value in scope["headers"] if name == _AUTHORIZATION]
    if len(values) > 1:
        raise UnauthorizedError("A request has one Authorization header at most.", next_step="Send one.")
    if not values or values[0][:7].lower() != b"bearer ":
        return None
    return values[0][7:].decode("latin-1").strip()


def _claimed_type(token: str) -> object:
    try:
        return decode_json_object(decode_base64url(token.partition(".")[0])).get("typ")
    except CryptoError:
        return None
