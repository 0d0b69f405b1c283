"""Collecting blobs: what any event of any session mentions stays, whatever kind of event it is."""

from __future__ import annotations

import os
from pathlib import Path

from life.aios.events import Custom, FileWrite, Kind, SnapshotCreated
from life.aios.record import EventWriter, Stream
from life.host.clock import SystemClock
from life.lago.blobs.collection import GRACE_S, collect, references
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.store import BlobStore
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy


def store(root: Path) -> BlobStore:
    entropy = SeededEntropy("blobs")
    return BlobStore(DirectoryObjects(root, entropy), entropy)


async def tell(
    journal: MemoryJournal, clock: ManualClock, kind: Kind, session: str = "s", branch: str = "main"
) -> None:
    writer = EventWriter(
        clock, SeededEntropy(repr(kind) + session + branch), agent_id="a", stream=Stream(session, branch)
    )
    await journal.append([writer.event(kind)])


def later() -> ManualClock:
    """A clock for which everything on this disk is older than the grace period."""
    return ManualClock(start_us=SystemClock().now_us() + 2 * GRACE_S * 1_000_000)


async def test_every_kind_of_reference_keeps_its_blob(tmp_path: Path) -> None:
    """Files on any branch of any session, snapshots, and events that nobody here knows; what nothing names goes."""
    blobs, clock = store(tmp_path), later()
    names = [(await blobs.put(f"content {number}".encode())).hash for number in range(6)]
    async with MemoryJournal() as journal:
        await tell(journal, clock, FileWrite(path="/a", blob_hash=names[0], size_bytes=1))
        await tell(journal, clock, FileWrite(path="/b", blob_hash=names[1], size_bytes=1), "other", "branch")
        snapshot = SnapshotCreated(snapshot_id="v1", snapshot_type="full", covers_through_seq=1, data_hash=names[2])
        await tell(journal, clock, snapshot)
        await tell(journal, clock, Custom(event_type="their.own", data={"deep": [{"ref": f"blob:{names[3]}"}]}))
        found = await collect(blobs, journal, clock)
        assert (found.kept, set(found.removed), found.dry_run) == (4, set(names[4:]), True)
        assert all([await blobs.exists(name) for name in names])
        done = await collect(blobs, journal, clock, dry_run=False, also_kept=[names[4]])
        assert done.removed == (names[5],)
        assert [await blobs.exists(name) for name in names] == [True] * 5 + [False]


async def test_what_is_young_stays(tmp_path: Path) -> None:
    """A blob whose event may still be on its way is never taken, nor one that was written again meanwhile."""
    blobs = store(tmp_path)
    blob = (await blobs.put(b"content")).hash
    async with MemoryJournal() as journal:
        now = ManualClock(start_us=SystemClock().now_us())
        young = await collect(blobs, journal, now, dry_run=False)
        assert (young.young, young.removed) == (1, ())
        assert await blobs.exists(blob)
        clock = later()
        for file in tmp_path.rglob("*.raw"):
            os.utime(file, (1, 1))
        await blobs.put(b"content")  # somebody writes it again: it is young once more
        assert (await collect(blobs, journal, now, dry_run=False)).removed == ()
        assert (await collect(blobs, journal, clock, dry_run=False)).removed == (blob,)


async def test_hashes_are_found_whole(tmp_path: Path) -> None:
    """A longer run of hex digits is no hash; two beside each other are two."""
    one, two = "a" * 64, "b" * 64
    async with MemoryJournal() as journal:
        clock = ManualClock()
        await tell(journal, clock, Custom(event_type="x", data={"a": one + two, "b": f"{one} {two}", "c": one[:-1]}))
        assert await references(journal) == {bytes.fromhex(one), bytes.fromhex(two)}
        await tell(journal, clock, Custom(event_type="y", data={"a": "c" * 65}))
        assert bytes.fromhex("c" * 64) not in await references(journal)
