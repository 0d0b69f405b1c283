"""Deciding a group of commands ahead of the log: run, look, and take everything back.

Each command of a group must see what the ones before it did, but nobody may see any of it before the log has it. So the entries
are applied, one after the other, and undone before this module returns: nothing else runs in between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from life.spaces.commands import Command
from life.spaces.engine.nats.blocks import Kick
from life.spaces.engine.port import Result
from life.spaces.errors import SpacesError
from life.spaces.events import Entry, Event, RemovedRow, Transient, encode_entry
from life.spaces.identity import Caller
from life.spaces.model import TABLES, Key, Row
from life.spaces.reducers import decide, entry_of
from life.spaces.reducers.repeats import repeated
from life.spaces.reducers.transaction import Context
from life.spaces.state import State, key_of, removed_row

ENTRY_OVERHEAD_BYTES = 1


class Asked(NamedTuple):
    """Something to carry out: a command, or a kick."""

    command: Command | None
    caller: Caller
    key: str | None = None
    trace_id: str | None = None
    kick: Kick | None = None


class Draft(NamedTuple):
    """What a group would do to the state as it is now."""

    entries: list[Entry]
    encoded: list[bytes]
    kicks: list[Kick]
    answers: list[Result | SpacesError]
    """One for each that was decided, from the beginning of the group; the others did not fit into this block."""
    transients: list[Transient]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to store."""
        return not self.entries and not self.kicks


def draft(state: State, group: Sequence[Asked], *, now_us: int, nonce: Callable[[], bytes], limit_bytes: int) -> Draft:
    """Decide a group against the state, which is the same afterwards. An entry that is longer than the limit stands alone."""
    made = Draft([], [], [], [], [])
    undo = _Undo(state)
    size = 0
    try:
        for asked in group:
            if asked.command is None:
                if asked.kick is not None:
                    made.kicks.append(asked.kick)
                made.answers.append(Result(0, 0, None))
                continue
            try:
                answer, entry, transients = _one(state, asked, asked.command, max(now_us, state.at_us), nonce())
            except SpacesError as refusal:
                made.answers.append(refusal)
                continue
            if entry is not None:
                encoded = encode_entry(entry)
                if made.entries and size + len(encoded) > limit_bytes:
                    break
                size += len(encoded) + ENTRY_OVERHEAD_BYTES
                undo.before(entry)
                state.apply(entry)
                made.entries.append(entry)
                made.encoded.append(encoded)
            made.transients.extend(transients)
            made.answers.append(answer)
    finally:
        undo.run()
    return made


def _one(
    state: State, asked: Asked, command: Command, now_us: int, nonce: bytes
) -> tuple[Result, Entry | None, tuple[Transient, ...]]:
    first = repeated(state, command, asked.caller, key=asked.key, now_us=now_us)
    if first is not None:
        return Result(first.position, first.space_seq, first.row, duplicate=True), None, ()
    context = Context(now_us, nonce)
    outcome = decide(state, command, asked.caller, context, key=asked.key)
    if not outcome.events:
        return Result(0, 0, outcome.result), None, outcome.transients
    entry = entry_of(state, command, asked.caller, context, outcome, key=asked.key, trace_id=asked.trace_id)
    space_seq = next((event.space_seq for event in reversed(entry.events) if event.space_seq), 0)
    return Result(entry.position, space_seq, outcome.result, outcome.events), entry, outcome.transients


class _Undo:
    """What the state was before the entries of a draft."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._position = state.position
        self._at_us = state.at_us
        self._heads = dict(state.heads)
        self._space_heads: dict[int, int | None] = {}
        self._rows: dict[tuple[type[Row], Key], tuple[Row | None, RemovedRow]] = {}

    def before(self, entry: Entry) -> None:
        """Remember what this entry is about to change."""
        state = self._state
        for event in entry.events:
            if event.space_seq:
                self._space_heads.setdefault(event.space_id, state.space_heads.get(event.space_id))
            for gone in event.removed:
                key: Key = gone.key[0] if len(gone.key) == 1 else tuple(gone.key)
                self._note(TABLES[gone.table], key, gone)
            for row in event.puts:
                self._note(type(row), key_of(row), None, row)

    def _note(self, table: type[Row], key: Key, name: RemovedRow | None, row: Row | None = None) -> None:
        if (table, key) not in self._rows:
            if name is None:
                assert row is not None
                name = removed_row(row)
            self._rows[table, key] = self._state.get(table, key), name

    def run(self) -> None:
        """Make the state what it was."""
        state = self._state
        if not self._rows and state.position == self._position:
            return
        was = tuple(old for old, _ in self._rows.values() if old is not None)
        fresh = tuple(name for old, name in self._rows.values() if old is None)
        back = Event(kind="", removed=fresh, puts=was)  # type: ignore[arg-type]  # every Row class is in the union
        state.apply(Entry(position=state.position + 1, at_us=0, actor="", command="", events=(back,)))
        state.position = self._position
        state.at_us = self._at_us
        state.heads = self._heads
        for space_id, head in self._space_heads.items():
            if head is None:
                state.space_heads.pop(space_id, None)
            else:
                state.space_heads[space_id] = head
