"""`arcand`: the session API, the event stream, the pages, A2A and the Spaces of one data directory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
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
from life.aios.ports.http import Operation
from life.aios.record import EventRecord
from life.anima.api import PUBLIC_PATHS as IDENTITY_PATHS
from life.anima.api import IdentityApi
from life.anima.custody.process_hardening import harden_process
from life.arcan.agents.api import AgentApi
from life.arcan.api import SessionApi
from life.arcan.branch_api import BranchApi
from life.arcan.people_api import Callers
from life.autonomic.api import AutonomicApi
from life.autonomic.evaluation.api import EvaluationApi
from life.haima.approval_desk import ApprovalDesk
from life.haima.approvals_api import approval_operations
from life.host.a2a import PUBLIC_PATHS as A2A_PATHS
from life.host.a2a import A2a
from life.host.a2a_opening import open_daemon_a2a
from life.host.access import Access, load_or_create_token
from life.host.acting import acting_for, actor_of
from life.host.anima_verifier import IdentityServices, open_identity_services
from life.host.clock import SystemClock, SystemEntropy
from life.host.data_directory import DataDirectory
from life.host.doors import Doors, open_doors, owner_of
from life.host.hiring.serving import serve_hiring
from life.host.http.authentication import Authenticated, RouteScope, auth_of
from life.host.http.events import EventStreamResponse, OutsideLayers, resume_cursor
from life.host.http.guard import Guard
from life.host.http.problem import EXCEPTION_HANDLERS, UnexpectedErrors
from life.host.http.routes import ApiOperation, openapi_document, routes
from life.host.http.server import bind, bracketed, check_bind, host_names, local_address, serve
from life.host.journal_proof import keep_checkpoints
from life.host.keys import Prompt
from life.host.model_api import ModelApi
from life.host.model_test_call import KeyTester
from life.host.pages.areas.room import Room
from life.host.pages.negotiation import joined
from life.host.pages.people import Pages
from life.host.pages.watched_log import WatchedLog, watched_log
from life.host.settings import Settings
from life.host.spaces_link import open_for_daemon, serves_sockets
from life.host.spaces_routes import MAX_FRAME_BYTES, BesideSpaces, spaces_operations
from life.host.system import System, open_system
from life.host.telemetry import TelemetryHealth, TelemetryWatch
from life.host.workspace import Workspace, open_positions
from life.lago.proof.checkpoints import Checkpointer
from life.spaces.a2a.binding import SCOPE as A2A_SCOPE
from life.spaces.listeners.websocket.door import bound_unsent
from life.workspace.positions import Positions

PUBLIC_PATHS: Final = ("/health", "/login", "/static/life.css", *IDENTITY_PATHS, *A2A_PATHS)


class Health(msgspec.Struct, frozen=True):
    """The daemon answers, its journal was verified, and open runs were taken up."""

    status: str
    service: str
    version: str
    uptime_seconds: int
    telemetry: TelemetryHealth


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
    note: str = ""
    """What is to be said about Spaces, if anything."""


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
            token = load_or_create_token(data.token, entropy)
            access = Access(token, clock, entropy)
            async with AsyncExitStack() as stack:
                system = await stack.enter_async_context(
                    open_system(
                        root,
                        settings=settings,
                        environment=os.environ,
                        prompt=prompt,
                        journal_writer=daemon.journal_writer,
                    )
                )
                await stack.enter_async_context(_checkpoints(system))
                hosts = host_names(daemon.host, port, daemon.proxy_hosts)
                spaces, note = await open_for_daemon(system.spaces, access, hosts)
                if spaces is not None:
                    bound_unsent(listener)
                recovered = await system.runtime.recover_all()
                address = f"http://{bracketed(daemon.host)}:{port}"
                people = f"https://{daemon.proxy_hosts[0]}" if daemon.proxy_hosts else address
                app = await stack.enter_async_context(
                    open_application(system, access, token, hosts=hosts, environment=os.environ, address=people)
                )
                login_link = f"{people}/login?code={access.new_link_code()}"
                ready = Started(address, login_link, system, recovered, note)

                async def stop() -> None:
                    """What would keep connections open ends first."""
                    if spaces is not None:
                        await spaces.disconnect()
                    await system.runtime.aclose()

                def tell() -> None:
                    lock.publish(local_address(daemon.host, port))
                    on_ready(ready)

                frames = MAX_FRAME_BYTES if spaces is not None and serves_sockets() else None
                await serve(app, listener, tell, on_stop=stop, max_frame_bytes=frames)


@asynccontextmanager
async def open_application(
    system: System, access: Access, token: str, *, hosts: list[str], environment: Mapping[str, str], address: str = ""
) -> AsyncIterator[ASGIApp]:
    """The ASGI application of one open system, with what it keeps open itself: used tokens, the approval desk, A2A. The listeners of
    Spaces are served when `system.spaces` runs in this process. `address` is how others reach the daemon; without one, by the first
    of its hosts. Recover the runtime's sessions before."""
    async with (
        open_identity_services(
            system.journal,
            clock=system.clock,
            directory=system.data.root,
            daemon="arcand",
            environment=environment,
            registry=system.registry,
            allow_unregistered=_takes_anyone(system),
        ) as services,
        open_doors(system) as doors,
        open_positions(system) as positions,
        open_daemon_a2a(system, address=address or f"http://{hosts[0]}") as a2a,
        serve_hiring(system, hosts, environment) as beside,
    ):
        desk = ApprovalDesk(system.journal, system.clock, system.entropy, agent_id=system.identity.agent_id)
        try:
            with watched_log() as log:
                app = _application(system, access, desk, token, services, doors, positions, a2a, log, hosts=hosts)
                yield beside(app)
        finally:
            await desk.aclose()


@asynccontextmanager
async def _checkpoints(system: System) -> AsyncIterator[None]:
    """Sign how far every branch reached, every so often, as long as the daemon runs."""
    signing = asyncio.create_task(
        keep_checkpoints(
            Checkpointer(
                system.journal,
                system.custody,
                clock=system.clock,
                entropy=system.entropy,
                agent_id=system.identity.agent_id,
            )
        )
    )
    try:
        yield
    finally:
        signing.cancel()
        await asyncio.gather(signing, return_exceptions=True)


def _application(
    system: System,
    access: Access,
    approvals: ApprovalDesk,
    token: str,
    services: IdentityServices,
    doors: Doors,
    positions: Positions,
    a2a: A2a | None,
    log: WatchedLog,
    *,
    hosts: list[str],
) -> ASGIApp:
    """The application behind the guard. Agents and users may call what names a scope; payments are
    approved by people and the operator alone."""
    started_us = system.clock.monotonic_us()
    telemetry = TelemetryWatch(system.telemetry, system.clock)

    async def health(_: Request) -> Response:
        uptime_s = (system.clock.monotonic_us() - started_us) // 1_000_000
        return _json(Health("ok", "arcan", life.__version__, uptime_s, await telemetry.health()))

    async def login_link(_: Request) -> Response:
        return _json(LoginLink(f"/login?code={access.new_link_code()}"), 201)

    async def openapi(_: Request) -> Response:
        return Response(document, media_type="application/json")

    identities = IdentityApi(
        journal=system.journal,
        registry=system.registry,
        custody=system.custody,
        agent_id=system.identity.agent_id,
        clock=system.clock,
    )
    callers = Callers(system.runtime, owner_of, actor_of, acting_for)
    session_api = SessionApi(
        system.runtime, system.journal, _stream, owner_of=owner_of, actor_of=actor_of, acting_for=acting_for
    )
    workspace = Workspace(system, callers, positions, started_us)
    tester = KeyTester(system.model_keys, system.environment, system.clock, system.entropy)
    models = ModelApi(system.settings, system.model_keys, tester)
    operations: list[ApiOperation] = [
        Operation("GET", "/health", "Whether the daemon answers", health, None, Health),
        Operation("POST", "/login-links", "A one-time link for a browser", login_link, None, LoginLink, status=201),
        *doors.beside(session_api.operations()),
        *BranchApi(system.runtime, callers).operations(),
        *AgentApi(system.runtime, callers).operations(),
        *AutonomicApi(system.autonomic, system.clock).session_operations(),
        *EvaluationApi(system.journal, system.autonomic, system.autonomic.publish).operations(),
        *workspace.operations(),
        *models.operations(),
        *identities.public_operations(),
        *identities.operations(),
        *approval_operations(approvals, system.clock, who=lambda request: auth_of(request.scope).kind),
    ]
    spaces = system.spaces.spaces
    if spaces is not None:
        operations += spaces_operations(spaces)
    if a2a is not None:
        operations += [*a2a.public_operations, *a2a.operations]
    document = openapi_document("Arcan session API", operations)
    pages = Pages(Room(system, access, approvals, models, tester, log, started_us))
    app = Starlette(
        routes=[
            *joined(routes(operations), pages.routes()),
            *workspace.routes(),
            Route("/openapi.json", openapi),
        ],
        exception_handlers={**EXCEPTION_HANDLERS, 404: pages.not_found},
    )
    app.router.redirect_slashes = False  # an address is right or unknown
    guarded = Guard(app, access, hosts=hosts, public_paths=PUBLIC_PATHS)
    scoped = [RouteScope(item.method, item.path, item.scope) for item in operations if item.scope is not None]
    authenticated = Authenticated(
        guarded,
        access=access,
        token=token,
        services=services,
        clock=system.clock,
        routes=scoped,
        every_agent=(A2A_SCOPE,) if _takes_anyone(system) else (),
        public_paths=PUBLIC_PATHS,
    )
    outer = doors.around(UnexpectedErrors(authenticated))
    if system.telemetry is not None:
        from life.host.http.tracing import Traced

        outer = Traced(outer, system.telemetry, app.routes)
    whole = OutsideLayers(outer)
    return whole if spaces is None else BesideSpaces(whole, spaces, hosts=hosts)


def _takes_anyone(system: System) -> bool:
    """Whether agents that nothing is known of may begin tasks (and, without another scope, nothing else)."""
    return system.settings.a2a.enabled and system.settings.a2a.callers == "anyone"


def _stream(request: Request, after: Callable[[int], AsyncIterator[EventRecord]]) -> Response:
    return EventStreamResponse(after(resume_cursor(request)))


def _json(value: msgspec.Struct, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, {"cache-control": "no-store"}, "application/json")
