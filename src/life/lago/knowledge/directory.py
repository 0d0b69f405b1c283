"""Notes of a folder, as an Obsidian vault is one (lago.md §13, §16). Nothing is ever written there.

Hidden files and folders (`.obsidian`, `.git`, `.trash`) are passed over, and so are symbolic links: nobody is led out of the vault
by one, also not when a folder is swapped for a link between the scan and the reading. A change is seen by a file's times and size;
every scan looks at all of them. A file that was changed within the last two seconds may change again without its times showing it (clocks of
file systems are coarse), so the next scan reads it once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from life.aios.ports.clock import Clock
from life.lago.files.manifest import is_path
from life.lago.knowledge.errors import KnowledgeSourceError
from life.lago.knowledge.note import MAX_NOTE_BYTES, is_note_path
from life.lago.knowledge.source import Changes, NoteFile, Written

DEEPEST: Final = 64
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_RACY_NS: Final = 2_000_000_000


class DirectoryNotes:
    """The NoteSource port over a folder."""

    def __init__(self, root: Path, clock: Clock) -> None:
        """KnowledgeSourceError when `root` is no folder."""
        if not root.is_dir():
            raise KnowledgeSourceError(f"{root} is no folder.", next_step="Name the folder of your notes with --vault.")
        self.root = root
        self._clock = clock

    async def changes(self, cursor: str | None) -> Changes:
        """See NoteSource. Always complete."""
        files = await asyncio.to_thread(self._scan, self._clock.now_us() * 1000, strict=False)
        return Changes("scan", True, tuple(map(Written, files)))

    async def scan(self) -> list[NoteFile]:
        """Every note of the folder, none left out: KnowledgeSourceError when a part of it can't be read."""
        return await asyncio.to_thread(self._scan, self._clock.now_us() * 1000, strict=True)

    async def contents(self, files: Sequence[NoteFile]) -> list[bytes | str]:
        """See NoteSource."""
        return await asyncio.to_thread(lambda: [self._read(file.path) for file in files])

    def _scan(self, now_ns: int, *, strict: bool) -> list[NoteFile]:
        found: list[NoteFile] = []
        waiting = [("", 0)]
        while waiting:
            folder, depth = waiting.pop()
            try:
                entries = list(os.scandir(self.root / folder[1:]))
            except OSError as error:
                if not folder or strict:
                    raise KnowledgeSourceError(f"{self.root}{folder} can't be read: {error.strerror}.") from None
                continue
            for entry in entries:
                path = f"{folder}/{entry.name}"
                if entry.name.startswith(".") or not is_path(path):
                    continue
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if depth < DEEPEST:
                            waiting.append((path, depth + 1))
                    elif is_note_path(path) and entry.is_file(follow_symlinks=False):
                        told = entry.stat(follow_symlinks=False)
                        version = f"{told.st_mtime_ns}-{told.st_ctime_ns}-{told.st_size}"
                        if max(told.st_mtime_ns, told.st_ctime_ns) > now_ns - _RACY_NS:
                            version += f"-{now_ns}"
                        found.append(NoteFile(path, version, 0, told.st_mtime_ns // 1000))
                except FileNotFoundError:  # gone in between
                    continue
        return found

    def _read(self, path: str) -> bytes | str:
        try:
            with os.fdopen(open_below(self.root, path[1:].split("/")), "rb") as file:
                return file.read(MAX_NOTE_BYTES + 1)
        except OSError as error:
            return error.strerror or "can't be read"


def open_below(root: Path, parts: Sequence[str]) -> int:
    """A descriptor of a file below the root, to read; no step of the way is a link. OSError."""
    folder = open_folder(root, parts[:-1])
    try:
        descriptor = os.open(parts[-1], _FILE, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file")
    return descriptor


def open_folder(root: Path, parts: Sequence[str], *, create: bool = False) -> int:
    """A descriptor of a folder below the root, made where it is missing and `create` is said; no step of the way is a link. OSError."""
    folder = os.open(root, _FOLDER)
    for part in parts:
        outer = folder
        try:
            if create:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=outer)
            folder = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=outer)
        finally:
            os.close(outer)
    return folder
