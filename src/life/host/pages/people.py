"""The pages of a daemon: every area's addresses, the login, and what all of them share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from life.aios.errors import InvalidInputError, LifeError
from life.host.access import COOKIE_LIFETIME_S, COOKIE_NAME
from life.host.errors import ForbiddenError
from life.host.http.authentication import auth_of
from life.host.http.problem import EXCEPTION_HANDLERS
from life.host.pages.areas.agents import AgentPages
from life.host.pages.areas.anima import AnimaPages
from life.host.pages.areas.autonomic import AutonomicPages
from life.host.pages.areas.finance import FinancePages
from life.host.pages.areas.inbox import InboxPages
from life.host.pages.areas.lago import LagoPages
from life.host.pages.areas.memory import MemoryPages
from life.host.pages.areas.models import ModelPages
from life.host.pages.areas.policy import PolicyPages
from life.host.pages.areas.praxis import PraxisPages
from life.host.pages.areas.room import Handler, Place, Room, back_to
from life.host.pages.areas.sessions import SessionPages
from life.host.pages.areas.spaces import SpacesPages
from life.host.pages.areas.system import SystemPages
from life.host.pages.areas.vigil import VigilPages
from life.host.pages.listing import FORMATS, export
from life.host.pages.rendering import STATIC_ROUTES, drawn, page
from life.host.pages.visit import PREFERENCES, THEMES, Preferences, Visit
from life.host.pages.words import LANGUAGES

MOVED: Final = {"/ledger": "/finance/ledger", "/identity": "/anima"}
"""Addresses of before."""
_A_YEAR_S: Final = 365 * 24 * 3600

Endpoint = Callable[[Request], Awaitable[Response]]


class Pages:
    """The handlers of one open system."""

    def __init__(self, room: Room) -> None:
        self._room = room
        areas = (
            SessionPages(room),
            InboxPages(room),
            AgentPages(room),
            MemoryPages(room),
            FinancePages(room),
            AutonomicPages(room),
            PolicyPages(room),
            AnimaPages(room),
            PraxisPages(room),
            SpacesPages(room),
            LagoPages(room),
            VigilPages(room),
            SystemPages(room),
            ModelPages(room),
        )
        self._places = [place for area in areas for place in area.places()]

    @property
    def addresses(self) -> list[str]:
        """The paths of every page that is read, in order."""
        return [place.path for place in self._places if place.method == "GET"]

    def routes(self) -> list[Route]:
        """The routes, `/login` and the stylesheet among them."""
        return [
            *STATIC_ROUTES,
            Route("/login", self._login),
            Route("/preferences", self._answered(Place("/preferences", self._prefer, "POST")), methods=["POST"]),
            *(Route(old, _moved(new)) for old, new in MOVED.items()),
            *(Route(place.path, self._answered(place), methods=[place.method]) for place in self._places),
        ]

    async def _login(self, request: Request) -> Response:
        """Redeem a one-time link; without one, say where to get it. HEAD, as link previews send it, redeems nothing."""
        visit = Visit(request, self._room.access)
        code = request.query_params.get("code") if request.method == "GET" else None
        cookie = self._room.access.redeem_link(code) if code else None
        if cookie is None:
            problem = visit.say("That link was used already or is too old.") if code else ""
            status = 401 if code else 200
            return page(visit, "login.html", visit.say("Log in"), problem=problem, status=status, framed=False)
        response = RedirectResponse("/workspace", 303, {"cache-control": "no-store"})
        proxied = request.headers.get("host") in self._room.system.settings.daemon.proxy_hosts
        response.set_cookie(
            COOKIE_NAME,
            cookie,
            max_age=COOKIE_LIFETIME_S,
            path="/",
            secure=proxied,  # the proxy speaks TLS
            httponly=True,
            samesite="strict",
        )
        return response

    async def not_found(self, request: Request, error: Exception) -> Response:
        """An address that there is not: a page for people, the usual problem for programs."""
        if "text/html" not in request.headers.get("accept", ""):
            return EXCEPTION_HANDLERS[HTTPException](request, error)
        visit = Visit(request, self._room.access)
        problem = visit.say("There is no such page.")
        return page(visit, "layout.html", visit.say("That did not work"), status=404, problem=problem)

    async def _prefer(self, visit: Visit) -> Response:
        """Keep language and colours in a cookie, and go back to the page."""
        form = await visit.form()
        language, theme = form.get("language", ""), form.get("theme", "")
        if language not in LANGUAGES or theme not in THEMES:
            raise InvalidInputError("There is no such language, or no such colours.")
        response = back_to(_own_path(form.get("back", "/")))
        response.set_cookie(
            PREFERENCES,
            Preferences(language, theme).cookie(),
            max_age=_A_YEAR_S,
            path="/",
            httponly=True,
            samesite="strict",
        )
        return response

    def _answered(self, place: Place) -> Endpoint:
        """The view that a handler gives, drawn or exported; what Life raised on purpose becomes a page that says so."""
        handler: Handler = place.handler

        async def answered(request: Request) -> Response:
            visit = Visit(request, self._room.access)
            try:
                if auth_of(request.scope).kind in (
                    "agent",
                    "user",
                ):  # whatever let them in here: every page is the operator's
                    raise ForbiddenError("The pages are the operator's.")
                got = await handler(visit)
                if isinstance(got, Response):
                    return got
                form = visit.query.get("format", "")
                if form in FORMATS and place.method == "GET":
                    return export(got, form, visit.path.strip("/").replace("/", "-") or "overview")
                return drawn(visit, got)
            except LifeError as error:
                return page(
                    visit,
                    "layout.html",
                    visit.say("That did not work"),
                    status=error.status,
                    problem=f"{error.message} [{error.code}]",
                    next_step=error.next_step or "",
                )

        return answered


def _moved(target: str) -> Endpoint:
    async def moved(_: Request) -> Response:
        return RedirectResponse(target, 308)

    return moved


def _own_path(path: str) -> str:
    """A path of this very daemon, never another host's: what could be read as one leads home."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if is_own else "/"
