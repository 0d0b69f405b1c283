"""Opening providers: the vendor's client, and around it limits, prices, retries, and the chain.

    chain (fallback) → retry → circuit, rate limit, time limits, price → the vendor's provider

One ProviderOpener serves a whole process: providers that reach the same service at the same address share its circuit and
its rate limit, whichever session opened them. Clients, and their imports, are opened when they are chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.provider import ModelProvider
from life.arcan.errors import ProviderKeyMissingError, UnknownProviderError
from life.arcan.providers.circuit import Circuit
from life.arcan.providers.demo import demo_assistant
from life.arcan.providers.fallback import FallbackProvider
from life.arcan.providers.guarded import GuardedProvider, TimeLimits
from life.arcan.providers.pricing import price_table
from life.arcan.providers.rate_limit import RateLimiter
from life.arcan.providers.recording import RecordingProvider, ReplayProvider
from life.arcan.providers.retry import RetryingProvider, RetryPolicy
from life.arcan.providers.scripted import ScriptedProvider, load_script
from life.arcan.providers.selection import (
    OWN_ADDRESS_KEY,
    ProviderSpecification,
    key_for,
    parse_chain,
    parse_record,
)
from life.arcan.providers.translation import Effort, ReadImage

DEMO_DELTA_DELAY_MS: Final = 12

_KEY_VARIABLES: Final = (
    OWN_ADDRESS_KEY,
    "ANTHROPIC_API_KEY",
    "OPENAI_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
)
"""What never reaches a recording."""


class ModelOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How models are asked; the same for every provider of a process."""

    effort: Effort | None = None
    """How deeply models that can are to think; None: as they do."""
    tiers: Mapping[str, str] = {}
    """Specification by tier."""
    prices: tuple[str, ...] = ()
    """Prices of one's own (`life.arcan.providers.pricing.price_table`)."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """Limits per service and address."""
    time_limits: TimeLimits = TimeLimits()
    retry: RetryPolicy = RetryPolicy()


class ProviderOpener:
    """Opens providers by specification. Not for use from several event loops at once."""

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        clock: Clock,
        entropy: Entropy,
        options: ModelOptions | None = None,
        read_image: ReadImage | None = None,
        folder: Path | None = None,
    ) -> None:
        """`read_image` gives the bytes of a blob; without it conversations with images are refused. Relative files are
        looked for in `folder` (by default the current one). InvalidInputError for a price that can't be read."""
        self._environment = environment
        self._clock = clock
        self._entropy = entropy
        self._options = options or ModelOptions()
        self._read_image = read_image
        self._folder = folder or Path()
        self._prices = price_table(self._options.prices)
        self._circuits: dict[str, Circuit] = {}
        self._limiters: dict[str, RateLimiter] = {}

    def __call__(self, specification: str) -> ModelProvider:
        """The provider that a specification names. ProviderKeyMissingError, MissingExtraError, ScriptError,
        ModelRecordingError and UnknownProviderError say what is wrong."""
        return self._open(specification, ())

    def _open(self, specification: str, within: tuple[str, ...]) -> ModelProvider:
        record = parse_record(specification)
        if record is not None:
            secrets = [self._environment.get(name, "") for name in _KEY_VARIABLES]
            return RecordingProvider(self._open(record.inner, within), self._folder / record.file, secrets=secrets)
        chain = parse_chain(specification)
        opened = [self._single(parts, within, is_last=parts is chain[-1]) for parts in chain]
        return opened[0] if len(opened) == 1 else FallbackProvider(opened)

    def _single(self, parts: ProviderSpecification, within: tuple[str, ...], *, is_last: bool) -> ModelProvider:
        if parts.kind == "scripted":
            if not parts.argument:
                return ScriptedProvider(demo_assistant(delta_delay_ms=DEMO_DELTA_DELAY_MS), clock=self._clock)
            return ScriptedProvider(load_script(self._folder / parts.argument), clock=self._clock)
        if parts.kind == "replay":
            return ReplayProvider(self._folder / parts.argument)
        if parts.kind == "tier":
            return self._tier(parts.argument, within)
        return self._vendor(parts, is_last=is_last)

    def _tier(self, tier: str, within: tuple[str, ...]) -> ModelProvider:
        specification = self._options.tiers.get(tier, "")
        if not specification or tier in within:
            raise UnknownProviderError(
                f"No provider is set for the tier '{tier}'.", next_step=f"Set model.tiers.{tier} in config.toml."
            )
        return self._open(specification, (*within, tier))

    def _vendor(self, parts: ProviderSpecification, *, is_last: bool) -> ModelProvider:
        provider, vendor, service = self._client(parts)
        guarded = GuardedProvider(
            provider,
            clock=self._clock,
            circuit=self._circuits.setdefault(service, Circuit(self._clock)),
            limiter=self._limiter(service),
            prices=self._prices,
            vendor=vendor,
            limits=self._options.time_limits,
        )
        policy = msgspec.structs.replace(self._options.retry, waits_for_circuit=is_last)
        return RetryingProvider(guarded, clock=self._clock, entropy=self._entropy, policy=policy)

    def _limiter(self, service: str) -> RateLimiter:
        limiter = self._limiters.get(service)
        if limiter is None:
            limiter = self._limiters[service] = RateLimiter(
                self._clock,
                requests_per_minute=self._options.requests_per_minute,
                tokens_per_minute=self._options.tokens_per_minute,
            )
        return limiter

    def _client(self, parts: ProviderSpecification) -> tuple[ModelProvider, str, str]:
        """The vendor's provider, whose prices apply to it (empty for services of others), and the service that it is."""
        if parts.kind == "anthropic":
            return self._anthropic(parts)
        if parts.kind == "gemini":
            return self._gemini(parts)
        own_address = parts.base_url or self._environment.get("OPENAI_BASE_URL")
        if parts.kind == "openai-responses" or (parts.kind == "openai" and not own_address):
            return self._openai_responses(parts)
        return self._chat(parts)

    def _anthropic(self, parts: ProviderSpecification) -> tuple[ModelProvider, str, str]:
        from life.arcan.providers import anthropic  # only who chooses a vendor pays for its imports

        url = parts.base_url or self._environment.get("ANTHROPIC_BASE_URL") or anthropic.DEFAULT_BASE_URL
        provider = anthropic.AnthropicProvider(
            api_key=self._key(parts, "anthropic", "ANTHROPIC_API_KEY"),
            clock=self._clock,
            model=parts.argument or self._environment.get("ANTHROPIC_MODEL") or anthropic.DEFAULT_MODEL,
            base_url=url,
            timeout_s=self._wait_s(),
            effort=self._options.effort,
            read_image=self._read_image,
        )
        return provider, "anthropic" if url == anthropic.DEFAULT_BASE_URL else "", url

    def _gemini(self, parts: ProviderSpecification) -> tuple[ModelProvider, str, str]:
        from life.arcan.providers import gemini

        url = parts.base_url or self._environment.get("GEMINI_BASE_URL") or gemini.DEFAULT_BASE_URL
        provider = gemini.GeminiProvider(
            api_key=self._key(parts, "gemini", "GEMINI_API_KEY", "GOOGLE_API_KEY"),
            clock=self._clock,
            model=parts.argument or self._environment.get("GEMINI_MODEL") or gemini.DEFAULT_MODEL,
            base_url=url,
            timeout_s=self._wait_s(),
            effort=self._options.effort,
            read_image=self._read_image,
        )
        return provider, "gemini" if url == gemini.DEFAULT_BASE_URL else "", url

    def _openai_responses(self, parts: ProviderSpecification) -> tuple[ModelProvider, str, str]:
        from life.arcan.providers import openai_responses

        url = parts.base_url or self._environment.get("OPENAI_BASE_URL") or openai_responses.DEFAULT_BASE_URL
        provider = openai_responses.OpenAIResponsesProvider(
            api_key=self._key(parts, "openai", "OPENAI_API_KEY"),
            clock=self._clock,
            model=parts.argument or self._environment.get("OPENAI_MODEL") or openai_responses.DEFAULT_MODEL,
            base_url=url,
            timeout_s=self._wait_s(),
            effort=self._options.effort,
            read_image=self._read_image,
        )
        return provider, "openai" if url == openai_responses.DEFAULT_BASE_URL else "", url

    def _chat(self, parts: ProviderSpecification) -> tuple[ModelProvider, str, str]:
        from life.arcan.providers import openai_compatible as chat

        if parts.kind == "ollama":
            label, key = "ollama", key_for(parts, self._environment)
            model = parts.argument or self._environment.get("OLLAMA_MODEL") or chat.OLLAMA_MODEL
            url = parts.base_url or self._environment.get("OLLAMA_BASE_URL") or chat.OLLAMA_BASE_URL
        else:
            label = "compatible" if parts.kind == "compatible" else parts.kind
            key = key_for(parts, self._environment, "OPENAI_API_KEY")
            if key is None and not parts.base_url:
                raise ProviderKeyMissingError("openai", "OPENAI_API_KEY")
            model = parts.argument or self._environment.get("OPENAI_MODEL") or chat.DEFAULT_MODEL
            url = parts.base_url or self._environment.get("OPENAI_BASE_URL") or chat.DEFAULT_BASE_URL
        provider = chat.OpenAICompatibleProvider(
            model=model,
            clock=self._clock,
            api_key=key,
            base_url=url,
            label=label,
            timeout_s=self._wait_s(),
            effort=self._options.effort,
            read_image=self._read_image,
        )
        return provider, "openai" if url == chat.DEFAULT_BASE_URL else "", url

    def _key(self, parts: ProviderSpecification, provider: str, *variables: str) -> str:
        key = key_for(parts, self._environment, *variables)
        if key is None:
            raise ProviderKeyMissingError(provider, OWN_ADDRESS_KEY if parts.base_url else variables[0])
        return key

    def _wait_s(self) -> float:
        """The client's own limit for a wait for bytes: a little beyond ours, which says it better."""
        limits = self._options.time_limits
        return max(limits.first_piece_ms, limits.idle_ms) / 1000 + 5


def open_provider(
    specification: str,
    *,
    environment: Mapping[str, str],
    clock: Clock,
    entropy: Entropy,
    retry: RetryPolicy | None = None,
    script_folder: Path | None = None,
) -> ModelProvider:
    """One provider by itself, for programs that need no more. See ProviderOpener."""
    options = ModelOptions(retry=retry or RetryPolicy())
    opener = ProviderOpener(
        environment=environment, clock=clock, entropy=entropy, options=options, folder=script_folder
    )
    return opener(specification)
