"""Frames made once for everybody who listens to one stream in one format.

One task reads the stream's live events, makes their frames and keeps the newest in a short log. Subscribers are cursors into it: a
wake-up gives each everything new in one piece, and subscribers at the same place get the very same bytes. The log is bounded by
events and by bytes; who falls out of it reads the journal until it is back (life.lago.streams.follower).

`FrameLogs` opens a log with its first listener and closes it with its last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final, NamedTuple, cast

from life.aios.errors import JournalUnavailableError, LifeError
from life.aios.ports.journal import EventQuery, Journal
from life.aios.record import EventRecord, Stream
from life.aios.streams.format import StreamFormat
from life.aios.streams.frames import render
from life.aios.streams.resume import machine_at

_log: Final = logging.getLogger(__name__)

KEPT_EVENTS: Final = 1024
KEPT_BYTES: Final = 4 * 1024 * 1024
WRITE_BYTES: Final = 256 * 1024
"""How much a subscriber is given at once; one event's frames may be more."""
HEARTBEAT_S: Final = 15.0


class Piece(NamedTuple):
    """Frames for one write, and where the subscriber stands after it."""

    content: bytes
    cursor: int
    run_ended: bool = False


class _Cut(NamedTuple):
    """The last piece that was cut: the next subscriber wants the same."""

    cursor: int
    wanted: int
    piece: Piece


class FrameLog:
    """The newest frames of a stream in a format. Belongs to one event loop."""

    def __init__(self, journal: Journal, stream: Stream, format_: StreamFormat) -> None:
        self._journal = journal
        self._stream = stream
        self._format = format_
        self.key = (stream, format_.name)
        self._frames: list[bytes] = []
        self._bytes = 0
        self._before = 0
        """The sequence before the first kept event."""
        self._run_ends: list[int] = []
        self._is_live = False
        self._waiters: list[asyncio.Future[bool]] = []
        self._cut = _Cut(-1, -1, Piece(b"", -1))
        self._error: LifeError | None = None
        self.listeners = 0

    @property
    def head(self) -> int:
        """The last event whose frames are here, or have been."""
        return self._before + len(self._frames)

    @property
    def has_failed(self) -> bool:
        """Whether the journal could not be read any more."""
        return self._error is not None

    def reaches(self, cursor: int) -> bool:
        """Whether a subscriber that has everything up to `cursor` can go on from here."""
        return self._is_live and self._before <= cursor <= self._before + len(self._frames)

    def take(self, cursor: int, *, one_run: bool = False) -> Piece | None:
        """What follows `cursor`, which the log reaches, or None when nothing does yet. With `one_run` it goes no further than the end
        of a run."""
        cut = self._cut
        if cut.cursor == cursor and cut.wanted == self._before + len(self._frames) and not one_run:
            return cut.piece
        if self._error is not None:
            raise self._error
        start, end = cursor - self._before, len(self._frames)
        if start >= end:
            return None
        run_end = next((sequence for sequence in self._run_ends if sequence > cursor), 0) if one_run else 0
        if run_end:
            end = run_end - self._before
        wanted = self._before + end
        end = self._end_of_write(start, end)
        upto = self._before + end
        piece = Piece(b"".join(self._frames[start:end]), upto, bool(run_end) and upto == run_end)
        if not one_run:
            self._cut = _Cut(cursor, wanted, piece)
        return piece

    def waiter(self) -> asyncio.Future[bool]:
        """Done when there is news (True), or when the line was silent for a heartbeat (False)."""
        if self._error is not None:
            raise self._error
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    async def run(self, *, heartbeat_s: float) -> None:
        """Read the stream until cancelled, or until the journal is gone."""
        beating = asyncio.ensure_future(self._beat(heartbeat_s))
        try:
            await self._follow()
        except LifeError as error:
            _log.warning("the event streams of %s ended: %s", self._stream, error.message)
            self._fail(error)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            self._fail(JournalUnavailableError("The daemon is stopping."))

    def _fail(self, error: LifeError) -> None:
        self._error = self._error or error
        self._wake(True)

    async def _follow(self) -> None:
        head = (await self._journal.head(self._stream)).sequence
        machine = await machine_at(self._journal, self._stream, self._format, head)
        self._before = head
        self._is_live = True
        session_id, branch_id = self._stream
        # The port promises `aclose`; its type names only the iterator.
        events = cast(
            AsyncGenerator[EventRecord, None],
            self._journal.subscribe(EventQuery(session_id, branch_id, after_sequence=head)),
        )
        self._wake(True)
        async with aclosing(events):
            async for record in events:
                frames = render(machine.feed(record), record.sequence)
                self._frames.append(frames)
                self._bytes += len(frames)
                if machine.run_ended:
                    self._run_ends.append(record.sequence)
                if len(self._frames) >= 2 * KEPT_EVENTS or self._bytes >= 2 * KEPT_BYTES:
                    self._trim()
                if self._waiters:
                    self._wake(True)

    async def _beat(self, heartbeat_s: float) -> None:
        while True:
            await asyncio.sleep(heartbeat_s)
            self._wake(False)

    def _wake(self, is_news: bool) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(is_news)

    def _trim(self) -> None:
        """Keep the newest, half of what is allowed: trimming at every event would move the whole list each time."""
        count = max(0, len(self._frames) - KEPT_EVENTS)
        size = self._bytes - sum(map(len, self._frames[:count]))
        while count < len(self._frames) and size > KEPT_BYTES:
            size -= len(self._frames[count])
            count += 1
        del self._frames[:count]
        self._before += count
        self._bytes = size
        self._run_ends = [sequence for sequence in self._run_ends if sequence > self._before]

    def _end_of_write(self, start: int, end: int) -> int:
        size = 0
        for index in range(start, end):
            size += len(self._frames[index])
            if size >= WRITE_BYTES:
                return index + 1
        return end


class FrameLogs:
    """The logs that somebody listens to. Close it before the journal."""

    def __init__(self, journal: Journal, *, heartbeat_s: float = HEARTBEAT_S) -> None:
        self.journal = journal
        self.heartbeat_s = heartbeat_s
        self.listeners = 0
        """How many subscribers there are, of all streams."""
        self._logs: dict[tuple[Stream, str], FrameLog] = {}
        self._tasks: dict[tuple[Stream, str], asyncio.Task[None]] = {}
        self._closed = False

    def join(self, stream: Stream, format_: StreamFormat) -> FrameLog:
        """The log of a stream in a format. `leave` it when done."""
        if self._closed:
            raise JournalUnavailableError("The daemon is stopping.")
        key = (stream, format_.name)
        log = self._logs.get(key)
        if log is None or log.has_failed:
            log = self._logs[key] = FrameLog(self.journal, stream, format_)
            self._tasks[key] = asyncio.create_task(log.run(heartbeat_s=self.heartbeat_s))
        log.listeners += 1
        self.listeners += 1
        return log

    def leave(self, log: FrameLog) -> None:
        """One listener less; the last one closes the log."""
        log.listeners -= 1
        self.listeners -= 1
        if log.listeners == 0 and self._logs.get(log.key) is log:
            del self._logs[log.key]
            self._tasks.pop(log.key).cancel()

    async def aclose(self) -> None:
        """End every stream."""
        self._closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
