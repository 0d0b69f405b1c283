"""Real time and real chance, for tests that start real processes and servers."""

from __future__ import annotations

import asyncio
import os
import time


class SystemClock:
    """The machine's clock (life.aios.ports.clock.Clock)."""

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1000

    async def sleep_us(self, duration_us: int) -> None:
        await asyncio.sleep(duration_us / 1_000_000)


class SystemEntropy:
    """The machine's randomness (life.aios.ports.clock.Entropy)."""

    def token_bytes(self, length: int) -> bytes:
        return os.urandom(length)
