"""The terminal that tests sit at."""

from __future__ import annotations

import sys

import pytest

from tests.harness.process import ProcessError
from tests.harness.terminal import Terminal


def python(program: str, *, columns: int = 80) -> Terminal:
    return Terminal.spawn([sys.executable, "-c", program], columns=columns, lines=5)


def test_what_is_seen_and_what_scrolled_away() -> None:
    """The screen holds the last rows, the text all of them; keys reach the program."""
    with python("for n in range(9): print('row', n)\nprint('got', input())") as terminal:
        terminal.wait_for("row 8")
        terminal.type("keys\r")
        terminal.wait_for("got keys")
        assert terminal.wait() == 0
        assert "row 0" in terminal.text()
        assert not any("row 0" in row for row in terminal.display())


def test_size_and_cursor() -> None:
    """The program learns the window's size, and is answered where the cursor is."""
    program = (
        "import os, sys, termios, tty\n"
        "print(os.get_terminal_size().columns, flush=True)\n"
        "tty.setcbreak(0)\n"
        "sys.stdout.write('\\x1b[6n'); sys.stdout.flush()\n"
        "answer = b''\n"
        "while not answer.endswith(b'R'): answer += os.read(0, 1)\n"
        "print(answer[1:].decode())"
    )
    with python(program, columns=42) as terminal:
        terminal.wait_for(r"^42$")
        terminal.wait_for(r"\[2;1R")


def test_a_program_that_ends_early_is_told_with_its_screen() -> None:
    """Waiting for what never comes fails at once when the program is over, and shows what was seen."""
    with python("print('last words')") as terminal, pytest.raises(ProcessError, match="last words"):
        terminal.wait_for("never", deadline_s=20)
