"""The journal's file: what is in it, how it is opened, and what its engine's errors mean.

Tables::

    event    one row per event, in the order of commits (`pos`, without gaps), with two indexes: (pos / 1024, stream, seq)
             and (id)
    stream   one row per (session, branch), with the sequence and digest of its last event
    stretch  which 1024 positions hold events of a stream, and the first of them
    kind     names of kinds, by number
    origin   agent, actor and schema of events, by number
    meta     when the file was made (`created_us`), and the position up to which opening need not look (`settled`)
    snapshot states of projections (life.lago.snapshots); may be deleted at any time

Identifiers in `event` are compact: a ULID is its 16 bytes, a hexadecimal trace or span id its bytes, anything else text.
`body` is the JSON of the kind as it was appended. `digest` is described in life.lago.journal.chain.

The index by sequence is cut into segments of 1024 positions, so that the newest events of all streams stand in a handful of
its pages: a group of 64 events in 64 sessions changes 5 pages of it, where one index over (stream, seq) has 64. `stretch`
leads a reader to the segments of one stream.

The file runs in WAL mode with `synchronous=FULL`: a commit is on disk when it returns. Engines before 3.51.3 can corrupt a
WAL when a checkpoint and a writer meet, so they are refused (ARCHITECTURE.md §4).
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import apsw

from life.aios.errors import JournalError, JournalFullError, JournalUnavailableError
from life.lago.errors import JournalFileDamagedError, JournalFormatError
from life.lago.journal import acknowledged
from life.lago.journal.write_ahead_log import CHECKPOINT_PAGES, lost_transactions

APPLICATION_ID: Final = 0x4C494645
"""`LIFE`, in the header of the file."""

FORMAT: Final = 2
"""Version of the tables below, in the header of the file (`user_version`). Files of version 1 are brought up to it when they
are opened: they had one index over (stream, seq) and no stretches."""

SEGMENT_BITS: Final = 10
"""A segment is `position >> SEGMENT_BITS`, which statements spell as `pos >> 10`: it is part of the format."""

OLDEST_ENGINE: Final = (3, 51, 3)

Row: TypeAlias = tuple[Any, ...]
"""What the engine gives back for a row; SQLite has no types that a checker could follow."""

_BUSY_TIMEOUT_MS: Final = 5000
_CACHE_KIB: Final = 8192

_TABLES: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE stream (
  no INTEGER PRIMARY KEY,
  session TEXT NOT NULL,
  branch TEXT NOT NULL,
  seq INTEGER NOT NULL,
  digest BLOB NOT NULL,
  UNIQUE (session, branch)
);
CREATE TABLE kind (no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE origin (
  no INTEGER PRIMARY KEY,
  agent TEXT NOT NULL,
  actor TEXT NOT NULL,
  component TEXT,
  schema_name TEXT NOT NULL,
  schema_version TEXT NOT NULL
);
CREATE TABLE event (
  pos INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  id BLOB NOT NULL,
  kind INTEGER NOT NULL,
  ts_us INTEGER NOT NULL,
  origin INTEGER NOT NULL,
  causation BLOB,
  correlation BLOB,
  trace BLOB,
  span BLOB,
  body BLOB NOT NULL,
  digest BLOB NOT NULL
);
CREATE UNIQUE INDEX event_by_id ON event (id);
CREATE TABLE snapshot (
  name TEXT NOT NULL,
  version INTEGER NOT NULL,
  position INTEGER NOT NULL,
  state BLOB NOT NULL,
  PRIMARY KEY (name, version)
);
"""
_SEGMENTS: Final = """
CREATE UNIQUE INDEX event_by_sequence ON event (pos >> 10, stream, seq);
CREATE TABLE stretch (
  stream INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  segment INTEGER NOT NULL,
  PRIMARY KEY (stream, first_seq)
) WITHOUT ROWID;
"""
_UPGRADE: Final = (
    "DROP INDEX event_by_sequence;",
    _SEGMENTS,
    "INSERT INTO stretch SELECT stream, min(seq), pos >> 10 FROM event GROUP BY stream, pos >> 10;",
)


def create(path: Path, *, created_us: int) -> None:
    """Make the file (mode 0600) with its tables, or check that nothing is lost of the one that is there.

    Processes that come at the same moment take turns. Errors are JournalErrors; JournalFileDamagedError when the WAL is
    damaged in front of committed transactions, or the newest event that was acknowledged is missing.
    """
    try:
        with _turn(path):
            _touch(path)
            connection = _connect(path)
            try:
                if _identity(connection, path) == "empty":
                    _fill(connection, created_us)
                    _sync_folder(path)
                else:
                    _check_log(connection, path)
                    _upgrade(connection)
            finally:
                connection.close()
    except (apsw.Error, OSError) as error:
        raise explain(error, path) from None


def connect(path: Path, *, purpose: Literal["write", "read", "snapshot"]) -> apsw.Connection:
    """A connection to a file that `create` made or found. "snapshot" commits without waiting for the disk."""
    try:
        connection = _connect(path)
        try:
            if _identity(connection, path) == "empty":
                raise JournalFormatError(f"{path} is not a journal: it is empty.")
            if connection.pragma("user_version") < FORMAT:
                raise JournalFormatError(
                    f"{path} is a journal of an older format.",
                    next_step="Open it as a journal once; that brings it up to date.",
                )
            connection.pragma("synchronous", "NORMAL" if purpose == "snapshot" else "FULL")
            connection.pragma("cache_size", -_CACHE_KIB)
            connection.wal_autocheckpoint(CHECKPOINT_PAGES)
            if purpose == "read":
                connection.pragma("query_only", True)
        except BaseException:
            connection.close()
            raise
    except (apsw.Error, OSError) as error:
        raise explain(error, path) from None
    return connection


def fetch(connection: apsw.Connection, statement: str, values: tuple[Any, ...] = ()) -> list[Row]:
    """All rows of a query."""
    return connection.execute(statement, values).fetchall()


def fetch_one(connection: apsw.Connection, statement: str, values: tuple[Any, ...] = ()) -> Row | None:
    """The first row of a query, or None."""
    return connection.execute(statement, values).fetchone()


EngineError: TypeAlias = apsw.Error | UnicodeDecodeError
"""What reading may raise; a text that is not UTF-8 shows only when the row is fetched."""


def explain(error: EngineError | OSError, path: Path) -> JournalError:
    """What a failure of the engine or the system means to whoever uses the journal."""
    if isinstance(error, OSError) and not isinstance(error, apsw.Error):
        return _explain_system(error.errno, error.strerror or str(error), path)
    match error:
        case apsw.FullError():
            return _full(path)
        case apsw.NotADBError():
            return JournalFormatError(f"{path} is not a journal.")
        case apsw.CorruptError() | apsw.FormatError() | UnicodeDecodeError():
            return JournalFileDamagedError(str(path), _sentence(error))
        case apsw.BusyError() | apsw.LockedError():
            return JournalUnavailableError(f"The journal {path} is locked by another process.")
        case apsw.ReadOnlyError() | apsw.PermissionsError():
            return _unwritable(path, _sentence(error))
        case apsw.CantOpenError():
            return (
                _unwritable(path, "its folder does not exist or does not let us write")
                if not path.exists()
                else _unwritable(path, _sentence(error))
            )
        case _:
            return JournalUnavailableError(f"The journal {path} can't be used: {_sentence(error)}.")


def is_out_of_room(error: apsw.Error, connection: apsw.Connection) -> bool:
    """Whether a write failed because the disk, a quota or a size limit leaves no room."""
    if isinstance(error, apsw.FullError):
        return True
    return isinstance(error, apsw.IOError) and connection.system_errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _explain_system(number: int | None, reason: str, path: Path) -> JournalError:
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return _full(path)
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return _unwritable(path, reason.lower())
    return JournalUnavailableError(f"The journal {path} can't be opened: {reason.lower()}.")


def _full(path: Path) -> JournalFullError:
    return JournalFullError(
        f"The disk has no room for the journal {path}; nothing of the batch was stored.",
        next_step="Make room and append again.",
    )


def _unwritable(path: Path, reason: str) -> JournalUnavailableError:
    return JournalUnavailableError(
        f"The journal {path} can't be written: {reason}.",
        next_step="The journal's file and folder must be writable, also for reading (the WAL stands beside the file).",
    )


def _sentence(error: Exception) -> str:
    return str(error).removeprefix("sqlite3: ").rstrip(".")


def _connect(path: Path) -> apsw.Connection:
    engine = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if engine < OLDEST_ENGINE:
        raise JournalUnavailableError(
            f"SQLite {apsw.sqlite_lib_version()} can damage a journal; {'.'.join(map(str, OLDEST_ENGINE))} or newer is needed.",
            next_step="pip install --upgrade apsw",
        )
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
    return connection


def _identity(connection: apsw.Connection, path: Path) -> Literal["empty", "journal"]:
    """JournalFormatError for a file that is not ours, or newer than we are."""
    application: int = connection.pragma("application_id")
    version: int = connection.pragma("user_version")
    if application == 0 and version == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").get == 0:
        return "empty"
    if application != APPLICATION_ID:
        raise JournalFormatError(f"{path} is a database of another program, not a journal.")
    if version > FORMAT:
        raise JournalFormatError(
            f"{path} was written by a newer version of Life (format {version}; this one knows {FORMAT}).",
            next_step="pip install --upgrade lifeos",
        )
    return "journal"


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Hold the folder's advisory lock. A file that is half made looks like another program's, and switching it to WAL fails
    at once while somebody else looks at it. Not a lock on the file itself: closing any descriptor of it would drop the
    engine's own locks."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _touch(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return


def _fill(connection: apsw.Connection, created_us: int) -> None:
    connection.pragma("page_size", 4096)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "FULL")
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.pragma("user_version") == 0:  # another process may have been first
            connection.execute(_TABLES)
            connection.execute(_SEGMENTS)
            connection.execute("INSERT INTO meta VALUES ('created_us', ?)", (created_us,))
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", FORMAT)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _check_log(connection: apsw.Connection, path: Path) -> None:
    marked = acknowledged.newest(path)  # before the lock: a commit of this moment may not be in it
    connection.execute("BEGIN IMMEDIATE")  # nobody may write while the log is looked at
    try:
        lost = lost_transactions(path)
        if lost:
            raise JournalFileDamagedError(
                str(path), f"its write-ahead log is damaged in front of {lost} committed transactions"
            )
        check_acknowledged(connection, path, marked)
    except BaseException:
        # Closing must not tidy the log away: what can't be read is still in it.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        raise
    finally:
        connection.execute("ROLLBACK")


def _upgrade(connection: apsw.Connection) -> None:
    """Bring a file of format 1 up to date, in one transaction; some seconds per million events."""
    if connection.pragma("user_version") == FORMAT:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.pragma("user_version") < FORMAT:  # another process may have been first
            connection.execute("".join(_UPGRADE))
            connection.pragma("user_version", FORMAT)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def check_acknowledged(connection: apsw.Connection, path: Path, marked: acknowledged.Acknowledged | None) -> None:
    """JournalFileDamagedError when the event that was marked as acknowledged is not there. The mark was read earlier than
    what the connection sees."""
    if marked is None:
        return
    row = fetch_one(connection, "SELECT digest FROM event WHERE pos = ?", (marked.position,))
    if row is not None and row[0] == marked.digest:
        return
    what = "missing" if row is None else "another one"
    raise JournalFileDamagedError(
        str(path),
        f"the event at position {marked.position}, the last whose append was answered, is {what} (its write-ahead log"
        f" is damaged or gone; if an older copy was put in its place on purpose, remove"
        f" {acknowledged.mark_path(path).name})",
    )


def _sync_folder(path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
