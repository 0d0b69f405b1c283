"""Threads under cancellation."""

from __future__ import annotations

import asyncio
import threading

import pytest

from life.praxis.blocking import on_thread


async def test_results_and_errors_come_back() -> None:
    """What the work returns or raises is what the caller gets; it did not run on the loop's thread."""
    assert await on_thread(threading.get_ident) != threading.get_ident()

    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await on_thread(fail)


@pytest.mark.parametrize("fails", [False, True])
async def test_cancellation_waits_for_the_thread(fails: bool) -> None:
    """A cancelled call, even one cancelled twice, ends only after its thread has: no effect can come later."""
    started, release, finished = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        release.wait(10)
        finished.set()
        if fails:
            raise OSError("seen by nobody")

    task = asyncio.create_task(on_thread(work))
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert finished.is_set()


async def test_a_timeout_waits_for_the_thread() -> None:
    """`asyncio.timeout` around a thread reports the time-out after the thread has ended."""
    release, finished = threading.Event(), threading.Event()

    def work() -> None:
        release.wait(10)
        finished.set()

    asyncio.get_running_loop().call_later(0.05, release.set)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await on_thread(work)
    assert finished.is_set()
