"""The paying transports of `life.haima.x402.transport` for httpx (extra `httpx`), for programs that use that library.

Importing this module without the extra is a MissingExtraError. Everything that decides is shared (`purchase`, `driving`);
this file binds it to httpx's classes, as `transport` does to httpx2's.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Final

from life.aios.errors import MissingExtraError

try:
    import httpx
except ImportError:
    raise MissingExtraError("Paying through httpx", "httpx") from None


from life.haima.payer import Payer
from life.haima.x402.blocking import BlockingPayer
from life.haima.x402.driving import (
    MAX_BODY_BYTES,
    RECEIPT,
    AsyncDriver,
    BlockingDriver,
    WatchedAsyncBody,
    WatchedBody,
    collect,
    collect_async,
    skip,
    skip_async,
)
from life.haima.x402.purchase import Receipt
from life.haima.x402.wire import PAYMENT_SIGNATURE

_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class AsyncPayingTransport(AsyncDriver[httpx.Request, httpx.Response], httpx.AsyncBaseTransport):
    """An asynchronous httpx transport that pays (asyncio only)."""

    never_sent = _NEVER_SENT

    def __init__(
        self, payer: Payer, inner: httpx.AsyncBaseTransport | None = None, *, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        """`inner` does the HTTP and is closed with this one; the payer is not."""
        super().__init__(payer, max_body_bytes=max_body_bytes)
        self._inner = inner or httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx."""
        return await self.handle(request)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()

    async def send(self, request: httpx.Request) -> httpx.Response:
        """See AsyncDriver."""
        return await self._inner.handle_async_request(request)

    async def keep_body(self, request: httpx.Request, limit_bytes: int) -> tuple[httpx.Request, bytes | None]:
        """See AsyncDriver."""
        try:
            return request, request.content
        except httpx.RequestNotRead:
            body, stream = await collect_async(_async(request.stream), limit_bytes)
            return _copy(request, _AsyncStream(stream)), body

    def with_payment(self, request: httpx.Request, header: str) -> httpx.Request:
        """See AsyncDriver."""
        return _with_payment(request, header)

    async def drain(self, response: httpx.Response, limit_bytes: int) -> None:
        """See AsyncDriver."""
        stream = _async(response.stream)
        try:
            await skip_async(stream, limit_bytes)
        finally:
            await stream.aclose()

    def finish(self, response: httpx.Response, receipt: Receipt) -> httpx.Response:
        """See AsyncDriver."""
        response.extensions[RECEIPT] = receipt
        if receipt.state != "refused":
            stream, payer = _async(response.stream), self._payer
            response.stream = _WatchedAsync(stream, lambda: payer.note_undelivered(receipt.payment), stream.aclose)
        return response


class PayingTransport(BlockingDriver[httpx.Request, httpx.Response], httpx.BaseTransport):
    """A synchronous httpx transport that pays."""

    never_sent = _NEVER_SENT

    def __init__(
        self, payer: BlockingPayer, inner: httpx.BaseTransport | None = None, *, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        """`inner` does the HTTP and is closed with this one; the payer is not."""
        super().__init__(payer, max_body_bytes=max_body_bytes)
        self._inner = inner or httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx."""
        return self.handle(request)

    def close(self) -> None:
        """Close the inner transport."""
        self._inner.close()

    def send(self, request: httpx.Request) -> httpx.Response:
        """See BlockingDriver."""
        return self._inner.handle_request(request)

    def keep_body(self, request: httpx.Request, limit_bytes: int) -> tuple[httpx.Request, bytes | None]:
        """See BlockingDriver."""
        try:
            return request, request.content
        except httpx.RequestNotRead:
            body, stream = collect(_sync(request.stream), limit_bytes)
            return _copy(request, _Stream(stream)), body

    def with_payment(self, request: httpx.Request, header: str) -> httpx.Request:
        """See BlockingDriver."""
        return _with_payment(request, header)

    def drain(self, response: httpx.Response, limit_bytes: int) -> None:
        """See BlockingDriver."""
        stream = _sync(response.stream)
        try:
            skip(stream, limit_bytes)
        finally:
            stream.close()

    def finish(self, response: httpx.Response, receipt: Receipt) -> httpx.Response:
        """See BlockingDriver."""
        response.extensions[RECEIPT] = receipt
        if receipt.state != "refused":
            stream, payer = _sync(response.stream), self._payer
            response.stream = _Watched(stream, lambda: payer.note_undelivered(receipt.payment), stream.close)
        return response


class _WatchedAsync(WatchedAsyncBody, httpx.AsyncByteStream):
    pass


class _Watched(WatchedBody, httpx.SyncByteStream):
    pass


class _AsyncStream(httpx.AsyncByteStream):
    def __init__(self, parts: AsyncIterable[bytes]) -> None:
        self._parts = parts

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._parts.__aiter__()


class _Stream(httpx.SyncByteStream):
    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)


def _async(stream: httpx.AsyncByteStream | httpx.SyncByteStream) -> httpx.AsyncByteStream:
    assert isinstance(stream, httpx.AsyncByteStream)  # httpx checks it before the transport and after it
    return stream


def _sync(stream: httpx.AsyncByteStream | httpx.SyncByteStream) -> httpx.SyncByteStream:
    assert isinstance(stream, httpx.SyncByteStream)  # httpx checks it before the transport and after it
    return stream


def _copy(request: httpx.Request, stream: httpx.AsyncByteStream | httpx.SyncByteStream) -> httpx.Request:
    return httpx.Request(
        request.method, request.url, headers=request.headers, stream=stream, extensions=request.extensions
    )


def _with_payment(request: httpx.Request, header: str) -> httpx.Request:
    paid = _copy(request, request.stream)
    paid.headers[PAYMENT_SIGNATURE] = header
    return paid
