"""Driving a purchase over an HTTP client: what all clients have in common.

`life.haima.x402.purchase` says what happens in which order; here requests are sent, bodies kept for the second try and
responses let go of. A client is bound by a handful of methods:

    httpx2, httpx    httpx_family, with transport and httpx_transport   transports and auth flows
    requests         requests_adapter
    aiohttp          aiohttp_middleware

What a caller may say beside a request is in `context`; the receipt goes out beside the response.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Final, Generic, Protocol, TypeVar

from life.aios.errors import InvalidInputError
from life.haima.payer import Payer
from life.haima.x402.blocking import BlockingPayer
from life.haima.x402.context import CONTEXT, RECEIPT, purchase_of
from life.haima.x402.payment_header import SIGNATURE_HEADERS
from life.haima.x402.purchase import Pause, PurchaseRequest, ReadBody, Receipt, Reply, Send

__all__ = ["CONTEXT", "MAX_BODY_BYTES", "RECEIPT", "AsyncDriver", "BlockingDriver", "purchase_request"]

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
"""How much of a streamed request body is kept for the paid try. A longer one is sent, but not paid for."""

DRAIN_BYTES: Final = 256 * 1024
"""How much of a 402's body is read to keep its connection; a longer one costs the connection."""


class Headers(Protocol):
    """Headers by case-insensitive name."""

    def get(self, key: str, /) -> str | None:
        """The value, or None."""
        ...


class HttpRequest(Protocol):
    """The part of a request of the httpx family that is read here."""

    @property
    def method(self) -> str:
        """Upper case."""
        ...

    @property
    def url(self) -> object:
        """Its text is the URL."""
        ...

    @property
    def headers(self) -> Headers:
        """The headers."""
        ...

    @property
    def extensions(self) -> Mapping[str, object]:
        """Where the context is."""
        ...


Req = TypeVar("Req")
Res = TypeVar("Res")


def purchase_request(request: HttpRequest, body: bytes | None) -> PurchaseRequest:
    """The purchase that a request of the httpx family may become; see `context.purchase_of`."""
    return purchase_of(request.method, str(request.url), body, request.extensions.get(CONTEXT))


def check_unpaid(header: Callable[[str], object | None]) -> None:
    """InvalidInputError for a request that carries a payment of its own."""
    for name in SIGNATURE_HEADERS:
        if header(name) is not None:
            raise InvalidInputError(f"The request carries a {name} header of its own; this client makes it.")


class AsyncDriver(ABC, Generic[Req, Res]):
    """Drives purchases over an asynchronous client. A subclass binds it to a library."""

    never_sent: tuple[type[BaseException], ...] = ()
    """What the library raises when not one byte of the request has left."""

    def __init__(self, payer: Payer, *, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._payer = payer
        self._max_body_bytes = max_body_bytes

    @abstractmethod
    async def send(self, request: Req) -> Res:
        """Send over what is below."""
        ...

    @abstractmethod
    async def prepare(self, request: Req, limit_bytes: int) -> tuple[Req, PurchaseRequest]:
        """The request in a form that can be sent, and the purchase that it may become. InvalidInputError when it carries a
        payment already."""
        ...

    @abstractmethod
    def with_header(self, request: Req, name: str, value: str) -> Req:
        """A copy with one more header. The original stays as it is: what a client makes of it (redirects) carries no
        signature."""
        ...

    @abstractmethod
    def reply(self, response: Res) -> Reply:
        """Status and headers."""
        ...

    @abstractmethod
    async def peek(self, response: Res, limit_bytes: int) -> bytes | None:
        """The body, decoded, when it is no longer than the limit; the caller can still read all of it."""
        ...

    @abstractmethod
    async def drain(self, response: Res, limit_bytes: int) -> None:
        """Read a response that nobody wants and let go of its connection."""
        ...

    @abstractmethod
    def finish(self, response: Res, receipt: Receipt) -> Res:
        """Put the receipt on the response and watch its body."""
        ...

    async def handle(self, request: Req) -> Res:
        """The response to the request, paid for when it had to be."""
        request, wanted = await self.prepare(request, self._max_body_bytes)
        conversation = self._payer.purchase(wanted)
        last: Res | None = None
        try:
            step = next(conversation)
            while True:
                try:
                    if isinstance(step, Send):
                        if last is not None:
                            unwanted, last = last, None
                            await self.drain(unwanted, DRAIN_BYTES)
                        last = await self.send(
                            request if step.header is None else self.with_header(request, *step.header)
                        )
                        step.reply = self.reply(last)
                    elif isinstance(step, ReadBody):
                        assert last is not None  # there was a reply
                        step.body = await self.peek(last, step.limit_bytes)
                    else:
                        if isinstance(step, Pause) and last is not None:
                            unwanted, last = last, None
                            await self.drain(unwanted, DRAIN_BYTES)
                        await step.perform()
                except BaseException as error:
                    if isinstance(step, Send) and isinstance(error, self.never_sent):
                        step.sent = False
                    step = conversation.throw(error)
                else:
                    step = next(conversation)
        except StopIteration as done:
            assert last is not None  # every conversation sends before it ends
            receipt: Receipt | None = done.value
            return last if receipt is None else self.finish(last, receipt)
        except BaseException:
            if last is not None:
                await self.drain(last, 0)
            raise
        finally:
            conversation.close()


class BlockingDriver(ABC, Generic[Req, Res]):
    """Drives purchases over a synchronous client, for any number of threads: the HTTP happens in the caller's thread, the
    payer's part in its own loop (life.haima.x402.blocking). The methods are those of AsyncDriver."""

    never_sent: tuple[type[BaseException], ...] = ()
    """What the library raises when not one byte of the request has left."""

    def __init__(self, payer: BlockingPayer, *, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._payer = payer
        self._max_body_bytes = max_body_bytes

    @abstractmethod
    def send(self, request: Req) -> Res:
        """See AsyncDriver."""
        ...

    @abstractmethod
    def prepare(self, request: Req, limit_bytes: int) -> tuple[Req, PurchaseRequest]:
        """See AsyncDriver."""
        ...

    @abstractmethod
    def with_header(self, request: Req, name: str, value: str) -> Req:
        """See AsyncDriver."""
        ...

    @abstractmethod
    def reply(self, response: Res) -> Reply:
        """See AsyncDriver."""
        ...

    @abstractmethod
    def peek(self, response: Res, limit_bytes: int) -> bytes | None:
        """See AsyncDriver."""
        ...

    @abstractmethod
    def drain(self, response: Res, limit_bytes: int) -> None:
        """See AsyncDriver."""
        ...

    @abstractmethod
    def finish(self, response: Res, receipt: Receipt) -> Res:
        """See AsyncDriver."""
        ...

    def handle(self, request: Req) -> Res:
        """The response to the request, paid for when it had to be."""
        return self._payer.wherever(lambda: self._handle(request))

    def _handle(self, request: Req) -> Res:
        request, wanted = self.prepare(request, self._max_body_bytes)
        conversation = self._payer.purchase(wanted)
        last: Res | None = None
        try:
            step = self._payer.advance(conversation)
            while isinstance(step, Send | ReadBody | Pause):
                try:
                    if isinstance(step, ReadBody):
                        assert last is not None  # there was a reply
                        step.body = self.peek(last, step.limit_bytes)
                    else:
                        if last is not None:
                            unwanted, last = last, None
                            self.drain(unwanted, DRAIN_BYTES)
                        if isinstance(step, Pause):
                            self._payer.pause(step.duration_us)
                        else:
                            last = self.send(
                                request if step.header is None else self.with_header(request, *step.header)
                            )
                            step.reply = self.reply(last)
                except BaseException as error:
                    if isinstance(step, Send):
                        step.sent = not isinstance(error, self.never_sent)
                    step = self._payer.advance(conversation, error)
                else:
                    step = self._payer.advance(conversation)
        except BaseException:
            if last is not None:
                self.drain(last, 0)
            raise
        finally:
            self._payer.close_conversation(conversation)
        assert last is not None  # every conversation sends before it ends
        return last if step is None else self.finish(last, step)


# --- bodies -----------------------------------------------------------------------------------------------------------


async def collect_async(stream: AsyncIterable[bytes], limit_bytes: int) -> tuple[bytes | None, AsyncIterable[bytes]]:
    """The whole body and a stream over it; or None and a stream that gives what was read and then the rest."""
    parts: list[bytes] = []
    size = 0
    rest = stream.__aiter__()
    async for part in rest:
        parts.append(part)
        size += len(part)
        if size > limit_bytes:
            return None, AsyncChainedBody(parts, rest)
    return b"".join(parts), AsyncChainedBody(parts, None)


def collect(stream: Iterable[bytes], limit_bytes: int) -> tuple[bytes | None, Iterable[bytes]]:
    """The same for synchronous clients."""
    parts: list[bytes] = []
    size = 0
    rest = iter(stream)
    for part in rest:
        parts.append(part)
        size += len(part)
        if size > limit_bytes:
            return None, ChainedBody(parts, rest)
    return b"".join(parts), ChainedBody(parts, None)


async def skip_async(stream: AsyncIterable[bytes], limit_bytes: int) -> None:
    """Read up to `limit_bytes` and forget them."""
    if limit_bytes:
        async for part in stream:
            limit_bytes -= len(part)
            if limit_bytes <= 0:
                return


def skip(stream: Iterable[bytes], limit_bytes: int) -> None:
    """The same for synchronous clients."""
    if limit_bytes:
        for part in stream:
            limit_bytes -= len(part)
            if limit_bytes <= 0:
                return


class AsyncChainedBody:
    """What was read of a body already, and its rest. Without a rest it can be sent again and again."""

    def __init__(self, parts: list[bytes], rest: AsyncIterator[bytes] | None) -> None:
        self._parts = parts
        self._rest = rest

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part
        if self._rest is not None:
            async for part in self._rest:
                yield part


class ChainedBody:
    """The same for synchronous clients."""

    def __init__(self, parts: list[bytes], rest: Iterator[bytes] | None) -> None:
        self._parts = parts
        self._rest = rest

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts
        if self._rest is not None:
            yield from self._rest


class AsyncBody:
    """A body in the form that a library wants: `lost` is called when it breaks off before its end, `close` lets go of the
    connection."""

    def __init__(
        self,
        inner: AsyncIterable[bytes],
        lost: Callable[[], None] | None = None,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._inner = inner
        self._lost = lost
        self._close = close

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._inner:
                yield part
        except GeneratorExit:  # the caller wants no more of it
            raise
        except BaseException:
            if self._lost is not None:
                self._lost()
            raise

    async def aclose(self) -> None:
        """Let go of the connection."""
        if self._close is not None:
            await self._close()


class Body:
    """The same for synchronous clients."""

    def __init__(
        self,
        inner: Iterable[bytes],
        lost: Callable[[], None] | None = None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self._inner = inner
        self._lost = lost
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._inner
        except GeneratorExit:
            raise
        except BaseException:
            if self._lost is not None:
                self._lost()
            raise

    def close(self) -> None:
        """Let go of the connection."""
        if self._close is not None:
            self._close()
