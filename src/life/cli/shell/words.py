"""Text for terminals: without anything that could steer one, cut by its width in cells, and amounts as people read them."""

from __future__ import annotations

import sys
from typing import Final, NamedTuple, TextIO

import msgspec
from rich.cells import cell_len, set_cell_size

from life.aios.json import Json

_TELLING: Final = ("path", "command", "pattern", "url", "query", "name", "key", "content")
"""Arguments that say most about a call; the first that is there comes without its name."""

_LONG: Final = 200


class Glyphs(NamedTuple):
    """The few signs that are used, and what stands for them where a terminal has no Unicode."""

    prompt: str = "›"
    call: str = "●"
    gutter: str = "│"
    thought: str = "∴"
    dot: str = "·"
    more: str = "…"
    waiting: str = "⋯"
    spinner: str = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


PLAIN_GLYPHS: Final = Glyphs(">", "*", "|", "~", "-", "...", "...", "|/-\\")


def glyphs_for(stream: TextIO) -> Glyphs:
    """Those that the stream's encoding can hold."""
    encoding = (getattr(stream, "encoding", None) or "ascii").lower()
    return Glyphs() if encoding.replace("-", "") == "utf8" else PLAIN_GLYPHS


def printable(text: str) -> str:
    """The text without what could steer a terminal; tabs become blanks."""
    text = text.replace("\r\n", "\n").expandtabs(4)
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() or character == "\n" else "\ufffd" for character in text)


def one_line(text: str, width: int, *, more: str = "…") -> str:
    """The text on one line of at most `width` cells."""
    line = " ".join(printable(text[: 4 * width + _LONG]).split())
    if cell_len(line) <= width and len(text) <= 4 * width + _LONG:
        return line
    return set_cell_size(line, max(1, width - cell_len(more))).rstrip() + more


def wrapped(text: str, width: int) -> list[str]:
    """The text in rows of at most `width` cells, broken between words where that is possible."""
    rows: list[str] = []
    for line in printable(text).split("\n"):
        row = ""
        for word in line.split(" "):
            longer = f"{row} {word}" if row else word
            if row and cell_len(longer) > width:
                rows.append(row)
                longer = word
            while cell_len(longer) > width:
                head = set_cell_size(longer, width).rstrip() or longer[:1]
                rows.append(head)
                longer = longer[len(head) :]
            row = longer
        rows.append(row)
    return rows


def short_arguments(arguments: Json, width: int) -> str:
    """A call's arguments on one line: what says most first."""
    if not isinstance(arguments, dict):
        return one_line(arguments if isinstance(arguments, str) else as_json(arguments), width)
    first = next((name for name in _TELLING if isinstance(arguments.get(name), str)), None)
    parts = [] if first is None else [str(arguments[first])]
    for name, value in arguments.items():
        if name == first or name == "content" or isinstance(value, list | dict):
            continue
        parts.append(f"{name}={value if isinstance(value, str) else as_json(value)}")
    if not parts and arguments:
        parts = [as_json(arguments)]
    return one_line("  ".join(parts), width)


def as_json(value: Json) -> str:
    """Compact JSON."""
    return msgspec.json.encode(value).decode()


def pretty_json(value: Json) -> str:
    """JSON over several lines, for people to change."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def plural(count: int, one: str, many: str = "") -> str:
    """`1 file`, `2 files`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def tokens(count: int) -> str:
    """`812`, `1.2k`, `3.4M`."""
    if count < 1_000:
        return str(count)
    if count < 1_000_000:
        return f"{count / 1_000:.1f}k"
    return f"{count / 1_000_000:.1f}M"


def dollars(micro: int) -> str:
    """Micro-USD as dollars: `$0.0012`, `$1.25`."""
    return f"${micro / 1_000_000:.2f}" if micro >= 1_000_000 else f"${micro / 1_000_000:.4f}"


def seconds(milliseconds: int) -> str:
    """`12 ms`, `2.3 s`, `4 min 10 s`."""
    if milliseconds < 1_000:
        return f"{milliseconds} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1_000:.1f} s"
    return f"{milliseconds // 60_000} min {milliseconds % 60_000 // 1_000} s"


def size(count: int) -> str:
    """`812 bytes`, `1.2 kB`, `3.4 MB`."""
    if count < 1_000:
        return plural(count, "byte")
    return f"{count / 1_000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"


def is_terminal(stream: TextIO) -> bool:
    """Whether a person sits behind the stream."""
    return stream.isatty()


def can_ask() -> bool:
    """Whether a person can be asked here: both input and notes are a terminal."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)
