"""Projections: folds with a stored cursor."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from life.aios.events import Custom, UserMessage
from life.aios.ports.snapshots import Snapshot
from life.aios.record import EventRecord, NewEvent, Stream
from life.lago.errors import ProjectionFailedError
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal
from life.lago.projection import ProjectionRunner
from life.lago.snapshots import MemorySnapshots, SqliteSnapshots
from life.testing.clock import ManualClock
from life.testing.journal import Maker


class Words(msgspec.Struct, frozen=True):
    """How often each word was said, and by how many events."""

    counts: dict[str, int] = {}
    events: int = 0


class WordCount:
    """Counts the words of user messages; `boom` is more than it can take."""

    name = "words"
    kinds: tuple[str, ...] = ("UserMessage",)

    def __init__(self, version: int = 1) -> None:
        self.version = version
        self.applied = 0

    def initial(self) -> Words:
        """Nothing was said."""
        return Words()

    def apply(self, state: Words, record: EventRecord) -> Words:
        """One more message."""
        self.applied += 1
        assert isinstance(record.kind, UserMessage)
        counts = dict(state.counts)
        for word in record.kind.content.split():
            if word == "boom":
                raise ValueError("too loud")
            counts[word] = counts.get(word, 0) + 1
        return Words(counts, state.events + 1)

    def encode(self, state: Words) -> bytes:
        """JSON."""
        return msgspec.json.encode(state)

    def decode(self, state: bytes) -> Words:
        """JSON."""
        return msgspec.json.decode(state, type=Words)


def messages(maker: Maker, *texts: str) -> list[NewEvent]:
    """Messages, each followed by an event of another kind."""
    return [
        event
        for text in texts
        for event in (maker.event(UserMessage(content=text)), maker.event(Custom(event_type="x.noise")))
    ]


@given(st.lists(st.text("ab ", max_size=6), max_size=30), st.lists(st.integers(0, 30), max_size=4), st.integers(1, 7))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_a_snapshot_and_the_tail_give_the_same_state(texts: list[str], stops: list[int], every: int) -> None:
    """fold(all) == fold(snapshot + tail), wherever the projection was stopped and taken up again."""

    async def check() -> None:
        journal, snapshots = MemoryJournal(), MemorySnapshots()
        maker = Maker()
        appended = 0
        for stop in [*sorted(stops), len(texts)]:
            await journal.append(messages(maker, *texts[appended:stop]))
            appended = max(appended, min(stop, len(texts)))
            runner = ProjectionRunner(journal, WordCount(), snapshots, snapshot_events=every)
            partial = await runner.catch_up()
            assert partial == await ProjectionRunner(journal, WordCount()).catch_up()
            if stop % 2:
                await runner.save()
        assert partial.events == len(texts)

    asyncio.run(check())


async def test_only_the_tail_is_folded_again(tmp_path: Path) -> None:
    """After a restart a projection goes on from its stored cursor; another version begins from the start."""
    path = tmp_path / "journal.db"
    maker = Maker()
    async with SqliteJournal.open(path, clock=ManualClock()) as journal, SqliteSnapshots(path) as snapshots:
        await journal.append(messages(maker, *["hello"] * 50))
        await ProjectionRunner(journal, WordCount(), snapshots, snapshot_events=20).catch_up()
    async with SqliteJournal.open(path, clock=ManualClock()) as journal, SqliteSnapshots(path) as snapshots:
        await journal.append(messages(maker, "you"))
        again, other = WordCount(), WordCount(version=2)
        assert (await ProjectionRunner(journal, again, snapshots).catch_up()).counts == {"hello": 50, "you": 1}
        assert again.applied == 1
        assert (await ProjectionRunner(journal, other, snapshots).catch_up()).counts == {"hello": 50, "you": 1}
        assert other.applied == 51


async def test_a_snapshot_that_does_not_fit_is_thrown_away() -> None:
    """One that can't be decoded, and one that is ahead of the journal (as after restoring a backup)."""
    maker = Maker()
    journal = MemoryJournal()
    await journal.append(messages(maker, "hello"))
    for snapshot in (Snapshot(1, b"not json"), Snapshot(99, b'{"counts":{"ghost":1},"events":99}'), Snapshot(0, b"{}")):
        snapshots = MemorySnapshots()
        await snapshots.save("words", 1, snapshot)
        runner = ProjectionRunner(journal, WordCount(), snapshots)
        assert (await runner.catch_up()).counts == {"hello": 1}


async def test_following_sees_every_event_once() -> None:
    """History, then live events, with a call for every state."""
    maker = Maker()
    journal = MemoryJournal()
    await journal.append(messages(maker, "one"))
    runner = ProjectionRunner(journal, WordCount())
    seen: list[int] = []
    three = asyncio.Event()

    def on_change(state: Words) -> None:
        seen.append(state.events)
        if state.events == 3:
            three.set()

    following = asyncio.create_task(runner.follow(on_change=on_change))
    await asyncio.sleep(0)
    await journal.append(messages(maker, "two", "three"))
    async with asyncio.timeout(10):
        await three.wait()
    following.cancel()
    await asyncio.wait([following])
    assert seen == [1, 2, 3]
    assert runner.state.counts == {"one": 1, "two": 1, "three": 1}
    assert journal.listeners == 0


async def test_a_failure_stops_one_projection_and_is_named() -> None:
    """The state stays that before the event; the error names projection, event and position; others go on."""
    maker = Maker()
    journal = MemoryJournal()
    await journal.append(messages(maker, "one", "two"))
    failing, fine = ProjectionRunner(journal, WordCount()), ProjectionRunner(journal, WordCount(version=2))
    fine_projection = fine._projection  # the same fold, but deaf to the loud word
    original = WordCount.apply

    def deaf(state: Words, record: EventRecord) -> Words:
        return state if b"boom" in record.payload else original(WordCount(), state, record)

    fine_projection.apply = deaf  # type: ignore[method-assign]
    done = asyncio.Event()
    stopped = asyncio.create_task(failing.follow())
    going_on = asyncio.create_task(fine.follow(on_change=lambda state: done.set() if "after" in state.counts else None))
    await asyncio.sleep(0)
    events = messages(maker, "three", "boom", "after")
    await journal.append(events)
    async with asyncio.timeout(10):
        await done.wait()
    await stopped
    assert not going_on.done()
    going_on.cancel()
    await asyncio.wait([going_on])
    assert isinstance(failing.failure, ProjectionFailedError)
    assert failing.failure.event_id == events[2].event_id
    assert failing.failure.position == 7
    assert "words" in str(failing.failure)
    assert "too loud" in str(failing.failure)
    assert failing.state.counts == {"one": 1, "two": 1, "three": 1}
    with pytest.raises(ProjectionFailedError):
        await failing.catch_up()
    assert fine.failure is None


async def test_a_failure_in_the_middle_of_a_page() -> None:
    """Catching up stops exactly before the event, not at the beginning of its page."""
    maker = Maker()
    journal = MemoryJournal()
    await journal.append(messages(maker, "one", "two", "boom", "four"))
    runner = ProjectionRunner(journal, WordCount())
    with pytest.raises(ProjectionFailedError):
        await runner.catch_up()
    assert runner.state.events == 2
    assert runner.position == 3


async def test_a_projection_of_one_session_or_branch() -> None:
    """Its snapshots stand under names of their own."""
    main, side = Maker(), Maker(branch_id="side", seed="2")
    other = Maker("session-2", seed="3")
    journal, snapshots = MemoryJournal(), MemorySnapshots()
    await journal.append([*messages(main, "main"), *messages(side, "side"), *messages(other, "other")])
    for stream, words in (
        (("session-1", "main"), {"main"}),
        (("session-1", None), {"main", "side"}),
        (("session-2", None), {"other"}),
        ((None, None), {"main", "side", "other"}),
    ):
        for _ in range(2):
            runner = ProjectionRunner(
                journal, WordCount(), snapshots, session_id=stream[0], branch_id=stream[1], snapshot_events=1
            )
            assert set((await runner.catch_up()).counts) == words


async def test_names_of_sessions_cannot_meet(tmp_path: Path) -> None:
    """A session `a/b` and a branch `b` of session `a` have snapshots apart."""
    one, two = Maker("a/b"), Maker("a", "b", seed="2")
    assert one.stream != Stream("a", "b")
    journal, snapshots = MemoryJournal(), MemorySnapshots()
    await journal.append([*messages(one, "one"), *messages(two, "two")])
    first = ProjectionRunner(journal, WordCount(), snapshots, session_id="a/b", snapshot_events=1)
    second = ProjectionRunner(journal, WordCount(), snapshots, session_id="a", branch_id="b", snapshot_events=1)
    for _ in range(2):
        assert set((await first.catch_up()).counts) == {"one"}
        assert set((await second.catch_up()).counts) == {"two"}
        first = ProjectionRunner(journal, WordCount(), snapshots, session_id="a/b", snapshot_events=1)
        second = ProjectionRunner(journal, WordCount(), snapshots, session_id="a", branch_id="b", snapshot_events=1)
