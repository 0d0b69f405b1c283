"""A terminal that a test sits at: a program behind a pseudo-terminal, and the screen that a person would see (pyte).

    with Terminal.spawn([BIN / "arcan", "shell"], cwd=folder, columns=80, lines=24) as terminal:
        terminal.wait_for("› ")
        terminal.type("hello\\r")
        print(terminal.text())

What the program asks of the terminal (where is the cursor?) is answered, as a real one does.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import pyte

from tests.harness.process import ProcessError, child_environment

CTRL_C = "\x03"
CTRL_D = "\x04"
ENTER = "\r"
ALT_ENTER = "\x1b\r"
TAB = "\t"
UP = "\x1b[A"


class _Screen(pyte.HistoryScreen):
    """A screen that writes its answers back to the program."""

    def __init__(self, columns: int, lines: int, descriptor: int) -> None:
        super().__init__(columns, lines, history=5_000, ratio=0.5)
        self._descriptor = descriptor

    def write_process_input(self, data: str) -> None:
        os.write(self._descriptor, data.encode())


class Terminal:
    """One program in one terminal. `stop` it in the end, or use it as a context manager."""

    def __init__(self, name: str, pid: int, descriptor: int, columns: int, lines: int) -> None:
        self.name = name
        self.pid = pid
        self.raw = bytearray()
        """Everything that the program wrote."""
        self.exit_code: int | None = None
        self._descriptor = descriptor
        self._screen = _Screen(columns, lines, descriptor)
        self._stream = pyte.ByteStream(self._screen)

    @classmethod
    def spawn(
        cls,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        columns: int = 80,
        lines: int = 24,
        locale: str = "C.UTF-8",
    ) -> Self:
        """Start a program in a terminal of this size."""
        command = [str(part) for part in argv]
        wanted = {"TERM": "xterm-256color", "LC_ALL": locale, "LANG": locale, **(env or {})}
        environment = child_environment(wanted)
        pid, descriptor = pty.fork()
        if pid == 0:
            try:
                if cwd is not None:
                    os.chdir(cwd)
                os.execvpe(command[0], command, environment)
            finally:
                os._exit(127)
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        return cls(Path(command[0]).name, pid, descriptor, columns, lines)

    def resize(self, columns: int, lines: int) -> None:
        """Make the window another size."""
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._screen.resize(lines, columns)
        os.kill(self.pid, signal.SIGWINCH)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._descriptor, keys.encode())

    def display(self) -> list[str]:
        """The rows of the screen, without blanks at their ends."""
        return [row.rstrip() for row in self._screen.display]

    def text(self) -> str:
        """Everything that can be seen, what has scrolled away included."""
        past = [self._row(row) for row in self._screen.history.top]
        return "\n".join([*past, *self.display()])

    def wait_for(self, pattern: str, *, deadline_s: float = 30.0, on_screen: bool = False) -> re.Match[str]:
        """Read until the text (with `on_screen` only what is seen now) matches. ProcessError when the program ends first, or in time nothing
        matches."""
        wanted = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + deadline_s
        while True:
            found = wanted.search("\n".join(self.display()) if on_screen else self.text())
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise self._failure(f"never showed {pattern!r}")
            if not self._read(0.05) and self.exit_code is not None:
                raise self._failure(f"ended with {self.exit_code} before it showed {pattern!r}")

    def settle(self, quiet_s: float = 0.3, *, deadline_s: float = 3.0) -> None:
        """Read until nothing was written for a while, or something moves for ever."""
        deadline = time.monotonic() + deadline_s
        while self._read(quiet_s) and time.monotonic() < deadline:
            pass

    def wait(self, *, deadline_s: float = 20.0) -> int:
        """Read to the program's end; its exit code, negative for a signal."""
        deadline = time.monotonic() + deadline_s
        while self.exit_code is None:
            self._read(0.05)
            if time.monotonic() > deadline:
                raise self._failure("did not end")
        return self.exit_code

    def kill(self) -> None:
        """End the program at once, as a crash would."""
        if self.exit_code is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def stop(self) -> None:
        """End the program, if it has not ended."""
        if self.exit_code is None:
            os.kill(self.pid, signal.SIGTERM)
            try:
                self.wait(deadline_s=5)
            except ProcessError:
                self.kill()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def _read(self, wait_s: float) -> bool:
        """Take in what the program wrote; whether there was anything."""
        ready, _, _ = select.select([self._descriptor], [], [], wait_s)
        if ready:
            try:
                data = os.read(self._descriptor, 65_536)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                data = b""
            if data:
                self.raw += data
                self._stream.feed(data)
                return True
        if self.exit_code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
        return False

    @staticmethod
    def _row(row: Mapping[int, pyte.screens.Char]) -> str:
        cells = "".join(row[column].data for column in range(max(row, default=-1) + 1))
        return cells.rstrip()

    def _failure(self, what: str) -> ProcessError:
        seen = self.text()
        if self.exit_code is None:
            os.kill(self.pid, signal.SIGKILL)
        return ProcessError(f"{self.name} {what}\n--- screen\n{seen[-4000:]}")
