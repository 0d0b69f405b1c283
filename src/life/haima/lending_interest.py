"""Simple interest in exact integers (haima.md §1.7, HM-LEND; invariant 7 of §8.7).

    interest = principal · bps / 10,000 · time / 365.25 days

Time is counted in microseconds. What is charged is the whole micro-USD nearest to what is due, halves up, and the difference
is carried as a numerator over `DENOMINATOR` (negative when a part was charged ahead, never more than half of one). So what is
charged over a period does not depend on how often it was computed, to the last micro-USD.
"""

from __future__ import annotations

from typing import Final, NamedTuple

YEAR_US: Final = 31_557_600_000_000
"""365.25 days of 86,400 seconds."""
DENOMINATOR: Final = 10_000 * YEAR_US
"""A remainder counts parts of one micro-USD, of which there are so many. It is even, so half of it is whole."""


class Accrued(NamedTuple):
    """Whole micro-USD to charge, and what is carried on."""

    charged_micro: int
    remainder: int


def accrue(principal_micro: int, rate_bps: int, elapsed_us: int, remainder: int = 0) -> Accrued:
    """Interest on a principal that did not change for `elapsed_us`. Time that ran backwards earns nothing."""
    numerator = remainder + principal_micro * rate_bps * max(0, elapsed_us)
    charged = (numerator + DENOMINATOR // 2) // DENOMINATOR
    return Accrued(charged, numerator - charged * DENOMINATOR)
