"""Memory cubes: small memories that fade, and choosing among them for a context (lago.md §15).

    relevance = importance · confidence · e^(−decay · hours); 0 outside the time it is valid in

    score     weighted sum of keyword, recency, importance and tier, each 0 to 1
              balanced .35/.30/.20/.15 · recency first .15/.55/.15/.15 · relevance first .55/.15/.15/.15 · diverse .30/.25/.15/.30
    keyword   the share of the query's words that the content has
    recency   e^(−decay · hours)
    tier      procedural .8, semantic .6, meta .5, episodic .3, working .1

From a score of 0.2, at most 20 of a tier, greedily into the budget, best first; what does not fit is passed over.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError
from life.lago.knowledge.text import count_tokens, fold

Tier = Literal["working", "episodic", "semantic", "procedural", "meta"]
Strategy = Literal["balanced", "recency_first", "relevance_first", "diverse"]

THRESHOLD: Final = 0.2
PER_TIER: Final = 20
TIER_VALUES: Final[dict[Tier, float]] = {
    "procedural": 0.8,
    "semantic": 0.6,
    "meta": 0.5,
    "episodic": 0.3,
    "working": 0.1,
}
_HOUR_US: Final = 3_600_000_000
_WORD: Final = re.compile(r"\w+")


class Weights(NamedTuple):
    """How much each part counts."""

    keyword: float
    recency: float
    importance: float
    tier: float


WEIGHTS: Final[dict[Strategy, Weights]] = {
    "balanced": Weights(0.35, 0.30, 0.20, 0.15),
    "recency_first": Weights(0.15, 0.55, 0.15, 0.15),
    "relevance_first": Weights(0.55, 0.15, 0.15, 0.15),
    "diverse": Weights(0.30, 0.25, 0.15, 0.30),
}


class MemoryCube(msgspec.Struct, frozen=True, kw_only=True):
    """One memory."""

    cube_id: str
    tier: Tier
    content: str
    source: str
    """Where it is from: a path, a session."""
    created_at_us: int
    importance: float = 0.5
    confidence: float = 0.5
    decay_per_hour: float = 0.01
    valid_from_us: int | None = None
    valid_to_us: int | None = None

    def freshness(self, now_us: int) -> float:
        """From 1 when it is new towards 0."""
        return math.exp(-self.decay_per_hour * max(now_us - self.created_at_us, 0) / _HOUR_US)

    def relevance(self, now_us: int) -> float:
        """What it counts now; 0 outside the time it is valid in (its end is no part of it)."""
        if self.valid_from_us is not None and now_us < self.valid_from_us:
            return 0.0
        if self.valid_to_us is not None and now_us >= self.valid_to_us:
            return 0.0
        return self.importance * self.confidence * self.freshness(now_us)


def assemble_cubes(cubes: Iterable[MemoryCube], *, budget_tokens: int, now_us: int) -> list[MemoryCube]:
    """The most relevant cubes that fit, best first; equal ones by id."""
    scored = [(cube.relevance(now_us), cube) for cube in cubes]
    order = sorted(((score, cube) for score, cube in scored if score > 0), key=lambda item: (-item[0], item[1].cube_id))
    return _fill((cube for _, cube in order), budget_tokens)


def compile_cubes(
    cubes: Iterable[MemoryCube],
    query: str,
    *,
    budget_tokens: int,
    now_us: int,
    strategy: Strategy = "balanced",
) -> list[MemoryCube]:
    """The cubes that fit a query best, within the budget."""
    words = frozenset(_WORD.findall(fold(query)))
    scored = [
        (cube_score(cube, words, now_us=now_us, weights=WEIGHTS[strategy]), cube)
        for cube in cubes
        if cube.relevance(now_us) > 0
    ]
    kept = sorted((item for item in scored if item[0] >= THRESHOLD), key=lambda item: (-item[0], item[1].cube_id))
    seen: Counter[str] = Counter()
    chosen = []
    for _, cube in kept:
        seen[cube.tier] += 1
        if seen[cube.tier] <= PER_TIER:
            chosen.append(cube)
    return _fill(chosen, budget_tokens)


def cube_score(cube: MemoryCube, words: frozenset[str], *, now_us: int, weights: Weights) -> float:
    """A cube's score for a query's words."""
    held = words & frozenset(_WORD.findall(fold(cube.content)))
    keyword = len(held) / len(words) if words else 0.0
    return (
        weights.keyword * keyword
        + weights.recency * cube.freshness(now_us)
        + weights.importance * cube.importance
        + weights.tier * TIER_VALUES[cube.tier]
    )


def _fill(cubes: Iterable[MemoryCube], budget_tokens: int) -> list[MemoryCube]:
    if budget_tokens < 0:
        raise InvalidInputError("A budget is not negative.")
    chosen: list[MemoryCube] = []
    left = budget_tokens
    for cube in cubes:
        tokens = count_tokens(cube.content)
        if tokens <= left:
            chosen.append(cube)
            left -= tokens
    return chosen


def total_tokens(cubes: Sequence[MemoryCube]) -> int:
    """What cubes cost together."""
    return sum(count_tokens(cube.content) for cube in cubes)
