"""The guard at a daemon's door.

Checks, in order, before any route: the Host header is one of ours (a rebound DNS name is not), an Origin header, when
there is one, is our own, and the caller shows the token or a login cookie. A request that changes something and
authenticates by cookie must carry our own Origin or Sec-Fetch-Site `same-origin`: a page elsewhere can't forge either.
Public paths skip only the last check.

Source: ARCHITECTURE.md §2.11; the Fetch standard for Origin and Sec-Fetch-Site.
"""

from __future__ import annotations

from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from life.host.access import COOKIE_NAME, Access
from life.host.errors import ForbiddenError, UnauthorizedError
from life.host.http.problem import problem_response

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Pure ASGI middleware around a daemon's application."""

    def __init__(
        self, app: ASGIApp, access: Access, *, hosts: Collection[str], public_paths: Collection[str] = ()
    ) -> None:
        """`hosts`: the Host header values we answer to (`127.0.0.1:3000`, `localhost:3000`, a proxy's name)."""
        self.app = app
        self._access = access
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(f"{scheme}://{host}" for host in self._hosts for scheme in ("http", "https"))
        self._public_paths = frozenset(public_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or answer it with 401 or 403."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._check(scope, headers)
        except ForbiddenError as error:
            await problem_response(error)(scope, receive, send)
        except UnauthorizedError as error:
            if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
                await RedirectResponse("/login", 303)(scope, receive, send)
            else:
                await problem_response(error)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        if headers.get("host", "").lower() not in self._hosts:
            raise ForbiddenError("This daemon does not answer to that Host name.")
        origin = headers.get("origin")
        if origin is not None and origin.lower() not in self._origins:
            raise ForbiddenError("Requests from pages of another origin are refused.")
        if scope["path"] in self._public_paths:
            return
        authorization = headers.get("authorization", "")
        if authorization[:7].lower() == "bearer ":
            if not self._access.token_is_valid(authorization[7:].strip()):
                raise UnauthorizedError(
                    "The token is not this daemon's.", next_step="Use the token in the data directory."
                )
            return
        cookie = _cookie(headers.get("cookie", ""))
        if cookie is None or not self._access.cookie_is_valid(cookie):
            raise UnauthorizedError(
                "This daemon wants its token.",
                next_step="Send 'Authorization: Bearer <token>' with the token file of the data directory, "
                "or open the one-time link that was printed at start.",
            )
        if (
            scope["method"] not in _SAFE_METHODS
            and origin is None
            and headers.get("sec-fetch-site") not in {"same-origin", "none"}
        ):
            raise ForbiddenError("A form that changes something must come from this daemon's own pages.")


def _cookie(header: str) -> str | None:
    try:
        morsel = SimpleCookie(header).get(COOKIE_NAME)
    except CookieError:
        return None
    return morsel.value if morsel is not None else None
