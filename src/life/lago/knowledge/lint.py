"""What is wrong with a vault (lago.md §13, "Lint").

    orphans         no other note links to it
    broken links    (note, target) without a note; pictures and other attachments are none
    missing pages   the distinct targets among them
    stale           `valid_to` is a day before today
    contradictions  pairs of `core_claim` whose words have Jaccard > 0.3; confidence = Jaccard × 1.0 when exactly one side
                    has a negation, × 0.2 otherwise; reported above 0.1

    health = clamp(1 − (orphans + broken + contradictions + stale)/(4 · notes), 0, 1);  1 for an empty vault

Missing pages do not count. Pairs are found by their rarest words (prefix filtering), not by comparing all with all.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final

import msgspec

from life.lago.knowledge.index import Claim, NoteIndex, Problem
from life.lago.knowledge.links import is_attachment, link_key

SIMILAR: Final = 0.3
CONFIDENT: Final = 0.1
SAME_SIGN_WEIGHT: Final = 0.2
MAX_CLAIM_WORDS: Final = 200
MAX_CONTRADICTIONS: Final = 1_000
MAX_COMPARED: Final = 2_000_000
"""Pairs of claims that are looked at: a vault of copies has more pairs than anybody reads."""
NEGATIONS: Final = frozenset(("not", "never", "no", "without", "instead", "rather"))
_WORD: Final = re.compile(r"\w+")


class BrokenLink(msgspec.Struct, frozen=True):
    """A link that leads nowhere."""

    path: str
    target: str
    """As written."""


class Contradiction(msgspec.Struct, frozen=True):
    """Two notes whose claims are much the same, and may say the opposite."""

    path: str
    other_path: str
    claim: str
    other_claim: str
    confidence: float


class LintReport(msgspec.Struct, frozen=True, kw_only=True):
    """A vault's health, and what makes it so. Lists are by path."""

    notes: int
    health: float
    orphans: tuple[str, ...]
    broken_links: tuple[BrokenLink, ...]
    missing_pages: tuple[str, ...]
    stale: tuple[str, ...]
    contradictions: tuple[Contradiction, ...]
    all_compared: bool
    """False when there were so many like claims that the search for contradictions ended early."""
    problems: tuple[Problem, ...]
    """Files that can't be read as notes; they don't count for the health."""


def lint(index: NoteIndex, *, today: date) -> LintReport:
    """Look at every note."""
    index.refresh()
    graph, numbers = index.graph, index.graph.numbers()
    claims = {claim.number: claim for claim in index.claims()}
    linked = {target for number in numbers for target in graph.following(number)}
    orphans = tuple(graph[number].path for number in numbers if number not in linked)
    broken: list[BrokenLink] = []
    for number in numbers:
        for link in graph[number].links:
            key = link_key(link)
            if key and graph.resolve(key) is None and not is_attachment(key):
                broken.append(BrokenLink(graph[number].path, link))
    stale = tuple(graph[number].path for number in numbers if _is_over(claims[number].valid_to, today))
    contradictions, all_compared = _contradictions({graph[number].path: claims[number] for number in numbers})
    return LintReport(
        notes=len(numbers),
        health=health(
            len(numbers),
            orphans=len(orphans),
            broken=len(broken),
            contradictions=len(contradictions),
            stale=len(stale),
        ),
        orphans=orphans,
        broken_links=tuple(broken),
        missing_pages=tuple(sorted({link_key(link.target) for link in broken})),
        stale=stale,
        contradictions=tuple(contradictions),
        all_compared=all_compared,
        problems=tuple(index.problems),
    )


def health(notes: int, *, orphans: int, broken: int, contradictions: int, stale: int) -> float:
    """From 0 to 1."""
    if notes == 0:
        return 1.0
    return min(max(1.0 - (orphans + broken + contradictions + stale) / (4 * notes), 0.0), 1.0)


def claim_words(claim: str) -> frozenset[str]:
    """The words that claims are compared by."""
    return frozenset(_WORD.findall(claim.lower())[:MAX_CLAIM_WORDS])


def confidence(one: frozenset[str], other: frozenset[str]) -> float:
    """How sure it is that two claims contradict each other; 0 when they are not alike."""
    together = len(one & other)
    jaccard = together / (len(one) + len(other) - together) if together else 0.0
    if jaccard <= SIMILAR:
        return 0.0
    opposed = bool(one & NEGATIONS) != bool(other & NEGATIONS)
    return jaccard if opposed else jaccard * SAME_SIGN_WEIGHT


def _contradictions(claims: Mapping[str, Claim]) -> tuple[list[Contradiction], bool]:
    words = {path: held for path, claim in claims.items() if (held := claim_words(claim.claim))}
    found: list[Contradiction] = []
    for compared, (one, other) in enumerate(_alike(words)):
        if compared >= MAX_COMPARED or len(found) >= MAX_CONTRADICTIONS:
            return found, False
        sure = confidence(words[one], words[other])
        if sure > CONFIDENT:
            found.append(Contradiction(one, other, claims[one].claim, claims[other].claim, round(sure, 12)))
    return sorted(found, key=lambda pair: (pair.path, pair.other_path)), True


def _alike(words: Mapping[str, frozenset[str]]) -> Iterator[tuple[str, str]]:
    """Pairs that may be alike, each once, the path that sorts first in front."""
    counts = Counter(word for held in words.values() for word in held)
    holders: dict[str, list[str]] = {}
    for path in sorted(words):
        held = words[path]
        # Sets with Jaccard above 0.3 share a word among the rarest n − ⌊0.3·n⌋ of either.
        rarest = sorted(held, key=lambda word: (counts[word], word))[: len(held) - math.floor(SIMILAR * len(held))]
        seen: set[str] = set()
        for word in rarest:
            for other in holders.get(word, ()):
                if other not in seen:
                    seen.add(other)
                    yield other, path
        for word in rarest:
            holders.setdefault(word, []).append(path)


def _is_over(valid_to: str, today: date) -> bool:
    """Whether a date (the first ten characters of what stands there) is before today. What is no date is never over."""
    try:
        return date.fromisoformat(valid_to[:10]) < today
    except ValueError:
        return False
