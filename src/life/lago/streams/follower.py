"""One client's place in a stream.

    history   pages of the journal, told by a machine of its own that begins with the open run
    live      the shared log's frames
    behind    a client that reads too slowly falls out of the log and reads pages again; nothing is lost, repeated or held for it

Every call of `next` gives the bytes of one write. What a slow client costs is one write and one page.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from life.aios.record import EventRecord, Stream
from life.aios.streams.format import Machine, StreamFormat
from life.aios.streams.frames import render
from life.aios.streams.resume import machine_at, read_page
from life.lago.streams.log import WRITE_BYTES, FrameLog, FrameLogs, Piece

_PAGE_EVENTS: Final = 256


class Wanted(NamedTuple):
    """What a client asks for."""

    stream: Stream
    format: StreamFormat
    after_sequence: int = 0
    """Beyond the head counts as the head."""
    follow: bool = True
    """False: end with the history."""
    until_run_ends: bool = False
    """End with the first run that ends."""


async def open_follower(logs: FrameLogs, wanted: Wanted) -> Follower:
    """A follower, which must be left in every case. It joins the live log before it reads the history."""
    log = logs.join(wanted.stream, wanted.format) if wanted.follow else None
    try:
        head = (await logs.journal.head(wanted.stream)).sequence
    except BaseException:
        if log is not None:
            logs.leave(log)
        raise
    return Follower(logs, log, wanted, head)


class Follower:
    """Made by `open_follower`; one task uses it."""

    __slots__ = (
        "_cursor",
        "_ended",
        "_format",
        "_log",
        "_logs",
        "_machine",
        "_page",
        "_ready_at",
        "_stream",
        "_told",
        "_until_run_ends",
        "_waiter",
    )

    def __init__(self, logs: FrameLogs, log: FrameLog | None, wanted: Wanted, head: int) -> None:
        """`log` None: the history up to `head` and no more."""
        stream, format_, cursor, _, until_run_ends = wanted
        self._logs = logs
        self._log = log
        self._stream = stream
        self._format = format_
        self._cursor = self._told = min(cursor, head)
        self._ready_at: int | None = head
        self._until_run_ends = until_run_ends
        self._machine: Machine | None = None
        self._page: list[EventRecord] = []
        self._ended = False
        self._waiter: asyncio.Future[bool] | None = None

    @property
    def cursor(self) -> int:
        """The last event that was given out, or that the format had nothing to say of."""
        return self._cursor

    async def next(self) -> bytes | None:
        """The next write, after waiting for it; None at the end. LifeError when the journal can't be read."""
        while not self._ended:
            log, cursor = self._log, self._cursor
            if self._ready_at is not None and cursor >= self._ready_at:
                return await self._mark()
            if log is not None and log.reaches(cursor):
                if self._machine is not None:
                    self._machine, self._page = None, []
                piece = log.take(cursor, one_run=self._until_run_ends)
                if piece is None:
                    self._waiter = waiter = log.waiter()
                    if not await waiter and not self._ended:
                        return self._beat()
                    continue
            else:
                piece = await self._from_history()
                if piece is None:
                    continue
            content, self._cursor, run_ended = piece
            if run_ended and self._until_run_ends:
                self._ended = True
                return content + self._closing()
            if content:
                self._told = self._cursor
                return content
        return None

    def leave(self) -> None:
        """The client is gone: whoever waits in `next` sees the end. The log is left; may be called again."""
        self._ended = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(True)
        if self._log is not None:
            self._logs.leave(self._log)
            self._log = None

    async def _mark(self) -> bytes:
        """The history is told: the marker, and the end for who wanted nothing else."""
        self._ready_at = None
        ready = self._format.ready(self._cursor)
        if self._log is not None:
            return ready
        self._ended = True
        if self._machine is None:
            self._machine = await machine_at(self._logs.journal, self._stream, self._format, self._cursor)
        return ready + self._machine.done()

    def _closing(self) -> bytes:
        """What ends a stream after a run. The provider formats have said it with the run's end."""
        return self._format.machine().done() if not self._format.needs_runs else b""

    def _beat(self) -> bytes:
        moved = self._cursor > self._told
        self._told = self._cursor
        return self._format.heartbeat(self._cursor, moved)

    async def _from_history(self) -> Piece | None:
        """Frames of the next events in the journal; None when one has to look again."""
        if self._machine is None:
            self._machine = await machine_at(self._logs.journal, self._stream, self._format, self._cursor)
        if not self._page:
            upto = self._ready_at if self._log is None and self._ready_at is not None else 2**62
            page = await read_page(self._logs.journal, self._stream, self._cursor, upto, limit=_PAGE_EVENTS)
            if not page:
                await self._nothing_there()
                return None
            self._page = page[::-1]
        return self._told_of_page()

    def _told_of_page(self) -> Piece:
        assert self._machine is not None
        content, size, sequence = [], 0, self._cursor
        while self._page and size < WRITE_BYTES:
            record = self._page.pop()
            frames = render(self._machine.feed(record), record.sequence)
            content.append(frames)
            size += len(frames)
            sequence = record.sequence
            if self._machine.run_ended and self._until_run_ends:
                return Piece(b"".join(content), sequence, True)
        return Piece(b"".join(content), sequence)

    async def _nothing_there(self) -> None:
        """The journal has no more, and the log does not reach here: it is just opening, or the history is over."""
        if self._log is None:
            self._ready_at = self._cursor  # the stream ends before the head that was promised: it was cut
        elif not self._log.reaches(self._cursor):
            self._waiter = waiter = self._log.waiter()
            await waiter
