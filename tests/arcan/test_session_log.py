"""The one writer of a session: staging, barriers, neighbours, and others who drive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from life.aios import events
from life.aios.errors import JournalError, JournalFullError
from life.aios.events import Kind
from life.aios.ports.journal import Appended, EventQuery, Head, Journal
from life.aios.record import EventRecord, EventWriter, NewEvent, Stream
from life.arcan.errors import SessionDrivenElsewhereError
from life.arcan.events import RunLimits, run_limits
from life.arcan.session_log import SessionLog
from life.arcan.state import encode_state, fold
from life.lago.journal.memory import MemoryJournal
from life.testing.clock import ManualClock, SeededEntropy
from tests.arcan.workbench import history

STREAM = Stream("s")


def log_on(journal: Journal, published: list[EventRecord] | None = None, seed: str = "log") -> SessionLog:
    """A log over this journal."""
    sink: list[EventRecord] = published if published is not None else []
    return SessionLog(
        journal,
        STREAM,
        agent_id="agent-1",
        clock=ManualClock(),
        entropy=SeededEntropy(seed),
        published=sink.extend,
    )


async def elsewhere(journal: Journal, *kinds: Kind) -> None:
    """Somebody else appends to the stream."""
    writer = EventWriter(ManualClock(), SeededEntropy("elsewhere"), agent_id="agent-2", stream=STREAM)
    await journal.append([writer.event(kind) for kind in kinds])


class SlowJournal:
    """A journal whose appends wait until they are let through, or fail."""

    def __init__(self, inner: Journal) -> None:
        self.inner = inner
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.batches: list[int] = []

    async def append(
        self, events: Sequence[NewEvent], *, expected: Mapping[Stream, int] | None = None
    ) -> list[Appended]:
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.batches.append(len(events))
        return await self.inner.append(events, expected=expected)

    async def read(self, query: EventQuery, *, limit: int = 500) -> list[EventRecord]:
        return await self.inner.read(query, limit=limit)

    async def get(self, event_id: str) -> EventRecord | None:
        return await self.inner.get(event_id)

    async def head(self, stream: Stream) -> Head:
        return await self.inner.head(stream)

    async def streams(self, session_id: str | None = None) -> list[Stream]:
        return await self.inner.streams(session_id)

    def subscribe(self, query: EventQuery) -> AsyncIterator[EventRecord]:
        return self.inner.subscribe(query)


async def test_staged_is_seen_at_once_and_durable_after_the_commit() -> None:
    """The next decision sees what was staged; others are told only what is on disk; one commit is one append."""
    journal = SlowJournal(MemoryJournal())
    published: list[EventRecord] = []
    log = log_on(journal, published)
    log.add(events.SessionCreated(name="s"))
    log.add(events.UserMessage(content="Hi."))
    assert log.state.head == 2 and log.durable_state.head == 0
    assert await history(journal.inner, "s") == [] and published == []
    await log.commit()
    assert log.durable_state == log.state
    assert journal.batches == [2]
    assert [record.sequence for record in published] == [1, 2]
    assert all(record.digest for record in published)
    assert encode_state(log.state) == encode_state(fold("s", await history(journal, "s")))


async def test_a_commit_in_flight_is_waited_for() -> None:
    """`commit_soon` begins; what is staged meanwhile comes after it; `commit` waits for both, in order."""
    journal = SlowJournal(MemoryJournal())
    log = log_on(journal)
    journal.gate.clear()
    log.add(events.SessionCreated(name="s"))
    log.commit_soon()
    await asyncio.sleep(0)
    log.add(events.UserMessage(content="Hi."))
    waiting = asyncio.create_task(log.commit())
    await asyncio.sleep(0)
    assert not waiting.done()
    journal.gate.set()
    await waiting
    assert journal.batches == [1, 1]
    assert [record.kind_name for record in await history(journal, "s")] == ["SessionCreated", "UserMessage"]


async def test_a_failed_commit_is_told_to_the_next_one() -> None:
    """Nobody waited for it, so the next commit raises it, and so does every later one: the log is broken."""
    journal = SlowJournal(MemoryJournal())
    log = log_on(journal)
    journal.failure = JournalFullError("No room.")
    log.add(events.SessionCreated(name="s"))
    log.commit_soon()
    await asyncio.sleep(0.001)
    journal.failure = None
    for _ in range(2):
        with pytest.raises(JournalFullError):
            await log.commit()
    assert log.is_broken
    assert await history(journal, "s") == []


async def test_a_cancelled_commit_breaks_the_log() -> None:
    """Whether the bytes arrived is unknown, so the session has to be read again."""
    journal = SlowJournal(MemoryJournal())
    log = log_on(journal)
    journal.gate.clear()
    log.add(events.SessionCreated(name="s"))
    task = asyncio.create_task(log.commit())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log.is_broken
    with pytest.raises(JournalError):
        await log.commit()


async def test_neighbours_are_folded_in() -> None:
    """A tool that journals files, or homeostasis, may append to the stream: theirs first, then ours, and the state is
    the one a reader folds."""
    journal = MemoryJournal()
    published: list[EventRecord] = []
    log = log_on(journal, published)
    log.add(events.SessionCreated(name="s"))
    await log.commit()
    log.add(events.UserMessage(content="Hi."))
    await elsewhere(
        journal,
        events.FileWrite(path="a", blob_hash="0" * 64, size_bytes=1),
        events.Custom(event_type="finance.payment_settled", data={"amount_micro": 1}),
    )
    await log.commit()
    log.add(events.Message(role="assistant", content="Hello."))
    await log.commit()
    stored = await history(journal, "s")
    assert [record.kind_name for record in stored] == [
        "SessionCreated",
        "FileWrite",
        "Custom",
        "UserMessage",
        "Message",
    ]
    assert encode_state(log.state) == encode_state(log.durable_state) == encode_state(fold("s", stored))
    assert [record.sequence for record in published] == [1, 4, 5]


async def test_neighbours_come_while_more_is_staged() -> None:
    """Also what was staged behind a commit in flight is renumbered after the neighbours' events."""
    journal = SlowJournal(MemoryJournal())
    log = log_on(journal)
    log.add(events.SessionCreated(name="s"))
    await log.commit()
    journal.gate.clear()
    log.add(events.UserMessage(content="one"))
    log.commit_soon()
    await asyncio.sleep(0)
    log.add(events.UserMessage(content="two"))
    await elsewhere(journal.inner, events.Heartbeat(summary="alive"))
    journal.gate.set()
    await log.commit()
    stored = await history(journal, "s")
    assert [record.kind_name for record in stored] == ["SessionCreated", "Heartbeat", "UserMessage", "UserMessage"]
    assert encode_state(log.state) == encode_state(fold("s", stored))


@pytest.mark.parametrize(
    "kind",
    [
        events.UserMessage(content="Mine."),
        events.SessionResumed(),
        events.RunStarted(provider="p", max_iterations=1),
        events.ToolCallStarted(tool_run_id="t", tool_name="write"),
        run_limits(RunLimits()),
    ],
)
async def test_another_driver_is_noticed(kind: Kind) -> None:
    """Run events of somebody else mean that the session is driven elsewhere: nothing of ours is stored after them."""
    journal = MemoryJournal()
    log = log_on(journal)
    log.add(events.SessionCreated(name="s"))
    await log.commit()
    log.add(events.UserMessage(content="Hi."))
    await elsewhere(journal, kind)
    with pytest.raises(SessionDrivenElsewhereError):
        await log.commit()
    assert log.is_broken
    assert len(await history(journal, "s")) == 2


async def test_catching_up_reads_every_page() -> None:
    """A long history is folded page by page, whatever its length (the original stopped at 10,000 events)."""
    journal = MemoryJournal()
    await elsewhere(journal, *[events.UserMessage(content=f"{number}") for number in range(2500)])
    log = log_on(journal)
    await log.catch_up()
    assert log.state.head == 2500
    assert len(log.state.conversation.messages()) == 2500


async def test_a_commit_waits_for_what_its_events_name() -> None:
    """Contents that a staged event refers to are stored first, also by a commit that nobody waits for."""
    journal = MemoryJournal()
    log = log_on(journal)
    stored = asyncio.Event()

    async def store() -> None:
        await stored.wait()

    log.add(events.SessionCreated(name="S"))
    log.hold(asyncio.get_running_loop().create_task(store()))
    log.commit_soon()
    for _ in range(5):
        await asyncio.sleep(0)
    assert await history(journal, "s") == []
    stored.set()
    await log.commit()
    assert len(await history(journal, "s")) == 1


async def test_contents_that_can_not_be_stored_break_the_log() -> None:
    """An event never names a content that is not there: nothing of the batch is stored."""
    journal = MemoryJournal()
    log = log_on(journal)

    async def store() -> None:
        raise JournalFullError("The disk is full.")

    log.add(events.SessionCreated(name="S"))
    log.hold(asyncio.get_running_loop().create_task(store()))
    with pytest.raises(JournalFullError):
        await log.commit()
    assert log.is_broken
    assert await history(journal, "s") == []


async def test_a_neighbours_merge_is_folded_with_its_conversation() -> None:
    """A merge that another part appends while events are staged is taken in whole: the state is that of a fresh reader."""
    journal = MemoryJournal()
    log = log_on(journal)
    log.add(events.SessionCreated(name="S"))
    await log.commit()
    branch = EventWriter(ManualClock(), SeededEntropy("branch"), agent_id="agent-1", stream=Stream("s", "b"))
    made = events.BranchCreated(new_branch_id="b", fork_point_seq=1, name="b")
    await journal.append([branch.event(made), branch.event(events.UserMessage(content="On the branch."))])
    log.add(events.Heartbeat(summary="x"))
    await elsewhere(journal, events.BranchMerged(source_branch_id="b", merge_seq=2))
    await log.commit()
    assert "On the branch." in str(log.state.conversation.messages())
    fresh = log_on(journal, seed="fresh")
    await fresh.catch_up()
    assert encode_state(fresh.state) == encode_state(log.state)
