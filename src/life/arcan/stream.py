"""The live stream of a session: durable events in order, and the text of the answer while it is being written.

A subscriber gets every durable event after its cursor exactly once, oldest first: history first, then live, without a
gap between them (it is registered before the history is read). Between them stand ephemeral AssistantTextDelta records
with sequence 0: `causation_id` is the event id of the Message that will replace them, `correlation_id` the run, and
`index` the number of characters of that message before the piece.

Each subscriber has a bounded buffer. One that reads too slowly misses ephemerals only; durable events it is given from
the journal, page by page, and once it has caught up the text so far in one piece. So does one that comes late. Events that others append to the stream come in through the journal's
own subscription, which is open while anybody listens. Source: arcan.md §9.1 and its list of defects.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import msgspec

from life.aios.errors import JournalError
from life.aios.events import AssistantTextDelta, encode_kind
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import AGENT, DEFAULT_SCHEMA, EventRecord, Stream

BUFFER: Final = 1024
"""Records a subscriber may be behind before it is served from the journal."""

PAGE: Final = 500


class _Writing(msgspec.Struct):
    """The message that is being written."""

    message_id: str
    run_id: str | None
    started_us: int
    text: list[str] = []
    characters: int = 0


class _Subscriber:
    """One reader's place: what is buffered, and how far the durable events are."""

    def __init__(self, after_sequence: int, room: int, *, missed: bool) -> None:
        self.buffer: deque[EventRecord] = deque()
        self.queued = after_sequence
        """The last durable event that was buffered or given out."""
        self.known = 0
        """The last durable event there is."""
        self.is_new = True
        """Whether the end of the history is not known yet."""
        self.missed = missed
        """Whether pieces of the message being written were not buffered."""
        self._room = room
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_behind(self) -> bool:
        """Whether durable events have to be read from the journal."""
        return self.is_new or self.queued < self.known

    def offer(self, record: EventRecord) -> None:
        """Buffer a durable record if it is the next one and there is room; otherwise it will be read from the journal."""
        if record.sequence == self.queued + 1 and not self.is_behind and len(self.buffer) < self._room:
            self.buffer.append(record)
            self.queued = record.sequence
        self.known = max(self.known, record.sequence)
        self.wake()

    def offer_ephemeral(self, record: EventRecord) -> None:
        """Buffer a piece of text, or note that one was missed."""
        if self.missed or self.is_behind or len(self.buffer) >= self._room:
            self.missed = True
        else:
            self.buffer.append(record)
        self.wake()

    def wake(self) -> None:
        """There may be something to do."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        """Until `wake`."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None


class SessionFeed:
    """All subscribers of one session."""

    def __init__(self, journal: Journal, stream: Stream, *, agent_id: str, buffer: int = BUFFER) -> None:
        self._journal = journal
        self._stream = stream
        self._agent_id = agent_id
        self._buffer = buffer
        self._subscribers: list[_Subscriber] = []
        self._head = 0
        self._listener: asyncio.Task[None] | None = None
        self._writing: _Writing | None = None
        self._closed = False

    @property
    def has_subscribers(self) -> bool:
        """Whether anybody listens; without, no ephemeral is made."""
        return bool(self._subscribers)

    def publish(self, records: Sequence[EventRecord]) -> None:
        """Durable records of the stream, in order. Repeats are dropped; a gap sends subscribers to the journal."""
        for record in records:
            if record.sequence <= self._head:
                continue
            self._head = record.sequence
            for subscriber in self._subscribers:
                subscriber.offer(record)

    def write_delta(self, message_id: str, text: str, *, run_id: str | None, timestamp_us: int) -> None:
        """A piece of the message `message_id`, which is not durable yet."""
        writing = self._writing
        if writing is None or writing.message_id != message_id:
            writing = self._writing = _Writing(message_id, run_id, timestamp_us)
        offset = writing.characters
        writing.text.append(text)
        writing.characters += len(text)
        if self._subscribers:
            record = self._ephemeral(writing, text, offset=offset, timestamp_us=timestamp_us)
            for subscriber in self._subscribers:
                subscriber.offer_ephemeral(record)

    def end_message(self) -> None:
        """The message that was being written is whole now, or will never be."""
        self._writing = None

    async def subscribe(self, after_sequence: int = 0) -> AsyncGenerator[EventRecord, None]:
        """Records after `after_sequence`, without end, until the generator or the feed is closed."""
        subscriber = _Subscriber(after_sequence, self._buffer, missed=self._writing is not None)
        self._subscribers.append(subscriber)
        try:
            head = (await self._journal.head(self._stream)).sequence
            subscriber.known = max(subscriber.known, head)
            subscriber.is_new = False
            self._listen(head)
            while not self._closed:
                if subscriber.buffer:
                    yield subscriber.buffer.popleft()
                elif subscriber.is_behind:
                    page = await self._page(subscriber.queued)
                    if not page:
                        subscriber.known = subscriber.queued
                    for record in page:
                        subscriber.queued = record.sequence
                        yield record
                elif subscriber.missed:
                    subscriber.missed = False
                    if self._writing is not None:
                        yield self._whole(self._writing)
                else:
                    await subscriber.wait()
        finally:
            self._subscribers.remove(subscriber)
            if not self._subscribers and self._listener is not None:
                self._listener.cancel()
                self._listener = None

    async def aclose(self) -> None:
        """End every subscription."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.wake()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            await asyncio.gather(listener, return_exceptions=True)

    async def _page(self, after_sequence: int) -> list[EventRecord]:
        session_id, branch_id = self._stream
        return await self._journal.read(EventQuery(session_id, branch_id, after_sequence=after_sequence), limit=PAGE)

    def _listen(self, head: int) -> None:
        """Take in what others append, from `head` on."""
        if self._listener is None and not self._closed:
            self._listener = asyncio.get_running_loop().create_task(self._take_in(head))

    async def _take_in(self, after_sequence: int) -> None:
        session_id, branch_id = self._stream
        events = self._journal.subscribe(EventQuery(session_id, branch_id, after_sequence=after_sequence))
        try:
            async for record in events:
                self.publish((record,))
        except JournalError:
            # The journal is gone: subscribers end instead of waiting for ever.
            self._closed = True
            for subscriber in self._subscribers:
                subscriber.wake()
        finally:
            close = getattr(events, "aclose", None)  # the port promises it, AsyncIterator's type does not
            if close is not None:
                await close()

    def _whole(self, writing: _Writing) -> EventRecord:
        """The message so far as one piece."""
        return self._ephemeral(writing, "".join(writing.text), offset=0, timestamp_us=writing.started_us)

    def _ephemeral(self, writing: _Writing, text: str, *, offset: int, timestamp_us: int) -> EventRecord:
        return EventRecord(
            event_id=f"{writing.message_id}.{offset}",
            session_id=self._stream.session_id,
            branch_id=self._stream.branch_id,
            agent_id=self._agent_id,
            sequence=0,
            timestamp_us=timestamp_us,
            actor=AGENT,
            schema=DEFAULT_SCHEMA,
            kind_name=AssistantTextDelta.__name__,
            payload=encode_kind(AssistantTextDelta(delta=text, index=offset)),
            causation_id=writing.message_id,
            correlation_id=writing.run_id,
        )
