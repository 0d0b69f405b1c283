"""What is drawn from: a state, its track, the words and signs, and what a person has opened. Rows are what widgets show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from rich.text import Text

from life.aios.record import EventRecord
from life.cli.chat.reader import About
from life.cli.chat.track import Track
from life.cli.chat.words import Signs, Words
from life.workspace.state import State


class Rows(NamedTuple):
    """Some lines that belong together: an entry, a file, a fact. `key` is empty for what can't be chosen."""

    key: str
    lines: Sequence[Text]


class Sight:
    """Everything that a pane is drawn from."""

    def __init__(self, track: Track, words: Words, signs: Signs) -> None:
        self.track = track
        self.words = words
        self.signs = signs
        self.about: About | None = None
        self.wallets = State()
        """What the wallets wrote about the session, folded."""
        self.opened: set[str] = set()
        """Keys of what is shown whole."""
        self.open_all = False
        self.deadlines: Mapping[str, int] = {}
        """When calls that wait are refused by themselves, by approval id."""
        self.now_us = 0
        """The wall clock, for what is running; a replay shows none."""

    @property
    def state(self) -> State:
        """The state at the position."""
        return self.track.state

    @property
    def is_live(self) -> bool:
        """Whether one looks at the head."""
        return self.track.position is None

    def record(self, sequence: int, branch: str = "") -> EventRecord | None:
        """An event, when it is here."""
        return self.track.record(sequence, branch)

    def is_open(self, key: str) -> bool:
        """Whether this is shown whole."""
        return (key in self.opened) != self.open_all

    def toggle(self, key: str) -> None:
        """Show it whole, or not."""
        self.opened ^= {key}


def clock_time(timestamp: str) -> str:
    """The time of day of an RFC 3339 text, UTC: `14:03:22`."""
    return timestamp[11:19]


def day_time(us: int) -> str:
    """`2026-11-20 14:03`, UTC."""
    return datetime.fromtimestamp(us / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M")


def between_ms(began: str, ended: str) -> int:
    """Milliseconds between two times of the journal; 0 when they make no sense."""
    try:
        span = datetime.fromisoformat(ended) - datetime.fromisoformat(began)
    except ValueError:
        return 0
    return max(0, round(span.total_seconds() * 1000))
