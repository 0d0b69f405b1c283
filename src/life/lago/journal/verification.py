"""Checking a whole journal file: every row against the chain, every head against its last event, every index entry.

The first thing that is wrong is a JournalDamagedError with the stream, the sequence, and what was expected and found.
Nothing is repaired and nothing is left out.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

from life.aios.errors import JournalDamagedError, JournalError
from life.aios.record import Stream
from life.lago.errors import JournalFileDamagedError
from life.lago.journal import chain, schema

_ROWS: Final = (
    "SELECT pos, stream, seq, id, kind, ts_us, origin, causation, correlation, trace, span, body, digest"
    " FROM event NOT INDEXED WHERE pos > ? ORDER BY pos"
)


class Verified(NamedTuple):
    """How much was found to be in order."""

    events: int
    streams: int


class _Chain:
    """How far one stream has been followed."""

    __slots__ = ("digest", "place", "sequence", "stream")

    def __init__(self, stream: Stream, sequence: int, digest: bytes) -> None:
        self.stream = stream
        self.place = chain.place(stream.session_id, stream.branch_id)
        self.sequence = sequence
        self.digest = digest


def verify_file(path: Path, *, after_position: int = 0) -> Verified:
    """Check the events behind a position (0: all of them, with the file's structure and indexes).

    Blocks for about two seconds per million events. JournalDamagedError at the first thing that is wrong.
    """
    structure = _Structure(path) if after_position == 0 else None
    connection = schema.connect(path, purpose="read")
    try:
        connection.execute("BEGIN")
        verification = _Verification(connection, path)
        if structure is not None:
            structure.start()
        try:
            verified = verification.run(after_position)
        finally:
            fault = structure.join() if structure is not None else None
        if fault is not None:
            raise JournalFileDamagedError(str(path), fault)
        return verified
    except apsw.Error as error:
        raise schema.explain(error, path) from None
    finally:
        connection.close()


class _Structure:
    """The pages of the file, and that each index holds exactly the rows of its table; SQLite looks, in a thread of its own.

    One long call without the interpreter, so it runs beside the walk over the rows. What it finds counts only when the
    walk found nothing, because the walk can name an event.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fault: str | None = None
        self._thread = threading.Thread(target=self._look, name="journal-structure", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> str | None:
        """What is wrong, or None."""
        self._thread.join()
        return self._fault

    def _look(self) -> None:
        try:
            connection = schema.connect(self._path, purpose="read")
            try:
                answer: str = connection.execute("PRAGMA integrity_check(1)").get
            finally:
                connection.close()
        except (apsw.Error, UnicodeDecodeError, JournalError) as error:
            answer = str(error)
        if answer != "ok":
            self._fault = answer.strip().splitlines()[-1].rstrip(".")


class _Verification:
    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._chains: dict[int, _Chain] = {}
        self._last: _Chain | None = None
        self._missing_position: int | None = None

    def run(self, after_position: int) -> Verified:
        try:
            self._load_names()
            events = self._follow(after_position)
            self._check_heads(all_streams=after_position == 0)
        except (apsw.CorruptError, UnicodeDecodeError) as error:
            raise self._unreadable(str(error)) from None
        if self._missing_position is not None:
            raise self._unreadable(f"the event at position {self._missing_position} is missing")
        return Verified(events, len(self._chains))

    def _load_names(self) -> None:
        query = self._connection.execute
        self._kinds: dict[int, Any] = dict(query("SELECT no, name FROM kind"))
        self._origins: dict[int, list[Any]] = {
            no: fields
            for no, *fields in query("SELECT no, agent, actor, component, schema_name, schema_version FROM origin")
        }
        self._heads: dict[int, tuple[Stream, int, Any]] = {
            no: (Stream(str(session), str(branch)), sequence, digest)
            for no, session, branch, sequence, digest in query("SELECT no, session, branch, seq, digest FROM stream")
        }

    def _follow(self, after_position: int) -> int:
        """Walk all rows in the order of positions."""
        sha256 = hashlib.sha256
        join = b"".join
        pack = chain.pack
        chains = self._chains
        kinds, origins = self._kinds, self._origins
        position = after_position
        events = 0
        for row in self._connection.execute(_ROWS, (after_position,)):
            pos, stream, seq, key, kind, ts_us, origin, causation, correlation, trace, span, body, digest = row
            position += 1
            link = chains.get(stream) or self._begin(stream, seq, after_position)
            if seq != link.sequence + 1:
                raise self._gap(link)
            if pos != position:  # the stream it is missing from will show which event that was
                self._missing_position = self._missing_position or position
                position = pos
            try:
                agent, actor, component, name, version = origins[origin]
                described = pack(
                    (
                        ts_us,
                        key,
                        agent,
                        actor,
                        component,
                        name,
                        version,
                        causation,
                        correlation,
                        trace,
                        span,
                        kinds[kind],
                    )
                )
                found = sha256(join((link.digest, link.place, pack(seq), described, body))).digest()
            except Exception as error:  # a value that no writer stores: of another type, or a number without a name
                raise _damaged(link.stream, seq, _hex(digest), f"unreadable columns ({type(error).__name__})") from None
            if found != digest:
                raise _damaged(link.stream, seq, _hex(digest), found.hex())
            link.sequence = seq
            link.digest = found
            self._last = link
            events += 1
        return events

    def _begin(self, stream_no: Any, sequence: Any, after_position: int) -> _Chain:
        """The chain of a stream that is met for the first time."""
        known = self._heads.get(stream_no)
        if known is None:
            raise _damaged(
                Stream(f"(stream {stream_no})", "(unknown)"), _int(sequence), "a stream with this number", "none"
            )
        link = self._chains[stream_no] = _Chain(known[0], 0, chain.GENESIS)
        if after_position and isinstance(sequence, int) and sequence > 1:
            digest: Any = self._connection.execute(
                "SELECT digest FROM event WHERE stream = ? AND seq = ? AND pos <= ?",
                (stream_no, sequence - 1, after_position),
            ).get
            if isinstance(digest, bytes):
                link.sequence, link.digest = sequence - 1, digest
        return link

    def _gap(self, link: _Chain) -> JournalDamagedError:
        return _damaged(link.stream, link.sequence + 1, "the next event of the stream", "none: the row is missing")

    def _check_heads(self, *, all_streams: bool) -> None:
        for no, (stream, sequence, digest) in self._heads.items():
            link = self._chains.get(no)
            if link is None:
                if not all_streams:
                    continue
                link = _Chain(stream, 0, chain.GENESIS)
            if link.sequence < sequence:
                raise _damaged(stream, link.sequence + 1, _hex(digest), "none: the row is missing")
            if link.sequence != sequence or link.digest != digest:
                raise _damaged(stream, link.sequence, _hex(digest), link.digest.hex())

    def _unreadable(self, reason: str) -> JournalError:
        last = self._last
        if last is None:
            return JournalFileDamagedError(str(self._path), reason)
        return JournalFileDamagedError(
            str(self._path),
            reason,
            session_id=last.stream.session_id,
            branch_id=last.stream.branch_id,
            sequence=last.sequence,
        )


def _damaged(stream: Stream, sequence: int, expected: str, found: str) -> JournalDamagedError:
    return JournalDamagedError(stream.session_id, stream.branch_id, sequence, expected=expected, found=found)


def _hex(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else repr(value)


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0
