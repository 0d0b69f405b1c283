"""The paying transports and the auth flow of `life.haima.x402.transport` for httpx (extra `httpx`).

Importing this module without the extra is a MissingExtraError. Everything that decides is shared; this file binds it to
httpx's classes, which have the shape of httpx2's.
"""

from __future__ import annotations

from typing import Final, cast

import httpx2

from life.aios.errors import MissingExtraError

try:
    import httpx
except ImportError:
    raise MissingExtraError("Paying through httpx", "httpx") from None


from life.haima.payer import Payer
from life.haima.x402.blocking import BlockingPayer
from life.haima.x402.driving import MAX_BODY_BYTES, AsyncBody, Body
from life.haima.x402.httpx_family import AsyncFamilyTransport, FamilyAuth, FamilyTransport, Library


class _AsyncBody(AsyncBody, httpx.AsyncByteStream):
    pass


class _Body(Body, httpx.SyncByteStream):
    pass


HTTPX: Final = Library(
    request=cast(type[httpx2.Request], httpx.Request),
    request_not_read=httpx.RequestNotRead,
    async_body=_AsyncBody,
    body=_Body,
    never_sent=(httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol),
)


class AsyncPayingTransport(AsyncFamilyTransport, httpx.AsyncBaseTransport):
    """An asynchronous httpx transport that pays (asyncio only)."""

    library = HTTPX

    def __init__(
        self, payer: Payer, inner: httpx.AsyncBaseTransport | None = None, *, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        """`inner` does the HTTP and is closed with this one; the payer is not."""
        transport = cast(httpx2.AsyncBaseTransport, inner or httpx.AsyncHTTPTransport())
        super().__init__(payer, transport, max_body_bytes=max_body_bytes)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx."""
        return cast(httpx.Response, await self.handle(cast(httpx2.Request, request)))


class PayingTransport(FamilyTransport, httpx.BaseTransport):
    """A synchronous httpx transport that pays."""

    library = HTTPX

    def __init__(
        self, payer: BlockingPayer, inner: httpx.BaseTransport | None = None, *, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        """`inner` does the HTTP and is closed with this one; the payer is not."""
        transport = cast(httpx2.BaseTransport, inner or httpx.HTTPTransport())
        super().__init__(payer, transport, max_body_bytes=max_body_bytes)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """See httpx."""
        return cast(httpx.Response, self.handle(cast(httpx2.Request, request)))


class PaymentAuth(FamilyAuth, httpx.Auth):  # type: ignore[misc]
    """An httpx auth flow that pays; see `httpx_family` for what it can't do that a transport can."""

    library = HTTPX
