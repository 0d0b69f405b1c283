"""Paying through requests (extra `requests`): an adapter to mount on a session.

    session.mount("https://", PayingAdapter(payer))
    with paying_for(purchase_id="order-1"):
        answer = session.get("https://example.org/report")
    receipt_of(answer)

Everything that decides is shared with the other clients (`purchase`, `driving`). A session follows redirects above the adapter
with the request as it was prepared, so a signature goes nowhere but to the URL it was made for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, Final, cast
from weakref import WeakKeyDictionary

from life.aios.errors import MissingExtraError

try:
    import requests
    from requests.adapters import BaseAdapter, HTTPAdapter
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError
except ImportError:
    raise MissingExtraError("Paying through requests", "requests") from None

from life.haima.x402.blocking import BlockingPayer
from life.haima.x402.context import purchase_of
from life.haima.x402.driving import MAX_BODY_BYTES, BlockingDriver, check_unpaid, collect
from life.haima.x402.purchase import PurchaseRequest, Receipt, Reply

Timeout = float | tuple[float | None, float | None] | None

_CHUNK_BYTES: Final = 16 * 1024
_receipts: WeakKeyDictionary[requests.Response, Receipt] = WeakKeyDictionary()


class NotConnectedError(requests.ConnectionError):
    """No connection was made: not one byte was sent, and nothing was paid."""


def receipt_of(response: requests.Response) -> Receipt | None:
    """What was paid for this response; None when nothing was."""
    return _receipts.get(response)


class PayingAdapter(BaseAdapter):
    """An adapter that pays, for any number of threads."""

    def __init__(
        self, payer: BlockingPayer, inner: BaseAdapter | None = None, *, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        """`inner` does the HTTP and is closed with this one; the payer is not."""
        super().__init__()
        self._payer = payer
        self._inner = inner or HTTPAdapter()
        self._max_body_bytes = max_body_bytes

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Timeout = None,
        verify: bool | str = True,
        cert: str | tuple[str, str] | None = None,
        proxies: dict[str, str] | None = None,
    ) -> requests.Response:
        """See requests."""
        exchange = _Exchange(self._payer, self._inner, max_body_bytes=self._max_body_bytes)
        exchange.options = (timeout, verify, cert, proxies)
        response = exchange.handle(request)
        response.request = request  # what is looked at afterwards carries no signature
        return response

    def close(self) -> None:
        """Close the inner adapter."""
        self._inner.close()


class _Exchange(BlockingDriver[requests.PreparedRequest, requests.Response]):
    never_sent = (NotConnectedError, requests.exceptions.ConnectTimeout, requests.exceptions.InvalidURL)
    options: tuple[Timeout, bool | str, str | tuple[str, str] | None, dict[str, str] | None]

    def __init__(self, payer: BlockingPayer, inner: BaseAdapter, *, max_body_bytes: int) -> None:
        super().__init__(payer, max_body_bytes=max_body_bytes)
        self._inner = inner

    def send(self, request: requests.PreparedRequest) -> requests.Response:
        timeout, verify, cert, proxies = self.options
        try:
            # Always streamed: a session reads the body of what it is given, and nobody else's.
            return self._inner.send(request, stream=True, timeout=timeout, verify=verify, cert=cert, proxies=proxies)
        except requests.ConnectionError as error:
            reason = getattr(error.args[0] if error.args else None, "reason", None)
            if isinstance(reason, NewConnectionError | ConnectTimeoutError):
                raise NotConnectedError(*error.args, request=request) from error
            raise

    def prepare(
        self, request: requests.PreparedRequest, limit_bytes: int
    ) -> tuple[requests.PreparedRequest, PurchaseRequest]:
        check_unpaid(request.headers.get)
        body = request.body
        if isinstance(body, str):
            body = body.encode()
        kept: bytes | None = body or b"" if body is None or isinstance(body, bytes) else None
        if kept is None:
            request = request.copy()
            kept, stream = collect(_parts(cast("IO[bytes] | Iterable[bytes]", body)), limit_bytes)
            request.body = kept if kept is not None else cast(bytes, stream)
        return request, purchase_of(request.method or "GET", request.url or "", kept)

    def with_header(self, request: requests.PreparedRequest, name: str, value: str) -> requests.PreparedRequest:
        paid = request.copy()
        paid.headers[name] = value
        return paid

    def reply(self, response: requests.Response) -> Reply:
        return Reply(response.status_code, response.headers.get)

    def peek(self, response: requests.Response, limit_bytes: int) -> bytes | None:
        body, again = collect(response.raw.stream(_CHUNK_BYTES, decode_content=True), limit_bytes)
        response.raw = _Watched(response.raw, again)
        return body

    def drain(self, response: requests.Response, limit_bytes: int) -> None:
        try:
            for part in response.raw.stream(_CHUNK_BYTES, decode_content=False) if limit_bytes else ():
                limit_bytes -= len(part)
                if limit_bytes <= 0:
                    break
        finally:
            response.close()

    def finish(self, response: requests.Response, receipt: Receipt) -> requests.Response:
        _receipts[response] = receipt
        if receipt.state != "refused":
            payer = self._payer
            response.raw = _Watched(response.raw, None, lambda: payer.note_undelivered(receipt.payment))
        return response


class _Watched:
    """A raw response whose body was read in part already, or which is watched until its end."""

    def __init__(self, raw: object, parts: Iterable[bytes] | None, lost: object = None) -> None:
        self._raw = raw
        self._parts = parts
        self._lost = lost

    def stream(self, amt: int | None = 2**16, decode_content: bool | None = None) -> Iterator[bytes]:
        """As urllib3's."""
        parts = self._parts
        if parts is None:
            parts = cast("Iterable[bytes]", self._raw.stream(amt, decode_content=decode_content))  # type: ignore[attr-defined]
        try:
            yield from parts
        except GeneratorExit:
            raise
        except BaseException:
            if callable(self._lost):
                self._lost()
            raise

    def __getattr__(self, name: str) -> object:
        return getattr(self._raw, name)


def _parts(body: IO[bytes] | Iterable[bytes]) -> Iterator[bytes]:
    if hasattr(body, "read"):
        while part := body.read(_CHUNK_BYTES):
            yield part.encode() if isinstance(part, str) else part
    else:
        yield from body
