"""Cutting text where a reader would, and counting what it costs a model."""

from __future__ import annotations

import unicodedata
from typing import Final

_JOINER: Final = "\u200d"
CHARACTERS_PER_TOKEN: Final = 4
"""The estimate of lago.md §15: tokens = characters / 4."""


def cut_text(text: str, limit: int) -> str:
    """At most `limit` characters, never in the middle of one that a reader sees as one: marks stay with their letter, and
    joined pictures together."""
    if len(text) <= limit:
        return text
    end = max(limit, 0)
    floor = max(end - 32, 0)  # a pile of marks without end is cut all the same
    while end > floor and (_belongs_to_the_one_before(text[end]) or text[end - 1] == _JOINER):
        end -= 1
    return text[: end if end > floor else limit]


def fold(text: str) -> str:
    """Lower case, without marks: what FTS5's tokenizer compares by (`remove_diacritics`)."""
    lowered = text.lower()
    if lowered.isascii():
        return lowered
    plain = unicodedata.normalize("NFD", lowered)
    return "".join(character for character in plain if not unicodedata.combining(character))


def count_tokens(text: str) -> int:
    """About how many tokens a model reads: characters / 4, rounded up."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def _belongs_to_the_one_before(character: str) -> bool:
    return (
        character == _JOINER
        or unicodedata.combining(character) != 0
        or "\ufe00" <= character <= "\ufe0f"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or unicodedata.category(character) in ("Mn", "Me", "Mc")
    )
