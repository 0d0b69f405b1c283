"""Money is int, and every text that is not an exact amount is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from life.aios.errors import InvalidInputError
from life.aios.money import MAX_ATOMIC, atomic_to_micro, format_micro, parse_atomic, parse_price_atomic


@given(st.integers(1, MAX_ATOMIC))
def test_every_positive_amount_is_read_exactly(amount: int) -> None:
    """Up to 2^256-1, without loss."""
    assert parse_atomic(str(amount)) == amount


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "+1", "01", "1.0", "1e3", " 1", "1 ", "0x10", "1_000", "١", str(MAX_ATOMIC + 1), "9" * 79]
)
def test_everything_else_is_refused(text: str) -> None:
    """No sign, blank, exponent, leading zero, other digits, zero, or value out of range."""
    with pytest.raises(InvalidInputError):
        parse_atomic(text)


@pytest.mark.parametrize(
    ("text", "decimals", "atomic"),
    [("$0.01", 6, 10_000), ("0.01", 6, 10_000), ("1", 6, 1_000_000), ("$0.000001", 6, 1), ("2.50", 18, 25 * 10**17)],
)
def test_prices_in_dollars(text: str, decimals: int, atomic: int) -> None:
    """Exact, whatever the token's decimals."""
    assert parse_price_atomic(text, decimals) == atomic


@pytest.mark.parametrize("text", ["", "$", "free", "-1", "$0", "0.0", "0.0000001", "1,5", ".5", "1.", "1e2", "$ 1"])
def test_prices_that_can_not_be_meant(text: str) -> None:
    """Zero, negative, finer than the token, or not a price."""
    with pytest.raises(InvalidInputError):
        parse_price_atomic(text, 6)


@given(st.integers(1, 10**30), st.integers(0, 24))
def test_conversion_is_exact_or_refused(amount: int, decimals: int) -> None:
    """What is finer than a micro-credit raises; everything else converts back."""
    scale = 10**decimals
    if (amount * 10**6) % scale:
        with pytest.raises(InvalidInputError):
            atomic_to_micro(amount, decimals)
    else:
        assert atomic_to_micro(amount, decimals) * scale == amount * 10**6


@pytest.mark.parametrize(
    ("micro", "text"), [(10_000, "0.01 USDC"), (0, "0.00 USDC"), (-1_500_000, "-1.50 USDC"), (1, "0.000001 USDC")]
)
def test_amounts_for_people(micro: int, text: str) -> None:
    """Two digits at least, all digits that count."""
    assert format_micro(micro) == text
