"""Search in the events of one session: what was said, asked of tools, answered, and what went wrong (lago.md §13, "Event search").

    Message, AssistantMessageCommitted   [role] content
    UserMessage                          [user] content
    ToolCallRequested                    [tool:name] arguments, 300 characters
    ToolCallCompleted                    [tool:name] result, 500 characters
    ToolCallFailed                       [tool:name] error
    ErrorRaised                          [error] message
    Custom                               [type] data, 300 characters; not `eval.`, `autonomic.`, `vigil.`

Texts under ten characters are dropped. The score is BM25; equal ones come newest first. One index holds one session: nothing is ever
found in another one's.
"""

from __future__ import annotations

import asyncio
import heapq
from functools import partial
from pathlib import Path
from typing import Any, Final

import apsw
import msgspec

from life.aios.errors import InvalidInputError
from life.aios.events import (
    AssistantMessageCommitted,
    Custom,
    ErrorRaised,
    Message,
    ToolCallCompleted,
    ToolCallFailed,
    ToolCallRequested,
    UserMessage,
)
from life.aios.json import Json
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, format_timestamp
from life.lago.knowledge.file import explain, open_file
from life.lago.knowledge.own_thread import OwnThread
from life.lago.knowledge.ranking import query_terms
from life.lago.knowledge.text import cut_text
from life.lago.knowledge.words import Words

LEAST_CHARACTERS: Final = 10
RESULT_CHARACTERS: Final = 500
DATA_CHARACTERS: Final = 300
EXCERPT_CHARACTERS: Final = 300
TEXT_CHARACTERS: Final = 20_000
MAX_RESULTS: Final = 100
SILENT: Final = ("eval.", "autonomic.", "vigil.")
KINDS: Final = (
    "Message",
    "AssistantMessageCommitted",
    "UserMessage",
    "ToolCallRequested",
    "ToolCallCompleted",
    "ToolCallFailed",
    "ErrorRaised",
    "Custom",
)
_APPLICATION_ID: Final = 0x4C4B4556
_FORMAT: Final = 1
_PAGE: Final = 1_000
_TABLES: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE event (no INTEGER PRIMARY KEY, id TEXT NOT NULL, kind TEXT NOT NULL, ts_us INTEGER NOT NULL, text TEXT NOT NULL);
"""


class EventHit(msgspec.Struct, frozen=True, kw_only=True):
    """One event."""

    event_id: str
    session_id: str
    event_kind: str
    timestamp: str
    score: float
    excerpt: str


class EventSearch:
    """The events of one session. Belongs to one event loop."""

    def __init__(self, journal: Journal, session_id: str, *, index_file: Path | None = None) -> None:
        """`index_file`: None keeps the index in memory."""
        self._journal = journal
        self._session_id = session_id
        self._thread = OwnThread(lambda: _EventStore(index_file))
        self._run = self._thread.run
        self._turn = asyncio.Lock()

    async def search(self, query: str, *, limit: int = 10) -> list[EventHit]:
        """The best events, after taking in what is new."""
        if not 1 <= limit <= MAX_RESULTS:
            raise InvalidInputError(f"limit is 1 to {MAX_RESULTS}.", details={"limit": limit})
        async with self._turn:
            await self._catch_up()
        return await self._run(lambda store: store.search(query, self._session_id, limit))

    async def aclose(self) -> None:
        """Close the file; the next search opens it again."""
        await self._thread.aclose()

    async def _catch_up(self) -> None:
        position, event_id = await self._run(lambda store: store.cursor)
        if position and not await self._is_there(position, event_id):
            await self._run(lambda store: store.clear())
            position = 0
        while True:
            query = EventQuery(self._session_id, after_position=position, kinds=KINDS)
            records = await self._journal.read(query, limit=_PAGE)
            if records:
                await self._run(partial(_EventStore.add, records=records))
                position = records[-1].position
            if len(records) < _PAGE:
                return

    async def _is_there(self, position: int, event_id: str) -> bool:
        """Whether the journal has the event that was taken in last, where it was."""
        record = await self._journal.get(event_id)
        return record is not None and record.position == position


def event_text(record: EventRecord) -> str | None:
    """What is searched of an event; None when it says nothing."""
    kind = record.kind
    match kind:
        case Message() | AssistantMessageCommitted():
            text = f"[{kind.role}] {kind.content}"
        case UserMessage():
            text = f"[user] {kind.content}"
        case ToolCallRequested():
            text = f"[tool:{kind.tool_name}] {cut_text(_plain(kind.arguments), DATA_CHARACTERS)}"
        case ToolCallCompleted():
            text = f"[tool:{kind.tool_name}] {cut_text(_plain(kind.result), RESULT_CHARACTERS)}"
        case ToolCallFailed():
            text = f"[tool:{kind.tool_name}] {kind.error}"
        case ErrorRaised():
            text = f"[error] {kind.message}"
        case Custom() if not kind.event_type.startswith(SILENT):
            text = f"[{kind.event_type}] {cut_text(_plain(kind.data), DATA_CHARACTERS)}"
        case _:
            return None
    return cut_text(text, TEXT_CHARACTERS) if len(text) >= LEAST_CHARACTERS else None


class _EventStore:
    """The index file. A batch is some thousand short texts at most: milliseconds."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._connection = open_file(path, application_id=_APPLICATION_ID, format=_FORMAT, tables=_TABLES)
        try:
            self._words = Words(self._connection)
            self._words.load()
        except apsw.Error as error:
            self._connection.close()
            raise explain(error, path) from None

    @property
    def cursor(self) -> tuple[int, str]:
        """Position and id of the last event that was taken in; 0 before the first."""
        row = self._connection.execute("SELECT value FROM meta WHERE key = 'cursor'").fetchone()
        if row is None:
            return 0, ""
        position, _, event_id = str(row[0]).partition(" ")
        return int(position), event_id

    def add(self, records: list[EventRecord]) -> None:
        """Take events in, and move the cursor."""
        try:
            with self._connection:
                self._words.load()  # another process may have written
                for record in records:
                    text = event_text(record)
                    if text is not None:
                        self._add(record, text)
                last = records[-1]
                cursor = f"{last.position} {last.event_id}"
                self._connection.execute("INSERT OR REPLACE INTO meta VALUES ('cursor', ?)", (cursor,))
        except apsw.Error as error:
            raise explain(error, self._path) from None

    def search(self, query: str, session_id: str, limit: int) -> list[EventHit]:
        """The best events."""
        try:
            terms = self._words.terms(" ".join(query_terms(query)))
            scores = self._words.scores(terms)
            best = heapq.nsmallest(limit, scores, key=lambda number: (-scores[number], -number))
            hits = []
            for number in best:
                row: Any = self._connection.execute(
                    "SELECT id, kind, ts_us, text FROM event WHERE no = ?", (number,)
                ).fetchone()
                event_id, kind, ts_us, text = row
                hits.append(
                    EventHit(
                        event_id=event_id,
                        session_id=session_id,
                        event_kind=kind,
                        timestamp=format_timestamp(ts_us),
                        score=scores[number],
                        excerpt=cut_text(text, EXCERPT_CHARACTERS),
                    )
                )
        except apsw.Error as error:
            raise explain(error, self._path) from None
        return hits

    def clear(self) -> None:
        """Forget everything."""
        with self._connection:
            self._connection.execute("DELETE FROM event; DELETE FROM meta;")
            self._connection.execute("INSERT INTO words(words) VALUES ('delete-all')")
        self._words.load()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _add(self, record: EventRecord, text: str) -> None:
        number = record.position
        there = self._connection.execute("SELECT 1 FROM event WHERE no = ?", (number,)).fetchone()
        if there is None:
            self._connection.execute(
                "INSERT INTO event VALUES (?, ?, ?, ?, ?)",
                (number, record.event_id, record.kind_name, record.timestamp_us, text),
            )
            self._words.add(number, text)


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
