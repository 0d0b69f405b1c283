"""`autonomicd`: homeostasis of one project over HTTP (autonomic.md §11, §12).

It follows the project's own journal, beside whoever writes it, and keeps nothing of its own but a token and a snapshot. Reading
changes nothing; `POST /gating/{session_id}/evaluate` puts on record what is new. Public are /health and /trust-score; everything else
wants the token, or an agent's or a user's token with the route's scope.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

import life
from life.aios.errors import NotFoundError
from life.aios.ports.clock import Clock
from life.aios.ports.http import Operation
from life.aios.ports.journal import Journal
from life.aios.ports.snapshots import Snapshots
from life.anima.custody.process_hardening import harden_process
from life.anima.home import read_identity
from life.autonomic.api import AutonomicApi
from life.autonomic.evaluation.api import EvaluationApi
from life.host.access import Access, load_or_create_token
from life.host.anima_verifier import IdentityServices, open_identity_services
from life.host.autonomic import Autonomic, open_autonomic
from life.host.clock import SystemClock, SystemEntropy
from life.host.data_directory import DataDirectory
from life.host.haima_facilitator import http_address
from life.host.http.authentication import Authenticated, RouteScope
from life.host.http.guard import Guard
from life.host.http.problem import EXCEPTION_HANDLERS, UnexpectedErrors
from life.host.http.routes import ApiOperation, openapi_document, routes
from life.host.http.server import bind, check_bind, host_names, local_address, serve
from life.host.lago_store import OPERATOR
from life.host.settings import Settings, load_settings
from life.host.telemetry import open_daemon_telemetry, traced
from life.lago.journal.sqlite import SqliteJournal
from life.lago.snapshots import SqliteSnapshots

if TYPE_CHECKING:
    from life.vigil.telemetry import LiveTelemetry

SECRET_VARIABLES: Final = ("AUTONOMIC_JWT_SECRET", "AUTH_SECRET")
PUBLIC_PATHS: Final = ("/health",)
TRUST_PATH: Final = "/trust-score/"


class Telemetry(msgspec.Struct, frozen=True):
    """What the daemon says about its own telemetry."""

    sdk: str
    otlp_configured: bool


class Health(msgspec.Struct, frozen=True):
    """The daemon answers. `following` says whether it follows the journal."""

    status: str
    service: str
    version: str
    uptime_seconds: int
    following: bool
    telemetry: Telemetry


class AutonomicdStarted(NamedTuple):
    """The daemon answers requests."""

    address: str
    root: Path
    token_file: Path


def autonomicd_app(
    autonomic: Autonomic,
    access: Access,
    token: str,
    services: IdentityServices,
    clock: Clock,
    *,
    hosts: list[str],
    otlp_configured: bool = False,
    telemetry: LiveTelemetry | None = None,
) -> ASGIApp:
    """The ASGI application, behind the guard."""
    started_us = clock.monotonic_us()

    async def health(_: Request) -> Response:
        uptime_s = (clock.monotonic_us() - started_us) // 1_000_000
        following = autonomic.follower.is_current
        answer = Health(
            "ok" if following else "degraded",
            "autonomic",
            life.__version__,
            uptime_s,
            following,
            Telemetry("life-vigil", otlp_configured),
        )
        return Response(msgspec.json.encode(answer), media_type="application/json")

    async def openapi(_: Request) -> Response:
        return Response(document, media_type="application/json")

    operations: list[ApiOperation] = [
        Operation("GET", "/health", "Whether the daemon answers", health, None, Health),
        *AutonomicApi(autonomic, clock).operations(),
        *EvaluationApi(autonomic.journal, autonomic, autonomic.publish).operations(),
    ]
    document = openapi_document("Autonomic homeostasis API", operations)
    app = Starlette(
        routes=[*routes(operations), Route("/openapi.json", openapi)], exception_handlers=EXCEPTION_HANDLERS
    )
    app.router.redirect_slashes = False

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        """The guard; whoever asks for a trust score needs no token."""
        path = scope.get("path", "")
        public = (*PUBLIC_PATHS, path) if path.startswith(TRUST_PATH) else PUBLIC_PATHS
        await Guard(app, access, hosts=hosts, public_paths=public)(scope, receive, send)

    scoped = [RouteScope(item.method, item.path, item.scope) for item in operations if item.scope is not None]
    inside = Authenticated(guarded, access=access, token=token, services=services, clock=clock, routes=scoped)
    return traced(UnexpectedErrors(inside), telemetry, app.routes)


class ProjectAutonomic(NamedTuple):
    """Homeostasis of a data directory, for a daemon or a command."""

    autonomic: Autonomic
    journal: Journal
    settings: Settings
    data: DataDirectory


@asynccontextmanager
async def open_project_autonomic(
    data_dir: Path, *, environment: Mapping[str, str] | None = None, snapshots: bool = False
) -> AsyncIterator[ProjectAutonomic]:
    """Follow the journal of a project, whoever else works on it. NotFoundError when there is none. `snapshots`: keep one there."""
    data = DataDirectory(data_dir)
    if not (data.journal.exists() and data.journal.stat().st_size):
        raise NotFoundError(
            f"There is no journal in {data_dir}.", next_step="Name the project's folder with --data-dir."
        )
    settings = load_settings(data.config, os.environ if environment is None else environment)
    clock, entropy = SystemClock(), SystemEntropy()
    is_named = (data.identity / "soul.json").exists()
    agent_id = read_identity(data.identity).agent_id if is_named else OPERATOR
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(SqliteJournal.open(data.journal, clock=clock))
        kept: Snapshots | None = None
        if snapshots:
            kept = await stack.enter_async_context(SqliteSnapshots(data.journal))
        autonomic = await stack.enter_async_context(
            open_autonomic(
                journal,
                kept,
                msgspec.structs.replace(settings.autonomic, url=""),
                clock=clock,
                entropy=entropy,
                agent_id=agent_id,
                floor=settings.payments.economic_mode,
                deposits=False,
            )
        )
        yield ProjectAutonomic(autonomic, journal, settings, data)


async def run_autonomicd(
    root: Path,
    *,
    host: str,
    port: int,
    proxy_hosts: tuple[str, ...],
    on_ready: Callable[[AutonomicdStarted], None],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Open everything, serve until SIGINT or SIGTERM, close everything."""
    environment = os.environ if environment is None else environment
    check_bind(host, proxy_hosts)
    harden_process()
    clock, entropy = SystemClock(), SystemEntropy()
    with DataDirectory(root).lock("autonomicd") as lock, bind(host, port, option="--bind") as listener:
        port = listener.getsockname()[1]
        async with AsyncExitStack() as stack:
            telemetry = await open_daemon_telemetry(
                stack, "autonomicd", environment, clock=clock, entropy=entropy, root=root
            )
            project = await stack.enter_async_context(
                open_project_autonomic(root, environment=environment, snapshots=True)
            )
            token_file = project.data.token
            token = load_or_create_token(token_file, entropy)
            services = await stack.enter_async_context(
                open_identity_services(
                    project.journal,
                    clock=clock,
                    directory=root,
                    daemon="autonomicd",
                    environment=environment,
                    secret_variables=SECRET_VARIABLES,
                )
            )
            app = autonomicd_app(
                project.autonomic,
                Access(token, clock, entropy),
                token,
                services,
                clock,
                hosts=host_names(host, port, proxy_hosts),
                otlp_configured=telemetry is not None and "otlp" in telemetry.config.exporters,
                telemetry=telemetry,
            )
            started = AutonomicdStarted(http_address(host, port), root, token_file)

            def tell() -> None:
                lock.publish(local_address(host, port))
                on_ready(started)

            await serve(app, listener, tell)
