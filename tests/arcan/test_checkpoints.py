"""Checkpoints are a cache: fold(all) == fold(checkpoint + rest) at every sequence, and one that does not fit is thrown away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from life.aios import events
from life.aios.errors import NotFoundError
from life.aios.ports.journal import EventQuery
from life.aios.ports.provider import ModelRequest, TextBlock
from life.aios.ports.snapshots import Snapshot
from life.aios.record import EventRecord, EventWriter, NewEvent, Stream
from life.arcan import checkpoints
from life.arcan.checkpoints import EVERY_EVENTS, SessionHistory
from life.arcan.providers.scripted import ScriptedProvider, ScriptedTurn
from life.arcan.state import encode_state, fold
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.redacted import stub_payload
from life.lago.snapshots import MemorySnapshots
from life.testing.clock import ManualClock, SeededEntropy
from tests.arcan.any_events import histories
from tests.arcan.branch_bench import Bench
from tests.arcan.workbench import calls, says

STREAM = Stream("s")
NAME = "arcan.session s main"


async def session(tmp_path: Path) -> Bench:
    """A session `s` with tools, an approval, a merged branch and a way back."""
    bench = Bench(tmp_path, MemoryJournal())

    def answer(request: ModelRequest) -> ScriptedTurn:
        last = request.messages[-1].content[-1]
        wanted = {"Write.": calls(("write", {"path": "a", "content": "1"})), "Sign.": calls(("sign", {}))}
        return wanted.get(last.text, says("Done.")) if isinstance(last, TextBlock) else says("Done.")

    async with bench.runtime(ScriptedProvider(answer, clock=bench.clock)) as runtime:
        await runtime.create_session("s", owner="ann")
        await runtime.run("s", "Write.")
        await runtime.branches.fork("s", "idea")
        report = await runtime.run("s", "Sign.")
        assert report.pending is not None
        await runtime.resolve_approval("s", report.pending.approval_id or "", approved=True, actor="ann")
        await runtime.wait("s")
        await runtime.run("s", "On the branch.", branch="idea")
        await runtime.branches.merge("s", "idea")
        await runtime.branches.restore("s", 6)
        await runtime.run("s", "End.")
    return bench


async def test_every_checkpoint_gives_the_same_state(tmp_path: Path) -> None:
    """From a checkpoint at any sequence, through merges and ways back, the fold arrives at the same bytes."""
    bench = await session(tmp_path)
    for stream in (STREAM, Stream("s", "idea")):
        plain = SessionHistory(bench.journal)
        whole = await plain.state(stream)
        for sequence in range(1, whole.head + 1):
            at = await plain.state(stream, at=sequence)
            kept = MemorySnapshots()
            history = SessionHistory(bench.journal, kept)
            assert await history.save(at)
            assert (await history._from_checkpoint(stream)) == at
            assert encode_state(await history.state(stream)) == encode_state(whole)


@given(histories())
@settings(max_examples=60)
def test_any_events_fold_the_same_from_any_checkpoint(records: list[EventRecord]) -> None:
    """Whatever a journal holds, a checkpoint anywhere in it changes nothing."""

    async def check() -> None:
        journal = MemoryJournal()
        fields = NewEvent.__struct_fields__
        for number, record in enumerate(records):
            given = {name: getattr(record, name) for name in fields}
            given["event_id"] = f"e{number}"
            try:
                await journal.append([NewEvent(**given)])
            except Exception:  # what no journal takes, no journal holds
                continue
        plain = SessionHistory(journal)
        stored = await journal.read(EventQuery("s", "main"), limit=1000)
        whole = await plain.state(STREAM)
        for record in stored:
            history = SessionHistory(journal, MemorySnapshots())
            await history.save(await plain.state(STREAM, at=record.sequence))
            assert encode_state(await history.state(STREAM)) == encode_state(whole)

    asyncio.run(check())


@given(st.data())
@settings(max_examples=40)
def test_a_damaged_checkpoint_is_thrown_away(data: st.DataObject) -> None:
    """Any byte changed, cut or added: the session is folded from its beginning, to the same state."""

    async def check() -> None:
        journal = MemoryJournal()
        writer = EventWriter(ManualClock(), SeededEntropy(), agent_id="a", stream=STREAM)
        await journal.append(
            [writer.event(events.SessionCreated(name="S"))]
            + [writer.event(events.UserMessage(content=f"Message {n}")) for n in range(5)]
        )
        kept = MemorySnapshots()
        history = SessionHistory(journal, kept)
        whole = await history.state(STREAM)
        await history.save(whole)
        snapshot = await kept.load(NAME, 1)
        assert snapshot is not None
        body = bytearray(snapshot.state)
        place = data.draw(st.integers(0, len(body) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "add"])):
            case "flip":
                body[place] ^= data.draw(st.integers(1, 255))
            case "cut":
                del body[place:]
            case _:
                body.insert(place, data.draw(st.integers(0, 255)))
        await kept.save(NAME, 1, Snapshot(snapshot.position, bytes(body)))
        assert encode_state(await history.state(STREAM)) == encode_state(whole)

    asyncio.run(check())


async def test_checkpoints_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of other code, of another session, of a journal that was restored from a backup, or beyond its end: none is used."""
    bench = await session(tmp_path)
    kept = MemorySnapshots()
    history = SessionHistory(bench.journal, kept)
    whole = await history.state(STREAM)
    await history.save(whole)
    good = await kept.load(NAME, 1)
    assert good is not None
    assert await history._from_checkpoint(STREAM) == whole

    monkeypatch.setattr(checkpoints, "_code", lambda: "other code")
    assert await history._from_checkpoint(STREAM) is None
    monkeypatch.undo()

    await kept.save("arcan.session s idea", 1, good)
    assert await history._from_checkpoint(Stream("s", "idea")) is None

    other = MemoryJournal()
    writer = EventWriter(ManualClock(), SeededEntropy("other"), agent_id="a", stream=STREAM)
    await other.append([writer.event(events.SessionCreated(name="other"))])
    elsewhere = SessionHistory(other, kept)
    assert await elsewhere._from_checkpoint(STREAM) is None
    assert (await elsewhere.state(STREAM)).name == "other"
    await other.append([writer.event(events.Heartbeat(summary="x")) for _ in range(whole.head)])
    assert await elsewhere._from_checkpoint(STREAM) is None


async def test_states_at_positions(tmp_path: Path) -> None:
    """A position that is not there yet is a NotFoundError; 0 of a branch is what it inherited."""
    bench = await session(tmp_path)
    history = SessionHistory(bench.journal)
    with pytest.raises(NotFoundError):
        await history.state(STREAM, at=10_000)
    inherited = await history.state(Stream("s", "idea"), at=0)
    assert (inherited.head, inherited.config.owner) == (0, "ann")
    assert (await history.state(Stream("nobody"))).head == 0
    plain = fold("s", (await bench.events("s"))[:6])
    assert encode_state(await history.state(STREAM, at=6)) == encode_state(plain)


async def test_a_redacted_parent_is_a_gap_and_no_obstacle(tmp_path: Path) -> None:
    """A branch of a session whose events lost their content folds without them, and keeps its owner when the creation stands."""
    bench = await session(tmp_path)
    journal = MemoryJournal()
    fields = NewEvent.__struct_fields__
    for stream in await bench.journal.streams("s"):
        for record in await bench.events(*stream):
            given = {name: getattr(record, name) for name in fields}
            if stream.branch_id == "main" and record.kind_name in ("UserMessage", "ToolCallCompleted"):
                given |= {"kind_name": "Custom", "payload": stub_payload(kind=record.kind_name, redaction="r")}
            await journal.append([NewEvent(**given)])
    state = await SessionHistory(journal).state(Stream("s", "idea"))
    assert state.config.owner == "ann"
    assert "Write." not in str(state.conversation.messages())
    assert "On the branch." in str(state.conversation.messages())


async def test_a_long_session_gets_a_checkpoint_by_itself(tmp_path: Path) -> None:
    """When enough is new and the run has come to rest, the state is kept; the next process folds only the rest."""
    bench = Bench(tmp_path, MemoryJournal())
    kept = MemorySnapshots()
    turns = ScriptedProvider(lambda _: ScriptedTurn(text="ok"), clock=bench.clock)
    async with bench.runtime(turns, checkpoints=kept) as runtime:
        await runtime.create_session("s")
        writer = EventWriter(bench.clock, SeededEntropy("noise"), agent_id="a", stream=STREAM)
        noise = [writer.event(events.Heartbeat(summary="x")) for _ in range(EVERY_EVENTS)]
        await bench.journal.append(noise)
        await runtime.run("s", "Hello")
    found = await kept.load(NAME, 1)
    assert found is not None
    assert found.position >= EVERY_EVENTS
    reads: list[int] = []

    class Counting(MemoryJournal):
        async def read(self, query: EventQuery, *, limit: int = 500) -> list[EventRecord]:
            page = await bench.journal.read(query, limit=limit)
            reads.append(len(page))
            return page

    state = await SessionHistory(Counting(), kept).state(STREAM)
    assert sum(reads) < 20
    assert encode_state(state) == encode_state(await SessionHistory(bench.journal).state(STREAM))


async def test_what_messagepack_can_not_hold_is_not_kept() -> None:
    """Numbers beyond 64 bits in a tool's arguments cost a replay, never a failure."""
    journal = MemoryJournal()
    writer = EventWriter(ManualClock(), SeededEntropy(), agent_id="a", stream=STREAM)
    big = events.ToolCallRequested(call_id="call-1", tool_name="t", arguments={"n": 0})
    event = msgspec.structs.replace(
        writer.event(big),
        payload=b'{"type":"ToolCallRequested","call_id":"call-1","tool_name":"t","arguments":{"n":1%b}}' % (b"0" * 30),
    )
    await journal.append([writer.event(events.SessionCreated(name="S")), event])
    history = SessionHistory(journal, MemorySnapshots())
    state = await history.state(STREAM)
    await history.save(state)
    assert encode_state(await history.state(STREAM)) == encode_state(state)


async def test_many_merges_and_ways_back_stay_quick() -> None:
    """Forty branches merged one after the other, and forty ways back, are folded in a few passes, not in one pass for each way
    through them."""
    journal = MemoryJournal()
    writer = EventWriter(ManualClock(), SeededEntropy(), agent_id="a", stream=STREAM)
    await journal.append([writer.event(events.SessionCreated(name="S"))])
    for number in range(40):
        head = (await journal.head(STREAM)).sequence
        own = EventWriter(ManualClock(), SeededEntropy(f"b{number}"), agent_id="a", stream=Stream("s", f"b{number}"))
        made = events.BranchCreated(new_branch_id=f"b{number}", fork_point_seq=head, name=f"b{number}")
        await journal.append([own.event(made), own.event(events.UserMessage(content=f"On {number}."))])
        await journal.append([writer.event(events.BranchMerged(source_branch_id=f"b{number}", merge_seq=2))])
    for _ in range(40):
        head = (await journal.head(STREAM)).sequence
        await journal.append([writer.event(events.CheckpointRestored(checkpoint_id="c", restored_to_seq=head))])
    reads = 0

    class Counting(MemoryJournal):
        async def read(self, query: EventQuery, *, limit: int = 500) -> list[EventRecord]:
            nonlocal reads
            reads += 1
            return await journal.read(query, limit=limit)

    counting = Counting()
    counting.streams, counting.head = journal.streams, journal.head  # type: ignore[method-assign]
    state = await SessionHistory(counting).state(STREAM)
    said = [str(message.content) for message in state.conversation.messages()]
    assert [sum(f"On {number}." in text for text in said) for number in range(40)] == [1] * 40
    assert reads < 400
