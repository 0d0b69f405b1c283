"""Reading the journal's file: pages of records, heads, streams. For one thread; every call is short.

Records hold the stored payload; nothing is decoded here. A page without a kind filter must be gapless, and is checked:
a missing row is a JournalDamagedError and never a shorter answer.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import apsw

from life.aios.errors import JournalDamagedError
from life.aios.ids import encode_ulids
from life.aios.ports.journal import EventQuery, Head
from life.aios.record import Actor, EventRecord, Schema, Stream
from life.lago.errors import JournalFileDamagedError
from life.lago.journal import chain, schema
from life.lago.journal.chain import Compact, compact_id, expand_hex, expand_id
from life.lago.journal.schema import Row, fetch, fetch_one
from life.lago.journal.subscription import Page

_SELECT: Final = (
    "SELECT pos, stream, seq, id, kind, ts_us, origin, causation, correlation, trace, span, body, digest FROM event "
)
_WINDOW_EVENTS: Final = 20_000
"""How many events a page with a kind filter looks at before others get their turn (some milliseconds)."""

_REMEMBERED: Final = 10_000
"""How many texts of runs and traces are kept before the caches start again from empty."""


class Reader:
    """A reading connection with the names that numbers stand for (names never change, so they are kept for good)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = schema.connect(path, purpose="read")
        self._stream_names: dict[int, Stream] = {}
        self._stream_numbers: dict[Stream, int] = {}
        self._kind_names: dict[int, str] = {}
        self._origins: dict[int, tuple[str, Actor, Schema]] = {}
        self._run_names: dict[Compact, str] = {}
        self._trace_names: dict[Compact, str] = {}

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
        return [self._stream_name(no) for (no,) in rows]

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
        kinds, values = self._kind_filter(query.kinds)
        rows = fetch(
            self._connection,
            f"{_SELECT}WHERE stream = ? AND seq > ? AND seq <= ?{kinds} ORDER BY seq LIMIT ?",
            (no, after, end, *values, limit),
        )
        if not query.kinds:
            _check_gapless(stream, rows, 2, after, min(limit, end - after))
        reached = rows[-1][2] if len(rows) == limit else end
        return Page(self._records(rows), query._replace(after_sequence=reached), more=reached < last)

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
            self._connection.cursor().execute(
                f"{_SELECT}WHERE stream = ? AND seq > ? AND seq <= ?{kinds} ORDER BY seq", (no, first, last_, *values)
            )
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
            at: int | None = self._connection.execute(
                "SELECT pos FROM event WHERE stream = ? AND seq = ?", (stream_no, middle)
            ).get
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
        return f" AND kind IN ({','.join('?' * len(rows))})", tuple(no for (no,) in rows)

    def _records(self, rows: Sequence[Row]) -> list[EventRecord]:
        try:
            return self._convert(rows)
        except (AttributeError, LookupError, TypeError, ValueError) as error:  # a value of a type that no writer stores
            raise JournalFileDamagedError(str(self._path), f"a row can't be read ({error})") from None

    def _convert(self, rows: Sequence[Row]) -> list[EventRecord]:
        streams, kinds, origins = self._stream_names, self._kind_names, self._origins
        runs, traces = self._run_names, self._trace_names
        records = []
        for event_id, row in zip(_event_ids(rows), rows, strict=True):
            pos, stream, seq, _, kind, ts_us, origin, causation, correlation, trace, span, body, digest = row
            session_id, branch_id = streams.get(stream) or self._stream_name(stream)
            agent_id, actor, schema_ = origins.get(origin) or self._origin(origin)
            record = EventRecord(
                event_id=event_id,
                session_id=session_id,
                branch_id=branch_id,
                agent_id=agent_id,
                sequence=seq,
                timestamp_us=ts_us,
                actor=actor,
                schema=schema_,
                kind_name=kinds.get(kind) or self._kind_name(kind),
                payload=body,
                trace_id=None if trace is None else traces.get(trace) or _remember(traces, trace, expand_hex),
                span_id=span.hex() if type(span) is bytes else span,
                digest=digest.hex(),
                position=pos,
            )
            if causation is not None:
                record.causation_id = expand_id(causation)
            if correlation is not None:
                record.correlation_id = runs.get(correlation) or _remember(runs, correlation, expand_id)
            records.append(record)
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
                no = self._stream_numbers[stream] = int(row[0])
        return no

    def _stream_name(self, no: int) -> Stream:
        name = self._stream_names.get(no)
        if name is None:
            name = Stream(*self._name("SELECT session, branch FROM stream WHERE no = ?", no))
            self._stream_names[no] = name
        return name

    def _kind_name(self, no: int) -> str:
        name = self._kind_names[no] = str(self._name("SELECT name FROM kind WHERE no = ?", no)[0])
        return name

    def _origin(self, no: int) -> tuple[str, Actor, Schema]:
        agent_id, actor, component, name, version = self._name(
            "SELECT agent, actor, component, schema_name, schema_version FROM origin WHERE no = ?", no
        )
        origin = self._origins[no] = (agent_id, Actor(actor, component), Schema(name, version))
        return origin

    def _name(self, statement: str, no: int) -> Row:
        row = fetch_one(self._connection, statement, (no,))
        if row is None:
            raise JournalFileDamagedError(str(self._path), f"an event refers to number {no}, which has no name")
        return row


def _event_ids(rows: Sequence[Row]) -> list[str]:
    keys: list[Compact] = [row[3] for row in rows]
    ulids = [key for key in keys if isinstance(key, bytes) and len(key) == 16]
    if len(ulids) == len(keys) > 8:
        return encode_ulids(ulids)
    return [expand_id(key) for key in keys]


def _remember(known: dict[Compact, str], value: Compact, expand: Callable[[Compact], str]) -> str:
    if len(known) >= _REMEMBERED:
        known.clear()
    name = known[value] = expand(value)
    return name


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
