"""What was spent and promised, by session, task, payee, host and time: the sums that the caps need.

A part of the wallet's fold. Every sum is kept as it changes, so that a decision looks up a handful of numbers, however long the
wallet's history is. Time is that of the reservation, in quarters of an hour: a UTC day is 96 of them, and the last 24 hours
are the present one and the 96 before it.

Windows reach to both sides of now: what a clock that was ahead dated into the coming hours counts, too. So any span of 24
hours (60 seconds for the rate) of the journal's times holds at most what the cap allows, however the clock jumped between.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import Final, TypeVar

from life.haima.events import PaymentReserved
from life.haima.payees import host_of
from life.haima.policy import RATE_WINDOW_US, Spending

K = TypeVar("K", str, int)

QUARTER_US: Final = 15 * 60 * 1_000_000
QUARTERS_PER_DAY: Final = 96
_MANY_TIMES: Final = 4096


class Budgets:
    """Sums in micro-credits. `move` and `reserved_at` have exact inverses, so that folds can be taken back."""

    def __init__(self) -> None:
        self._by_session: dict[str, int] = {}
        self._by_task: dict[str, int] = {}
        self._by_payee: dict[str, int] = {}
        self._by_host: dict[str, int] = {}
        self._by_quarter: dict[int, int] = {}
        self._times: list[int] = []

    def move(self, reserved: PaymentReserved, reserved_at_us: int, change_micro: int) -> None:
        """A payment counts for more, or (below zero) for less."""
        _add(self._by_session, reserved.session_id or "", change_micro)
        _add(self._by_payee, reserved.payee, change_micro)
        _add(self._by_host, host_of(reserved.resource_url), change_micro)
        _add(self._by_quarter, reserved_at_us // QUARTER_US, change_micro)
        if reserved.task_id:
            _add(self._by_task, reserved.task_id, change_micro)

    def reserved_at(self, time_us: int) -> None:
        """A reservation was made."""
        times = self._times
        if not times or time_us >= times[-1]:
            times.append(time_us)
        else:
            insort(times, time_us)
        if len(times) > _MANY_TIMES:  # no window can see them any more
            del times[: bisect_left(times, time_us - 2 * RATE_WINDOW_US)]

    def take_back_reserved_at(self, time_us: int) -> None:
        """The reservation was taken back."""
        times = self._times
        place = bisect_left(times, time_us)
        if place < len(times) and times[place] == time_us:
            del times[place]

    def spending(
        self,
        *,
        session_id: str,
        task_id: str | None,
        payee: str | None,
        host: str | None,
        total_micro: int,
        now_us: int,
        days: bool = True,
    ) -> Spending:
        """What counts against the caps for a payment in this session, for this task, to this payee at this host. `days`: whether
        anybody asks for the sums of days."""
        times = self._times
        first = bisect_right(times, now_us - RATE_WINDOW_US)
        last = bisect_left(times, now_us + RATE_WINDOW_US)
        day, rolling = self._days(now_us // QUARTER_US) if days else (0, 0)
        return Spending(
            session_micro=self._by_session.get(session_id, 0),
            total_micro=total_micro,
            task_micro=self._by_task.get(task_id, 0) if task_id else 0,
            payee_micro=self._by_payee.get(payee, 0) if payee else 0,
            recent_reservations=last - first,
            window_opens_us=times[first] + RATE_WINDOW_US if first < last else now_us,
            day_micro=day,
            rolling_day_micro=rolling,
            host_micro=self._by_host.get(host, 0) if host else 0,
        )

    def _days(self, now: int) -> tuple[int, int]:
        """The sums of this UTC day and of 24 hours to both sides of this quarter of an hour."""
        quarters = self._by_quarter
        today = now - now % QUARTERS_PER_DAY
        around = range(now - QUARTERS_PER_DAY, now + QUARTERS_PER_DAY + 1)
        if len(quarters) < len(around):  # as a rule a wallet is young, or rarely used
            day = sum(
                amount
                for quarter, amount in quarters.items()
                if quarter // QUARTERS_PER_DAY * QUARTERS_PER_DAY == today
            )
            return day, sum(amount for quarter, amount in quarters.items() if quarter in around)
        day = sum(quarters.get(quarter, 0) for quarter in range(today, today + QUARTERS_PER_DAY))
        return day, sum(quarters.get(quarter, 0) for quarter in around)

    def summary(self) -> dict[str, object]:
        """All sums in plain values, for comparing folds."""
        times = self._times
        return {
            "by_session": self._by_session,
            "by_task": self._by_task,
            "by_payee": self._by_payee,
            "by_host": self._by_host,
            "by_quarter": {str(quarter): amount for quarter, amount in self._by_quarter.items()},
            "reserved_at_us": times[bisect_right(times, times[-1] - RATE_WINDOW_US) :] if times else [],
        }


def _add(sums: dict[K, int], key: K, change: int) -> None:
    value = sums.get(key, 0) + change
    if value:
        sums[key] = value
    else:
        sums.pop(key, None)
