"""A disk that remembers every write and flush, so that a loss of power can be played back at any moment.

`RecordedDisk` stands in front of SQLite's own file layer. Everything that reaches a file goes into one log, in order, with
the test's own notes (what was acknowledged) in between. `files_after_power_loss` gives the files as a disk may hold them
when power is lost after so many entries: all that was flushed, and of what was not flushed any part, in sectors of 512
bytes (writes between two flushes may reach the disk in any order, or not at all). A deletion is sure once anything was
flushed after it.

It can also refuse: a write that finds no room, a flush that fails.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import apsw

SECTOR_BYTES = 512


class Entry(NamedTuple):
    """One thing that happened: to a file, or a note of the test."""

    what: Literal["write", "truncate", "delete", "flush", "note"]
    file: str
    offset: int = 0
    data: bytes = b""


class RecordedDisk(apsw.VFS):
    """SQLite's file layer with a log. As a context it is what every new connection uses."""

    def __init__(self) -> None:
        super().__init__("recorded", "unix", makedefault=True)
        self.log: list[Entry] = []
        self.bytes_read = 0
        self.refuse_write_in: int | None = None
        """How many more writes to the write-ahead log there is room for. (SQLite keeps a full disk during a checkpoint to
        itself, but an exception of this layer would show through.)"""
        self.fail_flush_in: int | None = None
        """How many more flushes succeed; the one after fails."""

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        """A file that writes into the log."""
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        return _RecordedFile(self, name, flags, Path(path).name)

    def xDelete(self, name: str, sync_folder: bool) -> None:  # noqa: N802
        super().xDelete(name, sync_folder)
        self.log.append(Entry("delete", Path(name).name))

    def note(self, file: str, data: bytes) -> None:
        """Something that the test wants to remember at this moment."""
        self.log.append(Entry("note", file, data=data))


class _RecordedFile(apsw.VFSFile):
    def __init__(self, disk: RecordedDisk, name: str | apsw.URIFilename | None, flags: list[int], file: str) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        self._file = file

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self._disk.bytes_read += amount
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        disk = self._disk
        if disk.refuse_write_in is not None and self._file.endswith("-wal"):
            disk.refuse_write_in -= 1
            if disk.refuse_write_in < 0:
                raise apsw.FullError("no room")
        super().xWrite(data, offset)
        disk.log.append(Entry("write", self._file, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        super().xTruncate(size)
        self._disk.log.append(Entry("truncate", self._file, size))

    def xSync(self, flags: int) -> None:  # noqa: N802
        disk = self._disk
        if disk.fail_flush_in is not None:
            disk.fail_flush_in -= 1
            if disk.fail_flush_in < 0:
                raise apsw.IOError("the flush failed")
        super().xSync(flags)
        disk.log.append(Entry("flush", self._file))


@contextmanager
def recorded_disk() -> Iterator[RecordedDisk]:
    """A disk that all new connections of this process use, until the block ends."""
    disk = RecordedDisk()
    try:
        yield disk
    finally:
        disk.unregister()


def files_after_power_loss(log: list[Entry], chance: random.Random) -> dict[str, bytes]:
    """What the disk may hold of each file when power is lost after these entries."""
    flushed: dict[str, bytearray] = {}
    waiting: dict[str, list[Entry]] = {}
    deleted: dict[str, bytearray] = {}
    for entry in log:
        if entry.what == "note":
            continue
        if entry.what == "delete":
            deleted[entry.file] = flushed.pop(entry.file, bytearray())
            waiting.pop(entry.file, None)
            continue
        flushed.setdefault(entry.file, bytearray())
        if entry.what == "flush":
            deleted.clear()
            for earlier in waiting.pop(entry.file, []):
                _apply(flushed[entry.file], earlier)
        else:
            waiting.setdefault(entry.file, []).append(entry)
    for file, data in deleted.items():
        if file not in flushed and chance.random() < 0.5:
            flushed[file] = data
    for file, entries in waiting.items():
        for entry in entries:
            if entry.what == "truncate":
                if chance.random() < 0.5:
                    _apply(flushed[file], entry)
                continue
            for start in range(0, len(entry.data), SECTOR_BYTES):
                if chance.random() < 0.5:
                    part = entry.data[start : start + SECTOR_BYTES]
                    _apply(flushed[file], Entry("write", file, entry.offset + start, part))
    return {file: bytes(data) for file, data in flushed.items()}


def _apply(data: bytearray, entry: Entry) -> None:
    if entry.what == "truncate":
        del data[entry.offset :]
        return
    end = entry.offset + len(entry.data)
    if len(data) < end:
        data.extend(bytes(end - len(data)))
    data[entry.offset : end] = entry.data
