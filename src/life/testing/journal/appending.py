"""Scenarios 1 to 14: what an append stores, refuses, repeats and expects."""

from __future__ import annotations

import msgspec
import pytest

from life.aios.errors import (
    EventConflictError,
    InvalidInputError,
    MalformedEventError,
    SequenceConflictError,
)
from life.aios.events import Custom, ToolCallStarted, UserMessage, encode_kind
from life.aios.ports.journal import Appended, EventQuery, Head
from life.aios.record import AGENT, USER, Actor, Schema, Stream
from life.lago.journal.chain import event_digest
from life.testing.journal.making import ZEROS, JournalHarness, Maker, as_new


class AppendingScenarios:
    """One caller at a time."""

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
            maker.event(actor=Actor("robot")),  # type: ignore[arg-type]
            maker.event(actor=Actor("system", "two\nlines")),
            maker.event(schema=Schema("\ud800", "1")),
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
