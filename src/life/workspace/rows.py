"""Keeping rows: the newest stay, the oldest leave, and a row is found by its id from the newest on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from life.workspace.state import CAPS, Entry, Mark, Noted, State
from life.workspace.values import capped

_T = TypeVar("_T")


def push(rows: list[_T], row: _T, name: str) -> None:
    """Append a row; over the list's cap the oldest leaves."""
    rows.append(row)
    if len(rows) > CAPS[name]:
        del rows[0]


def last(rows: list[_T], fits: Callable[[_T], bool]) -> _T | None:
    """The newest row that fits."""
    for row in reversed(rows):
        if fits(row):
            return row
    return None


def entry(state: State, row: Entry) -> None:
    """A new entry of the conversation."""
    state.entries.append(row)
    if len(state.entries) > CAPS["entries"]:
        del state.entries[0]
        state.dropped = capped(state.dropped + 1)


def tool_entry(state: State, call: str) -> Entry | None:
    """The newest entry of a call."""
    for row in reversed(state.entries):
        if row.ref == call and row.kind == "tool":
            return row
    return None


def notice(state: State, type_: str, detail: str = "") -> None:
    """An event that the conversation mentions in one line."""
    entry(state, Entry(seq=state.seq, branch=state.branch, kind="notice", ref=type_, detail=detail))


def mark(state: State, kind: str) -> None:
    """A point on the mini-map."""
    push(state.marks, Mark(seq=state.seq, kind=kind), "marks")


def ruling(state: State, type_: str, detail: str = "") -> None:
    """A word of the regulator."""
    push(state.rulings, Noted(seq=state.seq, type=type_, detail=detail), "rulings")
