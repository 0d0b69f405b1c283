"""From a specification to a provider.

    scripted                        the demo assistant
    scripted:FILE                   a script from a TOML or JSON file
    anthropic[:MODEL]               ANTHROPIC_API_KEY, ANTHROPIC_MODEL, ANTHROPIC_BASE_URL
    openai[:MODEL]                  the Responses API; OPENAI_API_KEY, OPENAI_MODEL
    openai-chat[:MODEL]             Chat Completions; the same and OPENAI_BASE_URL
    gemini[:MODEL]                  GEMINI_API_KEY (or GOOGLE_API_KEY), GEMINI_MODEL, GEMINI_BASE_URL
    ollama[:MODEL]                  OLLAMA_MODEL, OLLAMA_BASE_URL; no key
    …@BASE_URL                      the same at another address; a bare model name means Chat Completions
    SPEC, SPEC, …                   a chain: the next is asked when one can't answer
    tier:small|standard|large       what the settings name for this tier
    record:FILE=SPEC                the same, and every answer is written into FILE
    replay:FILE                     answers from such a file

`openai` at another address (in the specification, or by OPENAI_BASE_URL) means Chat Completions, which is what compatible
servers speak; `openai-responses` insists on the Responses API.

A key goes only where its owner meant it to: an address written into the specification never gets a vendor's key, but
LIFE_PROVIDER_API_KEY if that is set. The environment is passed in. How providers are opened, with what around them, is
`life.arcan.providers.opening`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from life.arcan.errors import UnknownProviderError

OWN_ADDRESS_KEY: Final = "LIFE_PROVIDER_API_KEY"
"""The key for an address that stands in the specification."""

TIERS: Final = ("small", "standard", "large")
VENDORS: Final = ("anthropic", "openai", "openai-chat", "openai-responses", "gemini", "ollama")

_USAGE: Final = (
    "Use scripted[:FILE], anthropic, openai, openai-chat, gemini or ollama with [:MODEL][@BASE_URL], MODEL@BASE_URL, "
    "tier:small|standard|large, record:FILE=SPEC, replay:FILE, or several with commas between them."
)


class ProviderSpecification(NamedTuple):
    """A specification of one provider taken apart."""

    kind: str
    """`scripted`, `replay`, `tier`, one of VENDORS, or `compatible`."""
    argument: str
    """The model, the file, or the tier; empty for the default."""
    base_url: str
    """Empty for the kind's own."""


class RecordSpecification(NamedTuple):
    """`record:FILE=SPEC`."""

    file: str
    inner: str


def parse_record(text: str) -> RecordSpecification | None:
    """The parts of a `record:` specification, or None for any other."""
    words = text.strip()
    if not words.startswith("record:"):
        return None
    file, equals, inner = words.removeprefix("record:").partition("=")
    if not (file.strip() and equals and inner.strip()):
        raise UnknownProviderError(f"'{text}' does not say which file and which provider.", next_step=_USAGE)
    return RecordSpecification(file.strip(), inner.strip())


def parse_chain(text: str) -> list[ProviderSpecification]:
    """The providers of a chain, in order; a single one is a chain of one."""
    return [parse_specification(part) for part in text.split(",")]


def parse_specification(text: str) -> ProviderSpecification:
    """The parts of a specification of one provider; UnknownProviderError when it names none."""
    words, at, address = text.strip().partition("@")
    kind, _, argument = words.partition(":")
    if at and not address.startswith(("http://", "https://")):
        raise UnknownProviderError(f"After '@' comes a base URL, not '{address}'.", next_step=_USAGE)
    if kind in ("scripted", "replay", "tier"):
        if at:
            raise UnknownProviderError(f"The provider '{kind}' has no address.", next_step=_USAGE)
        if kind == "tier" and argument not in TIERS:
            raise UnknownProviderError(f"There is no tier '{argument}'.", next_step="Use small, standard or large.")
        if kind == "replay" and not argument:
            raise UnknownProviderError("A replay needs its file.", next_step=_USAGE)
        return ProviderSpecification(kind, argument, "")
    if kind in VENDORS:
        return ProviderSpecification(kind, argument, address)
    if at and words:
        return ProviderSpecification("compatible", words, address)
    raise UnknownProviderError(f"There is no provider '{text}'.", next_step=_USAGE)


def key_for(parts: ProviderSpecification, environment: Mapping[str, str], *variables: str) -> str | None:
    """The key that may go to this provider's address: of the vendor's variables the first that is set."""
    if parts.base_url:
        return environment.get(OWN_ADDRESS_KEY) or None
    return next((environment[name] for name in variables if environment.get(name)), None)
