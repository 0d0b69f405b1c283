"""The file of the embedded engine: the log, and the rows as a cache of it, in one SQLite file.

Tables::

    entry  one row per log entry: position (without gaps), its JSON, and the digest of the chain
    row    the state's rows, written in the same transaction as their entries
    head   counters: ids per table, events per space
    meta   format, name of the deployment

The file runs in WAL mode with `synchronous=FULL`: what was committed is on disk. The chain is
`digest(n) = BLAKE3(digest(n-1) || JSON(n))`; opening checks the newest entries, `verify` all of them by replaying into an empty
state. One process at a time opens the file (a lock beside it); a backup may read it meanwhile.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, cast

import apsw
import msgspec
from blake3 import blake3

from life.spaces.errors import LogDamagedError, SpacesUnavailableError
from life.spaces.events import Entry, decode_entry, encode_entry
from life.spaces.model import AnyRow, Row, key_values, table_name
from life.spaces.state import State

APPLICATION_ID: Final = 0x4C535043
"""`LSPC`, in the header of the file."""
FORMAT: Final = 1
OLDEST_ENGINE: Final = (3, 51, 3)
"""Older SQLite engines can damage a WAL when a checkpoint and a writer meet."""
CHECK_RECENT: Final = 2000
"""Entries whose digests are checked when the file is opened."""
CHECKPOINT_PAGES: Final = 4000
EMPTY_DIGEST: Final = bytes(32)

_TABLES: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE entry (position INTEGER PRIMARY KEY, data BLOB NOT NULL, digest BLOB NOT NULL);
CREATE TABLE row (tab TEXT NOT NULL, key BLOB NOT NULL, data BLOB NOT NULL, PRIMARY KEY (tab, key)) WITHOUT ROWID;
CREATE TABLE head (kind TEXT NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (kind, name)) WITHOUT ROWID;
"""

_json: Final = msgspec.json.Encoder()
_row: Final = msgspec.json.Decoder(AnyRow)


class Loaded(NamedTuple):
    """What a file held."""

    position: int
    deployment: str
    marks: Mapping[str, int] = {}
    """What `commit` noted beside the entries."""


class EmbeddedStore:
    """The open file. Not to be used from two threads at once."""

    def __init__(self, path: Path | None, *, deployment: str, synchronous: bool = True) -> None:
        """Open or make it; None is in memory. `deployment` names a new one."""
        _require_engine()
        self._path = path
        self._lock = -1
        try:
            if path is not None:
                self._lock = _claim(path)
                path.touch(mode=0o600)
            self._connection = apsw.Connection(":memory:" if path is None else str(path))
            self._prepare(deployment, synchronous=synchronous)
        except (apsw.BusyError, apsw.LockedError):
            self._release()
            raise _in_use(path) from None
        except SpacesUnavailableError:
            self._release()
            raise
        except (apsw.Error, OSError) as error:
            self._release()
            raise SpacesUnavailableError(f"{path} can't be opened: {error}.") from None
        self.digest = EMPTY_DIGEST
        """Of the newest entry."""

    def _prepare(self, deployment: str, *, synchronous: bool) -> None:
        connection = self._connection
        connection.set_busy_timeout(2000)
        if self._path is not None:
            connection.pragma("journal_mode", "wal")
            connection.pragma("synchronous", "FULL" if synchronous else "NORMAL")
            connection.wal_autocheckpoint(CHECKPOINT_PAGES)
        connection.pragma("cache_size", -16_384)
        identity = connection.pragma("application_id")
        with connection:  # takes the lock
            if identity == 0 and not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall():
                connection.execute(_TABLES)
                connection.execute("INSERT INTO meta VALUES ('deployment', ?)", (deployment,))
                connection.pragma("application_id", APPLICATION_ID)
                connection.pragma("user_version", FORMAT)
            elif identity != APPLICATION_ID or connection.pragma("user_version") != FORMAT:
                raise SpacesUnavailableError(f"{self._path} is not a Spaces log of this format.")
            else:
                connection.execute("UPDATE meta SET value = value WHERE key = 'deployment'")
        if self._path is not None and synchronous:
            self._warm()

    def _warm(self) -> None:
        """Grow the WAL to its working size by a transaction that is taken back: a commit into blocks that are there costs less."""
        connection = self._connection
        try:
            connection.pragma("cache_size", 10)  # so that pages go to the WAL before the end of the transaction
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute("CREATE TABLE warming (page)")
                connection.execute("INSERT INTO warming VALUES (zeroblob(?))", (CHECKPOINT_PAGES * 4096,))
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except (apsw.FullError, apsw.IOError):
            return  # without room the WAL grows as it goes
        finally:
            connection.pragma("cache_size", -16_384)

    def load(self, state: State) -> Loaded:
        """Fill an empty state. LogDamagedError when the newest entries do not hold together or rows and log disagree."""
        connection = self._connection
        try:
            deployment = str(connection.execute("SELECT value FROM meta WHERE key = 'deployment'").fetchall()[0][0])
            last = connection.execute("SELECT position, digest FROM entry ORDER BY position DESC LIMIT 1").fetchall()
            position = cast(int, last[0][0]) if last else 0
            self.digest = cast(bytes, last[0][1]) if last else EMPTY_DIGEST
            self._check_recent(position)
            heads: dict[str, dict[str, int]] = {"table": {}, "space": {}, "log": {}}
            for kind, name, value in connection.execute("SELECT kind, name, value FROM head"):
                heads[kind][name] = value
            if heads["log"].get("position", 0) != position:
                raise LogDamagedError("The rows and the log are of different positions.")
            state.load(
                (_row.decode(data) for (data,) in connection.execute("SELECT data FROM row")),
                position=position,
                at_us=heads["log"].get("at_us", 0),
                heads=heads["table"],
                space_heads={int(name): value for name, value in heads["space"].items()},
            )
        except apsw.Error as error:
            raise LogDamagedError(f"The log can't be read: {error}.") from None
        except msgspec.MsgspecError as error:
            raise LogDamagedError(f"A row can't be read: {error}.") from None
        return Loaded(position, deployment, heads["log"])

    def commit(
        self,
        entries: Sequence[Entry],
        state: State,
        *,
        encoded: Sequence[bytes] | None = None,
        marks: Mapping[str, int] | None = None,
    ) -> None:
        """Store entries (which `state` has already) with the rows they changed. All or nothing, on disk when it returns.

        `encoded`: the entries' bytes as a log elsewhere has them. `marks`: numbers to note in the same transaction, for an engine
        whose log is elsewhere; its entries may be none.
        """
        digest = self.digest
        log = []
        dirty: dict[tuple[str, bytes], Row | None] = {}
        spaces: dict[int, int] = {}
        for number, entry in enumerate(entries):
            data = encode_entry(entry) if encoded is None else encoded[number]
            digest = blake3(digest + data).digest()
            log.append((entry.position, data, digest))
            for event in entry.events:
                for gone in event.removed:
                    dirty[gone.table, _json.encode(gone.key)] = None
                for row in event.puts:
                    dirty[table_name(row), _json.encode(key_values(row))] = row
                if event.space_seq:
                    spaces[event.space_id] = event.space_seq
        heads = [
            *(("table", name, head) for name, head in state.named_heads().items()),
            *(("space", str(space_id), head) for space_id, head in spaces.items()),
            ("log", "position", state.position),
            ("log", "at_us", state.at_us),
            *(("log", name, value) for name, value in (marks or {}).items()),
        ]
        puts = [(tab, key, _json.encode(row)) for (tab, key), row in dirty.items() if row is not None]
        gone_keys = [place for place, row in dirty.items() if row is None]
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.executemany("INSERT INTO entry VALUES (?, ?, ?)", log)
                connection.executemany("INSERT OR REPLACE INTO row VALUES (?, ?, ?)", puts)
                if gone_keys:
                    connection.executemany("DELETE FROM row WHERE tab = ? AND key = ?", gone_keys)
                connection.executemany("INSERT OR REPLACE INTO head VALUES (?, ?, ?)", heads)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except apsw.FullError:
            raise SpacesUnavailableError("The disk has no room; nothing was stored.") from None
        except apsw.Error as error:
            raise SpacesUnavailableError(f"The log can't be written: {error}.") from None
        self.digest = digest

    def entries(self, after: int, *, limit: int) -> list[Entry]:
        """The log after a position."""
        rows = self._connection.execute(
            "SELECT data FROM entry WHERE position > ? ORDER BY position LIMIT ?", (after, limit)
        )
        return [decode_entry(data) for (data,) in rows]

    def raw(self, after: int = 0) -> Iterator[tuple[int, bytes, bytes]]:
        """Position, JSON and digest of every entry after a position."""
        yield from self._connection.execute(
            "SELECT position, data, digest FROM entry WHERE position > ? ORDER BY position", (after,)
        )

    def verify(self, state: State) -> int:
        """Replay everything from empty and compare with `state`; how many entries. LogDamagedError at the first difference."""
        replayed = State()
        digest = EMPTY_DIGEST
        position = 0
        for number, data, stored in self.raw():
            digest = _next(digest, number, position, data, stored)
            position = number
            replayed.apply(decode_entry(data))
        if replayed.digest() != state.digest():
            raise LogDamagedError("Replaying the log gives another state than the stored rows.")
        return position

    def _check_recent(self, position: int) -> None:
        after = max(0, position - CHECK_RECENT)
        digest = EMPTY_DIGEST
        if after:
            found = self._connection.execute("SELECT digest FROM entry WHERE position = ?", (after,)).fetchall()
            if not found:
                raise LogDamagedError(f"The log has no entry {after}.")
            digest = cast(bytes, found[0][0])
        last = after
        for number, data, stored in self.raw(after):
            digest = _next(digest, number, last, data, stored)
            last = number

    def close(self) -> None:
        """Release the file."""
        self._connection.close()
        self._release()

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _next(digest: bytes, number: int, last: int, data: bytes, stored: bytes) -> bytes:
    if number != last + 1:
        raise LogDamagedError(f"The log has no entry {last + 1}.", details={"position": last + 1})
    fresh = blake3(digest + data).digest()
    if fresh != stored:
        raise LogDamagedError(f"Entry {number} of the log is not what was stored.", details={"position": number})
    return fresh


def _claim(path: Path) -> int:
    """The lock of a log: one process at a time, whatever reads it beside (a backup). SpacesUnavailableError while another has it."""
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise _in_use(path) from None
    return descriptor


def _in_use(path: Path | None) -> SpacesUnavailableError:
    return SpacesUnavailableError(
        f"{path} is in use by another process.",
        next_step="Stop the other spacesd or arcand, or use another data directory.",
    )


def _require_engine() -> None:
    if tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) < OLDEST_ENGINE:
        raise SpacesUnavailableError(
            f"SQLite {apsw.sqlite_lib_version()} can damage a log.", next_step="pip install --upgrade apsw"
        )
