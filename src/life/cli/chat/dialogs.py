"""Dialogs over the screen: something to choose from a list, and the beginning of a branch. What waits for a decision is never one of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, NamedTuple

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from life.cli.chat.prose import SOFT, wrap
from life.cli.chat.sight import Rows
from life.cli.chat.widgets import Bar, Listing, Reel
from life.cli.chat.words import PLAIN, Signs, Words

RowsOf = Callable[[str, int], Awaitable[Sequence[Rows]]]
"""The rows for what was typed, at a width in cells."""


class Picked(NamedTuple):
    """What a person chose, and by which key."""

    key: str
    by: str


class Chooser(ModalScreen[Picked | None]):
    """A filter, a list, and a line of keys. `letters` are keys that choose, too, where nothing is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", show=False, priority=True),
        Binding("down", "to_list", show=False),
        Binding("ctrl+c", "close", show=False, priority=True),
    ]

    def __init__(
        self,
        words: Words,
        signs: Signs,
        *,
        title: str,
        hint: str,
        rows_of: RowsOf,
        placeholder: str | None = None,
        letters: str = "",
    ) -> None:
        super().__init__()
        self._words = words
        self._signs = signs
        self._title = title
        self._hint = hint
        self._rows_of = rows_of
        self._placeholder = placeholder
        self._letters = letters
        self._turn = 0

    def compose(self) -> ComposeResult:
        """See Screen."""
        with Vertical(id="dialog", classes="plain" if self._signs is PLAIN else ""):
            yield Bar(id="dialog-title")
            if self._placeholder is not None:
                yield Input(placeholder=self._placeholder, id="dialog-filter", compact=True)
            yield Reel(self._signs, id="dialog-list")
            yield Bar(id="dialog-hint")

    async def on_mount(self) -> None:
        """See Screen."""
        self.query_one("#dialog-title", Bar).show([Text(f" {self._title}", "bold")])
        self.query_one("#dialog-hint", Bar).show([Text(f" {self._hint}", SOFT)])
        (self.query_one("#dialog-list", Reel) if self._placeholder is None else self.query_one(Input)).focus()
        self.call_after_refresh(self._fill, "")

    async def on_resize(self, _event: events.Resize) -> None:
        """See Screen."""
        filter_ = self.query(Input)
        self.call_after_refresh(self._fill, filter_.first().value if filter_ else "")

    async def _fill(self, typed: str) -> None:
        self._turn += 1
        turn, reel = self._turn, self.query_one("#dialog-list", Reel)
        rows = await self._rows_of(typed, reel.room)
        if turn != self._turn or not self.is_attached:
            return
        reel.show(rows)
        if typed or (self._placeholder is None and not reel.chosen_key):
            first = next((each.key for each in rows if each.key), "")
            reel.choose(first)

    async def on_input_changed(self, event: Input.Changed) -> None:
        """Something was typed."""
        event.stop()
        await self._fill(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in the filter takes what is chosen."""
        event.stop()
        key = self.query_one("#dialog-list", Reel).chosen_key
        if key:
            self.dismiss(Picked(key, "enter"))

    def on_listing_opened(self, event: Listing.Opened) -> None:
        """A row was opened."""
        event.stop()
        self.dismiss(Picked(event.key, "enter"))

    def on_key(self, event: events.Key) -> None:
        """A letter that chooses."""
        if event.character and event.character in self._letters and not isinstance(self.focused, Input):
            event.stop()
            self.dismiss(Picked(self.query_one("#dialog-list", Reel).chosen_key, event.character))

    def action_to_list(self) -> None:
        """From the filter to the list."""
        reel = self.query_one("#dialog-list", Reel)
        reel.focus()
        reel.move(1)

    def action_close(self) -> None:
        """Nothing was chosen."""
        self.dismiss(None)


class Forked(NamedTuple):
    """What a branch is to be called, and what to run on it; without words it only is made."""

    name: str
    words: str


class ForkDialog(ModalScreen[Forked | None]):
    """A branch from a point: to look at, or to run again. Two keys, two words, never one for both (WS-BR-2)."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c", "close", show=False, priority=True),
        Binding("ctrl+s", "make", show=False, priority=True),
        Binding("ctrl+r", "run", show=False, priority=True),
    ]

    def __init__(self, words: Words, signs: Signs, *, at: int, said: str, cost: str) -> None:
        super().__init__()
        self._words = words
        self._signs = signs
        self._at = at
        self._said = said
        self._cost = cost

    def compose(self) -> ComposeResult:
        """See Screen."""
        with Vertical(id="dialog", classes="fork plain" if self._signs is PLAIN else "fork"):
            yield Bar(id="dialog-title")
            yield Bar(id="fork-about")
            yield Input(value=f"try-{self._at}", id="fork-name", compact=True)
            yield Bar(id="fork-run")
            yield Input(value=self._said.replace("\n", " "), id="fork-words", compact=True)
            yield Bar(id="dialog-hint")

    def on_mount(self) -> None:
        """See Screen."""
        self._draw()
        self.query_one("#fork-name", Input).focus()

    def on_resize(self, _event: events.Resize) -> None:
        """See Screen."""
        self.call_after_refresh(self._draw)

    def _draw(self, trouble: str = "") -> None:
        words, width = self._words, max(20, self.query_one("#fork-about", Bar).size.width - 2)
        self.query_one("#dialog-title", Bar).show([Text(f" {words('forkTitle', n=self._at)}", "bold")])
        about = [
            *wrap(Text(words("branchKept", n=self._at)), width, indent=Text(" ")),
            *wrap(Text(words("branchNot"), SOFT), width, indent=Text(" ")),
            Text(),
            Text(f" {words('branchName')}", SOFT),
        ]
        self.query_one("#fork-about", Bar).show(about)
        cost = words("typicalCost", cost=self._cost) if self._cost else words("unknownCost")
        run = [
            Text(),
            *wrap(
                Text.assemble((words("runAgain"), "bold"), (f"  {words('runAgainHint')} {cost}", SOFT)),
                width,
                indent=Text(" "),
            ),
            Text(f" {words('runWith')}", SOFT),
        ]
        self.query_one("#fork-run", Bar).show(run)
        hint = Text(f" {trouble}", "bold yellow") if trouble else Text(f" {words('forkKeys')}", SOFT)
        self.query_one("#dialog-hint", Bar).show([Text(), hint])

    def action_make(self) -> None:
        """Only the branch: nothing runs."""
        name = self.query_one("#fork-name", Input).value.strip()
        if name:
            self.dismiss(Forked(name, ""))
        else:
            self._draw(f"{self._words('branchName')}?")

    def action_run(self) -> None:
        """The branch, and a run on it."""
        name = self.query_one("#fork-name", Input).value.strip()
        said = self.query_one("#fork-words", Input).value.strip()
        if not said:
            self._draw(self._words("forkNeedsWords"))
        elif name:
            self.dismiss(Forked(name, said))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter goes to the next field; it makes nothing by itself."""
        event.stop()
        self.query_one("#fork-words" if event.input.id == "fork-name" else "#fork-name", Input).focus()

    def action_close(self) -> None:
        """No branch."""
        self.dismiss(None)
