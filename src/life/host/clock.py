"""Time and chance of the machine: the only place where Life reads them."""

from __future__ import annotations

import asyncio
import os
import time


class SystemClock:
    """The machine's clocks."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        """Microseconds on the monotonic clock."""
        return time.monotonic_ns() // 1000

    async def sleep_us(self, duration_us: int) -> None:
        """Sleep on the running event loop."""
        await asyncio.sleep(duration_us / 1_000_000)


class SystemEntropy:
    """The operating system's generator."""

    def token_bytes(self, length: int) -> bytes:
        """Unpredictable bytes."""
        return os.urandom(length)
