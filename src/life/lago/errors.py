"""Errors of Lago that the shared tree does not have (life.aios.errors has the journal's common ones).

JournalError
├── JournalFormatError           lago.journal_format     the file is not a journal, or one of a newer version
├── JournalDamagedError          journal.damaged
│   └── JournalFileDamagedError  journal.damaged         SQLite can't read the file: no single event can be named
├── ProjectionFailedError        lago.projection_failed
├── CheckpointRefusedError       lago.checkpoint_refused   a signed checkpoint does not hold
├── JournalDivergedError         lago.journal_diverged     an outside copy tells another history
├── ProofRefusedError            lago.proof_refused        an inclusion proof does not hold
└── RedactionRefusedError        lago.redaction_refused

ArchiveError                     lago.archive_error
└── ArchiveDamagedError          lago.archive_damaged

BackupError                      lago.backup_error
├── BackupDamagedError           lago.backup_damaged
├── BackupNotFoundError          lago.backup_not_found
└── BackupTargetError            lago.backup_target        the place to restore into is not empty

BlobError                        lago.blob_error
├── BlobDamagedError             lago.blob_damaged
├── BlobStoreFullError           lago.blob_store_full
├── BlobStoreUnavailableError    lago.blob_store_unavailable
└── BlobKeyMissingError          lago.blob_key_missing
BlobNotFoundError                lago.blob_not_found     (a NotFoundError)
MergeConflictError               lago.merge_conflict     (a ConflictError)

AccessError                      lago.access_error         403
├── PolicyDeniedError            lago.policy_denied        403
├── ApprovalRequiredError        lago.approval_required    403  a person has to decide; the ticket's id is in the details
├── NotOwnerError                lago.not_owner            403
├── QuotaExceededError           lago.quota_exceeded       429
└── PayloadTooLargeError         lago.payload_too_large    413
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


class CheckpointRefusedError(JournalError):
    """A signed checkpoint does not hold: its signature, its signer, or what it says of the branch."""

    code = "lago.checkpoint_refused"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"The checkpoint {where} does not hold: {reason}.",
            next_step="Compare with an outside copy: `life journal verify --against FILE`.",
            details={"checkpoint": where, "reason": reason},
        )


class JournalDivergedError(JournalError):
    """Here and in an outside copy an event of a branch has different digests, or one of them ends early."""

    code = "lago.journal_diverged"

    def __init__(self, session_id: str, branch_id: str, sequence: int, *, copy: str, here: str) -> None:
        super().__init__(
            f"{session_id}/{branch_id} diverges at sequence {sequence}: the copy has {copy}, this journal {here}.",
            next_step="One of them was changed. Whichever a signed checkpoint confirms is the one that was there first.",
            details={
                "session_id": session_id,
                "branch_id": branch_id,
                "sequence": sequence,
                "copy": copy,
                "here": here,
            },
        )
        self.session_id = session_id
        self.branch_id = branch_id
        self.sequence = sequence


class ProofRefusedError(JournalError):
    """An inclusion proof can't be made, or does not show what it claims."""

    code = "lago.proof_refused"
    status = 400


class RedactionRefusedError(JournalError):
    """The content of this event can't be taken out, or nobody may."""

    code = "lago.redaction_refused"
    status = 409


class ArchiveError(LifeError):
    """The root of what a session archive may answer (leaves below)."""

    code = "lago.archive_error"
    status = 400


class ArchiveDamagedError(ArchiveError):
    """A byte of the archive is not what it was. `member` names where."""

    code = "lago.archive_damaged"

    def __init__(self, member: str, reason: str) -> None:
        super().__init__(f"The archive does not hold at {member}: {reason}.", details={"member": member})
        self.member = member


class BackupError(LifeError):
    """The root of what making or restoring a backup may answer (leaves below)."""

    code = "lago.backup_error"


class BackupDamagedError(BackupError):
    """What was backed up is not there any more as it was. `part` names what."""

    code = "lago.backup_damaged"

    def __init__(self, backup: str, part: str, reason: str) -> None:
        super().__init__(
            f"The backup {backup} is damaged: {part} {reason}.",
            next_step="Take another backup; `life backup list` shows which there are.",
            details={"backup": backup, "part": part},
        )
        self.part = part


class BackupNotFoundError(BackupError):
    """There is no such backup at this place."""

    code = "lago.backup_not_found"
    status = 404


class BackupTargetError(BackupError):
    """The place to restore into holds something. Nothing was touched."""

    code = "lago.backup_target"
    status = 409


class AccessError(LifeError):
    """The root of what the daemon refuses for reasons of who asks, and how much."""

    code = "lago.access_error"
    status = 403


class PolicyDeniedError(AccessError):
    """A rule, a role or the default says no."""

    code = "lago.policy_denied"

    def __init__(self, explanation: str, rule_id: str | None) -> None:
        super().__init__(
            f"The policy denies this. {explanation}", details={} if rule_id is None else {"rule_id": rule_id}
        )
        self.rule_id = rule_id


class ApprovalRequiredError(AccessError):
    """A rule wants a person to decide. The ticket was opened; nothing else was done."""

    code = "lago.approval_required"

    def __init__(self, explanation: str, rule_id: str | None, approval_id: str) -> None:
        super().__init__(
            f"A person has to approve this. {explanation}",
            next_step="Once it is approved, send the same request with the header 'Life-Approval: "
            + approval_id
            + "'.",
            details={"approval_id": approval_id, **({} if rule_id is None else {"rule_id": rule_id})},
        )
        self.rule_id = rule_id
        self.approval_id = approval_id


class NotOwnerError(AccessError):
    """What was to be made, or told, is another owner's."""

    code = "lago.not_owner"


class QuotaExceededError(AccessError):
    """The owner's plan allows no more. Nothing was stored."""

    code = "lago.quota_exceeded"
    status = 429

    def __init__(self, owner: str, what: str, limit: int, *, retry_after_s: int | None = None) -> None:
        super().__init__(
            f"The plan of {owner} allows {limit} {what.replace('_', ' ')}.",
            details={
                "owner": owner,
                "quota": what,
                "limit": limit,
                **({} if retry_after_s is None else {"retry_after_s": retry_after_s}),
            },
        )


class PayloadTooLargeError(AccessError):
    """A body is longer than this route takes. Nothing of it was kept."""

    code = "lago.payload_too_large"
    status = 413

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"The body is longer than {limit_bytes} bytes.", details={"limit_bytes": limit_bytes})
