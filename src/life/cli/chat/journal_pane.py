"""Every event of the branch up to the position, or those that fit a filter: a list of any length, drawn as far as it is seen."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from rich.text import Text

from life.aios.record import EventRecord, format_timestamp
from life.cli.chat.describe import FAMILIES, NOISE, family, name_of, summary
from life.cli.chat.prose import ACCENT, BAD, GOOD, SOFT, WAIT, wrap
from life.cli.chat.reader import Wanted
from life.cli.chat.sight import Rows, Sight, clock_time
from life.cli.chat.untrusted import clean, cut, one_line
from life.cli.chat.widgets import Listing
from life.cli.chat.words import Signs
from life.cli.shell.words import pretty_json
from life.workspace.values import fields_of

_STYLES: Final = {
    "talk": f"bold {ACCENT}",
    "run": "bold",
    "tool": GOOD,
    "file": GOOD,
    "policy": WAIT,
    "money": WAIT,
    "judge": ACCENT,
    "session": "bold",
}
_ALARMS: Final = ("Failed", "Error", "Denied", "violation", "CircuitBreaker")
FILTERS: Final = ("", *FAMILIES)


class JournalList(Listing):
    """Sequences, oldest first; `found` narrows them."""

    def __init__(self, signs: Signs, *, id: str) -> None:
        super().__init__(signs, id=id, sticks=True)
        self._sight: Sight | None = None
        self._found: Sequence[int] | None = None
        self._through = 0
        self._chosen = 0

    def show(self, sight: Sight, found: Sequence[int] | None) -> None:
        """Events of `found` (ascending), or all up to the position."""
        self._sight, self._found = sight, found
        self._through = sight.track.shown
        if sight.track.position is not None and found is None and not self.has_focus:
            self._chosen = self._through
        self.resized()

    @property
    def chosen_key(self) -> str:
        """See Listing."""
        return f"#{self._chosen}" if self._chosen else ""

    def sequence(self, y: int) -> int:
        """The event on a line."""
        return y + 1 if self._found is None else self._found[y]

    def line_count(self) -> int:
        """See Listing."""
        return self._through if self._found is None else len(self._found)

    def line(self, y: int) -> Text:
        """See Listing."""
        assert self._sight is not None
        sequence = self.sequence(y)
        number = Text(f"{sequence:>6} ", SOFT)
        record = self._sight.record(sequence)
        if record is None:
            return Text.assemble(number, (self.signs.more, SOFT))
        name = one_line(name_of(record), 60)
        room = self.room
        narrow = room < 64
        time = "" if narrow else f"{clock_time(format_timestamp(record.timestamp_us))} "
        kind = cut(name, 20 if narrow else 26).ljust(20 if narrow else 26)
        style = BAD if any(word in name for word in _ALARMS) else _STYLES.get(family(name), SOFT)
        line = Text.assemble(number, (time, SOFT), (f"{kind} ", style))
        line.append(one_line(summary(record), max(4, room - len(line.plain)), more=self.signs.more))
        return line

    def is_chosen(self, y: int) -> bool:
        """See Listing."""
        return self.sequence(y) == self._chosen

    def _line_of(self, sequence: int) -> int:
        found = self._found
        if found is None:
            return max(0, min(sequence, self._through) - 1)
        return max(0, min(bisect_left(found, sequence), len(found) - 1))

    def choose(self, sequence: int) -> None:
        """Choose an event, and show it."""
        if self.line_count():
            y = self._line_of(sequence)
            self._chosen = self.sequence(y)
            self.go_to(y)

    def move(self, by: int) -> None:
        """See Listing."""
        total = self.line_count()
        if not total:
            return
        if not self._chosen:
            self.choose(self.sequence(total - 1))
            return
        y = max(0, min(self._line_of(self._chosen) + by, total - 1))
        self._chosen = self.sequence(y)
        self.go_to(y)

    def choose_line(self, y: int) -> bool:
        """See Listing."""
        if not self.line_count():
            return False
        was, self._chosen = self._chosen, self.sequence(max(0, min(y, self.line_count() - 1)))
        return was == self._chosen


def wanted_of(words: str, chosen: str, *, quiet: bool) -> Wanted | None:
    """A filter; None when it lets everything through."""
    split = tuple(words.casefold().split())
    kinds = FAMILIES.get(chosen, ())
    unlike = NOISE if quiet and chosen != "state" else ()
    return Wanted(split, kinds, unlike) if split or kinds or unlike else None


def event_rows(sight: Sight, record: EventRecord, width: int) -> list[Rows]:
    """One event, whole."""
    words = sight.words
    actor = record.actor.type + (f" {sight.signs.dot} {record.actor.component}" if record.actor.component else "")
    head = Text.assemble((f"#{record.sequence} ", "bold"), (one_line(name_of(record), 80), f"bold {ACCENT}"))
    rows = [Rows("", (head, Text()))]
    for name, value in (
        (words("actor"), actor),
        (words("time"), format_timestamp(record.timestamp_us)),
        ("id", record.event_id),
        (words("correlation"), record.correlation_id or ""),
        (words("causation"), record.causation_id or ""),
    ):
        if value:
            rows.append(Rows("", (Text.assemble((f"{name:<12} ", SOFT), one_line(value, width - 13)),)))
    told = fields_of(record.payload)
    body = clean(pretty_json(told)).split("\n")[:4_000]
    return [*rows, Rows("", (Text(),)), *(Rows("", wrap(Text(row), width, hang=Text("    "))) for row in body)]
