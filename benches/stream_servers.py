"""The servers that `stream_fanout.py` compares, each by itself in a process on uvloop; the HTTP ones under uvicorn (httptools).

    ours     life.lago: a memory journal, one frame log, a follower for every subscriber
    peer     sse-starlette: EventSourceResponse over a queue for every subscriber, which makes the frames of each by itself
    limit    asyncio.Protocol: the frame made once, `transport.write` to everybody, nothing else

Run as `python benches/stream_servers.py <server>`; prints `ready <port>`. `GET /stream` subscribes;
`POST /go?events=&burst=&pace_us=` makes events (450-byte frames that begin with the time) and answers when all are handed out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
import time
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import uvicorn
import uvloop

BEHIND = 512
FRAME_BYTES = 450


def stamp(size: int) -> str:
    """Text of `size` characters that begins with the time."""
    return f"t={time.monotonic_ns()};".ljust(size, "x")


class Ours:
    """A journal, its frame log and followers."""

    def __init__(self) -> None:
        from life.aios.record import EventWriter, Stream
        from life.host.clock import SystemClock, SystemEntropy
        from life.lago.journal.memory import MemoryJournal
        from life.lago.streams.log import FrameLogs

        self.stream = Stream("bench")
        self.journal = MemoryJournal()
        self.logs = FrameLogs(self.journal)
        self.writer = EventWriter(SystemClock(), SystemEntropy(), agent_id="bench", stream=self.stream)
        self.followers: list[Any] = []
        self.head = 0

    async def subscribe(self) -> Any:
        from life.host.http.events import WritesResponse
        from life.lago.streams.follower import Wanted, open_follower
        from life.lago.streams.lago import LAGO

        follower = await open_follower(self.logs, Wanted(self.stream, LAGO, 2**40))
        self.followers.append(follower)
        return WritesResponse(follower, error=LAGO.error)

    async def put(self, burst: int) -> None:
        from life.aios.events import UserMessage

        events = [self.writer.event(UserMessage(content=stamp(60))) for _ in range(burst)]
        self.head = (await self.journal.append(events))[-1].sequence
        await asyncio.sleep(0)

    async def room(self, allowed: int = BEHIND) -> None:
        while self.followers and self.head - min(each.cursor for each in self.followers) > allowed:
            await asyncio.sleep(0)


class Peer:
    """sse-starlette, as its documentation shows a fan-out."""

    def __init__(self) -> None:
        self.queues: list[asyncio.Queue[str]] = []

    async def subscribe(self) -> Any:
        from sse_starlette import EventSourceResponse, ServerSentEvent

        queue: asyncio.Queue[str] = asyncio.Queue(BEHIND)
        self.queues.append(queue)

        async def events() -> Any:
            number = 0
            while True:
                number += 1
                yield ServerSentEvent(data=await queue.get(), event="event", id=str(number))

        return EventSourceResponse(events())

    async def put(self, burst: int) -> None:
        for _ in range(burst):
            data = json.dumps({"content": stamp(FRAME_BYTES - 50)})
            for queue in self.queues:
                await queue.put(data)
        await asyncio.sleep(0)

    async def room(self, allowed: int = BEHIND) -> None:
        while any(queue.qsize() > allowed for queue in self.queues):
            await asyncio.sleep(0)


async def make(source: Any, query: dict[str, list[str]]) -> None:
    """Make the events that are asked for."""
    events, burst, pace_us = (int(query[name][0]) for name in ("events", "burst", "pace_us"))
    due = time.monotonic()
    for _ in range(events // burst):
        await source.room()
        await source.put(burst)
        if pace_us:
            due += pace_us / 1e6
            await asyncio.sleep(max(0.0, due - time.monotonic()))
    await source.room(0)


def application(source: Any) -> Any:
    """Bare ASGI over a source."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/stream":
            await (await source.subscribe())(scope, receive, send)
            return
        await make(source, parse_qs(scope["query_string"].decode()))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


class Limit(asyncio.Protocol):
    """One connection of the limit."""

    subscribers: ClassVar[list[Limit]] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.paused = False

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def data_received(self, data: bytes) -> None:
        target = data.split(b" ")[1].decode()
        if target == "/stream":
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
            Limit.subscribers.append(self)
        else:
            self.task = asyncio.ensure_future(self.go(parse_qs(urlsplit(target).query)))

    def connection_lost(self, error: Exception | None) -> None:
        if self in Limit.subscribers:
            Limit.subscribers.remove(self)

    async def go(self, query: dict[str, list[str]]) -> None:
        await make(self, query)
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async def put(self, burst: int) -> None:
        frames = b"".join(b"id: 1\ndata: %b\n\n" % stamp(FRAME_BYTES - 15).encode() for _ in range(burst))
        for each in Limit.subscribers:
            each.transport.write(frames)
        await asyncio.sleep(0)

    async def room(self, allowed: int = BEHIND) -> None:
        while any(each.paused for each in Limit.subscribers):
            await asyncio.sleep(0)


async def main(name: str) -> None:
    """Serve until killed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(f"ready {listener.getsockname()[1]}", flush=True)
    if name == "limit":
        server = await asyncio.get_running_loop().create_server(Limit, sock=listener)
        await server.serve_forever()
    source = Ours() if name == "ours" else Peer()
    config = uvicorn.Config(
        application(source), log_config=None, access_log=False, lifespan="off", http="httptools", ws="none"
    )
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(main(sys.argv[1]))
