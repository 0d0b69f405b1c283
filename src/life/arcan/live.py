"""A session in memory: its log, its feed, and the run that is being driven, if one is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from life.aios.errors import LifeError
from life.aios.ports.provider import ModelProvider
from life.aios.record import Stream
from life.aios.state import SteeringMode
from life.arcan.checkpoints import EVERY_EVENTS, SessionHistory
from life.arcan.errors import RuntimeClosedError
from life.arcan.interrupts import Interrupts
from life.arcan.loop import RunDriver
from life.arcan.session_log import SessionLog
from life.arcan.session_state import SessionState
from life.arcan.settings import Parts
from life.arcan.stream import SessionFeed

_log = logging.getLogger("life.arcan")


class LiveSession:
    """One loaded session. `lock` is held by whoever decides what happens next; the driver runs without it."""

    def __init__(self, parts: Parts, stream: Stream, *, agent_id: str, paused: Callable[[LiveSession], None]) -> None:
        """`paused` hears when the driver has come to rest, whatever the reason."""
        self.stream = stream
        self.history = SessionHistory(parts.journal, parts.checkpoints)
        self.feed = SessionFeed(parts.journal, self.stream, agent_id=agent_id)
        self._agent_id = agent_id
        self._paused = paused
        self.lock = asyncio.Lock()
        self.expiry: asyncio.Task[None] | None = None
        """Counts down the open approval."""
        self._parts = parts
        self._task: asyncio.Task[None] | None = None
        self._driver: RunDriver | None = None
        self._interrupts: Interrupts | None = None
        self._checkpointed = 0
        self._saving: asyncio.Task[None] | None = None
        self.log = self._new_log()

    @property
    def is_driven(self) -> bool:
        """Whether this process drives the session's run right now."""
        return self._task is not None and not self._task.done()

    @property
    def is_idle(self) -> bool:
        """Whether it may be forgotten and read again later."""
        return not (self.is_driven or self.lock.locked() or self.feed.has_subscribers or self.expiry is not None)

    async def sync(self) -> None:
        """Fold what the journal holds beyond what is known here. Only while nothing drives the session."""
        if self.log.is_broken:
            self.log = self._new_log()
        await self.log.catch_up()
        self._checkpoint_later()

    def drive(self, provider: ModelProvider, *, cancelled: bool = False) -> None:
        """Begin to drive the open run; with `cancelled`, only to its orderly end."""
        self._interrupts = Interrupts()
        if cancelled:
            self._interrupts.interrupt("cancelled")
        self._driver = RunDriver(self._parts, self.log, self.feed, self._interrupts, provider)
        self._task = asyncio.get_running_loop().create_task(_watched(self._driver))
        self._task.add_done_callback(self._ended)

    def heed(self, mode: SteeringMode) -> None:
        """A message of this mode was queued: whoever drives shall come to it."""
        if self.is_driven and self._driver is not None:
            self._driver.heed(mode)

    async def run_over(self, run_id: str) -> None:
        """Wait until this run has ended or nothing drives it. Raises what ended the driver, if it was not a run's own end."""
        while self.is_driven and self._task is not None and self._driver is not None:
            run = self.log.durable_state.run
            if run is None or run.run_id != run_id:
                return
            await asyncio.wait({self._task, self._driver.next_end()}, return_when=asyncio.FIRST_COMPLETED)
        await self.driven()

    def cancel(self) -> None:
        """Stop the driven run."""
        if self.is_driven and self._interrupts is not None:
            self._interrupts.interrupt("cancelled")

    async def driven(self) -> None:
        """Wait until nothing is driven. Raises what ended the driver, if it was not the run's own end."""
        task = self._task
        if task is None:
            return
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise RuntimeClosedError("The runtime was closed while the run went on.") from None
            raise

    async def goodbyes_said(self) -> None:
        """Wait until the driver of a run that is over has told everybody; how it ended does not matter."""
        if self._task is not None and not self._task.done():
            await asyncio.wait({self._task})

    async def shut_down(self, *, grace_ms: int) -> None:
        """Leave an open run as it is: it can be recovered. Running tools get `grace_ms` to finish."""
        if self.expiry is not None:
            self.expiry.cancel()
            await asyncio.gather(self.expiry, return_exceptions=True)
        task = self._task
        if task is not None and not task.done():
            assert self._driver is not None
            self._driver.stop_soon()
            grace = asyncio.get_running_loop().create_task(self._parts.clock.sleep_us(grace_ms * 1000))
            await asyncio.wait({task, grace}, return_when=asyncio.FIRST_COMPLETED)
            grace.cancel()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self._saving is not None:
            await asyncio.gather(self._saving, return_exceptions=True)
        await self.feed.aclose()

    def _checkpoint_later(self) -> None:
        """Keep a checkpoint beside whatever comes next, when enough is new."""
        state = self.log.durable_state
        if self._parts.checkpoints is None or state.head - self._checkpointed < EVERY_EVENTS:
            return
        if self._saving is None or self._saving.done():
            self._checkpointed = state.head
            self._saving = asyncio.get_running_loop().create_task(self._checkpoint(state))

    async def _checkpoint(self, state: SessionState) -> None:
        try:
            await self.history.save(state)
        except LifeError as error:
            _log.warning("A checkpoint of %s could not be kept: %s", self.stream, error.message)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A driver that failed with nobody waiting must not fail in silence."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            words = error.message if isinstance(error, LifeError) else type(error).__name__
            _log.error("The run of session %s stopped: %s It can be recovered.", self.stream.session_id, words)
        if not self.is_driven:
            self.log.forget_recent()
        self._checkpoint_later()
        self._paused(self)

    def _new_log(self) -> SessionLog:
        return SessionLog(
            self._parts.journal,
            self.stream,
            agent_id=self._agent_id,
            clock=self._parts.clock,
            entropy=self._parts.entropy,
            published=self.feed.publish,
            history=self.history,
            telemetry=self._parts.telemetry,
            keep_recent=self._parts.regulator is not None,
        )


async def _watched(driver: RunDriver) -> None:
    """Drive with the clocks running."""
    watch = asyncio.get_running_loop().create_task(driver.deadlines.watch())
    try:
        await driver.drive()
    finally:
        watch.cancel()
