"""What the file tools of one process know of each other: who is writing which file, and how much was written where.

The data directory belongs to one process (`life.host.data_directory`), so a lock of this process is enough among our
tools. What runs beside them (a command, an editor) takes no lock; a writer therefore looks at the file once more right
before it replaces it (`Workspace.replace_file`).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Hashable, Iterator
from typing import Final


class FileLocks:
    """One lock per file that somebody is working on; none for the others."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held: dict[Hashable, tuple[threading.Lock, int]] = {}

    @property
    def free(self) -> bool:
        """Whether nobody holds, or waits for, any lock."""
        return not self._held

    @contextlib.contextmanager
    def hold(self, key: Hashable) -> Iterator[None]:
        """Wait for the file's lock and hold it."""
        with self._guard:
            lock, waiting = self._held.get(key, (threading.Lock(), 0))
            self._held[key] = lock, waiting + 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, waiting = self._held.pop(key)
                if waiting > 1:
                    self._held[key] = lock, waiting - 1


class WrittenBytes:
    """How many bytes the file tools have written to each workspace since this process started."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._totals: dict[tuple[int, int], int] = {}

    def total(self, workspace: tuple[int, int]) -> int:
        """Of one workspace, named by device and inode."""
        return self._totals.get(workspace, 0)

    def add(self, workspace: tuple[int, int], size_bytes: int) -> None:
        """Count a write."""
        with self._guard:
            self._totals[workspace] = self._totals.get(workspace, 0) + size_bytes


FILE_LOCKS: Final = FileLocks()
WRITTEN: Final = WrittenBytes()
