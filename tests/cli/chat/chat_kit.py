"""`life chat` as a test starts it: in a real pseudo-terminal on a data directory, or headless over a recording."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from tests.cli.shell_kit import environment
from tests.harness.terminal import Terminal

F1, F2, F3, F4, F5 = "\x1bOP", "\x1bOQ", "\x1bOR", "\x1bOS", "\x1b[15~"
F6, F7, F8, F9, F10 = "\x1b[17~", "\x1b[18~", "\x1b[19~", "\x1b[20~", "\x1b[21~"
ESC, LEFT, RIGHT, HOME, END = "\x1b", "\x1b[D", "\x1b[C", "\x1b[H", "\x1b[F"

_COMMAND = "from life.cli.chat.command import chat; chat()"


def argv(folder: Path, *options: str) -> list[str]:
    """The command, on the folder's data directory."""
    return [sys.executable, "-c", _COMMAND, "--data-dir", str(folder / "life"), *options]


def open_chat(
    folder: Path,
    *options: str,
    columns: int = 80,
    lines: int = 24,
    env: Mapping[str, str] | None = None,
    locale: str = "C.UTF-8",
) -> Terminal:
    """`life chat` in a terminal."""
    return Terminal.spawn(
        argv(folder, *options),
        env={**environment(folder), **(env or {})},
        cwd=folder,
        columns=columns,
        lines=lines,
        locale=locale,
    )
