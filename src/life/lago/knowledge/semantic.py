"""Meaning beside words: leading results are put in order again by how much alike note and query are, where a model for it is given.

    final = hybrid + 0.30 · max(0, cosine(query, note))

Only the 64 leading candidates of the hybrid search are compared: a note without any of the query's words or tags is not found by meaning.
Vectors are kept in the index file, by note, content hash and model. A model that does not answer changes nothing but the order.
"""

from __future__ import annotations

import heapq
import math
from array import array
from collections.abc import Sequence
from operator import mul
from typing import Final, NamedTuple

from life.lago.knowledge.index import NoteIndex
from life.lago.knowledge.ranking import Ranked

SEMANTIC_WEIGHT: Final = 0.30
EMBEDDED_CHARACTERS: Final = 4_000
"""Of a note: its name and the beginning of its body."""


class Meaning(NamedTuple):
    """A query's vector, of length 1."""

    model: str
    vector: array[float]


def unit(vector: Sequence[float]) -> array[float] | None:
    """The vector with length 1, as it is stored; None for one that has no direction."""
    length = math.sqrt(sum(map(mul, vector, vector)))
    if not math.isfinite(length) or length == 0:
        return None
    return array("f", (part / length for part in vector))


def reorder(index: NoteIndex, ranked: Sequence[Ranked], meaning: Meaning, limit: int) -> list[Ranked]:
    """The best of ranked notes, with the likeness of their meaning added."""
    vectors = index.vectors(meaning.model, [item.number for item in ranked])
    found = []
    for item in ranked:
        vector = vectors.get(item.number)
        alike = sum(map(mul, vector, meaning.vector)) if vector is not None else 0.0
        found.append(Ranked(item.number, item.score + SEMANTIC_WEIGHT * max(0.0, alike)))
    return heapq.nsmallest(limit, found, key=lambda item: (-item.score, index.graph[item.number].path))
