"""Time and chance, passed in: tests need no sleep, and a replay is exact."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now_us(self) -> int:
        """Wall-clock time in microseconds since the Unix epoch, UTC. May step back when the machine's clock does."""
        ...

    def monotonic_us(self) -> int:
        """Microseconds on a clock that never steps back, with no meaning but differences."""
        ...

    async def sleep_us(self, duration_us: int) -> None:
        """Return after at least `duration_us` microseconds of this clock."""
        ...


class Entropy(Protocol):
    """Where chance comes from."""

    def token_bytes(self, length: int) -> bytes:
        """`length` bytes that nobody can predict (in tests: that everybody can)."""
        ...
