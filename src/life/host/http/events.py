"""Server-sent events of an event stream.

A stored event goes out as `id: <sequence>` and `data: <the record>`; an ephemeral one (sequence 0) has no id, so a
client's Last-Event-ID always names something stored. A comment every 15 seconds keeps proxies from closing the line.
Frames that are ready together leave in one write.

Source: arcan.md §9.1; the HTML standard, "Server-sent events".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from life.aios.errors import InvalidInputError, LifeError
from life.aios.record import EventRecord, encode_record

_log: Final = logging.getLogger(__name__)

KEEP_ALIVE_S: Final = 15.0
_MAX_FRAMES_PER_WRITE: Final = 64


def frame(record: EventRecord) -> bytes:
    """One event as SSE bytes. The record's JSON holds no raw line break, so one data line is enough."""
    data = encode_record(record)
    return b"data: %b\n\n" % data if record.sequence == 0 else b"id: %d\ndata: %b\n\n" % (record.sequence, data)


def resume_cursor(request: Request) -> int:
    """The last sequence the client has: its Last-Event-ID, or `?cursor=`, or 0. InvalidInputError when it is no number."""
    text = request.headers.get("last-event-id") or request.query_params.get("cursor") or "0"
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInputError("The cursor must be the sequence number of an event.")
    return int(text)


class EventStreamResponse(Response):
    """Streams events until the client leaves. The iterator is closed in every case."""

    media_type = "text/event-stream"

    def __init__(self, records: AsyncIterator[EventRecord]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
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
