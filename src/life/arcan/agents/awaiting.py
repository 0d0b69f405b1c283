"""The children of a run, as its loop deals with them: wait for the next to end, take over what it came to, stop them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from life.arcan.agents.delegation import ChildEnd, Delegation
from life.arcan.agents.events import SubagentsAwaited, SubagentWaiting, agent_event
from life.arcan.errors import RuntimeClosedError
from life.arcan.interrupts import Interrupts
from life.arcan.session_log import SessionLog
from life.arcan.session_state import CallState

TakeOver = Callable[[CallState, ChildEnd], Awaitable[None]]
"""Makes what a child came to the outcome of its call."""


class Children:
    """The children of the open run of one session. They have clocks of their own, so the run's stands still meanwhile."""

    def __init__(
        self, delegation: Delegation | None, log: SessionLog, interrupts: Interrupts, take_over: TakeOver
    ) -> None:
        self._delegation = delegation
        self._log = log
        self._interrupts = interrupts
        self._take_over = take_over

    async def take_next(self) -> None:
        """Wait for the next of them to end, and take it over. Raises Interrupted; the children go on then."""
        delegation, calls = self._delegation, self._log.state.calls
        if delegation is None:
            raise RuntimeClosedError("This runtime has no agents, but the run waits for some.")
        run = self._log.state.run
        if run is not None and run.active_since_us is not None:
            self._log.add(agent_event(SubagentsAwaited(call_ids=tuple(call.call_id for call in calls))))
            self._log.commit_soon()
        call, end = await self._interrupts.guard(lambda: next_ended(delegation, calls, self._waits))
        await self._take_over(call, end)

    async def stop(self, reason: str) -> None:
        """Stop all of them; their calls fail for this reason."""
        for call in self._log.state.calls:
            if call.child is not None and self._delegation is not None:
                end = await self._delegation.stop(call.child)
                if end.is_error and isinstance(end.output, dict):
                    end = end._replace(output={**end.output, "detail": reason})
                await self._take_over(call, end)

    def _waits(self, waiting: SubagentWaiting) -> None:
        """Say once that a child waits for a person."""
        call = self._log.state.call(waiting.call_id)
        if call is not None and call.child_waits != f"{waiting.status}:{waiting.subject}":
            self._log.add(agent_event(waiting))
            self._log.commit_soon()


async def next_ended(
    delegation: Delegation, calls: Sequence[CallState], waits: Callable[[SubagentWaiting], None]
) -> tuple[CallState, ChildEnd]:
    """The first call, in their order, whose child has ended, with its end. Cancelling it leaves the children alone."""
    loop = asyncio.get_running_loop()
    waiting = [
        (call, loop.create_task(delegation.ended(call.child, waits))) for call in calls if call.child is not None
    ]
    try:
        await asyncio.wait([task for _, task in waiting], return_when=asyncio.FIRST_COMPLETED)
        return next((call, task.result()) for call, task in waiting if task.done())
    finally:
        for _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
