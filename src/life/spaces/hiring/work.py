"""Being hired: an agent that takes hires on, has them carried out, and delivers.

    async with HireServer(desk, open_seat, work, accepts).running():
        …

What it took on is followed in the task list of Spaces, which holds whatever happened while nobody was here: after a crash the open ones are
gone on with, under the same ids. Who does the work is behind the `Work` port; it must give the same result for the same hire, or at least
not be harmed by being asked again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Final, Protocol

from life.aios.errors import LifeError
from life.aios.ports.clock import Clock
from life.spaces.errors import SpacesError
from life.spaces.hiring.desk import Hire, HiringDesk
from life.spaces.hiring.errors import HireRefusedError, OfferForgedError
from life.spaces.hiring.offers import CONTEXT, MAX_RESULT, check_words
from life.spaces.listeners.websocket.client import Snapshot
from life.spaces.listeners.websocket.frames import UpdateFrame
from life.spaces.model import Row, Task
from life.spaces.reducers.tasks import TERMINAL
from life.spaces.seat import OpenSeat

AT_ONCE: Final = 4
"""Hires that are carried out beside each other."""
AGAIN_US: Final = 5_000_000
"""Until something that failed for the moment is tried again."""
MOST_TRIES: Final = 60
WATCH_US: Final = 15_000_000
_MOST_WATCHED: Final = 200
_log: Final = logging.getLogger("life.spaces.hiring")


class NotDoneError(Exception):
    """The work can't be done; the words are for the customer."""


class Work(Protocol):
    """Who carries a hire out, or answers a question."""

    async def carry_out(self, hire: Hire) -> str:
        """The result. NotDoneError when it can't be done; LifeErrors that are retryable are tried again later."""
        ...


Accepts = Callable[[Hire], str | None]
"""Why a hire is not taken on; None when it is."""


class HireServer:
    """Carries hires out. Belongs to one event loop."""

    def __init__(
        self,
        desk: HiringDesk,
        open_seat: OpenSeat,
        work: Work,
        *,
        accepts: Accepts,
        clock: Clock,
        at_once: int = AT_ONCE,
    ) -> None:
        self._desk = desk
        self._open_seat = open_seat
        self._work = work
        self._accepts = accepts
        self._clock = clock
        self._room = asyncio.Semaphore(at_once)
        self._busy: dict[str, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take hires on until the block ends. What is under way then stays open, and goes on at the next start."""
        jobs = [asyncio.create_task(self._follow()), asyncio.create_task(self._watch())]
        try:
            yield
        finally:
            for task in (*jobs, *self._busy.values()):
                task.cancel()
            await asyncio.gather(*jobs, *self._busy.values(), return_exceptions=True)

    async def _follow(self) -> None:
        while True:
            try:
                seat = await self._open_seat()
                async with aclosing(seat.follow(("tasks:self",))) as news:
                    async for item in news:
                        if isinstance(item, Snapshot):
                            rows: tuple[Row, ...] = item.rows
                        elif isinstance(item, UpdateFrame):
                            rows = item.inserts
                        else:
                            continue
                        self._look_at(rows, seat.identity)
            except SpacesError as error:
                _log.warning("hires can't be followed at present: %s [%s]", error, error.code)
            await self._clock.sleep_us(AGAIN_US)

    async def _watch(self) -> None:
        """Look after what is delivered, until its customer (or time) has decided: looking remembers how it went."""
        while True:
            await self._clock.sleep_us(WATCH_US)
            try:
                await self._desk.list_(role="worker", kind="hire", open_only=True, limit=_MOST_WATCHED)
            except LifeError as error:
                _log.info("delivered hires can't be looked at now: %s [%s]", error, error.code)

    def _look_at(self, rows: tuple[Row, ...], mine: str) -> None:
        for row in rows:
            if not isinstance(row, Task) or row.agent != mine or row.context_id != CONTEXT or row.state in TERMINAL:
                continue
            if row.task_id not in self._busy:
                task = asyncio.get_running_loop().create_task(self._carry(row.task_id))
                self._busy[row.task_id] = task
                task.add_done_callback(lambda _, hire_id=row.task_id: self._busy.pop(hire_id, None))  # type: ignore[misc]

    async def _carry(self, hire_id: str) -> None:
        async with self._room:
            for _ in range(MOST_TRIES):
                try:
                    await self._carry_once(hire_id)
                    return
                except LifeError as error:
                    if not error.retryable:
                        _log.warning("the hire %s is left alone: %s [%s]", hire_id, error, error.code)
                        return
                except Exception:  # a defect of whoever does the work must not leave the hire without anybody
                    _log.exception("the hire %s failed; it is tried again", hire_id)
                await self._clock.sleep_us(AGAIN_US)
            _log.warning("the hire %s is left alone until the next start: it failed %d times", hire_id, MOST_TRIES)

    async def _carry_once(self, hire_id: str) -> None:
        hire = await self._desk.look(hire_id)
        if hire.is_over or (hire.state == "delivered" and hire.kind == "question"):
            return
        if hire.state == "delivered":  # the house has it, and the customer was not told before a crash
            await self._desk.deliver(hire_id, hire.result or "")
            return
        if hire.state == "offered":
            refusal = self._accepts(hire)
            if refusal is not None:
                await self._desk.decline(hire_id, refusal)
                return
            try:
                hire = await self._desk.take(hire_id)
            except (HireRefusedError, OfferForgedError) as error:
                await self._desk.decline(hire_id, error.message)
                return
        try:
            result = check_words(await self._work.carry_out(hire), MAX_RESULT, what="result")
        except (NotDoneError, HireRefusedError) as error:
            await self._desk.decline(hire_id, str(error) or "It could not be done.")
            return
        await self._desk.deliver(hire_id, result)
