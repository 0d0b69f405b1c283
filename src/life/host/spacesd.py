"""`spacesd`: Spaces over its own WebSocket and for SpacetimeDB's clients (docs/spaces.md, docs/spacetimedb.md).

    GET /health, GET /health/ready      public
    everything of life.host.spaces_routes

The log is in the data directory, the events reach the journal there as well. Renewing the operator's session is a matter of the
token, too: every connection logs in anew.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

import life
from life.aios.errors import MissingExtraError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.anima.custody.process_hardening import harden_process
from life.host.access import Access, load_or_create_token
from life.host.anima_verifier import open_identity_services
from life.host.clock import SystemClock, SystemEntropy
from life.host.data_directory import DirectoryLock
from life.host.haima_directory import JOURNAL_FILE, lock_directory, open_directory
from life.host.haima_facilitator import http_address
from life.host.http.guard import Guard
from life.host.http.problem import EXCEPTION_HANDLERS, UnexpectedErrors
from life.host.http.routes import routes
from life.host.http.server import bind, check_bind, host_names, local_address, serve
from life.host.spaces import AUDIENCE, OpenSpaces, SpacesParts, open_spaces
from life.host.spaces_nats import NatsPlace, SpacesNatsSettings, open_spaces_on_nats
from life.host.spaces_routes import MAX_FRAME_BYTES, BesideSpaces, admits, spaces_operations
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal
from life.spaces.listeners.websocket.door import bound_unsent

DAEMON: Final = "spacesd"
PUBLIC_PATHS: Final = ("/health", "/health/ready")


class Health(msgspec.Struct, frozen=True):
    """The daemon answers."""

    status: str
    service: str
    version: str


class SpacesdStarted(NamedTuple):
    """The daemon answers requests."""

    address: str
    root: Path | None
    token_file: Path
    deployment: str
    nats: NatsPlace | None = None
    """Where the log is, if it is on NATS."""


class SpacesdSettings(NamedTuple):
    """How the daemon runs."""

    root: Path | None
    """The data directory; None keeps everything in memory."""
    admit_strangers: bool = False
    """Whether agents whom the journal knows nothing of may log in: their token proves a key, and nothing about revocations."""
    nats: SpacesNatsSettings | None = None
    """Keep the log on NATS instead of in the data directory."""


def application(spaces: OpenSpaces, access: Access, *, hosts: list[str]) -> ASGIApp:
    """The ASGI application: the listeners beside the guarded HTTP routes."""
    health = _health(spaces)
    app = Starlette(
        routes=[*(Route(path, health) for path in PUBLIC_PATHS), *routes(spaces_operations(spaces))],
        exception_handlers=EXCEPTION_HANDLERS,
    )
    app.router.redirect_slashes = False
    guarded = Guard(app, access, hosts=hosts, public_paths=PUBLIC_PATHS)
    return BesideSpaces(UnexpectedErrors(guarded), spaces, hosts=hosts)


def _health(spaces: OpenSpaces) -> Callable[[Request], Awaitable[Response]]:
    async def health(_: Request) -> Response:
        ready = (await spaces.engine.health()).ready
        body = Health("ok" if ready else "unavailable", DAEMON, life.__version__)
        return Response(msgspec.json.encode(body), 200 if ready else 503, media_type="application/json")

    return health


class _Opened(NamedTuple):
    root: Path | None
    journal: Journal
    access: Access
    token_file: Path
    lock: DirectoryLock | None


async def run_spacesd(
    settings: SpacesdSettings,
    *,
    host: str,
    port: int,
    proxy_hosts: tuple[str, ...],
    on_ready: Callable[[SpacesdStarted], None],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Open everything, serve until SIGINT or SIGTERM, close everything."""
    if importlib.util.find_spec("websockets") is None:
        raise MissingExtraError("Spaces over WebSocket", "spaces")
    check_bind(host, proxy_hosts)
    harden_process()
    clock, entropy = SystemClock(), SystemEntropy()
    with bind(host, port, option="--bind") as listener:
        bound_unsent(listener)
        port = listener.getsockname()[1]
        hosts = host_names(host, port, proxy_hosts)
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(_opened(settings, clock, entropy))
            services = await stack.enter_async_context(
                open_identity_services(
                    opened.journal,
                    clock=clock,
                    directory=opened.root,
                    daemon=AUDIENCE,
                    environment=os.environ if environment is None else environment,
                    allow_unregistered=settings.admit_strangers,
                )
            )
            parts = SpacesParts(opened.root, opened.journal, opened.access, services, hosts=tuple(hosts))
            place = None
            if settings.nats is None:
                spaces = await stack.enter_async_context(
                    open_spaces(parts, clock=clock, entropy=entropy, admits=admits(hosts))
                )
            else:
                spaces, place = await stack.enter_async_context(
                    open_spaces_on_nats(parts, settings.nats, clock=clock, entropy=entropy, admits=admits(hosts))
                )
            address = http_address(host, port)
            started = SpacesdStarted(address, opened.root, opened.token_file, spaces.engine.deployment, place)

            def tell() -> None:
                if opened.lock is not None:
                    opened.lock.publish(local_address(host, port))
                on_ready(started)

            app = application(spaces, opened.access, hosts=hosts)
            await serve(app, listener, tell, on_stop=spaces.disconnect, max_frame_bytes=MAX_FRAME_BYTES)


@asynccontextmanager
async def _opened(settings: SpacesdSettings, clock: Clock, entropy: Entropy) -> AsyncIterator[_Opened]:
    if settings.root is None:
        private = Path(tempfile.mkdtemp(prefix="spacesd-"))
        try:
            token_file = private / "token"
            access = Access(load_or_create_token(token_file, entropy), clock, entropy)
            async with MemoryJournal() as memory:
                yield _Opened(None, memory, access, token_file, None)
        finally:
            await asyncio.to_thread(shutil.rmtree, private, ignore_errors=True)
        return
    root = open_directory(settings.root)
    with lock_directory(root, DAEMON) as lock:
        token_file = root / "token"
        access = Access(load_or_create_token(token_file, entropy), clock, entropy)
        async with SqliteJournal.open(root / JOURNAL_FILE, clock=clock, writer="process") as journal:
            yield _Opened(root, journal, access, token_file, lock)
