"""Lists of rows that scroll: only what is seen is drawn. The first column marks what is chosen, the last one where one is in the list.

No scrollbar, border or hover of the library is used: everything on the screen is a sign of `life.cli.chat.words.Signs`, so that a terminal
without Unicode, without colour or behind a slow line shows the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from life.cli.chat.prose import console
from life.cli.chat.sight import Rows
from life.cli.chat.words import Signs

_CHOSEN: Final = Style(color="cyan", bold=True)
_SOFT: Final = Style(dim=True)
EDGES: Final = 2
"""Columns that a list keeps for itself."""


def strip_of(line: Text, width: int) -> Strip:
    """A line as Textual draws it, exactly so wide."""
    if not line.spans:  # Rich leaves a text's own style to whoever prints it
        segments = [Segment(line.plain, console.get_style(line.style))]
    else:
        segments = [Segment(each.text, each.style) for each in line.render(console, end="") if not each.control]
    return Strip(segments).adjust_cell_length(width)


class Resized(Message):
    """A part of the screen has another size, and is to be drawn anew."""


class Bar(Widget):
    """Lines that stand still."""

    DEFAULT_CSS = "Bar { height: 1; display: none; }"

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._lines: list[Text] = []

    def show(self, lines: Sequence[Text]) -> None:
        """Draw these lines; the bar is as high as they are, and gone without any."""
        if [(line.plain, line.spans) for line in lines] == [(line.plain, line.spans) for line in self._lines]:
            return
        before, self._lines = len(self._lines), list(lines)
        if before != len(lines):
            self.styles.height = len(lines)
            self.styles.display = "block" if lines else "none"
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """See Widget."""
        line = self._lines[y] if y < len(self._lines) else Text()
        return strip_of(line, self.size.width).apply_style(self.rich_style)


class Listing(ScrollView, can_focus=True):
    """A list over rows that a subclass gives by their place."""

    DEFAULT_CSS = """
    Listing { scrollbar-size: 0 0; overflow-x: hidden; overflow-y: scroll; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "choose(-1)", show=False),
        Binding("down,j", "choose(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("g", "end(-1)", show=False),
        Binding("G,shift+g", "end(1)", show=False),
        Binding("home", "home", show=False),
        Binding("end", "end(1)", show=False),
        Binding("enter", "open", show=False),
    ]

    class Opened(Message):
        """A row was opened."""

        def __init__(self, listing: Listing, key: str) -> None:
            super().__init__()
            self.listing = listing
            self.key = key

        @property
        def control(self) -> Listing:
            """Which list."""
            return self.listing

    class AtTop(Message):
        """Somebody goes up from the first row."""

        def __init__(self, listing: Listing) -> None:
            super().__init__()
            self.listing = listing

    def __init__(self, signs: Signs, *, id: str, sticks: bool = False) -> None:
        """`sticks`: whether it follows its end while it stands there."""
        super().__init__(id=id)
        self.signs = signs
        self.sticks = sticks
        self.at_end = True

    # What a subclass gives; this one is empty

    def line_count(self) -> int:
        """How many lines there are."""
        return 0

    def line(self, y: int) -> Text:
        """One line."""
        return Text()

    def is_chosen(self, y: int) -> bool:
        """Whether a line belongs to what is chosen."""
        return False

    def move(self, by: int) -> None:
        """Choose another row, by so many."""

    def choose_line(self, y: int) -> bool:
        """Choose the row of a line; whether it was chosen already."""
        return False

    @property
    def chosen_key(self) -> str:
        """The key of what is chosen, or nothing."""
        return ""

    # Drawing

    @property
    def room(self) -> int:
        """Cells for a line's own content."""
        return max(8, self.size.width - EDGES)

    def resized(self) -> None:
        """The number of lines has changed."""
        total = self.line_count()
        size = Size(self.size.width, total)
        if self.virtual_size != size:
            self.virtual_size = size
        if self.sticks and self.at_end:
            self.scroll_to(y=max(0, total - self.size.height), animate=False, force=True)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """See Widget."""
        width, height = self.size.width, self.size.height
        top = round(self.scroll_y)
        place, total = y + top, self.line_count()
        line = self.line(place) if place < total else Text()
        chosen = self.has_focus and place < total and self.is_chosen(place)
        mark = Segment(self.signs.half if chosen else " ", _CHOSEN if chosen else None)
        thumb = Segment(self.signs.thumb if self._is_thumb(y, top, height, total) else " ", _SOFT)
        inner = strip_of(line, max(0, width - EDGES))
        return Strip([mark, *inner, thumb]).apply_style(self.rich_style)

    @staticmethod
    def _is_thumb(y: int, top: int, height: int, total: int) -> bool:
        if total <= height or height <= 0:
            return False
        length = max(1, height * height // total)
        first = round((height - length) * top / max(1, total - height))
        return first <= y < first + length

    # Moving

    def _moved(self) -> None:
        """A person has moved: whether the end is followed is decided by that alone, not by what grows or is resized."""
        self.at_end = round(self.scroll_y) >= max(0, self.line_count() - self.size.height)

    def on_mouse_scroll_down(self) -> None:
        """The wheel."""
        self.call_after_refresh(self._moved)

    def on_mouse_scroll_up(self) -> None:
        """The wheel."""
        self.at_end = False
        self.call_after_refresh(self._moved)

    def go_to(self, y: int, height: int = 1) -> None:
        """Scroll so that these lines are seen."""
        top, seen = round(self.scroll_y), self.size.height
        if y < top:
            self.scroll_to(y=y, animate=False, force=True)
        elif y + height > top + seen:
            self.scroll_to(y=min(y, y + height - seen), animate=False, force=True)
        self._moved()
        self.refresh()

    def action_choose(self, by: int) -> None:
        """The row before or after."""
        self.move(by)

    def action_page(self, direction: int) -> None:
        """A screenful."""
        top = round(self.scroll_y) + direction * max(1, self.size.height - 2)
        if direction < 0 and round(self.scroll_y) == 0:
            self.post_message(self.AtTop(self))
        top = max(0, min(top, self.line_count() - self.size.height))
        self.scroll_to(y=top, animate=False, force=True)
        self.choose_line(max(0, min(top + (self.size.height - 1 if direction > 0 else 0), self.line_count() - 1)))
        self._moved()
        self.refresh()

    def action_end(self, direction: int) -> None:
        """The first row, or the last."""
        if direction < 0 and round(self.scroll_y) == 0:
            self.post_message(self.AtTop(self))
        last = max(0, self.line_count() - 1)
        self.choose_line(0 if direction < 0 else last)
        self.scroll_to(y=0 if direction < 0 else max(0, last + 1 - self.size.height), animate=False, force=True)
        self._moved()
        self.refresh()

    def action_home(self) -> None:
        """The first row."""
        self.action_end(-1)

    def action_open(self) -> None:
        """Open what is chosen."""
        if self.chosen_key:
            self.post_message(self.Opened(self, self.chosen_key))

    def on_click(self, event: events.Click) -> None:
        """Choose a row; a row that is chosen is opened."""
        y = event.y + round(self.scroll_y)
        if 0 <= y < self.line_count() and self.choose_line(y):
            self.action_open()
        self.refresh()

    def on_focus(self) -> None:
        """Show what is chosen."""
        self.refresh()

    def on_blur(self) -> None:
        """Hide what is chosen."""
        self.refresh()

    def on_resize(self) -> None:
        """Rows are drawn anew by whoever shows them."""
        self.resized()
        self.post_message(Resized())


class Reel(Listing):
    """A list of rows that are given whole."""

    def __init__(self, signs: Signs, *, id: str, sticks: bool = False) -> None:
        super().__init__(signs, id=id, sticks=sticks)
        self._rows: list[Rows] = []
        self._lines: list[tuple[Text, int]] = []
        self._starts: list[int] = []
        self._chosen = ""

    def show(self, rows: Sequence[Rows]) -> None:
        """Draw these rows. What was chosen stays chosen, by its key."""
        self._rows = list(rows)
        self._lines, self._starts = [], []
        for number, each in enumerate(self._rows):
            self._starts.append(len(self._lines))
            self._lines += [(line, number) for line in each.lines]
        if self._place() is None:
            self._chosen = ""
        self.resized()

    @property
    def chosen_key(self) -> str:
        """See Listing."""
        return self._chosen

    def choose(self, key: str) -> None:
        """Choose a row by its key, and show it."""
        self._chosen = key
        place = self._place()
        if place is not None:
            self.go_to(self._starts[place], len(self._rows[place].lines))

    def _place(self) -> int | None:
        if not self._chosen:
            return None
        return next((number for number, each in enumerate(self._rows) if each.key == self._chosen), None)

    def line_count(self) -> int:
        """See Listing."""
        return len(self._lines)

    def line(self, y: int) -> Text:
        """See Listing."""
        return self._lines[y][0]

    def is_chosen(self, y: int) -> bool:
        """See Listing."""
        line, number = self._lines[y]
        return bool(self._chosen) and self._rows[number].key == self._chosen and bool(line.plain.strip())

    def move(self, by: int) -> None:
        """See Listing; rows without a key are passed over, and without any the lines scroll."""
        places = [number for number, each in enumerate(self._rows) if each.key]
        if not places:
            if by < 0 and round(self.scroll_y) == 0:
                self.post_message(self.AtTop(self))
            self.scroll_to(y=max(0, round(self.scroll_y) + by), animate=False, force=True)
            self._moved()
            return
        now = self._place()
        if now is None:
            seen = range(round(self.scroll_y), round(self.scroll_y) + self.size.height)
            inside = [place for place in places if self._starts[place] in seen]
            after = (inside[-1] if self.sticks else inside[0]) if inside else places[-1 if self.sticks else 0]
        elif by < 0 and now == places[0]:
            self.post_message(self.AtTop(self))
            after = now
        else:
            index = max(0, min(places.index(now) + by, len(places) - 1))
            after = places[index]
        self.choose(self._rows[after].key)

    def choose_line(self, y: int) -> bool:
        """See Listing."""
        if not self._lines:
            return False
        key = self._rows[self._lines[max(0, min(y, len(self._lines) - 1))][1]].key
        was, self._chosen = self._chosen, key or self._chosen
        return bool(key) and was == key
