"""What agents, tools and strangers wrote, made fit for a terminal: no control sequence, no change of direction, nothing of no width.

Whole escape sequences go (CSI, OSC and their kin, in seven and eight bits), not only their first byte, so that a coloured log stays readable. Nothing
here is ever read as Rich or Textual markup: lines are built as `rich.text.Text`, whose text is plain.

Source: WS-TUI-3, WS-TUI-6; ECMA-48 §5.4 (control sequences), §5.6 (control strings); UAX #9 (directional formatting).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from rich.cells import cell_len

_SEQUENCES: Final = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI …
    "|(?:\x1b[PX^_\\]]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)?"  # OSC, DCS, SOS, PM, APC
    "|\x1b[ -/]*[0-~]?"  # everything else that begins with ESC
)
_BREAKS: Final = str.maketrans({"\r": "\n", "\u2028": "\n", "\u2029": "\n", "\x0b": "\n", "\x0c": "\n", "\x85": "\n"})
_VARIATION: Final = frozenset(chr(code) for code in range(0xFE00, 0xFE10))
"""They change the width of the sign before them, in some terminals."""
_DROPPED: Final = frozenset(("Cf", "Cn", "Co"))


def clean(text: str) -> str:
    """The text on one or several lines."""
    if text.isascii() and text.isprintable():
        return text
    text = _SEQUENCES.sub("", text.replace("\r\n", "\n")).translate(_BREAKS).expandtabs(4)
    if text.isprintable() and not _VARIATION.intersection(text):
        return text
    return "".join(_fit(character) for character in text)


def _fit(character: str) -> str:
    if character == "\n":
        return character
    if character in _VARIATION:
        return ""
    if character.isprintable():
        return character
    category = unicodedata.category(character)
    if category == "Zs":
        return " "
    return "" if category in _DROPPED or category == "Cc" else "\ufffd"


def one_line(text: str, width: int, *, more: str = "…") -> str:
    """The text on one line of at most `width` cells, cut at its end."""
    if width <= 0:
        return ""
    most = 4 * width + 200
    line = " ".join(clean(text[:most]).split())
    if cell_len(line) <= width and len(text) <= most:
        return line
    return f"{cut(line, max(0, width - cell_len(more))).rstrip()}{more}"


def cut(text: str, width: int) -> str:
    """As much of a line as fits in so many cells."""
    if cell_len(text) <= width:
        return text
    room, end = width, 0
    for character in text:
        room -= cell_len(character)
        if room < 0:
            break
        end += 1
    return text[:end]


def middle(text: str, width: int, *, more: str = "…") -> str:
    """An identifier or a path without its middle, in at most `width` cells."""
    text = one_line(text, 2000)
    if cell_len(text) <= width or width < 5:
        return cut(text, max(0, width))
    left = (width - cell_len(more)) // 2
    tail = ""
    for character in reversed(text):
        if cell_len(tail) + cell_len(character) > width - cell_len(more) - left:
            break
        tail = character + tail
    return f"{cut(text, left)}{more}{tail}"
