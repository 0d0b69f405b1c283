"""Opening an index file: made when it is not there, made anew when it is of another format or damaged, left alone when it is another
program's.

It holds nothing that notes and events don't say, so commits wait for no disk.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import apsw

from life.lago.knowledge.errors import KnowledgeIndexError

_CACHE_KIB: Final = 16_384
_BUSY_TIMEOUT_MS: Final = 5_000


class _AnotherFormatError(Exception):
    """Ours, but not of this version."""


def open_file(path: Path | None, *, application_id: int, format: int, tables: str) -> apsw.Connection:
    """A connection to a file with these tables (mode 0600), or to one in memory. KnowledgeIndexError."""
    try:
        try:
            return _open(path, application_id, format, tables)
        except (apsw.CorruptError, _AnotherFormatError):
            _remove(path)
            return _open(path, application_id, format, tables)
    except (apsw.Error, OSError) as error:
        raise explain(error, path) from None


def explain(error: apsw.Error | OSError, path: Path | None) -> KnowledgeIndexError:
    """What a failure of the engine or the system means here."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return KnowledgeIndexError("in memory" if path is None else str(path), reason.rstrip("."))


def _open(path: Path | None, application_id: int, format: int, tables: str) -> apsw.Connection:
    if path is not None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    connection = apsw.Connection(":memory:" if path is None else str(path))
    try:
        connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
        version = _format(connection, path, application_id)
        if version not in (0, format):
            raise _AnotherFormatError
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "NORMAL")
        connection.pragma("cache_size", -_CACHE_KIB)
        connection.pragma("secure_delete", True)  # words of deleted notes don't stay in free pages
        connection.execute("BEGIN IMMEDIATE")
        if connection.pragma("user_version") == 0:  # another process may have been first
            connection.execute(tables)
            connection.pragma("application_id", application_id)
            connection.pragma("user_version", format)
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _format(connection: apsw.Connection, path: Path | None, application_id: int) -> int:
    """0 for a file without anything in it."""
    found: int = connection.pragma("application_id")
    version: int = connection.pragma("user_version")
    is_empty = connection.execute("SELECT count(*) FROM sqlite_schema").get == 0
    if found != application_id and not (is_empty and found == 0 and version == 0):
        raise KnowledgeIndexError(str(path), "it is a file of another program")
    return version


def _remove(path: Path | None) -> None:
    if path is not None:
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
