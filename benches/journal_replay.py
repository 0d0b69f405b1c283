"""Replay: reading, decoding and folding a journal, against reading and decoding its rows by hand (R1, R2, R3, P1).

`by hand` reads the rows in one query, builds the whole record and decodes its payload with the decoder of its kind.
`limit` only reads and decodes: no records, no ids, no pages. `json.loads` reads records that were stored as whole JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import apsw
import msgspec
from journal_events import EventSource
from measure import Claim, arguments, interleaved, report

from life.aios.events import KINDS, Custom, Message, StepFinished, ToolCallCompleted, UserMessage
from life.aios.ids import encode_ulid
from life.aios.ports.journal import EventQuery
from life.aios.record import DEFAULT_SCHEMA, SYSTEM, EventRecord
from life.lago.export import export_records
from life.lago.journal import schema
from life.lago.journal.sqlite import SqliteJournal
from life.lago.journal.verification import verify_file
from life.lago.projection import ProjectionRunner
from life.lago.snapshots import SqliteSnapshots
from life.testing.clock import ManualClock

SESSIONS = 200
_COLUMNS = (
    "SELECT pos, stream, seq, id, kind, ts_us, origin, causation, correlation, trace, span, body, digest FROM event"
)


class Tally(msgspec.Struct):
    """What a session's projection keeps of this mix of events."""

    messages: int = 0
    tools: int = 0
    tool_ms: int = 0
    steps: int = 0
    spent_micro: int = 0


class TallyProjection:
    """Conversation, tools, steps and spend of each session."""

    name = "bench.tally"
    version = 1
    kinds: tuple[str, ...] = ()

    def initial(self) -> dict[str, Tally]:
        """Nothing yet."""
        return {}

    def apply(self, state: dict[str, Tally], record: EventRecord) -> dict[str, Tally]:
        """One event more. The state is the runner's own, so it is changed in place."""
        tally = state.get(record.session_id)
        if tally is None:
            tally = state[record.session_id] = Tally()
        kind = record.kind
        if isinstance(kind, (UserMessage, Message)):
            tally.messages += 1
        elif isinstance(kind, ToolCallCompleted):
            tally.tools += 1
            tally.tool_ms += kind.duration_ms
        elif isinstance(kind, StepFinished):
            tally.steps += 1
        elif isinstance(kind, Custom) and isinstance(kind.data, dict):
            tally.spent_micro += int(kind.data["amount_micro"])
        return state

    def encode(self, state: dict[str, Tally]) -> bytes:
        """MessagePack."""
        return msgspec.msgpack.encode(state)

    def decode(self, state: bytes) -> dict[str, Tally]:
        """MessagePack."""
        return msgspec.msgpack.decode(state, type=dict[str, Tally])


def json_rows(path: Path, lines: list[bytes]) -> Callable[[], float]:
    """Whole records as JSON in a table, read with json.loads: what most programs do."""
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE event (pos INTEGER PRIMARY KEY, record)")
    with connection:
        connection.executemany("INSERT INTO event (record) VALUES (?)", ((line,) for line in lines))

    def run() -> float:
        began = time.perf_counter()
        for (record,) in connection.execute("SELECT record FROM event"):
            json.loads(record)
        return len(lines) / (time.perf_counter() - began)

    return run


class ByHand:
    """Loops over the rows, as fast as this interpreter runs them."""

    def __init__(self, path: Path, count: int) -> None:
        self._connection = schema.connect(path, purpose="read")
        self._count = count
        names: dict[int, str] = dict(schema.fetch(self._connection, "SELECT no, name FROM kind"))
        self._names = names
        self._decoders = {no: msgspec.json.Decoder(KINDS[name]).decode for no, name in names.items()}
        self._streams: dict[int, tuple[str, str]] = {
            no: (session, branch)
            for no, session, branch in self._connection.execute("SELECT no, session, branch FROM stream")
        }

    def decode_only(self) -> float:
        """Events per second: rows and typed payloads."""
        return self._timed(lambda row, decode: decode(row[11]))

    def whole_records(self) -> float:
        """Events per second: whole records with typed payloads."""
        streams, names = self._streams, self._names

        def build(row: Any, decode: Callable[[bytes], Any]) -> None:
            pos, stream, seq, key, kind, ts_us, _, causation, correlation, trace, span, body, digest = row
            session_id, branch_id = streams[stream]
            EventRecord(
                event_id=encode_ulid(key),
                session_id=session_id,
                branch_id=branch_id,
                agent_id="agent",
                sequence=seq,
                timestamp_us=ts_us,
                actor=SYSTEM,
                schema=DEFAULT_SCHEMA,
                kind_name=names[kind],
                payload=body,
                causation_id=causation and encode_ulid(causation),
                correlation_id=correlation and encode_ulid(correlation),
                trace_id=trace and trace.hex(),
                span_id=span and span.hex(),
                digest=digest.hex(),
                position=pos,
            )
            decode(body)

        return self._timed(build)

    def _timed(self, use: Callable[[Any, Callable[[bytes], Any]], object]) -> float:
        decoders = self._decoders
        began = time.perf_counter()
        for row in self._connection.execute(_COLUMNS):
            use(row, decoders[row[4]])
        return self._count / (time.perf_counter() - began)


async def fill(path: Path, count: int) -> None:
    """A journal with a tick's mix of events in 200 sessions."""
    source = EventSource()
    async with SqliteJournal.open(path, clock=ManualClock(), verify=False) as journal:
        for _ in range(count // 1000):
            await journal.append(source.take(1000, sessions=SESSIONS))


def main() -> int:
    """Run the cases and print the claims."""
    options = arguments(__doc__ or "")
    count = 20_000 if options.quick else 100_000
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as name, asyncio.Runner() as runner:
        path = Path(name) / "journal.db"
        runner.run(fill(path, count))
        stack = AsyncExitStack()
        journal = runner.run(stack.enter_async_context(SqliteJournal.open(path, clock=ManualClock(), verify=False)))
        snapshots = runner.run(stack.enter_async_context(SqliteSnapshots(path)))
        by_hand = ByHand(path, count)

        async def read() -> float:
            query, seen = EventQuery(), 0
            began = time.perf_counter()
            while records := await journal.read(query, limit=1000):
                for record in records:
                    record.kind  # noqa: B018 - decodes
                seen += len(records)
                query = query._replace(after_position=records[-1].position)
            return seen / (time.perf_counter() - began)

        async def lines() -> list[bytes]:
            return [line async for line in export_records(journal)]

        async def fold() -> float:
            began = time.perf_counter()
            await ProjectionRunner(journal, TallyProjection()).catch_up()
            return count / (time.perf_counter() - began)

        async def prepare() -> None:
            half_way = ProjectionRunner(journal, TallyProjection(), snapshots, snapshot_events=count - 1000)
            await half_way.catch_up()

        async def start() -> float:
            runner_ = ProjectionRunner(journal, TallyProjection(), snapshots, snapshot_events=10 * count)
            began = time.perf_counter()
            await runner_.catch_up()
            return 1 / (time.perf_counter() - began)

        def verify() -> float:
            began = time.perf_counter()
            verify_file(path)
            return count / (time.perf_counter() - began)

        runner.run(prepare())
        gc.freeze()
        results = interleaved(
            {
                "fold": lambda: runner.run(fold()),
                "read": lambda: runner.run(read()),
                "limit": by_hand.decode_only,
                "by hand": by_hand.whole_records,
                "json.loads": json_rows(Path(name) / "json.db", runner.run(lines())),
                "verify": verify,
            },
            rounds=options.rounds,
        )
        starts = interleaved(
            {
                "snapshot + 1000": lambda: runner.run(start()),
                "full replay": lambda: runner.run(fold()) / count,
            },
            rounds=options.rounds,
        )
        runner.run(stack.aclose())
    print(f"{count} events in {SESSIONS} sessions")
    status = report(
        results,
        "events/s",
        [
            Claim("read, decode, fold", "fold", "by hand"),
            Claim("read, decode, fold", "fold", "limit", at_least=0.5),
            Claim("R1 by hand", "read", "by hand", at_least=0.6),
            Claim("R1 limit", "read", "limit", at_least=0.6),
            Claim("R2", "read", "json.loads", at_least=2),
            Claim("R3 verification", "read", "verify", at_most=1.7),
        ],
    )
    print("start of a projection")
    return status | report(starts, "starts/s", [Claim(f"P1 at {count}", "snapshot + 1000", "full replay")])


if __name__ == "__main__":
    sys.exit(main())
