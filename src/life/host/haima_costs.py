"""The costs of a directory's journal: the report of `GET /v1/cost`, single costs, and what the wallets' caps leave.

async with open_costs(directory) as costs:
    groups = await costs.groups("task", CostFilter(window="7d"), now_us=now_us)
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

from life.aios.errors import NotFoundError
from life.aios.ports.clock import Clock
from life.aios.ports.journal import EventQuery, Journal
from life.haima.cost_items import CostGroup, CostItem, CostReader, CostSums, Dimension, window_start_us
from life.haima.costs import CostBook, CostProjection, CostReport, Window, report
from life.host.clock import SystemClock
from life.host.haima_directory import JOURNAL_FILE
from life.lago.journal.sqlite import SqliteJournal
from life.lago.projection import ProjectionRunner
from life.lago.snapshots import SqliteSnapshots

_PAGE: Final = 2_000
_SNAPSHOT_EVENTS: Final = 20_000


class CostFilter(NamedTuple):
    """Which costs. None: all of them."""

    window: Window = "30d"
    session_id: str | None = None
    task_id: str | None = None
    agent_id: str | None = None
    counterparty: str | None = None
    """An address, in any case."""

    @property
    def narrows(self) -> bool:
        """Whether it leaves any cost of the window out."""
        return any(name is not None for name in (self.session_id, self.task_id, self.agent_id, self.counterparty))

    def takes(self, item: CostItem) -> bool:
        """Whether a cost of the window is meant."""
        payee = (item.counterparty or "").lower()
        return (
            (self.session_id is None or item.session_id == self.session_id)
            and (self.task_id is None or item.task_id == self.task_id)
            and (self.agent_id is None or item.agent_id == self.agent_id)
            and (self.counterparty is None or payee == self.counterparty.lower())
        )


class OpenCosts(NamedTuple):
    """A journal and the costs folded from it."""

    journal: Journal
    runner: ProjectionRunner[CostBook]

    async def report(self, window: Window, *, now_us: int) -> CostReport:
        """What `GET /v1/cost` answers: from the projection, quickly."""
        return report(await self.runner.catch_up(), window, now_us=now_us)

    async def items(self, wanted: CostFilter, *, now_us: int) -> AsyncIterator[CostItem]:
        """The single costs, oldest first. Reads the whole journal: what a payment was for stands in its reservation."""
        reader = CostReader()
        first_us, position = window_start_us(wanted.window, now_us), 0
        while True:
            page = await self.journal.read(EventQuery(after_position=position, kinds=("Custom",)), limit=_PAGE)
            for record in page:
                item = reader.read(record)
                if item is not None and item.at_us >= first_us and wanted.takes(item):
                    yield item
            if len(page) < _PAGE:
                return
            position = page[-1].position

    async def groups(self, by: Dimension, wanted: CostFilter, *, now_us: int) -> tuple[CostGroup, ...]:
        """The sums along a dimension. Those by service, of everything, come from the projection; others from a reading of the
        whole journal."""
        if by == "service" and not wanted.narrows:
            services = (await self.report(wanted.window, now_us=now_us)).services
            return tuple(
                CostGroup(
                    name=line.name, llm_cost=line.llm_cost, compute_cost=line.compute_cost, total_cost=line.total_cost
                )
                for line in services
            )
        sums = CostSums(by)
        async for item in self.items(wanted, now_us=now_us):
            sums.add(item)
        return sums.groups()

    async def newest(self, count: int, wanted: CostFilter, *, now_us: int) -> list[CostItem]:
        """The newest single costs, oldest first."""
        kept: deque[CostItem] = deque(maxlen=count)
        async for item in self.items(wanted, now_us=now_us):
            kept.append(item)
        return list(kept)


@asynccontextmanager
async def open_costs(data_dir: Path, clock: Clock | None = None) -> AsyncIterator[OpenCosts]:
    """The costs of a project's, a wallet's or a daemon's directory; NotFoundError when there is no journal in it."""
    path = data_dir / JOURNAL_FILE
    if not (path.exists() and path.stat().st_size):
        raise NotFoundError(
            f"There is no journal in {data_dir}.",
            next_step="Name the folder of the wallet, the project or the daemon with --data-dir.",
        )
    async with SqliteJournal.open(path, clock=clock or SystemClock()) as journal, SqliteSnapshots(path) as snapshots:
        yield OpenCosts(
            journal, ProjectionRunner(journal, CostProjection(), snapshots, snapshot_events=_SNAPSHOT_EVENTS)
        )
