"""Content by its hash.

A blob's id is the SHA-256 (64 hex digits) of its plain bytes, so a blob never changes, equal content is kept once, and whoever
reads it can tell whether it is what was asked for. Every store passes `life.testing.blobs`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import NamedTuple, Protocol


class BlobInfo(NamedTuple):
    """A stored blob."""

    hash: str
    size_bytes: int
    """Of the plain content; what `put` was given."""


class StoredBlob(NamedTuple):
    """A blob as it lies in the store."""

    hash: str
    stored_bytes: int
    """After compression and encryption."""
    written_at_us: int


class Blobs(Protocol):
    """A content-addressed store. Hashes that are none are refused before they touch a path."""

    async def put(self, content: bytes) -> BlobInfo:
        """Keep content; durable on return. Content that is there already is not written again."""
        ...

    async def put_stream(self, parts: AsyncIterable[bytes], *, expected: str | None = None) -> BlobInfo:
        """The same for content of any length. With `expected` another hash is an InvalidInputError, and nothing is kept."""
        ...

    async def get(self, blob: str, *, max_bytes: int | None = None) -> bytes:
        """The content, verified. NotFoundError; BlobDamagedError; InvalidInputError when it is longer than `max_bytes`."""
        ...

    def stream(self, blob: str) -> AsyncIterator[bytes]:
        """The content piece by piece. The last piece comes only when the whole was verified: who reads to the end has what
        was asked for. Errors as `get`."""
        ...

    async def exists(self, blob: str) -> bool:
        """Whether it is there."""
        ...

    async def delete(self, blob: str, *, written_before_us: int | None = None) -> bool:
        """Remove it, unless it was written, or written again, after that time; False when nothing was removed. Only collection
        calls this."""
        ...

    def stored(self) -> AsyncIterator[StoredBlob]:
        """Every blob in the store, in no particular order."""
        ...
