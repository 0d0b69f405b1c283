"""Lines from standard input without a thread, so that an interrupt never waits for Enter."""

from __future__ import annotations

import asyncio
import os
from typing import Final, TextIO

_CHUNK: Final = 65_536


class LineReader:
    """Lines of a stream's descriptor. Not for use beside the stream's own reading."""

    def __init__(self, stream: TextIO) -> None:
        self._descriptor = stream.fileno()
        self._buffer = b""
        self._ended = False

    async def line(self) -> str | None:
        """The next line without its end; None at the end of the input."""
        while b"\n" not in self._buffer and not self._ended:
            await self._readable()
            chunk = os.read(self._descriptor, _CHUNK)
            self._buffer += chunk
            self._ended = not chunk
        if not self._buffer:
            return None
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace").removesuffix("\r")

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        try:
            loop.add_reader(self._descriptor, wake)
        except PermissionError:
            return  # a regular file is always readable
        try:
            await ready
        finally:
            loop.remove_reader(self._descriptor)
