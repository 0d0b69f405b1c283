"""Sessions, branches, snapshots and checkpoints."""

from __future__ import annotations

from life.aios.events.kind import Kind
from life.aios.json import Json
from life.aios.state import SnapshotType


class SessionCreated(Kind, frozen=True, kw_only=True):
    """The first event of a session."""

    name: str
    config: Json = None


class SessionResumed(Kind, frozen=True, kw_only=True):
    """The session was taken up again after a restart; state was folded from the journal."""

    from_snapshot: str | None = None


class SessionClosed(Kind, frozen=True, kw_only=True):
    """No further runs are accepted."""

    reason: str


class BranchCreated(Kind, frozen=True, kw_only=True):
    """A branch was forked at `fork_point_seq` of its parent. It stands on the parent, or is the first event of the new branch;
    there `parent_branch_id` names the parent (main, where it is left out)."""

    new_branch_id: str
    fork_point_seq: int
    name: str
    parent_branch_id: str | None = None


class BranchMerged(Kind, frozen=True, kw_only=True):
    """The source branch, up to `merge_seq`, became part of the branch this event stands on."""

    source_branch_id: str
    merge_seq: int


class SnapshotCreated(Kind, frozen=True, kw_only=True):
    """A named point of a branch."""

    snapshot_id: str
    snapshot_type: SnapshotType
    covers_through_seq: int
    data_hash: str


class CheckpointCreated(Kind, frozen=True, kw_only=True):
    """The folded state at `event_sequence` has this hash."""

    checkpoint_id: str
    event_sequence: int
    state_hash: str


class CheckpointRestored(Kind, frozen=True, kw_only=True):
    """Work goes on from a checkpoint."""

    checkpoint_id: str
    restored_to_seq: int
