"""Lines of JSON that a helper process writes to a pipe, read on the event loop; and waiting for a descriptor."""

from __future__ import annotations

import asyncio
import contextlib
import os

import msgspec

_MAX_BYTES = 1 << 16


class StatusPipe:
    """The reading end. Owns its descriptor."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._buffer = b""
        self._at_end = False

    async def next(self) -> dict[str, int] | None:
        """The next line's whole numbers by name, None at the end. OSError: what was written makes no sense."""
        while b"\n" not in self._buffer and not self._at_end:
            try:
                piece = os.read(self._fd, 4096)
            except BlockingIOError:
                await readable(self._fd)
                continue
            self._at_end = not piece
            self._buffer += piece
            if len(self._buffer) > _MAX_BYTES:
                raise OSError("a status line has no end")
        line, _, self._buffer = self._buffer.partition(b"\n")
        if not line.strip():
            return None if self._at_end and not self._buffer else await self.next()
        try:
            values = msgspec.json.decode(line, type=dict[str, object])
        except msgspec.DecodeError:
            raise OSError("a status line is not JSON") from None
        return {name: value for name, value in values.items() if isinstance(value, int)}

    def close(self) -> None:
        """Close the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


async def readable(fd: int) -> None:
    """Returns when something can be read from a descriptor, or, for a process handle, when the process is gone."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def mark() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(fd, mark)
    try:
        await ready
    finally:
        with contextlib.suppress(ValueError, OSError):
            loop.remove_reader(fd)
