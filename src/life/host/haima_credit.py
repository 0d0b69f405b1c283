"""Credit, lending and the bureau over a directory's journal or a daemon's: house, projection, desk, clock.

async with open_credit(directory) as credit:      # the command line, programs
    await credit.desk.draw("agent-1", 50_000, key)

async with credit_over(journal, snapshots, clock, entropy) as credit, lending_job(credit, clock):    # a daemon
    operations += credit_operations(credit.desk, signer=custody)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from life.aios.errors import LifeError, NotFoundError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.ports.snapshots import Snapshots
from life.haima.credit_book import CreditBook
from life.haima.credit_factors import CreditProjection
from life.haima.house import House
from life.haima.lending import LendingTerms
from life.haima.lending_clock import LendingClock, ReadCredit, Reading
from life.haima.lending_desk import LendingDesk
from life.host.clock import SystemClock, SystemEntropy
from life.host.haima_directory import JOURNAL_FILE, open_directory
from life.lago.journal.sqlite import SqliteJournal
from life.lago.projection import ProjectionRunner
from life.lago.snapshots import SqliteSnapshots

HOUSE_AGENT: Final = "haima"
"""In whose name the house writes."""
LOOK_EVERY_US: Final = 60_000_000
_SNAPSHOT_EVENTS: Final = 20_000
_log: Final = logging.getLogger(__name__)


class OpenCredit(NamedTuple):
    """The parts, wired."""

    house: House
    runner: ProjectionRunner[CreditBook]
    desk: LendingDesk
    lending: LendingClock
    read: ReadCredit
    """The projection up to the journal's end, for any number of readers at once."""


@asynccontextmanager
async def credit_over(
    journal: Journal,
    snapshots: Snapshots | None,
    clock: Clock,
    entropy: Entropy,
    *,
    house: House | None = None,
    terms: LendingTerms | None = None,
    repayment_addresses: Collection[str] = (),
) -> AsyncIterator[OpenCredit]:
    """Credit over an open journal. `house` is the process's one house where there is one already."""
    own = house is None
    if house is None:
        house = House(journal, clock, entropy, agent_id=HOUSE_AGENT, snapshots=snapshots)
        await house.open()
    runner = ProjectionRunner(journal, CreditProjection(), snapshots, snapshot_events=_SNAPSHOT_EVENTS)
    await runner.catch_up()
    reading = asyncio.Lock()

    async def read() -> Reading:
        async with reading:  # two readers at once would fold the same page twice
            return Reading(await runner.catch_up(), runner.position)

    desk = LendingDesk(house, journal, read, clock, entropy, terms=terms, repayment_addresses=repayment_addresses)
    try:
        yield OpenCredit(house, runner, desk, LendingClock(house, read), read)
    finally:
        await runner.save()
        if own:
            await house.aclose()


@asynccontextmanager
async def open_credit(
    directory: Path,
    *,
    clock: Clock | None = None,
    entropy: Entropy | None = None,
    create: bool = False,
    terms: LendingTerms | None = None,
    repayment_addresses: Collection[str] = (),
) -> AsyncIterator[OpenCredit]:
    """Credit over a directory's journal; NotFoundError when there is none and none may be made. A daemon may work on the
    same journal meanwhile."""
    path = directory / JOURNAL_FILE
    if create:
        open_directory(directory)
    elif not (path.exists() and path.stat().st_size):
        raise NotFoundError(
            f"There is no journal in {directory}.",
            next_step="Name the folder of the project or daemon with --data-dir.",
        )
    clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
    async with SqliteJournal.open(path, clock=clock) as journal, SqliteSnapshots(path) as snapshots:
        async with credit_over(
            journal, snapshots, clock, entropy, terms=terms, repayment_addresses=repayment_addresses
        ) as credit:
            yield credit


@asynccontextmanager
async def lending_job(credit: OpenCredit, clock: Clock, *, every_us: int = LOOK_EVERY_US) -> AsyncIterator[None]:
    """Do what is due for the credit lines every `every_us`, until the block ends. A failure is logged and tried again."""
    task = asyncio.create_task(_work(credit, clock, every_us))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _work(credit: OpenCredit, clock: Clock, every_us: int) -> None:
    while True:
        try:
            await credit.lending.run()
        except LifeError as error:
            _log.warning("the credit lines could not be looked after: %s [%s]", error, error.code)
        await clock.sleep_us(every_us)
