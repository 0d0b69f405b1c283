"""Which commands were begun, on disk before they begin.

A command can't be repeated and leaves no trace that says whether it ran. So its call's key is written down, durably, right before it starts,
in a file of the session outside the workspace. After a crash a key that is not there means: it never started. That conclusion is drawn
only from the very file that was there when the call was prepared (it has a name of its own in its first line), so a lost or restored
data directory never makes a command run twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Final

from life.aios.ports.clock import Entropy

_KEPT: Final = 512
_FOLD_AT_BYTES: Final = 128 * 1024


class StartMarks:
    """Marks of all sessions, one file each. All methods block."""

    def __init__(self, directory: Path, entropy: Entropy) -> None:
        """`directory` is made when the first mark is."""
        self._directory = directory
        self._entropy = entropy

    def book(self, session_id: str) -> str:
        """The name of the session's file, which is made when it is not there. OSError."""
        file = self._file(session_id)
        lines = _read(file)
        if lines:
            return lines[0]
        name = self._entropy.token_bytes(16).hex()
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        _replace(file, [name])
        return name

    def mark(self, session_id: str, key: str) -> None:
        """Write down, durably, that the call with this key begins now. OSError."""
        self.book(session_id)
        file = self._file(session_id)
        with file.open("ab", buffering=0) as opened:
            opened.write(f"{_digest(key)}\n".encode())
            os.fdatasync(opened.fileno())
            size_bytes = opened.tell()
        if size_bytes > _FOLD_AT_BYTES:
            lines = _read(file)
            _replace(file, [lines[0], *lines[-_KEPT:]])

    def was_begun(self, session_id: str, key: str, book: str) -> bool | None:
        """Whether the call with this key was begun; None when it can't be told."""
        lines = _read(self._file(session_id))
        if not lines or lines[0] != book:
            return None
        return _digest(key) in lines[1:]

    def _file(self, session_id: str) -> Path:
        return self._directory / f"{hashlib.sha256(session_id.encode()).hexdigest()[:32]}.started"


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _read(file: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return file.read_text("ascii", errors="replace").splitlines()
    return []


def _replace(file: Path, lines: list[str]) -> None:
    temporary = file.with_suffix(".new")
    with temporary.open("wb") as opened:
        opened.write("".join(f"{line}\n" for line in lines).encode())
        opened.flush()
        os.fsync(opened.fileno())
    temporary.replace(file)
    parent = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
