"""Keeps the folds up with the journal: one subscription over all streams, from a snapshot.

    async with Follower(journal, homeostasis, snapshots) as follower:
        …                      # everything that is in the journal by now is folded in

A snapshot is a cache: without one, or with one of other settings, the journal is read from its beginning. When the
subscription fails, `is_current` says so and it is taken up again, a little later each time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from life.aios.errors import LifeError
from life.aios.ports.clock import Clock
from life.aios.ports.journal import EventQuery, Journal
from life.aios.ports.snapshots import Snapshot, Snapshots
from life.aios.record import EventRecord, Stream
from life.autonomic.fold import SessionVitals
from life.autonomic.homeostasis import VERSION, Homeostasis

PAGE: Final = 1_000
SNAPSHOT_EVERY: Final = 5_000
"""Events between two snapshots."""

_FIRST_PAUSE_US: Final = 100_000
_LONGEST_PAUSE_US: Final = 30_000_000
_log = logging.getLogger("life.autonomic")


class Follower:
    """Feeds one `Homeostasis`. Nobody else may."""

    def __init__(
        self,
        journal: Journal,
        homeostasis: Homeostasis,
        clock: Clock,
        *,
        snapshots: Snapshots | None = None,
        heard: Callable[[EventRecord], None] = lambda _: None,
    ) -> None:
        """`heard` is told of every event that comes in after the start, once it is folded in."""
        self._journal = journal
        self._homeostasis = homeostasis
        self._clock = clock
        self._snapshots = snapshots
        self._name = f"autonomic:{homeostasis.fingerprint}"
        self._heard = heard
        self._saved = 0
        self._task: asyncio.Task[None] | None = None
        self._read = asyncio.Event()
        self.position = 0
        """Of the journal, up to which everything is folded in."""
        self.failure = ""
        """Why the journal can't be followed at present; empty while it is."""

    @property
    def is_current(self) -> bool:
        """Whether the folds follow the journal."""
        return self._task is not None and not self._task.done() and not self.failure

    async def __aenter__(self) -> Self:
        await self.catch_up()
        self._task = asyncio.get_running_loop().create_task(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._save()

    async def catch_up(self) -> None:
        """Fold in everything that is in the journal now. Only before the start."""
        if self._snapshots is not None and self.position == 0:
            snapshot = await self._snapshots.load(self._name, VERSION)
            if snapshot is not None and self._homeostasis.load(snapshot.state):
                self.position = self._saved = snapshot.position
        while True:
            page = await self._journal.read(EventQuery(after_position=self.position), limit=PAGE)
            for record in page:
                self._homeostasis.apply(record)
                self.position = record.position
            if len(page) < PAGE:
                break
            await asyncio.sleep(0)
        await self._save_sometimes()

    async def reached(self, position: int) -> None:
        """Return once everything up to this position of the journal is folded in."""
        while self.position < position:
            self._read.clear()
            await self._read.wait()

    async def refold(self, stream: Stream) -> SessionVitals:
        """The vitals of one stream, from its events alone."""
        vitals = SessionVitals.under(self._homeostasis.thresholds)
        after = 0
        while True:
            page = await self._journal.read(EventQuery(*stream, after_sequence=after), limit=PAGE)
            for record in page:
                vitals.agent_id = vitals.agent_id or record.agent_id
                vitals.apply(record)
                after = record.sequence
            if len(page) < PAGE:
                return vitals

    async def _follow(self) -> None:
        pause_us = _FIRST_PAUSE_US
        while True:
            try:
                async for record in self._journal.subscribe(EventQuery(after_position=self.position)):
                    self.failure, pause_us = "", _FIRST_PAUSE_US
                    self._take(record)
                    await self._save_sometimes()
                self.failure = "The subscription to the journal ended."
            except LifeError as error:
                self.failure = error.message
            except Exception as error:
                # Whatever it is, somebody has to keep watch: say so and try again.
                self.failure = type(error).__name__
                _log.exception("Homeostasis stumbled over an event.")
            _log.warning("Homeostasis can't follow the journal: %s", self.failure)
            await self._clock.sleep_us(pause_us)
            pause_us = min(pause_us * 2, _LONGEST_PAUSE_US)
            self.failure = ""

    def _take(self, record: EventRecord) -> None:
        self._homeostasis.apply(record)
        self.position = record.position
        self._read.set()
        self._heard(record)

    async def _save_sometimes(self) -> None:
        if self.position - self._saved >= SNAPSHOT_EVERY:
            await self._save()

    async def _save(self) -> None:
        if self._snapshots is None or self.position == self._saved:
            return
        try:
            await self._snapshots.save(self._name, VERSION, Snapshot(self.position, self._homeostasis.encode()))
            self._saved = self.position
        except LifeError as error:
            _log.warning("The snapshot of homeostasis could not be kept: %s", error.message)
            self._saved = self.position  # it is a cache; the next attempt comes with the next events
