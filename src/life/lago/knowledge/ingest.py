"""From transcripts, notes and other texts to memory cubes (lago.md §13, "Ingest").

    .jsonl   one JSON object a line; its `message` or `content`, when that is a text
    .md      without the frontmatter
    other    as it is

Pieces under five characters, system reminders, task notifications and tool results are noise and dropped. Secrets are taken out of
the whole text before it is cut, so that no cut can hide one. The same source and content give the same cube.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.ids import derived_event_id
from life.lago.knowledge.cubes import MemoryCube
from life.lago.knowledge.frontmatter import split_frontmatter
from life.lago.knowledge.redaction import redact

IMPORTANCE: Final = 0.5
CONFIDENCE: Final = 0.7
LEAST_PARAGRAPH: Final = 40
LEAST_CHARACTERS: Final = 5
_PARAGRAPHS: Final = re.compile(r"\n[ \t]*\n")
_NOISE_STARTS: Final = ("<system-reminder>", "<task-notification>")
_NOISE_HELD: Final = "toolUseResult"


class Paragraphs(NamedTuple):
    """Cut at blank lines; shorter paragraphs are dropped."""

    least_characters: int = LEAST_PARAGRAPH


class Windows(NamedTuple):
    """Overlapping stretches of characters."""

    size: int
    overlap: int


Cutting = Paragraphs | Windows | Literal["whole"]


def ingest(
    name: str,
    text: str,
    *,
    now_us: int,
    cutting: Cutting = Paragraphs(),  # noqa: B008 - immutable
) -> list[MemoryCube]:
    """The cubes of a file: episodic, importance 0.5, confidence 0.7. InvalidInputError for windows that don't move on."""
    if isinstance(cutting, Windows) and not 0 <= cutting.overlap < cutting.size:
        raise InvalidInputError("The overlap must be shorter than the window, and not negative.")
    pieces = (piece.strip() for whole in texts_of(name, text) for piece in _cut(redact(whole), cutting))
    return [
        MemoryCube(
            cube_id=derived_event_id("lago.memory-cube", name, piece),
            tier="episodic",
            content=piece,
            source=name,
            created_at_us=now_us,
            importance=IMPORTANCE,
            confidence=CONFIDENCE,
        )
        for piece in dict.fromkeys(pieces)
        if not is_noise(piece)
    ]


def texts_of(name: str, text: str) -> list[str]:
    """What a file says, without its form. Lines of a transcript that can't be read are passed over."""
    if name.endswith(".jsonl"):
        return [said for line in text.splitlines() if (said := _said(line)) is not None and not is_noise(said)]
    if name.endswith(".md"):
        return [split_frontmatter(text).body]
    return [text]


def is_noise(text: str) -> bool:
    """Whether a piece is nothing to remember."""
    trimmed = text.strip()
    return len(trimmed) < LEAST_CHARACTERS or trimmed.startswith(_NOISE_STARTS) or _NOISE_HELD in trimmed


def _cut(text: str, cutting: Cutting) -> Iterable[str]:
    if isinstance(cutting, Paragraphs):
        return [part for part in _PARAGRAPHS.split(text) if len(part.strip()) >= cutting.least_characters]
    if isinstance(cutting, Windows):
        step = cutting.size - cutting.overlap
        last = max(len(text) - cutting.overlap, 1)
        return [text[start : start + cutting.size] for start in range(0, last, step)]
    return [text]


def _said(line: str) -> str | None:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    for field in ("message", "content"):
        if isinstance(found.get(field), str):
            return str(found[field])
    return None
