"""The smallest possible call that tries a model provider's key.

One word is asked for, with sixteen tokens at most, of the provider's cheapest known model; the first piece of an answer is enough. What the
vendor says becomes an error of ours without the key, which some vendors repeat.

Source: workspace-ui.md WS-FR-5.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Final, NamedTuple, cast

from life.aios.errors import InvalidInputError, ProviderError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.provider import ANSWER_CHUNKS, ChatMessage, ModelRequest, TextBlock
from life.arcan.errors import (
    ProviderRateLimitedError,
    ProviderRejectedError,
    ProviderUnauthorizedError,
    ProviderUnreachableError,
)
from life.arcan.providers.guarded import TimeLimits
from life.arcan.providers.opening import ModelOptions, ProviderOpener
from life.arcan.providers.retry import RetryPolicy
from life.arcan.providers.selection import parse_specification
from life.host.errors import (
    ModelKeyMissingError,
    ModelKeyRefusedError,
    ModelTestFailedError,
    ModelVendorUnreachableError,
    TooManyTestsError,
)
from life.host.model_keys import PLACES, ModelKeys, check_key, check_provider
from life.host.model_list import default_model, smallest_model

TEST_PATIENCE_MS: Final = 20_000
TESTS_A_MINUTE: Final = 10
_MINUTE_US: Final = 60_000_000


class Tested(NamedTuple):
    """A key that the vendor took."""

    model: str
    took_ms: int


class KeyTester:
    """Tries keys, so many a minute."""

    def __init__(self, keys: ModelKeys, environment: Mapping[str, str], clock: Clock, entropy: Entropy) -> None:
        """`environment` is the process's own, without the stored keys."""
        self._keys = keys
        self._environment = environment
        self._clock = clock
        self._entropy = entropy
        self._tested_us: deque[int] = deque()

    async def test(self, provider: str, *, key: str | None = None, model: str = "") -> Tested:
        """Ask `model` (without: the cheapest known) for one word, with `key` (without: the one in force).

        ModelKeyRefusedError, ModelTestFailedError and ModelVendorUnreachableError say what the vendor said;
        ModelKeyMissingError that there is no key; InvalidInputError for a model that is not this provider's."""
        check_provider(provider)
        if key is None:
            key = self._keys.key(provider)
        if not key:
            raise ModelKeyMissingError(f"There is no key for {provider}.", next_step=f"life models key set {provider}")
        check_key(key)
        candidates = self._candidates(provider, model)
        self._count()
        for specification in candidates:
            try:
                return await self._ask(provider, key, specification)
            except ProviderRejectedError as error:
                if specification == candidates[-1]:
                    raise ModelTestFailedError(_without(key, error.message), details={"model": specification}) from None
            except ProviderUnauthorizedError:
                raise ModelKeyRefusedError(
                    f"{provider} does not accept this key.",
                    next_step="Copy it again from the vendor's page, whole, and look whether it was revoked.",
                    details={"provider": provider},
                ) from None
            except ProviderRateLimitedError as error:
                raise ModelTestFailedError(
                    _without(key, error.message),
                    next_step="The vendor knows the key, but takes no call now: look at your credit and limits there.",
                    details={"model": specification},
                ) from None
            except (ProviderUnreachableError, TimeoutError):
                raise ModelVendorUnreachableError(
                    f"{provider} gave no answer.",
                    next_step="Look whether this machine reaches it; the key can be stored without a test.",
                    details={"provider": provider},
                ) from None
            except ProviderError as error:
                raise ModelTestFailedError(_without(key, error.message), details={"model": specification}) from None
        raise AssertionError("there is always a candidate")

    def _candidates(self, provider: str, model: str) -> list[str]:
        """What is asked, in order: a vendor may have withdrawn the cheapest model."""
        if model:
            parts = parse_specification(model)
            kind = "openai" if parts.kind in ("openai-chat", "openai-responses") else parts.kind
            fits = bool(parts.base_url) if provider == "compatible" else kind == provider and not parts.base_url
            if not fits:
                raise InvalidInputError(f"That is no model of {provider}.", details={"provider": provider})
            return [model]
        if provider == "compatible":
            raise InvalidInputError(
                "Which model is to be asked, and where?", next_step="Name it as MODEL@URL, or store the key untested."
            )
        environment = self._environment
        default = f"{provider}:{default_model(provider, environment)}"
        if environment.get(PLACES[provider].address_variable):
            return [default]  # somebody else's server: it has what its operator named
        return list(dict.fromkeys(filter(None, (smallest_model(provider), default))))

    async def _ask(self, provider: str, key: str, specification: str) -> Tested:
        others = {name for place in PLACES.values() for name in place.variables}
        environment = {name: value for name, value in self._environment.items() if name not in others}
        environment[PLACES[provider].variables[0]] = key
        limits = TimeLimits(first_piece_ms=TEST_PATIENCE_MS, idle_ms=TEST_PATIENCE_MS, total_ms=TEST_PATIENCE_MS)
        opener = ProviderOpener(
            environment=environment,
            clock=self._clock,
            entropy=self._entropy,
            options=ModelOptions(time_limits=limits, retry=RetryPolicy(attempts=1)),
        )
        asked = opener(specification)
        request = ModelRequest(
            messages=(ChatMessage("user", (TextBlock("Answer with the one word: yes"),)),), max_output_tokens=16
        )
        began_us = self._clock.monotonic_us()
        try:
            async with asyncio.timeout(TEST_PATIENCE_MS / 1000 + 2), aclosing(asked.stream(request)) as chunks:  # type: ignore[type-var]
                async for chunk in chunks:
                    if isinstance(chunk, ANSWER_CHUNKS):
                        break
        finally:
            close: Callable[[], object] | None = getattr(asked, "aclose", None)
            if close is not None:
                await cast("asyncio.Future[None]", close())
        return Tested(specification, (self._clock.monotonic_us() - began_us) // 1000)

    def _count(self) -> None:
        now_us = self._clock.monotonic_us()
        while self._tested_us and now_us - self._tested_us[0] >= _MINUTE_US:
            self._tested_us.popleft()
        if len(self._tested_us) >= TESTS_A_MINUTE:
            raise TooManyTestsError(f"At most {TESTS_A_MINUTE} tests a minute.", next_step="Wait a minute.")
        self._tested_us.append(now_us)


def _without(key: str, words: str) -> str:
    """A vendor's words, in case it repeated the key."""
    return words.replace(key, "…")
