"""Every change of a task goes to where people watch tasks (life.spaces.a2a.channel), in order and once.

It follows the ledger and holds nothing up: a channel that does not answer is tried again, one that refuses is passed over. What was
not told when the process ended is told after the next start, as the task stands then, if it changed within a day (telling again what
was told changes nothing for so long).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from life.aios.errors import LifeError
from life.aios.ports.clock import Clock
from life.aios.ports.telemetry import working_in
from life.spaces.a2a.ledger import TaskLedger
from life.spaces.a2a.ports import TaskChannel, Told
from life.spaces.a2a.state import TaskRecord
from life.spaces.a2a.wire import TaskState
from life.spaces.errors import RateLimitedError

MAX_WAITING: Final = 10_000
"""Changes that wait; beyond that the oldest are not told."""
RETOLD_US: Final = 23 * 3_600_000_000
"""How old a change may be at the start to be told then."""
AGAIN_S: Final = (1, 2, 5, 15, 60)
_log: Final = logging.getLogger("life.spaces.a2a")


class TaskBridge:
    """Tells one channel of all tasks. `start` it after the ledger is loaded; close it with `aclose`."""

    def __init__(
        self, ledger: TaskLedger, channel: TaskChannel, clock: Clock, *, conversation_of: Callable[[TaskRecord], str],
        run_of: Callable[[str], str],
    ) -> None:  # fmt: skip
        """`run_of` knows the run of a task that was begun in this process."""
        self._ledger = ledger
        self._channel = channel
        self._clock = clock
        self._conversation_of = conversation_of
        self._run_of = run_of
        self._waiting: deque[Told] = deque(maxlen=MAX_WAITING)
        self._news = asyncio.Event()
        self._telling: asyncio.Task[None] | None = None
        self._last: dict[str, str] = {}
        """The line last told of each task that is not over."""

    def start(self) -> None:
        """Begin, with what changed lately."""
        since_us = self._clock.now_us() - RETOLD_US
        for task in self._ledger.tasks.all.values():
            if task.updated_us >= since_us:
                self.changed(task)
        self._telling = asyncio.create_task(self._tell())

    def changed(self, task: TaskRecord) -> None:
        """A task is another than it was. What reads the same (somebody said more) is not told again."""
        line = line_of(task)
        if self._last.get(task.task_id) == line:
            return
        if task.is_over:
            self._last.pop(task.task_id, None)
        else:
            self._last[task.task_id] = line
        place = working_in.get()  # of the request that began the task
        self._waiting.append(
            Told(
                owner=task.owner,
                context_id=task.context_id,
                task_id=task.task_id,
                revision=task.revision,
                state=state_of(task),
                line=line,
                session_id=self._conversation_of(task),
                run_id=self._run_of(task.task_id),
                trace_id=None if place is None else place.traceparent,
            )
        )
        self._news.set()

    async def aclose(self) -> None:
        """Stop; what waits is tried once more, for a moment."""
        if self._telling is None:
            return
        if self._waiting:
            self._news.set()
            await asyncio.wait([self._telling], timeout=0.2)
        self._telling.cancel()
        await asyncio.gather(self._telling, return_exceptions=True)

    async def _tell(self) -> None:
        failures = 0
        while True:
            while self._waiting:
                told = self._waiting[0]
                try:
                    await self._channel.tell(told)
                except RateLimitedError as error:
                    await self._clock.sleep_us(int(error.details.get("retry_after_ms", 1000)) * 1000)
                    continue
                except LifeError as error:
                    _log.warning("Task %s was not told: %s", told.task_id, error.message)
                    if error.retryable:
                        await self._clock.sleep_us(AGAIN_S[min(failures, len(AGAIN_S) - 1)] * 1_000_000)
                        failures += 1
                        continue
                except Exception:
                    _log.exception("Task %s was not told", told.task_id)
                failures = 0
                if self._waiting and self._waiting[0] is told:
                    self._waiting.popleft()
            self._news.clear()
            await self._news.wait()


def state_of(task: TaskRecord) -> str:
    """The state as the protocol calls it, small: `working`, `input_required`."""
    return task.state.value.removeprefix("TASK_STATE_").lower()


def line_of(task: TaskRecord) -> str:
    """What a person reads. The words of the task are not in it."""
    if task.state is TaskState.INPUT_REQUIRED:
        if task.waits_for:
            return f"waits for a decision about {_tool_of(task)}"
        return "waits for payment" if task.needs_payment else "waits for its client"
    if task.state is TaskState.SUBMITTED and task.payload is not None:
        return "the payment is being settled"
    return state_of(task)


def _tool_of(task: TaskRecord) -> str:
    for part in () if task.status_message is None else task.status_message.parts:
        if isinstance(part.data, Mapping) and isinstance(part.data.get("toolName"), str):
            return str(part.data["toolName"])
    return "a tool"
