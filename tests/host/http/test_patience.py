"""Connections that never say what they want are let go; honest ones, slow or long, are not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from life.host.http import patience
from life.host.http.server import bind

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less patience than people have."""
    monkeypatch.setattr(patience, "HEAD_PATIENCE_S", 0.4)
    monkeypatch.setattr(patience, "BODY_PATIENCE_S", 0.4)
    monkeypatch.setattr(patience, "BODY_BYTES", 100)


async def _whole(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def _slow(_: Request) -> Response:
    await asyncio.sleep(1.0)
    return PlainTextResponse("at last")


async def _at_once(_: Request) -> Response:
    return PlainTextResponse("too large", 413)


@asynccontextmanager
async def serving(fast: bool) -> AsyncIterator[int]:
    """The port of an application."""
    routes = [Route("/whole", _whole, methods=["POST"]), Route("/slow", _slow), Route("/at-once", _at_once, methods=["POST"])]  # fmt: skip
    listener = bind("127.0.0.1", 0)
    config = uvicorn.Config(
        Starlette(routes=routes), log_config=None, lifespan="off", http=patience.patient(fast), ws="none"
    )
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = True
    await task
    listener.close()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Stream]:
    """A connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with nullcontext():
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def is_let_go(stream: Stream, drip: bytes = b"", *, within_s: float = 2.0) -> bool:
    """Whether the server ends it, while we send a little now and then."""
    reader, writer = stream

    async def dripping() -> None:
        while drip:
            writer.write(drip)
            await asyncio.sleep(0.05)

    task = asyncio.create_task(dripping())
    try:
        async with asyncio.timeout(within_s):
            await reader.read()
            return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def answer(stream: Stream, request: bytes) -> bytes:
    """The status line, with the whole answer read."""
    reader, writer = stream
    writer.write(request)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    await reader.readexactly(length)
    return head.split(b"\r\n")[0]


FAST = pytest.mark.parametrize("fast", [True, False], ids=["httptools", "h11"])


@FAST
async def test_heads_that_never_end_are_let_go(fast: bool) -> None:
    """Silent from the beginning, a byte now and then, after a first request as well, and a head without end."""
    async with serving(fast) as port:
        async with connected(port) as silent:
            assert await is_let_go(silent)
        async with connected(port) as slow:
            slow[1].write(b"GET /slow HTTP/1.1\r\nHost: x\r\nX-A: ")
            assert await is_let_go(slow, b"a")
        async with connected(port) as second:
            request = b"POST /whole HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
            assert await answer(second, request) == b"HTTP/1.1 200 OK"
            second[1].write(b"GET /sl")
            assert await is_let_go(second, b"o")
        async with connected(port) as endless:
            endless[1].write(b"GET /slow HTTP/1.1\r\nHost: x\r\n")
            assert await is_let_go(endless, b"X-A: " + b"a" * 20_000 + b"\r\n", within_s=0.38)


@FAST
async def test_bodies_that_trickle_are_let_go(fast: bool) -> None:
    """A byte now and then is too little; a hundred are enough, however long it takes."""
    async with serving(fast) as port:
        head = b"POST /whole HTTP/1.1\r\nHost: x\r\nContent-Length: 2000\r\n\r\n"
        async with connected(port) as slow:
            slow[1].write(head)
            assert await is_let_go(slow, b"a")
        async with connected(port) as steady:
            steady[1].write(head)
            for _ in range(20):
                steady[1].write(b"a" * 100)
                await asyncio.sleep(0.06)
            assert (await asyncio.wait_for(steady[0].readline(), 5)).startswith(b"HTTP/1.1 200")


@FAST
async def test_the_patient_are_served(fast: bool) -> None:
    """An answer that takes its time, one request after another on a connection, and a large body that is refused before it was read."""
    async with serving(fast) as port, connected(port) as stream:
        assert await answer(stream, b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n") == b"HTTP/1.1 200 OK"
        for _ in range(3):
            request = b"POST /whole HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + b"a" * 70_000
            assert await answer(stream, request) == b"HTTP/1.1 200 OK"
        async with connected(port) as early:
            early[1].write(b"POST /at-once HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n")
            for _ in range(10):
                early[1].write(b"a" * 20_000)
                await asyncio.sleep(0.02)
            assert (await asyncio.wait_for(early[0].readline(), 5)).startswith(b"HTTP/1.1 413")
