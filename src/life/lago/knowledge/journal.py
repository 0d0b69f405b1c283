"""Notes among the files of a session's branch, followed by their events (lago.md §13, "Required").

The cursor is the last event that was looked at, with its digest: a journal that was put back to an earlier state, or another one,
is noticed, and the notes are read anew. Writes and deletions are taken as they come; a rename, a merge and the first look
compare the whole manifest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.events import FileDelete, FileWrite
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.blobs import Blobs
from life.aios.ports.journal import EventQuery, Head, Journal
from life.aios.record import EventRecord, Stream
from life.lago.errors import BlobDamagedError, BlobKeyMissingError
from life.lago.files.manifest import FILE_KINDS, is_path
from life.lago.files.view import FileView
from life.lago.knowledge.note import MAX_NOTE_BYTES, is_note_path
from life.lago.knowledge.source import (
    Change,
    Changes,
    NoteFile,
    Removed,
    RemovedBelow,
    Written,
)

_PAGE: Final = 1_000
_READING_AT_ONCE: Final = 16
_KINDS: Final = (*FILE_KINDS, "BranchMerged")
_NOTHING: Final = "0 -"


class JournalNotes:
    """The NoteSource port over the files of one branch. Belongs to one event loop."""

    def __init__(
        self, journal: Journal, blobs: Blobs, session_id: str, branch_id: str = MAIN_BRANCH, *, view: FileView
    ) -> None:
        """`branch_id` is an id, not a name. `view` may be shared with whoever else looks at files of this journal."""
        self._journal = journal
        self._blobs = blobs
        self._stream = Stream(session_id, branch_id)
        self._view = view
        self._confirmed: str | None = None

    async def changes(self, cursor: str | None) -> Changes:
        """See NoteSource."""
        head = await self._journal.head(self._stream)
        now = cursor_of(head)
        if cursor == now:
            return Changes(now, False, ())
        after = await self._fitting(cursor, head)
        if after is None:
            return await self._everything(head)
        steps: list[Change] = []
        while after < head.sequence:
            records = await self._read(after, head.sequence)
            for record in records:
                kind = record.kind
                if isinstance(kind, FileWrite):
                    steps += _written(record, kind)
                elif isinstance(kind, FileDelete):
                    if is_path(kind.path):
                        steps += (Removed(kind.path), RemovedBelow(kind.path))
                else:
                    return await self._everything(head)
            if len(records) < _PAGE:
                break
            after = records[-1].sequence
        self._confirmed = now
        return Changes(now, False, tuple(steps))

    async def contents(self, files: Sequence[NoteFile]) -> list[bytes | str]:
        """See NoteSource. Trouble of the whole store is raised as it is: the notes are not to blame."""
        gate = asyncio.Semaphore(_READING_AT_ONCE)

        async def read(file: NoteFile) -> bytes | str:
            async with gate:
                return await self._content(file.version)

        return await asyncio.gather(*map(read, files))

    async def _content(self, blob: str) -> bytes | str:
        try:
            return await self._blobs.get(blob, max_bytes=MAX_NOTE_BYTES)
        except NotFoundError:
            return "its content is not in the blob store"
        except (BlobDamagedError, BlobKeyMissingError, InvalidInputError) as error:
            return error.message.rstrip(".")

    async def _fitting(self, cursor: str | None, head: Head) -> int | None:
        """The cursor's sequence, when this journal has that very event."""
        if cursor is None or cursor == _NOTHING:
            return None
        if cursor != self._confirmed and not await holds(self._journal, self._stream, cursor):
            return None
        sequence = int(cursor.partition(" ")[0])
        return sequence if sequence <= head.sequence else None

    async def _everything(self, head: Head) -> Changes:
        if head.sequence == 0 and self._stream.branch_id == MAIN_BRANCH:
            return Changes(cursor_of(head), True, ())
        manifest = await self._view.manifest(self._stream.session_id, self._stream.branch_id, at=head.sequence)
        files = tuple(
            Written(NoteFile(entry.path, entry.blob_hash, entry.sequence, entry.updated_at_us))
            for path in manifest
            if is_note_path(path)
            for entry in (manifest[path],)
        )
        self._confirmed = cursor_of(head)
        return Changes(self._confirmed, True, files)

    async def _read(self, after: int, upto: int) -> list[EventRecord]:
        query = EventQuery(*self._stream, after_sequence=after, before_sequence=upto + 1, kinds=_KINDS)
        return await self._journal.read(query, limit=_PAGE)


def _written(record: EventRecord, kind: FileWrite) -> list[Change]:
    """A file can't be in a file, nor stand where a folder was: what is in the way of the new one goes (as in the manifest)."""
    if not is_path(kind.path):
        return []
    steps: list[Change] = [RemovedBelow(kind.path)]
    parent = kind.path
    while (parent := parent.rpartition("/")[0]) != "":
        steps.append(Removed(parent))
    if is_note_path(kind.path):
        steps.append(Written(NoteFile(kind.path, kind.blob_hash, record.sequence, record.timestamp_us)))
    return steps


def cursor_of(head: Head) -> str:
    """A point of a stream, with the digest of all that came before it."""
    return f"{head.sequence} {head.digest if head.sequence else '-'}"


async def holds(journal: Journal, stream: Stream, cursor: str) -> bool:
    """Whether a stream goes on from a cursor: it has that very event where it was."""
    number = cursor.partition(" ")[0]
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        return False
    sequence = int(number)
    if sequence == 0:
        return True
    found = await journal.read(EventQuery(*stream, after_sequence=sequence - 1), limit=1)
    return bool(found) and cursor_of(Head(found[0].sequence, found[0].digest or "")) == cursor
