"""Where a person types: several lines, what was said before, completion of commands and files.

Source: WS-CTRL-1, WS-CTRL-3, WS-CTRL-6 (no single-letter shortcut while text is typed).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from textual import events
from textual.message import Message
from textual.widgets import TextArea

from life.cli.chat.untrusted import clean
from life.cli.shell.mentions import matching_files

MOST_ROWS: Final = 8
_MENTION: Final = re.compile(r'(?:^|[\s(])@(?P<quote>"?)(?P<prefix>[^"\n]*)$')
_COMMAND: Final = re.compile(r"/(?P<name>[A-Za-z0-9_?-]*)$")
MOST_HINTS: Final = 6


class Hint(NamedTuple):
    """Something that completes what is typed."""

    text: str
    """What takes the place of the last `replaces` characters."""
    replaces: int
    label: str
    about: str


class Composer(TextArea):
    """The input. Enter sends, Alt-Enter breaks the line, Tab completes."""

    class Sent(Message):
        """Something was said."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """Escape."""

    class Hinted(Message):
        """What could complete the text has changed."""

    def __init__(self, *, id: str, root: Path, commands: Callable[[], Sequence[tuple[str, str]]]) -> None:
        super().__init__(id=id, compact=True, highlight_cursor_line=False, tab_behavior="focus", soft_wrap=True)
        self.hints: list[Hint] = []
        self.chosen_hint = 0
        self.before: list[str] = []
        """What was said before, oldest first."""
        self._root = root
        self._commands = commands
        self._back = 0
        self._draft = ""
        self._keys = {
            "enter": self.action_send,
            "alt+enter": self.action_break_line,
            "shift+enter": self.action_break_line,
            "ctrl+j": self.action_break_line,
            "tab": self.action_complete,
            "escape": self.action_leave,
        }

    def put(self, text: str) -> None:
        """Text to be changed and sent; what is being typed stays behind it."""
        text = clean(text)
        self.text = text if not self.text.strip() or self.text == text else f"{text}\n{self.text}"
        self.move_cursor(self.document.end)
        self._grow()

    def action_send(self) -> None:
        """Send what is typed; a backslash at the end breaks the line instead."""
        if self.text.endswith("\\") and not self.text.startswith("/"):
            self.text = self.text[:-1] + "\n"
            self.move_cursor(self.document.end)
            return
        text, self._back = self.text, 0
        if not text.strip():
            return
        self.text = ""
        if not text.startswith(" "):
            self.before.append(text)
        self._grow()
        self.post_message(self.Sent(text))

    def action_break_line(self) -> None:
        """A new line."""
        self.insert("\n")

    def action_complete(self) -> None:
        """Take the chosen hint; without any go to the next part of the screen."""
        if not self.hints:
            self.screen.focus_next()
            return
        hint = self.hints[self.chosen_hint]
        row, column = self.cursor_location
        self.replace(hint.text, (row, column - hint.replaces), (row, column))
        self._hint()

    def action_leave(self) -> None:
        """Close the hints, or leave the input."""
        if self.hints:
            self._set_hints([])
        else:
            self.post_message(self.Left())

    async def _on_key(self, event: events.Key) -> None:
        # Not by bindings: those of a focused widget are looked up before the letters that were typed before them have arrived.
        row, _ = self.cursor_location
        done = self._keys.get(event.key)
        if done is not None:
            done()
        elif event.key in ("up", "down") and self.hints:
            step = -1 if event.key == "up" else 1
            self.chosen_hint = (self.chosen_hint + step) % len(self.hints)
            self.post_message(self.Hinted())
        elif (event.key == "up" and row == 0 and self._older()) or (
            event.key == "down" and row == self.document.line_count - 1 and self._newer()
        ):
            pass
        else:
            await super()._on_key(event)
            return
        event.prevent_default()
        event.stop()

    def _older(self) -> bool:
        """What was said before this."""
        if self._back >= len(self.before):
            return False
        if self._back == 0:
            self._draft = self.text
        self._back += 1
        self._replace(self.before[-self._back])
        return True

    def _newer(self) -> bool:
        if self._back == 0:
            return False
        self._back -= 1
        self._replace(self._draft if self._back == 0 else self.before[-self._back])
        return True

    def _replace(self, text: str) -> None:
        self.text = text
        self.move_cursor(self.document.end)

    def on_text_area_changed(self) -> None:
        """Something was typed."""
        self._grow()
        self._hint()

    def _grow(self) -> None:
        rows = max(1, min(self.wrapped_document.height, MOST_ROWS))
        if self.styles.height is None or self.styles.height.value != rows:
            self.styles.height = rows

    def _hint(self) -> None:
        row, column = self.cursor_location
        before = self.document.get_line(row)[:column]
        command = _COMMAND.fullmatch(before) if row == 0 else None
        if command is not None:
            start = command["name"].lower()
            self._set_hints(
                [
                    Hint(f"{name} ", len(start), f"/{name}", about)
                    for name, about in self._commands()
                    if name.startswith(start)
                ]
            )
            return
        mention = _MENTION.search(before)
        if mention is None or (not mention["quote"] and " " in mention["prefix"]):
            self._set_hints([])
            return
        hints = []
        for path in matching_files(mention["prefix"], self._root)[:MOST_HINTS]:
            quoted = mention["quote"] or " " in path
            text = f'"{path}"' if quoted and not path.endswith("/") else f'"{path}' if quoted else path
            hints.append(Hint(text, len(mention["quote"] + mention["prefix"]), f"@{path}", ""))
        self._set_hints(hints)

    def _set_hints(self, hints: list[Hint]) -> None:
        if hints != self.hints:
            self.hints, self.chosen_hint = hints, 0
            self.post_message(self.Hinted())
