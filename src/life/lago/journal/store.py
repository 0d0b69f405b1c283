"""The one code path that writes the journal's file: batches in, one transaction, outcomes out.

It runs in the event loop or in the writer process; neither knows the difference. What it remembers between transactions
(heads, numbers of streams, kinds and origins) holds only while nobody else has written to the file, which SQLite's
`data_version` says once the write lock is held.

A group is first stored on the assumption that its events are new and its expectations hold. If SQLite finds an id twice,
or a head is elsewhere, the transaction is taken back and the same group is stored again with each id looked up; so the
common case costs no look-up, and an error reaches only the batch that it belongs to.

Two notes are kept for whoever opens the journal next: after each commit, the newest event goes into the mark beside the file
(life.lago.journal.acknowledged); and every 10,000 events, and at the end, `meta` learns up to where events are settled, so
that opening need not look at them.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import apsw

from life.aios.errors import (
    EventConflictError,
    JournalError,
    JournalFullError,
    LifeError,
    SequenceConflictError,
)
from life.lago.errors import JournalFileDamagedError
from life.lago.journal import chain, schema
from life.lago.journal.acknowledged import AcknowledgedMark
from life.lago.journal.chain import Compact, expand_id
from life.lago.journal.entries import Batch, Entry, Placed, origin_fields
from life.lago.journal.schema import SEGMENT_BITS, fetch_one
from life.lago.journal.write_ahead_log import warm_log

Outcome: TypeAlias = list[Placed] | LifeError
"""What became of one batch."""

_Row: TypeAlias = tuple[
    int,
    int,
    int,
    Compact,
    int,
    int,
    int,
    Compact | None,
    Compact | None,
    Compact | None,
    Compact | None,
    bytes,
    bytes,
]

_INSERT: Final = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_STRETCH: Final = "INSERT INTO stretch VALUES (?, ?, ?)"
_FIND: Final = (
    "SELECT no, seq, digest, (SELECT segment FROM stretch WHERE stream = no ORDER BY first_seq DESC LIMIT 1) FROM stream"
    " WHERE session = ? AND branch = ?"
)
_MOVE_HEAD: Final = "UPDATE stream SET seq = ?, digest = ? WHERE no = ?"
_BY_ID: Final = "SELECT pos, stream, seq, kind, origin, causation, body, digest FROM event WHERE id = ?"
_SETTLE: Final = (
    "INSERT INTO meta VALUES ('settled', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    " WHERE value < excluded.value"
)
SETTLE_EVENTS: Final = 10_000
"""How many events lie between two notes of what is settled. The newest so many are left out of it: opening after a crash
looks at what was written last."""

_REMEMBERED_STREAMS: Final = 50_000

_sha256: Final = hashlib.sha256
_join: Final = b"".join
_pack: Final = chain.pack


class WriteLockBusyError(Exception):
    """Another process writes at this moment. Nothing happened; try again shortly."""


class _LookAgainError(Exception):
    """The group is not as simple as assumed: an id occurs twice, or a head is not where it was expected."""


class _Stream:
    """A stream's number, its head, and the newest segment with events of it."""

    __slots__ = ("digest", "no", "segment", "sequence")

    def __init__(self, no: int, sequence: int, digest: bytes, segment: int | None) -> None:
        self.no = no
        self.sequence = sequence
        self.digest = digest
        self.segment = segment


class _Numbers(dict[str, int]):
    """Numbers of names; a name that has none gets one."""

    def __init__(self, number: Callable[[str], int]) -> None:
        self._number = number

    def __missing__(self, name: str) -> int:
        no = self[name] = self._number(name)
        return no


class _OriginNumbers(dict[bytes, int]):
    """Numbers of origins; one that has none gets one."""

    def __init__(self, number: Callable[[bytes], int]) -> None:
        self._number = number

    def __missing__(self, origin: bytes) -> int:
        no = self[origin] = self._number(origin)
        return no


class Store:
    """A writing connection with what it remembers. For one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = schema.connect(path, purpose="write")
        try:
            self._mark = AcknowledgedMark.open(path)
        except OSError as error:
            self._connection.close()
            raise schema.explain(error, path) from None
        self._connection.set_busy_timeout(0)
        self._cursor = self._connection.cursor()  # one for all statements of a transaction: a new one each costs time
        self._data_version = -1
        self._position = -1
        self._settle_at = 2 * SETTLE_EVENTS
        self._settled_through = 0
        self._written_through = 0
        self._forget()

    def close(self) -> None:
        """Close the file. The last connection copies the WAL into it."""
        # What is not noted is looked at once more by the next opener.
        with contextlib.suppress(apsw.Error):
            if self._written_through > self._settled_through:
                self._cursor.execute(_SETTLE, (self._written_through,))
        self._connection.close()
        self._mark.close()

    def warm(self) -> None:
        """Grow the WAL once, to its working size."""
        warm_log(self._connection)

    def commit(self, batches: Sequence[Batch]) -> list[Outcome]:
        """Store all batches in one transaction; each is stored whole or not at all, and has its own outcome.

        WriteLockBusyError when another process holds the write lock; then nothing happened. Every other failure is an
        outcome.
        """
        try:
            try:
                return self._transaction(batches, careful=False)
            except _LookAgainError:
                return self._transaction(batches, careful=True)
        except JournalFullError as error:
            if len(batches) == 1:
                return [error]
            return [self._commit_alone(batch) for batch in batches]
        except JournalError as error:
            return [error] * len(batches)

    def _commit_alone(self, batch: Batch) -> Outcome:
        """One batch of a group that did not fit; a smaller one may."""
        try:
            return self.commit([batch])[0]
        except WriteLockBusyError:
            return schema.explain(apsw.BusyError(), self._path)

    def _transaction(self, batches: Sequence[Batch], *, careful: bool) -> list[Outcome]:
        cursor = self._cursor
        try:
            self._begin()
            rows: list[_Row] = []
            touched: set[_Stream] = set()
            if careful:
                outcomes = self._place_carefully(batches, rows, touched)
            else:
                outcomes = self._place_all(batches, rows, touched)
            if not rows:
                cursor.execute("ROLLBACK")
                return outcomes
            heads = [(stream.sequence, stream.digest, stream.no) for stream in touched]
            if len(rows) == 1:
                cursor.execute(_INSERT, rows[0])
                cursor.execute(_MOVE_HEAD, heads[0])
            else:
                cursor.executemany(_INSERT, rows)
                cursor.executemany(_MOVE_HEAD, heads)
            if self._stretches:
                cursor.executemany(_STRETCH, self._stretches)
                self._stretches.clear()
            if self._position >= self._settle_at:
                self._settle()
            cursor.execute("COMMIT")
            self._data_version = self._connection.data_version("main")
            self._mark.note(self._position, rows[-1][-1])
            self._written_through = self._position
            return outcomes
        except apsw.BusyError:
            self._take_back()
            raise WriteLockBusyError from None
        except apsw.ConstraintError:
            self._take_back()
            if careful:
                reason = "an event already stands where the next one of its stream should go"
                raise JournalFileDamagedError(str(self._path), reason) from None
            raise _LookAgainError from None
        except apsw.Error as error:
            out_of_room = schema.is_out_of_room(error, self._connection)
            self._take_back()
            explained = schema.explain(apsw.FullError() if out_of_room else error, self._path)
            raise explained from None
        except BaseException:
            self._take_back()
            raise

    def _begin(self) -> None:
        cursor = self._cursor
        cursor.execute("BEGIN IMMEDIATE")
        data_version = self._connection.data_version("main")  # a tenth of the pragma's time; counts our commits, too
        if data_version != self._data_version or len(self._streams) > _REMEMBERED_STREAMS:
            self._forget()
            self._data_version = data_version
        if self._position < 0:
            self._position = cursor.execute("SELECT coalesce(max(pos), 0) FROM event").get

    def _settle(self) -> None:
        """Note what is settled, in the transaction that is open."""
        settled = self._position - self._position % SETTLE_EVENTS - SETTLE_EVENTS
        self._cursor.execute(_SETTLE, (settled,))
        self._settled_through = settled
        self._settle_at = settled + 2 * SETTLE_EVENTS

    def _forget(self) -> None:
        self._position = -1
        self._stretches: list[tuple[int, int, int]] = []
        self._streams: dict[bytes, _Stream] = {}
        self._kinds = _Numbers(self._number_kind)
        self._origins = _OriginNumbers(self._number_origin)

    def _take_back(self) -> None:
        self._forget()
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except apsw.Error:  # a failed rollback leaves the transaction to be undone by the next begin
                return

    def _place_all(self, batches: Sequence[Batch], rows: list[_Row], touched: set[_Stream]) -> list[Outcome]:
        """Every event as a new one. _LookAgainError when an expectation fails."""
        outcomes: list[Outcome] = []
        streams, kinds, origins, stretches = self._streams, self._kinds, self._origins, self._stretches
        position = self._position
        # Every event of every append comes through here: no call that a look-up can save.
        for entries, expected in batches:
            for session_id, branch_id, sequence in expected:
                if self._head(chain.place(session_id, branch_id)) != sequence:
                    raise _LookAgainError
            placed: list[Placed] = []
            for (
                place,
                key,
                kind,
                timestamp_us,
                origin,
                causation,
                correlation,
                trace,
                span,
                described,
                payload,
            ) in entries:
                stream = streams.get(place) or self._stream(place)
                position += 1
                sequence = stream.sequence = stream.sequence + 1
                segment = position >> SEGMENT_BITS
                if stream.segment != segment:
                    stream.segment = segment
                    stretches.append((stream.no, sequence, segment))
                digest = stream.digest = _sha256(
                    _join((stream.digest, place, _pack(sequence), described, payload))
                ).digest()
                rows.append(
                    (
                        position,
                        stream.no,
                        sequence,
                        key,
                        kinds[kind],
                        timestamp_us,
                        origins[origin],
                        causation,
                        correlation,
                        trace,
                        span,
                        payload,
                        digest,
                    )
                )
                placed.append((sequence, position, digest, False))
                touched.add(stream)
            outcomes.append(placed)
        self._position = position
        return outcomes

    def _place_carefully(self, batches: Sequence[Batch], rows: list[_Row], touched: set[_Stream]) -> list[Outcome]:
        """Like `_place_all`, with each id looked up in the file and among the group's own events."""
        fresh: dict[Compact, tuple[Entry, Placed]] = {}
        outcomes: list[Outcome] = []
        for batch in batches:
            try:
                outcomes.append(self._place_one_carefully(batch, rows, touched, fresh))
            except (EventConflictError, SequenceConflictError) as error:
                outcomes.append(error)
        return outcomes

    def _place_one_carefully(
        self,
        batch: Batch,
        rows: list[_Row],
        touched: set[_Stream],
        fresh: dict[Compact, tuple[Entry, Placed]],
    ) -> list[Placed]:
        entries = batch[0]
        known: list[Placed | None] = []
        own: dict[Compact, Entry] = {}
        for entry in entries:
            placed = self._stored(entry, fresh)
            twin = own.setdefault(entry[1], entry)
            if not _is_same(entry, twin):
                raise EventConflictError(expand_id(entry[1]))
            known.append(placed)
        if not known or any(placed is None for placed in known):
            self._check_expected(batch)
        outcome: list[Placed] = []
        for entry, placed in zip(entries, known, strict=True):
            if placed is None and entry[1] in fresh:
                placed = (*fresh[entry[1]][1][:3], True)
            if placed is None:
                placed = self._place_one(entry, rows, touched)
                fresh[entry[1]] = (entry, placed)
            outcome.append(placed)
        return outcome

    def _place_one(self, entry: Entry, rows: list[_Row], touched: set[_Stream]) -> Placed:
        (outcome,) = self._place_all([([entry], ())], rows, touched)
        assert isinstance(outcome, list)
        return outcome[0]

    def _check_expected(self, batch: Batch) -> None:
        for session_id, branch_id, sequence in batch[1]:
            actual = self._head(chain.place(session_id, branch_id))
            if actual != sequence:
                raise SequenceConflictError(session_id, branch_id, expected=sequence, actual=actual)

    def _stored(self, entry: Entry, fresh: dict[Compact, tuple[Entry, Placed]]) -> Placed | None:
        """Where the event already stands; EventConflictError when another one has its id."""
        place, key, kind, _, origin, causation, _, _, _, _, payload = entry
        earlier = fresh.get(key)
        if earlier is not None:
            if not _is_same(entry, earlier[0]):
                raise EventConflictError(expand_id(key))
            return (*earlier[1][:3], True)
        row = fetch_one(self._connection, _BY_ID, (key,))
        if row is None:
            return None
        position, stream_no, sequence, kind_no, origin_no, stored_causation, body, digest = row
        is_same = (
            self._place_of(stream_no) == chain.place_fields(place)
            and self._origin_of(origin_no)[:3] == origin_fields(origin)[:3]
            and self._kind_of(kind_no) == kind
            and body == payload
            and stored_causation == causation
        )
        if not is_same:
            raise EventConflictError(expand_id(key))
        return (sequence, position, digest, True)

    def _head(self, place: bytes) -> int:
        stream = self._streams.get(place) or self._find_stream(place)
        return 0 if stream is None else stream.sequence

    def _find_stream(self, place: bytes) -> _Stream | None:
        row = fetch_one(self._connection, _FIND, chain.place_fields(place))
        if row is None:
            return None
        stream = self._streams[place] = _Stream(*row)
        return stream

    def _stream(self, place: bytes) -> _Stream:
        stream = self._find_stream(place)
        if stream is None:
            session_id, branch_id = chain.place_fields(place)
            self._connection.execute(
                "INSERT INTO stream (session, branch, seq, digest) VALUES (?, ?, 0, ?)",
                (session_id, branch_id, chain.GENESIS),
            )
            stream = self._streams[place] = _Stream(self._connection.last_insert_rowid(), 0, chain.GENESIS, None)
        return stream

    def _number_kind(self, name: str) -> int:
        no: int | None = self._connection.execute("SELECT no FROM kind WHERE name = ?", (name,)).get
        if no is None:
            self._connection.execute("INSERT INTO kind (name) VALUES (?)", (name,))
            no = self._connection.last_insert_rowid()
        return no

    def _number_origin(self, origin: bytes) -> int:
        fields = origin_fields(origin)
        no: int | None = self._connection.execute(
            "SELECT no FROM origin WHERE agent = ? AND actor = ? AND component IS ?"
            " AND schema_name = ? AND schema_version = ?",
            fields,
        ).get
        if no is None:
            self._connection.execute(
                "INSERT INTO origin (agent, actor, component, schema_name, schema_version) VALUES (?, ?, ?, ?, ?)",
                fields,
            )
            no = self._connection.last_insert_rowid()
        return no

    def _place_of(self, no: int) -> tuple[str, str]:
        row: tuple[str, str] = self._connection.execute("SELECT session, branch FROM stream WHERE no = ?", (no,)).get
        return row

    def _kind_of(self, no: int) -> str:
        name: str = self._connection.execute("SELECT name FROM kind WHERE no = ?", (no,)).get
        return name

    def _origin_of(self, no: int) -> tuple[str | None, ...]:
        row: tuple[str | None, ...] = self._connection.execute(
            "SELECT agent, actor, component FROM origin WHERE no = ?", (no,)
        ).get
        return row


def _is_same(entry: Entry, other: Entry) -> bool:
    """Whether two entries with one id are the same event: stream, kind, agent, actor, causation and payload."""
    return (
        entry[0] == other[0]
        and entry[2] == other[2]
        and origin_fields(entry[4])[:3] == origin_fields(other[4])[:3]
        and entry[5] == other[5]
        and entry[10] == other[10]
    )
