"""Wikilinks: `[[target]]` and `[[target|alias]]` (lago.md §13, "Parsing").

    pattern   \\[\\[([^\\]|]+)(?:\\|[^\\]]+)?\\]\\]
    target    trimmed; the first occurrence is kept; a heading stays in the link (`Note#part`)

What stands in a code fence or a code span is code and no link. The text is scanned once from left to right: a megabyte of opening
brackets takes as long as a megabyte of words.
"""

from __future__ import annotations

import re
from typing import Final

_FENCE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
_TICKS: Final = re.compile(r"`+")
_BLANK_LINE: Final = re.compile(r"\n[ \t]*(?=\n)")
_ATTACHMENT: Final = re.compile(
    r"\.(?:png|jpe?g|gif|svg|webp|bmp|avif|pdf|mp[34]|m4a|wav|ogg|webm|mov|mkv|flac|canvas|base|csv|zip)$"
)


def wikilinks(body: str) -> tuple[str, ...]:
    """The targets of a note's links, in the order of their first occurrence."""
    if "[[" not in body:
        return ()
    masked = mask_code(body)
    found: dict[str, None] = {}
    start = masked.find("[[")
    closing = pipe = -1
    while start != -1:
        inside = start + 2
        if closing < inside:
            closing = masked.find("]", inside)
            if closing == -1:
                break
        if pipe != -2 and pipe < inside:
            pipe = masked.find("|", inside)
            pipe = -2 if pipe == -1 else pipe
        end = pipe if 0 <= pipe < closing else closing
        has_alias = end == pipe
        is_link = end > inside and masked.startswith("]]", closing) and not (has_alias and closing == pipe + 1)
        if is_link:
            target = body[inside:end].strip()
            if target:
                found[target] = None
            start = masked.find("[[", closing + 2)
        else:
            start = masked.find("[[", start + 1)
    return tuple(found)


def link_key(link: str) -> str:
    """What a link is resolved by: cut at `#`, trimmed, lower case. Empty for a link into its own note."""
    return link.partition("#")[0].strip().lower()


def reference_key(reference: str) -> str:
    """The same for a person's words: brackets, an alias, a leading `/` or `./` and the ending `.md` may stand there, too."""
    text = reference.strip()
    if text.startswith("[[") and text.endswith("]]"):
        text = text[2:-2].partition("|")[0]
    key = link_key(text)
    while key.startswith("./"):
        key = key[2:]
    return key.removesuffix(".md").lstrip("/")


def path_key(path: str) -> str:
    """A note's path as links name it: without suffix and leading slash, in lower case."""
    return path.removesuffix(".md").lstrip("/").lower()


def note_name(path: str) -> str:
    """The last part of a path, without the suffix."""
    return path.rpartition("/")[2].removesuffix(".md")


def is_attachment(key: str) -> bool:
    """Whether a link names a picture, a document or a sound: no note is missing there."""
    return _ATTACHMENT.search(key) is not None


def mask_code(text: str) -> str:
    """The text with blanks in place of code, character for character."""
    if "`" not in text and "~~~" not in text:
        return text
    pieces: list[str] = []
    for part, is_code in _fenced(text):
        pieces.append(" " * len(part) if is_code else _without_spans(part))
    return "".join(pieces)


def _fenced(text: str) -> list[tuple[str, bool]]:
    """The text in stretches, and whether each is a fence. A fence that is never closed goes to the end (CommonMark 4.5)."""
    parts: list[tuple[str, bool]] = []
    opened: tuple[int, str] | None = None
    last = 0
    for line in _FENCE.finditer(text):
        mark, info = line.group(1), line.group(2)
        if opened is None:
            if mark[0] == "`" and "`" in info:
                continue
            parts.append((text[last : line.start()], False))
            opened = (line.start(), mark)
        elif mark[0] == opened[1][0] and len(mark) >= len(opened[1]) and not info.strip():
            parts.append((text[opened[0] : line.end()], True))
            last, opened = line.end(), None
    parts.append((text[last:], False) if opened is None else (text[opened[0] :], True))
    return parts


def _without_spans(text: str) -> str:
    """The text with blanks for code spans; a span ends at the next run of as many backticks in its paragraph (CommonMark 6.1)."""
    runs = [(run.start(), run.end()) for run in _TICKS.finditer(text)]
    if len(runs) < 2:
        return text
    blanks = [blank.start() for blank in _BLANK_LINE.finditer(text)]
    partner = _partners(runs, blanks)
    pieces: list[str] = []
    last = number = 0
    while number < len(runs):
        start = runs[number][0]
        closing = partner[number]
        if closing is None or _is_escaped(text, start):
            number += 1
            continue
        stop = runs[closing][1]
        pieces += (text[last:start], " " * (stop - start))
        last, number = stop, closing + 1
    pieces.append(text[last:])
    return "".join(pieces)


def _partners(runs: list[tuple[int, int]], blanks: list[int]) -> list[int | None]:
    """For each run of backticks the next one of its length before a blank line."""
    partner: list[int | None] = [None] * len(runs)
    seen: dict[int, int] = {}
    boundary = len(blanks)
    for number in range(len(runs) - 1, -1, -1):
        start, end = runs[number]
        while boundary and blanks[boundary - 1] > start:
            boundary -= 1
            seen.clear()
        partner[number] = seen.get(end - start)
        seen[end - start] = number
    return partner


def _is_escaped(text: str, at: int) -> bool:
    slashes = 0
    while at - slashes > 0 and text[at - slashes - 1] == "\\":
        slashes += 1
    return slashes % 2 == 1
