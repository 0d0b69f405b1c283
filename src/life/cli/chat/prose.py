"""Lines: wrapping styled text, and Markdown as lines. Raw HTML is text, links show where they lead, images are named.

Colours are the terminal's own sixteen, so that they fit a dark and a light ground alike, and nothing is told by colour alone.
"""

from __future__ import annotations

import io
import re
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from life.cli.chat.untrusted import clean, cut
from life.cli.chat.words import Signs

ACCENT: Final = "cyan"
GOOD: Final = "green"
BAD: Final = "red"
WAIT: Final = "yellow"
SOFT: Final = "dim"
CODE: Final = "cyan"

console: Final = Console(
    file=io.StringIO(), width=1000, markup=False, emoji=False, highlight=False, legacy_windows=False
)

_FENCE: Final = re.compile(r"\s{0,3}(?P<fence>```+|~~~+)\s*(?P<language>[^`\s]*)")
_HEADING: Final = re.compile(r"\s{0,3}(?P<marks>#{1,6})\s+(?P<words>.*?)\s*#*\s*")
_ITEM: Final = re.compile(r"(?P<indent>\s*)(?P<mark>[-*+]|\d{1,4}[.)])\s+(?P<words>.*)")
_QUOTE: Final = re.compile(r"\s{0,3}>\s?(?P<words>.*)")
_RULE: Final = re.compile(r"\s{0,3}([-*_])(\s*\1){2,}\s*")
_TABLE_RULE: Final = re.compile(r"\s*\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?\s*")
_INLINE: Final = re.compile(
    r"(?P<code>`+)(?P<coded>.+?)(?P=code)(?!`)"
    r"|(?P<strong>\*\*|__)(?=\S)(?P<bold>.+?)(?<=\S)(?P=strong)"
    r"|(?<![\w*])\*(?=\S)(?P<italic>[^*\n]+?)(?<=\S)\*(?![\w*])"
    r"|(?P<image>!?)\[(?P<label>[^\]\n]*)\]\((?P<target>[^)\s]*)[^)]*\)"
)
_MOST_LINES: Final = 4_000


def wrap(line: Text, width: int, *, indent: Text | None = None, hang: Text | None = None) -> list[Text]:
    """A line in rows of at most `width` cells, broken between words; `indent` stands before the first, `hang` before the others."""
    indent = indent or Text()
    hang = indent if hang is None else hang
    room = max(4, width - max(cell_len(indent.plain), cell_len(hang.plain)))
    if not line.plain:
        return [indent.copy()]
    if cell_len(line.plain) <= room:
        return [Text.assemble(indent, line)]
    rows = line.wrap(console, room, overflow="fold", no_wrap=False)
    return [Text.assemble(hang if number else indent, _trimmed(row)) for number, row in enumerate(rows)]


def _trimmed(row: Text) -> Text:
    row.rstrip()
    return row


def plain_rows(text: str, width: int, style: str = "") -> list[Text]:
    """Text as it is, wrapped."""
    rows: list[Text] = []
    for line in clean(text).split("\n")[:_MOST_LINES]:
        rows += wrap(Text(line, style), width)
    return rows


def cropped(line: Text, width: int, *, more: str = "…") -> Text:
    """A line cut at its end."""
    if cell_len(line.plain) <= width:
        return line
    kept = cut(line.plain, max(0, width - cell_len(more)))
    short = line[: len(kept)]
    short.append(more)
    return short


def beside(left: Text, right: Text, width: int, *, more: str = "…") -> Text:
    """Two texts at the two ends of a line; the left one gives way."""
    gap = width - cell_len(left.plain) - cell_len(right.plain)
    if gap < 1:
        left = cropped(left, max(0, width - cell_len(right.plain) - 1), more=more)
        gap = max(1, width - cell_len(left.plain) - cell_len(right.plain))
    return Text.assemble(left, " " * gap, right)


def prose(text: str, width: int, signs: Signs) -> list[Text]:
    """Markdown as rows."""
    rows: list[Text] = []
    fence = ""
    for line in clean(text).split("\n")[:_MOST_LINES]:
        match = _FENCE.fullmatch(line) if not fence else None
        if fence:
            if line.strip().startswith(fence):
                fence = ""
                continue
            rows += wrap(Text(line, CODE), width, indent=Text(f"{signs.gutter} ", SOFT))
        elif match is not None:
            fence = match["fence"]
            if match["language"]:
                rows.append(Text(f"{signs.gutter} {match['language']}", SOFT))
        else:
            rows += _line(line, width, signs)
    while rows and not rows[-1].plain.strip():
        rows.pop()
    return rows


def _line(line: str, width: int, signs: Signs) -> list[Text]:
    if not line.strip():
        return [Text()]
    if (heading := _HEADING.fullmatch(line)) is not None:
        style = "bold underline" if len(heading["marks"]) == 1 else "bold"
        return wrap(inline(heading["words"], style), width)
    if _RULE.fullmatch(line):
        return [Text(signs.rule * min(width, 40), SOFT)]
    if _TABLE_RULE.fullmatch(line) and "|" in line:
        return [Text(line.rstrip(), SOFT)] if cell_len(line) <= width else []
    if (item := _ITEM.fullmatch(line)) is not None:
        mark = signs.bullet if item["mark"] in "-*+" else item["mark"]
        indent = item["indent"][:16]
        head = Text.assemble(indent, (mark, ACCENT), " ")
        return wrap(inline(item["words"]), width, indent=head, hang=Text(" " * cell_len(head.plain)))
    if (quote := _QUOTE.fullmatch(line)) is not None:
        return wrap(inline(quote["words"], "italic"), width, indent=Text(f"{signs.gutter} ", SOFT))
    indent = line[: len(line) - len(line.lstrip(" "))][:16]
    return wrap(inline(line.lstrip(" ")), width, indent=Text(indent))


def inline(words: str, style: str = "") -> Text:
    """Code, stress and links within a line."""
    told = Text(style=style)
    place = 0
    for match in _INLINE.finditer(words):
        told.append(words[place : match.start()])
        place = match.end()
        if match["code"]:
            told.append(match["coded"].strip() or match["coded"], CODE)
        elif match["strong"]:
            told.append(match["bold"], "bold")
        elif match["italic"]:
            told.append(match["italic"], "italic")
        else:
            label, target = match["label"], match["target"]
            told.append(label or target, "underline")
            if label and target and target != label:
                told.append(f" ({target})", SOFT)
    told.append(words[place:])
    return told
