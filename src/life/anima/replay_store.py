"""Tokens are used once: what was used is remembered until it would be refused as expired anyway (AN-VER-6).

`FileReplayStore` survives a killed process: a claim is written to the file before it is granted. Records are 32 bytes (24 of a
SHA-256 over issuer, audience and jti, 8 of the expiry in Unix seconds, big-endian); the file is written anew without expired
ones when it has grown. One process holds the file.

A power failure can lose the last records, since claims do not wait for the disk. Therefore the file names the machine's boot;
when that changed, tokens issued before this process opened the store are refused for as long as they could live. They live
for a minute, so nobody notices but a replay.

Both stores are bounded. When they are full, they refuse instead of forgetting.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from pathlib import Path
from typing import Final, Protocol

from life.aios.errors import ConflictError
from life.aios.ports.clock import Clock
from life.anima.errors import InsecureFileError, ReplayStoreFullError
from life.anima.private_files import make_private_folder, sync_folder

MAX_ENTRIES: Final = 100_000

_MAGIC: Final = b"ANIMARPL1"
_BOOT_BYTES: Final = 36
_HEADER_BYTES: Final = 64
_RECORD_BYTES: Final = 32
_KEY_BYTES: Final = 24
_REWRITE_BYTES: Final = 2 * MAX_ENTRIES * _RECORD_BYTES
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class ReplayStore(Protocol):
    """Remembers which tokens were used."""

    def claim(self, key: bytes, *, issued_at_s: int, forget_at_s: int) -> bool:
        """True for the first claim of `key` (24 bytes, `replay_key`), False for every later one until `forget_at_s`.

        ReplayStoreFullError when it can't be remembered.
        """
        ...


def replay_key(issuer: str, audience: str, jti: str) -> bytes:
    """What identifies a token: 24 bytes, the same for the same three texts."""
    parts = (issuer.encode(), audience.encode(), jti.encode())
    return hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).digest()[:_KEY_BYTES]


class MemoryReplayStore:
    """The store without a file: it forgets everything with its process, so it is for tests and short tools."""

    def __init__(self, clock: Clock, *, max_entries: int = MAX_ENTRIES) -> None:
        self._clock = clock
        self._max_entries = max_entries
        self._used: dict[bytes, int] = {}

    def claim(self, key: bytes, *, issued_at_s: int, forget_at_s: int) -> bool:
        """See ReplayStore."""
        if key in self._used:
            return False
        self._make_room()
        self._used[key] = forget_at_s
        return True

    def __len__(self) -> int:
        return len(self._used)

    def _make_room(self) -> None:
        if len(self._used) < self._max_entries:
            return
        now_s = self._clock.now_us() // 1_000_000
        self._used = {key: due for key, due in self._used.items() if due > now_s}
        if len(self._used) >= self._max_entries:
            raise ReplayStoreFullError("Too many tokens are in use at once; try again in a minute.")


class FileReplayStore(MemoryReplayStore):
    """The store in a file. Make one with `open`; close it."""

    def __init__(self, path: Path, descriptor: int, clock: Clock, *, max_entries: int = MAX_ENTRIES) -> None:
        """Callers use `open`."""
        super().__init__(clock, max_entries=max_entries)
        self._path = path
        self._descriptor = descriptor
        self._size_bytes = 0
        self._not_before_s = 0
        self._header = b""

    @classmethod
    def open(
        cls, path: Path, *, clock: Clock, max_entries: int = MAX_ENTRIES, boot_id: str | None = None
    ) -> FileReplayStore:
        """The store in `path` (mode 0600), made when there is none. ConflictError while another process holds it."""
        make_private_folder(path.parent)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise InsecureFileError(f"{path} is a symbolic link.", details={"path": str(path)}) from None
            raise
        store = cls(path, descriptor, clock, max_entries=max_entries)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_ino != path.stat().st_ino:  # its holder just replaced it
                raise BlockingIOError
            store._load(boot_id or _boot_id())
        except BlockingIOError:
            os.close(descriptor)
            raise ConflictError(f"Another process uses {path}.", next_step="Stop it first.") from None
        except BaseException:
            os.close(descriptor)
            raise
        return store

    def claim(self, key: bytes, *, issued_at_s: int, forget_at_s: int) -> bool:
        """See ReplayStore. The record is written before the claim is granted."""
        if issued_at_s < self._not_before_s:
            return False
        if not super().claim(key, issued_at_s=issued_at_s, forget_at_s=forget_at_s):
            return False
        record = key + forget_at_s.to_bytes(8, "big")
        try:
            if self._size_bytes >= _REWRITE_BYTES:
                self._rewrite()
            else:
                self._append(record)
        except OSError as error:
            del self._used[key]
            raise ReplayStoreFullError(f"The use of a token can't be written down: {error.strerror}.") from None
        return True

    def _append(self, record: bytes) -> None:
        if os.write(self._descriptor, record) != len(record):  # a full disk took a part: nothing may follow that
            os.ftruncate(self._descriptor, self._size_bytes)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size_bytes += len(record)

    def close(self) -> None:
        """Let another process have the file. May be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _load(self, boot_id: str) -> None:
        content = self._read()
        self._header = (_MAGIC + boot_id.encode().ljust(_BOOT_BYTES)[:_BOOT_BYTES]).ljust(_HEADER_BYTES, b"\0")
        now_s = self._clock.now_us() // 1_000_000
        if content and not content.startswith(self._header):
            self._not_before_s = now_s  # another boot, or not readable: what was used before may be missing
        if content.startswith(_MAGIC):
            for at in range(_HEADER_BYTES, len(content) - _RECORD_BYTES + 1, _RECORD_BYTES):
                due_s = int.from_bytes(content[at + _KEY_BYTES : at + _RECORD_BYTES], "big")
                if due_s > now_s:
                    self._used[content[at : at + _KEY_BYTES]] = due_s
        self._rewrite()

    def _read(self) -> bytes:
        size_bytes = os.fstat(self._descriptor).st_size
        return os.pread(self._descriptor, min(size_bytes, 4 * _REWRITE_BYTES), 0)

    def _rewrite(self) -> None:
        """A new file with what must still be remembered, moved over the old one."""
        now_s = self._clock.now_us() // 1_000_000
        self._used = {key: due for key, due in self._used.items() if due > now_s}
        content = self._header + b"".join(key + due.to_bytes(8, "big") for key, due in self._used.items())
        temporary = self._path.with_name(self._path.name + ".new")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(
            temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remaining = memoryview(content)
            while remaining:
                remaining = remaining[os.write(descriptor, remaining) :]
            os.fsync(descriptor)
            temporary.replace(self._path)
        except BaseException:
            os.close(descriptor)
            raise
        sync_folder(self._path.parent)
        os.close(self._descriptor)
        self._descriptor, self._size_bytes = descriptor, len(content)


def _boot_id() -> str:
    """What names this boot of the machine; the same text everywhere where the system does not tell."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return "unknown"
