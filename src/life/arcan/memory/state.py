"""The memory of one scope, folded from its events. Total: what makes no sense changes nothing.

    proposed ─ MemoryCommitted → committed ─ MemoryCommitted(supersedes) → superseded
        └─ MemoryTombstoned → rejected   └─ MemoryTombstoned → forgotten

Later events win; a tombstone holds for ever, also against a later commit of the same id.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from life.aios import events
from life.aios.record import EventRecord
from life.aios.state import MemoryScope

MemoryStatus = Literal["committed", "superseded", "forgotten"]
ProposalStatus = Literal["open", "committed", "rejected"]


class Proposal(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What somebody wants remembered."""

    proposal_id: str
    scope: MemoryScope
    entries_ref: str
    at_us: int
    sequence: int
    run_id: str | None = None
    key: str | None = None
    expires_at_us: int | None = None
    status: ProposalStatus = "open"


class Memory(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is remembered."""

    memory_id: str
    scope: MemoryScope
    ref: str
    """The blob of its note."""
    path: str
    at_us: int
    sequence: int
    proposal_id: str = ""
    expires_at_us: int | None = None
    status: MemoryStatus = "committed"
    reason: str = ""


class ObservationRow(msgspec.Struct, frozen=True, kw_only=True):
    """A batch of observations."""

    sequence: int
    ref: str
    at_us: int
    run_id: str | None = None


class MemoryFold:
    """The state of one scope; grows by `apply`."""

    def __init__(self) -> None:
        self.head = 0
        self.proposals: dict[str, Proposal] = {}
        self.memories: dict[str, Memory] = {}
        self.observations: list[ObservationRow] = []
        self.reflected_through = 0
        self.reflection_ref = ""
        self._dead: set[str] = set()

    def apply(self, record: EventRecord) -> None:
        """Take in one event of the scope's stream."""
        self.head = record.sequence
        kind = record.kind
        if isinstance(kind, events.MemoryProposed):
            self._proposed(kind, record)
        elif isinstance(kind, events.MemoryCommitted):
            self._committed(kind, record)
        elif isinstance(kind, events.MemoryTombstoned):
            self._tombstoned(kind)
        elif isinstance(kind, events.ObservationAppended):
            row = ObservationRow(
                sequence=record.sequence, ref=kind.observation_ref, at_us=record.timestamp_us, run_id=kind.source_run_id
            )
            self.observations.append(row)
        elif isinstance(kind, events.ReflectionCompacted):
            self.reflected_through = max(self.reflected_through, min(kind.covers_through_seq, record.sequence))
            self.reflection_ref = kind.summary_ref

    def live(self, now_us: int) -> list[Memory]:
        """What shows now, newest first."""
        found = [
            memory
            for memory in self.memories.values()
            if memory.status == "committed" and (memory.expires_at_us is None or memory.expires_at_us > now_us)
        ]
        return sorted(found, key=lambda memory: memory.sequence, reverse=True)

    def open_proposals(self) -> list[Proposal]:
        """What waits for a decision, oldest first."""
        return [proposal for proposal in self.proposals.values() if proposal.status == "open"]

    def unreflected(self) -> list[ObservationRow]:
        """Observations that no reflection covers."""
        return [row for row in self.observations if row.sequence > self.reflected_through]

    def at(self, path: str, now_us: int) -> Memory | None:
        """The memory that shows at a path."""
        return next((memory for memory in self.live(now_us) if memory.path == path), None)

    def _proposed(self, kind: events.MemoryProposed, record: EventRecord) -> None:
        if kind.proposal_id in self.proposals:
            return
        self.proposals[kind.proposal_id] = Proposal(
            proposal_id=kind.proposal_id,
            scope=kind.scope,
            entries_ref=kind.entries_ref,
            at_us=record.timestamp_us,
            sequence=record.sequence,
            run_id=kind.source_run_id,
            key=kind.key,
            expires_at_us=kind.expires_at_us,
            status="rejected" if kind.proposal_id in self._dead else "open",
        )

    def _committed(self, kind: events.MemoryCommitted, record: EventRecord) -> None:
        if kind.memory_id in self._dead or kind.memory_id in self.memories:
            return
        replaced = self.memories.get(kind.supersedes or "")
        if replaced is not None and replaced.status == "committed":
            replaced.status = "superseded"
        self.memories[kind.memory_id] = Memory(
            memory_id=kind.memory_id,
            scope=kind.scope,
            ref=kind.committed_ref,
            path=kind.path or "",
            at_us=record.timestamp_us,
            sequence=record.sequence,
            proposal_id=kind.proposal_id or "",
            expires_at_us=kind.expires_at_us,
        )
        proposal = self.proposals.get(kind.proposal_id or "")
        if proposal is not None and proposal.status == "open":
            proposal.status = "committed"

    def _tombstoned(self, kind: events.MemoryTombstoned) -> None:
        self._dead.add(kind.memory_id)
        memory = self.memories.get(kind.memory_id)
        if memory is not None:
            memory.status = "forgotten"
            memory.reason = kind.reason
        proposal = self.proposals.get(kind.memory_id)
        if proposal is not None and proposal.status == "open":
            proposal.status = "rejected"
