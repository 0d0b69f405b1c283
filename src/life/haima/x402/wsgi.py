"""WSGI middleware that sells what a synchronous application (Flask, Django, …) answers. PEP 3333.

    app.wsgi_app = X402WsgiMiddleware(app.wsgi_app, routes={"GET /report": "$0.01"}, open_till=open_till)

The till is the same as everywhere and lives on an event loop of its own, in one thread per process. A paid request waits in
its server's thread; when its turn comes, the application runs right there, in the thread that the server gave it, and finds the
`Payment` in `environ["x402"]` (or a `Visitor` who has signed in). The loop starts with the first request, so servers that fork
after loading are fine.

A route with `stream=True` is settled first, and its answer leaves chunk by chunk.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from starlette.types import Scope

from life.aios.errors import InvalidInputError
from life.haima.x402.answers import Answer, Headers, private_headers
from life.haima.x402.paid_routes import Routes, RouteTable
from life.haima.x402.sale import Begin, End, Payment, StreamEnd
from life.haima.x402.sign_in import Visitor
from life.haima.x402.till import Order, Till

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

T = TypeVar("T")
OpenTill = Callable[[], AbstractAsyncContextManager[Till]]
"""Opens the till, in the thread where it is going to live."""

ENVIRON_KEY: Final = "x402"
_UNPREFIXED: Final = {"CONTENT_TYPE": b"content-type", "CONTENT_LENGTH": b"content-length"}


class LoopThread:
    """An event loop in a thread of its own, and one thing that lives there. Belongs to one process."""

    def __init__(self, open_till: OpenTill) -> None:
        self.loop: Final = asyncio.new_event_loop()
        self._open = open_till
        self._ready: Future[Till] = Future()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._live, name="x402 till", daemon=True)
        self._thread.start()

    def till(self) -> Till:
        """The open till; what opening it raised."""
        return self._ready.result()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` on the loop, from any other thread, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def close(self) -> None:
        """Close the till and the loop. May be called again."""
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _live(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._hold())
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()

    async def _hold(self) -> None:
        try:
            async with self._open() as till:
                self._ready.set_result(till)
                await self._stop.wait()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
                return
            raise


class _Run(NamedTuple):
    """The application's turn, for the whole answer."""

    payment: Payment
    answered: asyncio.Future[Answer]


class _Stream(NamedTuple):
    """The application's turn, for an answer that leaves as it is made."""

    payment: Payment
    begin: Begin
    ended: asyncio.Future[StreamEnd]


class X402WsgiMiddleware:
    """Sells the answers of `routes`; every other request passes untouched. Close it when the process ends."""

    def __init__(self, app: WSGIApplication, *, routes: Routes, open_till: OpenTill) -> None:
        """`open_till` gives an open Till; it is entered at the first paid request, or by `start`."""
        if not routes:
            raise InvalidInputError("No route costs anything.")
        self.app: Final = app
        self._routes = routes
        self._open_till = open_till
        self._lock = threading.Lock()
        self._opened: tuple[int, LoopThread, RouteTable] | None = None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """One request."""
        thread, table = self.start()
        scope = scope_of(environ)
        route = table.find(scope)
        if route is None:
            return self.app(environ, start_response)
        entered = thread.run(thread.till().enter(route, scope))
        if isinstance(entered, Answer):
            return _respond(entered, start_response)
        if isinstance(entered, Visitor):
            environ[ENVIRON_KEY] = entered
            return self.app(environ, _privately(start_response))
        return self._sell(thread, entered, environ, start_response)

    def start(self) -> tuple[LoopThread, RouteTable]:
        """Open the till in this process, if it is not. What opening it raises is raised for every request until it works."""
        opened = self._opened
        if opened is not None and opened[0] == os.getpid():
            return opened[1], opened[2]
        with self._lock:
            opened = self._opened
            if opened is None or opened[0] != os.getpid():
                thread = LoopThread(self._open_till)
                try:
                    table = thread.till().table(self._routes)
                    thread.run(thread.till().start())
                except BaseException:
                    thread.close()
                    raise
                opened = self._opened = (os.getpid(), thread, table)
            return opened[1], opened[2]

    def close(self) -> None:
        """Close the till of this process."""
        with self._lock:
            opened, self._opened = self._opened, None
            if opened is not None and opened[0] == os.getpid():
                opened[1].close()

    def __enter__(self) -> X402WsgiMiddleware:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _sell(
        self, thread: LoopThread, order: Order, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        turns: SimpleQueue[_Run | _Stream | None] = SimpleQueue()

        async def handler(payment: Payment) -> Answer:
            answered: asyncio.Future[Answer] = thread.loop.create_future()
            turns.put(_Run(payment, answered))
            return await answered

        async def stream(payment: Payment, begin: Begin, end: End) -> StreamEnd:
            ended: asyncio.Future[StreamEnd] = thread.loop.create_future()
            turns.put(_Stream(payment, begin, ended))
            return await ended

        selling = asyncio.run_coroutine_threadsafe(
            thread.till().sell(order, handler, stream=stream if order.route.stream else None), thread.loop
        )
        selling.add_done_callback(lambda _: turns.put(None))
        turn = turns.get()
        if isinstance(turn, _Run):
            self._take_turn(thread, turn, environ)
            turns.get()
        elif isinstance(turn, _Stream):
            outlet = _Outlet(thread, turn, selling, keep_bytes=thread.till().max_kept_body_bytes)
            body = outlet.open(self.app, environ, start_response)
            if body is not None:
                return body
        answer = selling.result()
        assert answer is not None  # a stream has returned above
        return _respond(answer, start_response)

    def _take_turn(self, thread: LoopThread, turn: _Run, environ: WSGIEnvironment) -> None:
        """Run the application and hand its answer to the loop."""
        environ[ENVIRON_KEY] = turn.payment
        try:
            answer = _whole_answer(self.app, environ)
        except Exception as error:
            thread.loop.call_soon_threadsafe(_fail, turn.answered, error)
        except BaseException:
            thread.loop.call_soon_threadsafe(_fail, turn.answered, RuntimeError("the request was cut off"))
            raise
        else:
            thread.loop.call_soon_threadsafe(_finish, turn.answered, answer)


class _Start:
    """Takes the application's `start_response` instead of the server."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: Headers = []
        self.written: list[bytes] = []

    def __call__(
        self, status: str, headers: list[tuple[str, str]], exc_info: object = None, /
    ) -> Callable[[bytes], object]:
        self.status = int(status.split(" ", 1)[0])
        self.headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return self.written.append


class _Outlet:
    """Lets an answer leave chunk by chunk, and tells the till how it ended. An iterable with `close`, as PEP 3333 has it."""

    def __init__(self, thread: LoopThread, turn: _Stream, selling: Future[Answer | None], *, keep_bytes: int) -> None:
        self._thread = thread
        self._turn = turn
        self._selling = selling
        self._keep_bytes = keep_bytes
        self._chunks: Iterator[bytes] = iter(())
        self._source: Iterable[bytes] = ()
        self._sent = 0
        self._kept: list[bytes] | None = []
        self._is_over = False

    def open(
        self, app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes] | None:
        """Run the application to its first chunk and send the head; None when nothing may leave."""
        environ[ENVIRON_KEY] = self._turn.payment
        started = _Start()
        try:
            self._source = app(environ, started)
            self._chunks = iter(self._source)
            first = next(self._chunks, b"")
            headers = self._thread.run(self._turn.begin(started.status, started.headers))
        except Exception as error:
            self._over(error)
            return None
        self._chunks = _chained([*started.written, first], self._chunks)
        start_response(_status_line(started.status), _texts(headers))
        return self

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            chunk = next(self._chunks)
        except StopIteration:
            self._over(StreamEnd(True, self._sent, None if self._kept is None else b"".join(self._kept)))
            raise
        except Exception as error:
            self._over(error)
            raise
        self._sent += len(chunk)
        if self._kept is not None:
            self._kept.append(chunk)
            if self._sent > self._keep_bytes:
                self._kept = None
        return chunk

    def close(self) -> None:
        """The server is done with it, whether it took everything or its client went away."""
        self._over(StreamEnd(False, self._sent, reason="the client went away", by_client=True))

    def _over(self, end: StreamEnd | Exception) -> None:
        """Once: release the application's resources, and wait until the end is on disk."""
        if self._is_over:
            return
        self._is_over = True
        try:
            closing = getattr(self._source, "close", None)
            if closing is not None:
                closing()
        finally:
            if isinstance(end, Exception):
                self._thread.loop.call_soon_threadsafe(_fail, self._turn.ended, end)
            else:
                self._thread.loop.call_soon_threadsafe(_finish, self._turn.ended, end)
            self._selling.exception()  # waits; the error itself is raised by whoever asks for the result


def scope_of(environ: WSGIEnvironment) -> Scope:
    """The part of an ASGI scope that tells what is asked for. The path is decoded as ASGI does it."""
    root = _decoded(environ.get("SCRIPT_NAME", ""))
    headers = [
        (name[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    headers += [
        (name, environ[key].encode("latin-1")) for key, name in _UNPREFIXED.items() if environ.get(key) is not None
    ]
    return {
        "type": "http",
        "method": environ["REQUEST_METHOD"],
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "path": root + _decoded(environ.get("PATH_INFO", "")),
        "root_path": root,
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "headers": headers,
    }


def _decoded(text: str) -> str:
    """PEP 3333 hands over bytes as latin-1."""
    return text.encode("latin-1").decode("utf-8", "replace")


def _whole_answer(app: WSGIApplication, environ: WSGIEnvironment) -> Answer:
    started = _Start()
    chunks = app(environ, started)
    try:
        body = b"".join([*chunks])
    finally:
        closing = getattr(chunks, "close", None)
        if closing is not None:
            closing()
    if not started.status:
        raise RuntimeError("the application ended without an answer")
    body = b"".join(started.written) + body
    headers = [header for header in started.headers if header[0].lower() != b"content-length"]
    if started.status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(body)))
    return Answer(started.status, headers, body)


def _privately(start_response: StartResponse) -> StartResponse:
    """What a visitor gets is his own: no shared cache may hand it to somebody else."""

    def starting(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
        sent = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return start_response(status, _texts(private_headers(sent)), *more)

    return starting


def _respond(answer: Answer, start_response: StartResponse) -> Iterable[bytes]:
    start_response(_status_line(answer.status), _texts(answer.headers))
    return [answer.body]


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"


def _texts(headers: Headers) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _chained(first: list[bytes], rest: Iterator[bytes]) -> Iterator[bytes]:
    yield from first
    yield from rest


def _finish(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[T], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


__all__ = ["ENVIRON_KEY", "LoopThread", "OpenTill", "X402WsgiMiddleware", "scope_of"]
