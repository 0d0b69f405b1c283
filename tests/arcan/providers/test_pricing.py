"""Prices: whole numbers, rounded up, found by exact names, and unknown rather than 0."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.aios.state import TokenUsage
from life.arcan.providers.pricing import Rates, cost_micro, price_table


def test_every_price_names_its_source_and_its_day() -> None:
    """The table has a date, and every price says where and when it was read."""
    table = price_table()
    assert table.as_of == "2026-11-20"
    for price in table._prices.values():
        assert price.source.startswith("https://"), price.model
        assert "2026-01-01" <= price.read <= table.as_of, price.model
        assert 0 < price.prompt < price.completion, price.model


@pytest.mark.parametrize(
    ("vendor", "model", "usage", "cost"),
    [
        ("anthropic", "claude-sonnet-5-5", TokenUsage(1_000_000, 0, 1_000_000), 2_000_000),
        ("anthropic", "claude-sonnet-5-5-20260929", TokenUsage(0, 1, 1), 10),
        # 100 plain at 2, 1,000 read at 0.10, 50 written at 2.50, 20 out at 10 micro-USD a token
        (
            "anthropic",
            "claude-sonnet-5-5",
            TokenUsage(1150, 20, 1170, cached_prompt_tokens=1000, cache_write_tokens=50),
            200 + 100 + 125 + 200,
        ),
        ("anthropic", "claude-haiku-5-5", TokenUsage(100_000, 0, 100_000), 10_000),
        ("anthropic", "claude-haiku-5-5", TokenUsage(100_001, 0, 100_001), 50_001),
        ("openai", "gpt-5.4-mini-2026-03-17", TokenUsage(3, 0, 3), 3),
        ("gemini", "gemini-2.5-pro", TokenUsage(200_001, 10, 200_011, cached_prompt_tokens=1), 500_000 + 1 + 150),
        ("openai", "gpt-5.4", TokenUsage(272_001, 1, 272_002), None),
        ("openai", "gpt-5.4-pro", TokenUsage(1, 1, 2), None),
        ("anthropic", "claude-sonnet-9", TokenUsage(1, 1, 2), None),
        ("", "claude-sonnet-5-5", TokenUsage(1, 1, 2), None),
        ("gemini", "gemini-3.5-flash", TokenUsage(10, 1, 11, cached_prompt_tokens=1), None),
    ],
)
def test_costs(vendor: str, model: str, usage: TokenUsage, cost: int | None) -> None:
    """By hand: per million tokens, cached and written apart, the long prompt's rates for all of the call; a model, a length
    or a kind of use without a price has no cost."""
    assert price_table().cost_micro(vendor, model, usage) == cost


def test_prices_of_ones_own_come_first_and_for_any_service() -> None:
    """`MODEL=PROMPT/ANSWER/CACHED/WRITE` in micro-USD per million tokens."""
    table = price_table(["llama3.2=0/0", "claude-sonnet-5-5=1000000/2000000/3/4", "my=model=7/7"])
    assert table.cost_micro("", "llama3.2", TokenUsage(10, 10, 20)) == 0
    assert table.cost_micro("anthropic", "claude-sonnet-5-5-20260929", TokenUsage(1, 1, 2)) == 3
    assert table.cost_micro("", "my=model", TokenUsage(1_000_000, 0, 0)) == 7


@pytest.mark.parametrize("text", ["", "m", "m=1", "m=1/2/3/4/5", "m=1.5/2", "m=-1/2", "=1/2", "m=a/b"])
def test_a_price_that_can_not_be_read_is_refused(text: str) -> None:
    """With the form it should have."""
    with pytest.raises(InvalidInputError):
        price_table([text])


@given(
    plain=st.integers(0, 10**7),
    cached=st.integers(0, 10**7),
    written=st.integers(0, 10**7),
    completion=st.integers(0, 10**7),
    rates=st.tuples(*[st.integers(0, 10**8)] * 4),
)
def test_a_cost_is_the_exact_sum_rounded_up(
    plain: int, cached: int, written: int, completion: int, rates: tuple[int, int, int, int]
) -> None:
    """Never below what is owed, and less than one micro-USD above."""
    price = Rates(prompt=rates[0], completion=rates[1], cached_prompt=rates[2], cache_write=rates[3])
    prompt = plain + cached + written
    usage = TokenUsage(prompt, completion, prompt + completion, cached_prompt_tokens=cached, cache_write_tokens=written)
    cost = cost_micro(price, usage)
    exact = plain * rates[0] + completion * rates[1] + cached * rates[2] + written * rates[3]
    assert cost is not None and 0 <= cost * 1_000_000 - exact < 1_000_000
