"""A desk over a journal in memory and blobs in a folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.store import BlobStore
from life.lago.files.desk import FileDesk
from life.lago.files.view import FileView
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy

S = "session"


class Office(NamedTuple):
    """The parts."""

    desk: FileDesk
    journal: MemoryJournal
    blobs: BlobStore
    clock: ManualClock

    async def put(self, path: str, text: str, branch: str = "main") -> int:
        """Write a file; the event's sequence."""
        return (await self.desk.write(S, path, text.encode(), branch=branch)).sequence

    async def files(self, branch: str = "main", at: int | None = None) -> dict[str, str]:
        """Path to content, read anew from the journal."""
        manifest = await FileView(self.journal).manifest(S, branch, at=at)
        kept = await self.desk.view.manifest(S, branch, at=at)
        assert kept.canonical() == manifest.canonical()
        return {path: (await self.blobs.get(manifest[path].blob_hash)).decode() for path in manifest}


@asynccontextmanager
async def open_office(root: Path) -> AsyncIterator[Office]:
    """An empty session."""
    clock, entropy = ManualClock(), SeededEntropy("files")
    blobs = BlobStore(DirectoryObjects(root, entropy), entropy)
    async with MemoryJournal() as journal:
        desk = FileDesk(journal, blobs, clock, entropy, agent_id="a")
        yield Office(desk, journal, blobs, clock)
