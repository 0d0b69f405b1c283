"""What was typed, kept in the data directory for the next time: mode 0600, the newest 2,000 entries.

Lines that begin with a blank are not kept, and answers to questions neither.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec
from prompt_toolkit.history import History

FILE_NAME: Final = "shell-history"
MOST_ENTRIES: Final = 2_000


class TypedHistory(History):
    """One JSON string a line; a line that is none is passed over."""

    def __init__(self, path: Path, *, keeps: Callable[[], bool] = lambda: True) -> None:
        """`keeps`: whether what is typed now is worth keeping."""
        super().__init__()
        self._path = path
        self._keeps = keeps

    def load_history_strings(self) -> Iterable[str]:
        """Newest first. A file that has grown too long is cut."""
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            return
        if len(lines) > MOST_ENTRIES * 2:
            lines = lines[-MOST_ENTRIES:]
            self._write(b"".join(line + b"\n" for line in lines), os.O_TRUNC)
        for line in reversed(lines[-MOST_ENTRIES:]):
            try:
                yield msgspec.json.decode(line, type=str)
            except msgspec.DecodeError:
                continue

    def append_string(self, string: str) -> None:
        """Keep an entry, unless it says not to, or is the last one again."""
        if not self._keeps() or string.startswith(" ") or not string.strip():
            return
        if self._loaded_strings[:1] != [string]:
            super().append_string(string)

    def store_string(self, string: str) -> None:
        """To the end of the file."""
        self._write(msgspec.json.encode(string) + b"\n", os.O_APPEND)

    def _write(self, content: bytes, how: int) -> None:
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | how, 0o600)
        except OSError:
            return  # a full disk or a folder that is gone: typing goes on
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
