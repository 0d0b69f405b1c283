"""Followers: history, live, slow clients, ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from life.aios.errors import JournalUnavailableError
from life.aios.events import Heartbeat, Kind, Message, RunFinished, UserMessage
from life.aios.record import EventWriter, Stream
from life.lago.journal.memory import MemoryJournal
from life.lago.streams import log as log_module
from life.lago.streams.follower import Follower, Wanted, open_follower
from life.lago.streams.log import FrameLogs
from life.testing.clock import ManualClock, SeededEntropy
from tests.lago.streams.golden_run import FIXTURES, FORMATS, KINDS, STREAM, format_of, golden_records, new_events, told

WRITER = EventWriter(ManualClock(), SeededEntropy(), agent_id="a", stream=STREAM)


@asynccontextmanager
async def a_journal(*kinds: Kind, heartbeat_s: float = 60) -> AsyncIterator[tuple[MemoryJournal, FrameLogs]]:
    """A journal with these events, and logs over it."""
    async with MemoryJournal() as journal:
        await journal.append([WRITER.event(kind) for kind in kinds])
        logs = FrameLogs(journal, heartbeat_s=heartbeat_s)
        yield journal, logs
        await logs.aclose()
        assert logs.listeners == 0


async def everything(follower: Follower) -> bytes:
    """All writes to the end."""
    content = b""
    try:
        while (more := await asyncio.wait_for(follower.next(), 10)) is not None:
            content += more
    finally:
        follower.leave()
    return content


async def until(follower: Follower, mark: bytes) -> bytes:
    """All writes up to one that has `mark`."""
    content = b""
    while mark not in content:
        more = await asyncio.wait_for(follower.next(), 10)
        assert more is not None, content
        content += more
    return content


@pytest.mark.parametrize("name", FORMATS)
async def test_resumed_after_a_cut_at_every_frame(name: str) -> None:
    """Cut anywhere, even inside of an event: what the client keeps (up to the last id) and what it gets then are the whole stream."""
    format_ = format_of(name)
    async with a_journal() as (journal, logs):
        await journal.append(new_events())
        whole = b"".join(told(format_, await golden_records()))
        blocks = whole.split(b"\n\n")[:-1]
        for cut in range(len(blocks) + 1):
            kept = blocks[:cut]
            while kept and b"id: " not in kept[-1]:
                kept.pop()  # an event that was cut in the middle
            lines = kept[-1].split(b"\n") if kept else [b"id: 0"]
            last_id = int(next(line[4:] for line in lines if line.startswith(b"id: ")))
            follower = await open_follower(logs, Wanted(STREAM, format_, last_id, follow=False))
            rest = (await everything(follower)).partition(format_.ready(len(KINDS)))[0]
            assert b"".join(block + b"\n\n" for block in kept) + rest == whole, cut


@pytest.mark.parametrize("name", FORMATS)
async def test_history_then_live_without_a_seam(name: str) -> None:
    """A follower that joins in the middle of a run sees the history, the marker and the rest, as one stream."""
    format_ = format_of(name)
    async with a_journal() as (journal, logs):
        golden = new_events()
        await journal.append(golden[:10])
        follower = await open_follower(logs, Wanted(STREAM, format_))
        content = await until(follower, format_.ready(10))
        for event in golden[10:]:
            await journal.append([event])
            await asyncio.sleep(0)
        content += await until(follower, b"Unfinished " if name != "lago" else b"id: 32\n")
        follower.leave()
        assert content.replace(format_.ready(10), b"") == (FIXTURES / f"golden.{name}.sse").read_bytes()


async def test_a_slow_follower_reads_pages_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who falls out of the short log gets every event all the same, once and in order; the log stays bounded."""
    monkeypatch.setattr(log_module, "KEPT_EVENTS", 8)
    format_ = format_of("lago")
    async with a_journal(UserMessage(content="first")) as (journal, logs):
        follower = await open_follower(logs, Wanted(STREAM, format_))
        content = await until(follower, b"event: ready")
        for number in range(200):  # nobody reads meanwhile
            await journal.append([WRITER.event(UserMessage(content=f"word {number}"))])
            await asyncio.sleep(0)
        log = logs.join(STREAM, format_)
        while log.head < 201:
            await asyncio.sleep(0)
        assert not log.reaches(1)
        content += await until(follower, b"id: 201\n")
        follower.leave()
        logs.leave(log)
        ids = [int(line[4:]) for line in content.split(b"\n") if line.startswith(b"id: ")]
        assert ids == list(range(1, 202))


async def test_the_log_is_bounded_by_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few large events do not stay in memory for those who have not read them."""
    monkeypatch.setattr(log_module, "KEPT_BYTES", 10_000)
    async with a_journal() as (journal, logs):
        follower = await open_follower(logs, Wanted(STREAM, format_of("lago")))
        await until(follower, b"event: ready")
        for _ in range(30):
            await journal.append([WRITER.event(UserMessage(content="x" * 3000))])
            await asyncio.sleep(0)
        log = logs.join(STREAM, format_of("lago"))
        assert sum(map(len, log._frames)) < 25_000
        assert (await until(follower, b"id: 30\n")).count(b"event: event") == 30
        follower.leave()
        logs.leave(log)


async def test_without_following_it_ends_with_the_history() -> None:
    """`follow=false`: the history, the marker, the end; an open message is closed."""
    async with a_journal() as (journal, logs):
        await journal.append(new_events())
        for name, last in (
            ("lago", b'data: {"type":"done"}\n\n'),
            ("openai", b"data: [DONE]\n\n"),
            ("anthropic", b'data: {"type":"message_stop"}\n\n'),
            ("vercel", b"data: [DONE]\n\n"),
        ):
            follower = await open_follower(logs, Wanted(STREAM, format_of(name), 31, follow=False))
            content = await everything(follower)
            assert content.endswith(last)
            assert content.count(format_of(name).ready(32)) == 1


@pytest.mark.parametrize(
    ("name", "last"), [("lago", b'data: {"type":"done"}\n\n'), ("openai", b"id: 22\ndata: [DONE]\n\n")]
)
async def test_it_ends_with_the_run(name: str, last: bytes) -> None:
    """`until=run_finished`: from the history and live, the stream ends behind the run's last frame."""
    async with a_journal() as (journal, logs):
        golden = new_events()
        await journal.append(golden[:12])
        follower = await open_follower(logs, Wanted(STREAM, format_of(name), 12, until_run_ends=True))
        await until(follower, b"ready")
        await journal.append(golden)
        content = await everything(follower)
        assert content.endswith(last)
        assert b"finance" not in content
        again = await open_follower(logs, Wanted(STREAM, format_of(name), 0, until_run_ends=True))
        assert (await everything(again)).endswith(last)


async def test_beyond_the_head_is_the_head() -> None:
    """A cursor that the stream has not reached is no error: nothing is skipped that comes now."""
    async with a_journal(UserMessage(content="1")) as (journal, logs):
        follower = await open_follower(logs, Wanted(STREAM, format_of("lago"), 99))
        assert await until(follower, b"ready") == format_of("lago").ready(1)
        await journal.append([WRITER.event(UserMessage(content="2"))])
        assert b"id: 2\n" in await until(follower, b"event: event")
        follower.leave()


@pytest.mark.parametrize("name", ["lago", "openai", "anthropic", "vercel"])
async def test_heartbeats_move_the_cursor_over_what_is_not_told(name: str) -> None:
    """Events that a format does not tell still count as read once the line has been silent."""
    format_ = format_of(name)
    async with a_journal(Message(role="assistant", content="a"), heartbeat_s=0.05) as (journal, logs):
        follower = await open_follower(logs, Wanted(STREAM, format_))
        await until(follower, b"ready")
        await journal.append([WRITER.event(Heartbeat(summary="still here"))])
        content = await until(follower, b"id: 2\n")
        assert follower.cursor == 2
        if name == "openai":
            assert b"\n\n: ping" not in content
            assert (await until(follower, b": ping\n")).endswith(b": ping\n")
        follower.leave()


async def test_a_journal_that_goes_ends_the_stream_with_its_reason() -> None:
    """The follower raises what the journal said, so that the answer can say it."""
    async with MemoryJournal() as journal:
        logs = FrameLogs(journal)
        follower = await open_follower(logs, Wanted(STREAM, format_of("lago")))
        await until(follower, b"ready")
        waiting = asyncio.ensure_future(follower.next())
        await asyncio.sleep(0)
        await journal.aclose()
        with pytest.raises(JournalUnavailableError):
            await waiting
        follower.leave()
        await logs.aclose()


async def test_nothing_is_left_behind() -> None:
    """Followers that leave, at any point, leave no listener, no log and no task; a closed house takes nobody in."""
    async with a_journal(UserMessage(content="1")) as (_, logs):
        before = len(asyncio.all_tasks())
        followers = [await open_follower(logs, Wanted(Stream(STREAM.session_id), format_of("lago"))) for _ in range(5)]
        await until(followers[0], b"ready")
        waiting = asyncio.ensure_future(followers[0].next())
        await asyncio.sleep(0)
        for follower in followers:
            follower.leave()
            follower.leave()
        assert await waiting is None
        await asyncio.sleep(0.01)
        assert logs.listeners == 0
        assert len(asyncio.all_tasks()) == before
        await logs.aclose()
        with pytest.raises(JournalUnavailableError):
            await open_follower(logs, Wanted(STREAM, format_of("lago")))


async def test_everybody_gets_the_very_same_bytes() -> None:
    """Frames are made once: fifty followers at the same place are handed one object."""
    async with a_journal() as (journal, logs):
        followers = [await open_follower(logs, Wanted(STREAM, format_of("lago"))) for _ in range(50)]
        for follower in followers:
            await until(follower, b"ready")
        waiting = [asyncio.ensure_future(follower.next()) for follower in followers]
        await asyncio.sleep(0)
        await journal.append([WRITER.event(RunFinished(reason="completed", total_iterations=n)) for n in range(16)])
        pieces = await asyncio.gather(*waiting)
        assert len({id(piece) for piece in pieces}) == 1
        assert pieces[0] is not None and pieces[0].count(b"event: event") == 16
        for follower in followers:
            follower.leave()
