"""Numbered attempts under derived event ids: 0, 1, 2 … without a gap, each won by exactly one writer.

What may be tried again (a settlement that the chain did not take, a claim whose handler failed) gets one event per attempt,
with an id derived from the attempt's number. The newest one is found by galloping: the number of lookups grows with the
logarithm of the number of attempts, so nobody makes a server slow by trying often.
"""

from __future__ import annotations

from collections.abc import Callable

from life.aios.ports.journal import Journal
from life.aios.record import EventRecord


async def last_attempt(journal: Journal, event_id_of: Callable[[int], str]) -> tuple[int, EventRecord] | None:
    """Number and event of the newest attempt; None when there was none."""
    newest = await journal.get(event_id_of(0))
    if newest is None:
        return None
    known, step = 0, 1
    absent: int | None = None
    while absent is None or absent - known > 1:
        probe = known + step if absent is None else (known + absent) // 2
        found = await journal.get(event_id_of(probe))
        if found is None:
            absent = probe
        else:
            known, newest = probe, found
            step *= 2
    return known, newest
