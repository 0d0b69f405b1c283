"""Scenarios 20 to 29: reading pages, and subscriptions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import cast

import pytest

from life.aios.errors import (
    InvalidInputError,
)
from life.aios.events import Custom, Kind, ToolCallStarted, UserMessage
from life.aios.ports.journal import EventQuery
from life.aios.record import EventRecord
from life.testing.journal.making import PATIENCE_S, JournalHarness, Maker, follow, gather, nothing_comes, take


class ReadingScenarios:
    """Cursors, filters, history and what comes live."""

    async def test_20_reading_by_sequence_and_position(self, harness: JournalHarness) -> None:
        """Cursors are exclusive; pages follow each other without a gap."""
        main, side, other = Maker(), Maker(branch_id="side", seed="2"), Maker("session-2", seed="3")
        events = [[main, side, other, main][number % 4].event() for number in range(40)]
        async with harness.open() as journal:
            await journal.append(events)
            everything = await journal.read(EventQuery())

            async def ids(query: EventQuery, limit: int = 500) -> list[str]:
                return [record.event_id for record in await journal.read(query, limit=limit)]

            def wanted(*makers: Maker) -> list[str]:
                return [event.event_id for event in events if any(event.stream == maker.stream for maker in makers)]

            assert await ids(EventQuery()) == [event.event_id for event in events]
            assert await ids(EventQuery("session-1")) == wanted(main, side)
            assert await ids(EventQuery("session-1", "main")) == wanted(main)
            assert await ids(EventQuery("session-1", "side")) == wanted(side)
            assert await ids(EventQuery("session-3")) == []
            assert await ids(EventQuery("session-1", "main", after_sequence=3, before_sequence=7)) == wanted(main)[3:6]
            assert await ids(EventQuery("session-1", "main", after_sequence=20)) == []
            assert await ids(EventQuery("session-1", "main", before_sequence=1)) == []
            assert await ids(EventQuery("session-1", "main", after_sequence=2**64 - 1)) == []
            assert await ids(EventQuery(after_position=2**64 - 1)) == []
            for after in (0, 1, 7, 39, 40):
                cursor = everything[after - 1].position if after else 0
                behind = [event.event_id for event in events[after:]]
                assert await ids(EventQuery(after_position=cursor)) == behind
                assert await ids(EventQuery(after_position=cursor), 3) == behind[:3]
                for session, makers in (("session-1", (main, side)), ("session-2", (other,))):
                    some = [event_id for event_id in behind if event_id in wanted(*makers)]
                    assert await ids(EventQuery(session, after_position=cursor)) == some
                    assert await ids(EventQuery(session, after_position=cursor), 3) == some[:3]
                some = [event_id for event_id in behind if event_id in wanted(main)]
                assert await ids(EventQuery("session-1", "main", after_position=cursor), 4) == some[:4]

    async def test_21_reading_by_kind(self, harness: JournalHarness) -> None:
        """Only the named kinds, over any of the cursors; all Custom events are `Custom`; unknown names match nothing."""
        maker, side = Maker(), Maker(branch_id="side", seed="2")
        kinds: list[Kind] = [
            UserMessage(content="hi"),
            Custom(event_type="finance.reserved"),
            ToolCallStarted(tool_run_id="run", tool_name="bash"),
        ]
        async with harness.open() as journal:
            await journal.append([(maker, side)[number % 2].event(kinds[number % 3]) for number in range(60)])
            for query in (EventQuery(), EventQuery("session-1"), EventQuery("session-1", "main")):
                everything = await journal.read(query)
                for names in (("Custom",), ("UserMessage", "ToolCallStarted"), ("Nothing",), ("Nothing", "Custom")):
                    expected = [record for record in everything if record.kind_name in names]
                    assert await journal.read(query._replace(kinds=names)) == expected
                    assert await journal.read(query._replace(kinds=names), limit=5) == expected[:5]

    async def test_22_questions_without_meaning_are_refused(self, harness: JournalHarness) -> None:
        """Limits outside of 1 to 10,000, a branch without a session, a sequence without a stream."""
        async with harness.open() as journal:
            for limit in (0, -1, 10_001):
                with pytest.raises(InvalidInputError):
                    await journal.read(EventQuery(), limit=limit)
            for query in (
                EventQuery(branch_id="main"),
                EventQuery(after_sequence=1),
                EventQuery("session-1", before_sequence=4),
            ):
                with pytest.raises(InvalidInputError):
                    await journal.read(query)
                with pytest.raises(InvalidInputError):
                    journal.subscribe(query)

    async def test_23_history_first_then_live(self, harness: JournalHarness) -> None:
        """Stored events come at once, without waiting for a new one; then each new one, once, in order."""
        maker = Maker()
        async with harness.open() as journal:
            await journal.append(maker.events(3))
            async with follow(journal, EventQuery("session-1", "main")) as subscription:
                assert [record.sequence for record in await take(subscription, 3)] == [1, 2, 3]
                waiting = await nothing_comes(subscription)
                await journal.append(maker.events(1))
                async with asyncio.timeout(PATIENCE_S):
                    assert (await waiting).sequence == 4
                await journal.append(maker.events(2))
                assert [record.sequence for record in await take(subscription, 2)] == [5, 6]
                (await nothing_comes(subscription)).cancel()

    async def test_24_nothing_is_lost_or_repeated_at_the_seam(self, harness: JournalHarness) -> None:
        """Subscribers that begin while producers append see every event exactly once, in order."""
        maker, other = Maker(), Maker("session-2", seed="2")
        async with harness.open() as journal:
            await journal.append(maker.events(300))

            async def produce() -> None:
                for _ in range(60):
                    await journal.append([maker.event(), other.event(), maker.event(), maker.event(), maker.event()])

            async def consume(query: EventQuery, count: int) -> list[EventRecord]:
                async with follow(journal, query) as subscription:
                    return await take(subscription, count)

            results = await gather(
                [
                    produce(),
                    consume(EventQuery("session-1", "main"), 540),
                    consume(EventQuery("session-1", "main", after_sequence=299), 241),
                    consume(EventQuery("session-2"), 60),
                    consume(EventQuery(), 600),
                ]
            )
            main, tail, second, everything = [cast(list[EventRecord], result) for result in results[1:]]
            assert [record.sequence for record in main] == list(range(1, 541))
            assert [record.sequence for record in tail] == list(range(300, 541))
            assert [record.sequence for record in second] == list(range(1, 61))
            assert everything == await journal.read(EventQuery(), limit=10_000)

    async def test_25_filters_of_subscriptions(self, harness: JournalHarness) -> None:
        """Stream, session, kinds and cursors apply to live events as to stored ones."""
        main, side, other = Maker(), Maker(branch_id="side", seed="2"), Maker("session-2", seed="3")
        custom = Custom(event_type="finance.reserved")
        queries = [
            EventQuery("session-1", "main"),
            EventQuery("session-1"),
            EventQuery(kinds=("Custom",)),
            EventQuery("session-1", kinds=("Custom",)),
            EventQuery("session-1", "side", after_sequence=4),
            EventQuery(after_position=7),
        ]
        async with harness.open() as journal:
            subscriptions = [cast(AsyncGenerator[EventRecord, None], journal.subscribe(query)) for query in queries]
            for _ in range(5):
                await journal.append([main.event(), side.event(custom), other.event(), other.event(custom)])
            for query, subscription in zip(queries, subscriptions, strict=True):
                expected = await journal.read(query)
                assert await take(subscription, len(expected)) == expected
                (await nothing_comes(subscription)).cancel()
                await subscription.aclose()

    async def test_26_a_slow_consumer_loses_nothing(self, harness: JournalHarness) -> None:
        """Three thousand events pile up behind a consumer that stopped after one; it gets all of them."""
        maker = Maker()
        async with harness.open() as journal:
            await journal.append(maker.events(1))
            async with follow(journal, EventQuery()) as subscription:
                await take(subscription, 1)
                for _ in range(6):
                    await journal.append(maker.events(500))
                assert [record.sequence for record in await take(subscription, 3000)] == list(range(2, 3002))

    async def test_27_closing_a_subscription(self, harness: JournalHarness) -> None:
        """It ends, also for somebody who waits on it; closing twice is fine; others go on."""
        maker = Maker()
        async with harness.open() as journal:
            async with follow(journal, EventQuery()) as subscription, follow(journal, EventQuery()) as other:
                waiting = await nothing_comes(subscription)
                await subscription.aclose()
                async with asyncio.timeout(PATIENCE_S):
                    with pytest.raises(StopAsyncIteration):
                        await waiting
                with pytest.raises(StopAsyncIteration):
                    await anext(subscription)
                await journal.append(maker.events(1))
                assert len(await take(other, 1)) == 1

    async def test_28_a_subscription_with_an_end(self, harness: JournalHarness) -> None:
        """`before_sequence` ends it, whether the events are stored or yet to come."""
        maker = Maker()
        async with harness.open() as journal:
            await journal.append(maker.events(2))
            async with follow(journal, EventQuery("session-1", "main", before_sequence=5)) as subscription:
                assert len(await take(subscription, 2)) == 2
                await journal.append(maker.events(4))
                rest = [record.sequence async for record in subscription]
                assert rest == [3, 4]

    async def test_29_a_cancelled_wait_loses_no_event(self, harness: JournalHarness) -> None:
        """A consumer that gave up waiting (a timeout) and asks again gets the next event."""
        maker = Maker()
        async with harness.open() as journal, follow(journal, EventQuery()) as subscription:
            for number in range(1, 4):
                waiting = await nothing_comes(subscription)
                waiting.cancel()
                await journal.append(maker.events(1))
                await asyncio.wait([waiting])
                assert [record.sequence for record in await take(subscription, 1)] == [number]
