"""A directory on disk beside a branch of files (lago.md §5): taken in, written out, watched.

A scan reads names and times, and content only where size, time or inode changed since the last one. What two sides changed is
merged against what the directory held at the last scan, so nobody's file is overwritten unseen. Links, sockets and devices are
not followed: what a session holds never comes from outside the directory.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

from life.aios.errors import ConflictError, InvalidInputError
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.blobs import Blobs
from life.aios.ports.clock import Clock
from life.lago.files.comparison import Difference
from life.lago.files.desk import FileDesk
from life.lago.files.manifest import FileEntry, Manifest, is_path

IGNORED: Final = frozenset(
    {".git", ".hg", ".svn", ".life", ".venv", "__pycache__", "node_modules", "target", ".DS_Store", ".mypy_cache"}
)
"""Names that are passed over wherever they stand."""
_RACY_NS: Final = 2_000_000_000
"""A file changed this recently may change again without its time showing it (coarse clocks): it is read again."""
_PIECE_BYTES: Final = 256 * 1024
_RESCAN_MS: Final = 10_000
_DEBOUNCE_MS: Final = 200


class TakenIn(NamedTuple):
    """What a scan brought into the branch."""

    changes: tuple[Difference, ...]
    sequence: int
    """Of the branch's last event afterwards."""
    passed_over: tuple[str, ...]
    """Paths that are neither files nor folders, or have no name in UTF-8."""


class _Seen(NamedTuple):
    size_bytes: int
    modified_ns: int
    inode: int


class _Known(NamedTuple):
    seen: _Seen
    blob_hash: str


class Workspace:
    """One directory and one branch. Belongs to one event loop."""

    def __init__(
        self,
        desk: FileDesk,
        blobs: Blobs,
        clock: Clock,
        root: Path,
        *,
        session_id: str,
        branch: str = MAIN_BRANCH,
        ignored: frozenset[str] = IGNORED,
    ) -> None:
        self._desk = desk
        self._blobs = blobs
        self._clock = clock
        self._root = root
        self._session_id = session_id
        self._branch = branch
        self._ignored = ignored
        self._known: dict[str, _Known] = {}
        self._base: Manifest | None = None

    async def take_in(self) -> TakenIn:
        """Make the branch what the directory is: one batch of events.

        The first time, the directory wins. Later, what both changed since the last scan is a MergeConflictError that names
        every such path, and nothing is stored; changes that only the branch has stay on the branch.
        """
        if not self._root.is_dir():
            raise InvalidInputError(f"{self._root} is no directory.")
        scanned_ns = self._clock.now_us() * 1_000
        found, passed_over = await asyncio.to_thread(_walk, self._root, self._ignored)
        entries: dict[str, FileEntry] = {}
        known: dict[str, _Known] = {}
        for path, seen in found.items():
            before = self._known.get(path)
            if before is not None and before.seen == seen and seen.modified_ns < scanned_ns - _RACY_NS:
                known[path], blob_hash, size_bytes = before, before.blob_hash, seen.size_bytes
            else:
                try:
                    blob_hash, size_bytes = await self._keep(path)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    raise InvalidInputError(
                        f"{path} can't be read: {error.strerror}.", details={"path": path}
                    ) from None
                known[path] = _Known(seen, blob_hash)
            entries[path] = FileEntry(path, blob_hash, size_bytes, None, 0, 0)
        present = Manifest(entries)
        done = await self._desk.bring_in(self._session_id, present, base=self._base, branch=self._branch)
        self._known, self._base = known, present
        return TakenIn(done.changes, done.sequence, passed_over)

    async def write_out(self, *, at: int | None = None) -> Manifest:
        """Write the branch's files, now or right after an event, into the directory, which has to be empty or not there."""
        manifest = await self._desk.view.manifest(self._session_id, self._branch, at=at)
        await asyncio.to_thread(_make_empty, self._root)
        for entry in manifest.below("/"):
            target = self._root.joinpath(*entry.path[1:].split("/"))
            await asyncio.to_thread(target.parent.mkdir, parents=True, exist_ok=True)
            # Made anew and never through a link: the folder was empty when this began.
            handle = await asyncio.to_thread(
                os.open, target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644
            )
            with os.fdopen(handle, "wb") as file:
                async for piece in self._blobs.stream(entry.blob_hash):
                    await asyncio.to_thread(file.write, piece)
        return manifest

    async def watch(self, *, stop: asyncio.Event | None = None) -> AsyncIterator[TakenIn]:
        """Take in, and again whenever something changes, until `stop` is set. Scans that bring nothing are not told of.
        Notices that the system loses are made good every ten seconds."""
        from watchfiles import awatch

        taken = await self.take_in()
        yield taken
        changes = awatch(
            self._root,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=50,
            stop_event=stop,
            rust_timeout=_RESCAN_MS,
            yield_on_timeout=True,
        )
        async for _ in changes:
            taken = await self.take_in()
            if taken.changes:
                yield taken

    async def _keep(self, path: str) -> tuple[str, int]:
        handle = await asyncio.to_thread(_open, self._root, path)
        try:
            info = await self._blobs.put_stream(_pieces(handle))
        finally:
            await asyncio.to_thread(os.close, handle)
        return info.hash, info.size_bytes


def _walk(root: Path, ignored: frozenset[str]) -> tuple[dict[str, _Seen], tuple[str, ...]]:
    found: dict[str, _Seen] = {}
    passed_over: list[str] = []
    folders: list[tuple[str, str]] = [(str(root), "")]
    while folders:
        folder, prefix = folders.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InvalidInputError(f"{prefix or '/'} can't be read: {error.strerror}.") from None
        for entry in entries:
            if entry.name in ignored:
                continue
            path = f"{prefix}/{entry.name}"
            if not is_path(path):
                passed_over.append(path.encode(errors="backslashreplace").decode())
            elif entry.is_dir(follow_symlinks=False):
                folders.append((entry.path, path))
            elif entry.is_file(follow_symlinks=False):
                try:
                    told = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                found[path] = _Seen(told.st_size, told.st_mtime_ns, told.st_ino)
            else:
                passed_over.append(path)
    return found, tuple(sorted(passed_over))


def _open(root: Path, path: str) -> int:
    """A file below the root, no part of the way being a link: a folder swapped for one meanwhile leads nowhere."""
    parts = path[1:].split("/")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        handle = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileNotFoundError(parts[-1])
    return handle


async def _pieces(handle: int) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(os.read, handle, _PIECE_BYTES):
        yield piece


def _make_empty(root: Path) -> None:
    if root.is_symlink() or (root.exists() and (not root.is_dir() or any(root.iterdir()))):
        raise ConflictError(f"{root} is not empty.", next_step="Name a folder that is empty, or not there yet.")
    root.mkdir(parents=True, exist_ok=True)
