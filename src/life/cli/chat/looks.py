"""How the screen is laid out. Colours are the terminal's own; a wide terminal shows three columns, a narrow one a column at a time."""

from __future__ import annotations

import unicodedata
from typing import Final

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

TWO_COLUMNS: Final = 110
THREE_COLUMNS: Final = 176
LEAST_COLUMNS: Final = 40
LEAST_ROWS: Final = 12

CSS: Final = """
Screen { background: ansi_default; color: ansi_default; layers: base over; }
ModalScreen { align: center middle; background: transparent; }
#body { height: 1fr; }
#chat { width: 1fr; height: 1fr; }
.column { width: 1fr; height: 1fr; display: none; }
.column Listing { height: 1fr; }
.divider { width: 1; height: 1fr; display: none; }
#input { height: auto; }
#prompt { width: 3; height: 1; }
#composer { width: 1fr; height: 1; padding: 0; background: ansi_default; color: ansi_default; }
TextArea { background: ansi_default; color: ansi_default; padding: 0; border: none; }
TextArea .text-area--cursor { text-style: reverse; background: ansi_default; color: ansi_default; }
TextArea .text-area--selection { text-style: reverse; background: ansi_default; }
TextArea .text-area--placeholder { text-style: dim; color: ansi_default; }
Input { background: ansi_default; color: ansi_default; border: none; padding: 0 1; height: 1; }
Input .input--cursor { text-style: reverse; background: ansi_default; color: ansi_default; }
Input .input--placeholder { text-style: dim; color: ansi_default; }
Input .input--selection { text-style: reverse; background: ansi_default; }
#journal-filter { display: none; }
#event { display: none; }
#dialog { width: 90%; max-width: 104; height: 80%; background: ansi_default; border: round ansi_bright_black; padding: 0 1; }
#dialog.plain { border: ascii ansi_bright_black; }
#dialog.fork { height: auto; }
#dialog Listing { height: 1fr; }
AskBar { padding: 0 0; }
"""


class Harmless(LineFilter):
    """The last door to the terminal: what could steer it does not pass, wherever it came from (pasted text, too)."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """See LineFilter."""
        if all(segment.text.isprintable() for segment in segments):
            return segments
        return [
            segment
            if segment.text.isprintable() or segment.control
            else Segment("".join(sign if sign.isprintable() else "\ufffd" for sign in segment.text), segment.style)
            for segment in segments
        ]


class AsciiOnly(LineFilter):
    """Nothing but ASCII leaves for the terminal: what it could not show is a question mark of the same width."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """See LineFilter."""
        return [
            segment if segment.text.isascii() else Segment(plain(segment.text), segment.style, segment.control)
            for segment in segments
        ]


_KNOWN: Final = str.maketrans(
    {
        "…": "~",
        "·": "-",
        "—": "-",
        "–": "-",
        "→": ">",
        "←": "<",
        "↑": "^",
        "↓": "v",
        "×": "x",
        "µ": "u",
        "¤": "$",
        "“": '"',
        "”": '"',
        "‘": "'",
        "’": "'",
        "\u00a0": " ",
        "\u202f": " ",
    }
)


def plain(text: str) -> str:
    """The text in ASCII, cell for cell: letters without their accents, other signs as question marks."""
    kept: list[str] = []
    for character in text.translate(_KNOWN):
        if character.isascii():
            kept.append(character)
            continue
        first = unicodedata.normalize("NFKD", character)[:1]
        kept.append(first if first.isascii() and cell_len(character) == 1 else "?" * cell_len(character))
    return "".join(kept)
