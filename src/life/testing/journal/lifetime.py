"""Scenarios 30 to 33: closing, opening again, and sharing a journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import cast

import pytest

from life.aios.errors import (
    JournalUnavailableError,
    LifeError,
    SequenceConflictError,
)
from life.aios.ids import derived_event_id
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord
from life.testing.journal.making import PATIENCE_S, Gap, JournalHarness, Maker, follow, gather, nothing_comes, take


class LifetimeScenarios:
    """What remains, and who else is there."""

    async def check_unless_gap(
        self, harness: JournalHarness, gap: Gap, scenario: Callable[[], Awaitable[None]]
    ) -> None:
        """Run a scenario that an engine may declare impossible; declared, it must fail."""
        if gap not in harness.gaps:
            await scenario()
            return
        try:
            await scenario()
        except (AssertionError, LifeError, TimeoutError):
            return
        pytest.fail(f"The gap '{gap}' is declared, but the engine can do it.")

    async def test_30_a_closed_journal_says_so(self, harness: JournalHarness) -> None:
        """Every call fails with JournalUnavailableError, and open subscriptions do."""
        maker = Maker()
        async with harness.open() as journal:
            await journal.append(maker.events(1))
            (last,) = await journal.read(EventQuery())
            after = EventQuery(after_position=last.position)
            subscription = cast(AsyncGenerator[EventRecord, None], journal.subscribe(after))
            waiting = await nothing_comes(subscription)
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(JournalUnavailableError):
                await waiting
        for call in (
            lambda: journal.append(maker.events(1)),
            lambda: journal.read(EventQuery()),
            lambda: journal.get("x"),
            lambda: journal.head(maker.stream),
            lambda: journal.streams(),
        ):
            with pytest.raises(JournalUnavailableError):
                await cast(Awaitable[object], call())
        with pytest.raises(JournalUnavailableError):
            journal.subscribe(EventQuery())

    async def test_31_events_outlive_the_journal_object(self, harness: JournalHarness) -> None:
        """Closed and opened again: the same events, heads and chain, and the next sequence follows. Gap `durable`."""

        async def scenario() -> None:
            maker, side = Maker(), Maker(branch_id="side", seed="2")
            async with harness.open() as journal:
                events = [*maker.events(3), side.event()]
                await journal.append(events)
                before = await journal.read(EventQuery())
                heads = [await journal.head(stream) for stream in (maker.stream, side.stream)]
            async with harness.open() as journal:
                assert await journal.read(EventQuery()) == before
                assert [await journal.head(stream) for stream in (maker.stream, side.stream)] == heads
                assert await journal.streams() == [maker.stream, side.stream]
                again = await journal.append(events, expected={maker.stream: 0})
                assert [one.duplicate for one in again] == [True] * 4
                assert (await journal.append([maker.event()]))[0].sequence == 4

        await self.check_unless_gap(harness, "durable", scenario)

    async def test_32_two_openers_share_one_journal(self, harness: JournalHarness) -> None:
        """Each sees what the other appends, at once when it reads and soon when it subscribes. Gap `shared`."""

        async def scenario() -> None:
            first, second = Maker(seed="1"), Maker(seed="2")
            async with harness.open() as one, harness.open() as two:
                async with follow(one, EventQuery("session-1")) as subscription:
                    await one.append(first.events(2))
                    assert (await two.append([second.event()], expected={second.stream: 2}))[0].sequence == 3
                    assert (await one.append([first.event()], expected={first.stream: 3}))[0].sequence == 4
                    await two.append([second.event()])
                    assert [record.sequence for record in await take(subscription, 5)] == [1, 2, 3, 4, 5]
                with pytest.raises(SequenceConflictError):
                    await one.append([first.event()], expected={first.stream: 4})
                assert await one.read(EventQuery()) == await two.read(EventQuery())

        await self.check_unless_gap(harness, "shared", scenario)

    async def test_33_openers_exclude_each_other(self, harness: JournalHarness) -> None:
        """Compare-and-append loops through two openers give a gapless stream, and a claim one winner. Gap `shared`."""

        async def scenario() -> None:
            maker = Maker()
            claim = maker.event(event_id=derived_event_id("claim"))
            async with harness.open() as one, harness.open() as two:

                async def compete(journal: Journal, seed: str) -> None:
                    own = Maker(seed=seed)
                    for _ in range(10):
                        event = own.event()
                        while True:
                            head = await journal.head(own.stream)
                            try:
                                await journal.append([event], expected={own.stream: head.sequence})
                                break
                            except SequenceConflictError:
                                await asyncio.sleep(0)

                results = await gather([compete(one, "1"), compete(two, "2"), compete(one, "3"), compete(two, "4")])
                assert results == [None] * 4
                records = await two.read(EventQuery("session-1", "main"))
                assert [record.sequence for record in records] == list(range(1, 41))
                claims = await gather([journal.append([claim]) for journal in (one, two, one, two)])
                flags = sorted(one.duplicate for claimed in claims if isinstance(claimed, list) for one in claimed)
                assert flags == [False, True, True, True]

        await self.check_unless_gap(harness, "shared", scenario)
