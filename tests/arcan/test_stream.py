"""The live stream: every durable event exactly once and in order, text as it is written, and bounded memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from life.aios import events
from life.aios.events import AssistantTextDelta
from life.aios.record import EventRecord, EventWriter, Stream
from life.arcan.stream import SessionFeed
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy

STREAM = Stream("s")


class Publisher:
    """Appends and publishes as the runtime does."""

    def __init__(self, journal: MemoryJournal, feed: SessionFeed) -> None:
        self.journal = journal
        self.feed = feed
        self.writer = EventWriter(ManualClock(), SeededEntropy(), agent_id="agent-1", stream=STREAM)

    async def append(self, count: int = 1, *, publish: bool = True) -> None:
        """So many events, one by one."""
        for _ in range(count):
            event = self.writer.event(events.Heartbeat(summary="x"))
            await self.journal.append([event])
            if publish:
                record = await self.journal.get(event.event_id)
                assert record is not None
                self.feed.publish([record])

    def write(self, message_id: str, text: str) -> None:
        """A piece of a message."""
        self.feed.write_delta(message_id, text, run_id="run-1", timestamp_us=1)


@pytest.fixture
def journal() -> MemoryJournal:
    """An empty journal."""
    return MemoryJournal()


def feed_on(journal: MemoryJournal, *, buffer: int = 64) -> tuple[SessionFeed, Publisher]:
    """A feed and who fills it."""
    feed = SessionFeed(journal, STREAM, agent_id="agent-1", buffer=buffer)
    return feed, Publisher(journal, feed)


async def take(stream: AsyncGenerator[EventRecord, None], count: int) -> list[EventRecord]:
    """The next records."""
    return [await asyncio.wait_for(anext(stream), 2) for _ in range(count)]


def text(record: EventRecord) -> str:
    """What an ephemeral says."""
    assert isinstance(record.kind, AssistantTextDelta)
    return record.kind.delta


async def test_history_then_live_without_a_gap(journal: MemoryJournal) -> None:
    """From the cursor on: what was stored, then what comes, each once and in order."""
    feed, publisher = feed_on(journal)
    await publisher.append(1200)
    stream = feed.subscribe(after_sequence=100)
    first = await take(stream, 500)
    await publisher.append(50)
    rest = await take(stream, 650)
    assert [record.sequence for record in first + rest] == list(range(101, 1251))
    await stream.aclose()
    assert not feed.has_subscribers


async def test_text_stands_between_events(journal: MemoryJournal) -> None:
    """Ephemerals have sequence 0, name their message and their run, and say where their piece begins."""
    feed, publisher = feed_on(journal)
    await publisher.append()
    stream = feed.subscribe()
    await take(stream, 1)
    waiting = asyncio.create_task(take(stream, 3))
    await asyncio.sleep(0)
    publisher.write("message-1", "Hel")
    publisher.write("message-1", "lo")
    feed.end_message()
    await publisher.append()
    records = await waiting
    assert [record.sequence for record in records] == [0, 0, 2]
    assert [text(record) for record in records[:2]] == ["Hel", "lo"]
    assert [record.kind.index for record in records[:2]] == [0, 3]  # type: ignore[attr-defined]
    assert {record.causation_id for record in records[:2]} == {"message-1"}
    assert {record.correlation_id for record in records[:2]} == {"run-1"}
    await stream.aclose()


async def test_who_comes_late_gets_the_text_so_far(journal: MemoryJournal) -> None:
    """After the history, one piece with everything, then the next pieces; afterwards nothing of it."""
    feed, publisher = feed_on(journal)
    await publisher.append(3)
    publisher.write("message-1", "Once ")
    publisher.write("message-1", "upon ")
    stream = feed.subscribe()
    records = await take(stream, 4)
    assert [record.sequence for record in records] == [1, 2, 3, 0]
    assert text(records[3]) == "Once upon "
    publisher.write("message-1", "a time")
    (piece,) = await take(stream, 1)
    assert (text(piece), piece.kind.index) == ("a time", 10)  # type: ignore[attr-defined]
    feed.end_message()
    late = feed.subscribe(after_sequence=3)
    await publisher.append()
    assert [record.sequence for record in await take(late, 1)] == [4]
    await stream.aclose()
    await late.aclose()


async def test_a_slow_reader_misses_text_only(journal: MemoryJournal) -> None:
    """Its buffer is bounded: pieces are dropped, durable events come from the journal, and once it has caught up it gets
    the message so far in one piece."""
    feed, publisher = feed_on(journal, buffer=8)
    stream = feed.subscribe()
    await publisher.append()
    await take(stream, 1)
    waiting = asyncio.create_task(take(stream, 1))
    await asyncio.sleep(0)
    for number in range(300):
        publisher.write("message-1", f"{number},")
        await publisher.append()
    seen = await waiting
    assert len(feed._subscribers[0].buffer) <= 8
    while seen[-1].sequence != 301:
        seen += await take(stream, 1)
    assert [record.sequence for record in seen if record.sequence] == list(range(2, 302))
    assert len(seen) < 400, "most pieces were dropped"
    (whole,) = await take(stream, 1)
    assert text(whole) == "".join(f"{number}," for number in range(300))
    await stream.aclose()


async def test_what_others_append_appears(journal: MemoryJournal) -> None:
    """Events that did not come through the runtime arrive through the journal's own subscription, once."""
    feed, publisher = feed_on(journal)
    stream = feed.subscribe()
    await publisher.append()
    await take(stream, 1)
    await publisher.append(2, publish=False)
    await publisher.append(2)
    assert [record.sequence for record in await take(stream, 4)] == [2, 3, 4, 5]
    await stream.aclose()


async def test_many_readers_at_their_own_pace(journal: MemoryJournal) -> None:
    """Each gets everything from its own cursor."""
    feed, publisher = feed_on(journal, buffer=16)
    streams = [feed.subscribe(after_sequence=start) for start in (0, 5, 30)]
    first = [asyncio.create_task(take(stream, 1)) for stream in streams[:2]]
    await publisher.append(40)
    got = [await task for task in first]
    rest = [
        got[0] + await take(streams[0], 39),
        got[1] + await take(streams[1], 34),
        await take(streams[2], 10),
    ]
    for records, start in zip(rest, (0, 5, 30), strict=True):
        assert [record.sequence for record in records] == list(range(start + 1, 41))
    for stream in streams:
        await stream.aclose()


async def test_a_cursor_beyond_the_end_waits(journal: MemoryJournal) -> None:
    """Nothing old is given out to who has seen more than there is."""
    feed, publisher = feed_on(journal)
    await publisher.append(2)
    stream = feed.subscribe(after_sequence=5)
    waiting = asyncio.create_task(take(stream, 1))
    await asyncio.sleep(0)
    await publisher.append(3)
    await asyncio.sleep(0)
    assert not waiting.done()
    await publisher.append(1)
    assert [record.sequence for record in await waiting] == [6]
    await stream.aclose()


async def test_closing_ends_every_reader(journal: MemoryJournal) -> None:
    """A feed that closes leaves nobody waiting, and nothing behind."""
    feed, publisher = feed_on(journal)
    await publisher.append()
    stream = feed.subscribe()
    await take(stream, 1)
    waiting = asyncio.create_task(anext(stream))
    await asyncio.sleep(0)
    await feed.aclose()
    with pytest.raises(StopAsyncIteration):
        await waiting
    assert journal.listeners == 0


async def test_a_journal_that_goes_ends_the_readers(journal: MemoryJournal) -> None:
    """When the journal is closed the stream ends instead of hanging."""
    feed, publisher = feed_on(journal)
    await publisher.append()
    stream = feed.subscribe()
    await take(stream, 1)
    waiting = asyncio.create_task(anext(stream))
    for _ in range(5):
        await asyncio.sleep(0)
    await journal.aclose()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(waiting, 2)
