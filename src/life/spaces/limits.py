"""Rate limits: token buckets per identity, at the door of an engine (spaces.md §6). Time is passed in; nothing is stored.

A flood is refused before it reaches the log. Buckets of those who have been quiet are forgotten, so memory is bounded by who is active.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from life.spaces.commands import Command, StartTyping
from life.spaces.errors import RateLimitedError
from life.spaces.identity import Caller

TYPING_INTERVAL_US: Final = 3_000_000
MAX_BUCKETS: Final = 100_000
FREE_REFUSALS: Final = 20
"""In a row, before a connection is read more slowly."""
STEP_S: Final = 0.02
MAX_PAUSE_S: Final = 1.0
FRAMES_PER_S: Final = 2000
"""Of one connection, whatever they hold."""


class Rate(NamedTuple):
    """So many per second on average, so many at once."""

    per_second: int
    burst: int


class Limits(NamedTuple):
    """The rates of one engine."""

    message: Rate = Rate(5, 20)
    reaction: Rate = Rate(10, 20)
    log: Rate = Rate(50, 100)
    other: Rate = Rate(20, 60)
    query: Rate = Rate(50, 200)
    newcomer: Rate = Rate(20, 200)
    """Identities that nobody has seen before, all together: they cost nothing to make."""


class RateLimiter:
    """The buckets. A bucket is the time at which it will be full again: one number (GCRA)."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._full_at_us: dict[tuple[str, str], int] = {}

    def check_command(self, command: Command, caller: Caller, now_us: int) -> None:
        """RateLimitedError with `retry_after_ms` when the caller is too fast. The server itself is not limited."""
        if caller.kind == "system":
            return
        if isinstance(command, StartTyping):
            self._take((caller.identity, f"typing:{command.channel_id}"), TYPING_INTERVAL_US, 1, now_us)
        rate: Rate = getattr(self._limits, command.LIMIT)
        self._take((caller.identity, command.LIMIT), 1_000_000 // rate.per_second, rate.burst, now_us)

    def check_query(self, caller: Caller, now_us: int) -> None:
        """The same for questions."""
        if caller.kind != "system":
            rate = self._limits.query
            self._take((caller.identity, "query"), 1_000_000 // rate.per_second, rate.burst, now_us)

    def check_newcomer(self, now_us: int) -> None:
        """The same for somebody's first login."""
        rate = self._limits.newcomer
        self._take(("", "newcomer"), 1_000_000 // rate.per_second, rate.burst, now_us)

    def _take(self, bucket: tuple[str, str], interval_us: int, burst: int, now_us: int) -> None:
        room_us = interval_us * burst
        full_at_us = self._full_at_us.get(bucket, 0)
        if full_at_us > now_us + room_us:  # the clock stepped back: nobody is locked out for long
            full_at_us = now_us + room_us
        level_us = max(full_at_us, now_us) + interval_us
        wait_us = level_us - now_us - room_us
        if wait_us > 0:
            raise RateLimitedError("Too much at once.", retry_after_ms=-(-wait_us // 1000))
        if len(self._full_at_us) >= MAX_BUCKETS and bucket not in self._full_at_us:
            self._forget(now_us)
        self._full_at_us[bucket] = level_us

    def _forget(self, now_us: int) -> None:
        self._full_at_us = {bucket: at for bucket, at in self._full_at_us.items() if at > now_us}
        if len(self._full_at_us) >= MAX_BUCKETS:
            raise RateLimitedError("Too many are active at once.", retry_after_ms=1000)


class Pace:
    """How fast one connection is read. Whoever goes on after being refused, or sends more than anybody needs, waits for it: their own
    sending stops, instead of everybody's answers."""

    def __init__(self) -> None:
        self._refusals = 0
        self._second = 0
        self._frames = 0

    def frame(self, now_s: float) -> float:
        """A frame came; how long to wait before it is looked at (seconds)."""
        if int(now_s) != self._second:
            self._second, self._frames = int(now_s), 0
        self._frames += 1
        return self._second + 1 - now_s if self._frames > FRAMES_PER_S else 0.0

    def refused(self) -> None:
        """It was too fast."""
        self._refusals += 1

    def accepted(self) -> None:
        """It was not."""
        self._refusals //= 2

    @property
    def pause_s(self) -> float:
        """How long to wait before the next frame."""
        return min(MAX_PAUSE_S, STEP_S * max(0, self._refusals - FREE_REFUSALS))
