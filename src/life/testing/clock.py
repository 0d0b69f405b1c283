"""Time and chance that a test holds in its hand."""

from __future__ import annotations

import asyncio
import hashlib
import heapq
import itertools

START_US = 1_763_622_180_000_000
"""2025-11-20T07:03:00Z: where a ManualClock starts unless told otherwise."""


class ManualClock:
    """A clock that moves only when told. Sleepers wake in order of their deadlines."""

    def __init__(self, start_us: int = START_US) -> None:
        self._now_us = start_us
        self._monotonic_us = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now_us(self) -> int:
        """Wall-clock time in microseconds since the epoch."""
        return self._now_us

    def monotonic_us(self) -> int:
        """Microseconds that only ever grow."""
        return self._monotonic_us

    async def sleep_us(self, duration_us: int) -> None:
        """Wait until `advance_us` has moved time far enough."""
        if duration_us <= 0:
            await asyncio.sleep(0)
            return
        wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._monotonic_us + duration_us, next(self._order), wake))
        await wake

    def advance_us(self, duration_us: int) -> None:
        """Move both clocks forward and wake whoever is due."""
        self._now_us += duration_us
        self._monotonic_us += duration_us
        while self._sleepers and self._sleepers[0][0] <= self._monotonic_us:
            wake = heapq.heappop(self._sleepers)[2]
            if not wake.done():
                wake.set_result(None)

    def step_wall_us(self, change_us: int) -> None:
        """Set only the wall clock, forward or back, as an operator or NTP may."""
        self._now_us += change_us

    @property
    def sleepers(self) -> int:
        """How many tasks wait for time to pass."""
        return sum(not wake.done() for _, _, wake in self._sleepers)


class SeededEntropy:
    """The same bytes in every run: a SHA-256 counter stream of the seed. Never use it for real keys."""

    def __init__(self, seed: str = "life") -> None:
        self._seed = seed.encode()
        self._counter = 0

    def token_bytes(self, length: int) -> bytes:
        """The next `length` bytes of the stream."""
        out = b""
        while len(out) < length:
            out += hashlib.sha256(self._seed + self._counter.to_bytes(8, "big")).digest()
            self._counter += 1
        return out[:length]
