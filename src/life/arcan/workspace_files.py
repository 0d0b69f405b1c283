"""Looking into a session's workspace from outside: a list of its files, and the content of one.

Every step of a path is opened beneath the directory before it and never through a symbolic link, so nothing outside the workspace can be
read, whatever an agent put there. Only regular files are listed and read.
"""

from __future__ import annotations

import os
import stat
from typing import Final

import msgspec

from life.aios.errors import InvalidInputError, NotFoundError

MOST_FILES: Final = 10_000
MOST_BYTES: Final = 8 * 1_048_576
_DEEPEST: Final = 64
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class WorkspaceFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file. `modified_us` is microseconds since the epoch."""

    path: str
    size_bytes: int
    modified_us: int


def list_files(root: str) -> list[WorkspaceFile]:
    """The regular files beneath `root` by path, 10,000 at most. Names that are not UTF-8 are left out."""
    found: list[WorkspaceFile] = []
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _collect(descriptor, "", 0, found)
    finally:
        os.close(descriptor)
    return sorted(found, key=lambda file: file.path)


def read_file(root: str, path: str) -> bytes:
    """The content of one file; NotFoundError when there is no such regular file, InvalidInputError for one over 8 MiB."""
    parts = path.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts) or len(parts) > _DEEPEST:
        raise NotFoundError("There is no such file in the workspace.")
    opened = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        for part in parts[:-1]:
            opened.append(os.open(part, _DIRECTORY, dir_fd=opened[-1]))
        opened.append(os.open(parts[-1], _FILE, dir_fd=opened[-1]))
        known = os.fstat(opened[-1])
        if not stat.S_ISREG(known.st_mode):
            raise NotFoundError("There is no such file in the workspace.")
        if known.st_size > MOST_BYTES:
            raise InvalidInputError(f"The file is larger than {MOST_BYTES} bytes.")
        with os.fdopen(os.dup(opened[-1]), "rb") as file:
            return file.read(MOST_BYTES)
    except (OSError, ValueError):
        raise NotFoundError("There is no such file in the workspace.") from None
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _collect(directory: int, prefix: str, depth: int, found: list[WorkspaceFile]) -> None:
    with os.scandir(directory) as entries:
        for entry in entries:
            if len(found) >= MOST_FILES:
                return
            path = f"{prefix}{entry.name}"
            try:
                path.encode()
                known = entry.stat(follow_symlinks=False)
            except (OSError, UnicodeEncodeError):
                continue  # gone meanwhile, or a name that no answer can hold
            if stat.S_ISREG(known.st_mode):
                size, changed = known.st_size, known.st_mtime_ns // 1000
                found.append(WorkspaceFile(path=path, size_bytes=size, modified_us=changed))
            elif stat.S_ISDIR(known.st_mode) and depth < _DEEPEST:
                _descend(directory, entry.name, path, depth, found)


def _descend(directory: int, name: str, path: str, depth: int, found: list[WorkspaceFile]) -> None:
    try:
        inner = os.open(name, _DIRECTORY, dir_fd=directory)
    except OSError:
        return
    try:
        _collect(inner, f"{path}/", depth + 1, found)
    finally:
        os.close(inner)
