"""Paying through httpx2 and httpx: the two libraries are of one family, and what is done with them is written once.

The classes here are typed with httpx2's; httpx's have the same shape where they are used (`Library` names them all), and
`httpx_transport` says so where it binds them. There are two ways in:

    transports    around any transport: each hop of a redirect is paid (or not) on its own
    auth flows    for clients whose transport is somebody else's: `auth=PaymentAuth(payer)`

An auth flow sits above redirects. It pays where the 402 came from, and takes its signature off every request that a redirect
makes of a paid one. A lost answer reaches the caller as the library's own error there; the payment is noted as one whose
outcome is unknown, and repeating the call sends it again.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable
from typing import ClassVar, Final, NamedTuple

import httpx2

from life.aios.errors import LifeError
from life.haima.mpp.credential import is_credential
from life.haima.payer import Payer
from life.haima.x402.blocking import BlockingPayer
from life.haima.x402.driving import (
    MAX_BODY_BYTES,
    RECEIPT,
    AsyncBody,
    AsyncDriver,
    BlockingDriver,
    Body,
    check_unpaid,
    collect,
    collect_async,
    purchase_request,
    skip,
    skip_async,
)
from life.haima.x402.payment_header import SIGNATURE_HEADERS
from life.haima.x402.purchase import Pause, PurchaseRequest, ReadBody, Receipt, Reply, Send

_SIGNATURES: Final = tuple(name.lower().encode() for name in SIGNATURE_HEADERS)


class Library(NamedTuple):
    """A library's names for the same things."""

    request: type[httpx2.Request]
    request_not_read: type[Exception]
    async_body: type[AsyncBody]
    """That is also the library's AsyncByteStream."""
    body: type[Body]
    """That is also the library's SyncByteStream."""
    never_sent: tuple[type[BaseException], ...]


class AsyncFamilyTransport(AsyncDriver[httpx2.Request, httpx2.Response]):
    """An asynchronous transport that pays (asyncio only)."""

    library: ClassVar[Library]

    def __init__(self, payer: Payer, inner: httpx2.AsyncBaseTransport, *, max_body_bytes: int) -> None:
        super().__init__(payer, max_body_bytes=max_body_bytes)
        self.never_sent = self.library.never_sent
        self._inner = inner

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()

    async def send(self, request: httpx2.Request) -> httpx2.Response:
        """See AsyncDriver."""
        return await self._inner.handle_async_request(request)

    async def prepare(self, request: httpx2.Request, limit_bytes: int) -> tuple[httpx2.Request, PurchaseRequest]:
        """See AsyncDriver."""
        check_unpaid(request.headers.get)
        try:
            return request, purchase_request(request, request.content)
        except self.library.request_not_read:
            assert isinstance(request.stream, AsyncIterable)  # the client checks it
            body, stream = await collect_async(request.stream, limit_bytes)
            request = _copy(self.library, request, self.library.async_body(stream))
            return request, purchase_request(request, body)

    def with_header(self, request: httpx2.Request, name: str, value: str) -> httpx2.Request:
        """See AsyncDriver."""
        paid = _copy(self.library, request, request.stream)
        paid.headers[name] = value
        return paid

    def reply(self, response: httpx2.Response) -> Reply:
        """See AsyncDriver."""
        return Reply(response.status_code, response.headers.get)

    async def peek(self, response: httpx2.Response, limit_bytes: int) -> bytes | None:
        """See AsyncDriver."""
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream) or hasattr(stream, "aclose")
        body, again = await collect_async(stream, limit_bytes)  # type: ignore[arg-type]
        response.stream = self.library.async_body(again, None, stream.aclose)  # type: ignore[assignment]
        return decoded(body, response.headers.get("Content-Encoding"), limit_bytes)

    async def drain(self, response: httpx2.Response, limit_bytes: int) -> None:
        """See AsyncDriver."""
        stream = response.stream
        try:
            await skip_async(stream, limit_bytes)  # type: ignore[arg-type]
        finally:
            await stream.aclose()  # type: ignore[union-attr]

    def finish(self, response: httpx2.Response, receipt: Receipt) -> httpx2.Response:
        """See AsyncDriver."""
        response.extensions[RECEIPT] = receipt
        if receipt.state != "refused":
            stream, payer = response.stream, self._payer
            response.stream = self.library.async_body(  # type: ignore[assignment]
                stream,  # type: ignore[arg-type]
                lambda: payer.note_undelivered(receipt.payment),
                stream.aclose,  # type: ignore[union-attr]
            )
        return response


class FamilyTransport(BlockingDriver[httpx2.Request, httpx2.Response]):
    """A synchronous transport that pays."""

    library: ClassVar[Library]

    def __init__(self, payer: BlockingPayer, inner: httpx2.BaseTransport, *, max_body_bytes: int) -> None:
        super().__init__(payer, max_body_bytes=max_body_bytes)
        self.never_sent = self.library.never_sent
        self._inner = inner

    def close(self) -> None:
        """Close the inner transport."""
        self._inner.close()

    def send(self, request: httpx2.Request) -> httpx2.Response:
        """See AsyncDriver."""
        return self._inner.handle_request(request)

    def prepare(self, request: httpx2.Request, limit_bytes: int) -> tuple[httpx2.Request, PurchaseRequest]:
        """See AsyncDriver."""
        check_unpaid(request.headers.get)
        try:
            return request, purchase_request(request, request.content)
        except self.library.request_not_read:
            assert isinstance(request.stream, Iterable)  # the client checks it
            body, stream = collect(request.stream, limit_bytes)
            request = _copy(self.library, request, self.library.body(stream))
            return request, purchase_request(request, body)

    def with_header(self, request: httpx2.Request, name: str, value: str) -> httpx2.Request:
        """See AsyncDriver."""
        paid = _copy(self.library, request, request.stream)
        paid.headers[name] = value
        return paid

    def reply(self, response: httpx2.Response) -> Reply:
        """See AsyncDriver."""
        return Reply(response.status_code, response.headers.get)

    def peek(self, response: httpx2.Response, limit_bytes: int) -> bytes | None:
        """See AsyncDriver."""
        stream = response.stream
        body, again = collect(stream, limit_bytes)  # type: ignore[arg-type]
        response.stream = self.library.body(again, None, stream.close)  # type: ignore[assignment,union-attr]
        return decoded(body, response.headers.get("Content-Encoding"), limit_bytes)

    def drain(self, response: httpx2.Response, limit_bytes: int) -> None:
        """See AsyncDriver."""
        stream = response.stream
        try:
            skip(stream, limit_bytes)  # type: ignore[arg-type]
        finally:
            stream.close()  # type: ignore[union-attr]

    def finish(self, response: httpx2.Response, receipt: Receipt) -> httpx2.Response:
        """See AsyncDriver."""
        response.extensions[RECEIPT] = receipt
        if receipt.state != "refused":
            stream, payer = response.stream, self._payer
            response.stream = self.library.body(  # type: ignore[assignment]
                stream,  # type: ignore[arg-type]
                lambda: payer.note_undelivered(receipt.payment),
                stream.close,  # type: ignore[union-attr]
            )
        return response


class FamilyAuth:
    """An auth flow that pays: `auth=PaymentAuth(payer)`, with a Payer for asynchronous clients and a BlockingPayer for
    synchronous ones. One flow serves any number of requests at once."""

    requires_request_body = True
    library: ClassVar[Library]

    def __init__(self, payer: Payer | BlockingPayer) -> None:
        self._any_payer = payer

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """See httpx2.Auth. TypeError when this was made with a BlockingPayer."""
        payer = self._any_payer
        if not isinstance(payer, Payer):
            raise TypeError("an asynchronous client needs PaymentAuth(Payer), not a BlockingPayer")
        await request.aread()
        check_unpaid(request.headers.get)
        asked = 0
        given: httpx2.Response | None = None
        while True:
            conversation = payer.purchase(purchase_request(request, request.content))
            response: httpx2.Response | None = None
            is_redirected = False
            receipt: Receipt | None = None
            try:
                step = next(conversation)
                while True:
                    try:
                        if isinstance(step, Send):
                            if step.header is None and given is not None:
                                response, given = given, None
                                is_redirected = False
                                step.reply = _first_hop(response, len(response.history))
                            else:
                                response = yield self._outgoing(request, step)
                                is_redirected = len(response.history) > asked
                                step.reply = _first_hop(response, asked)
                                asked += 1
                        elif isinstance(step, ReadBody):
                            assert response is not None  # there was a reply
                            content = await response.aread()
                            step.body = content if len(content) <= step.limit_bytes else None
                        else:
                            await step.perform()
                    except GeneratorExit:
                        _lose(conversation.throw)
                        raise
                    except BaseException as error:
                        step = conversation.throw(error)
                    else:
                        step = next(conversation)
            except StopIteration as done:
                receipt = done.value
            finally:
                conversation.close()
            assert response is not None  # every conversation sends before it ends
            if receipt is None and is_redirected and response.status_code == 402:
                request, given = response.request, response
                await request.aread()
                continue
            if receipt is not None:
                self._finish(response, receipt)
            return

    def sync_auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        """See httpx2.Auth. TypeError when this was made with a Payer."""
        payer = self._any_payer
        if not isinstance(payer, BlockingPayer):
            raise TypeError("a synchronous client needs PaymentAuth(BlockingPayer), not a Payer")
        request.read()
        check_unpaid(request.headers.get)
        asked = 0
        given: httpx2.Response | None = None
        while True:
            conversation = payer.purchase(purchase_request(request, request.content))
            response: httpx2.Response | None = None
            is_redirected = False
            try:
                step = payer.advance(conversation)
                while isinstance(step, Send | ReadBody | Pause):
                    try:
                        if isinstance(step, Pause):
                            payer.pause(step.duration_us)
                        elif isinstance(step, ReadBody):
                            assert response is not None  # there was a reply
                            content = response.read()
                            step.body = content if len(content) <= step.limit_bytes else None
                        else:
                            if step.header is None and given is not None:
                                response, given = given, None
                                is_redirected = False
                                step.reply = _first_hop(response, len(response.history))
                            else:
                                response = yield self._outgoing(request, step)
                                is_redirected = len(response.history) > asked
                                step.reply = _first_hop(response, asked)
                                asked += 1
                    except GeneratorExit:
                        _lose(lambda error, of=conversation: payer.advance(of, error))
                        raise
                    except BaseException as error:
                        step = payer.advance(conversation, error)
                    else:
                        step = payer.advance(conversation)
            finally:
                payer.close_conversation(conversation)
            assert response is not None  # every conversation sends before it ends
            if step is None and is_redirected and response.status_code == 402:
                request, given = response.request, response
                request.read()
                continue
            if step is not None:
                self._finish(response, step)
            return

    def _outgoing(self, request: httpx2.Request, step: Send) -> httpx2.Request:
        if step.header is None:
            return request
        name, value = step.header
        paid = _copy(self.library, request, request.stream)
        paid.headers[name] = value
        is_async = isinstance(self._any_payer, Payer)
        paid.extensions = {**paid.extensions, "trace": _bound_to(paid.url, paid.extensions.get("trace"), is_async)}
        return paid

    def _finish(self, response: httpx2.Response, receipt: Receipt) -> None:
        response.extensions[RECEIPT] = receipt
        if receipt.state == "refused" or response.is_stream_consumed:
            return
        stream, payer = response.stream, self._any_payer
        lost = lambda: payer.note_undelivered(receipt.payment)  # noqa: E731
        if isinstance(payer, Payer):
            response.stream = self.library.async_body(stream, lost, stream.aclose)  # type: ignore[arg-type,assignment,union-attr]
        else:
            response.stream = self.library.body(stream, lost, stream.close)  # type: ignore[arg-type,assignment,union-attr]


def decoded(body: bytes | None, encoding: str | None, limit_bytes: int) -> bytes | None:
    """A short body without its content encoding; None when that is one we don't undo here, or it grows beyond the limit."""
    if body is None or encoding is None or encoding.strip().lower() == "identity":
        return body
    if encoding.strip().lower() not in ("gzip", "deflate"):
        return None
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    try:
        content = inflate.decompress(body, limit_bytes + 1)
    except zlib.error:
        return None
    return content if len(content) <= limit_bytes else None


def _copy(library: Library, request: httpx2.Request, stream: object) -> httpx2.Request:
    return library.request(
        request.method,
        request.url,
        headers=request.headers,
        stream=stream,  # type: ignore[arg-type]
        extensions=request.extensions,
    )


def _first_hop(response: httpx2.Response, asked: int) -> Reply:
    """What the request itself was answered, whatever redirects made of it. The client's history begins with the responses
    that this flow has had before."""
    hops = response.history[asked:]
    first = hops[0] if hops else response
    return Reply(first.status_code, first.headers.get)


class _AnswerLostError(Exception):
    """The client gave up on the request, and does not say why."""


def _lose(throw: object) -> None:
    assert callable(throw)
    try:
        throw(_AnswerLostError())
    except (LifeError, StopIteration, _AnswerLostError):
        pass  # noted; the caller gets the library's own error


def _is_payment(name: bytes, value: bytes) -> bool:
    name = name.lower()
    return name in _SIGNATURES or (name == b"authorization" and is_credential(value.decode("latin-1")))


def _bound_to(url: httpx2.URL, outer: object, is_async: bool) -> object:
    """A trace that takes the signature off a request to another place than the one it was made for, just before its headers
    leave (httpcore calls it; a redirect copies the request's extensions)."""
    host, target = url.raw_host, url.raw_path

    def strip(event: str, info: object) -> None:
        if not event.endswith("send_request_headers.started") or not isinstance(info, dict):
            return
        request = info.get("request")
        where = getattr(request, "url", None)
        headers = getattr(request, "headers", None)
        if where is None or not isinstance(headers, list):
            return
        same = (where.host, where.target, where.scheme) == (host, target, url.raw_scheme) and (
            where.port in (None, url.port) or (url.port is None and where.port == where.origin.port)
        )
        if not same:
            headers[:] = [pair for pair in headers if not _is_payment(*pair)]

    async def astrip(event: str, info: object) -> None:
        strip(event, info)
        if callable(outer):
            await outer(event, info)

    def sstrip(event: str, info: object) -> None:
        strip(event, info)
        if callable(outer):
            outer(event, info)

    return astrip if is_async else sstrip


__all__ = ["MAX_BODY_BYTES", "AsyncFamilyTransport", "FamilyAuth", "FamilyTransport", "Library", "decoded"]
