"""Interrupts: what is guarded stops, what is not does not, and a real cancellation stays one."""

from __future__ import annotations

import asyncio

import pytest

from life.arcan.interrupts import Deadlines, Interrupted, Interrupts
from life.testing.clock import ManualClock


async def forever() -> None:
    """Never ends by itself."""
    await asyncio.Event().wait()


async def test_a_guarded_operation_is_stopped() -> None:
    """The operation is cancelled inside, and the guard says why; the task itself goes on."""
    interrupts = Interrupts()
    asyncio.get_running_loop().call_soon(interrupts.interrupt, "cancelled")
    with pytest.raises(Interrupted) as caught:
        await interrupts.guard(forever)
    assert caught.value.reason == "cancelled"
    await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None and task.cancelling() == 0


async def test_nothing_begins_after_an_interrupt() -> None:
    """What would be guarded next is not even started."""
    interrupts = Interrupts()
    interrupts.interrupt("time")
    began = False

    async def begin() -> None:
        nonlocal began
        began = True

    with pytest.raises(Interrupted):
        await interrupts.guard(begin)
    assert not began


async def test_a_persons_word_wins() -> None:
    """Cancelling replaces a limit as the reason; a limit does not replace cancelling."""
    interrupts = Interrupts()
    interrupts.interrupt("time")
    interrupts.interrupt("cancelled")
    interrupts.interrupt("time")
    assert interrupts.reason == "cancelled"


async def test_an_operation_that_ends_gives_its_result() -> None:
    """Without an interrupt the guard is invisible."""

    async def answer() -> int:
        await asyncio.sleep(0)
        return 42

    assert await Interrupts().guard(answer) == 42


async def test_a_real_cancellation_passes_through() -> None:
    """When the task itself is cancelled, also at the same moment, it is cancelled."""
    interrupts = Interrupts()
    for both in (False, True):
        task = asyncio.create_task(interrupts.guard(forever))
        await asyncio.sleep(0)
        task.cancel()
        if both:
            interrupts.interrupt("cancelled")
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_tools_time_ends_only_the_tool() -> None:
    """When a tool's time is up it is stopped; afterwards the run may go on."""
    clock = ManualClock()
    interrupts = Interrupts()
    deadlines = Deadlines(clock, interrupts)
    watching = asyncio.create_task(deadlines.watch())
    deadlines.tool_until_us = clock.monotonic_us() + 1_200_000
    guarded = asyncio.create_task(interrupts.guard(forever))
    for _ in range(30):
        await asyncio.sleep(0)
        clock.advance_us(100_000)
    with pytest.raises(Interrupted) as caught:
        await guarded
    assert caught.value.reason == "tool_time"
    interrupts.clear("tool_time")
    deadlines.run_until_us = clock.monotonic_us() + 1_000_000
    for _ in range(30):
        await asyncio.sleep(0)
        clock.advance_us(100_000)
    with pytest.raises(Interrupted) as caught:
        await interrupts.guard(forever)
    assert caught.value.reason == "time"
    watching.cancel()
