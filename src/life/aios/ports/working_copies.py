"""Files of a session's branches: working copies on disk, and the versions the journal knows.

    WorkingCopies  one directory per branch; what is in it is recorded, what the branch holds is written out
    FileVersions   what a merge or a way back means for the files, and how two points differ

Which content a path has is said by file events (`FileWrite`, `FileDelete`); the contents are blobs. The runtime stages such
events together with its own, so that a merge or a restored point is there whole or not at all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

from life.aios.events import Kind
from life.aios.record import Stream

Prefer = Literal["ours", "theirs"]
"""Whose side wins where both changed a path: the target's (`ours`) or the source's."""


class Position(NamedTuple):
    """A point of a branch: right after its event `sequence`; 0 is what it inherited."""

    stream: Stream
    sequence: int


class FileConflict(msgspec.Struct, frozen=True, kw_only=True):
    """A path that both sides changed, not to the same content. SHA-256 (hex) of each side; empty where it is not there."""

    path: str
    base: str
    ours: str
    theirs: str


class FileDifference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One path that differs. Hashes as above; `text` is a unified diff where both sides are text."""

    change: Literal["added", "removed", "modified", "renamed"]
    path: str
    old_hash: str = ""
    new_hash: str = ""
    old_path: str | None = None
    text: str | None = None


class Recorded(NamedTuple):
    """File events to stage, and the work, under way already, that has to be done before they may be stored: the contents they
    name."""

    kinds: tuple[Kind, ...]
    stored: Awaitable[None] | None


class FilePlan(NamedTuple):
    """The file events that a decision needs. With conflicts nothing may be stored."""

    kinds: tuple[Kind, ...]
    conflicts: tuple[FileConflict, ...] = ()
    changed: int = 0
    """How many paths of the target change."""


class WorkingCopies(Protocol):
    """One directory per branch."""

    def directory(self, stream: Stream) -> str:
        """The absolute path of the branch's directory; it may not be there yet."""
        ...

    async def lay_out(self, stream: Stream) -> None:
        """Make the directory as the branch's files are now, when it is not there; whole or not at all."""
        ...

    async def keep(self, stream: Stream) -> None:
        """Record in the branch what its directory holds now, contents first. The directory is right."""
        ...

    async def written(self, stream: Stream, paths: Sequence[str]) -> Recorded:
        """The file events for these paths of the directory (as `ToolOutcome.mutated_paths` names them), as they are now."""
        ...

    async def place(self, stream: Stream, since: int) -> tuple[str, ...]:
        """Bring into the directory what the branch's files became after its event `since`. A path that holds neither the old
        content nor the new was changed by somebody meanwhile: it is left, and named. May be repeated."""
        ...


class FileVersions(Protocol):
    """What the journal knows about the files of branches."""

    async def merge_plan(self, source: Position, target: Position, *, prefer: Prefer | None = None) -> FilePlan:
        """Merging `source` into `target` by a `BranchMerged` that comes right after it: the events that must follow it."""
        ...

    async def restore_plan(self, now: Position, then: Position) -> FilePlan:
        """The events that make the files of one position those of another."""
        ...

    async def differences(self, one: Position, other: Position) -> tuple[FileDifference, ...]:
        """What differs, by path."""
        ...


class SessionFiles(NamedTuple):
    """Both, for a runtime that gives branches files of their own."""

    copies: WorkingCopies
    versions: FileVersions
