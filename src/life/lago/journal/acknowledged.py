"""The mark beside the journal's file: up to where appends were acknowledged (`<journal>-mark`, 3 kB).

SQLite takes a damaged last commit in the write-ahead log for one that was cut off by a crash, and drops it without a word;
the same if somebody deletes the log. So whoever commits writes a mark after the commit's flush and before the answer: the
position and digest of the newest event. Opening the journal looks for that event, and if it is not there, says so.

The mark is not flushed; that would cost a second flush for every commit. It therefore holds

    after a crash of the process (the system's cache survives): for every acknowledged commit
    after a crash of the system or a power loss: for whatever the system had written back by itself, seconds before

and it never speaks of an event that was not on disk, because it is written after the flush. More is not possible with one
flush per commit: writes between two flushes reach the disk in any order or not at all, so "the mark arrived, and part of the
commit did not, before anybody was told" leaves the same bytes as "the commit was acknowledged, and then a bit of it flipped".

The file is a ring of slots: an event's position says which slot it is noted in, so writers of several processes don't undo
each other's marks. A slot that is torn or damaged counts as empty. Writers hold a shared lock on the file; whoever closes
the journal last, and finds no write-ahead log any more, removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import struct
import zlib
from pathlib import Path
from typing import Final, NamedTuple

SLOTS: Final = 64
_SLOT: Final = struct.Struct(">Q32s")
_CHECKSUM: Final = struct.Struct(">I")
_NOTE_BYTES: Final = _SLOT.size + _CHECKSUM.size
_SLOT_BYTES: Final = 48
_FILE_BYTES: Final = SLOTS * _SLOT_BYTES


class Acknowledged(NamedTuple):
    """An event whose append was answered."""

    position: int
    digest: bytes


class AcknowledgedMark:
    """The mark as one writer holds it. Made by `open`.

    The file is mapped into memory: a note is a copy of 44 bytes and no system call. The system writes them back, also when
    this process is killed in the next moment.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._slots: mmap.mmap | None = None
        # Without room for the mark the journal goes on: damage to its very end is then found less surely. The room is taken
        # first, because a mapped page that finds none ends the process.
        with contextlib.suppress(OSError):
            _take_room(descriptor)
            self._slots = mmap.mmap(descriptor, _FILE_BYTES)

    @classmethod
    def open(cls, path: Path) -> AcknowledgedMark:
        """The mark of the journal at `path`, made (mode 0600) when there is none. OSError when that can't be done."""
        while True:
            descriptor = os.open(mark_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                if os.fstat(descriptor).st_nlink:  # otherwise somebody removed it in between
                    return cls(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def note(self, position: int, digest: bytes) -> None:
        """This event is on disk and about to be acknowledged."""
        if self._slots is not None:
            slot = _SLOT.pack(position, digest)
            start = position % SLOTS * _SLOT_BYTES
            self._slots[start : start + _NOTE_BYTES] = slot + _CHECKSUM.pack(zlib.crc32(slot))

    def forget(self, position: int) -> None:
        """This event is about to get another digest (life.lago.journal.adoption): what was noted of it holds no longer."""
        if self._slots is not None:
            start = position % SLOTS * _SLOT_BYTES
            self._slots[start : start + _NOTE_BYTES] = bytes(_NOTE_BYTES)

    def close(self) -> None:
        """Let go of the file; it stays."""
        if self._slots is not None:
            self._slots.close()
        os.close(self._descriptor)


def _take_room(descriptor: int) -> None:
    """Make the file as large as its slots, on disk, whatever stands in them."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, _FILE_BYTES)
    else:  # macOS: the last byte belongs to no note, and brings the one block of the file with it
        os.pwrite(descriptor, b"\0", _FILE_BYTES - 1)


def mark_path(path: Path) -> Path:
    """Where the mark of a journal stands."""
    return Path(f"{path}-mark")


def newest(path: Path) -> Acknowledged | None:
    """The newest event that was marked, None when there is no mark."""
    try:
        data = mark_path(path).read_bytes()
    except OSError:
        return None
    marks = []
    for start in range(0, len(data) - _SLOT_BYTES + 1, _SLOT_BYTES):
        slot = data[start : start + _SLOT.size]
        (checksum,) = _CHECKSUM.unpack_from(data, start + _SLOT.size)
        position, digest = _SLOT.unpack(slot)
        if position and checksum == zlib.crc32(slot):
            marks.append(Acknowledged(position, digest))
    return max(marks, default=None)


def discard(path: Path) -> None:
    """Remove the mark, when no writer holds it and the write-ahead log is gone: then all is in the journal's file."""
    try:
        descriptor = os.open(mark_path(path), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        with contextlib.suppress(OSError):  # BlockingIOError: somebody still writes
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not Path(f"{path}-wal").exists():
                mark_path(path).unlink()
    finally:
        os.close(descriptor)
