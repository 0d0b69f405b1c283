"""Sums over sliding windows, in event time, with memory that does not grow with the number of events.

Entries of the same slot are added up, so a window of five minutes with slots of one second holds at most 300 numbers.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class SlidingSum(msgspec.Struct, gc=False):
    """The sum of what came in during the last `length_ms`, to within a slot of `slot_ms`."""

    length_ms: int
    slot_ms: int
    slots: list[tuple[int, int]] = []
    """(start of the slot, amount), oldest first."""
    total: int = 0

    def add(self, at_ms: int, amount: int) -> None:
        """Take in an amount. One that is a little older than the newest slot counts in the newest. When time has stepped back by
        more than the window, what was counted so far is moved to now: it shall not stay for as long as the step was."""
        slots = self.slots
        if slots:
            newest, sum_of_newest = slots[-1]
            if newest <= at_ms < newest + self.slot_ms:
                slots[-1] = (newest, sum_of_newest + amount)
                self.total += amount
                return
        start = at_ms - at_ms % self.slot_ms
        if slots and start < slots[-1][0] - self.length_ms:
            slots[:] = [(start, self.total)]
        if slots and start <= slots[-1][0]:
            slots[-1] = (slots[-1][0], slots[-1][1] + amount)
        else:
            slots.append((start, amount))
            self._forget(at_ms)
        self.total += amount

    def copied(self) -> SlidingSum:
        """Another one with the same contents."""
        return SlidingSum(self.length_ms, self.slot_ms, self.slots.copy(), self.total)

    def sum_at(self, now_ms: int) -> int:
        """The sum as of `now_ms`, without forgetting anything."""
        oldest = now_ms - self.length_ms
        slots = self.slots
        if not slots or slots[0][0] > oldest:
            return self.total
        return self.total - _sum(amount for start, amount in slots if start <= oldest)

    def _forget(self, now_ms: int) -> None:
        oldest = now_ms - self.length_ms
        expired = 0
        for start, amount in self.slots:
            if start > oldest:
                break
            self.total -= amount
            expired += 1
        if expired:
            del self.slots[:expired]


class RecentOutcomes(msgspec.Struct, gc=False):
    """The last `size` outcomes within `length_ms`: when, and whether it was an error."""

    size: int
    length_ms: int
    entries: list[tuple[int, bool]] = []
    errors: int = 0
    """Among the entries."""

    def add(self, at_ms: int, is_error: bool) -> None:
        """Take in an outcome. After a step back in time by more than the window, older outcomes are as old as this one."""
        entries = self.entries
        if entries and at_ms < entries[-1][0] - self.length_ms:
            entries[:] = [(at_ms, was_error) for _, was_error in entries]
        entries.append((at_ms, is_error))
        if is_error:
            self.errors += 1
        if len(entries) > self.size:
            if entries[0][1]:
                self.errors -= 1
            del entries[0]

    def copied(self) -> RecentOutcomes:
        """Another one with the same contents."""
        return RecentOutcomes(self.size, self.length_ms, self.entries.copy(), self.errors)

    def counts_at(self, now_ms: int) -> tuple[int, int]:
        """(outcomes, errors) that are recent at `now_ms`."""
        entries = self.entries
        if not entries:
            return 0, 0
        oldest = now_ms - self.length_ms
        if entries[0][0] >= oldest:
            return len(entries), self.errors
        recent = [is_error for at_ms, is_error in entries if at_ms >= oldest]
        return len(recent), sum(recent)


def _sum(amounts: Iterable[int]) -> int:
    return sum(amounts)
