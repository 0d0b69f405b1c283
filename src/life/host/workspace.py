"""The workspace page in `arcand`: its address, its files, and the routes of `life.workspace` over one open system.

    GET /workspace                            the list of sessions, demos, the inbox
    GET /workspace/{session_id}               one session; everything else of its view stands in the query
    GET /static/workspace/{digest}/{name}     script and style, for ever the same under their digest

The two pages are one small document; the script reads the address. Where the page was not built or is not that of these sources, it
says so and leads to the plain pages, which need no script.

Source: ui-anchors.md §5 (serving, version skew, committed output); ARCHITECTURE.md §2.14.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

import life
from life.aios.errors import LifeError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.http import Operation
from life.aios.ports.journal import Journal
from life.aios.record import Stream
from life.arcan.branches import read_branches
from life.arcan.people_api import SCOPE, Callers
from life.autonomic.evaluation.scores import GOOD, WARNING
from life.host.demos.api import DemosApi
from life.host.demos.demos import Demos
from life.host.demos.recordings import JournalWithRecordings
from life.host.system import System
from life.host.workspace_verify import Verification
from life.lago.snapshots import SqliteSnapshots
from life.workspace import assets
from life.workspace.api import Parts, WorkspaceApi
from life.workspace.export import export_html, recorded
from life.workspace.positions import Fork, ForkOf, Positions

KEEP_UP_EVERY_S: Final = 30
"""How often it is looked which sessions have grown long."""

_NO_SESSIONS: Final = ("agent:", "finance:", "lago:", "memory:", "vault:", "wallet:")
"""Streams of other parts: nobody opens them in the page."""

_log: Final = logging.getLogger(__name__)

UI_SOURCES: Final = Path(life.__file__).parents[2] / "ui"
"""Where the page's sources are in a checkout; an installation has none."""

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types svelte-trusted-html",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
_FOR_EVER: Final = {"cache-control": "public, max-age=31536000, immutable", "x-content-type-options": "nosniff"}


class Ruler(msgspec.Struct, frozen=True, kw_only=True):
    """The payment policy's figures, in micro-credits."""

    enabled: bool
    network: str
    auto_approve_micro: int
    most_per_payment_micro: int
    most_per_session_micro: int


class Bands(msgspec.Struct, frozen=True, kw_only=True):
    """From which score on a judge's label is `good`, and from which `warning`; below it is `critical`."""

    good: float
    warning: float


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What the page shows of the daemon: facts, read when asked for."""

    version: str
    page: str
    """The digest of the page that this daemon serves; another one in the browser is an older page."""
    agent: str
    agent_id: str
    did: str
    wallet: str
    custody: str
    provider: str
    journal: str
    uptime_seconds: int
    payments: Ruler
    tools: list[str]
    judge_bands: Bands
    stale: bool
    """Whether the page is not what its sources give."""


class Workspace:
    """The page and its routes."""

    def __init__(self, system: System, callers: Callers, positions: Positions, started_us: int) -> None:
        self._system = system
        self._started_us = started_us
        self._demos = DemosApi(Demos(system), callers)
        self._stale = (UI_SOURCES / "src").is_dir() and bool(assets.stale_sources(UI_SOURCES))
        self._verification = Verification(system, callers)
        self._api = WorkspaceApi(
            Parts(
                journal=system.journal,
                blobs=system.equipment.blobs,
                positions=positions,
                allowed=callers.reader,
                scope=SCOPE,
                version=life.__version__,
                money_streams=lambda session_id: session_id.startswith("wallet:"),
                recorded_money=system.journal.money_of if isinstance(system.journal, JournalWithRecordings) else None,
            )
        )

    def operations(self) -> list[Operation[Request, Response]]:
        """The JSON routes."""
        about = Operation("GET", "/workspace/about", "What the page shows of the daemon", self.about, None, About)
        return [about, *self._api.operations(), self._verification.operation(), *self._demos.operations()]

    def routes(self) -> list[Route]:
        """The page and its files."""
        return [
            Route("/workspace", self.page),
            Route("/workspace/{session_id}", self.page),
            Route("/static/workspace/{digest}/{name}", self.file),
        ]

    async def page(self, _: Request) -> Response:
        """The document that the script fills."""
        return HTMLResponse(_document(), 200, HEADERS)

    async def file(self, request: Request) -> Response:
        """Script or style; compressed once."""
        found = assets.asset(str(request.path_params["name"]))
        if found is None or request.path_params["digest"] != assets.page_digest():
            return Response("There is no such file; reload the page.", 404, {"cache-control": "no-store"}, "text/plain")
        headers = {**_FOR_EVER, "vary": "accept-encoding", "content-type": found.media_type}
        accepted = request.headers.get("accept-encoding", "")
        if "zstd" in accepted:
            return Response(found.zstd, 200, {**headers, "content-encoding": "zstd"})
        if "gzip" in accepted:
            return Response(found.gzip, 200, {**headers, "content-encoding": "gzip"})
        return Response(found.content, 200, headers)

    async def about(self, _: Request) -> Response:
        """GET /workspace/about"""
        system = self._system
        settings, identity = system.settings, system.identity
        told = About(
            version=life.__version__,
            page=assets.page_digest() if assets.is_built() else "",
            agent=identity.soul.origin.name,
            agent_id=identity.agent_id,
            did=identity.did,
            wallet=f"{identity.wallet.address} on {identity.wallet.chain}",
            custody=identity.custody,
            provider=settings.model.provider,
            journal=settings.journal.engine,
            uptime_seconds=(system.clock.monotonic_us() - self._started_us) // 1_000_000,
            payments=Ruler(
                enabled=settings.payments.enabled,
                network=settings.payments.network,
                auto_approve_micro=settings.payments.auto_approve_cap_micro,
                most_per_payment_micro=settings.payments.hard_cap_per_tx_micro,
                most_per_session_micro=settings.payments.session_spend_cap_micro,
            ),
            tools=sorted(system.runtime.tool_names),
            judge_bands=Bands(good=GOOD, warning=WARNING),
            stale=self._stale,
        )
        return Response(msgspec.json.encode(told), 200, {"cache-control": "no-store"}, "application/json")


@asynccontextmanager
async def open_positions(system: System) -> AsyncIterator[Positions]:
    """The folded states of one open system. Those of long sessions are kept beside the journal where it is a file."""
    async with AsyncExitStack() as stack:
        snapshots = None
        if system.settings.journal.engine == "sqlite":
            snapshots = await stack.enter_async_context(SqliteSnapshots(system.data.journal))
        positions = Positions(system.journal, _forks_of(system.journal), snapshots)
        keeping = asyncio.create_task(_keep_up(system, positions))
        stack.push_async_callback(_stopped, keeping)
        yield positions


async def _keep_up(system: System, positions: Positions) -> None:
    """Fold long sessions as they grow, in pages, between other work; what fails is tried again later."""
    while True:
        try:
            streams = await system.journal.streams()
            await positions.keep_up(stream for stream in streams if not stream.session_id.startswith(_NO_SESSIONS))
        except LifeError as error:
            _log.warning("long sessions were not folded ahead: %s [%s]", error.message, error.code)
        await asyncio.sleep(KEEP_UP_EVERY_S)


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _forks_of(journal: Journal) -> ForkOf:
    async def fork_of(session_id: str, branch: str) -> Fork | None:
        if branch == MAIN_BRANCH:
            return None
        found = (await read_branches(journal, session_id)).get(branch)
        return None if found is None or found.parent_branch is None else Fork(found.parent_branch, found.fork_sequence)

    return fork_of


async def export_session(system: System, session_id: str, *, branch: str = MAIN_BRANCH) -> bytes:
    """A session as one HTML file that opens from disk; NotFoundError when there is no such branch."""
    return await export_journal(system.journal, session_id, branch=branch)


async def export_journal(journal: Journal, session_id: str, *, branch: str = MAIN_BRANCH) -> bytes:
    """The same from a journal alone, as the command line has it."""
    positions = Positions(journal, _forks_of(journal))
    return export_html(await recorded(Stream(session_id, branch), journal, positions, life.__version__))


def _document() -> str:
    if not assets.is_built():
        return _MISSING
    digest = assets.page_digest()
    return _PAGE.format(root=f"/static/workspace/{digest}", digest=digest)


_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Life</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="life-page" content="{digest}">
<meta name="life-words-es" content="{root}/es.json">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{root}/workspace.css">
<script type="module" src="{root}/workspace.js"></script>
</head>
<body>
<div id="life"></div>
<noscript><p>The workspace draws with script. <a href="/">The plain pages</a> show the same sessions without.</p></noscript>
</body>
</html>
"""

_MISSING: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>The workspace page is missing - Life</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/static/life.css">
</head>
<body>
<main>
<h1>The workspace page is not part of this installation</h1>
<p>Install the package again, or in a checkout with Node run <code>make ui</code>.</p>
<p><a href="/">The plain pages</a> show the same sessions.</p>
</main>
</body>
</html>
"""
