"""A journal that breaks where a test says: before storing, after storing, or between two processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Literal

from life.aios.errors import JournalUnavailableError
from life.aios.ports.journal import Appended, EventQuery, Head
from life.aios.record import EventRecord, NewEvent, Stream
from life.lago.journal.memory import MemoryJournal

Fault = Literal["none", "before", "after", "crash_before", "crash_after"]


class CrashError(BaseException):
    """The process is gone at this point: nothing of it runs any more."""


class FaultyJournal:
    """The journal port over a MemoryJournal, with scripted faults: each append takes the next one.

    `before` and `after` fail as a journal fails (nothing, or everything, is stored); the crashes raise CrashError, which
    no code may handle. `interfere` runs before an append, like another process that was quicker.
    """

    def __init__(self, inner: MemoryJournal | None = None) -> None:
        self.inner = inner or MemoryJournal()
        self.faults: list[Fault] = []
        self.interfere: Callable[[], Awaitable[None]] | None = None
        self.batches: list[int] = []
        self.dead = False
        self.gate: asyncio.Event | None = None

    async def append(
        self, events: Sequence[NewEvent], *, expected: Mapping[Stream, int] | None = None
    ) -> list[Appended]:
        """See Journal."""
        await asyncio.sleep(0)  # as a disk does, it lets others run first
        if self.dead:
            await asyncio.Event().wait()  # nothing of a dead process reaches the disk
        fault = self.faults.pop(0) if self.faults else "none"
        if fault == "before":
            raise JournalUnavailableError("injected")
        if fault == "crash_before":
            self.dead = True
            raise CrashError
        if self.interfere is not None:
            interfere, self.interfere = self.interfere, None
            await interfere()
        if self.gate is not None:
            await self.gate.wait()
        stored = await self.inner.append(events, expected=expected)
        self.batches.append(len(events))
        if fault == "after":
            raise JournalUnavailableError("injected")
        if fault == "crash_after":
            self.dead = True
            raise CrashError
        return stored

    async def read(self, query: EventQuery, *, limit: int = 500) -> list[EventRecord]:
        """See Journal."""
        return await self.inner.read(query, limit=limit)

    async def get(self, event_id: str) -> EventRecord | None:
        """See Journal."""
        return await self.inner.get(event_id)

    async def head(self, stream: Stream) -> Head:
        """See Journal."""
        return await self.inner.head(stream)

    async def streams(self, session_id: str | None = None) -> list[Stream]:
        """See Journal."""
        return await self.inner.streams(session_id)

    def subscribe(self, query: EventQuery) -> AsyncIterator[EventRecord]:
        """See Journal."""
        return self.inner.subscribe(query)
