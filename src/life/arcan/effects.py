"""Tools at work: calls whose intent is on disk run, side by side where there are several, and each comes to an outcome.

A person, a time limit or a shutdown may stop them. What does not end when it is told to is left behind, and a probe says what
became of it. Nothing here writes to the journal.

Source: ARCHITECTURE.md §2.4; aios.md §14.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from life.aios.errors import ToolError
from life.aios.json import Json
from life.aios.ports.tools import Probe, ToolCall, ToolContext, ToolOutcome
from life.aios.state import SpanStatus
from life.arcan.interrupts import Deadlines, Interrupted, InterruptReason, Interrupts
from life.arcan.queue import STEER_TIMEOUT_US
from life.arcan.session_state import CallState
from life.arcan.settings import Parts
from life.arcan.trace_marks import TraceMarks

UNKNOWN_EFFECT = "It is not known whether this call took effect."

_SLACK_US = 1_000_000
"""The toolbox enforces each tool's own limit and says so better; the session's limit strikes a little later."""

_log = logging.getLogger("life.arcan")


class Begun(NamedTuple):
    """A call whose intent is written."""

    call: CallState
    context: ToolContext
    prepared: Json
    tool_run_id: str


class Ended(NamedTuple):
    """What a call came to."""

    begun: Begun
    outcome: ToolOutcome
    duration_ms: int


class Effects:
    """Runs tools for one run."""

    def __init__(self, parts: Parts, marks: TraceMarks, interrupts: Interrupts, deadlines: Deadlines) -> None:
        self._parts = parts
        self._marks = marks
        self._interrupts = interrupts
        self._deadlines = deadlines
        self._abandoned: set[asyncio.Task[Ended]] = set()

    async def run(self, begun: Sequence[Begun], *, limit_s: int, hurry: bool) -> AsyncGenerator[Ended, None]:
        """Start all of them, and give their outcomes in their order, each as soon as it is there. `hurry`: somebody waits already.
        Close it when you leave it early."""
        started_us = self._parts.clock.monotonic_us()
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(self._run_tool(each, started_us)) for each in begun]
        self._deadlines.tool_until_us = started_us + limit_s * 1_000_000 + _SLACK_US
        if hurry:
            self._deadlines.hurry(STEER_TIMEOUT_US)
        stopped: InterruptReason | None = None
        try:
            for each, task in zip(begun, tasks, strict=True):
                if stopped is None:
                    stopped = await self._wait_for(task)
                    if stopped is not None:
                        _cancel(tasks)
                yield task.result() if stopped is None else await self._stopped(task, each, started_us, stopped)
        finally:
            self._deadlines.tool_until_us = None
            # What still runs here was left early: the process is going down, and recovery will ask the probe.
            left = [task for task in tasks if not task.done() and task not in self._abandoned]
            _cancel(left)
            await asyncio.gather(*left, return_exceptions=True)

    async def probe(self, call: CallState, context: ToolContext, prepared: Json) -> Probe:
        """What the toolbox says became of a call. One that fails to tell knows nothing."""
        try:
            return await self._parts.toolbox.probe(tool_call(call), context, prepared)
        except ToolError as error:
            return Probe(answer="unknown", explanation=error.message)
        except Exception as error:
            return Probe(answer="unknown", explanation=defect("The probe crashed", call, error))

    async def _run_tool(self, begun: Begun, started_us: int) -> Ended:
        with self._marks.tool(begun.tool_run_id):
            outcome = await self._outcome(begun)
        return self._after(begun, outcome, started_us)

    async def _outcome(self, begun: Begun) -> ToolOutcome:
        try:
            return await self._parts.toolbox.execute(tool_call(begun.call), begun.context)
        except ToolError as error:
            return ToolOutcome(status="error", output={"error": error.message})
        except Exception as error:
            return ToolOutcome(status="error", output={"error": defect("The tool crashed", begun.call, error)})

    def _after(self, begun: Begun, outcome: ToolOutcome, started_us: int) -> Ended:
        return Ended(begun, outcome, (self._parts.clock.monotonic_us() - started_us) // 1000)

    async def _wait_for(self, task: asyncio.Task[Ended]) -> InterruptReason | None:
        """Return when the task is done (None), or why it has to stop."""
        try:
            await self._interrupts.guard(lambda: asyncio.wait({task}))
        except Interrupted as stop:
            return stop.reason
        finally:
            self._interrupts.clear("tool_time")
        return None

    async def _stopped(
        self, task: asyncio.Task[Ended], begun: Begun, started_us: int, reason: InterruptReason
    ) -> Ended:
        """What a call that was told to stop came to: its own outcome if it has one, otherwise what a probe finds."""
        grace = asyncio.get_running_loop().create_task(
            self._parts.clock.sleep_us(self._parts.settings.cancel_grace_ms * 1000)
        )
        await asyncio.wait({task, grace}, return_when=asyncio.FIRST_COMPLETED)
        grace.cancel()
        if task.done() and not task.cancelled():
            return task.result()
        if not task.done():
            _log.warning("The tool %s did not stop when it was told to.", begun.call.tool_name)
            self._abandoned.add(task)
            task.add_done_callback(self._abandoned.discard)
        probe = await self.probe(begun.call, begun.context, begun.prepared)
        if probe.answer == "done" and probe.outcome is not None:
            return self._after(begun, probe.outcome, started_us)
        status: SpanStatus = "cancelled" if reason == "cancelled" else "timeout"
        words = "Stopped by a person." if reason == "cancelled" else "Stopped because its time was up."
        effect = {
            "done": "It took effect.",
            "not_done": "It had no effect.",
            "repeatable": "It may be called again.",
            "unknown": UNKNOWN_EFFECT,
        }[probe.answer]
        return self._after(begun, ToolOutcome(status=status, output={"error": f"{words} {effect}"}), started_us)


def tool_call(call: CallState) -> ToolCall:
    """The call as the toolbox knows it."""
    return ToolCall(call.call_id, call.tool_name, call.arguments)


def defect(words: str, call: CallState, error: Exception) -> str:
    """What is told about a defect of the toolbox: its type only, because its words may hold anything."""
    _log.error("%s: %s in the tool %s.", words, type(error).__name__, call.tool_name)
    return f"{words}: {type(error).__name__}."


def _cancel(tasks: Sequence[asyncio.Task[Ended]]) -> None:
    for task in tasks:
        task.cancel()
