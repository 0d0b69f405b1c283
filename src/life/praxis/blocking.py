"""Blocking file work on a thread, without ever losing sight of it.

A thread can't be stopped. When the call that started one is cancelled or timed out, the cancellation waits until the
thread is done, so that no effect appears after the outcome was written down. The work is bounded by the size limits of
`life.praxis.workspace`, and so is the wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

Result = TypeVar("Result")

INLINE_BYTES: Final = 64 * 1024
"""Reads up to this size run on the event loop: about 10 µs, where the way to a thread and back costs 50."""


async def on_thread(work: Callable[[], Result], *, on_cancel: Callable[[], None] | None = None) -> Result:
    """The result of `work` run on a thread of the loop's pool; cancellation is passed on once it has ended.

    `on_cancel` tells work that can stop early that it should.
    """
    running = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        if on_cancel is not None:
            on_cancel()
        while not running.done():
            try:
                await asyncio.wait((running,))
            except asyncio.CancelledError:
                continue  # still running; the first cancellation is raised below
        if not running.cancelled():
            running.exception()  # retrieved: the cancellation is what the caller hears of
        raise
