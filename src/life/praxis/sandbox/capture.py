"""Output of any length in bounded memory: the beginning whole up to a limit, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from typing import Final

from life.aios.ports.sandbox import Captured
from life.praxis.sandbox.status_pipe import readable

_READ_BYTES: Final = 1 << 18
_PIPE_BYTES: Final = 1 << 18


class Capture:
    """Takes a stream piece by piece. Memory: `kept_bytes` plus three times `tail_bytes` at most."""

    def __init__(self, *, kept_bytes: int, tail_bytes: int) -> None:
        self._kept_bytes = kept_bytes
        self._tail_bytes = tail_bytes
        self._kept = bytearray()
        self._tail = bytearray()
        self._total_bytes = 0

    def add(self, piece: bytes) -> None:
        """The next bytes of the stream."""
        self._total_bytes += len(piece)
        room = self._kept_bytes - len(self._kept)
        if room > 0:
            self._kept += piece[:room]
            piece = piece[room:]
        if piece and self._tail_bytes:
            self._tail += piece[-self._tail_bytes :]
            if len(self._tail) > 2 * self._tail_bytes:
                del self._tail[: -self._tail_bytes]

    def captured(self) -> Captured:
        """What was taken so far. The tail never repeats what is in `kept`."""
        return Captured(
            kept=bytes(self._kept),
            tail=bytes(self._tail[-self._tail_bytes :]) if self._tail_bytes else b"",
            total_bytes=self._total_bytes,
        )


class OutputPipe:
    """A pipe for one output stream. Ours to read, so that waiting for a process never means waiting for whoever holds its output."""

    def __init__(self) -> None:
        self._read_fd, self._write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read_fd, False)
        with contextlib.suppress(OSError):  # more than the user's share of pipe memory: a smaller pipe does as well
            fcntl.fcntl(self._write_fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    @property
    def write_fd(self) -> int:
        """The end for the process."""
        return self._write_fd

    def started(self) -> None:
        """The process has its end: ours of it is closed, so that the stream can end."""
        if self._write_fd >= 0:
            os.close(self._write_fd)
            self._write_fd = -1

    async def drain(self, capture: Capture) -> None:
        """Take everything until the stream ends."""
        while True:
            try:
                piece = os.read(self._read_fd, _READ_BYTES)
            except BlockingIOError:
                await readable(self._read_fd)
                continue
            if not piece:
                return
            capture.add(piece)
            if len(piece) == _READ_BYTES:
                await asyncio.sleep(0)  # a flood must not keep the loop from its other work

    def close(self) -> None:
        """Both ends."""
        self.started()
        if self._read_fd >= 0:
            os.close(self._read_fd)
            self._read_fd = -1


def shown_text(captured: Captured, limit_bytes: int) -> tuple[str, bool]:
    """At most about `limit_bytes` of a stream as text, head and tail with the gap told; and whether something is missing."""
    if captured.total_bytes <= limit_bytes and captured.total_bytes == len(captured.kept):
        return captured.kept.decode(errors="replace"), False
    half = limit_bytes // 2
    head = captured.kept[:half]
    missing_of_kept = captured.total_bytes - len(captured.kept)
    end = captured.kept[half:] + captured.tail if missing_of_kept == len(captured.tail) else captured.tail
    tail = end[-half:]
    left_out = captured.total_bytes - len(head) - len(tail)
    text = head.decode(errors="replace") + f"\n[… {left_out} bytes left out …]\n" + tail.decode(errors="replace")
    return text, True
