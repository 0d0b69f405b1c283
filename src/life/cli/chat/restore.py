"""The terminal as it was, also when the program had no time for it.

What the library switches on (the other screen, mouse reports, bracketed paste, keyboard protocols) it switches off again at any end that it lives to
see. After kill -9 or out of memory nobody would; so a very small process waits at the end of a pipe, and does it when the pipe breaks. It reads
nothing, asks nothing and ends with the chat.

Source: WS-TUI-3; xterm control sequences (DECRST 1049, 1000, 1003, 1006, 1015, 2004, 1004; DECSET 25; DECSTBM).
"""

from __future__ import annotations

import os
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

RESTORE: Final = "\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[?2026l\x1b[<u\x1b[?7h\x1b[0m\x1b[?1049l\x1b[?25h"

_WATCH: Final = """
import os, signal, sys, termios
for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGTTOU", "SIGTSTP"):
    signal.signal(getattr(signal, name), signal.SIG_IGN)
if os.read(0, 1):
    os._exit(0)
try:
    os.write(1, sys.argv[1].encode("latin-1"))
    now = termios.tcgetattr(1)
    if not now[3] & termios.ISIG:  # nobody else has taken the terminal over yet
        termios.tcsetattr(1, termios.TCSANOW, [*map(int, sys.argv[2:6]), *now[4:]])
except (OSError, termios.error):
    pass
os._exit(0)
"""


@contextmanager
def guarded_terminal() -> Iterator[None]:
    """Within it the terminal is put back whatever ends this process. Where no process can be started it does nothing."""
    try:
        modes = [str(mode) for mode in termios.tcgetattr(1)[:4]]
    except termios.error:
        yield
        return
    reader, writer = os.pipe()
    try:
        watch: subprocess.Popen[bytes] | None = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _WATCH, RESTORE, *modes],
            stdin=reader,
            stdout=1,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        watch = None
    os.close(reader)
    try:
        yield
    finally:
        with suppress(OSError):
            os.write(writer, b"q")
        os.close(writer)
        if watch is not None:
            watch.wait()
