"""Keeping below a vendor's limits: token buckets for requests and for tokens per minute, shared by all sessions.

A bucket holds one minute's worth and fills steadily. A call takes one request and an estimate of its prompt; when it is
over, the tokens that it really used are settled, so a bucket may be overdrawn for a while. Whoever came first goes first.
Time is the clock's.
"""

from __future__ import annotations

import asyncio
from typing import Final

from life.aios.ports.clock import Clock

_MINUTE_US: Final = 60_000_000


class TokenBucket:
    """One limit. Levels are counted in (units × microseconds per minute), so that nothing is ever rounded."""

    def __init__(self, per_minute: int, now_us: int) -> None:
        self._per_minute = per_minute
        self._level = per_minute * _MINUTE_US
        self._filled_us = now_us

    def wait_us(self, amount: int, now_us: int) -> int:
        """How long until `amount` can be taken; more than a full bucket is given when the bucket is full."""
        self._fill(now_us)
        missing = min(amount, self._per_minute) * _MINUTE_US - self._level
        return max(0, -(-missing // self._per_minute))

    def take(self, amount: int, now_us: int) -> None:
        """Take it, also below zero; a negative amount gives back."""
        self._fill(now_us)
        self._level = min(self._level - amount * _MINUTE_US, self._per_minute * _MINUTE_US)

    def _fill(self, now_us: int) -> None:
        elapsed_us = max(0, now_us - self._filled_us)
        self._level = min(self._level + elapsed_us * self._per_minute, self._per_minute * _MINUTE_US)
        self._filled_us = now_us


class RateLimiter:
    """The limits of one provider."""

    def __init__(
        self, clock: Clock, *, requests_per_minute: int | None = None, tokens_per_minute: int | None = None
    ) -> None:
        """A limit that is None does not exist."""
        now_us = clock.monotonic_us()
        self._clock = clock
        self._requests = TokenBucket(requests_per_minute, now_us) if requests_per_minute is not None else None
        self._tokens = TokenBucket(tokens_per_minute, now_us) if tokens_per_minute is not None else None
        self._queue = asyncio.Lock()

    @property
    def counts_tokens(self) -> bool:
        """Whether callers need to estimate."""
        return self._tokens is not None

    async def enter(self, tokens: int) -> int:
        """Return when a call with a prompt of about `tokens` may go out; how long that took, in microseconds."""
        if self._requests is None and self._tokens is None:
            return 0
        began_us = self._clock.monotonic_us()
        async with self._queue:
            while (wait_us := self._wait_us(tokens)) > 0:
                await self._clock.sleep_us(wait_us)
            now_us = self._clock.monotonic_us()
            if self._requests is not None:
                self._requests.take(1, now_us)
            if self._tokens is not None:
                self._tokens.take(tokens, now_us)
        return now_us - began_us

    def settle(self, estimated: int, used: int) -> None:
        """The call used so many tokens instead."""
        if self._tokens is not None:
            self._tokens.take(used - estimated, self._clock.monotonic_us())

    def _wait_us(self, tokens: int) -> int:
        now_us = self._clock.monotonic_us()
        waits = [0]
        if self._requests is not None:
            waits.append(self._requests.wait_us(1, now_us))
        if self._tokens is not None:
            waits.append(self._tokens.wait_us(tokens, now_us))
        return max(waits)
