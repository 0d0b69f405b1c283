"""`lagod`: the journal, blobs and files over HTTP and server-sent events (lago.md §8–§11, §14).

    GET /health, GET /health/ready                     public
    /v1/sessions, …/events, …/branches, …/files, …     see life.lago.api
    GET /metrics, GET /openapi.json                    with the token

What is not public wants the daemon's token, an agent's token or a user's, with the scope that the route names. What somebody may do
with it is the policy's (`--policy FILE`), whose sessions and blobs they are is the owners', and how much is the quotas'.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

import life
from life.aios.errors import LifeError, UnavailableError
from life.aios.events import Kind
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.http import Operation
from life.aios.record import AGENT, USER, Stream
from life.anima.admission import check_outside_event, concerns_identities
from life.anima.custody.process_hardening import harden_process
from life.anima.genesis import STREAM_PREFIX
from life.host.anima_verifier import IdentityServices, open_identity_services
from life.host.clock import SystemClock, SystemEntropy
from life.host.haima_facilitator import http_address
from life.host.http.authentication import Authenticated, RouteScope, auth_of
from life.host.http.events import OutsideLayers, WritesResponse
from life.host.http.guard import Guard
from life.host.http.problem import EXCEPTION_HANDLERS, UnexpectedErrors
from life.host.http.routes import ApiOperation, openapi_document, routes
from life.host.http.server import bind, check_bind, host_names, local_address, serve
from life.host.lagod_engine import EngineSettings, OpenEngine, open_engine
from life.host.lagod_knowledge import open_knowledge
from life.host.lagod_metrics import CONTENT_TYPE, RequestMetrics
from life.host.telemetry import open_daemon_telemetry, traced
from life.lago.access_rules.gate import PolicyGate
from life.lago.access_rules.rules import Rules, parse_rules, read_rules
from life.lago.api.admitted import admitted
from life.lago.api.blobs import BlobApi
from life.lago.api.branches import BranchApi
from life.lago.api.callers import Caller
from life.lago.api.desks import Desks
from life.lago.api.events import CheckOutside, EventApi, StreamAnswer
from life.lago.api.files import FileApi
from life.lago.api.memory import MemoryApi
from life.lago.api.policy import PolicyApi
from life.lago.api.sessions import SessionApi
from life.lago.api.snapshots import SnapshotApi
from life.lago.files.view import FileView
from life.lago.owners.names import OPERATOR
from life.lago.owners.registry import Owners
from life.lago.streams.follower import Wanted, open_follower
from life.lago.streams.log import FrameLogs

if TYPE_CHECKING:
    from life.vigil.telemetry import LiveTelemetry

PUBLIC_PATHS: Final = ("/health", "/health/ready")
SECRET_VARIABLES: Final = ("LAGO_JWT_SECRET", "AUTH_SECRET")
MAX_SUBSCRIBERS: Final = 10_000
"""Open event streams at once."""
_PROBE: Final = "0" * 64

BUILT_IN_POLICY: Final = b"""
[[rules]]
id = "http-by-scope"
name = "What a token's scopes let in is allowed; owners and quotas still hold."
condition = { type = "Category", value = "http" }
decision = "allow"
"""
"""Without a policy file: requests are as free as their tokens' scopes, everything else is denied."""


class Health(msgspec.Struct, frozen=True):
    """The daemon answers."""

    status: str
    service: str
    version: str
    uptime_seconds: int


class Ready(msgspec.Struct, frozen=True):
    """Whether it can work: each part answers."""

    ready: bool
    checks: dict[str, str]


class LagodStarted(NamedTuple):
    """The daemon answers requests."""

    address: str
    root: Path | None
    """None in memory."""
    token_file: Path
    doubts: tuple[str, ...]


class LagodSettings(NamedTuple):
    """How the daemon runs."""

    engine: EngineSettings
    policy: Path | None = None
    heartbeat_s: float = 15.0


class Parts(NamedTuple):
    """What the application is made of."""

    opened: OpenEngine
    services: IdentityServices
    rules: Rules
    owners: Owners
    logs: FrameLogs
    clock: Clock
    entropy: Entropy


def caller_of(request: Request) -> Caller:
    """Who asks: the operator by the daemon's token or its page, otherwise the agent or user of the token."""
    auth = auth_of(request.scope)
    if auth.kind in ("operator", "person"):
        return Caller(OPERATOR, OPERATOR, USER)
    if auth.kind == "agent":
        return Caller(f"agent:{auth.subject}", auth.subject, AGENT)
    return Caller(f"user:{auth.subject}", f"user:{auth.subject}", USER)


def lagod_app(
    parts: Parts,
    *,
    hosts: list[str],
    also: tuple[ApiOperation, ...] = (),
    telemetry: LiveTelemetry | None = None,
) -> ASGIApp:
    """The ASGI application, behind the guard. `also`: operations of parts that stand beside these, for example the knowledge index;
    they pass the same gate."""
    opened, services, rules, owners, logs, clock, entropy = parts
    metrics = RequestMetrics(clock)
    gate = PolicyGate(rules, opened.journal, clock, entropy)
    view = FileView(opened.journal)
    desks = Desks(opened.journal, opened.blobs, clock, entropy, view)
    files = FileApi(opened.journal, owners, desks, caller_of)
    blobs = BlobApi(opened.blobs, owners, caller_of)
    events = EventApi(
        opened.journal,
        owners,
        view,
        caller_of,
        clock,
        check_outside=_outside_check(services),
        stream_answer=_stream_answer(logs),
    )
    guarded = [
        *SessionApi(owners, view, caller_of).operations(),
        *events.operations(),
        *BranchApi(owners, desks, caller_of).operations(),
        *files.operations(),
        *SnapshotApi(owners, desks, caller_of).operations(),
        *MemoryApi(files, owners, caller_of).operations(),
        *blobs.operations(),
        *PolicyApi(gate, rules, owners, caller_of).operations(),
        *also,
    ]

    async def exposition(_: Request) -> Response:
        gauges = {"lago_stream_subscribers": logs.listeners, "lago_sessions": len((await owners.read()).owners)}
        counters = {"lago_journal_events_total": events.appended, "lago_blobs_total": blobs.stored}
        return Response(metrics.render(gauges, counters), media_type=CONTENT_TYPE)

    shown: ApiOperation = Operation(
        "GET", "/metrics", "Prometheus text", exposition, media_type="text/plain", scope="metrics:read"
    )
    operations = metrics.measured([*_health(opened, clock), *admitted([*guarded, shown], gate, owners, caller_of)])
    document = openapi_document("Lago", operations)

    async def openapi(_: Request) -> Response:
        return Response(document, media_type="application/json")

    app = Starlette(
        routes=[*routes(operations), Route("/openapi.json", openapi)], exception_handlers=EXCEPTION_HANDLERS
    )
    app.router.redirect_slashes = False  # an address is right or unknown
    inside = Guard(app, opened.access, hosts=hosts, public_paths=PUBLIC_PATHS)
    scoped = [RouteScope(item.method, item.path, item.scope) for item in operations if item.scope is not None]
    authenticated = Authenticated(
        inside, access=opened.access, token=opened.token, services=services, clock=clock, routes=scoped
    )
    return OutsideLayers(traced(UnexpectedErrors(authenticated), telemetry, app.routes))


def _stream_answer(logs: FrameLogs) -> StreamAnswer:
    async def answer(_: Request, wanted: Wanted) -> Response:
        if logs.listeners >= MAX_SUBSCRIBERS:
            raise UnavailableError("Too many event streams are open.")
        follower = await open_follower(logs, wanted)
        return WritesResponse(follower, error=wanted.format.error, headers=wanted.format.headers)

    return answer


def _health(opened: OpenEngine, clock: Clock) -> list[ApiOperation]:
    started_us = clock.monotonic_us()

    async def health(_: Request) -> Response:
        uptime_s = (clock.monotonic_us() - started_us) // 1_000_000
        return _json(Health("ok", "lago", life.__version__, uptime_s))

    async def ready(_: Request) -> Response:
        checks = {"journal": "ok", "blob_store": "ok"}
        try:
            await opened.journal.head(Stream("lago:policy"))
        except LifeError as error:
            checks["journal"] = error.code
        try:
            await opened.blobs.exists(_PROBE)
        except LifeError as error:
            checks["blob_store"] = error.code
        good = all(value == "ok" for value in checks.values())
        return _json(Ready(good, checks), 200 if good else 503)

    return [
        Operation("GET", "/health", "Whether the daemon answers", health, None, Health),
        Operation("GET", "/health/ready", "Whether journal and blob store answer", ready, None, Ready, errors=(503,)),
    ]


def _outside_check(services: IdentityServices) -> CheckOutside:
    async def check(kind: Kind, stream: Stream, sequence: int) -> None:
        if concerns_identities(kind, stream):
            agent_id = stream.session_id.removeprefix(STREAM_PREFIX)
            state = None
            if stream.session_id.startswith(STREAM_PREFIX) and services.registry.state(agent_id) is not None:
                state = await services.registry.catch_up(agent_id)
            check_outside_event(kind, stream, state, seq=sequence)

    return check


async def run_lagod(
    settings: LagodSettings,
    *,
    host: str,
    port: int,
    proxy_hosts: tuple[str, ...],
    on_ready: Callable[[LagodStarted], None],
    environment: Mapping[str, str] | None = None,
) -> None:
    """Open everything, serve until SIGINT or SIGTERM, close everything."""
    check_bind(host, proxy_hosts)
    harden_process()
    environment = os.environ if environment is None else environment
    clock, entropy = SystemClock(), SystemEntropy()
    rules = parse_rules(BUILT_IN_POLICY) if settings.policy is None else read_rules(settings.policy)
    with bind(host, port, option="--bind") as listener:
        port = listener.getsockname()[1]
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(open_engine(settings.engine, clock, entropy, environment))
            # Requests only: the runs whose events come in are shown by who runs them.
            telemetry = await open_daemon_telemetry(
                stack, "lagod", environment, clock=clock, entropy=entropy, root=opened.root
            )
            services = await stack.enter_async_context(
                open_identity_services(
                    opened.journal,
                    clock=clock,
                    directory=opened.root,
                    daemon="lagod",
                    environment=environment,
                    secret_variables=SECRET_VARIABLES,
                )
            )
            owners = Owners(opened.journal, clock, entropy, quota_of=rules.quota_of, snapshots=opened.snapshots)
            stack.push_async_callback(owners.aclose)
            logs = FrameLogs(opened.journal, heartbeat_s=settings.heartbeat_s)
            stack.push_async_callback(logs.aclose)
            parts = Parts(opened, services, rules, owners, logs, clock, entropy)
            knowledge = await stack.enter_async_context(
                open_knowledge(
                    opened.journal,
                    opened.blobs,
                    clock,
                    root=None if opened.blobs.seals else opened.root,  # an index has the notes' words in plain text
                    caller=caller_of,
                )
            )
            app = lagod_app(parts, hosts=host_names(host, port, proxy_hosts), also=knowledge, telemetry=telemetry)
            started = LagodStarted(http_address(host, port), opened.root, opened.token_file, opened.doubts)

            def tell() -> None:
                if opened.lock is not None:
                    opened.lock.publish(local_address(host, port))
                on_ready(started)

            await serve(app, listener, tell, on_stop=logs.aclose)


def _json(value: msgspec.Struct, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, {"cache-control": "no-store"}, "application/json")
