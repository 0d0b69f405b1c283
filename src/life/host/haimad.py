"""`haimad`: the finance daemon (haima.md §4, §5).

    GET  /health                                  public
    GET  /ready                                   public: 200 when the journal answers
    POST /verify, POST /settle, GET /supported    public: x402's facilitator API
    GET  /state                                   the financial state, folded from the journal
    POST /v1/facilitate                           the Rust original's facilitator call
    /v1/credit, /v1/bureau, /v1/outcomes, /v1/bills, /v1/insurance, /v1/accounts, /v1/haima, /v1/cost, /v1/ledger
    GET  /openapi.json                            all of it, described

What is not public wants the daemon's token, an agent's token or a user's, with the scope that the route names. With a
directory it works on the journal there, holds a lock on it and takes up open settlements before it answers. Without one
everything lives in memory and is gone when it stops; it says so.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

import life
from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.http import Operation
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.snapshots import Snapshots
from life.anima.custody.process_hardening import harden_process
from life.haima.api import (
    FinancialSummary,
    facade_operations,
    facilitator_operations,
    health_operations,
    state_operations,
    summarize,
)
from life.haima.callers import OPERATOR_ROLE
from life.haima.facilitator.port import Facilitator
from life.haima.outcomes.answers import Subject
from life.haima.state import EMPTY, fold
from life.host.access import Access, load_or_create_token
from life.host.anima_verifier import IdentityServices, open_identity_services
from life.host.clock import SystemClock, SystemEntropy
from life.host.haima_config import Prepared
from life.host.haima_directory import JOURNAL_FILE, lock_directory, open_directory
from life.host.haima_facilitator import Settlement, Settler, http_address, open_settler
from life.host.haima_house import SLA_CHECK_S, FinanceHouse, open_house
from life.host.http.authentication import Authenticated, RouteScope, auth_of
from life.host.http.guard import Guard
from life.host.http.problem import EXCEPTION_HANDLERS, UnexpectedErrors
from life.host.http.routes import ApiOperation, openapi_document, routes
from life.host.http.server import bind, check_bind, host_names, serve
from life.host.telemetry import open_daemon_telemetry, traced
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal
from life.lago.snapshots import MemorySnapshots, SqliteSnapshots

if TYPE_CHECKING:
    from life.vigil.telemetry import LiveTelemetry

PUBLIC_PATHS: Final = ("/health", "/ready", "/verify", "/settle", "/supported")
SECRET_VARIABLES: Final = ("HAIMA_JWT_SECRET", "AUTH_SECRET")
OPERATOR_ROLES: Final = frozenset({OPERATOR_ROLE, "arbiter", "adjudicator", "reviewer"})
_ROLES_OF_SCOPES: Final = {
    "outcomes:arbitrate": "arbiter",
    "outcomes:admin": "outcomes:admin",
    "outcomes:review": "reviewer",
    "insurance:adjudicate": "adjudicator",
    "wallet:admin": "wallet:admin",
    "credit:admin": OPERATOR_ROLE,
}
"""What an agent's or a user's scope lets it act as."""
_PAGE: Final = 1000


class HaimadStarted(NamedTuple):
    """The daemon answers."""

    address: str
    directory: Path | None
    """Where its journal is; None in memory."""
    token_file: Path
    settler: Settler


class HaimadSettings(NamedTuple):
    """How the daemon runs."""

    prepared: Prepared = Prepared()
    sla_check_s: int | None = SLA_CHECK_S
    """None: no SLA monitor."""
    legacy_status: bool = False
    """Refusals of the credit routes are HTTP 200, as clients of the Rust original expect."""


class Readiness(msgspec.Struct, frozen=True):
    """Whether the daemon can do its work, and up to where it has read the journal."""

    status: str
    position: int


class Books:
    """The financial state of a journal, folded as far as it goes whenever somebody asks."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._state = EMPTY
        self._position = 0

    async def read(self) -> FinancialSummary:
        """The state with the journal position it was folded to."""
        while True:
            query = EventQuery(after_position=self._position, kinds=("Custom",))
            page = await self._journal.read(query, limit=_PAGE)
            if page and page[0].position > self._position:  # not one that another request has folded in meanwhile
                self._state = fold([record for record in page if record.position > self._position], self._state)
                self._position = page[-1].position
            if len(page) < _PAGE:
                return summarize(self._state, as_of_seq=self._position)


class _Opened(NamedTuple):
    journal: Journal
    snapshots: Snapshots
    access: Access
    token: str
    token_file: Path
    root: Path | None


def subject_of(request: Request) -> Subject:
    """Who asks: the operator by the daemon's token or its page, otherwise the agent or user of the token."""
    auth = auth_of(request.scope)
    if auth.kind in ("operator", "person"):
        return Subject(OPERATOR_ROLE, OPERATOR_ROLES)
    roles = {role for scope, role in _ROLES_OF_SCOPES.items() if auth.may(scope)}
    return Subject(auth.subject, frozenset(roles))


def haimad_app(
    facilitator: Facilitator,
    journal: Journal,
    house: FinanceHouse,
    access: Access,
    token: str,
    services: IdentityServices,
    clock: Clock,
    *,
    hosts: list[str],
    legacy_status: bool = False,
    telemetry: LiveTelemetry | None = None,
) -> ASGIApp:
    """The ASGI application, behind the guard."""
    books = Books(journal)
    operations: list[ApiOperation] = [
        *health_operations("haimad", life.__version__),
        _ready(house),
        *state_operations(books.read),
        *facade_operations(facilitator, clock, credit_check=house.credit.desk.may_settle),
        *house.operations(subject_of, legacy_status=legacy_status),
        *facilitator_operations(facilitator),
    ]
    document = openapi_document("Haima finance API", operations)

    async def openapi(_: Request) -> Response:
        return Response(document, media_type="application/json")

    app = Starlette(
        routes=[*routes(operations), Route("/openapi.json", openapi)], exception_handlers=EXCEPTION_HANDLERS
    )
    guarded = Guard(app, access, hosts=hosts, public_paths=PUBLIC_PATHS)
    scoped = [RouteScope(item.method, item.path, item.scope) for item in operations if item.scope is not None]
    inside = Authenticated(guarded, access=access, token=token, services=services, clock=clock, routes=scoped)
    return traced(UnexpectedErrors(inside), telemetry, app.routes)


def _ready(house: FinanceHouse) -> ApiOperation:
    async def ready(_: Request) -> Response:
        await house.credit.house.catch_up()
        return Response(
            msgspec.json.encode(Readiness("ready", house.credit.house.position)), media_type="application/json"
        )

    return Operation("GET", "/ready", "Whether the journal answers", ready, result=Readiness, errors=(503,))


async def run_haimad(
    directory: Path | None,
    where: Settlement,
    *,
    host: str,
    port: int,
    proxy_hosts: tuple[str, ...],
    on_ready: Callable[[HaimadStarted], None],
    settings: HaimadSettings | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Open everything, serve until SIGINT or SIGTERM, close everything."""
    check_bind(host, proxy_hosts)
    harden_process()
    settings = settings or HaimadSettings()
    clock, entropy = SystemClock(), SystemEntropy()
    with bind(host, port, option="--bind") as listener:
        port = listener.getsockname()[1]
        async with AsyncExitStack() as stack:
            opened = await stack.enter_async_context(_opened(directory, clock, entropy))
            telemetry = await open_daemon_telemetry(
                stack,
                "haimad",
                os.environ if environment is None else environment,
                clock=clock,
                entropy=entropy,
                root=opened.root,
            )
            if telemetry is not None:  # payments and settlements that are written here become spans
                opened = opened._replace(journal=telemetry.watch(opened.journal))
            services = await stack.enter_async_context(
                open_identity_services(
                    opened.journal,
                    clock=clock,
                    directory=opened.root,
                    daemon="haimad",
                    environment=os.environ if environment is None else environment,
                    secret_variables=SECRET_VARIABLES,
                )
            )
            settler = await stack.enter_async_context(open_settler(where, opened.journal, clock, entropy))
            house = await stack.enter_async_context(
                open_house(opened.journal, opened.snapshots, clock, entropy, settings.prepared)
            )
            await stack.enter_async_context(house.jobs(sla_check_s=settings.sla_check_s))
            app = haimad_app(
                settler.facilitator,
                opened.journal,
                house,
                opened.access,
                opened.token,
                services,
                clock,
                hosts=host_names(host, port, proxy_hosts),
                legacy_status=settings.legacy_status,
                telemetry=telemetry,
            )
            started = HaimadStarted(http_address(host, port), directory, opened.token_file, settler)
            await serve(app, listener, lambda: on_ready(started))


@asynccontextmanager
async def _opened(directory: Path | None, clock: Clock, entropy: Entropy) -> AsyncIterator[_Opened]:
    """The journal with its snapshots, who may use the daemon, and the file with its token."""
    if directory is None:
        private = Path(tempfile.mkdtemp(prefix="haimad-"))
        try:
            token_file = private / "token"
            token = load_or_create_token(token_file, entropy)
            async with MemoryJournal() as memory:
                access = Access(token, clock, entropy)
                yield _Opened(memory, MemorySnapshots(), access, token, token_file, None)
        finally:
            await asyncio.to_thread(shutil.rmtree, private, ignore_errors=True)
        return
    root = open_directory(directory)
    with lock_directory(root, "haimad"):
        token_file = root / "token"
        token = load_or_create_token(token_file, entropy)
        access = Access(token, clock, entropy)
        path = root / JOURNAL_FILE
        async with (
            SqliteJournal.open(path, clock=clock, writer="process") as journal,
            SqliteSnapshots(path) as snapshots,
        ):
            yield _Opened(journal, snapshots, access, token, token_file, root)


def parse_bind(text: str) -> tuple[str, int]:
    """`127.0.0.1:3003` or `[::1]:3003` as host and port; InvalidInputError when it is neither."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise InvalidInputError(f"{text!r} is no address to listen on; it must look like 127.0.0.1:3003.")
    return host, int(port)
