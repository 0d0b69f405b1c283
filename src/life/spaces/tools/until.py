"""Waiting for a state of Spaces, up to a limit.

A wait looks first, then again whenever Spaces tells of a change, and every two seconds for what happens elsewhere (a house of another
machine, a deadline). What it waits for is a state, not a signal, so that a wait which is begun again after a crash misses nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final, TypeVar

from life.aios.ports.clock import Clock
from life.spaces.errors import SpacesError
from life.spaces.seat import Seat

LOOK_US: Final = 2_000_000
T = TypeVar("T")


async def wait_until(
    seat: Seat, topics: Sequence[str], look: Callable[[], Awaitable[T | None]], *, clock: Clock, timeout_s: int
) -> T | None:
    """What `look` finds, as soon as it finds something; None when the time is over."""
    until_us = clock.monotonic_us() + timeout_s * 1_000_000
    changed = asyncio.Event()

    async def listen() -> None:
        try:
            async with aclosing(seat.follow(topics)) as news:
                async for _ in news:
                    changed.set()
        except SpacesError:
            return  # looking now and then goes on

    listening = asyncio.create_task(listen())
    try:
        while True:
            changed.clear()
            found = await look()
            if found is not None:
                return found
            left_us = until_us - clock.monotonic_us()
            if left_us <= 0:
                return None
            pause = asyncio.create_task(clock.sleep_us(min(left_us, LOOK_US)))
            news = asyncio.create_task(changed.wait())
            try:
                await asyncio.wait({pause, news}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                pause.cancel()
                news.cancel()
                await asyncio.gather(pause, news, return_exceptions=True)
    finally:
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
