"""Stopping what a run is doing right now: a person cancels, or time is up.

Only guarded operations (a streaming model, a running tool) are interrupted, never a commit. The technique is that of
`asyncio.timeout`: the driving task is cancelled inside the guard, and the guard turns that into `Interrupted`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from life.aios.ports.clock import Clock

InterruptReason = Literal["cancelled", "time", "tool_time", "steering", "shutdown"]

_POLL_US = 500_000

_T = TypeVar("_T")


class Interrupted(Exception):  # noqa: N818 - a signal, not an error
    """The guarded operation was stopped."""

    def __init__(self, reason: InterruptReason) -> None:
        super().__init__(reason)
        self.reason = reason


class Interrupts:
    """The interrupts of one run."""

    def __init__(self) -> None:
        self._reason: InterruptReason | None = None
        self._guarded: asyncio.Task[object] | None = None
        self._delivered = False

    @property
    def reason(self) -> InterruptReason | None:
        """Why the run is to stop, once it is."""
        return self._reason

    def interrupt(self, reason: InterruptReason) -> None:
        """Stop what is guarded now, or the next thing that would be. The first reason stays, but a person's word wins."""
        if self._reason is None or reason == "cancelled":
            self._reason = reason
        if self._guarded is not None and not self._delivered:
            self._delivered = True
            self._guarded.cancel()

    def clear(self, reason: InterruptReason) -> None:
        """What this reason stopped was dealt with; work goes on."""
        if self._reason == reason:
            self._reason = None

    async def guard(self, operation: Callable[[], Awaitable[_T]]) -> _T:
        """The operation's result, or Interrupted."""
        if self._reason is not None:
            raise Interrupted(self._reason)
        task = asyncio.current_task()
        assert task is not None
        already_cancelling = task.cancelling()
        self._guarded, self._delivered = task, False
        try:
            return await operation()
        except asyncio.CancelledError:
            if self._delivered and task.uncancel() <= already_cancelling:
                assert self._reason is not None
                raise Interrupted(self._reason) from None
            raise
        finally:
            self._guarded = None


class Deadlines:
    """Watches one run's clock, and the clock of the tool it runs, and interrupts when one is up."""

    def __init__(self, clock: Clock, interrupts: Interrupts) -> None:
        self._clock = clock
        self._interrupts = interrupts
        self.run_until_us: int | None = None
        """When the run's working time is used up, on the monotonic clock."""
        self.tool_until_us: int | None = None
        """When the running tool has to be stopped, on the monotonic clock."""

    def hurry(self, within_us: int) -> None:
        """Somebody waits for the running tool: give it so much longer at most."""
        if self.tool_until_us is not None:
            self.tool_until_us = min(self.tool_until_us, self._clock.monotonic_us() + within_us)

    async def watch(self) -> None:
        """Look at least twice a second, until cancelled."""
        while True:
            now_us = self._clock.monotonic_us()
            if self.run_until_us is not None and now_us >= self.run_until_us:
                self.run_until_us = None
                self._interrupts.interrupt("time")
            if self.tool_until_us is not None and now_us >= self.tool_until_us:
                self.tool_until_us = None
                self._interrupts.interrupt("tool_time")
            until_us = min(
                (limit for limit in (self.run_until_us, self.tool_until_us) if limit is not None),
                default=now_us + _POLL_US,
            )
            await self._clock.sleep_us(min(_POLL_US, until_us - now_us))
