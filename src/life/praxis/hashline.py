"""Hashline: lines with tags, and edits that name lines by tag (praxis.md §3).

A line ends at `\\n`; `\\r\\n` is one terminator; nothing else splits (`str.splitlines` would). The tag of a line is the
first eight hex digits of BLAKE3 over `<number>:<text>`, so an edit that names it also says what it believes stands
there. All tags of one edit refer to the text before it, whatever its earlier operations did.

Where this is stricter or kinder than the first implementation (praxis.md §3.5):

* Terminators are kept line by line; new lines take the one that most lines have (`\\n` on a tie), and whether the text
  ends with a terminator stays as it was. Deleting an unterminated last line removes its bytes and no others.
* Several insertions at one tag come out in the order of the operations.
* Tags that two lines share (32 bits can collide) are refused instead of meaning the first.
* A byte order mark is part of line 1 for its tag, and stays first in the file whatever happens to that line.

Pure: text in, text out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple, TypeAlias

import msgspec
from blake3 import blake3

from life.praxis.errors import AmbiguousTagError, EmptyContentError, StaleTagError, ToolInputError

BOM: Final = "\ufeff"
_TAG_DIGITS: Final = 8
_SEARCH_BUDGET: Final = 60_000
"""Tags computed at most to find where a missing line went: about 50 ms."""

_Tag: TypeAlias = Annotated[str, msgspec.Meta(description="The line's eight-digit tag, as read_file showed it.")]
_Text: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        description="The new text, without a final line break (that would add an empty line). May hold several lines."
    ),
]


class ReplaceLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="replace_line"):
    """Put another text in the place of a line."""

    tag: _Tag
    new_text: _Text


class InsertAfterTag(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="insert_after_tag"):
    """Add lines directly after a line."""

    tag: _Tag
    new_text: _Text


class InsertBeforeTag(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="insert_before_tag"):
    """Add lines directly before a line."""

    tag: _Tag
    new_text: _Text


class DeleteLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="delete_line"):
    """Remove a line."""

    tag: _Tag


class ReplaceRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="replace_range"):
    """Put a text in the place of all lines from one to another, both included."""

    from_tag: _Tag
    to_tag: _Tag
    new_text: _Text


class Append(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="append"):
    """Add lines at the end of the file; the only way into an empty one."""

    new_text: _Text


Operation: TypeAlias = ReplaceLine | InsertAfterTag | InsertBeforeTag | DeleteLine | ReplaceRange | Append


def tags_of(operation: Operation) -> tuple[str, ...]:
    """The tags that an operation names."""
    if isinstance(operation, Append):
        return ()
    if isinstance(operation, ReplaceRange):
        return operation.from_tag, operation.to_tag
    return (operation.tag,)


class Line(NamedTuple):
    """A line and what ends it: `\\n`, `\\r\\n`, or nothing (the last line only)."""

    text: str
    end: str


class Moved(NamedTuple):
    """Where a line that a stale tag meant seems to be now."""

    number: int
    tag: str


def split_lines(text: str) -> list[Line]:
    """The lines of a text. An empty text has none; a final newline makes no further line."""
    parts = text.split("\n")
    last = parts.pop()
    lines = [Line(part[:-1], "\r\n") if part.endswith("\r") else Line(part, "\n") for part in parts]
    if last:
        lines.append(Line(last, ""))
    return lines


def line_tag(number: int, text: str) -> str:
    """The tag of line `number` (from 1) with that text, eight lower-case hex digits."""
    return blake3(f"{number}:{text}".encode()).hexdigest()[:_TAG_DIGITS]


def render(texts: Sequence[str], *, first: int = 1) -> str:
    """One row per line, `<number, width 4> <tag> | <text>`, joined with `\\n`; `first` is the number of the first."""
    return "\n".join(f"{number:>4} {line_tag(number, text)} | {text}" for number, text in enumerate(texts, start=first))


def dominant_end(lines: Sequence[Line]) -> str:
    """The terminator that new lines get: what most lines have, `\\n` on a tie and where there is none."""
    counted = Counter(line.end for line in lines if line.end)
    return "\r\n" if counted["\r\n"] > counted["\n"] else "\n"


class _Slot:
    """What an original line has become. `own` is None once it is deleted; what was inserted around it stays."""

    __slots__ = ("after", "before", "end", "own", "touched")

    def __init__(self, line: Line) -> None:
        self.before: list[str] = []
        self.own: list[str] | None = [line.text]
        self.after: list[str] = []
        self.end = line.end
        self.touched = False


class Edited(NamedTuple):
    """The text after an edit."""

    text: str
    first_changed: int | None
    """Number of the first line that is new or changed, or of the line that now follows a deleted one; None: no change."""


def apply(text: str, operations: Sequence[Operation]) -> Edited:
    """The text after the operations, in their order.

    StaleTagError, AmbiguousTagError, EmptyContentError (a tag, but no line), ToolInputError (a range that runs backwards).
    """
    lines = split_lines(text)
    tags = _Anchors(lines)
    bom = BOM if text.startswith(BOM) else ""
    slots = [_Slot(line) for line in lines]
    if bom:
        slots[0].own = [lines[0].text[1:]]
    appended: list[str] = []
    for operation in operations:
        _apply_one(operation, slots, tags, appended)
    return _joined(slots, appended, bom=bom, end=dominant_end(lines), terminated=not lines or bool(lines[-1].end))


class _Anchors:
    """Lines by tag. A tag that two lines share is remembered as such."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._empty = not lines
        self._index: dict[str, int] = {}
        self._shared: set[str] = set()
        for index, line in enumerate(lines):
            tag = line_tag(index + 1, line.text)
            if self._index.setdefault(tag, index) != index:
                self._shared.add(tag)

    def find(self, tag: str, slots: Sequence[_Slot]) -> int:
        """The index of the line; the errors of `apply`."""
        if self._empty:
            raise EmptyContentError("The file has empty content: there is no line to name. Use the operation 'append'.")
        if tag in self._shared:
            raise AmbiguousTagError(
                f"The tag '{tag}' belongs to several lines of this file; write_file can change them."
            )
        index = self._index.get(tag)
        if index is None or slots[index].own is None:
            shown = tag.encode("ascii", "backslashreplace").decode()[:64]
            raise StaleTagError(f"The tag '{shown}' is stale or missing: no line has it now.", tag=tag)
        return index


def _apply_one(operation: Operation, slots: list[_Slot], tags: _Anchors, appended: list[str]) -> None:
    if isinstance(operation, Append):
        appended += _pieces(operation.new_text)
        return
    if isinstance(operation, ReplaceRange):
        first, last = tags.find(operation.from_tag, slots), tags.find(operation.to_tag, slots)
        if first > last:
            raise ToolInputError("replace_range: from_tag stands after to_tag.")
        _replace_range(slots[first : last + 1], _pieces(operation.new_text))
        return
    slot = slots[tags.find(operation.tag, slots)]
    if isinstance(operation, ReplaceLine):
        slot.own = _pieces(operation.new_text)
        slot.touched = True
    elif isinstance(operation, InsertAfterTag):
        slot.after += _pieces(operation.new_text)
    elif isinstance(operation, InsertBeforeTag):
        slot.before += _pieces(operation.new_text)
    else:
        slot.own = None


def _replace_range(slots: Sequence[_Slot], pieces: list[str]) -> None:
    """Everything from the first line to the last, also what this edit inserted between them, becomes the pieces."""
    first, last = slots[0], slots[-1]
    kept_after = last.after
    first.end = last.end
    for slot in slots:
        if slot is not first:
            slot.own = None
            slot.before = []
        slot.after = []
    first.own = pieces
    first.touched = True
    first.after = kept_after


def _pieces(new_text: str) -> list[str]:
    """The lines of a new text. A carriage return before a line break, or at the very end, belongs to the terminator."""
    return [part.removesuffix("\r") for part in new_text.split("\n")]


def _joined(slots: Sequence[_Slot], appended: list[str], *, bom: str, end: str, terminated: bool) -> Edited:
    """The lines in order with their terminators. `terminated`: whether the original text ended with one."""
    out: list[Line] = []
    first_changed: int | None = None

    def added(texts: Sequence[str], *, new: bool, last_end: str) -> None:
        nonlocal first_changed
        if new and texts and first_changed is None:
            first_changed = len(out) + 1
        out.extend(Line(text, end) for text in texts[:-1])
        if texts:
            out.append(Line(texts[-1], last_end))

    for slot in slots:
        added(slot.before, new=True, last_end=end)
        if slot.own is None:
            first_changed = first_changed or len(out) + 1
        else:
            added(slot.own, new=slot.touched, last_end=slot.end)
        added(slot.after, new=True, last_end=end)
    added(appended, new=True, last_end=end)
    # Only the last line may lack a terminator, and only a line that is new at the end can have one too many.
    out = [line if line.end or index == len(out) - 1 else Line(line.text, end) for index, line in enumerate(out)]
    if out and not terminated and _last_is_new(slots, appended):
        out[-1] = Line(out[-1].text, "")
    text = "".join(line.text + line.end for line in out)
    if bom and out and not text.startswith(bom):
        text = bom + text
    return Edited(text, None if first_changed is None else max(1, min(first_changed, len(out))))


def _last_is_new(slots: Sequence[_Slot], appended: Sequence[str]) -> bool:
    """Whether the last line of the result was inserted by this edit."""
    if appended:
        return True
    for slot in reversed(slots):
        if slot.after:
            return True
        if slot.own is not None:
            return False
        if slot.before:
            return True
    return False


def find_moved(tag: str, texts: Sequence[str]) -> Moved | None:
    """Where the line that had this tag stands now, if only its number changed; None when nothing near fits."""
    reach = min(200, max(1, _SEARCH_BUDGET // max(1, len(texts)) // 2))
    if len(texts) > _SEARCH_BUDGET:
        return None
    for number, text in enumerate(texts, start=1):
        for before in range(max(1, number - reach), number + reach + 1):
            if line_tag(before, text) == tag:
                return Moved(number, line_tag(number, text))
    return None
