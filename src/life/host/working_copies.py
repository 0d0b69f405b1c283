"""Files of branches, by Lago's journal of files: working copies on disk and versions (life.aios.ports.working_copies).

    main           the session's own workspace, where it always was
    other branches <branches>/<session>/<branch>, laid out when the branch is first run

A directory is laid out beside its place and renamed, so it is there whole or not at all. What is brought into one is written
below a directory handle without following a link, and only over what the journal says was there.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.events import FileDelete, FileWrite, Kind
from life.aios.ids import MAIN_BRANCH, check_path_id, derived_event_id
from life.aios.ports.blobs import Blobs
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.aios.ports.working_copies import (
    FileConflict,
    FileDifference,
    FilePlan,
    Position,
    Prefer,
    Recorded,
)
from life.aios.record import SYSTEM, Stream
from life.lago.errors import MergeConflictError
from life.lago.files.comparison import Conflict, compare, merge, text_difference
from life.lago.files.desk import FileDesk
from life.lago.files.manifest import FileEntry, Manifest, is_path
from life.lago.files.workspace import IGNORED, Workspace

_ABSENT: Final = ""
_MAX_TEXT_BYTES: Final = 256 * 1024
"""Longer files are compared by their hashes only."""
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class BranchCopies:
    """Working copies and versions of one journal's sessions. Belongs to one event loop."""

    def __init__(
        self,
        journal: Journal,
        blobs: Blobs,
        clock: Clock,
        entropy: Entropy,
        *,
        agent_id: str,
        workspace_of: Callable[[str], Path],
        branches: Path,
    ) -> None:
        """`workspace_of`: the directory of a session's main branch. `branches`: where those of other branches go."""
        self._desk = FileDesk(journal, blobs, clock, entropy, agent_id=agent_id, actor=SYSTEM)
        self._blobs = blobs
        self._clock = clock
        self._workspace_of = workspace_of
        self._branches = branches
        self._workspaces: dict[Stream, Workspace] = {}

    # Working copies

    def directory(self, stream: Stream) -> str:
        """See WorkingCopies."""
        return str(self._root(stream))

    async def lay_out(self, stream: Stream) -> None:
        """See WorkingCopies."""
        root = self._root(stream)
        if stream.branch_id == MAIN_BRANCH or await asyncio.to_thread(root.is_dir):
            return
        partial = root.with_name(f".{root.name}.partial")
        await asyncio.to_thread(_make_way, partial)
        await self._workspace(stream, partial).write_out()
        await asyncio.to_thread(os.replace, partial, root)

    async def keep(self, stream: Stream) -> None:
        """See WorkingCopies."""
        root = self._root(stream)
        if not await asyncio.to_thread(root.is_dir):
            return
        workspace = self._workspaces.get(stream)
        if workspace is None:
            workspace = self._workspaces[stream] = self._workspace(stream, root)
        try:
            await workspace.take_in()
        except MergeConflictError:
            # Somebody changed the branch's files past its directory. The directory is right: it is read afresh.
            workspace = self._workspaces[stream] = self._workspace(stream, root)
            await workspace.take_in()

    async def written(self, stream: Stream, paths: Sequence[str]) -> Recorded:
        """See WorkingCopies."""
        root = self._root(stream)
        found = await asyncio.to_thread(_contents, root, [path.removeprefix("./").strip("/") for path in paths])
        kinds: list[Kind] = []
        contents: list[bytes] = []
        for path, content in found:
            if content is None:
                kinds.append(FileDelete(path=path))
            else:
                blob = hashlib.sha256(content).hexdigest()
                kinds.append(FileWrite(path=path, blob_hash=blob, size_bytes=len(content)))
                contents.append(content)
        stored = asyncio.get_running_loop().create_task(self._store(contents)) if contents else None
        return Recorded(tuple(kinds), stored)

    async def place(self, stream: Stream, since: int) -> tuple[str, ...]:
        """See WorkingCopies."""
        root = self._root(stream)
        if not await asyncio.to_thread(root.is_dir):
            await self.lay_out(stream)
            return ()
        session_id, branch_id = stream
        view = self._desk.view
        before = await view.manifest(session_id, branch_id, at=since)
        after = await view.manifest(session_id, branch_id)
        left: list[str] = []
        changes = compare(before, after, renames=False)
        for change in sorted(changes, key=lambda each: each.new is not None):  # what goes makes room first
            old = change.old.blob_hash if change.old is not None else _ABSENT
            content = await self._blobs.get(change.new.blob_hash) if change.new is not None else None
            if not await asyncio.to_thread(_bring, root, change.path, old, content):
                left.append(change.path)
        return tuple(sorted(left))

    # Versions

    async def merge_plan(self, source: Position, target: Position, *, prefer: Prefer | None = None) -> FilePlan:
        """See FileVersions."""
        view = self._desk.view
        session_id = target.stream.session_id
        common, at = await view.common_point(session_id, source.stream.branch_id, target.stream.branch_id)
        base = await view.manifest(session_id, common, at=at)
        ours, theirs = await self._manifest(target), await self._manifest(source)
        plain = merge(base, ours, theirs)
        if plain.conflicts and prefer is None:
            return FilePlan((), tuple(_told(conflict) for conflict in plain.conflicts))
        wanted = merge(base, ours, theirs, strategy=prefer).manifest if plain.conflicts else plain.manifest
        return FilePlan(tuple(_between(plain.manifest, wanted)), changed=len(compare(ours, wanted, renames=False)))

    async def restore_plan(self, now: Position, then: Position) -> FilePlan:
        """See FileVersions."""
        present, earlier = await self._manifest(now), await self._manifest(then)
        kinds = _between(present, earlier)
        return FilePlan(tuple(kinds), changed=len(kinds))

    async def differences(self, one: Position, other: Position) -> tuple[FileDifference, ...]:
        """See FileVersions."""
        found = []
        for difference in compare(await self._manifest(one), await self._manifest(other)):
            old, new = difference.old, difference.new
            moved = old is not None and new is not None and old.path != new.path
            found.append(
                FileDifference(
                    change=difference.change,
                    path=difference.path,
                    old_hash=old.blob_hash if old is not None else _ABSENT,
                    new_hash=new.blob_hash if new is not None else _ABSENT,
                    old_path=old.path if moved and old is not None else None,
                    text=await self._text(difference.path, old, new),
                )
            )
        return tuple(found)

    # Inside

    def _root(self, stream: Stream) -> Path:
        session_id, branch_id = stream
        if branch_id == MAIN_BRANCH:
            return self._workspace_of(session_id)
        try:
            name = check_path_id(branch_id)
        except InvalidInputError:  # a branch from another maker's journal
            name = derived_event_id("branch-directory", branch_id)
        return self._branches / check_path_id(session_id) / name

    def _workspace(self, stream: Stream, root: Path) -> Workspace:
        session_id, branch_id = stream
        return Workspace(self._desk, self._blobs, self._clock, root, session_id=session_id, branch=branch_id)

    async def _manifest(self, position: Position) -> Manifest:
        session_id, branch_id = position.stream
        return await self._desk.view.manifest(session_id, branch_id, at=position.sequence)

    async def _store(self, contents: Sequence[bytes]) -> None:
        for content in contents:
            await self._blobs.put(content)

    async def _text(self, path: str, old: FileEntry | None, new: FileEntry | None) -> str | None:
        sides = []
        for entry in (old, new):
            if entry is not None and entry.size_bytes > _MAX_TEXT_BYTES:
                return None
            try:
                sides.append(await self._blobs.get(entry.blob_hash) if entry is not None else b"")
            except NotFoundError:
                return None
        return text_difference(sides[0], sides[1], path=path)


def _told(conflict: Conflict) -> FileConflict:
    base, ours, theirs = (entry.blob_hash if entry is not None else _ABSENT for entry in conflict[1:])
    return FileConflict(path=conflict.path, base=base, ours=ours, theirs=theirs)


def _between(now: Manifest, wanted: Manifest) -> list[Kind]:
    """Events that make one manifest the other."""
    kinds: list[Kind] = []
    for difference in compare(now, wanted, renames=False):
        new = difference.new
        if new is None:
            kinds.append(FileDelete(path=difference.path))
        else:
            kinds.append(
                FileWrite(
                    path=new.path, blob_hash=new.blob_hash, size_bytes=new.size_bytes, content_type=new.content_type
                )
            )
    return kinds


def _make_way(partial: Path) -> None:
    """What a crash left of an earlier attempt goes."""
    if partial.is_symlink() or partial.is_file():
        partial.unlink()
    elif partial.exists():
        shutil.rmtree(partial)
    partial.parent.mkdir(mode=0o700, parents=True, exist_ok=True)


def _contents(root: Path, paths: Sequence[str]) -> list[tuple[str, bytes | None]]:
    """What these paths hold now: manifest path and content, None where there is no file. Links and ignored names are passed
    over, as in a scan of the whole directory."""
    found: list[tuple[str, bytes | None]] = []
    for path in dict.fromkeys(paths):
        full = "/" + path
        if not is_path(full) or not IGNORED.isdisjoint(path.split("/")):
            continue
        try:
            with _folder(root, path, make=False) as (folder, name):
                handle = _open_file(folder, name)
        except FileNotFoundError:
            found.append((full, None))
            continue
        except OSError:
            continue
        with os.fdopen(handle, "rb") as file:
            found.append((full, file.read()))
    return found


def _bring(root: Path, path: str, old: str, content: bytes | None) -> bool:
    """Make a file what it should be, if it holds what the journal says or is right already; False when it is left alone."""
    wanted = hashlib.sha256(content).hexdigest() if content is not None else _ABSENT
    try:
        with _folder(root, path[1:], make=content is not None) as (folder, name):
            now = _hash_in(folder, name)
            if now == wanted:
                return True
            if now != old:
                return False
            if content is None:
                os.unlink(name, dir_fd=folder)
                return True
            _replace(folder, name, content)
            return True
    except FileNotFoundError:
        return content is None
    except OSError:  # a link or a file where a folder should be: somebody else's work
        return False


def _open_file(folder: int, name: str) -> int:
    """A handle of a regular file, for reading; OSError for a link, a folder, a pipe or a device, which is not waited for."""
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return handle


def _hash_in(folder: int, name: str) -> str | None:
    """SHA-256 of a file, `_ABSENT` where there is none, None where something else stands."""
    try:
        handle = _open_file(folder, name)
    except FileNotFoundError:
        return _ABSENT
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replace(folder: int, name: str, content: bytes) -> None:
    """A new file under another name, flushed, then renamed: whole or not at all. It keeps the old one's mode."""
    try:
        mode = stat.S_IMODE(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        mode = 0o644
    scratch = f".life-{hashlib.sha256(name.encode()).hexdigest()[:16]}.new"
    with suppress(FileNotFoundError):
        os.unlink(scratch, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(scratch, flags, 0o600, dir_fd=folder), "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), mode)
        os.fsync(file.fileno())
    os.replace(scratch, name, src_dir_fd=folder, dst_dir_fd=folder)


@contextmanager
def _folder(root: Path, path: str, *, make: bool) -> Iterator[tuple[int, str]]:
    """A handle of the folder that a path is in, no part of the way being a link, and the path's last name."""
    *parents, name = path.split("/")
    handle = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for parent in parents:
            if make:
                with suppress(FileExistsError):
                    os.mkdir(parent, 0o755, dir_fd=handle)
            inner = os.open(parent, _FOLDER, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle, name
    finally:
        os.close(handle)
