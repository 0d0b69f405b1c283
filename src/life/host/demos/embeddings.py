"""The stand-in for an embedding service: real vectors, by hashing words instead of a model.

A word, and each pair of neighbours, has a place in the vector by its BLAKE2 hash and a sign; the vector has length 1 (feature hashing,
Weinberger et al. 2009). So texts with words in common are near each other, the same text always has the same vector, and nothing
is asked of anybody. What it costs follows from the length of the text that is sent.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from itertools import pairwise
from typing import Final

from life.aios.json import Json

DIMENSIONS: Final = 96
MAX_TEXT_BYTES: Final = 262_144
BYTES_PER_TOKEN: Final = 4
_WORD: Final = re.compile(r"[^\W_]{2,}")
_SHOWN_DIGITS: Final = 4


def embeddings(body: bytes) -> Json:
    """The answer to `{"input": ["…", …]}`."""
    try:
        asked = json.loads(body)
        texts = [text for text in asked["input"] if isinstance(text, str)]
    except (ValueError, KeyError, TypeError):
        return {"simulated": True, "error": 'Send {"input": ["text", …]}.'}
    vectors: list[Json] = [[round(value, _SHOWN_DIGITS) for value in embed(text)] for text in texts]
    return {"simulated": True, "model": "word-hashing", "dimensions": DIMENSIONS, "vectors": vectors}


def embed(text: str) -> list[float]:
    """The vector of a text; all zeros for one without words."""
    words = _WORD.findall(text.lower())
    vector = [0.0] * DIMENSIONS
    for feature in [*words, *(f"{one} {other}" for one, other in pairwise(words))]:
        digest = hashlib.blake2b(feature.encode(), digest_size=8).digest()
        vector[int.from_bytes(digest[:4]) % DIMENSIONS] += 1.0 if digest[4] & 1 else -1.0
    length = math.sqrt(sum(value * value for value in vector))
    return [value / length for value in vector] if length else vector


def likeness(one: list[float], other: list[float]) -> float:
    """The cosine of two vectors of length 1."""
    return sum(a * b for a, b in zip(one, other, strict=True))


def tokens_of(size_bytes: int) -> int:
    """About how many tokens so many bytes of text are, at least one."""
    return max(1, -(-size_bytes // BYTES_PER_TOKEN))


def embedding_price_micro(size_bytes: int, micro_per_million_tokens: int) -> int:
    """What embedding costs, rounded up to a whole micro-USD."""
    return max(1, -(-tokens_of(size_bytes) * micro_per_million_tokens // 1_000_000))
