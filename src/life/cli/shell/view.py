"""A conversation on a surface: what was said and done, line by line, and what moves right now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple

from rich.cells import cell_len
from rich.text import Text

from life.aios.json import Json
from life.aios.ports.clock import Clock
from life.aios.record import EventRecord
from life.cli.shell import cards
from life.cli.shell.items import (
    Asked,
    CallBegun,
    CallDone,
    Decided,
    InDoubt,
    Item,
    MessageEnd,
    Note,
    Piece,
    RunBegun,
    RunEnded,
    Said,
    Thought,
)
from life.cli.shell.surface import Surface
from life.cli.shell.transcript import Transcript, without_attachments
from life.cli.shell.words import one_line, printable, seconds

_SPIN_US: Final = 100_000
_PREVIEW_ROWS: Final = 6
"""Of a line that is being written."""

Block = Literal["", "said", "text", "card", "note"]


class _Running(NamedTuple):
    tool_name: str
    arguments: Json
    since_us: int


class ShellView:
    """One branch of one session. `take` shows an event; `live` is what moves."""

    def __init__(self, surface: Surface, clock: Clock, *, echo: bool = True, show_thoughts: bool = False) -> None:
        self.surface = surface
        self.transcript = Transcript()
        self.show_thoughts = show_thoughts
        self.on_item: Callable[[Item], None] = lambda _item: None
        """Hears everything that is new, after it was shown."""
        self._clock = clock
        self.echo = echo
        """Whether the user's own words are shown; who types into a plain stream sees them already."""
        self._markdown = cards.Markdown()
        self._partial = ""
        self._held: list[str] = []
        self._block: Block = ""
        self._running: dict[str, _Running] = {}
        self._thinking_since_us = 0
        self._last_thought = ""

    @property
    def busy(self) -> bool:
        """Whether a run is open."""
        return self.transcript.run_id is not None

    def learn(self, record: EventRecord) -> None:
        """Take an event in without showing it."""
        self.transcript.take(record)

    def take(self, record: EventRecord) -> None:
        """Show an event."""
        for item in self.transcript.take(record):
            self._show(item)
            self.on_item(item)
        self.surface.refresh()

    def note(self, text: str, *, bad: bool = False) -> None:
        """Say something that is no event."""
        self._begin("note")
        self.surface.aside(cards.note(Note(text, "bad" if bad else "plain"), self.surface.width))

    def lines(self, lines: Sequence[Text]) -> None:
        """Show lines of a command."""
        self._begin("card")
        self.surface.aside(lines)
        self._block = ""
        self.surface.aside([Text("")])

    def question(self, item: Asked, now: str | None = None) -> None:
        """Show a call that waits, with the file as it is `now` where it was read."""
        change = self.transcript.files.proposed(item.tool_name, item.arguments, now=now)
        self._begin("card")
        self.surface.aside(cards.question(item, change, self.surface.glyphs, self.surface.width))

    def thoughts(self) -> str:
        """What the model last let people read of its thinking."""
        return self._last_thought

    def live(self) -> list[Text]:
        """The lines that move: the end of the answer, running calls, what is waited for, messages that wait."""
        glyphs, width = self.surface.glyphs, self.surface.width
        lines: list[Text] = []
        now_us = self._clock.monotonic_us()
        spinner = glyphs.spinner[now_us // _SPIN_US % len(glyphs.spinner)]
        if self._partial:
            lines += _last_rows(self._markdown.preview(self._partial), width)
        for call in self._running.values():
            elapsed_ms = (now_us - call.since_us) // 1000
            lines.append(cards.running(call.tool_name, call.arguments, elapsed_ms, spinner, width))
        if self.busy and not self._running and not self._partial and self._thinking_since_us:
            waited = (now_us - self._thinking_since_us) // 1_000_000
            took = f" {glyphs.dot} {seconds(waited * 1000)}" if waited else ""
            lines.append(Text.assemble((f"{spinner} ", "cyan"), ("thinking", "dim"), (took, "dim")))
        for message in self.transcript.queued.values():
            lines.append(
                Text(f"{glyphs.waiting} {one_line(without_attachments(message).text, width - 12)}  (waits)", "dim")
            )
        return lines

    def waiting(self) -> None:
        """Nothing works: a person is asked."""
        self._thinking_since_us = 0

    # One thing to show after the other

    def _show(self, item: Item) -> None:
        glyphs, width = self.surface.glyphs, self.surface.width
        match item:
            case Piece() if self.transcript.has_open_calls:
                # Text is told at once, results once they are durable: the answer to a result may come before it.
                self._held.append(item.text)
            case Piece():
                self._piece(item.text)
            case MessageEnd():
                self._running.clear()
                self._release()
                self._end_message()
            case Said():
                self._end_message()
                if self.echo:
                    self._begin("said")
                    self.surface.aside(cards.said(item, glyphs))
            case Thought():
                self._last_thought = item.text
                self._begin("note")
                self.surface.aside(cards.thought(item.text, glyphs, shown=self.show_thoughts))
            case RunBegun():
                self._thinking()
            case CallBegun():
                self._running[item.call_id] = _Running(item.tool_name, item.arguments, self._clock.monotonic_us())
            case CallDone():
                self._running.pop(item.call_id, None)
                self._thinking()
                self._begin("card")
                self.surface.aside(cards.card(item, glyphs, width))
                if not self.transcript.has_open_calls:
                    self._release()
            case Decided():
                self._thinking()
                self._begin("card")
                self.surface.aside(cards.decided(item, glyphs))
            case InDoubt():
                self._begin("card")
                self.surface.aside(cards.doubt(item, glyphs, width))
            case RunEnded():
                self._running.clear()
                self._release()
                self._end_message()
                self._thinking_since_us = 0
                self._begin("note")
                self.surface.aside(cards.ended(item, glyphs, width))
            case Note():
                self._begin("note")
                self.surface.aside(cards.note(item, width))
            case _:
                pass  # a question is shown by whoever asks it, and a doubt that is over needs no line

    def _release(self) -> None:
        """Show what was held back."""
        held, self._held = self._held, []
        for text in held:
            self._piece(text)

    def _thinking(self) -> None:
        self._thinking_since_us = self._clock.monotonic_us()

    def _begin(self, block: Block) -> None:
        """A new kind of block stands after an empty line."""
        if block != "text":
            self._end_message()
        if self._block not in ("", block):
            self.surface.aside([Text("")])
        self._block = block

    def _piece(self, text: str) -> None:
        if self._block != "text":
            text = text.lstrip("\n")
            if not text:
                return
            self._begin("text")
        if self.surface.streams:
            self.surface.piece(text)
            return
        *whole, self._partial = (self._partial + text).split("\n")
        if whole:
            self.surface.answer([self._markdown.line(line) for line in whole])

    def _end_message(self) -> None:
        if self._block == "text" and self.surface.streams:
            self.surface.piece("\n")
        elif self._partial.strip():
            self.surface.answer([self._markdown.line(self._partial)])
        if self._block == "text":
            self._block = "card"  # the next thing, also another text, stands apart
            self.surface.aside([Text("")])
            self._block = ""
        self._partial = ""
        self._markdown.reset()


def _last_rows(line: Text, width: int) -> list[Text]:
    """The end of a long line, as many rows as are shown of it."""
    if cell_len(printable(line.plain)) <= width * _PREVIEW_ROWS:
        return [line]
    return [line[-(width * (_PREVIEW_ROWS - 1)) :]]
