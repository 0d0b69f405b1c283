"""Which models this project can ask, what they cost, and whether they can be asked now.

Prices are those of the dated table (life.arcan.providers.pricing), or the operator's own. A model without a price there has none here.
Whether a vendor would really answer only a call can tell: `ready` says that nothing is missing on this side. A local server
(Ollama, or what speaks like it at OLLAMA_BASE_URL) is asked which models it has, for a third of a second.

Source: workspace-ui.md WS-FR-4, WS-FR-5.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

import httpx2
import msgspec

from life.aios.errors import LifeError, MissingExtraError
from life.arcan.providers import openai_compatible
from life.arcan.providers.pricing import ModelPrice, price_table, published_prices
from life.arcan.providers.selection import parse_chain, parse_record
from life.host.errors import (
    ModelKeysUnavailableError,
)
from life.host.model_keys import PLACES, ModelKeys
from life.host.settings import Settings

_LOCAL_PATIENCE_S: Final = 0.3
_MOST_LOCAL: Final = 200
_MOST_LOCAL_BYTES: Final = 1_048_576
_MODULES: Final = {"anthropic": "anthropic", "openai": "openai", "gemini": "google.genai", "ollama": "openai"}
"""The module that a provider's client needs."""
_VENDORS: Final = ("anthropic", "gemini", "openai")

WhyCode = Literal["", "key_missing", "key_unreadable", "extra_missing", "not_reachable"]


class ModelLine(msgspec.Struct, frozen=True, kw_only=True):
    """A model that can be named. Prices are micro-USD per million tokens; null where nobody knows them."""

    id: str
    """A provider specification."""
    provider: str
    label: str
    input_micro_per_mtok: int | None
    output_micro_per_mtok: int | None
    priced_on: str | None
    """The day the price was read; null for the operator's own."""
    is_default: bool
    """Whether it is what the provider's bare name means."""
    ready: bool
    why_not: str
    why_code: WhyCode


class _Standing(NamedTuple):
    code: WhyCode = ""
    words: str = ""


async def list_models(settings: Settings, keys: ModelKeys) -> list[ModelLine]:
    """Every model: the scripted one, the default's vendor, the other vendors, the local server's, and those that the settings name."""
    lines = [
        ModelLine(
            id="scripted",
            provider="scripted",
            label="scripted",
            input_micro_per_mtok=0,
            output_micro_per_mtok=0,
            priced_on=None,
            is_default=True,
            ready=True,
            why_not="",
            why_code="",
        )
    ]
    first = _kind(settings.model.provider)
    for vendor in sorted(_VENDORS, key=lambda name: (name != first, name)):
        lines += _vendor_lines(vendor, settings, keys)
    lines += await _local_lines(settings, keys.environment)
    known = {line.id for line in lines}
    lines += [line for line in _named_lines(settings, keys) if line.id not in known]
    return lines


def _vendor_lines(vendor: str, settings: Settings, keys: ModelKeys) -> Iterator[ModelLine]:
    standing, default = _standing(vendor, keys), default_model(vendor, keys.environment)
    table = {price.model: price for price in published_prices() if price.vendor == vendor}
    own = price_table(settings.model.prices)
    for model in dict.fromkeys((default, *table)):
        rates, price = own.rates(vendor, model), table.get(model)
        is_own = price is None or rates is None or (rates.prompt, rates.completion) != (price.prompt, price.completion)
        yield ModelLine(
            id=f"{vendor}:{model}",
            provider=vendor,
            label=model,
            input_micro_per_mtok=None if rates is None else rates.prompt,
            output_micro_per_mtok=None if rates is None else rates.completion,
            priced_on=None if is_own or price is None else price.read,
            is_default=model == default,
            ready=not standing.code,
            why_not=standing.words,
            why_code=standing.code,
        )


async def _local_lines(settings: Settings, environment: Mapping[str, str]) -> list[ModelLine]:
    own, default = price_table(settings.model.prices), default_model("ollama", environment)

    def line(identifier: str, label: str, standing: _Standing, *, is_default: bool) -> ModelLine:
        rates = own.rates("", label)
        return ModelLine(
            id=identifier,
            provider="ollama",
            label=label,
            input_micro_per_mtok=None if rates is None else rates.prompt,
            output_micro_per_mtok=None if rates is None else rates.completion,
            priced_on=None,
            is_default=is_default,
            ready=not standing.code,
            why_not=standing.words,
            why_code=standing.code,
        )

    if not _installed("ollama"):
        return [line("ollama", "ollama", _extra_missing("ollama"), is_default=True)]
    address = environment.get("OLLAMA_BASE_URL") or openai_compatible.OLLAMA_BASE_URL
    names = await _local_models(address)
    if names is None:
        standing = _Standing("not_reachable", f"No local model server answers at {address}.")
        return [line("ollama", "ollama", standing, is_default=True)]
    return [line(f"ollama:{name}", name, _Standing(), is_default=name == default) for name in names]


def _named_lines(settings: Settings, keys: ModelKeys) -> Iterator[ModelLine]:
    """Single models that stand in the settings, such as one at an address of its own."""
    tiers = settings.model.tiers
    own = price_table(settings.model.prices)
    for text in (settings.model.provider, tiers.small, tiers.standard, tiers.large):
        if not text or parse_record(text) is not None:
            continue
        for parts in parse_chain(text):
            if parts.kind in ("scripted", "replay", "tier") or not parts.argument:
                continue
            model = parts.argument if parts.kind == "compatible" else f"{parts.kind}:{parts.argument}"
            identifier = f"{model}@{parts.base_url}" if parts.base_url else model
            vendor = parts.kind.partition("-")[0] if not parts.base_url else ""
            rates = own.rates(vendor, parts.argument)
            standing = _standing(vendor, keys) if vendor in PLACES else _Standing()
            yield ModelLine(
                id=identifier,
                provider=parts.kind.partition("-")[0],
                label=parts.argument,
                input_micro_per_mtok=None if rates is None else rates.prompt,
                output_micro_per_mtok=None if rates is None else rates.completion,
                priced_on=None,
                is_default=False,
                ready=not standing.code,
                why_not=standing.words,
                why_code=standing.code,
            )


def _standing(vendor: str, keys: ModelKeys) -> _Standing:
    if not _installed(vendor):
        return _extra_missing(vendor)
    try:
        found = keys.key(vendor)
    except ModelKeysUnavailableError as error:
        return _Standing("key_unreadable", error.message)
    return _Standing() if found else _Standing("key_missing", f"No API key for {vendor}.")


def _installed(provider: str) -> bool:
    try:
        return importlib.util.find_spec(_MODULES[provider]) is not None
    except ModuleNotFoundError:  # not even the namespace is there
        return False


def _extra_missing(provider: str) -> _Standing:
    error = MissingExtraError(f"The provider '{provider}'", "openai" if provider == "ollama" else provider)
    return _Standing("extra_missing", f"{error.message} {error.next_step}")


def _kind(specification: str) -> str:
    try:
        record = parse_record(specification)
        return _kind(record.inner) if record is not None else parse_chain(specification)[0].kind.partition("-")[0]
    except LifeError:
        return ""


async def _local_models(address: str) -> list[str] | None:
    """What `GET {address}/models` names; None when nobody answers in time. Never more than a bounded answer is read."""
    body = bytearray()
    try:
        async with (
            asyncio.timeout(_LOCAL_PATIENCE_S),
            httpx2.AsyncClient(trust_env=False, follow_redirects=False) as client,
            client.stream("GET", f"{address.rstrip('/')}/models") as response,
        ):
            if response.status_code != 200:
                return None
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > _MOST_LOCAL_BYTES:
                    return None
    except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL):
        return None
    try:
        found = msgspec.json.decode(bytes(body), type=_LocalList).data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    names = [each.id for each in found if 0 < len(each.id) <= 200 and each.id.isprintable() and "," not in each.id]
    return names[:_MOST_LOCAL]


class _LocalModel(msgspec.Struct, frozen=True):
    id: str


class _LocalList(msgspec.Struct, frozen=True):
    data: list[_LocalModel]


def default_model(provider: str, environment: Mapping[str, str]) -> str:
    """What the provider's bare name means."""
    match provider:
        case "anthropic":
            from life.arcan.providers import anthropic

            return environment.get("ANTHROPIC_MODEL") or anthropic.DEFAULT_MODEL
        case "gemini":
            from life.arcan.providers import gemini

            return environment.get("GEMINI_MODEL") or gemini.DEFAULT_MODEL
        case "ollama":
            return environment.get("OLLAMA_MODEL") or openai_compatible.OLLAMA_MODEL
        case _:
            return environment.get("OPENAI_MODEL") or openai_compatible.DEFAULT_MODEL


def smallest_model(provider: str) -> str | None:
    """The specification of the provider's cheapest known model; None where none is known."""
    prices = [price for price in published_prices() if price.vendor == provider]
    if not prices:
        return None

    def cost(price: ModelPrice) -> tuple[int, int]:
        return price.completion, price.prompt

    return f"{provider}:{min(prices, key=cost).model}"
