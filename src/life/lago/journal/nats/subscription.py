"""Subscriptions over the network: every matching event exactly once, in order, history first and then live.

As in every engine a subscription is a cursor, not a queue: pages are read from storage, and only where a page is empty it
waits for a bell. Bells are the headers that the server repeats after it stored an event (`<name>.live.…`). They may get
lost, when a connection breaks for example; so after a reconnect everybody looks, and while anybody listens the end of the
journal is looked up every half second. A page that is read twice after a failure begins at the same cursor: nothing
repeats, nothing is missed. A replica that lags gives a shorter page, never one with holes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from life.aios.errors import InvalidInputError, JournalDamagedError, LifeError
from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord
from life.lago.journal.nats.connection import (
    Connection,
    Msg,
    NatsError,
    NatsSubscription,
    RefusedError,
    UnreachableError,
)
from life.lago.journal.nats.reader import Reader
from life.lago.journal.nats.stream import last_position
from life.lago.journal.nats.subjects import Subjects
from life.lago.journal.subscription import PAGE_EVENTS, check_query

WATCH_INTERVAL_S: Final = 0.5
"""How often the end of the journal is looked up while anybody listens."""

_RETRY_S: Final = 0.02
_LARGEST_RETRY_S: Final = 0.5


class Bells:
    """Who listens to what. One server-side subscription per subject, however many readers share it."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._subjects = subjects
        self._by_subject: dict[str, set[LiveSubscription]] = {}
        self._listening: dict[str, asyncio.Task[NatsSubscription | None]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many subscriptions are open."""
        return sum(len(readers) for readers in self._by_subject.values())

    async def add(self, subscription: LiveSubscription) -> None:
        """Listen from now on; done when the server knows."""
        subject = subscription.subject
        self._by_subject.setdefault(subject, set()).add(subscription)
        if subject not in self._listening:
            self._listening[subject] = asyncio.create_task(self._listen(subject))
        if self._watch is None:
            self._watch = asyncio.create_task(self._look())
        await asyncio.shield(self._listening[subject])

    def remove(self, subscription: LiveSubscription) -> None:
        """Listen no longer."""
        subject = subscription.subject
        readers = self._by_subject.get(subject)
        if readers is None or subscription not in readers:
            return
        readers.remove(subscription)
        if not readers:
            del self._by_subject[subject]
            leaving = asyncio.create_task(self._leave(self._listening.pop(subject)))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        if not self._by_subject and self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def ring_all(self) -> None:
        """Anything may be new."""
        for readers in self._by_subject.values():
            for reader in readers:
                reader.ring()

    def fail(self, error: LifeError) -> None:
        """The journal is gone."""
        for subscription in [each for readers in self._by_subject.values() for each in readers]:
            subscription.fail(error)

    async def aclose(self) -> None:
        """Wait until nothing of it runs any more."""
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def _listen(self, subject: str) -> NatsSubscription | None:
        async def rung(message: Msg) -> None:
            position = int((message.headers or {}).get("Nats-Sequence", 0))
            for reader in self._by_subject.get(subject, ()):
                reader.ring(position)

        client = self._connection.client
        try:
            listening = await client.subscribe(subject, cb=rung)
            await client.flush(timeout=2)
        except (NatsError, TimeoutError, OSError):  # the look every half second goes on without it
            return None
        return listening

    async def _leave(self, task: asyncio.Task[NatsSubscription | None]) -> None:
        listening = await task
        try:
            if listening is not None:
                await listening.unsubscribe()
        except NatsError:  # the connection is closed, and the subscription with it
            return

    async def _look(self) -> None:
        seen = 0
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            try:
                last = await last_position(self._connection, self._subjects.name)
            except (UnreachableError, RefusedError):
                continue
            if last > seen:
                seen = last
                self.ring_all()


class LiveSubscription:
    """One reader's place in the journal. Not for several tasks at once."""

    def __init__(self, bells: Bells, reader: Reader, subjects: Subjects, query: EventQuery) -> None:
        self.query = check_query(query)
        self.subject = subjects.live(query.session_id, query.branch_id)
        self._bells = bells
        self._reader = reader
        self._page: deque[EventRecord] = deque()
        self._start: int | None = None
        self._heard = 0
        self._rung = True
        self._added = False
        self._pause_s = _RETRY_S
        self._waiter: asyncio.Future[None] | None = None
        self._end: LifeError | StopAsyncIteration | None = None

    def __aiter__(self) -> LiveSubscription:
        return self

    async def __anext__(self) -> EventRecord:
        page = self._page
        while not page:
            if self._end is not None:
                raise self._end
            await self._turn_page()
        return page.popleft()

    async def aclose(self) -> None:
        """Forget the page and stop listening. Whoever waits for an event sees the end."""
        self._finish(StopAsyncIteration())

    def ring(self, position: int = 0) -> None:
        """There may be something new, at this position if it is known."""
        self._heard = max(self._heard, position)
        self._rung = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fail(self, error: LifeError) -> None:
        """The journal is gone: what was read already is still given out, then `error` is raised."""
        self._bells.remove(self)
        self._end = self._end or error
        self.ring()

    async def _turn_page(self) -> None:
        if not self._added:
            self._added = True
            await self._bells.add(self)
            return
        if not self._rung:
            await self._wait(None)
            return
        self._rung = False
        try:
            await self._read_page()
        except (UnreachableError, RefusedError):
            self._rung = True
            await self._pause()
        except JournalDamagedError as error:
            self.fail(error)
        except BaseException:  # cancelled: the next call reads the same page
            self._rung = True
            raise

    async def _read_page(self) -> None:
        if self._is_past_the_end():
            self._finish(StopAsyncIteration())
            return
        start = await self._begin()
        if start is None:
            return
        page = await self._reader.scan(self.query, start, PAGE_EVENTS)
        if self._end is not None:
            return
        behind = page.after.after_position
        if behind >= start:
            self._start = behind + 1
            self.query = page.after
            self._page.extend(page.records)
            self._rung = True
            self._pause_s = _RETRY_S
        elif self._heard >= start:  # the leader has it, the replica that answered does not yet
            self._rung = True
            await self._pause()
        if not self._page and self._is_past_the_end():
            self._finish(StopAsyncIteration())

    async def _begin(self) -> int | None:
        """Where to go on; None while the stream is not as long as the cursor says."""
        if self._start is None:
            self._start = await self._reader.begin(self.query)
        return self._start

    def _is_past_the_end(self) -> bool:
        before = self.query.before_sequence
        return before is not None and self.query.after_sequence >= before - 1

    async def _pause(self) -> None:
        await self._wait(self._pause_s)
        self._pause_s = min(self._pause_s * 2, _LARGEST_RETRY_S)

    async def _wait(self, longest_s: float | None) -> None:
        if self._waiter is not None:
            raise InvalidInputError("Two tasks wait for the same subscription; give each its own.")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(longest_s):
                await self._waiter
        except TimeoutError:
            return
        finally:
            self._waiter = None

    def _finish(self, end: StopAsyncIteration) -> None:
        self._bells.remove(self)
        self._page.clear()
        self._end = end
        self.ring()
