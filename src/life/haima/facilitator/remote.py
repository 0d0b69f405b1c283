"""Any x402 facilitator over HTTP.

The body is read whatever the status says, because facilitators disagree about statuses: one answers `settlement_pending`
with 200, another with 500 (x402.md §4). Of a settlement's failures three kinds are told apart:

    a refusal                    the answer says so; it is returned
    nothing was sent             no connection, or a 4xx without a settlement: FacilitatorUnavailableError
    nobody knows                 the answer got lost, 5xx without a settlement, `unexpected_settle_error`: OutcomeUnknownError

`settlement_pending` is asked again with the identical bytes a bounded number of times, then returned as it is. Nothing else
is repeated here, and never with another payload (x402.md §16.6).
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal, TypeVar
from urllib.parse import urlsplit

import httpx2
import msgspec

from life.aios.errors import InvalidInputError
from life.aios.ports.clock import Clock
from life.haima.errors import FacilitatorUnavailableError, OutcomeUnknownError
from life.haima.facilitator.port import REPEATABLE_SETTLEMENT
from life.haima.x402 import codes
from life.haima.x402.wire import (
    X402_VERSION,
    FacilitatorRequest,
    PaymentPayload,
    PaymentRequirements,
    SettlementResponse,
    SupportedResponse,
    VerifyResponse,
    to_raw,
)

Endpoint = Literal["verify", "settle", "supported"]
MakeHeaders = Callable[[Endpoint], Mapping[str, str] | Awaitable[Mapping[str, str]]]
"""Gives the headers of a call, such as a bearer token; may be a coroutine function."""

DEFAULT_TIMEOUT_S: Final = 30.0
PENDING_RESENDS: Final = 3
PENDING_PAUSE_US: Final = 2_000_000
MAX_ANSWER_BYTES: Final = 1024 * 1024
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_NEVER_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_T = TypeVar("_T", bound=msgspec.Struct)

_encoder: Final = msgspec.json.Encoder()
_verify: Final = msgspec.json.Decoder(VerifyResponse)
_settlement: Final = msgspec.json.Decoder(SettlementResponse)
_supported: Final = msgspec.json.Decoder(SupportedResponse)


class RemoteFacilitator:
    """A Facilitator behind a URL. Close it with `aclose`."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        headers: MakeHeaders | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        pending_resends: int = PENDING_RESENDS,
        pending_pause_us: int = PENDING_PAUSE_US,
        allow_plain_http: bool = False,
    ) -> None:
        """`url` without a trailing slash is the base of /verify, /settle and /supported. Plain HTTP is refused except on
        loopback, unless `allow_plain_http` says that the network in between is trusted. `timeout_s` bounds each call."""
        split = urlsplit(url)
        if split.scheme not in ("http", "https") or not split.hostname:
            raise InvalidInputError("The facilitator's address is not a valid http or https URL.")
        if split.scheme == "http" and split.hostname not in _LOOPBACK and not allow_plain_http:
            raise InvalidInputError(
                "The facilitator's address is plain HTTP.", next_step="Use https, or allow plain HTTP explicitly."
            )
        self._name = split.hostname if split.port is None else f"{split.hostname}:{split.port}"
        self._url = url.rstrip("/")
        self._clock = clock
        self._make_headers = headers
        self._timeout_s = timeout_s
        self._pending_resends = pending_resends
        self._pending_pause_us = pending_pause_us
        self._repeatable: bool | None = None
        self._client = httpx2.AsyncClient(
            timeout=timeout_s, follow_redirects=False, trust_env=split.hostname not in _LOOPBACK
        )

    async def repeatable(self) -> bool:
        """Whether /supported names the extension that says so; asked once."""
        if self._repeatable is None:
            self._repeatable = REPEATABLE_SETTLEMENT in (await self.supported()).extensions
        return self._repeatable

    async def verify(self, payload: PaymentPayload, requirements: PaymentRequirements) -> VerifyResponse:
        """POST /verify. FacilitatorUnavailableError when there is no readable answer."""
        status, body = await self._call("verify", _request(payload, requirements))
        answer = _decode(_verify, body)
        if answer is None:
            raise self._unavailable("verify", status)
        if not answer.is_valid and answer.invalid_reason in (None, codes.UNEXPECTED_VERIFY_ERROR) and status >= 500:
            raise self._unavailable("verify", status)
        return answer

    async def settle(self, payload: PaymentPayload, requirements: PaymentRequirements) -> SettlementResponse:
        """POST /settle. FacilitatorUnavailableError: nothing was sent. OutcomeUnknownError: something may have been."""
        body = _request(payload, requirements)
        answer = await self._settle_once(body)
        for _ in range(self._pending_resends):
            if answer.success or answer.error_reason != codes.SETTLEMENT_PENDING:
                break
            await self._clock.sleep_us(self._pending_pause_us)
            try:
                answer = await self._settle_once(body)
            except (FacilitatorUnavailableError, OutcomeUnknownError):
                break  # pending is still the best that is known
        return answer

    async def supported(self) -> SupportedResponse:
        """GET /supported."""
        status, body = await self._call("supported", None)
        answer = _decode(_supported, body)
        if status != 200 or answer is None:
            raise self._unavailable("supported", status)
        return answer

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _settle_once(self, body: bytes) -> SettlementResponse:
        status, content = await self._call("settle", body)
        answer = _decode(_settlement, content)
        if answer is None:
            if 400 <= status < 500:
                raise self._unavailable("settle", status)
            raise self._unknown(f"HTTP {status} without a settlement")
        if not answer.success and answer.error_reason in (None, "", codes.UNEXPECTED_SETTLE_ERROR):
            raise self._unknown(answer.error_reason or "no reason")
        return answer

    async def _call(self, endpoint: Endpoint, body: bytes | None) -> tuple[int, bytes]:
        """Status and body. A connection that was never made is FacilitatorUnavailableError; an answer that got lost is
        that, too, for the calls that change nothing, and OutcomeUnknownError for /settle."""
        headers = {"accept": "application/json"}
        if body is not None:
            headers["content-type"] = "application/json"
        if self._make_headers is not None:
            made = self._make_headers(endpoint)
            headers.update(await made if inspect.isawaitable(made) else made)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._exchange("GET" if body is None else "POST", endpoint, headers, body)
        except _NEVER_SENT as error:
            raise FacilitatorUnavailableError(
                f"The facilitator {self._name} can't be reached ({type(error).__name__})."
            ) from None
        except (httpx2.HTTPError, OSError, TimeoutError) as error:
            if endpoint == "settle":
                raise self._unknown(type(error).__name__) from None
            raise FacilitatorUnavailableError(
                f"The facilitator {self._name} did not answer /{endpoint} ({type(error).__name__})."
            ) from None

    async def _exchange(
        self, method: str, endpoint: Endpoint, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        url = f"{self._url}/{endpoint}"
        async with self._client.stream(method, url, content=body, headers=dict(headers)) as response:
            content = b""
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_ANSWER_BYTES:
                    return response.status_code, b""
            return response.status_code, content

    def _unavailable(self, endpoint: Endpoint, status: int) -> FacilitatorUnavailableError:
        return FacilitatorUnavailableError(f"The facilitator {self._name} answered /{endpoint} with HTTP {status}.")

    def _unknown(self, why: str) -> OutcomeUnknownError:
        return OutcomeUnknownError(f"The facilitator {self._name} did not say what became of the settlement ({why}).")


def _request(payload: PaymentPayload, requirements: PaymentRequirements) -> bytes:
    """The same payment always gives the same bytes."""
    return _encoder.encode(
        FacilitatorRequest(
            x402_version=X402_VERSION, payment_payload=to_raw(payload), payment_requirements=to_raw(requirements)
        )
    )


def _decode(decoder: msgspec.json.Decoder[_T], body: bytes) -> _T | None:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
