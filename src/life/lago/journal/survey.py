"""Which streams of a damaged journal are sound: each is followed by itself, and damage in one does not end the look at the others.

`verify_file` is the proof that a journal is whole, and twice as fast; this is for the morning after.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

from life.aios.errors import JournalDamagedError, JournalError
from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord, Stream
from life.lago.errors import JournalFileDamagedError
from life.lago.journal import chain
from life.lago.journal.reader import Reader
from life.lago.journal.redacted import Claimed, is_covered, read_redaction, read_stub

_PAGE: Final = 1000


class Survey(NamedTuple):
    """What was found."""

    events: int
    """How many events of sound streams there are."""
    sound: list[Stream]
    damaged: list[JournalDamagedError]
    """For each damaged stream the first thing that is wrong, with its session, branch and sequence."""


def survey_file(path: Path) -> Survey:
    """Follow every stream of the journal at `path`, which must have been opened before; blocks for about five seconds per
    million events. JournalFileDamagedError when not even the streams can be told."""
    reader = Reader(path)
    try:
        events, sound, damaged = 0, [], []
        for stream in reader.streams(None):
            try:
                events += _follow(reader, stream, path)
                sound.append(stream)
            except JournalDamagedError as error:
                damaged.append(error)
        return Survey(events, sound, damaged)
    finally:
        reader.close()


def _follow(reader: Reader, stream: Stream, path: Path) -> int:
    """How many events the stream has; JournalDamagedError when it is not sound."""
    head = reader.head(stream)
    sequence, digest = 0, chain.GENESIS.hex()
    more = True
    while more:
        query = EventQuery(stream.session_id, stream.branch_id, after_sequence=sequence)
        try:
            records, _, more = reader.scan(query, _PAGE)
            for record in records:
                found = chain.event_digest(digest, record)
                if found != record.digest and not _is_redacted(reader, record, found):
                    raise JournalDamagedError(*stream, record.sequence, expected=str(record.digest), found=found)
                sequence, digest = record.sequence, str(record.digest)
        except JournalFileDamagedError as error:  # a page of it can't be read, and that names no stream
            raise JournalFileDamagedError(
                str(path), error.found, session_id=stream.session_id, branch_id=stream.branch_id, sequence=sequence
            ) from None
        except JournalDamagedError:
            raise
        except (JournalError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise JournalDamagedError(*stream, sequence + 1, expected="a readable event", found=str(error)) from None
    if (sequence, digest) != head:
        raise JournalDamagedError(*stream, sequence, expected=head.digest, found=digest)
    return sequence


def _is_redacted(reader: Reader, record: EventRecord, found: str) -> bool:
    """Whether the record holds a stub that its redaction stands for (life.lago.journal.redacted)."""
    stub = read_stub(record.payload)
    event = None if stub is None else reader.get(stub.redaction)
    if stub is None or event is None or event.stream != record.stream or event.sequence <= record.sequence:
        return False
    claim = Claimed(*record.stream, record.sequence, stub.redaction, str(record.digest), found)
    return is_covered(claim, read_redaction(event.payload))
