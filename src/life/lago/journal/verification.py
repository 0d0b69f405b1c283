"""Checking a journal file: every row against the chain, every head against its last event, every index entry.

`verify_file` checks all of it or what lies behind a position, `verify_recent` what a crash may have harmed. The first thing that is wrong is a JournalDamagedError with the stream, the sequence, and what was expected and found.
Nothing is repaired and nothing is left out. A row with a redaction stub is in order when its redaction stands in the same
stream and names its digests (life.lago.journal.redacted).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

from life.aios.errors import JournalDamagedError, JournalError
from life.aios.record import Stream
from life.lago.errors import JournalFileDamagedError
from life.lago.journal import acknowledged, chain, schema
from life.lago.journal.redacted import Claimed, Redaction, is_covered, read_redaction, read_stub
from life.lago.journal.schema import SEGMENT_BITS

SMALL_EVENTS: Final = 10_000
"""A journal of so many events is checked whole whenever it is opened; it takes some hundredths of a second."""

_ROWS: Final = (
    "SELECT pos, stream, seq, id, kind, ts_us, origin, causation, correlation, trace, span, body, digest"
    " FROM event NOT INDEXED WHERE pos > ? ORDER BY pos"
)

_ORIGIN: Final = "SELECT agent, actor, component, schema_name, schema_version FROM origin WHERE no = ?"
_OWNER: Final = "SELECT stream, seq FROM event INDEXED BY event_by_sequence WHERE pos >> 10 = ?1 >> 10 AND +pos = ?1"
_DIGEST: Final = (
    "SELECT digest FROM event WHERE pos >> 10 = (SELECT +segment FROM stretch WHERE stream = ?1"
    " AND first_seq <= ?2 ORDER BY first_seq DESC LIMIT 1) AND stream = ?1 AND seq = ?2 AND pos <= ?3"
)
_REDACTION: Final = "SELECT stream, seq, body FROM event WHERE id = ?"
_HEADS: Final = "SELECT no, session, branch, seq, digest FROM stream"


_PROGRESS_MASK: Final = 0x3FFF
"""Progress is told every 16,384 events."""


class Verified(NamedTuple):
    """How much was found to be in order."""

    events: int
    streams: int


class _Chain:
    """How far one stream has been followed."""

    __slots__ = ("digest", "place", "segment", "sequence", "stream", "stream_no")

    def __init__(self, stream_no: int, stream: Stream, sequence: int, digest: bytes) -> None:
        self.stream_no = stream_no
        self.stream = stream
        self.place = chain.place(stream.session_id, stream.branch_id)
        self.sequence = sequence
        self.digest = digest
        self.segment = -1


def verify_file(path: Path, *, after_position: int = 0, on_progress: Callable[[int], None] | None = None) -> Verified:
    """Check the events behind a position (0: all of them, with the file's structure and indexes).

    `on_progress` is told now and then how many events were checked, from the thread that runs this. Blocks for about two seconds per million events. JournalDamagedError at the first thing that is wrong.
    """
    structure = _Structure(path) if after_position == 0 else None
    marked = acknowledged.newest(path)
    connection = schema.connect(path, purpose="read")
    try:
        connection.execute("BEGIN")
        schema.check_acknowledged(connection, path, marked)
        verification = _Verification(connection, path, on_progress)
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


def verify_recent(path: Path) -> Verified:
    """Check a journal of up to 10,000 events whole, and of a larger one what lies behind the position that is settled
    (life.lago.journal.store): about 20,000 events after a crash, none after a clean end, however many there are.
    JournalDamagedError at the first thing that is wrong."""
    connection = schema.connect(path, purpose="read")
    try:
        settled: int = connection.execute("SELECT coalesce((SELECT value FROM meta WHERE key = 'settled'), 0)").get
        last: int = connection.execute("SELECT coalesce(max(pos), 0) FROM event").get
    except (apsw.Error, UnicodeDecodeError) as error:
        raise schema.explain(error, path) from None
    finally:
        connection.close()
    verified = Verified(0, 0)
    if last <= SMALL_EVENTS:
        verified = verify_file(path)
    elif last > settled:
        verified = verify_file(path, after_position=settled)
    if last < settled:
        raise JournalFileDamagedError(str(path), f"the event at position {settled} is missing")
    return verified


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


class _Origins(dict[int, tuple[Any, ...]]):
    """Agent, actor and schema by number, looked up when an event names them first; KeyError for a number without a name."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def __missing__(self, no: int) -> tuple[Any, ...]:
        row = schema.fetch_one(self._connection, _ORIGIN, (no,))
        if row is None:
            raise KeyError(no)
        self[no] = row
        return row


class _Verification:
    def __init__(
        self, connection: apsw.Connection, path: Path, on_progress: Callable[[int], None] | None = None
    ) -> None:
        self._connection = connection
        self._path = path
        self._on_progress = on_progress or _silent
        self._chains: dict[int, _Chain] = {}
        self._last: _Chain | None = None
        self._missing_position: int | None = None
        self._stretches = 0
        self._claims: list[tuple[int, Claimed]] = []

    def run(self, after_position: int) -> Verified:
        try:
            self._load_names(all_streams=after_position == 0)
            events = self._follow(after_position)
            self._check_heads()
            self._check_claims()
            if after_position == 0:
                self._check_stretches()
        except (apsw.CorruptError, UnicodeDecodeError) as error:
            raise self._unreadable(str(error)) from None
        if self._missing_position is not None:
            raise self._unreadable(f"the event at position {self._missing_position} is missing")
        return Verified(events, len(self._chains))

    def _load_names(self, *, all_streams: bool) -> None:
        query = self._connection.execute
        self._kinds: dict[int, Any] = dict(query("SELECT no, name FROM kind"))
        self._origins = _Origins(self._connection)
        self._heads: dict[int, tuple[Stream, Any, Any]] = {}
        if all_streams:
            self._heads.update(_head(row) for row in query(_HEADS))

    def _follow(self, after_position: int) -> int:
        """Walk all rows in the order of positions."""
        sha256 = hashlib.sha256
        join = b"".join
        pack = chain.pack
        chains = self._chains
        kinds, origins = self._kinds, self._origins
        position = after_position
        events = stretches = 0
        for row in self._connection.execute(_ROWS, (after_position,)):
            pos, stream, seq, key, kind, ts_us, origin, causation, correlation, trace, span, body, digest = row
            position += 1
            link = chains.get(stream) or self._begin(stream, seq, position, after_position)
            if seq != link.sequence + 1:
                raise self._misplaced(position, link) or self._gap(link)
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
                unreadable = f"unreadable columns ({type(error).__name__})"
                raise self._misplaced(position, link) or _damaged(link.stream, seq, _hex(digest), unreadable) from None
            if found != digest:
                if not self._is_claimed(link, seq, body, digest, found):
                    raise self._misplaced(position, link) or _damaged(link.stream, seq, _hex(digest), found.hex())
                found = digest
            segment = pos >> SEGMENT_BITS
            if link.segment != segment:
                link.segment = segment
                stretches += hash((stream, seq, segment))
            link.sequence = seq
            link.digest = found
            self._last = link
            events += 1
            if not events & _PROGRESS_MASK:
                self._on_progress(events)
        self._stretches = stretches
        return events

    def _begin(self, stream_no: Any, sequence: Any, position: int, after_position: int) -> _Chain:
        """The chain of a stream that is met for the first time."""
        known = self._heads.get(stream_no)
        if known is None and after_position:
            row = schema.fetch_one(self._connection, f"{_HEADS} WHERE no = ?", (stream_no,))
            if row is not None:
                known = self._heads[stream_no] = _head(row)[1]
        if known is None:
            raise self._misplaced(position, None) or _damaged(
                Stream(f"(stream {stream_no})", "(unknown)"), _int(sequence), "a stream with this number", "none"
            )
        link = self._chains[stream_no] = _Chain(stream_no, known[0], 0, chain.GENESIS)
        if after_position and isinstance(sequence, int) and sequence > 1:
            digest: Any = self._connection.execute(
                _DIGEST,
                (stream_no, sequence - 1, after_position),
            ).get
            if isinstance(digest, bytes):
                link.sequence, link.digest = sequence - 1, digest
        return link

    def _misplaced(self, position: int, link: _Chain | None) -> JournalDamagedError | None:
        """The error for a position whose row is not the one that its index knows: a torn page can hold rows of another time or of another
        stream, and the index still knows whose event stood there. None when they agree, or the index does not know."""
        try:
            row = schema.fetch_one(self._connection, _OWNER, (position,))
            if row is None or (link is not None and row[0] == link.stream_no):
                return None
            head = schema.fetch_one(self._connection, f"{_HEADS} WHERE no = ?", (row[0],))
        except (apsw.Error, UnicodeDecodeError):
            return None
        if head is None:
            return None
        return _damaged(_head(head)[1][0], _int(row[1]), "the row of this event", "another one")

    def _gap(self, link: _Chain) -> JournalDamagedError:
        return _damaged(link.stream, link.sequence + 1, "the next event of the stream", "none: the row is missing")

    def _check_heads(self) -> None:
        """Every head that was looked at: all of them, or those of the streams that were met."""
        for no, (stream, sequence, digest) in self._heads.items():
            link = self._chains.get(no) or _Chain(no, stream, 0, chain.GENESIS)
            if isinstance(sequence, int) and link.sequence < sequence:
                raise _damaged(stream, link.sequence + 1, _hex(digest), "none: the row is missing")
            if link.sequence != sequence or link.digest != digest:
                raise _damaged(stream, link.sequence, _hex(digest), link.digest.hex())

    def _is_claimed(self, link: _Chain, sequence: int, body: bytes, digest: object, found: bytes) -> bool:
        """Whether the row holds a redaction stub; the redaction it names is looked at when all rows were."""
        stub = read_stub(body)
        if stub is None or not isinstance(digest, bytes):
            return False
        claim = Claimed(*link.stream, sequence, stub.redaction, digest.hex(), found.hex())
        self._claims.append((link.stream_no, claim))
        return True

    def _check_claims(self) -> None:
        """Every stub's redaction stands behind it in its stream, and names the two digests."""
        known: dict[str, tuple[Any, Any, Redaction | None]] = {}
        for stream_no, claim in self._claims:
            if claim.redaction not in known:
                row = schema.fetch_one(self._connection, _REDACTION, (chain.compact_id(claim.redaction),))
                known[claim.redaction] = (None, 0, None) if row is None else (row[0], row[1], read_redaction(row[2]))
            stream, sequence, redaction = known[claim.redaction]
            if stream != stream_no or sequence <= claim.sequence or not is_covered(claim, redaction):
                where = Stream(claim.session_id, claim.branch_id)
                raise _damaged(where, claim.sequence, claim.digest, f"{claim.stub_digest}, and no redaction says so")

    def _check_stretches(self) -> None:
        """What leads to the segments of each stream, against the segments that were met: sums of hashes, since there can be as
        many as events."""
        found = sum(
            hash(tuple(row)) for row in self._connection.execute("SELECT stream, first_seq, segment FROM stretch")
        )
        if found != self._stretches:
            raise JournalFileDamagedError(str(self._path), "its stretches do not lead to the events of its streams")

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


def _head(row: schema.Row) -> tuple[int, tuple[Stream, Any, Any]]:
    """A stream's number, and its name, last sequence and digest."""
    no, session, branch, sequence, digest = row
    return no, (Stream(str(session), str(branch)), sequence, digest)


def _damaged(stream: Stream, sequence: int, expected: str, found: str) -> JournalDamagedError:
    return JournalDamagedError(stream.session_id, stream.branch_id, sequence, expected=expected, found=found)


def _hex(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else repr(value)


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _silent(_events: int) -> None:
    """Nobody watches."""
