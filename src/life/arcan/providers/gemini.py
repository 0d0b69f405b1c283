"""Google's Gemini API, through the official client (extra `gemini`).

Streaming, function calls, images, thinking. Thought signatures are kept with the part that carried them (a call, a text, or
an empty part of its own) and go back on that very part: newer models refuse a call whose signature is missing. No retries
of the client's own, and an HTTP client of ours, so that a cancelled call closes its connection at once.

Source: the API reference of `models.streamGenerateContent`, the guide "Thought signatures", and the client's types.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

import httpx2

from life.aios.errors import MissingExtraError, ProviderError
from life.aios.ports.clock import Clock
from life.aios.ports.provider import Chunk, ModelRequest
from life.arcan.errors import ProviderRateLimitedError, ProviderUnauthorizedError, ProviderUnavailableError
from life.arcan.providers.gemini_answer import VENDOR, GeminiAnswer
from life.arcan.providers.gemini_request import contents, generation_config
from life.arcan.providers.refused_thoughts import RefusedThoughts
from life.arcan.providers.translation import CONNECT_TIMEOUT_S, Effort, ReadImage, load_images
from life.arcan.providers.vendor_errors import connection_error, error_of_status, unreadable

if TYPE_CHECKING:
    from google import genai
    from google.genai import errors, types

DEFAULT_MODEL: Final = "gemini-3.5-flash"
DEFAULT_BASE_URL: Final = "https://generativelanguage.googleapis.com"

_opened: ContextVar[list[httpx2.Response] | None] = ContextVar("gemini_opened", default=None)
"""Where the HTTP client notes the response that it opens for the call being started."""


class GeminiProvider:
    """A Gemini model (life.aios.ports.provider.ModelProvider)."""

    def __init__(
        self,
        *,
        api_key: str,
        clock: Clock,
        model: str = DEFAULT_MODEL,
        base_url: str = DEFAULT_BASE_URL,
        timeout_s: float = 120.0,
        effort: Effort | None = None,
        read_image: ReadImage | None = None,
    ) -> None:
        """`timeout_s` limits every wait for bytes. `effort` sets the thinking level and asks for readable thoughts.
        MissingExtraError without the client."""
        timeout = httpx2.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))
        self._http = httpx2.AsyncClient(timeout=timeout, event_hooks={"response": [_note]})
        self._client = _open_client(api_key, base_url, self._http, timeout_s)
        self._api_key = api_key
        self._clock = clock
        self._model = model
        self._effort = effort
        self._read_image = read_image
        self._refused = RefusedThoughts(self.name)

    @property
    def name(self) -> str:
        """`gemini:<model>`."""
        return f"gemini:{self._model}"

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def stream(self, request: ModelRequest) -> AsyncIterator[Chunk]:
        """See life.aios.ports.provider.ModelProvider."""
        images = await load_images(request, self._read_image)
        answer = self._refused.ask(request, lambda asked: self._attempt(asked, images))
        try:
            async for chunk in answer:
                yield chunk
        finally:
            await answer.aclose()

    async def _attempt(self, request: ModelRequest, images: Mapping[str, str]) -> AsyncGenerator[Chunk, None]:
        from google.genai import errors

        answer = GeminiAnswer(self.name)
        opened: list[httpx2.Response] = []
        pieces: AsyncIterator[types.GenerateContentResponse] | None = None
        try:
            pieces = await self._client.aio.models.generate_content_stream(
                model=self._model,
                contents=contents(request, self.name, images),
                config=generation_config(request, self._effort),
            )
            while (piece := await _next_piece(pieces, opened)) is not None:
                for chunk in answer.take(piece):
                    yield chunk
        except errors.APIError as error:
            raise self._api_error(error, begun=answer.begun) from None
        except httpx2.HTTPError as error:
            raise connection_error(VENDOR, error, begun=answer.begun) from None
        except (
            ValueError,
            TypeError,
            AttributeError,
        ) as error:  # fields that the protocol promises and that are not there
            raise unreadable(VENDOR, error) from None
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()
            for response in opened:
                await response.aclose()
        for chunk in answer.end():
            yield chunk

    def _api_error(self, error: errors.APIError, *, begun: bool) -> ProviderError:
        status = error.code if isinstance(error.code, int) else 500
        message = error.message if isinstance(error.message, str) else ""
        if "API_KEY_INVALID" in str(error.details) or error.status in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
            return ProviderUnauthorizedError(
                f"{VENDOR} refuses the API key ({status}).", details={"vendor": VENDOR, "http_status": status}
            )
        headers: Mapping[str, str] = getattr(error.response, "headers", None) or {}
        mapped = error_of_status(
            VENDOR, status, message, headers=headers, api_key=self._api_key, now_us=self._clock.now_us()
        )
        if isinstance(mapped, ProviderRateLimitedError | ProviderUnavailableError) and mapped.retry_after_us is None:
            mapped.retry_after_us = _retry_delay_us(error.details)
        return mapped


async def _next_piece(
    pieces: AsyncIterator[types.GenerateContentResponse], opened: list[httpx2.Response]
) -> types.GenerateContentResponse | None:
    """The next piece, or None after the last. The request goes out with the first; its response is noted in `opened`."""
    token = _opened.set(opened)
    try:
        return await anext(pieces, None)
    finally:
        _opened.reset(token)


async def _note(response: httpx2.Response) -> None:
    opened = _opened.get()
    if opened is not None:
        opened.append(response)


def _open_client(api_key: str, base_url: str, http: httpx2.AsyncClient, timeout_s: float) -> genai.Client:
    try:
        from google import genai
        from google.genai import types
    except ImportError:
        raise MissingExtraError("The provider 'gemini'", "gemini") from None
    options = types.HttpOptions(
        base_url=base_url,
        api_version="v1beta",
        timeout=int(timeout_s * 1000),
        httpx_async_client=http,
        retry_options=types.HttpRetryOptions(attempts=1),
    )
    return genai.Client(vertexai=False, api_key=api_key, http_options=options)


def _retry_delay_us(details: object) -> int | None:
    """What `google.rpc.RetryInfo` asks for: `retryDelay`, seconds with an `s`."""
    error = details.get("error") if isinstance(details, dict) else None
    infos = error.get("details") if isinstance(error, dict) else None
    for info in infos if isinstance(infos, list) else ():
        delay = info.get("retryDelay") if isinstance(info, dict) else None
        if isinstance(delay, str) and delay.endswith("s"):
            try:
                return max(0, int(float(delay[:-1]) * 1_000_000))
            except (ValueError, OverflowError):
                return None
    return None
