"""Group commit in a process of its own, as seen from the event loop.

Batches leave in one frame per pass of the loop and stay here until they are answered. If the writer dies, another one is
started and everything unanswered is sent again in the same order; since appends are idempotent, it does not matter
whether the dead one had stored it. A writer that dies again and again without answering anything fails the waiting
batches with JournalUnavailableError; the next append tries once more.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final, cast

from life.aios.errors import JournalUnavailableError, LifeError
from life.lago.journal.entries import Batch, Placed
from life.lago.journal.frames import READY, Answer, Frames, Request, answers, frame, restore

MAX_STARTS: Final = 5
"""How often a writer is started without one answer in between."""

EAGER_BATCHES: Final = 32
"""So many batches are sent to an idle writer before the pass of the loop is over, so that both work at the same time.
It costs a flush of the disk more, so it is done only while a commit takes less than `QUICK_COMMIT_S`."""

QUICK_COMMIT_S: Final = 0.001

_NOBODY: Final = 2**62
"""More batches than ever wait: nobody was answered since the last frame left."""

_PAUSES_S: Final = (0.0, 0.05, 0.1, 0.2, 0.4)
_SOCKET_BYTES: Final = 2**20
_START_PATIENCE_S: Final = 30.0
_EXIT_PATIENCE_S: Final = 30.0
_INHERITED: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")
"""What the writer gets of the environment: nothing in it may be a secret."""


class ProcessWriter:
    """Sends batches to a writer process and keeps one alive. Made by `start`."""

    def __init__(self, path: Path, *, warm: bool) -> None:
        self._path = path
        self._warm = warm
        self._loop = asyncio.get_running_loop()
        self._pending: dict[int, tuple[Batch, asyncio.Future[list[Placed]]]] = {}
        self._unsent: list[Request] = []
        self._number = READY
        self._outstanding = 0
        self._answered = _NOBODY
        self._sent_at = 0.0
        self._is_quick = False
        self._flush_handle: asyncio.Handle | None = None
        self._line: _Line | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._restart: asyncio.Task[None] | None = None
        self._failed_starts = 0
        self._settled: asyncio.Future[None] | None = None
        self._closing = False

    @classmethod
    async def start(cls, path: Path, *, warm: bool) -> ProcessWriter:
        """A writer that is ready. What keeps it from opening the file is raised here."""
        writer = cls(path, warm=warm)
        await writer._connect()
        return writer

    @property
    def process_id(self) -> int | None:
        """The writer process, while there is one."""
        return None if self._process is None else self._process.pid

    def submit(self, batch: Batch) -> asyncio.Future[list[Placed]]:
        """See Writer."""
        future: asyncio.Future[list[Placed]] = self._loop.create_future()
        number = self._number = self._number + 1
        self._pending[number] = (batch, future)
        if self._line is None:
            self._revive()
            return future
        self._unsent.append((number, *batch))
        # Whoever got an answer appends again in this pass, or not at all. When as many are here again, nobody is missing.
        if len(self._unsent) >= self._answered or self._may_send_half():
            self._flush()
        elif self._flush_handle is None:
            self._flush_handle = self._loop.call_soon(self._flush)
        return future

    async def aclose(self) -> None:
        """See Writer."""
        if self._pending:
            self._settled = self._loop.create_future()
            await self._settled
        self._closing = True
        if self._restart is not None:
            await asyncio.wait([self._restart])
        line, self._line = self._line, None
        if line is not None:
            line.hang_up()
        await self._reap()

    def _flush(self) -> None:
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        unsent, self._unsent = self._unsent, []
        if self._line is not None and unsent:
            if not self._outstanding:
                self._sent_at = self._loop.time()
            self._outstanding += len(unsent)
            self._line.send(unsent)
            self._answered = _NOBODY

    def _may_send_half(self) -> bool:
        return len(self._unsent) >= EAGER_BATCHES and self._is_quick and not self._outstanding

    def take(self, received: list[Answer]) -> None:
        """Answers from the writer: what they answer is on disk, or refused."""
        if self._outstanding:
            self._is_quick = self._loop.time() - self._sent_at < QUICK_COMMIT_S
            self._sent_at = self._loop.time()
        self._outstanding = max(self._outstanding - len(received), 0)
        self._answered = len(received) if self._answered == _NOBODY else self._answered + len(received)
        for number, placed, refusal in received:
            waiting = self._pending.pop(number, None)
            if waiting is None or waiting[1].done():  # its caller was cancelled; the events are stored all the same
                continue
            if refusal is not None:
                waiting[1].set_exception(restore(refusal))
            else:
                waiting[1].set_result(placed or [])
        self._failed_starts = 0
        self._settle()

    def lost(self, line: _Line) -> None:
        """The writer is gone."""
        if self._line is line:
            self._line = None
            if not self._closing:
                self._revive()

    def _revive(self) -> None:
        if self._restart is None:
            self._restart = self._loop.create_task(self._start_again())

    async def _start_again(self) -> None:
        try:
            while self._line is None:
                if self._failed_starts >= MAX_STARTS:
                    self._failed_starts = 0
                    self._give_up(JournalUnavailableError(f"The writer process of {self._path} keeps dying."))
                    return
                await asyncio.sleep(_PAUSES_S[self._failed_starts])
                self._failed_starts += 1
                await self._reap()
                try:
                    await self._connect()
                except JournalUnavailableError:
                    continue
                except LifeError as error:
                    self._give_up(error)
                    return
        finally:
            self._restart = None

    def _give_up(self, error: LifeError) -> None:
        pending, self._pending = self._pending, {}
        for _, future in pending.values():
            if not future.done():
                future.set_exception(error)
        self._settle()

    def _settle(self) -> None:
        """Let `aclose` go on once nothing waits for an answer."""
        if self._settled is not None and not self._pending and not self._settled.done():
            self._settled.set_result(None)

    async def _connect(self) -> None:
        """Start a process, wait until it is ready, and send it what is unanswered."""
        ours, theirs = socket.socketpair()
        with theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
            try:
                self._process = _spawn(theirs, self._path, warm=self._warm)
            except OSError as error:
                ours.close()
                raise JournalUnavailableError(f"The journal's writer process can't be started: {error}.") from None
        line = _Line(self)
        await self._loop.create_connection(lambda: line, sock=ours)
        try:
            async with asyncio.timeout(_START_PATIENCE_S):
                refusal = await line.ready
        except (TimeoutError, ConnectionError):
            line.hang_up()
            raise JournalUnavailableError(f"The writer process of {self._path} did not start.") from None
        except BaseException:
            line.hang_up()
            raise
        if refusal is not None:
            raise refusal
        self._line = line
        self._unsent.clear()
        self._outstanding = len(self._pending)
        self._is_quick = False
        if self._pending:
            line.send([(number, *batch) for number, (batch, _) in self._pending.items()])

    async def _reap(self) -> None:
        """Wait for the present process to end; one that does not is killed."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            await asyncio.to_thread(process.wait, _EXIT_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)


class _Line(asyncio.Protocol):
    """The socket to one writer process."""

    def __init__(self, writer: ProcessWriter) -> None:
        self._writer = writer
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self.ready: asyncio.Future[LifeError | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports have another base class

    def data_received(self, data: bytes) -> None:
        for body in self._frames.feed(data):
            received = answers(body)
            if not self.ready.done():
                _, _, refusal = received.pop(0)
                self.ready.set_result(None if refusal is None else restore(refusal))
            if received:
                self._writer.take(received)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionResetError("the writer process ended"))
        self._writer.lost(self)

    def send(self, batches: list[Request]) -> None:
        """Requests as one frame."""
        if self._transport is not None:
            self._transport.write(frame(batches))

    def hang_up(self) -> None:
        """No more requests: the process finishes and exits."""
        if self._transport is not None:
            self._transport.close()


def _spawn(end: socket.socket, path: Path, *, warm: bool) -> subprocess.Popen[bytes]:
    arguments = [str(end.fileno()), str(path.absolute()), "warm" if warm else "cold"]
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "life.lago.journal.writer_process", *arguments],
        pass_fds=[end.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={name: os.environ[name] for name in _INHERITED if name in os.environ},
    )
