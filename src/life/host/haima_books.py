"""The books of a directory: the ledger's projection over its journal, with a snapshot for a quick start."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from life.aios.errors import NotFoundError
from life.aios.ports.clock import Clock
from life.aios.ports.journal import EventQuery, Journal
from life.haima.ledger import Books, LedgerProjection, Posting
from life.host.clock import SystemClock
from life.host.haima_directory import JOURNAL_FILE
from life.lago.journal.sqlite import SqliteJournal
from life.lago.projection import ProjectionRunner
from life.lago.snapshots import SqliteSnapshots

_PAGE: Final = 2_000
_SNAPSHOT_EVENTS: Final = 20_000


class OpenBooks(NamedTuple):
    """A journal and the books folded from it."""

    journal: Journal
    runner: ProjectionRunner[Books]

    async def read(self) -> Books:
        """The books as of the journal's end."""
        return await self.runner.catch_up()


@asynccontextmanager
async def open_books(data_dir: Path, clock: Clock | None = None) -> AsyncIterator[OpenBooks]:
    """The books of a project's, a wallet's or a shop's directory; NotFoundError when there is no journal in it."""
    path = data_dir / JOURNAL_FILE
    if not (path.exists() and path.stat().st_size):
        raise NotFoundError(
            f"There is no journal in {data_dir}.",
            next_step="Name the folder of the wallet or the project with --data-dir.",
        )
    async with SqliteJournal.open(path, clock=clock or SystemClock()) as journal, SqliteSnapshots(path) as snapshots:
        runner = ProjectionRunner(journal, LedgerProjection(), snapshots, snapshot_events=_SNAPSHOT_EVENTS)
        await runner.catch_up()
        yield OpenBooks(journal, runner)


async def read_postings(journal: Journal) -> AsyncIterator[Posting]:
    """Every posting of the journal, oldest first."""
    books = Books()
    position = 0
    while True:
        page = await journal.read(EventQuery(after_position=position, kinds=("Custom",)), limit=_PAGE)
        for record in page:
            posting = books.apply(record)
            if posting is not None:
                yield posting
        if len(page) < _PAGE:
            return
        position = page[-1].position
