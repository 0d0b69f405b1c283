"""What a model call costs, in integer micro-USD, from a dated table.

The table is `prices.toml` beside this module: per model the price of prompt, cached prompt, cache writes and answer in
micro-USD per million tokens (2 USD per million tokens = 2_000_000), each with its source and the day it was read. Prices of
one's own come first. A model that is not there has no price: its cost is unknown, never 0. A model is found by its exact
name or by that name with a date behind it (`gpt-5.4-mini-2026-03-17`), never by a beginning.

Costs are rounded up, once per call. Reasoning counts as answer. Batch, priority and regional prices are not known here.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Final

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.state import TokenUsage

_DATED: Final = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2})$")
_MILLION: Final = 1_000_000


class Rates(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Micro-USD per million tokens."""

    prompt: int
    completion: int
    cached_prompt: int | None = None
    """Prompt read from the cache. Without: a call that read from the cache has an unknown cost."""
    cache_write: int | None = None
    """Prompt written to the cache for five minutes. Without: as `prompt`."""


class LongPrompt(Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rates for the whole call when its prompt is longer than `above_tokens`."""

    above_tokens: int


class ModelPrice(Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A model's price."""

    vendor: str
    """`anthropic`, `openai` or `gemini`: the vendor's own service, nobody else's."""
    model: str
    source: str
    read: str
    """The day it was read there."""
    long_prompt: LongPrompt | None = None
    known_up_to_tokens: int | None = None
    """Longest prompt that these rates are known for."""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    as_of: str
    prices: list[ModelPrice]


class PriceTable:
    """The prices in force."""

    def __init__(self, prices: Iterable[ModelPrice], *, as_of: str, own: Mapping[str, Rates] | None = None) -> None:
        """`own` are rates by model name, whatever service runs it; they win over the table."""
        self.as_of = as_of
        """The day the table was put together."""
        self._prices = {(price.vendor, price.model): price for price in prices}
        self._own = dict(own or {})

    def cost_micro(self, vendor: str, model: str, usage: TokenUsage) -> int | None:
        """Micro-USD for `usage`, rounded up; None when it is not known."""
        rates = self.rates(vendor, model, prompt_tokens=usage.prompt_tokens)
        return None if rates is None else cost_micro(rates, usage)

    def rates(self, vendor: str, model: str, *, prompt_tokens: int = 0) -> Rates | None:
        """The rates for a call with a prompt of this length; None when they are not known."""
        for name in _names(model):
            own = self._own.get(name)
            if own is not None:
                return own
        for name in _names(model):
            price = self._prices.get((vendor, name))
            if price is not None:
                return _for_length(price, prompt_tokens)
        return None


def cost_micro(rates: Rates, usage: TokenUsage) -> int | None:
    """Micro-USD, rounded up; None when the rates lack what was used."""
    cached = usage.cached_prompt_tokens or 0
    written = usage.cache_write_tokens or 0
    assert isinstance(cached, int) and isinstance(written, int)
    if cached and rates.cached_prompt is None:
        return None
    plain = max(0, usage.prompt_tokens - cached - written)
    total = (
        plain * rates.prompt
        + cached * (rates.cached_prompt or 0)
        + written * (rates.prompt if rates.cache_write is None else rates.cache_write)
        + usage.completion_tokens * rates.completion
    )
    return -(-total // _MILLION)


@lru_cache(maxsize=1)
def _published() -> _Table:
    text = files("life.arcan.providers").joinpath("prices.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), _Table)


def published_prices() -> tuple[ModelPrice, ...]:
    """The published table's entries, in its order."""
    return tuple(_published().prices)


def price_table(own: Iterable[str] = ()) -> PriceTable:
    """The published table with prices of one's own: `MODEL=PROMPT/ANSWER[/CACHED[/CACHE_WRITE]]`, micro-USD per million
    tokens. InvalidInputError says which one can't be read."""
    table = _published()
    return PriceTable(table.prices, as_of=table.as_of, own=dict(_own_price(text) for text in own))


def _own_price(text: str) -> tuple[str, Rates]:
    model, equals, amounts = text.rpartition("=")
    numbers = amounts.split("/")
    if not (model and equals and 2 <= len(numbers) <= 4 and all(re.fullmatch(r"\d{1,12}", part) for part in numbers)):
        raise InvalidInputError(
            f"The price '{text}' can't be read.",
            next_step="Write MODEL=PROMPT/ANSWER[/CACHED[/CACHE_WRITE]] in micro-USD per million tokens.",
        )
    prompt, completion, *rest = (int(part) for part in numbers)
    return model.strip(), Rates(
        prompt=prompt,
        completion=completion,
        cached_prompt=rest[0] if rest else None,
        cache_write=rest[1] if len(rest) > 1 else None,
    )


def _names(model: str) -> tuple[str, ...]:
    """The name, and the name without the date behind it."""
    bare = _DATED.sub("", model)
    return (model,) if bare == model else (model, bare)


def _for_length(price: ModelPrice, prompt_tokens: int) -> Rates | None:
    if price.long_prompt is not None and prompt_tokens > price.long_prompt.above_tokens:
        return price.long_prompt
    if price.known_up_to_tokens is not None and prompt_tokens > price.known_up_to_tokens:
        return None
    return price
