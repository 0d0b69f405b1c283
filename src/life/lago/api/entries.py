"""A file in an answer."""

from __future__ import annotations

import msgspec

from life.lago.files.manifest import FileEntry


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    """A file in a manifest. `updated_at` is in microseconds."""

    path: str
    blob_hash: str
    size_bytes: int
    content_type: str | None
    updated_at: int


def entry_view(entry: FileEntry) -> EntryView:
    """What a client is told of a file."""
    return EntryView(
        path=entry.path,
        blob_hash=entry.blob_hash,
        size_bytes=entry.size_bytes,
        content_type=entry.content_type,
        updated_at=entry.updated_at_us,
    )
