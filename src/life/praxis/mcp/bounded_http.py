"""HTTP answers of MCP servers have an end: a body that is no event stream is cut off at a limit, before it fills the memory.

Event streams are limited per event by the SDK.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import httpx2

MAX_BODY_BYTES: Final = 8 * 1024 * 1024


class BoundedTransport(httpx2.AsyncBaseTransport):
    """A transport around another one."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, *, limit_bytes: int = MAX_BODY_BYTES) -> None:
        self._inner = inner
        self._limit_bytes = limit_bytes

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer, its body bounded unless it is an event stream."""
        response = await self._inner.handle_async_request(request)
        if response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            return response
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_Bounded(stream, self._limit_bytes),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close what it goes through."""
        await self._inner.aclose()


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, limit_bytes: int) -> None:
        self._inner = inner
        self._left_bytes = limit_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._left_bytes -= len(chunk)
            if self._left_bytes < 0:
                raise httpx2.ReadError("the answer is larger than is taken")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
