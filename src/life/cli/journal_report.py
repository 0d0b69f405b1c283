"""What `life journal verify` found, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from life.aios.errors import NotFoundError
from life.anima.errors import IdentityNotFoundError
from life.anima.home import read_identity
from life.host.data_directory import DataDirectory
from life.host.journal_proof import signing_keys
from life.lago.errors import JournalDivergedError
from life.lago.journal.sqlite import SqliteJournal
from life.lago.journal.verification import Verified
from life.lago.proof.checkpoints import CheckedCheckpoints, read_checkpoints, verify_checkpoints
from life.lago.proof.outside_copy import Compared, compare, read_copy
from life.lago.proof.redaction import find_redactions
from life.lago.proof.redaction_authority import authority_of
from life.lago.proof.signing_keys import SigningKeys


class Report(NamedTuple):
    """Everything that was looked at."""

    verified: Verified
    agent_id: str | None
    checkpoints: CheckedCheckpoints | None
    unchecked: int
    """Checkpoints whose signer this journal tells nothing of."""
    redacted: int
    pending: int
    """Events whose redaction was decided and not carried out."""
    against: Path | None
    compared: Compared | None

    @property
    def divergences(self) -> list[JournalDivergedError]:
        """Where an outside copy parts."""
        return [] if self.compared is None else self.compared.divergences

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"{self.verified.events} events in {self.verified.streams} streams: every digest holds."
        if self.checkpoints is not None and self.checkpoints.checkpoints:
            found = self.checkpoints
            yield (
                f"{found.checkpoints} checkpoints of {found.branches} branches, signed by {self.agent_id}: all hold,"
                f" and cover {found.events_covered} events."
            )
        elif not self.unchecked:
            yield "No checkpoints yet: `life journal checkpoint` signs how far each branch reached."
        if self.unchecked:
            yield f"{self.unchecked} checkpoints could not be checked: the journal does not tell whose keys count."
        if self.redacted:
            yield f"{self.redacted} events are redacted, each by a signed redaction."
        if self.pending:
            yield f"{self.pending} redactions were not carried out: `life journal redact --resume` does."
        if self.compared is not None:
            yield f"{self.against}: {self.compared.places} places in {self.compared.branches} branches compared."
            for one in self.compared.divergences:
                yield f"  {one.message}"

    def summary(self) -> dict[str, object]:
        """For programs."""
        found: dict[str, object] = {
            "events": self.verified.events,
            "streams": self.verified.streams,
            "agent_id": self.agent_id,
            "checkpoints": None if self.checkpoints is None else self.checkpoints._asdict(),
            "unchecked_checkpoints": self.unchecked,
            "redacted": self.redacted,
            "pending_redactions": self.pending,
        }
        if self.compared is not None:
            found["against"] = {
                "places": self.compared.places,
                "branches": self.compared.branches,
                "divergences": [dict(one.details) for one in self.compared.divergences],
            }
        return found


async def report_of(journal: SqliteJournal, data: DataDirectory, verified: Verified, against: Path | None) -> Report:
    """Check the signatures of a journal whose chain was verified, and compare it with a copy.

    CheckpointRefusedError, RedactionRefusedError for what does not hold.
    """
    keys = await known_keys(journal, data)
    stored = await read_checkpoints(journal)
    checkpoints = None if keys is None else await verify_checkpoints(journal, keys)
    redactions = await find_redactions(journal)
    for found in redactions:
        if keys is not None:
            authority_of(found.record, found.redaction, keys=keys)
    pending = sum(len(found.pending) for found in redactions)
    return Report(
        verified,
        None if keys is None else keys.agent_id,
        checkpoints,
        len(stored) if keys is None else 0,
        sum(len(found.redaction.events) for found in redactions) - pending,
        pending,
        against,
        None if against is None else await compare(journal, read_copy(against, keys=keys)),
    )


async def known_keys(journal: SqliteJournal, data: DataDirectory) -> SigningKeys | None:
    """The history of keys of the project's agent, or of the one that signed here; None when the journal tells of none."""
    try:
        agent_id = read_identity(data.identity).agent_id
    except IdentityNotFoundError:
        stored = await read_checkpoints(journal)
        if not stored:
            return None
        agent_id = stored[0][0].agent_id
    try:
        return await signing_keys(journal, agent_id)
    except NotFoundError:
        return None
