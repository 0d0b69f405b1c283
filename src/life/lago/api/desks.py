"""File desks for callers: events are written as who asks, over one view of all files."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator

from life.aios.ports.blobs import BlobInfo, Blobs, StoredBlob
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.lago.api.callers import Caller
from life.lago.files.desk import Changed, FileDesk
from life.lago.files.view import FileView


class Desks:
    """Makes a desk for each request; what is costly, the view, is shared."""

    def __init__(self, journal: Journal, blobs: Blobs, clock: Clock, entropy: Entropy, view: FileView) -> None:
        self.view = view
        self.blobs = blobs
        self._journal = journal
        self._clock = clock
        self._entropy = entropy
        self.reader = FileDesk(journal, blobs, clock, entropy, agent_id="lagod")
        """A desk for questions that change nothing."""
        self.reader.view = view

    def of(self, caller: Caller, *, blobs: Blobs | None = None) -> FileDesk:
        """The desk of a caller."""
        desk = FileDesk(
            self._journal,
            blobs or self.blobs,
            self._clock,
            self._entropy,
            agent_id=caller.agent_id,
            actor=caller.actor,
        )
        desk.view = self.view
        return desk

    async def write_stored(
        self,
        caller: Caller,
        session_id: str,
        path: str,
        info: BlobInfo,
        *,
        branch: str,
        content_type: str | None,
        expected: str | None,
    ) -> Changed:
        """Give a path a content that is in the blob store already, so that no content is ever held whole."""
        desk = self.of(caller, blobs=_Stored(self.blobs, info))
        return await desk.write(session_id, path, b"", branch=branch, content_type=content_type, expected=expected)


class _Stored:
    """The store, where putting anything gives the blob that was put before."""

    def __init__(self, blobs: Blobs, info: BlobInfo) -> None:
        self._blobs = blobs
        self._info = info

    async def put(self, content: bytes) -> BlobInfo:
        """What was put before."""
        return self._info

    async def put_stream(self, parts: AsyncIterable[bytes], *, expected: str | None = None) -> BlobInfo:
        """See Blobs."""
        return await self._blobs.put_stream(parts, expected=expected)

    async def get(self, blob: str, *, max_bytes: int | None = None) -> bytes:
        """See Blobs."""
        return await self._blobs.get(blob, max_bytes=max_bytes)

    def stream(self, blob: str) -> AsyncIterator[bytes]:
        """See Blobs."""
        return self._blobs.stream(blob)

    async def exists(self, blob: str) -> bool:
        """See Blobs."""
        return await self._blobs.exists(blob)

    async def delete(self, blob: str, *, written_before_us: int | None = None) -> bool:
        """See Blobs."""
        return await self._blobs.delete(blob, written_before_us=written_before_us)

    def stored(self) -> AsyncIterator[StoredBlob]:
        """See Blobs."""
        return self._blobs.stored()
