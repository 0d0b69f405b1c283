"""Collecting blobs that nothing refers to (lago.md §4, §14).

Roots are all events of the journal: whatever looks like a blob's hash in any event of any session and branch keeps that blob, be
the event a file's, a snapshot's or one that nobody here knows. That marks too much rather than too little. What was written
within the grace period stays, too: its event may not be stored yet. Nothing is removed unless it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, NamedTuple

from life.aios.ports.blobs import Blobs
from life.aios.ports.clock import Clock
from life.aios.ports.journal import EventQuery, Journal

GRACE_S: Final = 24 * 3600
_HASH: Final = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_PAGE: Final = 2_000


class Collected(NamedTuple):
    """What a collection found, and, unless it was a dry run, removed."""

    kept: int
    young: int
    """Unreferenced, and within the grace period."""
    removed: tuple[str, ...]
    removed_bytes: int
    dry_run: bool


async def references(journal: Journal) -> set[bytes]:
    """Every hash that any event mentions, as 32 bytes each."""
    found: set[bytes] = set()
    position = 0
    while True:
        page = await journal.read(EventQuery(after_position=position), limit=_PAGE)
        for record in page:
            for text in _HASH.findall(record.payload):
                found.add(bytes.fromhex(text.decode()))
        if len(page) < _PAGE:
            return found
        position = page[-1].position


async def collect(
    blobs: Blobs,
    journal: Journal,
    clock: Clock,
    *,
    grace_s: int = GRACE_S,
    dry_run: bool = True,
    also_kept: Collection[str] = (),
) -> Collected:
    """Find, and with `dry_run=False` remove, what nothing refers to. `also_kept`: further roots, such as a backup's."""
    # What is written from now on is young; what was written before is in the listing, and its references in the journal.
    youngest_us = clock.now_us() - grace_s * 1_000_000
    candidates = [blob async for blob in blobs.stored()]
    roots = await references(journal) | {bytes.fromhex(blob) for blob in also_kept}
    kept = young = removed_bytes = 0
    removed: list[str] = []
    for blob in candidates:
        if bytes.fromhex(blob.hash) in roots:
            kept += 1
        elif blob.written_at_us > youngest_us:
            young += 1
        else:
            removed.append(blob.hash)
            removed_bytes += blob.stored_bytes
    if not dry_run:
        removed = [name for name in removed if await blobs.delete(name, written_before_us=youngest_us)]
    return Collected(kept, young, tuple(removed), removed_bytes, dry_run)
