"""What is over, doubled or due: the sweep of expired memories, and consolidation.

Both only add events (tombstones, reflections); a second run finds nothing to do.
"""

from __future__ import annotations

from typing import NamedTuple

from life.aios.ports.clock import Clock
from life.aios.ports.journal import Journal
from life.aios.record import Stream
from life.arcan.memory.notes import DUPLICATE_OVERLAP, overlap
from life.arcan.memory.scopes import SCOPES, Place, stream_of
from life.arcan.memory.service import COMPARED, MemoryService

_PREFIXES = ("memory:", "vault:", "agent:", "org:")


class Consolidated(NamedTuple):
    """What was done."""

    expired: int
    merged: int


async def sweep(service: MemoryService, journal: Journal, clock: Clock) -> int:
    """Forget everything whose time is over, in every scope of everybody; how many. They stopped showing when their time came; now their
    notes leave the index, too."""
    done = 0
    for stream in await journal.streams():
        if stream.session_id.startswith(_PREFIXES):
            done += await sweep_stream(service, stream, clock)
    return done


async def sweep_stream(service: MemoryService, stream: Stream, clock: Clock) -> int:
    """The same for one scope."""
    now_us = clock.now_us()
    fold = await service.state_of(stream)
    over = [
        memory
        for memory in fold.memories.values()
        if memory.status == "committed" and memory.expires_at_us is not None and memory.expires_at_us <= now_us
    ]
    for memory in over:
        await service.tombstone_in(stream, memory.scope, memory.memory_id, "expired")
    return len(over)


async def consolidate(service: MemoryService, place: Place, clock: Clock) -> Consolidated:
    """Sweep and merge the scopes of one place. Of memories that say the same (overlap of words above 0.8) the newest stays. Shared scopes are the
    operator's to consolidate."""
    expired = merged = 0
    for scope in SCOPES:
        if (scope == "session" and not place.session_id) or (scope in ("agent", "org") and not place.is_operator):
            continue
        stream = stream_of(scope, place)
        expired += await sweep_stream(service, stream, clock)
        kept: list[frozenset[str]] = []
        for memory in (await service.state_of(stream)).live(clock.now_us())[:COMPARED]:
            words = await service.words(memory)
            if any(overlap(words, other) > DUPLICATE_OVERLAP for other in kept):
                await service.tombstone_in(stream, scope, memory.memory_id, "duplicate")
                merged += 1
            else:
                kept.append(words)
    return Consolidated(expired, merged)
