"""The demos' recordings beside a project's own journal: read like any session, stored nowhere, changed by nobody.

A recording is looked at under the id of the session in it, `recording-<slug>-<digest>`. It is read from the file that is shipped, with the
first question about it, into a journal in memory; the project's journal does not hold one event of it, so no sum, no list and no follower
of the project ever counts what only happened on film. There is no model and no tool behind it.

The recording's other streams (wallets, the ledger, the identity that was made for it) are there too, under the names that they
have in the file; `money_of` gives those that the page's ledger shows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

from life.aios.ports.journal import Appended, EventQuery, Head, Journal
from life.aios.record import EventRecord, NewEvent, Stream
from life.host.demos.files import read_lines
from life.host.demos.sessions import how_of
from life.lago.journal.memory import MemoryJournal
from life.workspace.demos.catalogue import RECORDINGS, SLUGS, recording_id
from life.workspace.demos.errors import RecordingReadOnlyError

_PAGE: Final = 1000


class JournalWithRecordings:
    """A journal (life.aios.ports.journal.Journal) in which the demos' recordings can be read, too."""

    def __init__(self, inner: Journal, folder: Path = RECORDINGS) -> None:
        self.inner = inner
        self._folder = folder
        self._opened: dict[str, MemoryJournal] = {}
        self._missing: set[str] = set()

    async def append(
        self, events: Sequence[NewEvent], *, expected: Mapping[Stream, int] | None = None
    ) -> list[Appended]:
        """See Journal. RecordingReadOnlyError for an event of a recording."""
        for event in events:
            if await self._recorded(event.session_id) is not None:
                raise RecordingReadOnlyError(
                    "This is a recording: it can be looked at, not gone on with.",
                    next_step="Run the demo instead; that is a session of your own.",
                )
        return await self.inner.append(events, expected=expected)

    async def read(self, query: EventQuery, *, limit: int = 500) -> list[EventRecord]:
        """See Journal."""
        recorded = await self._recorded(query.session_id)
        return await (recorded or self.inner).read(query, limit=limit)

    async def get(self, event_id: str) -> EventRecord | None:
        """See Journal."""
        found = await self.inner.get(event_id)
        for recorded in self._opened.values():
            found = found or await recorded.get(event_id)
        return found

    async def head(self, stream: Stream) -> Head:
        """See Journal."""
        return await (await self._recorded(stream.session_id) or self.inner).head(stream)

    async def streams(self, session_id: str | None = None) -> list[Stream]:
        """See Journal. Recordings are not among the streams of the project; ask for one by its id."""
        return await (await self._recorded(session_id) or self.inner).streams(session_id)

    async def subscribe(self, query: EventQuery) -> AsyncIterator[EventRecord]:
        """See Journal."""
        journal = await self._recorded(query.session_id) or self.inner
        async with aclosing(journal.subscribe(query)) as records:  # type: ignore[type-var]
            async for record in records:
                yield record

    async def money_of(self, session_id: str) -> list[EventRecord]:
        """The wallets' events of a recording, oldest first; none for any other session."""
        recorded = await self._recorded(session_id)
        if recorded is None:
            return []
        found: list[EventRecord] = []
        for stream in await recorded.streams():
            if stream.session_id.startswith("wallet:"):
                found += await recorded.read(EventQuery(*stream), limit=_PAGE)
        return found

    async def _recorded(self, session_id: str | None) -> MemoryJournal | None:
        """The journal of the recording that this session is in; None for a session of the project's own."""
        if session_id is None or session_id in self._missing or how_of(session_id) != "recording":
            return None
        opened = self._opened.get(session_id)
        if opened is None:
            slug = next((slug for slug in SLUGS if recording_id(slug) == session_id), None)
            path = None if slug is None else self._folder / f"{slug}.jsonl"
            if path is None or not path.is_file():
                self._missing.add(session_id)
                return None
            opened = self._opened[session_id] = await load_recording(path)
        return opened


async def load_recording(path: Path) -> MemoryJournal:
    """A recording in a journal of its own."""
    journal = MemoryJournal()
    names = NewEvent.__struct_fields__
    events = [NewEvent(**{name: getattr(record, name) for name in names}) for record in read_lines(path)]
    for start in range(0, len(events), _PAGE):
        await journal.append(events[start : start + _PAGE])
    return journal
