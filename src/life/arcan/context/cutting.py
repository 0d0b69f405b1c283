"""Cutting text where a reader would: never inside a character, marks stay with their letter, and between words where that is near."""

from __future__ import annotations

import unicodedata
from typing import Final

_JOINER: Final = "\u200d"
_MOST_MARKS: Final = 32
"""A pile of marks without end is cut all the same."""
MARK: Final = " …"


def cut_bytes(text: str, limit_bytes: int) -> str:
    """The longest beginning of at most so many bytes of UTF-8 that ends where a character does."""
    if limit_bytes <= 0:
        return ""
    if len(text) * 4 <= limit_bytes or (text.isascii() and len(text) <= limit_bytes):
        return text
    raw = text[: limit_bytes + 1].encode("utf-8", "replace")
    if len(raw) <= limit_bytes:
        return text
    return text[: _whole(text, len(raw[:limit_bytes].decode("utf-8", "ignore")))]


def cut_words(text: str, limit_bytes: int) -> str:
    """The same, ending between words when that keeps more than half, with a mark that says so (arcan.md §5.2)."""
    if len(cut_bytes(text, limit_bytes)) == len(text):
        return text
    kept = cut_bytes(text, limit_bytes - len(MARK.encode()))
    if not kept:
        return ""
    at = max(kept.rfind(" "), kept.rfind("\n"))
    if not text[len(kept)].isspace() and at > len(kept) // 2:
        kept = kept[:at]
    return kept.rstrip() + MARK


def cut_characters(text: str, limit: int) -> str:
    """At most so many characters, ending where one does, with a mark when something is missing."""
    if len(text) <= limit:
        return text
    return text[: _whole(text, max(0, limit - len(MARK)))].rstrip() + MARK


def one_line(text: str, limit: int) -> str:
    """The text on one line, at most so many characters."""
    # Of a text of megabytes only the beginning is looked at.
    return cut_characters(" ".join(text[: limit * 4 + 64].split()), limit)


def _whole(text: str, end: int) -> int:
    """The last place not after `end` where a character as a reader sees it ends."""
    if end >= len(text):
        return len(text)
    floor = max(0, end - _MOST_MARKS)
    at = end
    while at > floor and (_belongs_to_the_one_before(text[at]) or text[at - 1] == _JOINER):
        at -= 1
    return at if at > floor else end


def _belongs_to_the_one_before(character: str) -> bool:
    if character.isascii():
        return False
    return (
        character == _JOINER
        or "\ufe00" <= character <= "\ufe0f"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or unicodedata.category(character) in ("Mn", "Me", "Mc")
    )
