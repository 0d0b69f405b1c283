"""What a conversation's events tell about the contents of files, so that an edit can be shown as a difference.

Nothing is read from disk: a session that is replayed shows the same differences as it did live. Contents come from what
`read_file`, `edit_file` and `write_file` said; where they said too little, only what a call brought in is shown.
"""

from __future__ import annotations

import difflib
import re
from typing import Final, Literal, NamedTuple, TypeVar

import msgspec

from life.aios.errors import LifeError
from life.aios.json import Json
from life.praxis.hashline import DeleteLine, Operation, ReplaceLine, ReplaceRange, apply, tags_of
from life.praxis.tools.edit_file import EditFileArguments
from life.praxis.tools.write_file import WriteFileArguments

_ROW: Final = re.compile(r" *(?P<number>[0-9]+) (?P<tag>[0-9a-f]{4,16}) \| (?P<text>.*)", re.DOTALL)
_CONTEXT_LINES: Final = 2
_MOST_LINES: Final = 4_000
"""Longer files are not compared line by line."""

T = TypeVar("T")
Sign = Literal["+", "-", " ", "@"]


class DiffLine(NamedTuple):
    """A line of a difference: added, removed, context, or a place (`@`)."""

    sign: Sign
    text: str


class Difference(NamedTuple):
    """What a call did to a file."""

    path: str
    lines: tuple[DiffLine, ...]
    is_new: bool = False
    is_whole: bool = False
    """Whether all of the new content is shown, because nobody knows what was there before."""

    @property
    def added(self) -> int:
        """How many lines were added."""
        return sum(line.sign == "+" for line in self.lines)

    @property
    def removed(self) -> int:
        """How many lines were removed."""
        return sum(line.sign == "-" for line in self.lines)


class _View(msgspec.Struct):
    """What the file tools answer, as far as it is read here."""

    path: str = ""
    content: str = ""
    first_line: int = 1
    total_lines: int | None = None
    lines: int = 0
    truncated: bool = False
    created: bool = False
    next_line: int | None = None


class KnownFiles:
    """Whole contents by path, and lines by their tags. Not shared between branches."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._first: dict[str, str | None] = {}
        self._tags: dict[str, dict[str, str]] = {}

    def proposed(self, tool_name: str, arguments: Json, *, now: str | None = None) -> Difference | None:
        """What a call would do. `now` is the file as it is, where somebody read it."""
        if tool_name == "write_file":
            written = _converted(arguments, WriteFileArguments)
            if written is None:
                return None
            before = self._texts.get(written.path) if now is None else now
            lines = compare(before or "", written.content)
            return Difference(written.path, lines, is_whole=before is None)
        if tool_name == "edit_file":
            edit = _converted(arguments, EditFileArguments)
            if edit is None:
                return None
            before = self._texts.get(edit.path) if now is None else now
            if before is not None:
                try:
                    return Difference(edit.path, compare(before, apply(before, edit.ops).text))
                except LifeError:
                    pass  # stale tags: the tool will say so, and what was asked for is shown as it stands
            return Difference(edit.path, self._operations(edit.path, edit.ops))
        return None

    def learn(self, tool_name: str, arguments: Json, result: Json) -> Difference | None:
        """Take in what a call that went well said; what it changed, where it changed a file."""
        view = _converted(result, _View) or _View()
        if tool_name == "write_file":
            written = _converted(arguments, WriteFileArguments)
            if written is None:
                return None
            before = self._texts.get(written.path)
            self._keep(written.path, written.content, before=None if view.created else before)
            lines = compare(before or "", written.content)
            return Difference(written.path, lines, is_new=view.created, is_whole=before is None)
        if tool_name == "edit_file":
            edit = _converted(arguments, EditFileArguments)
            if edit is None:
                return None
            change = self.proposed(tool_name, arguments)
            before = self._texts.pop(edit.path, None)
            if before is not None:
                try:
                    self._keep(edit.path, apply(before, edit.ops).text, before=before)
                except LifeError:
                    pass
            self._read(edit.path, view, replace=False)
            return change
        if tool_name == "read_file" and view.path:
            self._read(view.path, view)
        return None

    def changes(self) -> list[Difference]:
        """What became of every file that was written and is known whole, from what it was at first."""
        found = []
        for path, first in sorted(self._first.items()):
            lines = compare(first or "", self._texts.get(path, first or ""))
            if lines:
                found.append(Difference(path, lines, is_new=first is None))
        return found

    def _keep(self, path: str, text: str, *, before: str | None) -> None:
        self._first.setdefault(path, before)
        self._texts[path] = text

    def forget(self, path: str) -> None:
        """Something else changed the file."""
        self._texts.pop(path, None)

    def _read(self, path: str, view: _View, *, replace: bool = True) -> None:
        rows = [_ROW.fullmatch(row) for row in view.content.split("\n")]
        tagged = [row for row in rows if row is not None]
        self._tags.setdefault(path, {}).update({row["tag"]: row["text"] for row in tagged})
        is_whole = view.first_line == 1 and not view.truncated and (view.total_lines in (None, len(rows)))
        if is_whole and (replace or path not in self._texts):
            if len(tagged) == len(rows):
                self._texts[path] = "".join(f"{row['text']}\n" for row in tagged)
            elif not tagged:
                self._texts[path] = view.content

    def _operations(self, path: str, operations: list[Operation]) -> tuple[DiffLine, ...]:
        """The operations themselves, with the old lines where their tags are known."""
        tags = self._tags.get(path, {})
        lines: list[DiffLine] = []
        for operation in operations:
            removes = isinstance(operation, ReplaceLine | DeleteLine | ReplaceRange)
            for tag in tags_of(operation):
                old = tags.get(tag)
                lines.append(DiffLine("@", tag) if old is None else DiffLine("-" if removes else " ", old))
            if not isinstance(operation, DeleteLine):
                lines += [DiffLine("+", row) for row in operation.new_text.split("\n")]
        return tuple(lines)


def compare(before: str, after: str) -> tuple[DiffLine, ...]:
    """The difference of two texts, by lines, with a little around each change."""
    old, new = before.splitlines(), after.splitlines()
    if len(old) > _MOST_LINES or len(new) > _MOST_LINES:
        return (DiffLine("@", f"{len(old)} lines before, {len(new)} now"),)
    lines: list[DiffLine] = []
    for group in difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(_CONTEXT_LINES):
        if lines or group[0][1]:
            lines.append(DiffLine("@", f"line {group[0][1] + 1}"))
        for what, first, last, new_first, new_last in group:
            if what == "equal":
                lines += [DiffLine(" ", row) for row in old[first:last]]
                continue
            lines += [DiffLine("-", row) for row in old[first:last]]
            lines += [DiffLine("+", row) for row in new[new_first:new_last]]
    return tuple(lines)


def _converted(value: Json, kind: type[T]) -> T | None:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None
