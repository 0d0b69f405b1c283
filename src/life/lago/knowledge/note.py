"""One note: a markdown file whose name others link to (lago.md §13, "Parsing")."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from life.aios.json import Json, JsonObject
from life.lago.knowledge.frontmatter import split_frontmatter
from life.lago.knowledge.links import note_name, wikilinks

SUFFIX: Final = ".md"
MAX_NOTE_BYTES: Final = 4 * 1024 * 1024
"""Longer files are named among the problems and not indexed."""
_TAG_BREAK: Final = re.compile(r"[,\s]+")


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed note."""

    path: str
    name: str
    frontmatter: JsonObject | None
    """None when there is none, or none that can be read."""
    body: str
    links: tuple[str, ...]
    problem: str | None = None

    @property
    def tags(self) -> tuple[str, ...]:
        """Of the frontmatter: a list, or a text with commas or blanks between them; without a leading `#`."""
        found = self._field("tags")
        words = _TAG_BREAK.split(found) if isinstance(found, str) else found if isinstance(found, list) else ()
        texts = (_text(word).strip().removeprefix("#") for word in words)
        return tuple(dict.fromkeys(text for text in texts if text))

    @property
    def title(self) -> str:
        """The frontmatter's `title`, or empty."""
        return _text(self._field("title"))

    @property
    def core_claim(self) -> str:
        """The one sentence that the note stands for, or empty."""
        return _text(self._field("core_claim"))

    @property
    def valid_to(self) -> str:
        """The day after which it does not hold any more, as it was written, or empty."""
        return _text(self._field("valid_to"))

    def _field(self, name: str) -> Json:
        return None if self.frontmatter is None else self.frontmatter.get(name)


class UnreadableNoteError(Exception):
    """The file is no note that can be read; the message says why."""


def is_note_path(path: str) -> bool:
    """Whether a file of this path is a note."""
    return path.endswith(SUFFIX)


def parse_note(path: str, content: bytes) -> Note:
    """The note in a file's bytes; UnreadableNoteError when they are no text, or too many."""
    if len(content) > MAX_NOTE_BYTES:
        raise UnreadableNoteError(f"longer than {MAX_NOTE_BYTES} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise UnreadableNoteError("not UTF-8") from None
    return parse_text(path, text)


def parse_text(path: str, text: str) -> Note:
    """The note in a text."""
    frontmatter, body, problem = split_frontmatter(text)
    return Note(
        path=path,
        name=note_name(path),
        frontmatter=frontmatter,
        body=body,
        links=wikilinks(body),
        problem=problem,
    )


def _text(value: Json) -> str:
    """A scalar as text; empty for nothing, lists and mappings."""
    if isinstance(value, bool) or value is None or isinstance(value, (list, dict)):
        return ""
    return str(value).strip()
