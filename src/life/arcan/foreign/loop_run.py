"""One run of a foreign loop in this process.

The loop runs as a task of its own and stops at its desk: when it wants its model, and when it calls a tool. What the record holds is
answered at once, so the loop comes to where it was; what it does not hold waits until the runtime's own loop has come
to it. The loop reads nothing that is not in the journal, or about to be.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Final, NamedTuple, TypeVar

from life.aios.json import Json
from life.aios.ports.provider import ToolSpec
from life.arcan.errors import LoopDivergedError
from life.arcan.foreign.port import Ask, ForeignLoop, NativeResult, Perform
from life.arcan.foreign.record import LoopRecord, RecordedAnswer

_SETTLING: Final = 200
"""Turns of the event loop after which a loop that waits for a later call is taken not to make an earlier one."""


_T = TypeVar("_T")


class Wanted(NamedTuple):
    """The loop waits for an answer of its model. `context` is the loop's own, for what frameworks keep in context variables."""

    ask: Ask
    reply: asyncio.Future[Json]
    context: contextvars.Context


class Made(NamedTuple):
    """The loop made a call. `perform` is None for a tool of the runtime."""

    perform: Perform | None
    context: contextvars.Context


async def in_context(context: contextvars.Context, work: Callable[[], Awaitable[_T]]) -> _T:
    """Do the work in the loop's own context. Cancelling this cancels the work."""

    async def doing() -> _T:
        return await work()

    task = asyncio.get_running_loop().create_task(doing(), context=context)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise


class LoopFailed(Exception):  # noqa: N818 - what became of a task, not one of ours
    """The loop ended with an error of its own."""


class LoopRun:
    """A loop between its start and its end (life.arcan.foreign.port.LoopDesk)."""

    def __init__(self, loop: ForeignLoop, record: LoopRecord, offered: Sequence[ToolSpec]) -> None:
        self._loop = loop
        self._record = record
        self._answers = list(record.answers)
        self._asked = 0
        self._wanted: Wanted | None = None
        self._held: tuple[Wanted, Json] | None = None
        self._called: dict[tuple[int, str], Made] = {}
        self._open: dict[tuple[int, str], asyncio.Future[NativeResult]] = {}
        self._moved = asyncio.Event()
        work = loop.run(self, record.objective, history=record.history, offered=offered)
        self._task = asyncio.get_running_loop().create_task(self._watched(work))
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())

    # The desk

    async def model(self, ask: Ask) -> Json:
        """See LoopDesk."""
        if self._wanted is not None:
            raise LoopDivergedError("The loop asked for two answers at once; only one after the other can be recorded.")
        place, self._asked = self._asked, self._asked + 1
        if place < len(self._answers):
            return self._answers[place].native
        reply: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._wanted = Wanted(ask, reply, contextvars.copy_context())
        self._moved.set()
        try:
            return await reply
        finally:
            self._wanted = None

    async def tool(self, native_id: str, perform: Perform | None) -> NativeResult:
        """See LoopDesk."""
        place = self._asked - 1
        known = self._answers[place].results.get(native_id) if 0 <= place < len(self._answers) else None
        if known is not None:
            return known
        key = (place, native_id)
        if key in self._called:
            raise LoopDivergedError("The loop made the same call twice.")
        self._called[key] = Made(perform, contextvars.copy_context())
        reply: asyncio.Future[NativeResult] = asyncio.get_running_loop().create_future()
        self._open[key] = reply
        self._moved.set()
        return await reply

    # The runtime's side

    def stands_at(self, record: LoopRecord) -> bool:
        """Whether this run is the one of the record, and has come to where it is."""
        mine = self._record
        return (
            not self._task.cancelled()
            and record.objective == mine.objective
            and len(record.history) == len(mine.history)
            and len(record.answers) == len(self._answers)
            and (not record.answers or record.answers[-1].native == self._answers[-1].native)
        )

    def answered(self, wanted: Wanted, native: Json, native_ids: Sequence[str]) -> None:
        """The model gave an answer. The loop does not get it before it is asked for with `release`."""
        self._answers.append(RecordedAnswer(native, tuple(("", native_id) for native_id in native_ids), {}))
        self._held = (wanted, native)

    def release(self) -> None:
        """Let the loop have the answer."""
        if self._held is not None:
            (wanted, native), self._held = self._held, None
            self._moved.clear()
            if not wanted.reply.done():
                wanted.reply.set_result(native)

    def deliver(self, results: dict[str, NativeResult]) -> None:
        """Results of the last answer's calls, as the journal has them."""
        place = len(self._answers) - 1
        if place < 0:
            return
        for native_id, result in results.items():
            self._answers[place].results.setdefault(native_id, result)
            waiting = self._open.pop((place, native_id), None)
            if waiting is not None and not waiting.done():
                self._moved.clear()
                waiting.set_result(result)

    @property
    def native_ids(self) -> tuple[str, ...]:
        """The calls of the last answer that go through us."""
        return tuple(native_id for _, native_id in self._answers[-1].calls) if self._answers else ()

    async def next_question(self) -> Wanted | str:
        """What the loop comes to: a question for its model, or its final text. LoopFailed, LoopDivergedError."""
        while True:
            if self._task.done():
                return self._task.result()
            if self._wanted is not None and not self._wanted.reply.done():
                return self._wanted
            self._moved.clear()
            await self._wait()
            if self._open and not self._task.done() and self._wanted is None:
                await self._settle()
                if self._open and self._wanted is None and not self._task.done():
                    raise LoopDivergedError("The loop made a call that its model's recorded answer does not hold.")

    async def called(self, native_id: str) -> Made:
        """How the loop makes this call of the last answer, once it comes to it; LookupError when it goes on without making it, or
        when it waits for the result of an earlier one."""
        key = (len(self._answers) - 1, native_id)
        while key not in self._called:
            if self._task.done() or (self._wanted is not None and not self._wanted.reply.done()):
                raise LookupError(native_id)
            if self._open:
                await self._settle(key)
                if key not in self._called:
                    raise LookupError(native_id)
                break
            self._moved.clear()
            await self._wait()
        return self._called[key]

    async def aclose(self) -> None:
        """Stop the loop where it is."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def cancel(self) -> None:
        """Stop the loop, without waiting for it."""
        self._task.cancel()

    async def _wait(self) -> None:
        """Until the loop moved or ended. Cancelling the waiting leaves the loop alone."""
        moved = asyncio.get_running_loop().create_task(self._moved.wait())
        try:
            await asyncio.wait({moved, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            moved.cancel()

    async def _settle(self, key: tuple[int, str] | None = None) -> None:
        """Give the loop time to come to its other calls."""
        for _ in range(_SETTLING):
            if (key is not None and key in self._called) or self._task.done():
                return
            await asyncio.sleep(0)

    async def _watched(self, work: Coroutine[object, object, str]) -> str:
        try:
            text = await work
        except LoopDivergedError:
            raise
        except Exception as error:
            raise LoopFailed(type(error).__name__) from error
        return str(text)
