"""Scores (lago.md §13, "Search").

Hybrid: final = BM25 + keyword + graph, and recency when it is asked for.

    keyword   0.30 · (names matched + tags matched)/terms
    graph     0.15 · the mean nearness to the notes whose base score (BM25 + keyword) is above the median
    recency   0.15 · 2^(−age / 30 days)

A term is what stands between blanks in the query. It matches a name when all its words are words of the name, and a tag when it is
the tag; a part of a word is no match. The median is the element at index n/2 of the sorted base scores. Nearness is that of
`NoteGraph.nearness`. It is looked at for the 64 leading candidates that can still come among the first: 0.15 is all it can add.

Scored: one per term that the body contains, two per term in the name, one per equal (tag, term); containment is that of text. It
reads every note, and is there for whoever wants parts of words.

Equal scores are in the order of their paths.
"""

from __future__ import annotations

import heapq
from typing import Final, NamedTuple

from life.lago.knowledge.index import NoteIndex
from life.lago.knowledge.links import note_name
from life.lago.knowledge.text import fold
from life.lago.knowledge.words import MAX_TERMS

KEYWORD_WEIGHT: Final = 0.30
GRAPH_WEIGHT: Final = 0.15
RECENCY_WEIGHT: Final = 0.15
HALF_LIFE_US: Final = 30 * 24 * 3600 * 1_000_000
LEADING: Final = 64
MAX_QUERY_CHARACTERS: Final = 2_000


class Ranked(NamedTuple):
    """A note and its score."""

    number: int
    score: float


def query_terms(query: str) -> list[str]:
    """The terms of a query: lower case, split at blanks, each once, at most 32."""
    return list(dict.fromkeys(query[:MAX_QUERY_CHARACTERS].lower().split()))[:MAX_TERMS]


def rank(index: NoteIndex, query: str, *, limit: int = 10, now_us: int | None = None) -> list[Ranked]:
    """The best notes by the hybrid score. With `now_us` what was changed lately counts more."""
    terms = query_terms(query)
    base = index.scores(index.terms(" ".join(terms)))
    for number, matches in _keyword_matches(index, terms).items():
        base[number] = base.get(number, 0.0) + KEYWORD_WEIGHT * matches / len(terms)
    if not base or limit < 1:
        return []
    partial = base
    if now_us is not None:
        notes = index.notes
        partial = {
            number: score + RECENCY_WEIGHT * _freshness(now_us - notes[number].updated_at_us)
            for number, score in base.items()
        }
    median = sorted(base.values())[len(base) // 2]
    anchors = {number for number, score in base.items() if score > median}
    graph = index.graph
    found: list[Ranked] = []
    best: list[float] = []
    for number, score in _leading(index, partial, limit):
        if len(best) == limit and score + GRAPH_WEIGHT < best[0]:
            break  # neither this one nor what follows can come among the first
        near = 0.0
        if anchors:
            most = graph.nearness_at_most(number, anchors) / len(anchors)
            if len(best) == limit and score + GRAPH_WEIGHT * most < best[0]:
                continue
            near = graph.nearness(number, anchors) / len(anchors)
        ranked = Ranked(number, score + GRAPH_WEIGHT * near)
        found.append(ranked)
        (heapq.heappushpop if len(best) == limit else heapq.heappush)(best, ranked.score)
    return heapq.nsmallest(limit, found, key=lambda ranked: (-ranked.score, graph[ranked.number].path))


def rank_scored(index: NoteIndex, query: str, *, limit: int = 10) -> list[Ranked]:
    """The best notes by the plain score."""
    terms = query_terms(query)
    found: list[Ranked] = []
    for number, body in index.bodies():
        stored = index.notes[number]
        text, name = body.lower(), note_name(stored.path).lower()
        in_body = sum(term in text for term in terms)
        in_name = sum(term in name for term in terms)
        if in_body or in_name:
            tags = sum(tag.lower() == term for tag in stored.tags for term in terms)
            found.append(Ranked(number, float(in_body + 2 * in_name + tags)))
    return heapq.nsmallest(limit, found, key=lambda ranked: (-ranked.score, index.graph[ranked.number].path))


def _keyword_matches(index: NoteIndex, terms: list[str]) -> dict[int, int]:
    matches: dict[int, int] = {}
    for term in terms:
        words = index.terms(term)
        named = set.intersection(*(index.names.get(word, set()) for word in words)) if words else set()
        tagged = index.tags.get(fold(term.removeprefix("#")), set())
        for numbers in (named, tagged):
            for number in numbers:
                matches[number] = matches.get(number, 0) + 1
    return matches


def _leading(index: NoteIndex, partial: dict[int, float], limit: int) -> list[tuple[int, float]]:
    """Those that nearness could still bring among the first `limit`, best first."""
    floor = 0.0
    if len(partial) > limit:
        floor = heapq.nlargest(limit, partial.values())[-1] - GRAPH_WEIGHT
    leading = [item for item in partial.items() if item[1] >= floor]
    count = max(LEADING, limit)
    return heapq.nsmallest(count, leading, key=lambda item: (-item[1], index.graph[item[0]].path))


def _freshness(age_us: int) -> float:
    return float(2 ** (-max(age_us, 0) / HALF_LIFE_US))
