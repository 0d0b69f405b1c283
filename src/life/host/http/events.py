"""Server-sent events over HTTP.

Two kinds of stream share the head and the way they end when the client leaves:

    EventStreamResponse   records of an iterator, each as `id: <sequence>` and `data: <the record>`. An ephemeral one
                          (sequence 0) has no id, so a client's Last-Event-ID always names something stored
    WritesResponse        the writes of a Follower (life.lago.streams): many subscribers of one log, any format

A comment every 15 seconds keeps proxies from closing the line. Frames that are ready together leave in one write.
Writing waits while the client does not read, so a slow one holds what one write holds.

Source: arcan.md §9.1; lago.md §8; the HTML standard, "Server-sent events".
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from life.aios.errors import InvalidInputError, LifeError
from life.aios.record import EventRecord, encode_record

_log: Final = logging.getLogger(__name__)

KEEP_ALIVE_S: Final = 15.0
_MAX_FRAMES_PER_WRITE: Final = 64
_KEPT_FRAMES: Final = 256
_OUTSIDE: Final = "life.event_stream"
"""In a scope: streams are handed over. As a message: this is one."""
_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}


class Writes(Protocol):
    """What a WritesResponse sends."""

    async def next(self) -> bytes | None:
        """The next write, after waiting for it; None at the end."""
        ...

    def leave(self) -> None:
        """Nobody listens any more; `next` gives the end. May be called again."""
        ...


class _Frames:
    """The newest frames, so that subscribers who are handed the same record share its bytes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, tuple[EventRecord, bytes]] = OrderedDict()

    def __call__(self, record: EventRecord) -> bytes:
        kept = self._kept.get(id(record))
        if kept is not None:  # the record is held together with its bytes, so its id is its own
            return kept[1]
        data = encode_record(record)
        made = b"data: %b\n\n" % data if record.sequence == 0 else b"id: %d\ndata: %b\n\n" % (record.sequence, data)
        self._kept[id(record)] = (record, made)
        if len(self._kept) > _KEPT_FRAMES:
            self._kept.popitem(last=False)
        return made


frame: Final = _Frames()
"""One event as SSE bytes. The record's JSON holds no raw line break, so one data line is enough."""


def resume_cursor(request: Request, parameter: str = "cursor") -> int:
    """The last sequence the client has: its Last-Event-ID, or `?cursor=`, or 0. InvalidInputError when it is no number."""
    text = request.headers.get("last-event-id") or request.query_params.get(parameter) or "0"
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInputError("The cursor must be the sequence number of an event.")
    return int(text)


class WritesResponse(Response):
    """Streams what a follower gives, until it ends or the client leaves. The follower is left in every case."""

    media_type = "text/event-stream"

    def __init__(
        self, writes: Writes, *, error: Callable[[LifeError], bytes], headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        """`error` makes the frame that says why the stream breaks off."""
        # Not the base's: thousands of these wait at once, and what it makes for each of them is the same for all.
        self.status_code = 200
        self.background = None
        self.raw_headers = _raw_headers(headers)
        self._writes = writes
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the stream to `OutsideLayers`, where there is one; otherwise send it."""
        if _OUTSIDE in scope:
            await send({"type": _OUTSIDE, "response": self})
        else:
            await self.stream(scope, receive, send)

    def leave(self) -> None:
        """Nobody will send it."""
        self._writes.leave()

    async def stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head, then writes as they come."""
        leave = asyncio.create_task(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                self._writes.leave()
            last = await self._pump(send)
            await send({"type": "http.response.body", "body": last, "more_body": False})
        finally:
            self._writes.leave()
            leave.cancel()
            await asyncio.gather(leave, return_exceptions=True)

    async def _pump(self, send: Send) -> bytes:
        """Everything but the last write, which says why there is no more."""
        following = self._writes.next
        try:
            while (content := await following()) is not None:
                await send({"type": "http.response.body", "body": content, "more_body": True})
        except LifeError as error:
            # The head is out, so no status can say it; the log of frames has said it once for all.
            return self._error(error)
        return b""

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._writes.leave()


class OutsideLayers:
    """Pure ASGI middleware, the outermost: sends event streams when the application's other layers have returned, so that a stream that
    stays open for days does not keep a dozen of their frames."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and take over the stream that it ends in."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        stream = await self._answered(scope, receive, send)
        if stream is not None:
            await stream.stream(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> WritesResponse | None:
        """Let the application answer; the stream, when it hands one over."""
        taken: list[WritesResponse] = []

        async def take(message: Message) -> None:
            if message["type"] == _OUTSIDE:
                taken.append(message["response"])
            else:
                await send(message)

        try:
            await self.app({**scope, _OUTSIDE: True}, receive, take)
        except BaseException:
            for stream in taken:
                stream.leave()
            raise
        return taken[0] if taken else None


@functools.lru_cache(maxsize=16)
def _raw_headers(headers: tuple[tuple[str, str], ...]) -> list[tuple[bytes, bytes]]:
    every = {**_HEADERS, **dict(headers), "content-type": "text/event-stream; charset=utf-8"}
    return [(name.encode(), value.encode()) for name, value in every.items()]


class EventStreamResponse(Response):
    """Streams events until the client leaves. The iterator is closed in every case."""

    media_type = "text/event-stream"

    def __init__(self, records: AsyncIterator[EventRecord]) -> None:
        super().__init__(headers=dict(_HEADERS))
        del self.headers["content-length"]
        self._records = records

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head, then frames as they come."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        pump = asyncio.create_task(self._pump(send))
        leave = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait({pump, leave}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
        finally:
            for task in (pump, leave):
                task.cancel()
            await asyncio.gather(pump, leave, return_exceptions=True)
            close = getattr(self._records, "aclose", None)
            if close is not None:
                await close()

    async def _pump(self, send: Send) -> None:
        following: asyncio.Task[EventRecord] | None = None
        try:
            while True:
                following = following or asyncio.ensure_future(anext(self._records))
                done, _ = await asyncio.wait({following}, timeout=KEEP_ALIVE_S)
                if not done:
                    await send({"type": "http.response.body", "body": b": keep-alive\n\n", "more_body": True})
                    continue
                frames = [frame(following.result())]
                following = None
                while len(frames) < _MAX_FRAMES_PER_WRITE:
                    following = asyncio.ensure_future(anext(self._records))
                    await asyncio.sleep(0)
                    if not following.done() or following.exception() is not None:
                        break  # what is ready leaves first; the end or an error comes with the next round
                    frames.append(frame(following.result()))
                    following = None
                await send({"type": "http.response.body", "body": b"".join(frames), "more_body": True})
        except StopAsyncIteration:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except LifeError as error:
            # The head is out, so no status can say it; the client reconnects and is told then.
            _log.warning("an event stream ended: %s", error.message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
