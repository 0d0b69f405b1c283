"""Errors of Lago that the shared tree does not have (life.aios.errors has the journal's common ones).

JournalError
├── JournalFormatError           lago.journal_format     the file is not a journal, or one of a newer version
├── JournalDamagedError          journal.damaged
│   └── JournalFileDamagedError  journal.damaged         SQLite can't read the file: no single event can be named
└── ProjectionFailedError        lago.projection_failed

BlobError                        lago.blob_error
├── BlobDamagedError             lago.blob_damaged
├── BlobStoreFullError           lago.blob_store_full
├── BlobStoreUnavailableError    lago.blob_store_unavailable
└── BlobKeyMissingError          lago.blob_key_missing
BlobNotFoundError                lago.blob_not_found     (a NotFoundError)
MergeConflictError               lago.merge_conflict     (a ConflictError)
"""

from __future__ import annotations

from life.aios.errors import ConflictError, JournalDamagedError, JournalError, LifeError, NotFoundError


class JournalFormatError(JournalError):
    """The file holds something else, or a journal that a newer version of Life wrote. It was not touched."""

    code = "lago.journal_format"
    status = 409


class JournalFileDamagedError(JournalDamagedError):
    """The file is damaged below the level of events. `sequence` is that of the last event that could be read, 0 when none."""

    def __init__(self, path: str, reason: str, *, session_id: str = "", branch_id: str = "", sequence: int = 0) -> None:
        super().__init__(session_id, branch_id, sequence, expected="a readable page", found=reason)
        last = f" after {session_id}/{branch_id} sequence {sequence}" if session_id else ""
        self.message = f"The journal file {path} is damaged{last}: {reason}."
        self.args = (self.message,)
        self.details = {**self.details, "path": path}


class ProjectionFailedError(JournalError):
    """A projection could not take an event. Other projections and the journal go on."""

    code = "lago.projection_failed"

    def __init__(self, projection: str, event_id: str, position: int, reason: str) -> None:
        super().__init__(
            f"The projection {projection} stopped at event {event_id} (position {position}): {reason}.",
            next_step="Correct the projection and give it a new version; it is rebuilt from the journal.",
            details={"projection": projection, "event_id": event_id, "position": position},
        )
        self.projection = projection
        self.event_id = event_id
        self.position = position


class BlobError(LifeError):
    """The root of what the blob store may answer (leaves below)."""

    code = "lago.blob_error"


class BlobNotFoundError(NotFoundError):
    """There is no such blob."""

    code = "lago.blob_not_found"

    def __init__(self, blob: str) -> None:
        super().__init__(f"There is no blob {blob}.", details={"blob": blob})


class BlobDamagedError(BlobError):
    """What lies under this hash is not what it was. It was not given out."""

    code = "lago.blob_damaged"

    def __init__(self, blob: str, reason: str) -> None:
        super().__init__(
            f"The blob {blob} is damaged: {reason}.",
            next_step="Restore it from a backup; writing the same content again repairs it, too.",
            details={"blob": blob},
        )


class BlobStoreFullError(BlobError):
    """There is no room for the blob. Nothing of it was kept."""

    code = "lago.blob_store_full"
    status = 507
    retryable = True

    def __init__(self) -> None:
        super().__init__("There is no room for the blob.", next_step="Make room, then write it again.")


class BlobStoreUnavailableError(BlobError):
    """The blob store can't be read or written now."""

    code = "lago.blob_store_unavailable"
    status = 503
    retryable = True


class BlobKeyMissingError(BlobError):
    """The blob is encrypted, and its key is not here."""

    code = "lago.blob_key_missing"
    status = 403

    def __init__(self, blob: str, key_id: str) -> None:
        super().__init__(
            f"The blob {blob} is encrypted under the key {key_id!r}, which is not here.",
            details={"blob": blob, "key_id": key_id},
        )


class MergeConflictError(ConflictError):
    """Both branches changed the same paths, and not to the same content. Nothing was merged. `conflicts` has, for each path, the
    hashes that it has on the common base, ours and theirs; empty where it is not there."""

    code = "lago.merge_conflict"

    def __init__(self, conflicts: list[dict[str, str]]) -> None:
        paths = ", ".join(conflict["path"] for conflict in conflicts[:5])
        more = f" and {len(conflicts) - 5} more" if len(conflicts) > 5 else ""
        super().__init__(
            f"Both branches changed {paths}{more}.",
            next_step="Decide each of them, or merge with a strategy: ours or theirs.",
            details={"conflicts": len(conflicts)},
        )
        self.conflicts = conflicts
