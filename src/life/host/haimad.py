"""`haimad`: the finance daemon (haima.md §4.2, §5).

    GET  /health                              public
    GET  /state                               with the token: the financial state, folded from the journal
    POST /v1/facilitate                       with the token: the Rust original's facilitator call
    POST /verify, POST /settle, GET /supported   public: x402's facilitator API
    GET  /openapi.json                        with the token

With a directory it works on the journal there, holds a lock on it and takes up open settlements before it answers.
Without one everything lives in memory and is gone when it stops; it says so.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

import life
from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.anima.custody.process_hardening import harden_process
from life.haima.api import (
    FinancialSummary,
    facade_operations,
    facilitator_operations,
    health_operations,
    state_operations,
    summarize,
)
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.state import EMPTY, fold
from life.host.access import Access, load_or_create_token
from life.host.clock import SystemClock, SystemEntropy
from life.host.haima_directory import JOURNAL_FILE, lock_directory, open_directory
from life.host.haima_facilitator import Settlement, Settler, http_address, open_settler
from life.host.http.guard import Guard
from life.host.http.problem import EXCEPTION_HANDLERS, UnexpectedErrors
from life.host.http.routes import ApiOperation, openapi_document, routes
from life.host.http.server import bind, check_bind, host_names, serve
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal

PUBLIC_PATHS: Final = ("/health", "/verify", "/settle", "/supported")
_PAGE: Final = 1000


class HaimadStarted(NamedTuple):
    """The daemon answers."""

    address: str
    directory: Path | None
    """Where its journal is; None in memory."""
    token_file: Path
    settler: Settler


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


def haimad_app(
    facilitator: SelfHostedFacilitator, journal: Journal, access: Access, clock: Clock, *, hosts: list[str]
) -> ASGIApp:
    """The ASGI application, behind the guard."""
    operations: list[ApiOperation] = [
        *health_operations("haimad", life.__version__),
        *state_operations(Books(journal).read),
        *facade_operations(facilitator, clock),
        *facilitator_operations(facilitator),
    ]
    document = openapi_document("Haima finance API", operations)

    async def openapi(_: Request) -> Response:
        return Response(document, media_type="application/json")

    app = Starlette(
        routes=[*routes(operations), Route("/openapi.json", openapi)], exception_handlers=EXCEPTION_HANDLERS
    )
    return UnexpectedErrors(Guard(app, access, hosts=hosts, public_paths=PUBLIC_PATHS))


async def run_haimad(
    directory: Path | None,
    where: Settlement,
    *,
    host: str,
    port: int,
    proxy_hosts: tuple[str, ...],
    on_ready: Callable[[HaimadStarted], None],
) -> None:
    """Open everything, serve until SIGINT or SIGTERM, close everything."""
    check_bind(host, proxy_hosts)
    harden_process()
    clock, entropy = SystemClock(), SystemEntropy()
    with bind(host, port) as listener:
        port = listener.getsockname()[1]
        async with (
            _opened(directory, clock, entropy) as (journal, access, token_file),
            open_settler(where, journal, clock, entropy) as settler,
        ):
            hosts = host_names(host, port, proxy_hosts)
            app = haimad_app(settler.facilitator, journal, access, clock, hosts=hosts)
            started = HaimadStarted(http_address(host, port), directory, token_file, settler)
            await serve(app, listener, lambda: on_ready(started))


@asynccontextmanager
async def _opened(
    directory: Path | None, clock: Clock, entropy: Entropy
) -> AsyncIterator[tuple[Journal, Access, Path]]:
    """The journal, who may use the daemon, and the file with its token."""
    if directory is None:
        private = Path(tempfile.mkdtemp(prefix="haimad-"))
        try:
            token_file = private / "token"
            access = Access(load_or_create_token(token_file, entropy), clock, entropy)
            async with MemoryJournal() as memory:
                yield memory, access, token_file
        finally:
            shutil.rmtree(private, ignore_errors=True)
        return
    root = open_directory(directory)
    with lock_directory(root, "haimad"):
        token_file = root / "token"
        access = Access(load_or_create_token(token_file, entropy), clock, entropy)
        async with SqliteJournal.open(root / JOURNAL_FILE, clock=clock, writer="process") as journal:
            yield journal, access, token_file


def parse_bind(text: str) -> tuple[str, int]:
    """`127.0.0.1:3003` or `[::1]:3003` as host and port; InvalidInputError when it is neither."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise InvalidInputError(f"{text!r} is no address to listen on; it must look like 127.0.0.1:3003.")
    return host, int(port)
