"""Time, by event: where one looks, the points worth seeing, and how it plays. Moving it looks; it never runs anything (WS-REP-2, WS-REP-3)."""

from __future__ import annotations

from typing import ClassVar, Final

from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from life.cli.chat.prose import ACCENT, BAD, SOFT, WAIT
from life.cli.chat.sight import Sight
from life.cli.chat.track import Mode
from life.cli.chat.widgets import Resized, strip_of

_MARKS: Final = {
    "user": ("u", f"bold {ACCENT}"),
    "failure": ("!", f"bold {BAD}"),
    "approval": ("?", f"bold {WAIT}"),
    "payment": ("$", f"bold {WAIT}"),
    "fork": ("Y", "bold"),
    "end": (".", SOFT),
}
_LABELS: Final[dict[Mode, str]] = {"live": "liveAt", "paused": "pausedAt", "replay": "replayAt"}
_WEIGHT: Final = ("end", "fork", "user", "payment", "approval", "failure")
"""Which of several marks on one cell is seen: the last of these."""


class Scrubber(Widget, can_focus=True):
    """One line: the position, the track with its marks, the speed."""

    DEFAULT_CSS = "Scrubber { height: 1; }"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "app.seek_end(-1)", show=False),
        Binding("end", "app.seek_end(1)", show=False),
        Binding("enter", "app.play", show=False),
    ]

    class Pointed(Message):
        """A place on the track was clicked."""

        def __init__(self, share: float) -> None:
            super().__init__()
            self.share = share

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._line = Text()
        self._first = 0
        self._room = 1

    def show(self, sight: Sight) -> None:
        """Draw where one stands."""
        track, words, signs = sight.track, sight.words, sight.signs
        width = max(24, self.size.width)
        mode = track.mode
        sign = {"live": signs.live, "paused": signs.pause, "replay": signs.play}[mode]
        style = {"live": "bold green", "paused": f"bold {WAIT}", "replay": f"bold {ACCENT}"}[mode]
        name = "endAt" if mode == "live" and track.connection == "closed" else _LABELS[mode]
        label = words("seeking", n=track.seeking) if track.seeking else words(name, n=words.whole(track.shown))
        left = Text.assemble(" ", (f"{sign} {label} ", f"{style} reverse" if self.has_focus else style))
        right = Text(f" / {words.whole(track.head)}", SOFT)
        if track.new_since and not sight.is_live:
            right.append(f"  {words('newEvents', n=track.new_since)}", f"bold {WAIT}")
        if track.speed != 1.0 or mode == "replay":
            right.append(f"  {track.speed:g}x", SOFT)
        room = max(4, width - len(left.plain) - len(right.plain) - 2)
        self._first, self._room = len(left.plain) + 1, room
        self._line = Text.assemble(left, " ", self._track(sight, room), right)
        self.refresh()

    def _track(self, sight: Sight, room: int) -> Text:
        track, signs = sight.track, sight.signs
        head = max(1, track.head)
        cells: list[tuple[str, str]] = [(signs.track, SOFT)] * room
        order = sorted(track.marks, key=lambda mark: _WEIGHT.index(mark.kind) if mark.kind in _WEIGHT else 0)
        for mark in order:
            place = min(room - 1, (mark.seq - 1) * room // head)
            cells[place] = _MARKS.get(mark.kind, (signs.track, SOFT))
        knob = min(room - 1, max(0, track.shown - 1) * room // head) if track.shown < head else room - 1
        cells[knob] = (signs.knob, "bold")
        return Text.assemble(*cells)

    def render_line(self, y: int) -> Strip:
        """See Widget."""
        return strip_of(self._line, self.size.width).apply_style(self.rich_style)

    def on_resize(self) -> None:
        """The track has another length."""
        self.post_message(Resized())

    def on_click(self, event: events.Click) -> None:
        """Look at the place that was clicked."""
        if self._first <= event.x < self._first + self._room:
            self.post_message(self.Pointed((event.x - self._first) / max(1, self._room - 1)))
