"""What every journal engine must do: the conformance suite of life.aios.ports.journal.

To run it against an engine, give it a harness::

    class TestMyJournal(JournalConformance):
        @pytest.fixture
        def harness(self, tmp_path: Path) -> JournalHarness:
            return MyHarness(tmp_path)

The scenarios are numbered and stand on their own. A harness declares as gaps what its engine cannot do by its nature; a
gap that is not declared fails, and so does a declared one that works after all. Needs pytest, pytest-asyncio (auto mode)
and hypothesis.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeVar, cast

import msgspec
import pytest

from life.aios.errors import (
    EventConflictError,
    InvalidInputError,
    JournalUnavailableError,
    LifeError,
    MalformedEventError,
    SequenceConflictError,
)
from life.aios.events import Custom, Kind, ToolCallStarted, UserMessage, encode_kind
from life.aios.ids import derived_event_id
from life.aios.ports.journal import Appended, EventQuery, Head, Journal
from life.aios.record import AGENT, USER, Actor, EventRecord, EventWriter, NewEvent, Schema, Stream
from life.lago.journal.chain import event_digest
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


class JournalConformance:
    """The scenarios. A subclass gives the fixture `harness`."""

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

    # Appending and reading back

    async def test_01_a_new_journal_is_empty(self, harness: JournalHarness) -> None:
        """Head 0 with a digest of zeros, no streams, no events."""
        async with harness.open() as journal:
            assert await journal.head(Stream("session-1")) == Head(0, ZEROS)
            assert await journal.streams() == []
            assert await journal.read(EventQuery()) == []
            assert await journal.read(EventQuery("session-1", "main")) == []
            assert await journal.get("01ARZ3NDEKTSV4RRFFQ69G5FAV") is None

    async def test_02_sequences_count_from_one_without_gaps(self, harness: JournalHarness) -> None:
        """Each stream counts for itself; positions count over all of them."""
        main, side = Maker(), Maker(branch_id="side", seed="side")
        async with harness.open() as journal:
            first = await journal.append(main.events(3))
            second = await journal.append(side.events(2))
            third = await journal.append(main.events(1))
            assert [one.sequence for one in first + second + third] == [1, 2, 3, 1, 2, 4]
            positions = [one.position for one in first + second + third]
            assert positions == sorted(set(positions))
            assert min(positions) > 0
            assert await journal.head(main.stream) == Head(4, third[-1].digest)
            assert await journal.head(side.stream) == Head(2, second[-1].digest)
            assert await journal.streams() == [main.stream, side.stream]
            assert await journal.streams("session-1") == [main.stream, side.stream]
            assert await journal.streams("session-2") == []

    async def test_03_what_was_given_comes_back(self, harness: JournalHarness) -> None:
        """Every field of the event, and the payload byte for byte."""
        maker = Maker()
        events = [
            maker.event(),
            maker.event(actor=USER, agent_id="did:key:zDn", schema=Schema("aios-protocol", "0.2.0")),
            maker.event(actor=Actor("agent"), causation_id="01ARZ3NDEKTSV4RRFFQ69G5FAV"),
            maker.event(correlation_id="run/7", causation_id="urn:uuid:1", trace_id="0af7651916cd43dd8448eb211c80319c"),
            maker.event(span_id="b7ad6b7169203331", trace_id="0AF7651916CD43DD8448EB211C80319C"),
            maker.event(trace_id="not-hex", span_id="00", correlation_id="01arz3ndektsv4rrffq69g5fav"),
            maker.event(UserMessage(content='Grüße, 世界 🌍 " \\ \u2028')),
            maker.event(timestamp_us=0),
            maker.event(timestamp_us=-1),
        ]
        async with harness.open() as journal:
            appended = await journal.append(events)
            records = await journal.read(EventQuery("session-1", "main"))
            assert [as_new(record) for record in records] == events
            assert [Appended(r.sequence, r.position, r.digest or "", False) for r in records] == appended
            assert [await journal.get(event.event_id) for event in events] == records
            assert all(record.kind == UserMessage(content=record.kind.content) for record in records)  # type: ignore[attr-defined]

    async def test_04_unknown_kinds_and_fields_survive(self, harness: JournalHarness) -> None:
        """A kind of a later version, a field of a later version, a Custom event: stored and given back unchanged."""
        maker = Maker()
        payloads = {
            b'{"type":"VisionResult","labels":["cat"],"score":0.5}': "VisionResult",
            b'{ "content" : "spaced" , "later" : [1, 2.50, 1e2] , "type" : "UserMessage" }': "UserMessage",
            b'{"type":"Custom","event_type":"finance.payment_settled","data":{"amount_atomic":"10000"}}': "Custom",
            b'{"type":"Custom","event_type":"BranchMerged","data":{}}': "Custom",
            b'{"no_tag":true}': "Unknown",
        }
        events = [maker.event(payload=payload, kind_name=name) for payload, name in payloads.items()]
        async with harness.open() as journal:
            await journal.append(events)
            records = await journal.read(EventQuery())
        assert [(record.payload, record.kind_name) for record in records] == list(payloads.items())
        assert records[0].kind == Custom(event_type="VisionResult", data={"labels": ["cat"], "score": 0.5})
        assert records[1].kind == UserMessage(content="spaced")
        assert records[4].kind == Custom(event_type="Unknown", data={"no_tag": True})

    async def test_05_ids_are_compared_whole(self, harness: JournalHarness) -> None:
        """Long ids, ids that begin alike and ids with punctuation are streams and events of their own."""
        sessions = ["s1", "s10", "s1-x", "system/lifed/saga/01ARZ3NDEKTSV4RRFFQ69G5FAV", "vault:u1", "S1", "x" * 255]
        sessions += [f"01ARZ3NDEKTSV4RRFFQ69G5FAV-{number}" for number in range(3)]
        ids = ["a" * 255, "a" * 254, "A" * 16, "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "01ARZ3NDEKTSV4RRFFQ69G5FAV"]
        ids += ["01arz3ndektsv4rrffq69g5fav", "81ARZ3NDEKTSV4RRFFQ69G5FAV", "0", "01ARZ3NDEKTSV4RRFFQ69G5FA", "~"]
        events = [
            Maker(session, seed=session).event(event_id=event_id)
            for session, event_id in zip(sessions, ids, strict=True)
        ]
        async with harness.open() as journal:
            appended = await journal.append(events)
            assert [one.sequence for one in appended] == [1] * len(events)
            for event in events:
                records = await journal.read(EventQuery(event.session_id))
                assert [record.event_id for record in records] == [event.event_id]
                assert (await journal.get(event.event_id)) == records[0]
            assert [stream.session_id for stream in await journal.streams()] == sessions

    async def test_06_what_cannot_be_an_event_is_refused(self, harness: JournalHarness) -> None:
        """A known kind that does not fit, bytes that are no JSON object, ids with blanks: refused, nothing stored."""
        maker = Maker()
        good = maker.event()
        malformed = [
            maker.event(payload=b'{"type":"UserMessage"}'),
            maker.event(payload=b'{"type":"UserMessage","content":7}'),
            maker.event(payload=b'{"type":"ToolCallStarted","content":"x"}'),
            maker.event(payload=b'{"content":"no tag"}'),
            maker.event(payload=b"[]", kind_name="Unknown"),
            maker.event(payload=b"not json", kind_name="Unknown"),
            maker.event(payload=b'{"type":"VisionResult","x":"\xff"}', kind_name="VisionResult"),
            maker.event(payload=b'{"type":"UserMessage","content":"a","x":"\xff"}'),
            maker.event(payload=b'{"type":"UserMessage",\n"content":"two lines"}'),
            maker.event(payload=b'{"type":"UserMessage","content":"a"}{}'),
            maker.event(payload=b'{"type":"Custom"}', kind_name="Custom"),
            maker.event(timestamp_us=2**62),
        ]
        bad_ids = [
            maker.event(event_id=""),
            maker.event(event_id="two words"),
            maker.event(event_id="x" * 256),
            maker.event(event_id="é"),
            maker.event(session_id=""),
            maker.event(branch_id="main\n"),
            maker.event(agent_id=""),
            maker.event(causation_id="a b"),
            maker.event(trace_id=""),
        ]
        async with harness.open() as journal:
            for event in malformed:
                with pytest.raises(MalformedEventError):
                    await journal.append([good, event])
            for event in bad_ids:
                with pytest.raises(InvalidInputError):
                    await journal.append([good, event])
            assert await journal.read(EventQuery()) == []
            assert (await journal.append([good]))[0].sequence == 1

    async def test_07_the_chain_can_be_recomputed(self, harness: JournalHarness) -> None:
        """Each digest follows from the one before it and the record, per stream, and the head has the last one."""
        makers = [Maker(), Maker(branch_id="side", seed="2"), Maker("session-2", seed="3")]
        events = [
            makers[number % 3].event(
                causation_id="cause" if number % 2 else None, trace_id="ab" if number % 5 else None
            )
            for number in range(30)
        ]
        async with harness.open() as journal:
            await journal.append(events)
            for maker in makers:
                digest = ZEROS
                for record in await journal.read(EventQuery(*maker.stream)):
                    digest = event_digest(digest, record)
                    assert record.digest == digest
                assert (await journal.head(maker.stream)).digest == digest

    # Batches

    async def test_08_a_batch_is_all_or_nothing(self, harness: JournalHarness) -> None:
        """A batch over several streams keeps its order; one bad event or expectation stores none of it."""
        main, side, other = Maker(), Maker(branch_id="side", seed="2"), Maker("session-2", seed="3")
        batch = [main.event(), side.event(), other.event(), main.event()]
        async with harness.open() as journal:
            stored = await journal.append(batch)
            assert [one.sequence for one in stored] == [1, 1, 1, 2]
            records = await journal.read(EventQuery())
            assert [record.event_id for record in records] == [event.event_id for event in batch]
            clash = msgspec.structs.replace(batch[0], agent_id="somebody-else")
            with pytest.raises(EventConflictError):
                await journal.append([other.event(), side.event(), clash])
            with pytest.raises(SequenceConflictError):
                await journal.append([other.event(), side.event()], expected={side.stream: 9})
            assert await journal.read(EventQuery()) == records
            assert await journal.streams() == [main.stream, side.stream, other.stream]

    async def test_09_an_empty_batch_has_no_effect(self, harness: JournalHarness) -> None:
        """It answers with nothing; an expectation that comes with it is still checked."""
        maker = Maker()
        async with harness.open() as journal:
            assert await journal.append([]) == []
            assert await journal.append([], expected={maker.stream: 0}) == []
            with pytest.raises(SequenceConflictError):
                await journal.append([], expected={maker.stream: 1})
            assert await journal.streams() == []

    async def test_10_large_batches_and_payloads(self, harness: JournalHarness) -> None:
        """Two thousand events in one batch, and a payload of two megabytes."""
        maker = Maker()
        async with harness.open() as journal:
            appended = await journal.append(maker.events(2000))
            assert [one.sequence for one in appended] == list(range(1, 2001))
            big = maker.event(UserMessage(content="x" * 2_000_000))
            await journal.append([big])
            found = await journal.get(big.event_id)
            assert found is not None
            assert found.payload == big.payload

    # Idempotence and expectations

    async def test_11_the_same_event_again_counts_as_done(self, harness: JournalHarness) -> None:
        """Same id and content: a duplicate with the first one's numbers, also with another time, also inside of a batch."""
        maker = Maker()
        events = maker.events(3)
        async with harness.open() as journal:
            first = await journal.append(events)
            later = [
                msgspec.structs.replace(event, timestamp_us=event.timestamp_us + 5, span_id="aa") for event in events
            ]
            again = await journal.append(later)
            assert again == [one._replace(duplicate=True) for one in first]
            new = maker.event()
            mixed = await journal.append([events[1], new, new])
            assert [(one.sequence, one.duplicate) for one in mixed] == [(2, True), (4, False), (4, True)]
            records = await journal.read(EventQuery())
            assert [as_new(record) for record in records] == [*events, new]

    async def test_12_the_same_id_with_other_content_is_a_conflict(self, harness: JournalHarness) -> None:
        """Stream, agent, actor, kind, payload and causation are the content."""
        maker = Maker()
        event = maker.event(causation_id="cause")
        started = ToolCallStarted(tool_run_id="run", tool_name="bash")
        changes: list[dict[str, object]] = [
            {"session_id": "session-2"},
            {"branch_id": "side"},
            {"agent_id": "agent-2"},
            {"actor": AGENT},
            {"actor": Actor("system")},
            {"payload": encode_kind(UserMessage(content="hullo"))},
            {"payload": event.payload.replace(b":", b": ", 1)},
            {"payload": encode_kind(started), "kind_name": "ToolCallStarted"},
            {"causation_id": None},
            {"causation_id": "other"},
        ]
        async with harness.open() as journal:
            await journal.append([event])
            for change in changes:
                with pytest.raises(EventConflictError) as caught:
                    await journal.append([maker.event(), msgspec.structs.replace(event, **change)])
                assert caught.value.event_id == event.event_id
            pair = maker.event()
            with pytest.raises(EventConflictError):
                await journal.append([pair, msgspec.structs.replace(pair, agent_id="agent-2")])
            assert (await journal.head(maker.stream)).sequence == 1

    async def test_13_expected_heads(self, harness: JournalHarness) -> None:
        """A batch goes in only where the streams end as expected; the error says where they do end."""
        main, side = Maker(), Maker(branch_id="side", seed="2")
        async with harness.open() as journal:
            await journal.append([main.event()], expected={main.stream: 0, side.stream: 0})
            await journal.append([main.event(), side.event()], expected={main.stream: 1, side.stream: 0})
            with pytest.raises(SequenceConflictError) as caught:
                await journal.append([main.event()], expected={main.stream: 1})
            assert (caught.value.session_id, caught.value.branch_id) == ("session-1", "main")
            assert (caught.value.expected, caught.value.actual) == (1, 2)
            with pytest.raises(SequenceConflictError):
                await journal.append([main.event()], expected={main.stream: 2, side.stream: 2})
            with pytest.raises(SequenceConflictError):
                await journal.append([main.event()], expected={Stream("nowhere"): 1})
            with pytest.raises(InvalidInputError):
                await journal.append([main.event()], expected={main.stream: -1})
            await journal.append([main.event()], expected={side.stream: 1})
            assert (await journal.head(main.stream)).sequence == 3

    async def test_14_a_repeated_batch_is_done_whatever_it_expected(self, harness: JournalHarness) -> None:
        """After a lost answer the very same call is safe: its events are there, so its expectation no longer matters."""
        maker = Maker()
        batch = maker.events(2)
        async with harness.open() as journal:
            first = await journal.append(batch, expected={maker.stream: 0})
            await journal.append(maker.events(1), expected={maker.stream: 2})
            again = await journal.append(batch, expected={maker.stream: 0})
            assert again == [one._replace(duplicate=True) for one in first]
            with pytest.raises(SequenceConflictError):
                await journal.append([*batch, maker.event()], expected={maker.stream: 0})

    # At the same time

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

    # Reading

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

    # Subscriptions

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

    # Closing, opening again, sharing

    async def test_30_a_closed_journal_says_so(self, harness: JournalHarness) -> None:
        """Every call fails with JournalUnavailableError, and open subscriptions do."""
        maker = Maker()
        async with harness.open() as journal:
            await journal.append(maker.events(1))
            subscription = cast(AsyncGenerator[EventRecord, None], journal.subscribe(EventQuery(after_position=1)))
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

    # Against a model

    def test_34_behaves_like_a_list(self, harness: JournalHarness) -> None:
        """Random appends, repeats, conflicts, reads and reopenings agree with lists and a dictionary (hypothesis)."""
        _run_machine(harness)


@dataclass
class _Model:
    """What a journal is: events in order, heads that count, ids that occur once."""

    events: list[NewEvent] = field(default_factory=list)

    def head(self, stream: Stream) -> int:
        return sum(event.stream == stream for event in self.events)

    def sequence(self, event_id: str) -> int:
        wanted = next(event for event in self.events if event.event_id == event_id)
        of_stream = [event.event_id for event in self.events if event.stream == wanted.stream]
        return of_stream.index(event_id) + 1

    def append(self, batch: list[NewEvent], expected: dict[Stream, int]) -> list[tuple[int, bool]] | type[LifeError]:
        known = {event.event_id: event for event in self.events}
        stored_before = set(known)
        for event in batch:
            earlier = known.setdefault(event.event_id, event)
            if msgspec.structs.replace(earlier, timestamp_us=event.timestamp_us) != event:
                return EventConflictError
        if not batch or any(event.event_id not in stored_before for event in batch):
            for stream, sequence in expected.items():
                if self.head(stream) != sequence:
                    return SequenceConflictError
        outcome = []
        for event in batch:
            duplicate = any(event.event_id == stored.event_id for stored in self.events)
            if not duplicate:
                self.events.append(event)
            outcome.append((self.sequence(event.event_id), duplicate))
        return outcome


def _run_machine(harness: JournalHarness) -> None:
    from hypothesis import HealthCheck, settings
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

    streams = [Stream("s"), Stream("s", "side"), Stream("s1")]
    runs = iter(range(1_000_000))
    some_stream = st.sampled_from(streams)
    some_event = st.builds(
        lambda number, stream, text, time: NewEvent(
            event_id=f"event-{number}",
            session_id=stream.session_id,
            branch_id=stream.branch_id,
            agent_id="agent",
            timestamp_us=time,
            payload=encode_kind(UserMessage(content=text)),
            kind_name="UserMessage",
        ),
        st.integers(0, 30),
        some_stream,
        st.sampled_from(["a", "b"]),
        st.integers(0, 3),
    )

    class Machine(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            self.runner = asyncio.Runner()
            self.name = f"machine-{next(runs)}"
            self.model = _Model()
            self.opened = harness.open(self.name)
            self.journal = self.runner.run(self.opened.__aenter__())

        @rule(
            batch=st.lists(some_event, max_size=4), expected=st.dictionaries(some_stream, st.integers(0, 3), max_size=2)
        )
        def append(self, batch: list[NewEvent], expected: dict[Stream, int]) -> None:
            wanted = self.model.append(batch, expected)
            try:
                got = self.runner.run(self.journal.append(batch, expected=expected))
            except LifeError as error:
                assert type(error) is wanted
            else:
                assert [(one.sequence, one.duplicate) for one in got] == wanted

        @rule(batches=st.lists(st.lists(some_event, max_size=3), max_size=4))
        def append_at_once(self, batches: list[list[NewEvent]]) -> None:
            async def together() -> list[list[Appended] | BaseException]:
                return await gather([self.journal.append(batch) for batch in batches])

            for batch, got in zip(batches, self.runner.run(together()), strict=True):
                wanted = self.model.append(batch, {})
                if isinstance(got, list):
                    assert [(one.sequence, one.duplicate) for one in got] == wanted
                else:
                    assert type(got) is wanted

        @rule(stream=some_stream, after=st.integers(0, 6), limit=st.integers(1, 5))
        def read(self, stream: Stream, after: int, limit: int) -> None:
            query = EventQuery(*stream, after_sequence=after)
            records = self.runner.run(self.journal.read(query, limit=limit))
            wanted = [event for event in self.model.events if event.stream == stream][after : after + limit]
            assert [as_new(record) for record in records] == wanted
            assert self.runner.run(self.journal.head(stream)).sequence == self.model.head(stream)

        @rule()
        def reopen(self) -> None:
            if "durable" not in harness.gaps:
                self.runner.run(self.opened.__aexit__(None, None, None))
                self.opened = harness.open(self.name)
                self.journal = self.runner.run(self.opened.__aenter__())

        def teardown(self) -> None:
            if not hasattr(self, "journal"):
                return
            try:
                records = self.runner.run(self.journal.read(EventQuery(), limit=10_000))
                assert [as_new(record) for record in records] == self.model.events
            finally:
                self.runner.run(self.opened.__aexit__(None, None, None))
                self.runner.close()

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
