"""Reading a session's files from the journal: branches that inherit, merges by reference, any point in time (lago.md §5).

    view(branch) = view(parent, up to the fork) + the branch's own events

A `BranchMerged` on a branch brings in another branch as it was at `merge_seq`: the three-way merge against the last state that
both had in common, ours where both changed a path; how conflicts were decided stands in the file events behind it. So a
fast-forward is one event, however many files it brings.

Views are kept and carried on with what is new. They hold one manifest a branch; older points are folded again from the newest
kept one before them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.events import BranchCreated, BranchMerged, FileDelete, FileRename, FileWrite, Kind
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, Stream
from life.lago.files.comparison import merge
from life.lago.files.manifest import FILE_KINDS, FileEntry, Manifest, ManifestFold, check_path

_KINDS: Final = (*FILE_KINDS, "BranchMerged")
_PAGE: Final = 2_000
_KEPT: Final = 256
"""How many manifests are kept, of all sessions."""
_DEEPEST: Final = 256
"""A branch of a branch of a branch …: deeper than this is no tree that somebody made on purpose."""


class Branch(NamedTuple):
    """One branch of a session."""

    branch_id: str
    name: str
    parent: str | None
    """None for main."""
    fork_sequence: int
    """The last event of the parent that it has inherited."""
    created_at_us: int = 0


class Version(NamedTuple):
    """One change of a path."""

    branch_id: str
    sequence: int
    event_id: str
    at_us: int
    change: str
    """The event's kind."""
    entry: FileEntry | None
    """None when the path was gone afterwards."""


class _Kept(NamedTuple):
    sequence: int
    fold: ManifestFold


class FileView:
    """Files of every session of a journal. Belongs to one event loop."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._kept: OrderedDict[Stream, _Kept] = OrderedDict()

    async def branches(self, session_id: str) -> dict[str, Branch]:
        """Every branch by its id, main first; NotFoundError for a session without events."""
        streams = await self._journal.streams(session_id)
        if not streams:
            raise NotFoundError("There is no such session.", details={"session_id": session_id})
        found = {MAIN_BRANCH: Branch(MAIN_BRANCH, MAIN_BRANCH, None, 0)}
        for stream in streams:
            for record in await self._read(stream, 0, None, ("BranchCreated",)):
                kind = record.kind
                if isinstance(kind, BranchCreated) and kind.new_branch_id not in found:
                    # The event stands on the parent, or on the new branch and names the parent (aios.md §11).
                    parent = stream.branch_id
                    if parent == kind.new_branch_id:
                        parent = kind.parent_branch_id or MAIN_BRANCH
                    found[kind.new_branch_id] = Branch(
                        kind.new_branch_id, kind.name, parent, kind.fork_point_seq, record.timestamp_us
                    )
        for stream in streams:  # branches that somebody wrote to without saying where they come from
            found.setdefault(stream.branch_id, Branch(stream.branch_id, stream.branch_id, None, 0))
        return found

    async def branch(self, session_id: str, name: str) -> Branch:
        """The branch of this id or name; NotFoundError. Ids come first."""
        return _find(await self.branches(session_id), name)

    async def manifest(self, session_id: str, branch: str = MAIN_BRANCH, *, at: int | None = None) -> Manifest:
        """The files of a branch (by id or name), now or right after its event `at`. InvalidInputError for an event that is not
        there yet."""
        branches = await self.branches(session_id)
        chosen = _find(branches, branch)
        head = (await self._journal.head(Stream(session_id, chosen.branch_id))).sequence
        if at is not None and not 0 <= at <= head:
            raise InvalidInputError(f"The branch has {head} events.", details={"at": at, "head": head})
        return (await self._fold(session_id, chosen.branch_id, head if at is None else at, branches, 0)).manifest()

    async def history(self, session_id: str, path: str, branch: str = MAIN_BRANCH) -> list[Version]:
        """Every change of a path that the branch has seen, its own and those it inherited, oldest first. A file is followed
        through its renames backwards."""
        wanted = check_path(path)
        branches = await self.branches(session_id)
        chosen = _find(branches, branch)
        versions: list[Version] = []
        last: int | None = None
        for current, upto in await self._lineage(session_id, chosen.branch_id, branches):
            records = await self._read(Stream(session_id, current), 0, last if last is not None else upto, FILE_KINDS)
            for record in reversed(records):
                change = _change_of(record.kind, wanted)
                if change is None:
                    continue
                wanted, entry = change
                versions.append(
                    Version(
                        current,
                        record.sequence,
                        record.event_id,
                        record.timestamp_us,
                        record.kind_name,
                        entry(record) if entry else None,
                    )
                )
            last = branches[current].fork_sequence
        return versions[::-1]

    async def common_point(self, session_id: str, one: str, other: str) -> tuple[str, int]:
        """The newest event that both branches have in common: branch id and sequence. Merges count: what was merged before is
        common since."""
        branches = await self.branches(session_id)
        merged = await self._last_merge(session_id, target=other, source=one)
        if merged is not None:
            return one, merged
        here = await self._lineage(session_id, one, branches)
        there = dict(await self._lineage(session_id, other, branches))
        for branch_id, upto in here:
            if branch_id in there:
                return branch_id, min(upto, there[branch_id])
        return MAIN_BRANCH, 0

    # ---- folding

    async def _fold(
        self, session_id: str, branch_id: str, upto: int, branches: dict[str, Branch], depth: int
    ) -> ManifestFold:
        """The fold of a branch up to an event; it may be a kept one, so it is only read."""
        if depth > _DEEPEST:
            raise InvalidInputError("The branches of this session go round in circles, or too deep.")
        stream = Stream(session_id, branch_id)
        kept = self._kept.get(stream)
        if kept is not None and kept.sequence == upto:
            self._kept.move_to_end(stream)
            return kept.fold
        if kept is not None and kept.sequence < upto:
            after, fold = kept.sequence, kept.fold.copy()
        else:
            after, fold = 0, await self._inherited(session_id, branches.get(branch_id), branches, depth)
        for record in await self._read(stream, after, upto, _KINDS):
            kind = record.kind
            if isinstance(kind, BranchMerged):
                fold = await self._bring_in(session_id, branch_id, kind, record.sequence, fold, branches, depth)
            else:
                fold.apply(kind, sequence=record.sequence, at_us=record.timestamp_us)
        if kept is None or kept.sequence < upto:
            self._kept[stream] = _Kept(upto, fold)
            self._kept.move_to_end(stream)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return fold

    async def _inherited(
        self, session_id: str, branch: Branch | None, branches: dict[str, Branch], depth: int
    ) -> ManifestFold:
        if branch is None or branch.parent is None:
            return ManifestFold()
        return (await self._fold(session_id, branch.parent, branch.fork_sequence, branches, depth + 1)).copy()

    async def _bring_in(
        self,
        session_id: str,
        target: str,
        merged: BranchMerged,
        sequence: int,
        fold: ManifestFold,
        branches: dict[str, Branch],
        depth: int,
    ) -> ManifestFold:
        source = merged.source_branch_id
        if source not in branches or source == target:
            return fold
        theirs = await self._fold(session_id, source, merged.merge_seq, branches, depth + 1)
        earlier = await self._last_merge(session_id, target=target, source=source, before=sequence)
        if earlier is not None:
            base = await self._fold(session_id, source, earlier, branches, depth + 1)
        else:
            common, upto = await self._common_ancestor(session_id, source, target, branches)
            base = await self._fold(session_id, common, upto, branches, depth + 1)
        return ManifestFold(merge(base.entries, fold.entries, theirs.entries).manifest)

    async def _common_ancestor(
        self, session_id: str, one: str, other: str, branches: dict[str, Branch]
    ) -> tuple[str, int]:
        there = dict(await self._lineage(session_id, other, branches))
        for branch_id, upto in await self._lineage(session_id, one, branches):
            if branch_id in there:
                return branch_id, min(upto, there[branch_id])
        return MAIN_BRANCH, 0

    async def _lineage(self, session_id: str, branch_id: str, branches: dict[str, Branch]) -> list[tuple[str, int]]:
        """The branch and its ancestors, each with the last event that counts."""
        upto = (await self._journal.head(Stream(session_id, branch_id))).sequence
        found: list[tuple[str, int]] = []
        current: str | None = branch_id
        while current is not None and current not in {name for name, _ in found}:
            found.append((current, upto))
            branch = branches.get(current)
            if branch is None:
                break
            current, upto = branch.parent, branch.fork_sequence
        return found

    async def _last_merge(self, session_id: str, *, target: str, source: str, before: int | None = None) -> int | None:
        """Up to which event of the source it was last merged into the target (before an event of the target)."""
        upto = None if before is None else before - 1
        for record in reversed(await self._read(Stream(session_id, target), 0, upto, ("BranchMerged",))):
            kind = record.kind
            if isinstance(kind, BranchMerged) and kind.source_branch_id == source:
                return kind.merge_seq
        return None

    async def _read(self, stream: Stream, after: int, upto: int | None, kinds: tuple[str, ...]) -> list[EventRecord]:
        found: list[EventRecord] = []
        while True:
            query = EventQuery(
                stream.session_id,
                stream.branch_id,
                after_sequence=after,
                before_sequence=None if upto is None else upto + 1,
                kinds=kinds,
            )
            page = await self._journal.read(query, limit=_PAGE)
            found += page
            if len(page) < _PAGE:
                return found
            after = page[-1].sequence


def _find(branches: dict[str, Branch], name: str) -> Branch:
    if name in branches:
        return branches[name]
    for branch in branches.values():
        if branch.name == name:
            return branch
    raise NotFoundError("There is no such branch.", details={"branch": name[:200]})


def _change_of(kind: Kind, path: str) -> tuple[str, _EntryOf | None] | None:
    """What an event did to a path, told backwards: the name that the path had before it, and how to make its entry. None when
    it did nothing to it."""
    match kind:
        case FileWrite() if kind.path == path:
            return path, _EntryOf(kind)
        case FileDelete() if path == kind.path or path.startswith(kind.path + "/"):
            return path, None
        case FileRename() if path == kind.new_path or path.startswith(kind.new_path + "/"):
            return kind.old_path + path[len(kind.new_path) :], None
        case FileRename() if path == kind.old_path or path.startswith(kind.old_path + "/"):
            return path, None
        case _:
            return None


class _EntryOf:
    """Makes the entry of a write."""

    def __init__(self, kind: FileWrite) -> None:
        self._kind = kind

    def __call__(self, record: EventRecord) -> FileEntry:
        kind = self._kind
        return FileEntry(
            kind.path, kind.blob_hash, kind.size_bytes, kind.content_type, record.timestamp_us, record.sequence
        )
