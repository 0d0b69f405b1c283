"""Driving a purchase over an HTTP client of the httpx family: what its two libraries have in common.

`life.haima.x402.purchase` says what happens in which order; here requests are sent, bodies kept for the second try and
responses closed. `transport` binds this to httpx2, `httpx_transport` to httpx.

Per-request context comes in `request.extensions["life"]`, a mapping with any of

    purchase_id        one id, one payment, for ever
    session_id         whose cap it counts against
    task_id            what it is for
    max_amount_micro   the most this call may cost
    repeat             `usual` or `never` (life.haima.x402.purchase)

and the receipt goes out in `response.extensions["life.settlement"]`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Final, Generic, Protocol, TypeVar, get_args

from life.aios.errors import InvalidInputError
from life.haima.payer import Payer
from life.haima.x402.blocking import BlockingPayer
from life.haima.x402.purchase import PurchaseRequest, Receipt, RepeatRule, Reply, Send
from life.haima.x402.wire import PAYMENT_SIGNATURE

CONTEXT: Final = "life"
RECEIPT: Final = "life.settlement"

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
"""How much of a streamed request body is kept for the paid try. A longer one is sent, but not paid for."""

_DRAIN_BYTES: Final = 256 * 1024
"""How much of a 402's body is read to keep its connection; a longer one costs the connection."""

_CONTEXT_KEYS: Final = frozenset(("purchase_id", "session_id", "task_id", "max_amount_micro", "repeat"))
_RULES: Final = frozenset(get_args(RepeatRule))


class Headers(Protocol):
    """Headers by case-insensitive name."""

    def get(self, key: str, /) -> str | None:
        """The value, or None."""
        ...


class HttpRequest(Protocol):
    """The part of a request that is read here."""

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


class HttpResponse(Protocol):
    """The part of a response that is read here."""

    @property
    def status_code(self) -> int:
        """The status."""
        ...

    @property
    def headers(self) -> Headers:
        """The headers."""
        ...


Req = TypeVar("Req", bound=HttpRequest)
Res = TypeVar("Res", bound=HttpResponse)


def purchase_request(request: HttpRequest, body: bytes | None) -> PurchaseRequest:
    """The purchase that a request may become. `body` None: it can't be sent twice. InvalidInputError for a context that
    can't be right; a wrong key in it is an error, because a misspelt ceiling is no ceiling."""
    context = request.extensions.get(CONTEXT)
    url = str(request.url)
    if context is None:
        return PurchaseRequest(request.method, url, body or b"", replayable=body is not None)
    if not isinstance(context, Mapping) or not _CONTEXT_KEYS.issuperset(context):
        raise InvalidInputError(
            f"The request extension {CONTEXT!r} is a mapping with the keys {sorted(_CONTEXT_KEYS)}."
        )
    ceiling = context.get("max_amount_micro")
    if ceiling is not None and (type(ceiling) is not int or ceiling < 0):
        raise InvalidInputError("max_amount_micro is a number of micro-credits (int).")
    repeat = context.get("repeat", "usual")
    if repeat not in _RULES:
        raise InvalidInputError(f"repeat is one of {sorted(_RULES)}.")
    return PurchaseRequest(
        method=request.method,
        url=url,
        body=body or b"",
        purchase_id=_text(context, "purchase_id"),
        session_id=_text(context, "session_id"),
        task_id=_text(context, "task_id"),
        max_amount_micro=ceiling,
        repeat=repeat,
        replayable=body is not None,
    )


def _text(context: Mapping[str, object], key: str) -> str | None:
    value = context.get(key)
    if value is not None and (not isinstance(value, str) or not 0 < len(value) <= 255):
        raise InvalidInputError(f"{key} is text of 1 to 255 characters.")
    return value


def _check_unpaid(request: HttpRequest) -> None:
    if request.headers.get(PAYMENT_SIGNATURE) is not None:
        raise InvalidInputError(
            f"The request carries a {PAYMENT_SIGNATURE} header of its own; this transport makes it."
        )


class AsyncDriver(ABC, Generic[Req, Res]):
    """Drives purchases over an asynchronous transport. A subclass binds it to a library."""

    never_sent: tuple[type[BaseException], ...] = ()
    """What the library raises when not one byte of the request has left."""

    def __init__(self, payer: Payer, *, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._payer = payer
        self._max_body_bytes = max_body_bytes

    @abstractmethod
    async def send(self, request: Req) -> Res:
        """Send over the inner transport."""
        ...

    @abstractmethod
    async def keep_body(self, request: Req, limit_bytes: int) -> tuple[Req, bytes | None]:
        """The request in a form that can be sent, and its body; None when that is longer than the limit."""
        ...

    @abstractmethod
    def with_payment(self, request: Req, header: str) -> Req:
        """A copy that pays. The original stays as it is: what a client makes of it (redirects) carries no signature."""
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
        _check_unpaid(request)
        request, body = await self.keep_body(request, self._max_body_bytes)
        conversation = self._payer.purchase(purchase_request(request, body))
        last: Res | None = None
        try:
            step = next(conversation)
            while True:
                try:
                    if isinstance(step, Send):
                        if last is not None:
                            unwanted, last = last, None
                            await self.drain(unwanted, _DRAIN_BYTES)
                        last = await self.send(
                            request if step.header is None else self.with_payment(request, step.header)
                        )
                        step.reply = Reply(last.status_code, last.headers.get)
                    else:
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
    """Drives purchases over a synchronous transport, for any number of threads: the HTTP happens in the caller's thread,
    the payer's part in its own loop (life.haima.x402.blocking)."""

    never_sent: tuple[type[BaseException], ...] = ()
    """What the library raises when not one byte of the request has left."""

    def __init__(self, payer: BlockingPayer, *, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self._payer = payer
        self._max_body_bytes = max_body_bytes

    @abstractmethod
    def send(self, request: Req) -> Res:
        """Send over the inner transport."""
        ...

    @abstractmethod
    def keep_body(self, request: Req, limit_bytes: int) -> tuple[Req, bytes | None]:
        """The request in a form that can be sent, and its body; None when that is longer than the limit."""
        ...

    @abstractmethod
    def with_payment(self, request: Req, header: str) -> Req:
        """A copy that pays."""
        ...

    @abstractmethod
    def drain(self, response: Res, limit_bytes: int) -> None:
        """Read a response that nobody wants and let go of its connection."""
        ...

    @abstractmethod
    def finish(self, response: Res, receipt: Receipt) -> Res:
        """Put the receipt on the response and watch its body."""
        ...

    def handle(self, request: Req) -> Res:
        """The response to the request, paid for when it had to be."""
        return self._payer.wherever(lambda: self._handle(request))

    def _handle(self, request: Req) -> Res:
        _check_unpaid(request)
        request, body = self.keep_body(request, self._max_body_bytes)
        conversation = self._payer.purchase(purchase_request(request, body))
        last: Res | None = None
        try:
            step = self._payer.advance(conversation)
            while isinstance(step, Send):
                try:
                    if last is not None:
                        unwanted, last = last, None
                        self.drain(unwanted, _DRAIN_BYTES)
                    last = self.send(request if step.header is None else self.with_payment(request, step.header))
                    step.reply = Reply(last.status_code, last.headers.get)
                except BaseException as error:
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

    async def aclose(self) -> None:
        """Nothing to let go of."""


class ChainedBody:
    """The same for synchronous clients."""

    def __init__(self, parts: list[bytes], rest: Iterator[bytes] | None) -> None:
        self._parts = parts
        self._rest = rest

    def __iter__(self) -> Iterator[bytes]:
        yield from self._parts
        if self._rest is not None:
            yield from self._rest

    def close(self) -> None:
        """Nothing to let go of."""


class WatchedAsyncBody:
    """A paid answer's body: breaking off before its end makes the purchase repeatable."""

    def __init__(
        self, inner: AsyncIterable[bytes], lost: Callable[[], None], close: Callable[[], Awaitable[None]]
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
            self._lost()
            raise

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._close()


class WatchedBody:
    """The same for synchronous clients."""

    def __init__(self, inner: Iterable[bytes], lost: Callable[[], None], close: Callable[[], None]) -> None:
        self._inner = inner
        self._lost = lost
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._inner
        except GeneratorExit:
            raise
        except BaseException:
            self._lost()
            raise

    def close(self) -> None:
        """Let go of the connection."""
        self._close()
