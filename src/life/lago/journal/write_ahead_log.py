"""The write-ahead log (WAL) beside the journal's file: its size, and what SQLite does not tell about it.

When a journal's process was killed, its last commits stand only in the WAL, and the next opener takes them from there.
SQLite stops at the first frame whose checksum is wrong, because that is what a commit looks like that was cut off by a
crash; it does not say whether whole commits stand behind it. `lost_transactions` looks. Two commits behind a bad frame
prove damage: the second begins only after the first was flushed. One alone may be a commit that lost its power half-way,
which nobody was told about; it counts as that.

Source: the SQLite file format, "The Write-Ahead Log" and "WAL-Index File Format".
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, Final

import apsw

CHECKPOINT_PAGES: Final = 4000
"""The WAL is copied into the file every 16 MB and then used again from its beginning."""

PAGE_BYTES: Final = 4096

_HEADER: Final = struct.Struct(">8I")
"""Magic number, version, page size, number of checkpoints, two salts, two checksums."""

_FRAME: Final = struct.Struct(">6I")
"""Page number, size of the file in pages after a commit (0 when this frame commits nothing), two salts, two checksums."""

_FRAME_BYTES: Final = _FRAME.size + PAGE_BYTES
_LAST_FRAME: Final = struct.Struct("=I")
_LAST_FRAME_OFFSET: Final = 16


def warm_log(connection: apsw.Connection) -> None:
    """Grow the WAL to its working size by writing a transaction that is taken back.

    A commit into blocks that are already there costs about half of one that makes the file grow. Without room on the
    disk nothing happens; the WAL then grows as it goes.
    """
    cache = connection.pragma("cache_size")
    try:
        connection.pragma("cache_size", 10)  # so that pages go to the WAL before the end of the transaction
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.execute("CREATE TABLE warming (page)")
            connection.execute("INSERT INTO warming VALUES (zeroblob(?))", (CHECKPOINT_PAGES * PAGE_BYTES,))
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    except (apsw.FullError, apsw.BusyError, apsw.IOError):
        return
    finally:
        connection.pragma("cache_size", cache)


def lost_transactions(path: Path) -> int:
    """How many committed transactions stand behind a damaged part of the WAL of the file at `path`, where SQLite stopped.

    The caller holds the write lock of a connection that has read the file, so nobody appends to the WAL meanwhile.
    """
    try:
        with Path(f"{path}-shm").open("rb") as index, Path(f"{path}-wal").open("rb") as log:
            index.seek(_LAST_FRAME_OFFSET)
            (last_frame,) = _LAST_FRAME.unpack(index.read(_LAST_FRAME.size))
            commits = _commits_behind(log, last_frame)
    except (FileNotFoundError, struct.error):
        return 0
    return commits if commits > 1 else 0


def _commits_behind(log: BinaryIO, last_frame: int) -> int:
    """Commit frames of the WAL's present generation behind a frame (frames count from 1)."""
    header = log.read(_HEADER.size)
    if len(header) < _HEADER.size:
        return 0
    salts: tuple[int, int] | None = None
    if _is_sound(header):
        salts = _HEADER.unpack(header)[4:6]
    commits = 0
    log.seek(_HEADER.size + last_frame * _FRAME_BYTES)
    while len(frame := log.read(_FRAME_BYTES)) == _FRAME_BYTES:
        _, size_after, *found, _, _ = _FRAME.unpack_from(frame)
        if salts is None:  # the header itself is damaged: the frames name their generation
            salts = (found[0], found[1])
        if tuple(found) == salts and size_after:
            commits += 1
    return commits


def _is_sound(header: bytes) -> bool:
    """Whether the checksum of the WAL's header holds."""
    order = ">" if header[3] & 1 else "<"
    words = struct.unpack(f"{order}6I", header[:24])
    first = second = 0
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return (first, second) == struct.unpack(">2I", header[24:32])
