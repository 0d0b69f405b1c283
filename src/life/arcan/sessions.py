"""Finding sessions in the journal without folding them.

A session is a stream of the main branch whose first event is SessionCreated. The first event tells its name and owner,
the last one when it was used and whether a run is open; both are one small read each.
"""

from __future__ import annotations

import re
from typing import Final, Literal

import msgspec

from life.aios import events
from life.aios.ids import MAIN_BRANCH
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, Stream
from life.arcan.control import SESSION_DELETED
from life.arcan.session_state import SessionConfig

_ENDS: Final = ("SessionCreated", "RunFinished", "RunErrored")
"""Behind these no run is open."""

_FEWEST, _MOST = 4, 64
"""How many events are read at a time to find the one that decides; it is nearly always among the newest."""


_OTHERS_STREAMS: Final = re.compile(r"(?:identity|relay)-.*|sales|refunds|catalogue|facilitator|skills")
"""Streams that other parts write, and whose names could be a session's: identities, Relay, the seller's books, the facilitator, skills."""


def is_others_stream(session_id: str) -> bool:
    """Whether this is the name of a stream that another part writes, perhaps later: who had a session of that name would read all of it."""
    return _OTHERS_STREAMS.fullmatch(session_id) is not None


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A line in the list of sessions. Times in microseconds since the epoch."""

    session_id: str
    name: str
    owner: str
    agent_id: str
    created_us: int
    updated_us: int
    head: int
    state: Literal["idle", "open", "closed"]
    """`open`: a run is going on, waits for a person, or was cut off. Read the session's state to know which."""


class SessionIndex:
    """Lists sessions; one is read again only after its stream has grown."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._first: dict[str, EventRecord | None] = {}
        self._summaries: dict[str, SessionSummary] = {}

    async def list(self, owner: str | None = None) -> list[SessionSummary]:
        """All sessions (of one owner), newest first."""
        found: list[SessionSummary] = []
        for stream in await self._journal.streams():
            if stream.branch_id == MAIN_BRANCH:
                summary = await self._summary(stream)
                if summary is not None and owner in (None, summary.owner):
                    found.append(summary)
        found.sort(key=lambda summary: (summary.created_us, summary.session_id), reverse=True)
        return found

    async def owner_of(self, session_id: str) -> str | None:
        """Whose session it is, "" for nobody's; None when there is none, or it was deleted. Two small reads, whatever its length."""
        first = await self._first_event(session_id)
        if first is None:
            return None
        stream = Stream(session_id, MAIN_BRANCH)
        last = await self._last_event(stream, (await self._journal.head(stream)).sequence) or first
        created = first.kind
        return _owner(created) if isinstance(created, events.SessionCreated) and not _is_tombstone(last) else None

    async def open_streams(self) -> tuple[Stream, ...]:
        """Every branch of every session with an open run; sessions in the order they were begun."""
        found: tuple[Stream, ...] = ()
        for stream in await self._journal.streams():
            if await self._first_event(stream.session_id) is None:
                continue
            head = (await self._journal.head(stream)).sequence
            last = await self._last_event(stream, head)
            over = last is None or last.kind_name == "SessionClosed" or _is_tombstone(last)
            if last is not None and not over and await self._has_open_run(stream, last):
                found = (*found, stream)
        return found

    async def _summary(self, stream: Stream) -> SessionSummary | None:
        first = await self._first_event(stream.session_id)
        if first is None:
            return None
        created = first.kind
        assert isinstance(created, events.SessionCreated)
        head = (await self._journal.head(stream)).sequence
        known = self._summaries.get(stream.session_id)
        if known is not None and known.head == head:
            return known
        last = await self._last_event(stream, head) or first
        if _is_tombstone(last):
            self._summaries.pop(stream.session_id, None)
            return None
        state: Literal["idle", "open", "closed"] = "open"
        if last.kind_name == "SessionClosed":
            state = "closed"
        elif not await self._has_open_run(stream, last):
            state = "idle"
        summary = self._summaries[stream.session_id] = SessionSummary(
            session_id=stream.session_id,
            name=created.name,
            owner=_owner(created),
            agent_id=first.agent_id,
            created_us=first.timestamp_us,
            updated_us=last.timestamp_us,
            head=head,
            state=state,
        )
        return summary

    async def _first_event(self, session_id: str) -> EventRecord | None:
        if session_id not in self._first:
            page = await self._journal.read(EventQuery(session_id, MAIN_BRANCH), limit=1)
            first = page[0] if page and isinstance(page[0].kind, events.SessionCreated) else None
            if not page:
                return None
            self._first[session_id] = first
        return self._first[session_id]

    async def _last_event(self, stream: Stream, head: int) -> EventRecord | None:
        session_id, branch_id = stream
        page = await self._journal.read(EventQuery(session_id, branch_id, after_sequence=max(0, head - 1)), limit=1)
        return page[0] if page else None

    async def _has_open_run(self, stream: Stream, last: EventRecord) -> bool:
        """Whether a run is open after `last`: the newest event that starts, ends or belongs to a run decides."""
        if last.kind_name in _ENDS:
            return False
        session_id, branch_id = stream
        before, window = last.sequence + 1, _FEWEST
        while before > 1:
            first = max(0, before - 1 - window)
            query = EventQuery(session_id, branch_id, after_sequence=first, before_sequence=before)
            for record in reversed(await self._journal.read(query, limit=window)):
                if record.kind_name in _ENDS:
                    return False
                if record.kind_name in (
                    "Queued",
                    "RunStarted",
                    "StepStarted",
                    "Message",
                    "ToolCallRequested",
                    "SessionResumed",
                ):
                    return True
            before, window = first + 1, min(_MOST, window * 4)
        return False


def _is_tombstone(record: EventRecord) -> bool:
    kind = record.kind
    return isinstance(kind, events.Custom) and kind.event_type == SESSION_DELETED


def _owner(created: events.SessionCreated) -> str:
    try:
        return msgspec.convert(created.config, SessionConfig).owner
    except msgspec.ValidationError:
        return ""
