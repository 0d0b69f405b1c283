"""What a tool card shows under its head: a difference, output, an error, or what was asked for; cut short until it is opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from life.aios.json import Json
from life.cli.chat.prose import SOFT, cropped, wrap
from life.cli.chat.sight import Sight
from life.cli.chat.untrusted import clean
from life.cli.shell.known_files import Difference, KnownFiles
from life.cli.shell.words import plural, pretty_json
from life.workspace.state import Entry
from life.workspace.values import Fields, fields, fields_of, items, text, whole

_SHORT: Final = 6
"""Lines of a card that is not opened."""

_MOST: Final = 2_000
_SIGNS: Final = {"+": "green", "-": "red", " ": "dim", "@": "cyan"}
_LISTS: Final = ("entries", "matches", "files", "paths")
_SAYS: Final = ("message", "error", "explanation", "detail")


class Differences:
    """What calls did to files, learnt from the conversation's events in their order, as far as they are here."""

    def __init__(self, sight: Sight) -> None:
        self._sight = sight
        self._known = KnownFiles()
        self._learnt: dict[tuple[str, int], Difference | None] = {}
        self._codes: dict[tuple[str, int], int] = {}

    def learn(self, entries: Sequence[Entry]) -> None:
        """Take in the calls that have their result by now."""
        for entry in entries:
            place = (entry.branch, entry.end)
            if entry.kind != "tool" or not entry.end or place in self._learnt:
                continue
            asked = self._sight.record(entry.seq, entry.branch)
            told = self._sight.record(entry.end, entry.branch)
            if asked is None or told is None:
                continue
            result = fields_of(told.payload).get("result")
            code = whole(fields(result).get("exit_code"))
            if code:
                self._codes[place] = code
            arguments = fields_of(asked.payload).get("arguments")
            self._learnt[place] = self._known.learn(entry.label, arguments, result) if entry.state == "ok" else None

    def of(self, entry: Entry) -> Difference | None:
        """What the call changed."""
        return self._learnt.get((entry.branch, entry.end))

    def exit_code(self, entry: Entry) -> int:
        """The exit code of a command that ran and failed; 0 otherwise."""
        return self._codes.get((entry.branch, entry.end), 0)

    def proposed(self, tool: str, arguments: Json, now: str | None = None) -> Difference | None:
        """What the call would change; `now` is the file as it is, where somebody read it."""
        return self._known.proposed(tool, arguments, now=now)


def tool_body(sight: Sight, entry: Entry, differences: Differences, width: int, *, whole: bool) -> list[Text]:
    """The rows under the head."""
    asked = sight.record(entry.seq, entry.branch)
    told = sight.record(entry.end, entry.branch) if entry.end else None
    arguments = None if asked is None else fields_of(asked.payload).get("arguments")
    rows: list[Text] = []
    change = differences.of(entry)
    if change is not None and change.lines:
        rows = difference_rows(sight, change)
    elif told is not None:
        answer = fields_of(told.payload)
        result: Json = answer.get("result") if "result" in answer else answer.get("error")
        rows = _result(result, told_ok=entry.state == "ok")
    if whole:
        extra = _arguments(sight, entry, arguments)
        if told is not None and change is not None:
            extra += [
                Text(),
                Text(sight.words("result"), SOFT),
                *_result(fields_of(told.payload).get("result"), told_ok=True),
            ]
        rows = [*extra, *([Text()] if rows else []), *rows]
    gutter = Text(f"{sight.signs.gutter} ", SOFT)
    most = _MOST if whole else _SHORT
    shown = [_gutter(gutter, row, width, sight, wraps=whole) for row in rows[:most]]
    flat = [row for group in shown for row in group]
    if len(rows) > most:
        flat.append(
            Text(f"{sight.signs.gutter} {sight.signs.more} {sight.words('moreLines', n=len(rows) - most)}", SOFT)
        )
    return flat


def _gutter(gutter: Text, row: Text, width: int, sight: Sight, *, wraps: bool) -> list[Text]:
    if wraps:
        return wrap(row, width, indent=gutter)
    return [Text.assemble(gutter, cropped(row, width - 2, more=sight.signs.more))]


def difference_rows(sight: Sight, change: Difference) -> list[Text]:
    """A difference, with its sum before it."""
    count = plural(change.added, "line") if change.is_whole else f"+{change.added} -{change.removed}"
    path = clean(change.path).replace("\n", " ")
    rows = [Text(f"{path}  {count}", SOFT)]
    return rows + [Text(f"{line.sign} {clean(line.text)}", _SIGNS[line.sign]) for line in change.lines]


def _arguments(sight: Sight, entry: Entry, arguments: Json) -> list[Text]:
    given: Fields = fields(arguments)
    if entry.label == "bash" and text(given.get("command")):
        return [
            Text(f"$ {row}" if not number else f"  {row}", "bold")
            for number, row in enumerate(clean(text(given["command"])).split("\n"))
        ]
    if not given:
        return []
    shown = {name: value for name, value in given.items() if name != "content"}
    rows = [Text(sight.words("arguments"), SOFT)]
    return rows + [Text(row) for row in clean(pretty_json(shown)).split("\n")]


def _result(result: Json, *, told_ok: bool) -> list[Text]:
    """What came of it, as people read it."""
    style = SOFT if told_ok else ""
    if isinstance(result, str):
        return _lines(result, style)
    given = fields(result)
    if not told_ok:
        for name in _SAYS:
            if words := text(given.get(name)):
                return _lines(words, style)
    output = "\n".join(part for name in ("stdout", "stderr") if (part := text(given.get(name)).rstrip("\n")))
    if output:
        return _lines(output, style)
    if words := text(given.get("content")) or text(given.get("text")):
        return _lines(words, style)
    for name in _LISTS:
        if isinstance(given.get(name), list):
            return [Text(_item(item), style) for item in items(given[name])] or [Text("-", style)]
    if "stdout" in given or result in (None, {}, [], ""):
        return []
    return _lines(pretty_json(result), style)


def _lines(words: str, style: str) -> list[Text]:
    return [Text(row, style) for row in clean(words).rstrip("\n").split("\n")]


def _item(item: Json) -> str:
    """One of a list: its path and size, or whatever it is, on one line."""
    given = fields(item)
    name = text(given.get("path")) or text(given.get("name"))
    if name:
        line, words = whole(given.get("line")), text(given.get("text"))
        return clean(f"{name}{f':{line}' if line else ''}{f'  {words}' if words else ''}").replace("\n", " ")
    return clean(item if isinstance(item, str) else pretty_json(item)).replace("\n", " ")
