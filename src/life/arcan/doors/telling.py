"""A machine's frames over a run's records, and the writes of a response that streams them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final, Protocol

from starlette.responses import Response

from life.aios.errors import LifeError
from life.aios.record import EventRecord
from life.aios.streams.format import Machine
from life.aios.streams.frames import render

Batches = AsyncGenerator[list[EventRecord], None]


class Writes(Protocol):
    """What a streaming response sends."""

    async def next(self) -> bytes | None:
        """The next write, after waiting for it; None at the end."""
        ...

    def leave(self) -> None:
        """Nobody listens any more."""
        ...


class StreamWrites(Protocol):
    """Makes a server-sent event stream of writes; the host's part."""

    def __call__(
        self, writes: Writes, *, error: Callable[[LifeError], bytes], headers: tuple[tuple[str, str], ...] = ()
    ) -> Response:
        """`error` makes the frame that says why the stream breaks off."""
        ...


async def tell(
    batches: Batches,
    machine: Machine,
    heartbeat: Callable[[int, bool], bytes],
    *,
    after: int = 0,
    before_end: Callable[[], Awaitable[None]] | None = None,
    opening: bytes = b"",
    at_rest: Callable[[], bytes] | None = None,
    unfinished: LifeError | None = None,
) -> AsyncGenerator[bytes, None]:
    """The frames of the run in question, and nothing behind its end. Records up to `after` are read without being told: the
    client has them. `heartbeat` is a format's. `before_end` is awaited before the client hears of the end. When the run rests without having ended, `at_rest` (or the
    machine) says what closes the stream; when that is nothing, `unfinished` is raised."""
    cursor = told = after
    if opening:
        yield opening
    async with aclosing(batches):
        async for batch in batches:
            if not batch:
                yield heartbeat(cursor, cursor > told)
                told = cursor
                continue
            content: list[bytes] = []
            for record in batch:
                frames = machine.feed(record)
                if record.sequence == 0 or record.sequence > after:
                    content.append(render(frames, record.sequence))
                    if record.sequence:
                        cursor = record.sequence
                        told = cursor if frames else told
                if machine.run_ended and record.sequence > after:
                    if before_end is not None:
                        await before_end()
                    yield b"".join(content)
                    return
            if written := b"".join(content):
                yield written
    closing = machine.done() if at_rest is None else at_rest()
    if not closing and unfinished is not None:
        raise unfinished
    if closing:
        yield closing


_closing: Final[set[asyncio.Task[None]]] = set()


class GeneratedWrites:
    """The writes of a generator. A client that leaves ends the generator and nothing else."""

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        self._chunks = chunks
        self._next: asyncio.Future[bytes | None] | None = None
        self._left = False

    async def next(self) -> bytes | None:
        """See Writes."""
        if self._left:
            return None
        self._next = following = asyncio.ensure_future(anext(self._chunks, None))
        try:
            await asyncio.wait({following})
            if following.cancelled():
                return None
            return following.result()
        finally:
            if not following.done():
                following.cancel()
            self._next = None
            self._close_if_left()

    def leave(self) -> None:
        """See Writes. May be called again."""
        if self._left:
            return
        self._left = True
        if self._next is not None:
            self._next.cancel()
        else:
            self._close()

    def _close_if_left(self) -> None:
        if self._left:
            self._close()

    def _close(self) -> None:
        task = asyncio.get_running_loop().create_task(_quietly(self._chunks))
        _closing.add(task)
        task.add_done_callback(_closing.discard)


async def _quietly(chunks: AsyncGenerator[bytes, None]) -> None:
    await chunks.aclose()
