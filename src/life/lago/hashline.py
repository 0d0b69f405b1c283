"""Hashline: lines with their numbers and short hashes, and edits anchored to them (lago.md §7).

    1:cd20|a
    2:1cd9|

A hash is FNV-1a of 32 bits over the line's UTF-8, its halves xored: a check that the editor has seen this line, not a proof. Lines
end at `\\n` only; a file that ends with one has an empty last line, and an empty file has no lines. (Praxis has a variant with BLAKE3; texts of one are not
for the other.)

Edits are checked all together before anything changes: bounds, hashes, and that no two touch the same line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from life.aios.errors import InvalidInputError

MAX_EDITS: Final = 10_000
_OFFSET: Final = 0x811C9DC5
_PRIME: Final = 0x01000193


class LineEdit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One edit. `op` is Replace, InsertAfter, InsertBefore or Delete, with `anchor_hash` and `line_num`; or ReplaceRange, with
    `start_hash`, `start_line`, `end_hash`, `end_line`. Lines count from 1."""

    op: str
    anchor_hash: str | None = None
    line_num: int | None = None
    start_hash: str | None = None
    start_line: int | None = None
    end_hash: str | None = None
    end_line: int | None = None
    new_content: str | None = None


def line_hash(line: str) -> str:
    """Four hex digits."""
    value = _OFFSET
    for byte in line.encode():
        value = (value ^ byte) * _PRIME & 0xFFFFFFFF
    return f"{value >> 16 ^ value & 0xFFFF:04x}"


def to_hashline(text: str) -> str:
    """The text with numbers and hashes, one line each."""
    return "\n".join(f"{number}:{line_hash(line)}|{line}" for number, line in enumerate(_lines(text), 1))


def apply_edits(text: str, edits: Sequence[LineEdit]) -> str:
    """The text after the edits; InvalidInputError names the first that does not hold, and then nothing was changed."""
    if len(edits) > MAX_EDITS:
        raise InvalidInputError(f"There are more than {MAX_EDITS} edits.")
    lines = _lines(text)
    changes = [_change(edit, lines) for edit in edits]
    touched: set[int] = set()
    for first, last, _ in changes:
        numbers = set(range(first, last + 1))
        if numbers & touched:
            raise InvalidInputError(f"Two edits touch line {min(numbers & touched)}.")
        touched |= numbers
    for first, last, new in sorted(changes, key=lambda change: change[0], reverse=True):
        lines[first - 1 : last] = new
    return "\n".join(lines)


def _change(edit: LineEdit, lines: list[str]) -> tuple[int, int, list[str]]:
    """The first and the last line that an edit is about, and what stands there afterwards."""
    op = edit.op.replace("_", "").lower()
    if op == "replacerange":
        first = _anchor(edit.start_line, edit.start_hash, lines)
        last = _anchor(edit.end_line, edit.end_hash, lines)
        if last < first:
            raise InvalidInputError(f"The range ends at line {last}, before it begins at line {first}.")
        return first, last, _new(edit)
    at = _anchor(edit.line_num, edit.anchor_hash, lines)
    match op:
        case "replace":
            return at, at, _new(edit)
        case "insertafter":
            return at, at, [lines[at - 1], *_new(edit)]
        case "insertbefore":
            return at, at, [*_new(edit), lines[at - 1]]
        case "delete":
            return at, at, []
        case _:
            raise InvalidInputError(f"There is no edit {edit.op[:32]!r}.")


def _anchor(number: int | None, expected: str | None, lines: list[str]) -> int:
    if number is None or expected is None:
        raise InvalidInputError("An edit names its lines by number and hash.")
    if not 1 <= number <= len(lines):
        raise InvalidInputError(f"Line {number} is out of bounds; there are {len(lines)}.")
    actual = line_hash(lines[number - 1])
    if actual != expected.lower():
        raise InvalidInputError(
            f"Line {number} has the hash {actual}, not {expected[:16]}.", details={"line": number, "actual": actual}
        )
    return number


def _new(edit: LineEdit) -> list[str]:
    if edit.new_content is None:
        raise InvalidInputError(f"The edit {edit.op[:32]} needs 'new_content'.")
    return edit.new_content.split("\n")


def _lines(text: str) -> list[str]:
    return text.split("\n") if text else []
