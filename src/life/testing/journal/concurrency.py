"""Scenarios 15 to 19: many callers at the same time."""

from __future__ import annotations

import asyncio

import msgspec

from life.aios.errors import (
    EventConflictError,
    MalformedEventError,
    SequenceConflictError,
)
from life.aios.ids import derived_event_id
from life.aios.ports.journal import Appended, EventQuery
from life.aios.record import NewEvent
from life.testing.journal.making import PATIENCE_S, JournalHarness, Maker, gather


class ConcurrencyScenarios:
    """Many callers, one journal."""

    async def test_15_concurrent_appends(self, harness: JournalHarness) -> None:
        """64 producers: every event once, sequences gapless, and each producer's own order kept."""
        makers = [Maker(f"session-{number % 4}", seed=str(number)) for number in range(64)]
        batches = [maker.events(3) for maker in makers]
        async with harness.open() as journal:

            async def produce(batch: list[NewEvent]) -> list[Appended]:
                return [(await journal.append([event]))[0] for event in batch]

            results = await gather([produce(batch) for batch in batches])
            records = await journal.read(EventQuery(), limit=1000)
            by_id = {record.event_id: record for record in records}
            assert len(by_id) == len(records) == 192
            for batch, result in zip(batches, results, strict=True):
                assert not isinstance(result, BaseException)
                assert [by_id[event.event_id].sequence for event in batch] == [one.sequence for one in result]
                assert [one.sequence for one in result] == sorted(one.sequence for one in result)
            for number in range(4):
                stream = [record.sequence for record in records if record.session_id == f"session-{number}"]
                assert stream == list(range(1, 49))

    async def test_16_one_callers_error_is_not_anothers(self, harness: JournalHarness) -> None:
        """Batches that wait together: conflicts and malformed events fail alone."""
        maker = Maker()
        stored = maker.event()
        new = maker.events(4)
        async with harness.open() as journal:
            await journal.append([stored])
            results = await gather(
                [
                    journal.append([new[0]]),
                    journal.append([maker.event(), msgspec.structs.replace(stored, agent_id="x")]),
                    journal.append([new[1]], expected={maker.stream: 17}),
                    journal.append([stored, new[2]]),
                    journal.append([maker.event(payload=b"{}")]),
                    journal.append([new[3]]),
                ]
            )
            assert [type(result) for result in results] == [
                list,
                EventConflictError,
                SequenceConflictError,
                list,
                MalformedEventError,
                list,
            ]
            records = await journal.read(EventQuery())
            assert {record.event_id for record in records} == {e.event_id for e in (stored, new[0], new[2], new[3])}
            assert [record.sequence for record in records] == [1, 2, 3, 4]

    async def test_17_only_one_of_many_wins_an_expected_head(self, harness: JournalHarness) -> None:
        """Twenty writers decide on the same head; one gets it, the others learn where the stream is."""
        maker = Maker()
        async with harness.open() as journal:
            results = await gather([journal.append([event], expected={maker.stream: 0}) for event in maker.events(20)])
            assert sum(isinstance(result, list) for result in results) == 1
            losers = [result for result in results if isinstance(result, SequenceConflictError)]
            assert len(losers) == 19
            assert all(loser.actual == 1 for loser in losers)

    async def test_18_a_derived_id_is_a_claim(self, harness: JournalHarness) -> None:
        """The same event under a derived id, appended by many: exactly one append is not a duplicate."""
        maker = Maker()
        claim = maker.event(event_id=derived_event_id("payment", "invoice-7"))
        async with harness.open() as journal:
            results = await gather([journal.append([claim]) for _ in range(20)])
            flags = sorted(one.duplicate for result in results if isinstance(result, list) for one in result)
            assert flags == [False] + [True] * 19

    async def test_19_a_cancelled_caller_does_no_harm(self, harness: JournalHarness) -> None:
        """Others that wait with it are stored; its own batch is there whole or not at all, and may be appended again."""
        maker = Maker()
        cancelled, kept = maker.events(2), maker.events(2)
        async with harness.open() as journal:
            first = asyncio.create_task(journal.append(cancelled))
            second = asyncio.create_task(journal.append(kept))
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.wait([first, second], timeout=PATIENCE_S)
            assert len(second.result()) == 2
            await journal.append(cancelled)
            records = await journal.read(EventQuery())
            assert sorted(r.event_id for r in records) == sorted(e.event_id for e in cancelled + kept)
            assert [record.sequence for record in records] == [1, 2, 3, 4]
