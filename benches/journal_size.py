"""Bytes on disk per event (J9), against the same events as lines of JSON and as whole JSON under text keys.

The events have 585 bytes as a record without its digest and 200 as payload. Sizes are exact, so one round is enough;
ids differ from run to run, which moves the figures by less than one percent.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import apsw
import msgspec
from journal_events import EventSource
from measure import Claim, arguments, report

from life.aios.ports.journal import EventQuery
from life.aios.record import NewEvent, encode_record
from life.lago.journal.sqlite import SqliteJournal
from life.testing.clock import ManualClock

SESSIONS = 200


async def stored(path: Path, events: list[NewEvent]) -> tuple[float, float]:
    """Bytes per event of the journal's file, and of its records as JSON without digests."""
    async with SqliteJournal.open(path, clock=ManualClock()) as journal:
        for start in range(0, len(events), 64):
            await journal.append(events[start : start + 64])
        lines = 0
        query = EventQuery()
        while records := await journal.read(query, limit=5000):
            lines += sum(len(encode_record(msgspec.structs.replace(record, digest=None))) for record in records)
            query = query._replace(after_position=records[-1].position)
    return path.stat().st_size / len(events), lines / len(events)


def stored_as_json(path: Path, events: list[NewEvent]) -> float:
    """Bytes per event when whole records stand under (session, branch, sequence) with an index on the id."""
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE event (session, branch, seq, id, record, PRIMARY KEY (session, branch, seq))")
    connection.execute("CREATE UNIQUE INDEX by_id ON event (id)")
    heads: dict[str, int] = {}
    for start in range(0, len(events), 64):
        rows = []
        for event in events[start : start + 64]:
            heads[event.session_id] = heads.get(event.session_id, 0) + 1
            record = msgspec.json.encode({**msgspec.structs.asdict(event), "payload": msgspec.Raw(event.payload)})
            rows.append((event.session_id, event.branch_id, heads[event.session_id], event.event_id, record))
        with connection:
            connection.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?)", rows)
    connection.close()
    return path.stat().st_size / len(events)


def main() -> int:
    """Store the events three times and compare."""
    options = arguments(__doc__ or "")
    count = 20_000 if options.quick else 100_000
    events = EventSource().take(count, sessions=SESSIONS)
    payload = sum(len(event.payload) for event in events) / count
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name:
        journal, lines = asyncio.run(stored(Path(name) / "journal.db", events))
        whole = stored_as_json(Path(name) / "json.db", events)
    results = {"journal": [journal], "JSON lines": [lines], "whole JSON": [whole], "payload": [payload], "400": [400.0]}
    return report(
        results,
        "bytes/event",
        [
            Claim("J9", "journal", "JSON lines", at_most=0.70),
            Claim("J9 per 500-byte event", "journal", "400", at_most=1.0),
            Claim("whole JSON", "journal", "whole JSON"),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
