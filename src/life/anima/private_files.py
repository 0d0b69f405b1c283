"""Files that hold secrets, and the public file beside them.

A private file has mode 0600 from the moment it exists, whatever the umask; it is written whole or not at all (a new file
is filled, synced, and moved into place, and the folder is synced); it is never read through a link, when it belongs to
somebody else, or when others may read it (AN-KEY-2). `FolderLock` lets one process at a time change a folder.

These calls block for milliseconds; asynchronous callers run them in a thread.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Final

from life.anima.errors import InsecureFileError

MAX_FILE_BYTES: Final = 1 << 20
"""More than any file read here may hold."""

_LOCK_NAME: Final = ".lock"
_TEMPORARY_SUFFIX: Final = ".new"


def make_private_folder(folder: Path) -> None:
    """Make `folder` (mode 0700) and its missing parents, durably. An existing folder keeps its mode."""
    missing = []
    step = folder
    while not step.exists():
        missing.append(step)
        step = step.parent
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
        path.chmod(0o700)  # a umask may have taken bits away
        sync_folder(path.parent)
    if not folder.is_dir():
        raise InsecureFileError(f"{folder} is not a folder.", details={"path": str(folder)})


def write_private(path: Path, content: bytes | bytearray) -> None:
    """Replace `path` by a file of mode 0600 with `content`: afterwards it holds the old bytes or the new, never a part.

    The caller holds the folder's lock. OSError when the disk refuses.
    """
    _write(path, content, 0o600)


def write_public(path: Path, content: bytes) -> None:
    """As `write_private`, with mode 0644."""
    _write(path, content, 0o644)


def read_private(path: Path) -> bytearray | None:
    """The bytes of a private file in a buffer that is the caller's to wipe, or None when there is no such file.

    InsecureFileError when it is a link or not a plain file, is owned by another user, or may be used by group or others.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _insecure(path, "is a symbolic link", "Replace the link by the file itself.") from None
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _insecure(path, "is not a plain file", "Restore the file from a backup.")
        if status.st_uid != os.geteuid():
            raise _insecure(path, "belongs to another user", f"Make it belong to the user that runs this: chown {path}")
        if status.st_mode & 0o077:
            raise _insecure(path, "may be read or changed by other users", f"chmod 600 {path}")
        return _read_all(descriptor, path)
    finally:
        os.close(descriptor)


def read_public(path: Path) -> bytes | None:
    """The bytes of a public file, or None when there is none."""
    try:
        with path.open("rb", buffering=0) as opened:
            return bytes(_read_all(opened.fileno(), path))
    except FileNotFoundError:
        return None


class FolderLock:
    """Waits for, and holds, the right to change a folder, against other processes and other threads.

    The lock ends with the process, however it ends. The lock file stays.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _LOCK_NAME
        self._descriptor = -1

    def __enter__(self) -> FolderLock:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(self._descriptor, 0o600)  # a umask may have taken bits away
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except BaseException:
            os.close(self._descriptor)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def _write(path: Path, content: bytes | bytearray, mode: int) -> None:
    temporary = path.with_name(path.name + _TEMPORARY_SUFFIX)
    temporary.unlink(missing_ok=True)  # left over from a crash; the lock says nobody is writing it
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, mode)  # a umask may have taken bits away
        remaining = memoryview(content)
        while remaining:
            remaining = remaining[os.write(descriptor, remaining) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.replace(path)
    sync_folder(path.parent)


def _read_all(descriptor: int, path: Path) -> bytearray:
    size_bytes = os.fstat(descriptor).st_size
    if size_bytes > MAX_FILE_BYTES:
        raise InsecureFileError(f"{path} is far too large for what it should hold.", details={"path": str(path)})
    content = bytearray(size_bytes)
    filled = 0
    while filled < size_bytes and (count := os.readv(descriptor, [memoryview(content)[filled:]])):
        filled += count
    del content[filled:]
    return content


def sync_folder(folder: Path) -> None:
    """Make what was created, moved or deleted in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _insecure(path: Path, fault: str, next_step: str) -> InsecureFileError:
    return InsecureFileError(f"{path} {fault}.", next_step=next_step, details={"path": str(path)})
