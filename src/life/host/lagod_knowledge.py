"""The knowledge index beside lagod's routes: a caller's own files under `/v1/memory`, searched.

Indexes are files of `<directory>/knowledge`, or in memory where the daemon is; they are folded from the journal and may be deleted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from starlette.requests import Request

from life.aios.ports.blobs import Blobs
from life.aios.ports.clock import Clock
from life.aios.ports.journal import Journal
from life.host.http.routes import ApiOperation
from life.lago.api.callers import Caller
from life.lago.api.memory import vault_of
from life.lago.knowledge.api import knowledge_operations
from life.lago.knowledge.event_search import EventSearch
from life.lago.knowledge.vault import Vault
from life.lago.knowledge.vaults import Vaults

FOLDER: Final = "knowledge"


@asynccontextmanager
async def open_knowledge(
    journal: Journal, blobs: Blobs, clock: Clock, *, root: Path | None, caller: Callable[[Request], Caller]
) -> AsyncIterator[tuple[ApiOperation, ...]]:
    """The routes over the callers' own notes, until the block ends."""
    folder = None
    if root is not None:
        folder = root / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
    vaults = Vaults(journal, blobs, clock, folder=folder)

    async def vault(request: Request) -> Vault:
        return await vaults.vault(vault_of(caller(request)))

    async def events(request: Request) -> EventSearch:
        return await vaults.events(vault_of(caller(request)))

    try:
        yield tuple(knowledge_operations(vault, events))
    finally:
        await vaults.aclose()
