"""One command at work: reads see the state with the command's own changes; changes are collected, and dropped on an error.

A reducer is `(command, transaction) -> Row | None`. It does no I/O and asks nobody for time or chance: `now_us` and `nonce` came
with the command. What it leaves behind are events with row changes; the engine stores and applies them together, or nothing.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar, cast

import msgspec

from life.spaces.events import Event, RemovedRow, Transient
from life.spaces.identity import Caller
from life.spaces.model import Key, Row
from life.spaces.state import State, key_of, removed_row

R = TypeVar("R", bound=Row)


class Context(NamedTuple):
    """What the engine stamped the command with."""

    now_us: int
    """Never before the time of an earlier entry, whatever the machine's clock did."""
    nonce: bytes
    """32 unpredictable bytes, for invite codes."""


class Outcome(NamedTuple):
    """What a reducer decided."""

    events: tuple[Event, ...]
    result: Row | None
    transients: tuple[Transient, ...]


class Transaction:
    """The view of one command."""

    __slots__ = (
        "_allocated",
        "_events",
        "_own",
        "_puts",
        "_removed",
        "_seqs",
        "_transients",
        "caller",
        "nonce",
        "now_us",
        "state",
    )

    def __init__(self, state: State, caller: Caller, context: Context) -> None:
        self.state = state
        self.caller = caller
        self.now_us, self.nonce = context
        self._own: dict[type[Row], dict[Key, Row | None]] = {}
        self._puts: list[Row] = []
        self._removed: list[RemovedRow] = []
        self._events: list[Event] = []
        self._transients: list[Transient] = []
        self._allocated: dict[type[Row], int] = {}
        self._seqs: dict[int, int] = {}

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, table: type[R], key: Key) -> R | None:
        """The row with this key, as the command has left it so far."""
        own = self._own.get(table)
        if own is not None and key in own:
            return cast("R | None", own[key])
        return self.state.get(table, key)

    def find(self, table: type[R], fields: tuple[str, ...], value: Key) -> list[R]:
        """The rows whose indexed fields have this value, in the order of their keys."""
        found = self.state.find(table, fields, value)
        own = self._own.get(table)
        if not own:
            return found
        wanted = value if isinstance(value, tuple) else (value,)
        rows = {key_of(row): row for row in found if key_of(row) not in own}
        for key, row in own.items():
            if row is not None and tuple(getattr(row, field) for field in fields) == wanted:
                rows[key] = cast(R, row)
        return list(rows.values())

    # ── changing ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def next_id(self, table: type[Row]) -> int:
        """A fresh id: ids count up per table and are never used twice."""
        head = self._allocated.get(table)
        fresh = (self.state.heads[table] if head is None else head) + 1
        self._allocated[table] = fresh
        return fresh

    def put(self, row: R) -> R:
        """Insert or replace."""
        self._own.setdefault(type(row), {})[key_of(row)] = row
        self._puts.append(row)
        return row

    def remove(self, row: Row) -> None:
        """Delete."""
        self._own.setdefault(type(row), {})[key_of(row)] = None
        self._removed.append(removed_row(row))

    def emit(self, kind: str, *, space_id: int = 0, channel_id: int = 0, conversation_id: int = 0) -> None:
        """Close an event over all changes since the last one."""
        sequence = 0
        if space_id:
            sequence = self._seqs.get(space_id, self.state.space_heads.get(space_id, 0)) + 1
            self._seqs[space_id] = sequence
        self._events.append(
            Event(
                kind=kind,
                space_id=space_id,
                space_seq=sequence,
                channel_id=channel_id,
                conversation_id=conversation_id,
                removed=tuple(self._removed),
                puts=tuple(self._puts),  # type: ignore[arg-type]  # every Row class is in the union
            )
        )
        self._puts.clear()
        self._removed.clear()

    @property
    def last_space_seq(self) -> int:
        """The place that the last event of a space got; 0 when there is none."""
        return next((event.space_seq for event in reversed(self._events) if event.space_seq), 0)

    def attach(self, row: Row) -> None:
        """Put a row into the last event after all; nothing happens when there is no event."""
        if self._events:
            last = self._events[-1]
            self._events[-1] = msgspec.structs.replace(last, puts=(*last.puts, row))

    def tell(self, transient: Transient) -> None:
        """Something to deliver and not to store."""
        self._transients.append(transient)

    def outcome(self, result: Row | None) -> Outcome:
        """Everything, once the reducer is through. Changes without an event are a mistake of the reducer."""
        assert not self._puts and not self._removed, "a reducer changed rows without an event"
        return Outcome(tuple(self._events), result, tuple(self._transients))
