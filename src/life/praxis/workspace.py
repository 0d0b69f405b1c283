"""The boundary: every file a tool touches is opened below the session's directory, or not at all.

Rules (praxis.md §4, §12.3): no absolute path, no `..`, no symbolic link in any component, no device, socket or FIFO,
nothing below a hidden name, no change below a read-only name. A write goes to a temporary file in the same directory
and takes its name by a rename once its bytes are on disk, so that a reader, or the world after a crash, sees the old
content or the new and never a part. Errors name workspace paths only and never tell whether something exists outside.

All methods block; callers put the long ones on a thread (`life.praxis.blocking`).
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import functools
import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple, Self

import msgspec

from life.aios.errors import ToolError
from life.praxis.beneath import open_beneath
from life.praxis.errors import (
    FileAccessError,
    FileChangedError,
    OutsideWorkspaceError,
    PathNotFoundError,
    PolicyViolationError,
    TooLargeError,
    WorkspaceUnavailableError,
    WriteQuotaError,
    WrongFileKindError,
)
from life.praxis.file_locks import FILE_LOCKS, WRITTEN
from life.praxis.paths import split_last

TEMPORARY_PREFIX: Final = ".life-write-"
"""Names of files that are being written. Listings leave them out; a crash may leave one behind, which the same call, if
it is run again, removes."""

HIDDEN_NAMES: Final = (
    ".life",
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".kube",
    ".netrc",
    ".pgpass",
    ".pypirc",
    ".git-credentials",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
)
"""What no tool sees unless the operator says otherwise."""

_BLOCK_BYTES: Final = 1 << 18
_PERMISSION_BITS: Final = 0o777
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY
_REGULAR: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY


class WorkspacePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What tools may touch inside the workspace, and how much at once."""

    hidden_names: tuple[str, ...] = HIDDEN_NAMES
    """Neither read, listed nor written, at any depth: our data directory and the usual places of credentials. A name may
    hold `*`, `?` and `[…]`."""
    read_only_names: tuple[str, ...] = (".git",)
    """Read but not changed, at any depth: what lies there can run commands (hooks, configuration)."""
    max_file_bytes: int = 64 * 1024 * 1024
    """The largest file that is read in part, or replaced."""
    max_write_bytes: int = 8 * 1024 * 1024
    """The largest content of one write."""
    max_written_bytes: int = 4 * 1024 * 1024 * 1024
    """Of all writes of the file tools in one workspace, counted by this process since it started."""
    min_free_bytes: int = 32 * 1024 * 1024
    """What a write must leave free on the disk: the journal, which usually shares it, needs room to go on."""

    def check_read(self, path: str) -> None:
        """PolicyViolationError when the canonical path is hidden."""
        if self.hides(path):
            raise PolicyViolationError(f"'{path}' is not available to tools.")

    def check_write(self, path: str) -> None:
        """PolicyViolationError when the canonical path is hidden or read-only."""
        self.check_read(path)
        if _names_any(path, self.read_only_names):
            raise PolicyViolationError(f"'{path}' may be read but not changed by tools.")
        if split_last(path)[1].startswith(TEMPORARY_PREFIX):
            raise PolicyViolationError(
                f"Names that begin with '{TEMPORARY_PREFIX}' are for files that are being written."
            )

    def hides(self, path: str) -> bool:
        """Whether a canonical path, or a single name, is hidden."""
        return _names_any(path, self.hidden_names)


def _names_any(path: str, names: tuple[str, ...]) -> bool:
    """Whether a component is one of `names`; case and Unicode form do not count, since some directories ignore them."""
    plain, wild = _folded(names)
    parts = _fold(path).split("/")
    return not plain.isdisjoint(parts) or (wild is not None and any(wild.fullmatch(part) for part in parts))


@functools.lru_cache(maxsize=32)
def _folded(names: tuple[str, ...]) -> tuple[frozenset[str], re.Pattern[str] | None]:
    """Names as they are compared, and one expression for those with wildcards."""
    folded = [_fold(name) for name in names]
    wild = [name for name in folded if any(character in name for character in "*?[")]
    plain = frozenset(folded).difference(wild)
    return plain, re.compile("|".join(fnmatch.translate(name) for name in wild)) if wild else None


def _fold(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


class OpenFile(NamedTuple):
    """A regular file, open for reading."""

    fd: int
    size_bytes: int

    def read_up_to(self, limit_bytes: int, offset_bytes: int = 0) -> bytes:
        """At most `limit_bytes` from `offset_bytes` on; fewer at the end of the file."""
        blocks: list[bytes] = []
        while limit_bytes > 0 and (block := os.pread(self.fd, min(limit_bytes, _BLOCK_BYTES), offset_bytes)):
            blocks.append(block)
            offset_bytes += len(block)
            limit_bytes -= len(block)
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)


class Replaced(NamedTuple):
    """What a write did."""

    sha256: str
    created: bool


class Workspace:
    """One session's directory, open. Use it as a context manager; paths are canonical (`life.praxis.paths`)."""

    def __init__(self, root: str, policy: WorkspacePolicy) -> None:
        """Open `root`, an absolute path that the host chose. WorkspaceUnavailableError when it can't be opened."""
        self.policy = policy
        try:
            if not root.startswith("/"):
                raise ValueError("a workspace is an absolute path")
            self._root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY)
        except (OSError, ValueError):
            raise WorkspaceUnavailableError("The workspace directory is missing or can't be opened.") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._root_fd)

    @contextlib.contextmanager
    def open_file(self, path: str) -> Iterator[OpenFile]:
        """A regular file for reading. ToolError leaves as the module says."""
        self.policy.check_read(path)
        fd = self._open(path, _REGULAR)
        try:
            found = os.fstat(fd)
            _require_regular(path, found.st_mode)
            yield OpenFile(fd, found.st_size)
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def open_directory(self, path: str) -> Iterator[int]:
        """The descriptor of a directory, for listing."""
        self.policy.check_read(path)
        fd = self._open(path, _DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)

    def size_bytes(self, path: str) -> int | None:
        """Size of a regular file, None when nothing is at the path."""
        try:
            with self.open_file(path) as opened:
                return opened.size_bytes
        except PathNotFoundError:
            return None

    def content_sha256(self, path: str) -> str | None:
        """SHA-256 (hex) of a regular file's bytes, None when nothing is at the path. TooLargeError past the limit."""
        try:
            with self.open_file(path) as opened:
                self._require_size(path, opened.size_bytes)
                digest = hashlib.sha256()
                offset = 0
                while block := os.pread(opened.fd, _BLOCK_BYTES, offset):
                    digest.update(block)
                    offset += len(block)
                    self._require_size(path, offset)  # it may be growing
                return digest.hexdigest()
        except PathNotFoundError:
            return None

    @contextlib.contextmanager
    def locked(self, path: str) -> Iterator[None]:
        """Hold the file's lock of this process, so that reading it and replacing it are one step among our tools."""
        with FILE_LOCKS.hold((*self._identity(), path)):
            yield

    def replace_file(self, path: str, content: bytes, *, tag: str, expected: str | None = None) -> Replaced:
        """Make `content` the whole content of `path`, at once; parents are created inside the workspace.

        With `expected`, the SHA-256 of what must stand there, FileChangedError when something else does right before the
        new content takes its place.

        `tag` names the temporary file; two writes that may run at the same time need different ones. Permission bits of
        an existing file are kept (set-user-id and its kin are not), its owner where the system lets us. When this
        returns, content and name are on disk; when it raises, the old content is in place.
        """
        self.policy.check_write(path)
        if len(content) > self.policy.max_write_bytes:
            raise TooLargeError(
                f"The content has {len(content)} bytes; one write takes at most {self.policy.max_write_bytes}."
            )
        parent, name = split_last(path)
        if path == ".":
            raise WrongFileKindError("'.' is the workspace itself; name a file in it.")
        self._require_room(len(content))
        parent_fd = self._open_or_create_directory(parent)
        try:
            existing = _existing_regular(parent_fd, name, path)
            if existing is not None:
                self._require_size(path, existing.st_size)
            with _temporary_file(parent_fd, content, existing=existing, name=f"{TEMPORARY_PREFIX}{tag}") as temporary:
                if expected is not None and self.content_sha256(path) != expected:
                    raise FileChangedError(f"'{path}' was changed by somebody else meanwhile. Nothing was written.")
                os.rename(temporary, name, src_dir_fd=parent_fd, dst_dir_fd=parent_fd)
            os.fsync(parent_fd)
            WRITTEN.add(self._identity(), len(content))
            return Replaced(hashlib.sha256(content).hexdigest(), created=existing is None)
        except OSError as failure:
            raise _access_error(path, failure) from None
        finally:
            os.close(parent_fd)

    def _identity(self) -> tuple[int, int]:
        """Device and inode of the workspace: the same for every way to name it."""
        root = os.fstat(self._root_fd)
        return root.st_dev, root.st_ino

    def _require_room(self, size_bytes: int) -> None:
        """WriteQuotaError when this write is one too many, for the policy or for the disk."""
        if WRITTEN.total(self._identity()) + size_bytes > self.policy.max_written_bytes:
            raise WriteQuotaError(f"The tools may write {self.policy.max_written_bytes} bytes here, and have done so.")
        disk = os.fstatvfs(self._root_fd)
        if disk.f_blocks and disk.f_bavail * disk.f_frsize - size_bytes < self.policy.min_free_bytes:
            raise WriteQuotaError("The disk is nearly full; nothing was written.")

    def _open(self, path: str, flags: int) -> int:
        try:
            return open_beneath(self._root_fd, path, flags)
        except OSError as failure:
            raise self._explain(path, failure) from None

    def _open_or_create_directory(self, path: str) -> int:
        """Descriptor of a directory, its missing parts created one by one relative to the part before."""
        current = self._open(".", _DIRECTORY)
        walked: list[str] = []
        for name in () if path == "." else path.split("/"):
            walked.append(name)
            try:
                below = _enter_or_create(current, name)
            except OSError as failure:
                raise self._explain("/".join(walked), failure) from None
            finally:
                os.close(current)
            current = below
        return current

    def _require_size(self, path: str, size_bytes: int) -> None:
        if size_bytes > self.policy.max_file_bytes:
            raise TooLargeError(f"'{path}' is larger than {self.policy.max_file_bytes} bytes.")

    def _explain(self, path: str, failure: OSError) -> ToolError:
        """Why a path could not be opened, found by walking it without following anything."""
        current = os.open(".", os.O_PATH | os.O_DIRECTORY, dir_fd=self._root_fd)
        walked = ""
        try:
            parts = path.split("/")
            for index, name in enumerate(parts):
                walked = f"{walked}/{name}" if walked else name
                found = os.stat(name, dir_fd=current, follow_symlinks=False)
                if stat.S_ISLNK(found.st_mode):
                    return _link_error(walked, os.readlink(name, dir_fd=current))
                if index < len(parts) - 1:
                    if not stat.S_ISDIR(found.st_mode):
                        return WrongFileKindError(f"'{walked}' is not a directory.")
                    below = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=current)
                    os.close(current)
                    current = below
                elif failure.errno in (errno.ENOTDIR, errno.ENXIO, errno.EISDIR):
                    return WrongFileKindError(f"'{path}' is {_kind_of(found.st_mode)}.")
        except FileNotFoundError:
            return PathNotFoundError(f"'{path}' does not exist in the workspace.")
        except OSError as second:
            return _access_error(path, second)
        finally:
            os.close(current)
        return _access_error(path, failure)


def _enter_or_create(parent_fd: int, name: str) -> int:
    """Descriptor of a subdirectory, created (and its name put on disk) when missing. OSError as the kernel says."""
    try:
        return open_beneath(parent_fd, name, _DIRECTORY)
    except FileNotFoundError:
        pass
    with contextlib.suppress(FileExistsError):  # somebody else was faster; fine if it is a directory
        os.mkdir(name, dir_fd=parent_fd)
        os.fsync(parent_fd)
    return open_beneath(parent_fd, name, _DIRECTORY)


def _existing_regular(parent_fd: int, name: str, path: str) -> os.stat_result | None:
    """What stands at the name now, None for nothing. Anything but a regular file is refused."""
    try:
        found = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found.st_mode):
        raise _link_error(path, os.readlink(name, dir_fd=parent_fd))
    _require_regular(path, found.st_mode)
    return found


@contextlib.contextmanager
def _temporary_file(parent_fd: int, content: bytes, *, existing: os.stat_result | None, name: str) -> Iterator[str]:
    """The content in a temporary file, on disk. The block renames it; when the block fails, it is removed."""
    with contextlib.suppress(FileNotFoundError):  # left by a run of the same call that was killed
        os.unlink(name, dir_fd=parent_fd)
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666, dir_fd=parent_fd)
    try:
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(fd, view) :]
            if existing is not None:
                _keep_owner_and_mode(fd, existing)
            os.fsync(fd)
        finally:
            os.close(fd)
        yield name
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=parent_fd)
        raise


def _keep_owner_and_mode(fd: int, existing: os.stat_result) -> None:
    """Owner first: changing it clears bits. An owner that we may not give stays ours."""
    own = os.fstat(fd)
    if (own.st_uid, own.st_gid) != (existing.st_uid, existing.st_gid):
        with contextlib.suppress(PermissionError):
            os.fchown(fd, existing.st_uid, existing.st_gid)
    os.fchmod(fd, stat.S_IMODE(existing.st_mode) & _PERMISSION_BITS)


def _require_regular(path: str, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise WrongFileKindError(f"'{path}' is a directory.")
    if not stat.S_ISREG(mode):
        raise WrongFileKindError(f"'{path}' is {_kind_of(mode)}; tools work on regular files only.")


def _kind_of(mode: int) -> str:
    """A file kind in words."""
    for is_kind, words in (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISREG, "a file, not a directory"),
        (stat.S_ISFIFO, "a FIFO"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISLNK, "a symbolic link"),
    ):
        if is_kind(mode):
            return words
    return "a device"


def _link_error(path: str, target: str) -> OutsideWorkspaceError:
    """A link is refused; where it leads is told only when that is a relative path without `..`, so inside."""
    parts = target.split("/")
    if target.startswith("/") or ".." in parts or not target.isprintable():
        return OutsideWorkspaceError(f"'{path}' is a symbolic link that may leave the workspace.")
    parent = split_last(path)[0]
    inside = target if parent == "." else f"{parent}/{target}"
    return OutsideWorkspaceError(
        f"'{path}' is a symbolic link, and tools do not follow links. It points to '{inside}'; use that path."
    )


def _access_error(path: str, failure: OSError) -> ToolError:
    """The operating system's reason without its paths."""
    if failure.errno == errno.ENOENT:
        return PathNotFoundError(f"'{path}' does not exist in the workspace.")
    return FileAccessError(f"'{path}': {os.strerror(failure.errno or errno.EIO)}.")
