"""Anthropic's Messages API, through the official client (extra `anthropic`).

Streaming, structured replay of tool calls, results, images and thinking, no retries of the client's own: those stand in
`life.arcan.providers.retry`. Tool input that is not a JSON object stays the text it was, for the runtime to report back; it
is never executed as `{}`.

Prompt caching: at most four breakpoints are allowed; three are used. One closes the frozen prefix (tools and system
prompt), one stands at the end of the conversation and one at the end of the user turn before, where the request before
this one had its last: so each request reads what the one before wrote. A resumed conversation is the same bytes, so its
prefix is found again.

Thinking: signed blocks and redacted ones go back unchanged, in their places, with the vendor's own call ids. Newer models
bind a signature to everything before it (see `life.arcan.providers.refused_thoughts`).

Source: arcan.md §4.3; the API's documentation of streaming (event types message_start … message_stop), prompt caching
and preserved thinking.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import TYPE_CHECKING, Final

import httpx2

from life.aios.errors import MissingExtraError, ProviderError
from life.aios.ports.clock import Clock
from life.aios.ports.provider import Chunk, ModelRequest
from life.arcan.providers.anthropic_answer import VENDOR, AnthropicAnswer
from life.arcan.providers.anthropic_request import message_params, system_param, tool_params
from life.arcan.providers.refused_thoughts import RefusedThoughts
from life.arcan.providers.translation import CONNECT_TIMEOUT_S, Effort, ReadImage, load_images
from life.arcan.providers.vendor_errors import connection_error, error_of_status, error_of_type, unreadable

if TYPE_CHECKING:
    import anthropic
    from anthropic import AsyncAnthropic, AsyncStream
    from anthropic.types import RawMessageStreamEvent

DEFAULT_MODEL: Final = "claude-sonnet-5-5"
DEFAULT_BASE_URL: Final = "https://api.anthropic.com"


class AnthropicProvider:
    """A Claude model (life.aios.ports.provider.ModelProvider)."""

    def __init__(
        self,
        *,
        api_key: str,
        clock: Clock,
        model: str = DEFAULT_MODEL,
        base_url: str = DEFAULT_BASE_URL,
        timeout_s: float = 120.0,
        prompt_caching: bool | None = None,
        effort: Effort | None = None,
        read_image: ReadImage | None = None,
    ) -> None:
        """`timeout_s` limits every wait for bytes, not the whole answer. `prompt_caching` is on by default at Anthropic's
        own address; other servers may not know it. `effort` asks for thinking of that depth with a readable summary;
        without it the model does as it does. MissingExtraError without the client."""
        self._client = _open_client(api_key=api_key, base_url=base_url, timeout_s=timeout_s)
        self._api_key = api_key
        self._clock = clock
        self._model = model
        self._caching = base_url == DEFAULT_BASE_URL if prompt_caching is None else prompt_caching
        self._effort = effort
        self._read_image = read_image
        self._refused = RefusedThoughts(self.name)

    @property
    def name(self) -> str:
        """`anthropic:<model>`."""
        return f"anthropic:{self._model}"

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

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
        import anthropic

        answer = AnthropicAnswer(self.name)
        events: AsyncStream[RawMessageStreamEvent] | None = None
        try:
            events = await self._client.messages.create(
                model=self._model,
                max_tokens=request.max_output_tokens,
                messages=message_params(request, self.name, images, caching=self._caching),
                system=system_param(request, caching=self._caching) or anthropic.omit,
                tools=tool_params(request, caching=self._caching and not request.system) or anthropic.omit,
                thinking={"type": "adaptive", "display": "summarized"} if self._effort else anthropic.omit,
                output_config={"effort": self._effort} if self._effort else anthropic.omit,
                stream=True,
            )
            async for event in events:
                for chunk in answer.take(event):
                    yield chunk
        except anthropic.APIStatusError as error:
            raise self._status_error(error) from None
        except (anthropic.APIConnectionError, httpx2.HTTPError) as error:
            raise connection_error(VENDOR, error, begun=answer.begun) from None
        except (
            ValueError,
            TypeError,
            AttributeError,
        ) as error:  # fields that the protocol promises and that are not there
            raise unreadable(VENDOR, error) from None
        finally:
            if events is not None:
                await events.close()
        yield answer.end()

    def _status_error(self, error: anthropic.APIStatusError) -> ProviderError:
        message = error.api_message or error.message
        if error.status_code < 400:  # announced inside a stream that had begun well
            return error_of_type(VENDOR, error.type or "", message, api_key=self._api_key)
        return error_of_status(
            VENDOR,
            error.status_code,
            message,
            headers=error.response.headers,
            api_key=self._api_key,
            now_us=self._clock.now_us(),
        )


def _open_client(*, api_key: str, base_url: str, timeout_s: float) -> AsyncAnthropic:
    try:
        import anthropic
    except ImportError:
        raise MissingExtraError("The provider 'anthropic'", "anthropic") from None
    timeout = httpx2.Timeout(timeout_s, connect=min(timeout_s, CONNECT_TIMEOUT_S))
    return anthropic.AsyncAnthropic(api_key=api_key, base_url=base_url, timeout=timeout, max_retries=0)
