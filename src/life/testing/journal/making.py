"""What the scenarios are made of: the harness, events, and ways to wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Final, Literal, Protocol, TypeVar, cast

import msgspec

from life.aios.events import Kind, UserMessage
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, EventWriter, NewEvent, Stream
from life.testing.clock import ManualClock, SeededEntropy

Gap = Literal["durable", "shared"]
"""`durable`: events are still there after the journal was closed and opened again. `shared`: two openers of the same
journal see each other's events, and their expectations and claims exclude each other."""

ZEROS: Final = "0" * 64
PATIENCE_S: Final = 20.0
"""How long a scenario waits for something that should come at once."""

T = TypeVar("T")


class JournalHarness(Protocol):
    """How the suite gets at an engine."""

    @property
    def gaps(self) -> frozenset[Gap]:
        """What the engine cannot do."""
        ...

    @property
    def model_examples(self) -> int:
        """How many random histories scenario 34 plays; each opens a journal a few times."""
        ...

    def open(self, name: str = "journal") -> AbstractAsyncContextManager[Journal]:
        """The journal of this name: empty the first time, then the same one again (also while it is open)."""
        ...


class Maker:
    """Makes events for the scenarios: reproducible ids and times."""

    def __init__(self, session_id: str = "session-1", branch_id: str = "main", *, seed: str = "journal") -> None:
        self.clock = ManualClock()
        self.stream = Stream(session_id, branch_id)
        self._writer = EventWriter(self.clock, SeededEntropy(seed), agent_id="agent-1", stream=self.stream)

    def event(self, kind: Kind | None = None, **changes: object) -> NewEvent:
        """One event; `changes` replace its fields."""
        self.clock.advance_us(1000)
        made = self._writer.event(kind or UserMessage(content="hello"))
        return msgspec.structs.replace(made, **changes) if changes else made

    def events(self, count: int) -> list[NewEvent]:
        """So many messages."""
        return [self.event(UserMessage(content=f"message {number}")) for number in range(count)]


def as_new(record: EventRecord) -> NewEvent:
    """What a writer must have handed in to get this record."""
    fields = {name: getattr(record, name) for name in NewEvent.__struct_fields__}
    return NewEvent(**fields)


def follow(journal: Journal, query: EventQuery) -> AbstractAsyncContextManager[AsyncGenerator[EventRecord, None]]:
    """A subscription that is closed at the end of the block."""
    return aclosing(cast(AsyncGenerator[EventRecord, None], journal.subscribe(query)))


async def take(subscription: AsyncGenerator[EventRecord, None], count: int) -> list[EventRecord]:
    """The next `count` events."""
    async with asyncio.timeout(PATIENCE_S):
        return [await anext(subscription) for _ in range(count)]


async def nothing_comes(subscription: AsyncGenerator[EventRecord, None]) -> asyncio.Task[EventRecord]:
    """A task that waits for the next event, after the loop had every chance to deliver one."""
    waiting: asyncio.Task[EventRecord] = asyncio.create_task(_next(subscription))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done(), "an event came that should not be there"
    return waiting


async def _next(subscription: AsyncGenerator[EventRecord, None]) -> EventRecord:
    return await anext(subscription)


async def gather(calls: Sequence[Awaitable[T]]) -> list[T | BaseException]:
    """The results of calls that run at the same time, errors among them."""
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.gather(*calls, return_exceptions=True)
