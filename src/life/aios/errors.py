"""The root of every error that Life raises on purpose.

    LifeError                      life.error
    ├── InvalidInputError          life.invalid_input        400  the caller's words can't be right
    ├── NotFoundError              life.not_found            404
    ├── ConflictError              life.conflict             409
    ├── UnavailableError           life.unavailable          503  try again later; nothing is lost
    ├── MissingExtraError          life.missing_extra        500  an optional part is not installed
    ├── JournalError               journal.error             500
    │   ├── SequenceConflictError  journal.sequence_conflict 409  the stream's head is not the expected one
    │   ├── EventConflictError     journal.event_conflict    409  same event id, other content
    │   ├── MalformedEventError    journal.malformed_event   400  a known kind with a payload that does not fit
    │   ├── JournalDamagedError    journal.damaged           500  the chain of digests does not hold
    │   ├── JournalFullError       journal.disk_full         507
    │   └── JournalUnavailableError journal.unavailable      503
    ├── CustodyError               custody.error             (subsystem leaves in anima/errors.py)
    └── one branch per subsystem   anima., haima., lago., praxis., arcan., host.

A leaf has a stable dotted `code` that programs may branch on, an HTTP `status` for the problem document (RFC 9457), and
says whether repeating the same call can help (`retryable`). `next_step` is one sentence for a person at a terminal.
Messages and details never carry secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class LifeError(Exception):
    """Something went wrong that a caller can understand, with a stable code."""

    code: ClassVar[str] = "life.error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, next_step: str | None = None, details: Mapping[str, str | int | bool] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        self.details: Mapping[str, str | int | bool] = dict(details or {})

    def __str__(self) -> str:
        return self.message


class InvalidInputError(LifeError):
    """An argument, a document or a message that can't be right."""

    code = "life.invalid_input"
    status = 400


class NotFoundError(LifeError):
    """What was asked for does not exist, or not for this caller."""

    code = "life.not_found"
    status = 404


class ConflictError(LifeError):
    """The request contradicts what is already there."""

    code = "life.conflict"
    status = 409


class UnavailableError(LifeError):
    """A part that is needed does not answer now. Nothing was lost; the same call may go through later."""

    code = "life.unavailable"
    status = 503
    retryable = True


class MissingExtraError(LifeError):
    """An optional part is chosen but not installed."""

    code = "life.missing_extra"

    def __init__(self, part: str, extra: str) -> None:
        super().__init__(
            f"{part} needs the extra '{extra}'.",
            next_step=f"pip install 'lifeos[{extra}]'",
            details={"part": part, "extra": extra},
        )


class JournalError(LifeError):
    """The journal could not do what was asked."""

    code = "journal.error"


class SequenceConflictError(JournalError):
    """Optimistic concurrency: the stream's head is not where the writer thought it was. Read again and decide again."""

    code = "journal.sequence_conflict"
    status = 409
    retryable = True

    def __init__(self, session_id: str, branch_id: str, *, expected: int, actual: int) -> None:
        super().__init__(
            f"Stream {session_id}/{branch_id} is at sequence {actual}, not {expected}.",
            details={"session_id": session_id, "branch_id": branch_id, "expected": expected, "actual": actual},
        )
        self.session_id = session_id
        self.branch_id = branch_id
        self.expected = expected
        self.actual = actual


class EventConflictError(JournalError):
    """An event with this id is already stored with other content."""

    code = "journal.event_conflict"
    status = 409

    def __init__(self, event_id: str) -> None:
        super().__init__(f"Event {event_id} is already stored with other content.", details={"event_id": event_id})
        self.event_id = event_id


class MalformedEventError(JournalError):
    """A known event kind whose payload does not fit its type. Readers tolerate it, writers may not produce it."""

    code = "journal.malformed_event"
    status = 400


class JournalDamagedError(JournalError):
    """Stored bytes no longer give the digest that was stored with them, or events are missing."""

    code = "journal.damaged"

    def __init__(self, session_id: str, branch_id: str, sequence: int, *, expected: str, found: str) -> None:
        super().__init__(
            f"The journal is damaged at {session_id}/{branch_id} sequence {sequence}: "
            f"expected digest {expected}, found {found}.",
            next_step="Restore the journal from a backup; nothing was changed or dropped.",
            details={
                "session_id": session_id,
                "branch_id": branch_id,
                "sequence": sequence,
                "expected": expected,
                "found": found,
            },
        )
        self.session_id = session_id
        self.branch_id = branch_id
        self.sequence = sequence
        self.expected = expected
        self.found = found


class JournalFullError(JournalError):
    """The disk has no room for the events. None of the batch is stored."""

    code = "journal.disk_full"
    status = 507
    retryable = True


class JournalUnavailableError(JournalError):
    """The journal can't be opened, written or reached (locked, read-only, closed, writer gone)."""

    code = "journal.unavailable"
    status = 503
    retryable = True


class CustodyError(LifeError):
    """The root of everything a custody backend refuses (anima.md §11.2; leaves in life.anima.errors)."""

    code = "custody.error"


class PaymentError(LifeError):
    """The root of every payment refusal (leaves in life.haima.errors)."""

    code = "haima.error"
    status = 402


class ToolError(LifeError):
    """The root of what a tool may answer instead of a result. The model reads it; the run goes on."""

    code = "praxis.tool_failed"


class ProviderError(LifeError):
    """The root of what a model provider may answer instead of a completion (leaves in life.arcan.errors)."""

    code = "arcan.provider_failed"
    status = 502
