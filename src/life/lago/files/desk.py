"""Changing a session's files (lago.md §5, §6): every change is an event, on the head it was decided on.

A write puts its content into the blob store first, so an event never names a blob that is not there. `expected` makes a change
hold only for the version that the caller has seen; several writers of one branch never overwrite each other unseen. A merge is
one `BranchMerged` and, where both sides changed a path, the events of how that was decided.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from life.aios.errors import ConflictError, InvalidInputError, NotFoundError, SequenceConflictError
from life.aios.events import (
    BranchCreated,
    BranchMerged,
    FileDelete,
    FileRename,
    FileWrite,
    Kind,
    SnapshotCreated,
)
from life.aios.ids import MAIN_BRANCH, new_id
from life.aios.ports.blobs import Blobs
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import SYSTEM, Actor, EventRecord, EventWriter, Stream
from life.lago.errors import MergeConflictError
from life.lago.files.comparison import Conflict, Difference, Strategy, compare, merge
from life.lago.files.manifest import FileEntry, Manifest, check_path
from life.lago.files.view import Branch, FileView

ABSENT: Final = ""
"""As `expected`: the path must not be there."""
_ATTEMPTS: Final = 64
_PAGE: Final = 1_000


class Changed(NamedTuple):
    """A change that is stored."""

    branch_id: str
    sequence: int
    """Of its last event."""
    entry: FileEntry | None = None


class MergeDone(NamedTuple):
    """A merge that is stored."""

    strategy: str
    """`fast-forward`, `three-way`, or the strategy that decided conflicts."""
    merge_seq: int
    changed: int
    """How many paths of the target it changed."""
    sequence: int


class BroughtIn(NamedTuple):
    """Files from elsewhere that are stored."""

    changes: tuple[Difference, ...]
    """What they changed on the branch."""
    sequence: int


class NamedPoint(NamedTuple):
    """A snapshot."""

    name: str
    branch_id: str
    covers_through: int
    manifest_hash: str
    at_us: int


class FileDesk:
    """Writes files of one agent. Belongs to one event loop."""

    def __init__(
        self,
        journal: Journal,
        blobs: Blobs,
        clock: Clock,
        entropy: Entropy,
        *,
        agent_id: str,
        actor: Actor = SYSTEM,
    ) -> None:
        self.view = FileView(journal)
        self._journal = journal
        self._blobs = blobs
        self._clock = clock
        self._entropy = entropy
        self._agent_id = agent_id
        self._actor = actor

    async def write(
        self,
        session_id: str,
        path: str,
        content: bytes,
        *,
        branch: str = MAIN_BRANCH,
        content_type: str | None = None,
        expected: str | None = None,
    ) -> Changed:
        """Give a path a content. `expected`: the hash that it must have now, or `ABSENT`; ConflictError otherwise."""
        path = check_path(path)
        info = await self._blobs.put(content)
        kind = FileWrite(path=path, blob_hash=info.hash, size_bytes=info.size_bytes, content_type=content_type)
        return await self._change(session_id, branch, path, expected, lambda _: [kind])

    async def delete(
        self, session_id: str, path: str, *, branch: str = MAIN_BRANCH, expected: str | None = None
    ) -> Changed:
        """Remove a file, or all below a folder; NotFoundError when nothing is there."""
        path = check_path(path)

        def kinds(manifest: Manifest) -> Sequence[Kind]:
            if path not in manifest and not manifest.below(path):
                raise NotFoundError("There is no such file.", details={"path": path})
            return [FileDelete(path=path)]

        return await self._change(session_id, branch, path, expected, kinds)

    async def rename(
        self, session_id: str, old: str, new: str, *, branch: str = MAIN_BRANCH, replace: bool = False
    ) -> Changed:
        """Give a file or folder another name; NotFoundError when it is not there, ConflictError when the new name is taken."""
        old, new = check_path(old), check_path(new)
        if new == old or new.startswith(old + "/"):
            raise InvalidInputError("A folder can't be moved into itself.", details={"path": old})

        def kinds(manifest: Manifest) -> Sequence[Kind]:
            if old not in manifest and not manifest.below(old):
                raise NotFoundError("There is no such file.", details={"path": old})
            if not replace and (new in manifest or manifest.below(new)):
                raise ConflictError("The new name is taken.", details={"path": new})
            return [FileRename(old_path=old, new_path=new)]

        return await self._change(session_id, branch, new, None, kinds)

    async def read(self, session_id: str, path: str, *, branch: str = MAIN_BRANCH, at: int | None = None) -> bytes:
        """The content of a path, now or right after an event; NotFoundError."""
        path = check_path(path)
        entry = (await self.view.manifest(session_id, branch, at=at)).get(path)
        if entry is None:
            raise NotFoundError("There is no such file.", details={"path": path})
        return await self._blobs.get(entry.blob_hash)

    async def bring_in(
        self, session_id: str, files: Manifest, *, base: Manifest | None = None, branch: str = MAIN_BRANCH
    ) -> BroughtIn:
        """Make a branch's files those of a manifest whose contents are in the blob store, in one batch.

        With `base`, the state that the files grew from, what the branch alone changed since stays, and what both changed is a
        MergeConflictError. The events of one batch share a correlation id.
        """
        for _ in range(_ATTEMPTS):
            chosen = await self._writable(session_id, branch)
            stream = Stream(session_id, chosen.branch_id)
            head = (await self._journal.head(stream)).sequence
            now = await self.view.manifest(session_id, chosen.branch_id, at=head) if head else Manifest()
            merged = merge(now if base is None else base, now, files)
            if merged.conflicts:
                raise MergeConflictError([_describe(conflict) for conflict in merged.conflicts])
            kinds = _events_between(now, merged.manifest)
            if not kinds:
                return BroughtIn((), head)
            sequence = await self._append(stream, kinds, head)
            if sequence is not None:
                return BroughtIn(tuple(compare(now, merged.manifest, renames=False)), sequence)
        raise _busy()

    # ---- branches

    async def create_branch(
        self, session_id: str, name: str, *, parent: str = MAIN_BRANCH, at: int | None = None
    ) -> Branch:
        """Fork a branch right after an event of its parent (its head unless told). ConflictError for a name that is taken."""
        if not name or len(name) > 200 or not name.isprintable():
            raise InvalidInputError("A branch's name is 1 to 200 printable characters.")
        for _ in range(_ATTEMPTS):
            branches = await self.view.branches(session_id)
            if name in branches or any(branch.name == name for branch in branches.values()):
                raise ConflictError("A branch of this name is there already.", details={"branch": name})
            origin = await self.view.branch(session_id, parent)
            stream = Stream(session_id, origin.branch_id)
            head = (await self._journal.head(stream)).sequence
            fork = head if at is None else at
            if not 0 <= fork <= head:
                raise InvalidInputError(f"The branch has {head} events.", details={"at": fork, "head": head})
            branch_id = new_id(self._clock, self._entropy)
            created = BranchCreated(new_branch_id=branch_id, fork_point_seq=fork, name=name)
            if await self._append(stream, [created], head) is not None:
                return Branch(branch_id, name, origin.branch_id, fork, self._clock.now_us())
        raise _busy()

    async def merge(
        self, session_id: str, source: str, *, into: str = MAIN_BRANCH, strategy: Strategy | None = None
    ) -> MergeDone:
        """Bring a branch's files into another one. MergeConflictError names every path that both changed, unless `strategy`
        says whose side wins; ConflictError when there is nothing new to merge."""
        for _ in range(_ATTEMPTS):
            origin, target = await self.view.branch(session_id, source), await self.view.branch(session_id, into)
            if origin.branch_id == target.branch_id:
                raise InvalidInputError("A branch can't be merged into itself.")
            head = (await self._journal.head(Stream(session_id, target.branch_id))).sequence
            upto = (await self._journal.head(Stream(session_id, origin.branch_id))).sequence
            common, common_seq = await self.view.common_point(session_id, origin.branch_id, target.branch_id)
            if common == origin.branch_id and common_seq >= upto:
                raise ConflictError("There is nothing new to merge.", details={"branch": source})
            base = await self.view.manifest(session_id, common, at=common_seq)
            ours = await self.view.manifest(session_id, target.branch_id, at=head)
            theirs = await self.view.manifest(session_id, origin.branch_id, at=upto)
            plain = merge(base, ours, theirs)
            if plain.conflicts and strategy is None:
                raise MergeConflictError([_describe(conflict) for conflict in plain.conflicts])
            wanted = merge(base, ours, theirs, strategy=strategy).manifest if plain.conflicts else plain.manifest
            kinds: list[Kind] = [BranchMerged(source_branch_id=origin.branch_id, merge_seq=upto)]
            kinds += _events_between(plain.manifest, wanted)
            sequence = await self._append(Stream(session_id, target.branch_id), kinds, head)
            if sequence is not None:
                how: str = strategy if plain.conflicts and strategy else "three-way"
                if not compare(base, ours):
                    how = "fast-forward"
                return MergeDone(how, upto, len(compare(ours, wanted, renames=False)), sequence)
        raise _busy()

    # ---- named points

    async def snapshot(self, session_id: str, name: str, *, branch: str = MAIN_BRANCH) -> NamedPoint:
        """Name the branch's present state. ConflictError for a name that the branch has already."""
        if not name or len(name) > 200 or not name.isprintable():
            raise InvalidInputError("A snapshot's name is 1 to 200 printable characters.")
        for _ in range(_ATTEMPTS):
            chosen = await self.view.branch(session_id, branch)
            stream = Stream(session_id, chosen.branch_id)
            head = (await self._journal.head(stream)).sequence
            if any(point.name == name for point in await self.snapshots(session_id, branch=chosen.branch_id)):
                raise ConflictError("The branch has a snapshot of this name.", details={"snapshot": name})
            manifest = await self.view.manifest(session_id, chosen.branch_id, at=head)
            stored = await self._blobs.put(manifest.canonical())
            kind = SnapshotCreated(
                snapshot_id=name, snapshot_type="full", covers_through_seq=head, data_hash=stored.hash
            )
            if await self._append(stream, [kind], head) is not None:
                return NamedPoint(name, chosen.branch_id, head, stored.hash, self._clock.now_us())
        raise _busy()

    async def snapshots(self, session_id: str, *, branch: str = MAIN_BRANCH) -> list[NamedPoint]:
        """The branch's snapshots, oldest first."""
        chosen = await self.view.branch(session_id, branch)
        found, after = [], 0
        while True:
            query = EventQuery(session_id, chosen.branch_id, after_sequence=after, kinds=("SnapshotCreated",))
            page: list[EventRecord] = await self._journal.read(query, limit=_PAGE)
            for record in page:
                kind = record.kind
                if isinstance(kind, SnapshotCreated):
                    found.append(
                        NamedPoint(
                            kind.snapshot_id,
                            chosen.branch_id,
                            kind.covers_through_seq,
                            kind.data_hash,
                            record.timestamp_us,
                        )
                    )
            if len(page) < _PAGE:
                return found
            after = page[-1].sequence

    async def restore(self, session_id: str, point: str | int, *, branch: str = MAIN_BRANCH) -> Changed:
        """Make the branch's files those of a snapshot (by name) or of an earlier event (by number), by new events; what came
        between stays in the history."""
        for _ in range(_ATTEMPTS):
            chosen = await self.view.branch(session_id, branch)
            stream = Stream(session_id, chosen.branch_id)
            head = (await self._journal.head(stream)).sequence
            at = point if isinstance(point, int) else await self._covered(session_id, chosen.branch_id, point)
            wanted = await self.view.manifest(session_id, chosen.branch_id, at=at)
            now = await self.view.manifest(session_id, chosen.branch_id, at=head)
            kinds = _events_between(now, wanted)
            if not kinds:
                return Changed(chosen.branch_id, head)
            sequence = await self._append(stream, kinds, head)
            if sequence is not None:
                return Changed(chosen.branch_id, sequence)
        raise _busy()

    async def _covered(self, session_id: str, branch_id: str, name: str) -> int:
        for point in await self.snapshots(session_id, branch=branch_id):
            if point.name == name:
                return point.covers_through
        raise NotFoundError("The branch has no such snapshot.", details={"snapshot": name})

    # ---- storing

    async def _change(
        self,
        session_id: str,
        branch: str,
        path: str,
        expected: str | None,
        kinds: Callable[[Manifest], Sequence[Kind]],
    ) -> Changed:
        for _ in range(_ATTEMPTS):
            chosen = await self._writable(session_id, branch)
            stream = Stream(session_id, chosen.branch_id)
            head = (await self._journal.head(stream)).sequence
            manifest = await self.view.manifest(session_id, chosen.branch_id, at=head) if head else Manifest()
            present = manifest.get(path)
            if expected is not None and (present.blob_hash if present is not None else ABSENT) != expected:
                raise ConflictError(
                    "The file is not the version that was expected.",
                    next_step="Read it again and decide again.",
                    details={"path": path, "expected": expected, "present": present.blob_hash if present else ABSENT},
                )
            told = list(kinds(manifest))
            sequence = await self._append(stream, told, head)
            if sequence is not None:
                return Changed(
                    chosen.branch_id, sequence, _entry_after(told[-1], manifest, sequence, self._clock.now_us())
                )
        raise _busy()

    async def _writable(self, session_id: str, branch: str) -> Branch:
        """The branch; main of a session that has no events yet is one, too."""
        if branch == MAIN_BRANCH:
            return Branch(MAIN_BRANCH, MAIN_BRANCH, None, 0)
        return await self.view.branch(session_id, branch)

    async def _append(self, stream: Stream, kinds: Sequence[Kind], head: int) -> int | None:
        """Store on top of `head`; None when somebody else was quicker."""
        writer = EventWriter(self._clock, self._entropy, agent_id=self._agent_id, stream=stream, actor=self._actor)
        together = new_id(self._clock, self._entropy) if len(kinds) > 1 else None
        events = [writer.event(kind, correlation_id=together) for kind in kinds]
        try:
            stored = await self._journal.append(events, expected={stream: head})
        except SequenceConflictError:
            return None
        return stored[-1].sequence


def _entry_after(kind: Kind, before: Manifest, sequence: int, at_us: int) -> FileEntry | None:
    """The entry that a change gave its path; None for a deletion and for a folder's new name."""
    match kind:
        case FileWrite():
            return FileEntry(kind.path, kind.blob_hash, kind.size_bytes, kind.content_type, at_us, sequence)
        case FileRename() if kind.old_path in before:
            return before[kind.old_path]._replace(path=kind.new_path, sequence=sequence, updated_at_us=at_us)
        case _:
            return None


def _events_between(now: Manifest, wanted: Manifest) -> list[Kind]:
    """Events that make one manifest the other."""
    kinds: list[Kind] = []
    for difference in compare(now, wanted, renames=False):
        new = difference.new
        if new is None:
            kinds.append(FileDelete(path=difference.path))
        else:
            kinds.append(
                FileWrite(
                    path=new.path,
                    blob_hash=new.blob_hash,
                    size_bytes=new.size_bytes,
                    content_type=new.content_type,
                )
            )
    return kinds


def _describe(conflict: Conflict) -> dict[str, str]:
    return {
        "path": conflict.path,
        "base": conflict.base.blob_hash if conflict.base else ABSENT,
        "ours": conflict.ours.blob_hash if conflict.ours else ABSENT,
        "theirs": conflict.theirs.blob_hash if conflict.theirs else ABSENT,
    }


def _busy() -> ConflictError:
    return ConflictError("Others write to this branch without a pause.", next_step="Try again.")
