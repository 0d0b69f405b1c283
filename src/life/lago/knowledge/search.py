"""Results: ranked notes with their metadata, links and the lines that matched (lago.md §13)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from life.aios.errors import InvalidInputError
from life.aios.ports.knowledge import LinkedNote, NoteHit, NoteView
from life.lago.knowledge.errors import NoteNotFoundError
from life.lago.knowledge.index import NoteIndex
from life.lago.knowledge.links import note_name
from life.lago.knowledge.ranking import LEADING, Ranked, query_terms, rank, rank_scored
from life.lago.knowledge.semantic import Meaning, reorder
from life.lago.knowledge.text import cut_text, fold

MAX_RESULTS: Final = 100
MAX_DEPTH: Final = 16
MAX_NOTES: Final = 1_000
EXCERPTS: Final = 5
EXCERPT_CHARACTERS: Final = 300

Mode = Literal["hybrid", "scored"]


def search(
    index: NoteIndex,
    query: str,
    *,
    limit: int = 10,
    mode: Mode = "hybrid",
    now_us: int | None = None,
    meaning: Meaning | None = None,
) -> list[NoteHit]:
    """The best notes. `meaning` counts in the hybrid search only. InvalidInputError for a limit that is none."""
    _check(limit, "limit", MAX_RESULTS)
    if mode == "scored":
        ranked = rank_scored(index, query, limit=limit)
    else:
        ranked = best(index, query, limit=limit, now_us=now_us, meaning=meaning)
    terms = search_words(index, query)
    return [_hit(index, item, terms) for item in ranked]


def best(
    index: NoteIndex, query: str, *, limit: int, now_us: int | None = None, meaning: Meaning | None = None
) -> list[Ranked]:
    """The hybrid search, in the order of meaning where that is given."""
    if meaning is None:
        return rank(index, query, limit=limit, now_us=now_us)
    return reorder(index, rank(index, query, limit=max(limit, LEADING), now_us=now_us), meaning, limit)


def view(index: NoteIndex, reference: str) -> NoteView:
    """The note of a name or path; NoteNotFoundError."""
    number = find(index, reference)
    stored = index.notes[number]
    frontmatter, body = index.content(number)
    return NoteView(
        path=stored.path,
        name=note_name(stored.path),
        frontmatter=frontmatter,
        body=body,
        links=index.graph[number].links,
        backlinks=tuple(index.graph[other].path for other in index.graph.backlinks(number)),
        sequence=stored.sequence,
        blob_hash=stored.blob_hash,
        updated_at_us=stored.updated_at_us,
    )


def traverse(index: NoteIndex, target: str, *, depth: int = 1, max_notes: int = 15) -> list[LinkedNote]:
    """A note and what its links lead to, breadth first; NoteNotFoundError."""
    if not 0 <= depth <= MAX_DEPTH:
        raise InvalidInputError(f"The depth is 0 to {MAX_DEPTH}.", details={"depth": depth})
    _check(max_notes, "max_notes", MAX_NOTES)
    return [
        linked_note(index, step.number, step.depth)
        for step in index.graph.walk(find(index, target), depth=depth, max_notes=max_notes)
    ]


def linked_note(index: NoteIndex, number: int, depth: int) -> LinkedNote:
    """A note as the result of a walk."""
    node = index.graph[number]
    return LinkedNote(path=node.path, name=note_name(node.path), depth=depth, links=node.links)


def find(index: NoteIndex, reference: str) -> int:
    """The number of the note that a reference means; NoteNotFoundError."""
    index.refresh()
    number = index.graph.find(reference)
    if number is None:
        raise NoteNotFoundError(reference)
    return number


def search_words(index: NoteIndex, query: str) -> list[str]:
    """What a line is looked through for: the query's terms and their words, folded."""
    terms = query_terms(query)
    return list(dict.fromkeys([*map(fold, terms), *index.terms(" ".join(terms))]))


def excerpts(body: str, words: Sequence[str]) -> tuple[str, ...]:
    """The first five lines that are not blank and contain one of the words, trimmed."""
    found: list[str] = []
    for line in body.splitlines():
        text = line.strip()
        if text and _contains(text, words):
            found.append(cut_text(text, EXCERPT_CHARACTERS))
            if len(found) == EXCERPTS:
                break
    return tuple(found)


def _contains(line: str, words: Sequence[str]) -> bool:
    folded = fold(line)
    return any(word in folded for word in words)


def _hit(index: NoteIndex, ranked: Ranked, words: Sequence[str]) -> NoteHit:
    stored = index.notes[ranked.number]
    frontmatter, body = index.content(ranked.number)
    return NoteHit(
        path=stored.path,
        name=note_name(stored.path),
        frontmatter=frontmatter,
        excerpts=excerpts(body, words),
        links=index.graph[ranked.number].links,
        score=ranked.score,
        sequence=stored.sequence,
        blob_hash=stored.blob_hash,
    )


def _check(value: int, name: str, most: int) -> None:
    if not 1 <= value <= most:
        raise InvalidInputError(f"{name} is 1 to {most}.", details={name: value})
