"""Where lines go: the interface that a terminal, a pipe and a recording share, and the one for plain streams."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from typing import Final, Protocol, TextIO

from rich.console import Console
from rich.text import Text

from life.cli.shell.words import Glyphs, glyphs_for, is_terminal, printable

NARROWEST: Final = 24
_WIDEST: Final = 120
"""Longer lines are hard to read."""


class Surface(Protocol):
    """Where a conversation is shown."""

    @property
    def width(self) -> int:
        """Cells on a line."""
        ...

    @property
    def glyphs(self) -> Glyphs:
        """The signs it can show."""
        ...

    @property
    def streams(self) -> bool:
        """Whether answers are written piece by piece (`piece`) instead of line by line (`answer`)."""
        ...

    def piece(self, text: str) -> None:
        """A piece of an answer."""
        ...

    def answer(self, lines: Sequence[Text]) -> None:
        """Finished lines of an answer."""
        ...

    def aside(self, lines: Sequence[Text]) -> None:
        """Everything that is not an answer: cards, notes, the user's own words."""
        ...

    def refresh(self) -> None:
        """What moves has changed."""
        ...


class StreamSurface:
    """Answers on standard output, everything else on standard error; nothing moves."""

    def __init__(
        self, out: TextIO | None = None, err: TextIO | None = None, *, quiet: bool = False, silent: bool = False
    ) -> None:
        """`quiet`: no asides. `silent`: no answers either; whoever calls prints the last one."""
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._quiet = quiet
        self._silent = silent
        self._console = line_console(self._err)
        self._column_is_zero = True
        self.glyphs = glyphs_for(self._err)
        self.streams = True

    @property
    def width(self) -> int:
        """See Surface."""
        return terminal_width(self._err)

    def piece(self, text: str) -> None:
        """See Surface."""
        text = printable(text)
        if self._silent or not text:
            return
        self._out.write(text)
        self._out.flush()
        self._column_is_zero = text.endswith("\n")

    def answer(self, lines: Sequence[Text]) -> None:
        """See Surface."""
        for line in lines:
            self.piece(f"{line.plain}\n")

    def end_line(self) -> None:
        """Begin a new line, unless one has begun."""
        if not self._column_is_zero:
            self._out.write("\n")
            self._out.flush()
            self._column_is_zero = True

    def aside(self, lines: Sequence[Text]) -> None:
        """See Surface."""
        if self._quiet:
            return
        if is_terminal(self._out):
            self.end_line()
        for line in lines:
            if line.plain or is_terminal(self._err):
                self._console.print(line, soft_wrap=not is_terminal(self._err))

    def refresh(self) -> None:
        """See Surface."""


def line_console(stream: TextIO, *, width: int | None = None, force: bool = False) -> Console:
    """A console that prints text as it is: no markup, no emoji names, no highlighting."""
    return Console(
        file=stream,
        width=width or terminal_width(stream),
        force_terminal=True if force else None,
        highlight=False,
        markup=False,
        emoji=False,
    )


def terminal_width(stream: TextIO) -> int:
    """Cells on a line: of the terminal at most 120, without one 100."""
    if not is_terminal(stream):
        return 100
    columns = shutil.get_terminal_size((80, 24)).columns
    return max(NARROWEST, min(columns, _WIDEST))


def is_plain(stdin: TextIO, stdout: TextIO) -> bool:
    """Whether there is no terminal that can move its cursor."""
    return not (is_terminal(stdin) and is_terminal(stdout)) or os.environ.get("TERM", "dumb") in ("dumb", "")
