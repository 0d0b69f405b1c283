"""Paying through aiohttp (extra `aiohttp`): a client middleware (aiohttp 3.12 or newer).

    async with aiohttp.ClientSession(middlewares=(PayingMiddleware(payer),)) as session:
        with paying_for(purchase_id="order-1"):
            async with session.get("https://example.org/report") as answer:
                receipt_of(answer)

Everything that decides is shared with the other clients (`purchase`, `driving`). aiohttp calls the middleware for every hop of a
redirect with a request of its own, so a signature goes nowhere but to the URL it was made for. Bodies of unknown length
(generators) are sent, but not paid for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from life.aios.errors import MissingExtraError

try:
    import aiohttp
    from aiohttp.streams import AsyncStreamIterator, StreamReader
except ImportError:
    raise MissingExtraError("Paying through aiohttp", "aiohttp") from None

from life.haima.payer import Payer
from life.haima.x402.context import purchase_of
from life.haima.x402.driving import MAX_BODY_BYTES, AsyncDriver, check_unpaid
from life.haima.x402.purchase import PurchaseRequest, Receipt, Reply

Handler = Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]

_receipts: WeakKeyDictionary[aiohttp.ClientResponse, Receipt] = WeakKeyDictionary()
_NEVER_SENT: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL)


def receipt_of(response: aiohttp.ClientResponse) -> Receipt | None:
    """What was paid for this response; None when nothing was."""
    return _receipts.get(response)


class PayingMiddleware:
    """A client middleware that pays, for any number of requests at once."""

    def __init__(self, payer: Payer, *, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._payer = payer
        self._max_body_bytes = max_body_bytes

    async def __call__(self, request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        """See aiohttp."""
        exchange = _Exchange(self._payer, handler, max_body_bytes=self._max_body_bytes)
        return await exchange.handle(_Outgoing(request, None))


class _Outgoing(NamedTuple):
    """aiohttp's requests can't be copied: the header is put on for the moment of sending."""

    request: aiohttp.ClientRequest
    header: tuple[str, str] | None


class _Exchange(AsyncDriver[_Outgoing, aiohttp.ClientResponse]):
    never_sent = _NEVER_SENT

    def __init__(self, payer: Payer, handler: Handler, *, max_body_bytes: int) -> None:
        super().__init__(payer, max_body_bytes=max_body_bytes)
        self._handler = handler

    async def send(self, request: _Outgoing) -> aiohttp.ClientResponse:
        if request.header is None:
            return await self._handler(request.request)
        name, value = request.header
        headers = request.request.headers
        own = headers.getall(name, [])
        headers[name] = value
        try:
            return await self._handler(request.request)
        finally:
            headers.popall(name, None)
            headers.extend((name, each) for each in own)

    async def prepare(self, request: _Outgoing, limit_bytes: int) -> tuple[_Outgoing, PurchaseRequest]:
        sent = request.request
        check_unpaid(sent.headers.get)
        body: bytes | None
        if isinstance(sent.body, bytes | bytearray):
            body = bytes(sent.body)
        else:
            size = sent.body.size
            body = await sent.body.as_bytes() if size is not None and size <= limit_bytes else None
        return request, purchase_of(sent.method, str(sent.url), body)

    def with_header(self, request: _Outgoing, name: str, value: str) -> _Outgoing:
        return request._replace(header=(name, value))

    def reply(self, response: aiohttp.ClientResponse) -> Reply:
        return Reply(response.status, lambda name: _joined(response, name))

    async def peek(self, response: aiohttp.ClientResponse, limit_bytes: int) -> bytes | None:
        """Only a body that says how long it is: what is read here must be there for the caller again."""
        length = response.content_length
        if length is None or length > limit_bytes:
            return None
        body = await response.read()
        return body if len(body) <= limit_bytes else None

    async def drain(self, response: aiohttp.ClientResponse, limit_bytes: int) -> None:
        try:
            while limit_bytes > 0 and not response.content.at_eof():
                part = await response.content.readany()
                limit_bytes -= len(part)
        finally:
            if response.content.at_eof():
                response.release()
            else:
                response.close()

    def finish(self, response: aiohttp.ClientResponse, receipt: Receipt) -> aiohttp.ClientResponse:
        _receipts[response] = receipt
        if receipt.state != "refused":
            payer = self._payer
            response.content = _WatchedStream(response.content, lambda: payer.note_undelivered(receipt.payment))  # type: ignore[assignment]
        return response


class _WatchedStream:
    """A paid answer's body: breaking off before its end makes the purchase repeatable."""

    def __init__(self, inner: StreamReader, lost: Callable[[], None]) -> None:
        self._inner = inner
        self._lost = lost

    async def _watch(self, work: Awaitable[bytes]) -> bytes:
        try:
            return await work
        except BaseException:
            self._lost()
            raise

    async def read(self, n: int = -1) -> bytes:
        """As StreamReader's, like all of these."""
        return await self._watch(self._inner.read(n))

    async def readany(self) -> bytes:
        """What is there."""
        return await self._watch(self._inner.readany())

    async def readline(self) -> bytes:
        """Up to the next line feed."""
        return await self._watch(self._inner.readline())

    async def readexactly(self, n: int) -> bytes:
        """Exactly so many bytes."""
        return await self._watch(self._inner.readexactly(n))

    async def readchunk(self) -> tuple[bytes, bool]:
        """One chunk, and whether it ends one of HTTP's."""
        try:
            return await self._inner.readchunk()
        except BaseException:
            self._lost()
            raise

    def __aiter__(self) -> AsyncStreamIterator[bytes]:
        return AsyncStreamIterator(self.readline)

    def iter_chunked(self, n: int) -> AsyncStreamIterator[bytes]:
        """Pieces of at most `n` bytes."""
        return AsyncStreamIterator(lambda: self.read(n))

    def iter_any(self) -> AsyncStreamIterator[bytes]:
        """Pieces as they come."""
        return AsyncStreamIterator(self.readany)

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def _joined(response: aiohttp.ClientResponse, name: str) -> str | None:
    """A header; repeated fields are one list (RFC 9110, section 5.3), as the other libraries give them."""
    values = response.headers.getall(name, None)
    return None if values is None else ", ".join(values)


__all__ = ["PayingMiddleware", "receipt_of"]
