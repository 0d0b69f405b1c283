"""Transports for httpx2 that pay: everything a client does goes through them, and what costs money is paid for.

    AsyncPayingTransport(payer)          around httpx2.AsyncHTTPTransport, or any other
    PayingTransport(blocking_payer)      around httpx2.HTTPTransport, or any other

A response that was paid for has its receipt in `response.extensions["life.settlement"]`; a refusal of the payee comes
back as its 402, with a receipt that says so. What the payer itself refuses, and outcomes that nobody knows, are raised
(life.haima.errors). Context for one request: `client.get(url, extensions={"life": {"purchase_id": "…"}})`, see
`life.haima.x402.driving`. Responses stream; request bodies are kept up to a limit.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Final

import httpx2

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

_NEVER_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)


class AsyncPayingTransport(AsyncDriver[httpx2.Request, httpx2.Response], httpx2.AsyncBaseTransport):
    """An asynchronous httpx2 transport that pays (asyncio only)."""

    never_sent = _NEVER_SENT

    def __init__(
        self, payer: Payer, inner: httpx2.AsyncBaseTransport | None = None, *, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        """`inner` does the HTTP and is closed with this one; the payer is not."""
        super().__init__(payer, max_body_bytes=max_body_bytes)
        self._inner = inner or httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """See httpx2."""
        return await self.handle(request)

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()

    async def send(self, request: httpx2.Request) -> httpx2.Response:
        """See AsyncDriver."""
        return await self._inner.handle_async_request(request)

    async def keep_body(self, request: httpx2.Request, limit_bytes: int) -> tuple[httpx2.Request, bytes | None]:
        """See AsyncDriver."""
        try:
            return request, request.content
        except httpx2.RequestNotRead:
            body, stream = await collect_async(_async(request.stream), limit_bytes)
            return _copy(request, _AsyncStream(stream)), body

    def with_payment(self, request: httpx2.Request, header: str) -> httpx2.Request:
        """See AsyncDriver."""
        return _with_payment(request, header)

    async def drain(self, response: httpx2.Response, limit_bytes: int) -> None:
        """See AsyncDriver."""
        stream = _async(response.stream)
        try:
            await skip_async(stream, limit_bytes)
        finally:
            await stream.aclose()

    def finish(self, response: httpx2.Response, receipt: Receipt) -> httpx2.Response:
        """See AsyncDriver."""
        response.extensions[RECEIPT] = receipt
        if receipt.state != "refused":
            stream, payer = _async(response.stream), self._payer
            response.stream = _WatchedAsync(stream, lambda: payer.note_undelivered(receipt.payment), stream.aclose)
        return response


class PayingTransport(BlockingDriver[httpx2.Request, httpx2.Response], httpx2.BaseTransport):
    """A synchronous httpx2 transport that pays."""

    never_sent = _NEVER_SENT

    def __init__(
        self, payer: BlockingPayer, inner: httpx2.BaseTransport | None = None, *, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        """`inner` does the HTTP and is closed with this one; the payer is not."""
        super().__init__(payer, max_body_bytes=max_body_bytes)
        self._inner = inner or httpx2.HTTPTransport()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """See httpx2."""
        return self.handle(request)

    def close(self) -> None:
        """Close the inner transport."""
        self._inner.close()

    def send(self, request: httpx2.Request) -> httpx2.Response:
        """See BlockingDriver."""
        return self._inner.handle_request(request)

    def keep_body(self, request: httpx2.Request, limit_bytes: int) -> tuple[httpx2.Request, bytes | None]:
        """See BlockingDriver."""
        try:
            return request, request.content
        except httpx2.RequestNotRead:
            body, stream = collect(_sync(request.stream), limit_bytes)
            return _copy(request, _Stream(stream)), body

    def with_payment(self, request: httpx2.Request, header: str) -> httpx2.Request:
        """See BlockingDriver."""
        return _with_payment(request, header)

    def drain(self, response: httpx2.Response, limit_bytes: int) -> None:
        """See BlockingDriver."""
        stream = _sync(response.stream)
        try:
            skip(stream, limit_bytes)
        finally:
            stream.close()

    def finish(self, response: httpx2.Response, receipt: Receipt) -> httpx2.Response:
        """See BlockingDriver."""
        response.extensions[RECEIPT] = receipt
        if receipt.state != "refused":
            stream, payer = _sync(response.stream), self._payer
            response.stream = _Watched(stream, lambda: payer.note_undelivered(receipt.payment), stream.close)
        return response


class _WatchedAsync(WatchedAsyncBody, httpx2.AsyncByteStream):
    pass


class _Watched(WatchedBody, httpx2.SyncByteStream):
    pass


class _AsyncStream(httpx2.AsyncByteStream):
    def __init__(self, parts: AsyncIterable[bytes]) -> None:
        self._parts = parts

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._parts.__aiter__()


class _Stream(httpx2.SyncByteStream):
    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)


def _async(stream: httpx2.AsyncByteStream | httpx2.SyncByteStream) -> httpx2.AsyncByteStream:
    assert isinstance(stream, httpx2.AsyncByteStream)  # httpx2 checks it before the transport and after it
    return stream


def _sync(stream: httpx2.AsyncByteStream | httpx2.SyncByteStream) -> httpx2.SyncByteStream:
    assert isinstance(stream, httpx2.SyncByteStream)  # httpx2 checks it before the transport and after it
    return stream


def _copy(request: httpx2.Request, stream: httpx2.AsyncByteStream | httpx2.SyncByteStream) -> httpx2.Request:
    return httpx2.Request(
        request.method, request.url, headers=request.headers, stream=stream, extensions=request.extensions
    )


def _with_payment(request: httpx2.Request, header: str) -> httpx2.Request:
    paid = _copy(request, request.stream)
    paid.headers[PAYMENT_SIGNATURE] = header
    return paid
