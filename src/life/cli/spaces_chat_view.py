"""How a channel looks in the chat: who, what, when, wrapped under itself, with the day where it changes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from life.cli.shell.words import Glyphs, one_line, printable, wrapped
from life.cli.spaces_lines import clock_of, event_line, name_of
from life.spaces.listeners.websocket.frames import UpdateFrame
from life.spaces.model import DirectMessage, Message, MessageType, Reaction, Row, Tombstone

NAME_CELLS: Final = 10
_INDENT: Final = 5 + 2 + NAME_CELLS + 2
_NARROW: Final = 48
"""Below this names stand on a line of their own."""
_COLOURS: Final = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green", "bright_magenta")
_TELLING: Final = {
    "space.member_kicked": "was removed by",
    "space.member_banned": "was banned by",
    "space.member_muted": "was muted by",
    "space.member_unmuted": "may write again, by",
    "space.role_changed": "has another role, by",
}
_REMEMBERED: Final = 500


class ChatView:
    """Lines for rows, in the order in which they come. `names` may grow while it is used."""

    def __init__(self, names: Mapping[str, str], me: str, glyphs: Glyphs, *, partners: Mapping[int, str]) -> None:
        """`partners`: with whom each direct conversation is."""
        self._names = names
        self._partners = partners
        self._me = me
        self._glyphs = glyphs
        self._day = ""
        self._said: dict[int, tuple[str, str]] = {}
        """Recent messages: sender and content, so that an answer says what it answers."""

    def begin(self) -> None:
        """Another channel: its first line says the day."""
        self._day = ""
        self._said.clear()

    def row(self, row: Row, width: int) -> list[Text]:
        """A message, tombstone, direct message or reaction as lines of at most `width` cells; nothing for another row."""
        match row:
            case Message():
                return [*self._new_day(row.created_us, width), *self._message(row, width)]
            case Tombstone():
                why = f": {row.reason}" if row.reason else ""
                words = f"{row.message_id} was deleted by {self._name(row.deleted_by)}{why}"
                return self._note(words, row.at_us, width)
            case Reaction():
                _, text = self._said.get(row.message_id, ("", ""))
                about = f"“{one_line(text, 30)}”" if text else f"message {row.message_id}"
                return self._note(f"{self._name(row.identity)} {row.emoji} {about}", row.at_us, width)
            case DirectMessage():
                return self._direct(row, width)
            case _:
                return []

    def event(self, update: UpdateFrame, width: int) -> list[Text]:
        """What moderators did, as far as one is told."""
        lines: list[Text] = []
        for event in update.events:
            words = _TELLING.get(event.kind)
            if words is not None:
                lines += self._note(f"somebody {words} {self._name(update.actor)}", update.at_us, width)
        return lines

    def heading(self, channel: str, space: str, topic: str, width: int) -> list[Text]:
        """The line that a channel begins with."""
        words = f"#{printable(channel)} {self._glyphs.dot} {printable(space)}"
        lines = [Text(""), Text(one_line(words, width), style="bold")]
        return [*lines, *(Text(row, style="dim") for row in wrapped(topic, width))] if topic else lines

    def note(self, words: str, width: int, *, bad: bool = False) -> list[Text]:
        """Something that the program says."""
        return [Text(f"  {row}", style="yellow" if bad else "dim") for row in wrapped(words, width - 2)]

    def table(self, words: str, width: int) -> list[Text]:
        """A line of a list, as it is set; cut at the width."""
        return [
            Text(set_cell_size(line, width).rstrip() if cell_len(line) > width else line, style="dim")
            for line in [printable(words)]
        ]

    # ── parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _message(self, row: Message, width: int) -> list[Text]:
        if row.message_type in (MessageType.JOIN, MessageType.LEAVE, MessageType.SYSTEM):
            return self._note(row.content, row.created_us, width)
        if row.message_type is MessageType.AGENT_EVENT:
            return self._note(event_line(row, self._names).partition("  ")[2], row.created_us, width)
        text = row.content
        if row.reply_to_id is not None:
            sender, answered = self._said.get(row.reply_to_id, ("", ""))
            about = f"{self._name(sender)}: {answered}" if answered else f"message {row.reply_to_id}"
            text = f"{one_line(f'> {about}', width - _indent(width))}\n{text}"
        self._said[row.id] = (row.sender, row.content)
        while len(self._said) > _REMEMBERED:
            del self._said[next(iter(self._said))]
        mark = f"edited {row.id}" if row.edited_us is not None else str(row.id)
        return self._said_by(row.sender, text, row.created_us, mark, width, quoted=row.reply_to_id is not None)

    def _direct(self, row: DirectMessage, width: int) -> list[Text]:
        text = "(sealed)" if row.sealed else row.content
        to = self._partners.get(row.conversation_id, "") if row.sender == self._me else ""
        lines = self._said_by(row.sender, text, row.created_us, f"to @{to} alone" if to else "to you alone", width)
        lines[0].stylize("italic")
        return lines

    def _said_by(
        self, sender: str, text: str, at_us: int, mark: str, width: int, *, quoted: bool = False
    ) -> list[Text]:
        """`12:04  ada         what was said   12`, with the lines that follow under the first."""
        indent = _indent(width)
        rows = wrapped(text, width - indent) or [""]
        name = self._name(sender)
        style = "bold" if sender == self._me else _COLOURS[int(sender[-4:] or "0", 16) % len(_COLOURS)]
        fitted = (
            name if cell_len(name) <= NAME_CELLS else set_cell_size(name, NAME_CELLS - 1).rstrip() + self._glyphs.more
        )
        head = Text.assemble((f"{clock_of(at_us)}  ", "dim"), (set_cell_size(fitted, NAME_CELLS), style))
        lines = [head, *(Text(" " * indent + row) for row in rows)]
        if quoted:
            lines[1].stylize("dim")
        if indent == _INDENT:
            lines[:2] = [Text.assemble(head, "  ", (rows[0], "dim" if quoted else ""))]
        if lines[-1].cell_len + 2 + cell_len(mark) <= width:
            lines[-1].append(f"  {mark}", style="dim")
        else:
            lines.append(Text(" " * indent + one_line(mark, width - indent), style="dim"))
        return lines

    def _note(self, words: str, at_us: int, width: int) -> list[Text]:
        indent = _indent(width)
        first = f"{clock_of(at_us)}  {'*'.rjust(NAME_CELLS)}  " if indent == _INDENT else "* "
        rows = wrapped(words, width - indent) or [""]
        return [Text((first if number == 0 else " " * indent) + row, style="dim") for number, row in enumerate(rows)]

    def _new_day(self, at_us: int, width: int) -> list[Text]:
        day = datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%A, %d %B %Y")
        if day == self._day:
            return []
        self._day = day
        return [Text(one_line(day, width), style="dim")]

    def _name(self, identity: str) -> str:
        return printable(name_of(identity, self._names)) if identity else "somebody"


def _indent(width: int) -> int:
    return _INDENT if width >= _NARROW else 2
