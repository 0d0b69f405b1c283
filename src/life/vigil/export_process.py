"""Export in a process of its own: the event loop only writes committed events into a socket.

A thread beside a busy loop would fight with it for the interpreter (ARCHITECTURE.md §2.3, §2.10), and encoding spans takes longer
than an agent's turn can spare. The socket never blocks: what it does not take waits here, up to `MOST_WAITING` bytes, and what does
not fit any more is dropped and counted. The process ends with ours, however ours ends, because its end of the socket closes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from life.vigil.exports import Committed, ExportOrders, ExportStatus, Reading
from life.vigil.frames import Batch, Frame, LeaveOut, Live, Question, Readings, Reply, encode_frame, read_frame
from life.vigil.span import Span

MOST_WAITING: Final = 32 * 1024 * 1024
_BUFFER: Final = 1024 * 1024
_PIECE: Final = 256 * 1024
_BATCH: Final = 128
_GATHER_S: Final = 0.05
_INHERITED: Final = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)

_log = logging.getLogger("life.vigil")


def _environment() -> dict[str, str]:
    """What the exporters may read: OpenTelemetry's own variables, certificates, the way to the packages; no keys of models."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _INHERITED or (name.startswith("OTEL_") and not name.endswith("_HEADERS"))
    }


class ExportProcess:
    """`Exports` behind a socket pair. Used from one event loop's thread, except `status`, `flush` and `close`."""

    def __init__(self, orders: ExportOrders) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            command = [sys.executable, "-P", "-m", "life.vigil.export_worker", str(theirs.fileno())]
            self._process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=_environment(),
            )
        ours.setblocking(False)
        self._socket = ours
        self._waiting: deque[memoryview] = deque()
        self._waiting_bytes = 0
        self._writing = threading.Lock()
        self._asking = threading.Lock()
        self._gathered: list[Committed] = []
        self._gathering = threading.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._lost = 0
        self._questions = 0
        self._gone = False
        self._write(encode_frame(orders), 0)

    def take(self, batch: Sequence[Committed]) -> None:
        """Gather them for a moment, then write them: waking another process for each commit would cost more than the writing."""
        with self._gathering:
            self._gathered += batch
            if len(self._gathered) < _BATCH:
                if self._timer is None:
                    try:
                        self._timer = asyncio.get_running_loop().call_later(_GATHER_S, self._send)
                    except RuntimeError:  # no loop runs here
                        self._timer = None
                    else:
                        return
                else:
                    return
        self._send()

    def span(self, span: Span) -> None:
        """Write it."""
        self._write(encode_frame(Live(span)), 0)

    def readings(self, readings: Sequence[Reading]) -> None:
        """Write them."""
        self._write(encode_frame(Readings(tuple(readings))), 0)

    def leave_out(self, trace_id: str) -> None:
        """Write it."""
        self._write(encode_frame(LeaveOut(trace_id)), 0)

    def status(self, timeout_s: float = 1.0) -> ExportStatus:
        """Ask the process; a process that does not answer exports nothing."""
        reply = self._ask(flush_ms=0, timeout_s=timeout_s)
        if reply is None:
            return ExportStatus(
                exporting=False, lost_events=self._lost, problems=("The process that exports does not answer.",)
            )
        status = reply.status
        return msgspec.structs.replace(status, lost_events=status.lost_events + self._lost)

    def flush(self, timeout_s: float = 5.0) -> bool:
        """Everything that was written so far."""
        reply = self._ask(flush_ms=round(timeout_s * 1000), timeout_s=timeout_s + 1)
        return reply is not None and reply.flushed

    def close(self, timeout_s: float = 5.0) -> None:
        """Let it export the rest, then end it."""
        until_s = time.monotonic() + timeout_s
        self._send()
        while self._waiting and not self._gone and time.monotonic() < until_s:
            self._push()
            time.sleep(0.005)
        self._socket.close()
        self._gone = True
        try:
            self._process.wait(max(until_s - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self) -> None:
        """Write what was gathered."""
        with self._gathering:
            batch, self._gathered = self._gathered, []
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        if batch:
            self._write(encode_frame(Batch(tuple(batch))), len(batch))

    def _write(self, frame: bytes, events: int) -> None:
        with self._writing:
            if self._gone or self._waiting_bytes + len(frame) > MOST_WAITING:
                self._lost += events
                return
            if self._waiting:
                self._keep(memoryview(frame))
            else:
                try:
                    sent = self._socket.send(frame)
                except BlockingIOError:
                    sent = 0
                except OSError:
                    self._say_gone()
                    self._lost += events
                    return
                if sent < len(frame):
                    self._keep(memoryview(frame)[sent:])
        if self._waiting:
            self._push()

    def _keep(self, rest: memoryview) -> None:
        self._waiting.append(rest)
        self._waiting_bytes += len(rest)

    def _push(self) -> None:
        """Write what waits, as far as it goes now."""
        with self._writing:
            while self._waiting and not self._gone:
                rest = self._waiting[0]
                try:
                    sent = self._socket.send(rest[:_PIECE])
                except BlockingIOError:
                    return
                except OSError:
                    self._say_gone()
                    return
                self._waiting_bytes -= sent
                if sent < len(rest):
                    self._waiting[0] = rest[sent:]
                else:
                    self._waiting.popleft()

    def _say_gone(self) -> None:
        self._gone = True
        self._waiting.clear()
        self._waiting_bytes = 0
        _log.warning("The process that exports telemetry has ended; nothing is exported any more.")

    def _ask(self, *, flush_ms: int, timeout_s: float) -> Reply | None:
        """A question and its answer; None when none comes in time."""
        until_s = time.monotonic() + timeout_s
        with self._asking:
            self._questions += 1
            number = self._questions
            self._send()
            self._write(encode_frame(Question(number, flush_ms)), 0)
            while not self._gone and time.monotonic() < until_s:
                if self._waiting:
                    self._push()
                try:
                    reply: Frame | None = read_frame(self._socket, until_s)
                except OSError:
                    return None
                if reply is None:
                    return None
                if isinstance(reply, Reply) and reply.number == number:
                    return reply
        return None
