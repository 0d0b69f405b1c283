"""Which hires an agent takes on by itself: prices from a bar on, and so many unpaid ones an hour.

An unpaid hire, or a question, costs its worker a model's time and its customer nothing. So there is a most for an hour, for everybody together
(names are cheap), and a quarter of it for one customer (so that nobody uses it up alone). The hour is this process's: a restart begins a new one.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from life.aios.ports.clock import Clock
from life.spaces.hiring.desk import Hire

FREE_PER_HOUR: Final = 60
_HOUR_US: Final = 3_600_000_000


class _Free(NamedTuple):
    at_us: int
    """On the monotonic clock."""
    customer: str


class Acceptance:
    """Says why a hire is not taken on; None when it is (`life.spaces.hiring.work.Accepts`)."""

    def __init__(self, clock: Clock, *, min_price_micro: int = 0, free_per_hour: int = FREE_PER_HOUR) -> None:
        self._clock = clock
        self._min_price_micro = min_price_micro
        self._most = free_per_hour
        self._most_of_one = max(1, free_per_hour // 4)
        self._free: dict[str, _Free] = {}

    def __call__(self, hire: Hire) -> str | None:
        """The same hire may be asked about again; it counts once."""
        if hire.price_micro < self._min_price_micro:
            return f"The price is below {self._min_price_micro} micro-USDC."
        if hire.price_micro > 0 or hire.hire_id in self._free:
            return None
        if not self._most:
            return "Nothing is done for nothing here. Offer a price."
        now_us = self._clock.monotonic_us()
        self._free = {hire_id: one for hire_id, one in self._free.items() if now_us - one.at_us < _HOUR_US}
        customer = hire.peer.identity
        of_one = sum(one.customer == customer for one in self._free.values())
        if len(self._free) >= self._most or of_one >= self._most_of_one:
            return "There are too many unpaid hires at present. Offer a price, or ask again in an hour."
        self._free[hire.hire_id] = _Free(now_us, customer)
        return None
