"""The two columns beside the conversation: files and journal in the middle, inspectors at the right. Each says where what it shows comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input

from life.arcan.workspace_files import WorkspaceFile
from life.cli.chat.commands import INSPECTORS, MIDDLE
from life.cli.chat.economy_panes import autonomic_pane, identity_pane, ledger_pane
from life.cli.chat.files_pane import Preview, files_pane
from life.cli.chat.journal_pane import FILTERS, JournalList, event_rows, wanted_of
from life.cli.chat.prose import SOFT, cropped
from life.cli.chat.reader import Found, Wanted
from life.cli.chat.reasoning_panes import context_pane, judge_pane, trace_pane
from life.cli.chat.sight import Rows, Sight
from life.cli.chat.status import pane_tabs, source_line
from life.cli.chat.widgets import Bar, Reel, strip_of
from life.cli.chat.words import Signs

_DRAWN: Final[dict[str, Callable[[Sight, int], list[Rows]]]] = {
    "trace": trace_pane,
    "judge": judge_pane,
    "context": context_pane,
    "autonomic": autonomic_pane,
    "ledger": ledger_pane,
    "identity": identity_pane,
}


class Divider(Widget):
    """The line between two columns."""

    def __init__(self, signs: Signs) -> None:
        super().__init__(classes="divider")
        self._signs = signs

    def render_line(self, y: int) -> Strip:
        """See Widget."""
        return strip_of(Text(self._signs.split, SOFT), self.size.width).apply_style(self.rich_style)


class FilesReel(Reel):
    """The tree of files."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("a", "app.all_files", show=False)]


class JournalReel(JournalList):
    """Every event."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "app.view_event", show=False),
        Binding("b", "app.fork_event", show=False),
        Binding("f", "app.next_family", show=False),
        Binding("n", "app.quiet", show=False),
        Binding("slash", "app.filter_journal", show=False),
    ]


class EventReel(Reel):
    """One event."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "app.view_event", show=False),
        Binding("b", "app.fork_event", show=False),
    ]


class InspectorReel(Reel):
    """An inspector."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "app.preview('content')", show=False),
        Binding("d", "app.preview('difference')", show=False),
        Binding("h", "app.preview('history')", show=False),
    ]


class MiddleColumn(Vertical):
    """Files, the journal, one event."""

    def __init__(self, signs: Signs) -> None:
        super().__init__(id="middle", classes="column")
        self.pane = "files"
        self.words = ""
        self.family = ""
        self.quiet = False
        self.event = 0
        """The event that is shown whole; 0: the list."""
        self.there: Sequence[WorkspaceFile] | None = None
        """All files that are there now, when those are asked for."""
        self._signs = signs
        self._found: Found | None = None
        self._found_for: object = None

    def compose(self) -> ComposeResult:
        """See Widget."""
        yield Bar(id="middle-tabs")
        yield Input(id="journal-filter", compact=True)
        yield FilesReel(self._signs, id="files")
        yield JournalReel(self._signs, id="journal")
        yield EventReel(self._signs, id="event")
        yield Bar(id="middle-source")

    @property
    def listing(self) -> Widget:
        """What has the focus when the column has it."""
        name = "files" if self.pane == "files" else "event" if self.event else "journal"
        return self.query_one(f"#{name}")

    @property
    def wanted(self) -> Wanted | None:
        """The journal's filter."""
        return wanted_of(self.words, self.family, quiet=self.quiet)

    def stale_for(self, sight: Sight) -> bool:
        """Whether the filter has to be asked again."""
        return self.wanted is not None and self._found_for != (self.wanted, sight.track.shown, sight.track.stream)

    def found(self, found: Found, sight: Sight, wanted: Wanted, through: int) -> None:
        """What the filter let through."""
        self._found, self._found_for = found, (wanted, through, sight.track.stream)

    def next_family(self) -> None:
        """The next filter by family."""
        self.family = FILTERS[(FILTERS.index(self.family) + 1) % len(FILTERS)]

    def draw(self, sight: Sight, *, focused: bool, acts: bool) -> None:
        """Draw the pane that is chosen."""
        width = max(20, self.size.width)
        files, journal, event = (
            self.query_one("#files", FilesReel),
            self.query_one("#journal", JournalReel),
            self.query_one("#event", EventReel),
        )
        files.display = self.pane == "files"
        event.display = self.pane == "journal" and self.event > 0
        journal.display = self.pane == "journal" and not self.event
        self.query_one("#middle-tabs", Bar).show([self._head(sight, width, focused=focused)])
        self.query_one("#middle-source", Bar).show([source_line(sight, self.pane, width, acts=acts)])
        if self.pane == "files":
            files.show(files_pane(sight, files.room, self.there if sight.is_live else None))
        elif self.event:
            record = sight.record(self.event)
            loading = [Rows("", (Text(sight.words("loading"), SOFT),))]
            event.show(loading if record is None else event_rows(sight, record, event.room))
        elif self.wanted is None:
            journal.show(sight, None)
        else:
            journal.show(sight, () if self._found is None else tuple(reversed(self._found.sequences)))

    def _head(self, sight: Sight, width: int, *, focused: bool) -> Text:
        words = sight.words
        tabs = pane_tabs(sight, MIDDLE, self.pane, width, focused=focused)
        if self.pane == "files":
            tabs.append(f"  {words('allFiles' if self.there is not None else 'touched').lower()}", SOFT)
            return cropped(tabs, width, more=sight.signs.more)
        parts = []
        if self.family:
            parts.append(words("families", family=words.term("fam_", self.family)))
        if self.words:
            parts.append(f'"{self.words}"')
        if self.quiet:
            parts.append(words("noiseHidden"))
        if self.wanted is not None and self._found is not None:
            key = "foundN" if self._found.complete else "foundMore"
            parts.append(words(key, n=len(self._found.sequences)))
        else:
            parts.append(words("eventsN", n=words.whole(sight.track.shown)))
        tabs.append(f"  {f' {sight.signs.dot} '.join(parts)}", SOFT)
        return cropped(tabs, width, more=sight.signs.more)


class RightColumn(Vertical):
    """One inspector."""

    def __init__(self, signs: Signs) -> None:
        super().__init__(id="right", classes="column")
        self.pane = "trace"
        self.preview: Preview | None = None
        self._signs = signs
        self._shown = ""

    def compose(self) -> ComposeResult:
        """See Widget."""
        yield Bar(id="right-tabs")
        yield InspectorReel(self._signs, id="inspector")
        yield Bar(id="right-source")

    @property
    def listing(self) -> Widget:
        """What has the focus when the column has it."""
        return self.query_one("#inspector")

    def draw(self, sight: Sight, *, focused: bool, acts: bool) -> None:
        """Draw the inspector that is chosen."""
        width = max(20, self.size.width)
        reel = self.query_one("#inspector", InspectorReel)
        tabs = pane_tabs(sight, INSPECTORS, self.pane, width, focused=focused)
        self.query_one("#right-tabs", Bar).show([tabs])
        self.query_one("#right-source", Bar).show([source_line(sight, self.pane, width, acts=acts)])
        if self.pane == "preview":
            reel.show([] if self.preview is None else self.preview.rows(reel.room))
        else:
            reel.show(_DRAWN[self.pane](sight, reel.room))
        name = (
            self.pane
            if self.pane != "preview" or self.preview is None
            else f"preview/{self.preview.path}/{self.preview.shown}"
        )
        if name != self._shown:
            self._shown = name
            reel.scroll_to(y=0, animate=False, force=True)
