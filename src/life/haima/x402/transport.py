"""Paying through httpx2: everything a client does goes through these, and what costs money is paid for.

    AsyncPayingTransport(payer)          around httpx2.AsyncHTTPTransport, or any other
    PayingTransport(blocking_payer)      around httpx2.HTTPTransport, or any other
    PaymentAuth(payer)                   as a client's or a request's `auth`, where the transport is somebody else's

A response that was paid for has its receipt in `response.extensions["life.settlement"]`; a refusal of the payee comes
back as its 402, with a receipt that says so. What the payer itself refuses, and outcomes that nobody knows, are raised
(life.haima.errors). Context for one request: `client.get(url, extensions={"life": {"purchase_id": "…"}})`, see
`life.haima.x402.context`. Responses stream; request bodies are kept up to a limit.
"""

from __future__ import annotations

from typing import Final

import httpx2

from life.haima.payer import Payer
from life.haima.x402.blocking import BlockingPayer
from life.haima.x402.driving import MAX_BODY_BYTES, AsyncBody, Body
from life.haima.x402.httpx_family import AsyncFamilyTransport, FamilyAuth, FamilyTransport, Library


class _AsyncBody(AsyncBody, httpx2.AsyncByteStream):
    pass


class _Body(Body, httpx2.SyncByteStream):
    pass


HTTPX2: Final = Library(
    request=httpx2.Request,
    request_not_read=httpx2.RequestNotRead,
    async_body=_AsyncBody,
    body=_Body,
    never_sent=(httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol),
)


class AsyncPayingTransport(AsyncFamilyTransport, httpx2.AsyncBaseTransport):
    """An asynchronous httpx2 transport that pays (asyncio only)."""

    library = HTTPX2

    def __init__(
        self, payer: Payer, inner: httpx2.AsyncBaseTransport | None = None, *, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        """`inner` does the HTTP and is closed with this one; the payer is not."""
        super().__init__(payer, inner or httpx2.AsyncHTTPTransport(), max_body_bytes=max_body_bytes)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """See httpx2."""
        return await self.handle(request)


class PayingTransport(FamilyTransport, httpx2.BaseTransport):
    """A synchronous httpx2 transport that pays."""

    library = HTTPX2

    def __init__(
        self, payer: BlockingPayer, inner: httpx2.BaseTransport | None = None, *, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        """`inner` does the HTTP and is closed with this one; the payer is not."""
        super().__init__(payer, inner or httpx2.HTTPTransport(), max_body_bytes=max_body_bytes)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """See httpx2."""
        return self.handle(request)


class PaymentAuth(FamilyAuth, httpx2.Auth):
    """An httpx2 auth flow that pays; see `httpx_family` for what it can't do that a transport can."""

    library = HTTPX2
