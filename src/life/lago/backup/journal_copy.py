"""A copy of a journal's file as of one moment, and what is in it. Everything here blocks."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import apsw
import msgspec

from life.aios.ports.clock import Entropy
from life.lago.errors import BackupError
from life.lago.journal import acknowledged, chain, schema

_PAGES: Final = 2_048
_COPY: Final = "journal-"
_DAY_US: Final = 86_400_000_000

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def copy_journal(source: Path, target: Path, progress: Progress) -> None:
    """One moment of the journal as a file. JournalFileDamagedError also when its last acknowledged event is missing."""
    marked = acknowledged.newest(source)  # earlier than what the transaction sees
    reading = schema.connect(source, purpose="read")
    try:
        reading.execute("BEGIN")
        reading.execute("SELECT count(*) FROM meta").fetchall()  # from here on nothing that others write is seen
        schema.check_acknowledged(reading, source, marked)
        touch(target)
        writing = apsw.Connection(str(target))
        try:
            with writing.backup("main", reading, "main") as copying:
                while not copying.done:
                    copying.step(_PAGES)
                    done = copying.page_count - copying.remaining
                    progress("journal", done * 4096, copying.page_count * 4096)
        except apsw.Error as error:
            if schema.is_out_of_room(error, writing):
                raise BackupError("There is no room for the copy of the journal.", next_step="Make room.") from None
            raise
        finally:
            writing.close()
    except apsw.Error as error:
        raise schema.explain(error, source) from None
    finally:
        reading.close()


def heads_of(path: Path) -> tuple[int, str, list[list[str | int]]]:
    """The newest position, its digest, and the head of each branch: session, branch, sequence, digest."""
    connection = schema.connect(path, purpose="read")
    try:
        newest = schema.fetch_one(connection, "SELECT pos, digest FROM event ORDER BY pos DESC LIMIT 1")
        rows = schema.fetch(connection, "SELECT session, branch, seq, digest FROM stream ORDER BY session, branch")
    finally:
        connection.close()
    position, digest = newest or (0, chain.GENESIS)
    return position, digest.hex(), [[session, branch, sequence, head.hex()] for session, branch, sequence, head in rows]


def lines_of(values: list[list[str | int]]) -> bytes:
    """One line of JSON each."""
    return b"".join(msgspec.json.encode(value) + b"\n" for value in values)


def blob_of(name: str) -> str:
    """The hash in an object's name."""
    return name.replace("/", "", 1).partition(".")[0]


def touch(path: Path) -> None:
    """Make the file, for its owner only; FileExistsError when it is there."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def remove_copy(path: Path) -> None:
    """Remove a copy and what SQLite put beside it."""
    for suffix in ("", "-wal", "-shm", "-mark", "-journal"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def place_for_copy(scratch: Path, *, entropy: Entropy, now_us: int | None = None) -> Path:
    """A free name for a copy in a scratch folder. With `now_us`, copies that a killed process left there a day ago are removed."""
    if now_us is not None:
        for left in scratch.glob(f"{_COPY}*"):
            with suppress(OSError):
                if left.stat().st_mtime_ns // 1000 < now_us - _DAY_US:
                    left.unlink()
    return scratch / f"{_COPY}{entropy.token_bytes(8).hex()}.db"
