"""How much a journal holds, and of what. One look over the file; nothing is verified."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import apsw

from life.lago.journal import schema

_NAME = (
    "CASE WHEN kind.name = 'Custom' AND json_valid(CAST(event.body AS TEXT))"
    " THEN coalesce(json_extract(CAST(event.body AS TEXT), '$.event_type'), 'Custom') ELSE kind.name END"
)
_KINDS = (
    f"SELECT {_NAME} AS label, count(*), sum(length(event.body)) FROM event JOIN kind ON kind.no = event.kind"  # noqa: S608
    " GROUP BY label ORDER BY count(*) DESC, label"
)
_SESSIONS = "SELECT session, count(*), sum(seq) FROM stream GROUP BY session ORDER BY sum(seq) DESC, session LIMIT ?"


class KindCount(NamedTuple):
    """One kind of event; Custom ones by their dotted type."""

    kind: str
    events: int
    payload_bytes: int


class SessionCount(NamedTuple):
    """One session."""

    session_id: str
    branches: int
    events: int


class Statistics(NamedTuple):
    """What a journal holds. Times in microseconds since 1970; 0 when it is empty."""

    events: int
    sessions: int
    branches: int
    first_us: int
    last_us: int
    file_bytes: int
    log_bytes: int
    payload_bytes: int
    kinds: tuple[KindCount, ...]
    largest: tuple[SessionCount, ...]
    """The sessions with the most events, at most ten."""


def statistics_of(path: Path, *, largest: int = 10) -> Statistics:
    """Count; about a second per million events. JournalErrors as for reading."""
    connection = schema.connect(path, purpose="read")
    try:
        connection.execute("BEGIN")
        kinds = tuple(KindCount(*row) for row in schema.fetch(connection, _KINDS))
        sessions = tuple(SessionCount(*row) for row in schema.fetch(connection, _SESSIONS, (largest,)))
        (counts,) = schema.fetch(connection, "SELECT count(DISTINCT session), count(*) FROM stream")
        (times,) = schema.fetch(connection, "SELECT coalesce(min(ts_us), 0), coalesce(max(ts_us), 0) FROM event")
    except (apsw.Error, UnicodeDecodeError) as error:
        raise schema.explain(error, path) from None
    finally:
        connection.close()
    log = Path(f"{path}-wal")
    return Statistics(
        sum(kind.events for kind in kinds),
        counts[0],
        counts[1],
        times[0],
        times[1],
        path.stat().st_size,
        log.stat().st_size if log.exists() else 0,
        sum(kind.payload_bytes for kind in kinds),
        kinds,
        sessions,
    )
