"""Parts that inspectors share: headings, facts, meters, lines over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from life.cli.chat.prose import ACCENT, BAD, GOOD, SOFT, WAIT, wrap
from life.cli.chat.sight import Rows, Sight

_NAMES: Final = 22


def heading(words: str, about: str = "") -> Rows:
    """A heading, an empty line before it."""
    return Rows("", (Text(), Text.assemble((words, "bold"), (f"  {about}" if about else "", SOFT))))


def blank(sight: Sight, words: str, width: int) -> list[Rows]:
    """Why a pane is empty."""
    return [Rows("", (Text(), *wrap(Text(words, SOFT), width)))]


def fact(name: str, value: str | Text, width: int, *, style: str = "") -> Rows:
    """A name and its value, wrapped under itself."""
    told = value if isinstance(value, Text) else Text(value, style)
    name = name[:1].upper() + name[1:]
    label = min(_NAMES, max(10, width // 3))
    padding = " " * max(1, label - cell_len(name))
    head = Text.assemble((name, SOFT), padding)
    if cell_len(name) >= label:
        return Rows("", (Text(name, SOFT), *wrap(told, width, indent=Text("  "))))
    return Rows("", wrap(told, width, indent=head, hang=Text(" " * label)))


def meter(sight: Sight, name: str, value: float, width: int, *, bad_over: float = 2.0, marks: str = "") -> Rows:
    """A share of one as a bar, with its figure."""
    label = min(_NAMES, max(10, width // 3))
    room = max(6, min(30, width - label - 6))
    filled = round(max(0.0, min(1.0, value)) * room)
    style = BAD if value > bad_over else WAIT if value > bad_over * 0.85 else GOOD
    bar = Text.assemble(
        (name[:label].ljust(label), SOFT),
        (sight.signs.full * filled, style),
        (sight.signs.empty * (room - filled), SOFT),
        f" {value:>4.0%}",
        (f" {marks}" if marks else "", SOFT),
    )
    return Rows("", (bar,))


def sparkline(sight: Sight, name: str, values: Sequence[float], width: int) -> Rows:
    """Shares of one over time, the newest at the right."""
    label = min(_NAMES, max(10, width // 3))
    room = max(6, min(60, width - label))
    signs = sight.signs.sparks
    shown = [values[len(values) * place // room] for place in range(room)] if len(values) > room else values
    line = "".join(signs[min(len(signs) - 1, int(max(0.0, min(1.0, value)) * len(signs)))] for value in shown)
    return Rows("", (Text.assemble((name[:label].ljust(label), SOFT), (line, ACCENT)),))
