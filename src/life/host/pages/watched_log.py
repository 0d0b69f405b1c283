"""The newest lines of the daemon's log, for people: what it said since it started, in memory, at most a thousand.

The lines are those that the log has anyway, and the log holds no secrets. Handing one over costs an append.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

MOST_LINES: Final = 1_000
_MOST_CHARACTERS: Final = 4_000


class LogLine(NamedTuple):
    """One line. `at_us` is microseconds since the epoch."""

    at_us: int
    level: str
    logger: str
    message: str


class WatchedLog(logging.Handler):
    """A handler of the root logger that keeps the newest lines."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines: deque[LogLine] = deque(maxlen=MOST_LINES)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line; one that can't be put into words is passed over."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            return
        # A root logger without a handler has warnings written to standard error; one that is watched has to go on with that.
        plain = logging.lastResort
        if plain is not None and record.levelno >= plain.level and logging.getLogger().handlers == [self]:
            plain.handle(record)
        at_us = int(record.created * 1_000_000)
        self._lines.append(LogLine(at_us, record.levelname.lower(), record.name, message[:_MOST_CHARACTERS]))

    def lines(self) -> list[LogLine]:
        """Newest first."""
        return list(reversed(self._lines))


@contextmanager
def watched_log() -> Iterator[WatchedLog]:
    """Keep the lines of this process for the length of the block."""
    kept = WatchedLog()
    root = logging.getLogger()
    root.addHandler(kept)
    try:
        yield kept
    finally:
        root.removeHandler(kept)
