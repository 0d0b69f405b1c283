"""`arcand`: the session API, the event stream and the pages of one data directory."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

import life
from life.aios.ports.http import Operation
from life.aios.record import EventRecord
from life.anima.custody.process_hardening import harden_process
from life.arcan.api import SessionApi
from life.host.access import Access, load_or_create_token
from life.host.clock import SystemClock, SystemEntropy
from life.host.data_directory import DataDirectory
from life.host.http.events import EventStreamResponse, resume_cursor
from life.host.http.guard import Guard
from life.host.http.problem import EXCEPTION_HANDLERS, UnexpectedErrors
from life.host.http.routes import ApiOperation, openapi_document, routes
from life.host.http.server import bind, bracketed, check_bind, host_names, local_address, serve
from life.host.keys import Prompt
from life.host.pages.people import Pages
from life.host.settings import Settings
from life.host.system import System, open_system

PUBLIC_PATHS: Final = ("/health", "/login", "/static/life.css")


class Health(msgspec.Struct, frozen=True):
    """The daemon answers, its journal was verified, and open runs were taken up."""

    status: str
    service: str
    version: str
    uptime_seconds: int


class LoginLink(msgspec.Struct, frozen=True):
    """A path with a one-time code; it works once, for ten minutes."""

    path: str


class Started(NamedTuple):
    """What a person is told when the daemon answers."""

    address: str
    """Where it listens."""
    login_link: str
    """Under the first proxy's name, when there is one."""
    system: System
    recovered: list[str]


async def run_arcand(root: Path, settings: Settings, *, on_ready: Callable[[Started], None], prompt: Prompt) -> None:
    """Open everything, serve until SIGINT or SIGTERM, close everything."""
    daemon = settings.daemon
    check_bind(daemon.host, daemon.proxy_hosts)
    harden_process()
    clock, entropy = SystemClock(), SystemEntropy()
    data = DataDirectory.create(root)
    with data.lock("arcand") as lock:
        listener = bind(daemon.host, daemon.port)
        port = listener.getsockname()[1]
        with listener:
            access = Access(load_or_create_token(data.token, entropy), clock, entropy)
            async with open_system(
                root, settings=settings, environment=os.environ, prompt=prompt, journal_writer=daemon.journal_writer
            ) as system:
                recovered = await system.runtime.recover_all()
                app = application(system, access, hosts=host_names(daemon.host, port, daemon.proxy_hosts))
                address = f"http://{bracketed(daemon.host)}:{port}"
                people = f"https://{daemon.proxy_hosts[0]}" if daemon.proxy_hosts else address
                ready = Started(address, f"{people}/login?code={access.new_link_code()}", system, recovered)

                def tell() -> None:
                    lock.publish(local_address(daemon.host, port))
                    on_ready(ready)

                await serve(app, listener, tell, on_stop=system.runtime.aclose)


def application(system: System, access: Access, *, hosts: list[str]) -> ASGIApp:
    """The ASGI application of one open system, behind the guard."""
    started_us = system.clock.monotonic_us()

    async def health(_: Request) -> Response:
        uptime_s = (system.clock.monotonic_us() - started_us) // 1_000_000
        return _json(Health("ok", "arcan", life.__version__, uptime_s))

    async def login_link(_: Request) -> Response:
        return _json(LoginLink(f"/login?code={access.new_link_code()}"), 201)

    async def openapi(_: Request) -> Response:
        return Response(document, media_type="application/json")

    operations: list[ApiOperation] = [
        Operation("GET", "/health", "Whether the daemon answers", health, None, Health),
        Operation("POST", "/login-links", "A one-time link for a browser", login_link, None, LoginLink, status=201),
        *SessionApi(system.runtime, system.journal, _stream).operations(),
    ]
    document = openapi_document("Arcan session API", operations)
    pages = Pages(system, access, started_us)
    app = Starlette(
        routes=[
            *_by_media_type(routes(operations), pages.routes()),
            Route("/openapi.json", openapi),
        ],
        exception_handlers=EXCEPTION_HANDLERS,
    )
    app.router.redirect_slashes = False  # an address is right or unknown
    return UnexpectedErrors(Guard(app, access, hosts=hosts, public_paths=PUBLIC_PATHS))


def _by_media_type(api: list[Route], pages: list[Route]) -> list[Route]:
    """Programs and forms post to the same `/sessions`; the form's media type tells them apart."""
    form = next(route for route in pages if route.path == "/sessions")
    json = next(route for route in api if route.path == "/sessions" and "POST" in (route.methods or ()))

    async def either(request: Request) -> Response:
        is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        answer: Response = await (form if is_form else json).endpoint(request)
        return answer

    both = Route("/sessions", either, methods=["POST"])
    return [both, *(route for route in api if route is not json), *(route for route in pages if route is not form)]


def _stream(request: Request, after: Callable[[int], AsyncIterator[EventRecord]]) -> Response:
    return EventStreamResponse(after(resume_cursor(request)))


def _json(value: msgspec.Struct, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, {"cache-control": "no-store"}, "application/json")
