"""A journal whose process dies at a chosen append, before or after the bytes were durable."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal

from life.aios.ports.journal import Appended, EventQuery, Head, Journal
from life.aios.record import EventRecord, NewEvent, Stream

Moment = Literal["before", "after"]


class Killed(BaseException):
    """The process is gone. Not an Exception: nothing may handle it."""


class DyingJournal:
    """Passes everything to a real journal until the n-th append; from then on the process is dead."""

    def __init__(self, inner: Journal, *, at: int, moment: Moment) -> None:
        self._inner = inner
        self._left = at
        self._moment = moment
        self.dead = False

    def die(self) -> None:
        """Be dead from now on."""
        self.dead = True
        raise Killed

    def _check(self) -> None:
        if self.dead:
            raise Killed

    async def append(
        self, events: Sequence[NewEvent], *, expected: Mapping[Stream, int] | None = None
    ) -> list[Appended]:
        self._check()
        self._left -= 1
        if self._left == 0 and self._moment == "before":
            self.die()
        stored = await self._inner.append(events, expected=expected)
        if self._left == 0:
            self.die()
        return stored

    async def read(self, query: EventQuery, *, limit: int = 500) -> list[EventRecord]:
        self._check()
        return await self._inner.read(query, limit=limit)

    async def get(self, event_id: str) -> EventRecord | None:
        self._check()
        return await self._inner.get(event_id)

    async def head(self, stream: Stream) -> Head:
        self._check()
        return await self._inner.head(stream)

    async def streams(self, session_id: str | None = None) -> list[Stream]:
        self._check()
        return await self._inner.streams(session_id)

    def subscribe(self, query: EventQuery) -> AsyncIterator[EventRecord]:
        self._check()
        return self._inner.subscribe(query)
