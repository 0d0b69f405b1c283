"""From a specification to a provider.

    scripted                        the demo assistant
    scripted:FILE                   a script from a TOML or JSON file
    anthropic[:MODEL]               ANTHROPIC_API_KEY, ANTHROPIC_MODEL, ANTHROPIC_BASE_URL
    openai[:MODEL]                  OPENAI_API_KEY, OPENAI_MODEL, OPENAI_BASE_URL
    ollama[:MODEL]                  OLLAMA_MODEL, OLLAMA_BASE_URL; no key
    …@BASE_URL                      any of the last three at another address; a bare model name means Chat Completions

A key goes only where its owner meant it to: an address written into the specification never gets OPENAI_API_KEY or
ANTHROPIC_API_KEY, but LIFE_PROVIDER_API_KEY if that is set. The environment is passed in. Providers that use the network
are wrapped in the shared retry.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.provider import ModelProvider
from life.arcan.errors import ProviderKeyMissingError, UnknownProviderError
from life.arcan.providers.demo import demo_assistant
from life.arcan.providers.retry import RetryingProvider, RetryPolicy
from life.arcan.providers.scripted import ScriptedProvider, load_script

OWN_ADDRESS_KEY: Final = "LIFE_PROVIDER_API_KEY"
"""The key for an address that stands in the specification."""

DEMO_DELTA_DELAY_MS: Final = 12

_USAGE: Final = "Use scripted, scripted:FILE, anthropic[:MODEL], openai[:MODEL], ollama[:MODEL], or MODEL@BASE_URL."


class ProviderSpecification(NamedTuple):
    """A specification taken apart. `kind` is `scripted`, `anthropic`, `openai`, `ollama` or `compatible`."""

    kind: str
    argument: str
    """The model, or the script's file; empty for the default."""
    base_url: str
    """Empty for the kind's own."""


def parse_specification(text: str) -> ProviderSpecification:
    """The parts of a specification; UnknownProviderError when it names no provider."""
    words, at, address = text.strip().partition("@")
    kind, _, argument = words.partition(":")
    if at and not address.startswith(("http://", "https://")):
        raise UnknownProviderError(f"After '@' comes a base URL, not '{address}'.", next_step=_USAGE)
    if kind == "scripted":
        if at:
            raise UnknownProviderError("The scripted provider has no address.", next_step=_USAGE)
        return ProviderSpecification(kind, argument, "")
    if kind in ("anthropic", "openai", "ollama"):
        return ProviderSpecification(kind, argument, address)
    if at and words:
        return ProviderSpecification("compatible", words, address)
    raise UnknownProviderError(f"There is no provider '{text}'.", next_step=_USAGE)


def open_provider(
    specification: str,
    *,
    environment: Mapping[str, str],
    clock: Clock,
    entropy: Entropy,
    retry: RetryPolicy | None = None,
    script_folder: Path | None = None,
) -> ModelProvider:
    """The provider that a specification names. Relative script files are looked for in `script_folder` (by default the
    current folder). ProviderKeyMissingError, MissingExtraError, ScriptError and UnknownProviderError say what is wrong."""
    parts = parse_specification(specification)
    if parts.kind == "scripted":
        if not parts.argument:
            return ScriptedProvider(demo_assistant(delta_delay_ms=DEMO_DELTA_DELAY_MS), clock=clock)
        return ScriptedProvider(load_script((script_folder or Path()) / parts.argument), clock=clock)
    provider = (
        _anthropic(parts, environment, clock) if parts.kind == "anthropic" else _openai(parts, environment, clock)
    )
    return RetryingProvider(provider, clock=clock, entropy=entropy, policy=retry)


def _anthropic(parts: ProviderSpecification, environment: Mapping[str, str], clock: Clock) -> ModelProvider:
    from life.arcan.providers import anthropic  # only who chooses a vendor pays for its imports

    key = _key(parts, environment, "ANTHROPIC_API_KEY")
    if key is None:
        raise ProviderKeyMissingError("anthropic", OWN_ADDRESS_KEY if parts.base_url else "ANTHROPIC_API_KEY")
    return anthropic.AnthropicProvider(
        api_key=key,
        clock=clock,
        model=parts.argument or environment.get("ANTHROPIC_MODEL") or anthropic.DEFAULT_MODEL,
        base_url=parts.base_url or environment.get("ANTHROPIC_BASE_URL") or anthropic.DEFAULT_BASE_URL,
    )


def _openai(parts: ProviderSpecification, environment: Mapping[str, str], clock: Clock) -> ModelProvider:
    from life.arcan.providers import openai_compatible

    if parts.kind == "ollama":
        return openai_compatible.OpenAICompatibleProvider(
            model=parts.argument or environment.get("OLLAMA_MODEL") or openai_compatible.OLLAMA_MODEL,
            clock=clock,
            api_key=_key(parts, environment, "") if parts.base_url else None,
            base_url=parts.base_url or environment.get("OLLAMA_BASE_URL") or openai_compatible.OLLAMA_BASE_URL,
            label="ollama",
        )
    key = _key(parts, environment, "OPENAI_API_KEY")
    if key is None and not parts.base_url:
        raise ProviderKeyMissingError("openai", "OPENAI_API_KEY")
    return openai_compatible.OpenAICompatibleProvider(
        model=parts.argument or environment.get("OPENAI_MODEL") or openai_compatible.DEFAULT_MODEL,
        clock=clock,
        api_key=key,
        base_url=parts.base_url or environment.get("OPENAI_BASE_URL") or openai_compatible.DEFAULT_BASE_URL,
        label="openai" if parts.kind == "openai" else "compatible",
    )


def _key(parts: ProviderSpecification, environment: Mapping[str, str], variable: str) -> str | None:
    """The key that may go to this address."""
    return environment.get(OWN_ADDRESS_KEY if parts.base_url else variable) or None
