"""Passages of notes for a model, within a budget of tokens, each with its source (lago.md §13, §15).

    [1] /folder/note.md · sequence 12 · sha256 4b0c…
    > the passage, quoted line by line

The best notes give their best paragraph: the one with the most words of the query, and of equal ones the first, with what follows it
as far as there is room. What does not fit is skipped and counted. Lines are quoted, so no note can write a citation of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from life.aios.errors import InvalidInputError
from life.aios.ports.knowledge import AssembledContext, Excerpt
from life.lago.knowledge.index import NoteIndex, StoredNote
from life.lago.knowledge.links import note_name
from life.lago.knowledge.search import best, search_words
from life.lago.knowledge.semantic import Meaning
from life.lago.knowledge.text import CHARACTERS_PER_TOKEN, count_tokens, cut_text, fold

MAX_BUDGET_TOKENS: Final = 200_000
NOTES_AT_MOST: Final = 20
PASSAGE_TOKENS: Final = 300
LEAST_TOKENS: Final = 24
"""A passage is not cut shorter than that; it is left out."""
_PARAGRAPHS: Final = re.compile(r"\n[ \t]*\n")


def assemble(index: NoteIndex, query: str, *, budget_tokens: int, meaning: Meaning | None = None) -> AssembledContext:
    """The most relevant passages that fit. InvalidInputError for a budget that is none."""
    if not 1 <= budget_tokens <= MAX_BUDGET_TOKENS:
        raise InvalidInputError(f"The budget is 1 to {MAX_BUDGET_TOKENS} tokens.", details={"budget": budget_tokens})
    words = search_words(index, query)
    found: list[Excerpt] = []
    parts: list[str] = []
    used = left_out = 0
    for ranked in best(index, query, limit=NOTES_AT_MOST, meaning=meaning):
        stored = index.notes[ranked.number]
        heading = _heading(len(found) + 1, stored)
        text = passage(index.body(ranked.number), words)
        block = _fitting(heading, text, budget_tokens - used)
        if block is None:
            left_out += 1
            continue
        quoted, kept = block
        tokens = count_tokens(quoted)
        used += tokens
        parts.append(quoted)
        found.append(
            Excerpt(
                path=stored.path,
                name=note_name(stored.path),
                text=kept,
                tokens=tokens,
                score=ranked.score,
                sequence=stored.sequence,
                blob_hash=stored.blob_hash,
            )
        )
    return AssembledContext(text="".join(parts), excerpts=tuple(found), tokens=used, left_out=left_out)


def passage(body: str, words: Sequence[str]) -> str:
    """The best paragraph of a text with what follows it, up to 300 tokens."""
    paragraphs = [part.strip("\n") for part in _PARAGRAPHS.split(body) if part.strip()]
    if not paragraphs:
        return ""
    counts = [_held(part, words) for part in paragraphs]
    best = counts.index(max(counts))
    most = PASSAGE_TOKENS * CHARACTERS_PER_TOKEN
    text = paragraphs[best]
    for part in paragraphs[best + 1 :]:
        if len(text) + 2 + len(part) > most:
            break
        text += "\n\n" + part
    return cut_text(text, most)


def _held(paragraph: str, words: Sequence[str]) -> int:
    folded = fold(paragraph)
    return sum(word in folded for word in words)


def _heading(number: int, stored: StoredNote) -> str:
    path = "".join(character if character.isprintable() else "�" for character in stored.path)
    source = f"sequence {stored.sequence} · " if stored.sequence else ""
    return f"[{number}] {path} · {source}sha256 {stored.blob_hash}\n"


def _fitting(heading: str, text: str, room_tokens: int) -> tuple[str, str] | None:
    """The block and its text, cut to the room that is left; None when too little of it would remain."""
    kept = text
    while True:
        block = heading + _quote(kept) + "\n"
        over = len(block) - room_tokens * CHARACTERS_PER_TOKEN
        if over <= 0:
            return block, kept
        shorter = cut_text(kept, len(kept) - over).rstrip()
        if len(shorter) < min(len(text), LEAST_TOKENS * CHARACTERS_PER_TOKEN):
            return None
        kept = shorter


def _quote(text: str) -> str:
    return "".join(f"> {line}".rstrip() + "\n" for line in text.splitlines())
