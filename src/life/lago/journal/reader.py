"""Reading the journal's file: pages of records, heads, streams. For one thread; every call is short.

Records hold the stored payload; nothing is decoded here. A page without a kind filter must be gapless, and is checked:
a missing row is a JournalDamagedError and never a shorter answer.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, Generic, TypeVar, cast

import apsw

from life.aios.errors import JournalDamagedError
from life.aios.ids import encode_ulids
from life.aios.ports.journal import EventQuery, Head
from life.aios.record import Actor, EventRecord, Schema, Stream
from life.lago.errors import JournalFileDamagedError
from life.lago.journal import chain, schema
from life.lago.journal.chain import Compact, compact_id, expand_hex, expand_id
from life.lago.journal.schema import SEGMENT_BITS, Row, fetch, fetch_one
from life.lago.journal.subscription import Page

_COLUMNS: Final = (
    "SELECT event.pos, event.stream, event.seq, event.id, event.kind, event.ts_us, event.origin, event.causation,"
    " event.correlation, event.trace, event.span, event.body, event.digest FROM "
)
_SELECT: Final = f"{_COLUMNS} event "
_SELECT_STREAM: Final = " ".join(
    (
        _COLUMNS,
        "stretch CROSS JOIN event INDEXED BY event_by_sequence",
        "ON event.pos >> 10 = +stretch.segment AND event.stream = stretch.stream",
        "WHERE stretch.stream = ?1 AND stretch.first_seq <= ?3 AND stretch.first_seq >=",
        "coalesce((SELECT max(first_seq) FROM stretch WHERE stream = ?1 AND first_seq <= ?2 + 1), 0)",
        "AND event.seq > ?2 AND event.seq <= ?3",
    )
)
"""Events of stream ?1 with sequences behind ?2 up to ?3: segment by segment, from the one that holds the first of them."""
_IN_ORDER: Final = " ORDER BY stretch.first_seq, event.seq"
_SELECT_SEGMENT: Final = f"{_SELECT}WHERE pos >> 10 = ? AND stream = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
_POSITION: Final = (
    "SELECT pos FROM event WHERE pos >> 10 = (SELECT +segment FROM stretch WHERE stream = ?1 AND first_seq <= ?2"
    " ORDER BY first_seq DESC LIMIT 1) AND stream = ?1 AND seq = ?2"
)
_WINDOW_EVENTS: Final = 20_000
"""How many events a page with a kind filter looks at before others get their turn (some milliseconds)."""

_MASK_BITS: Final = 62
"""Kinds with numbers below this are filtered by a mask of 64 bits."""

_REMEMBERED: Final = 10_000
"""How many names of each sort are kept before the caches start again from empty."""

_K = TypeVar("_K")
_N = TypeVar("_N")


class _Names(Generic[_K, _N]):
    """What numbers and compact ids stand for. Names never change; those that were asked for are `known`."""

    def __init__(self, look_up: Callable[[_K], _N]) -> None:
        self._look_up = look_up
        self.known: dict[_K, _N] = {}

    def find(self, key: _K) -> _N:
        """The name of one that is not known yet, which it is from then on."""
        if len(self.known) >= _REMEMBERED:
            self.known.clear()
        name = self.known[key] = self._look_up(key)
        return name


class Reader:
    """A reading connection with the names that numbers stand for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = schema.connect(path, purpose="read")
        self._stream_numbers: dict[Stream, int] = {}
        self._last_rows: dict[int, tuple[int, int]] = {}  # by stream: sequence and position of the last row given out
        self._streams = _Names(self._stream_name)
        self._kinds = _Names(self._kind_name)
        self._origins = _Names(self._origin)
        self._runs = _Names(expand_id)
        self._traces = _Names(expand_hex)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def scan(self, query: EventQuery, limit: int) -> Page:
        """The next page of a checked query."""
        try:
            if query.session_id is None:
                return self._scan_all(query, limit)
            if query.branch_id is None:
                return self._scan_session(query, limit)
            return self._scan_stream(query, limit)
        except (apsw.Error, UnicodeDecodeError) as error:
            raise schema.explain(error, self._path) from None

    def get(self, event_id: str) -> EventRecord | None:
        """The event with this id."""
        try:
            row = fetch_one(self._connection, _SELECT + "WHERE id = ?", (compact_id(event_id),))
            return None if row is None else self._records([row])[0]
        except (apsw.Error, UnicodeDecodeError) as error:
            raise schema.explain(error, self._path) from None

    def head(self, stream: Stream) -> Head:
        """The end of a stream."""
        try:
            row = fetch_one(
                self._connection,
                "SELECT seq, digest FROM stream WHERE session = ? AND branch = ?",
                (stream[0], stream[1]),
            )
        except (apsw.Error, UnicodeDecodeError) as error:
            raise schema.explain(error, self._path) from None
        return Head(0, chain.GENESIS.hex()) if row is None else Head(row[0], row[1].hex())

    def streams(self, session_id: str | None) -> list[Stream]:
        """All streams (of one session), in the order of their first event."""
        try:
            if session_id is None:
                rows = fetch(self._connection, "SELECT session, branch FROM stream ORDER BY no")
            else:
                rows = fetch(
                    self._connection, "SELECT session, branch FROM stream WHERE session = ? ORDER BY no", (session_id,)
                )
            return [Stream(*row) for row in rows]
        except (apsw.Error, UnicodeDecodeError) as error:
            raise schema.explain(error, self._path) from None

    def last_position(self) -> int:
        """The position of the newest event, 0 when there is none."""
        position: int = self._connection.execute("SELECT coalesce(max(pos), 0) FROM event").get
        return position

    def data_version(self) -> int:
        """A number that changes whenever somebody else has committed."""
        version: int = self._connection.execute("PRAGMA data_version").get
        return version

    def streams_between(self, after_position: int, through_position: int) -> list[Stream]:
        """The streams of the events in a range of positions."""
        rows = fetch(
            self._connection,
            "SELECT DISTINCT stream FROM event WHERE pos > ? AND pos <= ?",
            (after_position, through_position),
        )
        return [self._streams.known.get(no) or self._streams.find(no) for (no,) in rows]

    def _scan_stream(self, query: EventQuery, limit: int) -> Page:
        stream = Stream(query.session_id or "", query.branch_id or "")
        found = self._stream_number(stream)
        if found is None:
            return Page([], query, more=False)
        no, head = found, self.head(stream).sequence
        after = max(query.after_sequence, self._sequence_at(no, head, query.after_position))
        last = head if query.before_sequence is None else min(head, query.before_sequence - 1)
        end = min(last, after + _WINDOW_EVENTS) if query.kinds else last
        if after >= last:
            return Page([], query._replace(after_sequence=after), more=False)
        rows = [] if query.kinds else self._behind_last_page(no, after, end, limit)
        if not rows:
            kinds, values = self._kind_filter(query.kinds)
            rows = fetch(
                self._connection, f"{_SELECT_STREAM}{kinds}{_IN_ORDER} LIMIT ?", (no, after, end, *values, limit)
            )
        if rows:
            if len(self._last_rows) >= _REMEMBERED:
                self._last_rows.clear()
            self._last_rows[no] = (rows[-1][2], rows[-1][0])
        if not query.kinds:
            _check_gapless(stream, rows, 2, after, min(limit, end - after))
        reached = rows[-1][2] if len(rows) == limit else end
        return Page(self._records(rows), query._replace(after_sequence=reached), more=reached < last)

    def _behind_last_page(self, stream_no: int, after: int, end: int, limit: int) -> list[Row]:
        """The rows, if they follow the last page of the stream and are in the same segment; most pages of live readers are.
        Otherwise none."""
        sequence, position = self._last_rows.get(stream_no, (-1, 0))
        if sequence != after:
            return []
        rows = fetch(self._connection, _SELECT_SEGMENT, (position >> SEGMENT_BITS, stream_no, after, end, limit))
        return rows if len(rows) == min(limit, end - after) else []

    def _scan_all(self, query: EventQuery, limit: int) -> Page:
        after, last = query.after_position, self.last_position()
        if after >= last:
            return Page([], query, more=False)
        end = min(last, after + _WINDOW_EVENTS) if query.kinds else last
        kinds, values = self._kind_filter(query.kinds)
        rows = fetch(
            self._connection,
            f"{_SELECT}WHERE pos > ? AND pos <= ?{kinds} ORDER BY pos LIMIT ?",
            (after, end, *values, limit),
        )
        if not query.kinds:
            _check_gapless(Stream("(all streams)", "position"), rows, 0, after, min(limit, end - after))
        reached = rows[-1][0] if len(rows) == limit else end
        return Page(self._records(rows), query._replace(after_position=reached), more=reached < last)

    def _scan_session(self, query: EventQuery, limit: int) -> Page:
        after, last = query.after_position, self.last_position()
        if after >= last:
            return Page([], query, more=False)
        end = min(last, after + _WINDOW_EVENTS) if query.kinds else last
        kinds, values = self._kind_filter(query.kinds)
        # Positions grow with sequences inside of a stream, so each branch is one range of its index.
        branches = fetch(self._connection, "SELECT no, seq FROM stream WHERE session = ?", (query.session_id,))
        ranges = {no: (self._sequence_at(no, head, after), self._sequence_at(no, head, end)) for no, head in branches}
        cursors = [
            self._connection.cursor().execute(f"{_SELECT_STREAM}{kinds}{_IN_ORDER}", (no, first, last_, *values))
            for no, (first, last_) in ranges.items()
        ]
        try:
            rows: list[Row] = list(islice(heapq.merge(*cursors, key=_position), limit))
        finally:
            for cursor in cursors:
                cursor.close()
        if not query.kinds:
            found: dict[int, list[Row]] = {no: [] for no in ranges}
            for row in rows:
                found[row[1]].append(row)
            for no, (first, last_) in ranges.items():
                count = len(found[no]) if len(rows) == limit else last_ - first
                _check_gapless(self._stream_name(no), found[no], 2, first, count)
        reached = rows[-1][0] if len(rows) == limit else end
        return Page(self._records(rows), query._replace(after_position=reached), more=reached < last)

    def _sequence_at(self, stream_no: int, head: int, position: int) -> int:
        """The last sequence of a stream at or before a position."""
        if position <= 0:
            return 0
        low, high = 0, head  # the answer lies in low..high
        while low < high:
            middle = (low + high + 1) // 2
            at: int | None = self._connection.execute(_POSITION, (stream_no, middle)).get
            if at is not None and at <= position:
                low = middle
            else:
                high = middle - 1
        return low

    def _kind_filter(self, kinds: Sequence[str]) -> tuple[str, tuple[int, ...]]:
        if not kinds:
            return "", ()
        marks = ",".join("?" * len(kinds))
        rows = fetch(self._connection, f"SELECT no FROM kind WHERE name IN ({marks})", tuple(kinds))  # noqa: S608
        numbers = tuple(no for (no,) in rows)
        if all(no < _MASK_BITS for no in numbers):  # a third faster than a search in a list
            return " AND (? >> kind) & 1", (sum(1 << no for no in numbers),)
        return f" AND kind IN ({','.join('?' * len(numbers))})", numbers

    def _records(self, rows: Sequence[Row]) -> list[EventRecord]:
        try:
            return self._convert(rows)
        except (AttributeError, LookupError, TypeError, ValueError) as error:  # a value of a type that no writer stores
            raise JournalFileDamagedError(str(self._path), f"a row can't be read ({error})") from None

    def _convert(self, rows: Sequence[Row]) -> list[EventRecord]:
        streams, find_stream = self._streams.known, self._streams.find
        kinds, find_kind = self._kinds.known, self._kinds.find
        origins, find_origin = self._origins.known, self._origins.find
        runs, find_run = self._runs.known, self._runs.find
        traces, find_trace = self._traces.known, self._traces.find
        records: list[EventRecord] = []
        add = records.append
        # Every event of every replay comes through here.
        for event_id, row in zip(_event_ids(rows), rows, strict=True):
            pos, stream, seq, _, kind, ts_us, origin, causation, correlation, trace, span, body, digest = row
            session_id, branch_id = streams.get(stream) or find_stream(stream)
            agent_id, actor, schema_ = origins.get(origin) or find_origin(origin)
            record = EventRecord(
                event_id=event_id,
                session_id=session_id,
                branch_id=branch_id,
                agent_id=agent_id,
                sequence=seq,
                timestamp_us=ts_us,
                actor=actor,
                schema=schema_,
                kind_name=kinds.get(kind) or find_kind(kind),
                payload=body,
                trace_id=None if trace is None else traces.get(trace) or find_trace(trace),
                span_id=span.hex() if type(span) is bytes else span,
                digest=digest.hex(),
                position=pos,
            )
            if causation is not None:
                record.causation_id = expand_id(causation)
            if correlation is not None:
                record.correlation_id = runs.get(correlation) or find_run(correlation)
            add(record)
        return records

    def _stream_number(self, stream: Stream) -> int | None:
        no = self._stream_numbers.get(stream)
        if no is None:
            row = fetch_one(
                self._connection,
                "SELECT no FROM stream WHERE session = ? AND branch = ?",
                (stream.session_id, stream.branch_id),
            )
            if row is not None:
                if len(self._stream_numbers) >= _REMEMBERED:
                    self._stream_numbers.clear()
                no = self._stream_numbers[stream] = int(row[0])
        return no

    def _stream_name(self, no: int) -> Stream:
        return Stream(*self._name("SELECT session, branch FROM stream WHERE no = ?", no))

    def _kind_name(self, no: int) -> str:
        return str(self._name("SELECT name FROM kind WHERE no = ?", no)[0])

    def _origin(self, no: int) -> tuple[str, Actor, Schema]:
        agent_id, actor, component, name, version = self._name(
            "SELECT agent, actor, component, schema_name, schema_version FROM origin WHERE no = ?", no
        )
        return (agent_id, Actor(actor, component), Schema(name, version))

    def _name(self, statement: str, no: int) -> Row:
        row = fetch_one(self._connection, statement, (no,))
        if row is None:
            raise JournalFileDamagedError(str(self._path), f"an event refers to number {no}, which has no name")
        return row


def _event_ids(rows: Sequence[Row]) -> list[str]:
    keys: list[Compact] = [row[3] for row in rows]
    if len(keys) > 8 and set(map(type, keys)) == {bytes} and set(map(len, keys)) == {16}:
        return encode_ulids(cast("list[bytes]", keys))
    return [expand_id(key) for key in keys]


def _position(row: Row) -> int:
    position: int = row[0]
    return position


def _check_gapless(stream: Stream, rows: Sequence[Row], column: int, after: int, count: int) -> None:
    """The numbers in a column must be the `count` that follow `after` (they are in order and differ from each other)."""
    if len(rows) == count and (count == 0 or (rows[0][column] == after + 1 and rows[-1][column] == after + count)):
        return
    expected = range(after + 1, after + count + 1)
    missing = next((n for n, row in zip(expected, rows, strict=False) if row[column] != n), after + len(rows) + 1)
    raise JournalDamagedError(
        stream.session_id, stream.branch_id, missing, expected="an event", found="none: the row is missing"
    )
