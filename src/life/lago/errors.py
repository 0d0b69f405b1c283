"""Errors of Lago that the shared tree does not have (life.aios.errors has the journal's common ones).

JournalError
├── JournalFormatError           lago.journal_format     the file is not a journal, or one of a newer version
├── JournalDamagedError          journal.damaged
│   └── JournalFileDamagedError  journal.damaged         SQLite can't read the file: no single event can be named
└── ProjectionFailedError        lago.projection_failed
"""

from __future__ import annotations

from life.aios.errors import JournalDamagedError, JournalError


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
