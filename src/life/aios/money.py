"""Money is `int`.

1 USDC = 1,000,000 micro-credits; for a token with six decimals one micro-credit is one atomic unit. The unit stands in
every name (`_micro`, `_atomic`); no float ever touches an amount (HM-UNIT, HM-MONEY).
"""

from __future__ import annotations

import re
from typing import Final

from life.aios.errors import InvalidInputError

MICRO_PER_USDC: Final = 1_000_000
"""Micro-credits in one USDC."""

MAX_ATOMIC: Final = 2**256 - 1
"""The largest amount a token contract can move (uint256)."""

_ATOMIC: Final = re.compile(r"0|[1-9][0-9]{0,77}")
_DOLLARS: Final = re.compile(r"\$?(0|[1-9][0-9]{0,17})(?:\.([0-9]{1,18}))?")


def parse_atomic(text: str, *, what: str = "amount") -> int:
    """A positive decimal string without sign, blanks, exponent or leading zero, as an int in 1..2^256-1."""
    if not isinstance(text, str) or _ATOMIC.fullmatch(text) is None:
        raise InvalidInputError(f"The {what} must be a decimal string of atomic units, like '10000'.")
    value = int(text)
    if not 0 < value <= MAX_ATOMIC:
        raise InvalidInputError(f"The {what} must be between 1 and 2^256-1 atomic units.")
    return value


def parse_price_atomic(text: str, decimals: int, *, what: str = "price") -> int:
    """Atomic units of a price written in dollars (`"$0.01"`, `"0.01"`), exactly; more digits than the token has are refused."""
    match = _DOLLARS.fullmatch(text.strip())
    if match is None:
        raise InvalidInputError(f"The {what} must look like '$0.01'.")
    whole, fraction = match.group(1), match.group(2) or ""
    if len(fraction.rstrip("0")) > decimals:
        raise InvalidInputError(f"The {what} has more than {decimals} digits after the point.")
    scale: int = 10**decimals
    value = int(whole) * scale + int((fraction[:decimals]).ljust(decimals, "0") or "0")
    if value <= 0:
        raise InvalidInputError(f"The {what} must be more than zero.")
    return value


def atomic_to_micro(amount_atomic: int, decimals: int) -> int:
    """Micro-credits of an amount of a dollar token with `decimals`; a conversion that is not exact is refused."""
    if decimals <= 6:
        return amount_atomic * int(10 ** (6 - decimals))
    quotient, remainder = divmod(amount_atomic, int(10 ** (decimals - 6)))
    if remainder:
        raise InvalidInputError("The amount is finer than one micro-credit.")
    return quotient


def format_micro(amount_micro: int) -> str:
    """For people: `10000` → `0.01 USDC`."""
    sign = "-" if amount_micro < 0 else ""
    whole, fraction = divmod(abs(amount_micro), MICRO_PER_USDC)
    digits = f"{fraction:06d}".rstrip("0")
    return f"{sign}{whole}.{digits.ljust(2, '0')} USDC"
