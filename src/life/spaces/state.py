"""The state of Spaces: tables in memory with their indexes, folded from the log's entries.

`apply` is total and deterministic: the same entries give the same state, in whatever process (golden test). Nothing here has a
clock; what expires is compared with times that are passed in.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from hashlib import sha256
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeVar, cast

import msgspec

from life.spaces.events import Entry, Event, RemovedRow
from life.spaces.model import (
    ROWS,
    TABLES,
    Ban,
    Channel,
    Key,
    Member,
    Message,
    Override,
    Participant,
    Row,
    Space,
    Tombstone,
    key_values,
    table_name,
)

R = TypeVar("R", bound=Row)

KEY_OF: Final[dict[type[Row], attrgetter[Any]]] = {row: attrgetter(*row.KEY) for row in ROWS}
_INDEX_OF: Final = {row: [(fields, attrgetter(*fields)) for fields in row.INDEXES] for row in ROWS}
_ORDER_OF: Final = {row: [(fields, attrgetter(*fields)) for fields in row.ORDERED] for row in ROWS}
_COUNTED: Final = frozenset(row for row in ROWS if row.KEY == ("id",))
SIGHT_TABLES: Final[frozenset[type[Row]]] = frozenset({Member, Override, Channel, Space, Participant, Ban})
"""Changes in these may change who sees what."""

_json: Final = msgspec.json.Encoder()


def key_of(row: Row) -> Key:
    """The primary key as the tables use it: the value of one field, or a tuple."""
    return cast(Key, KEY_OF[type(row)](row))


class AppliedEvent(NamedTuple):
    """An event with the rows that it removed, for those who must be told."""

    event: Event
    removed: tuple[Row, ...]
    """In the order of `event.removed`; a row that was not there is left out."""
    replaced: tuple[Row, ...] = ()
    """Earlier versions of rows whose change may alter who sees them."""


class State:
    """The tables. Only `apply` and `load` change it."""

    def __init__(self) -> None:
        self.position = 0
        """Of the last applied entry."""
        self.at_us = 0
        """The latest time of any applied entry: commands are never stamped earlier."""
        self.heads: dict[type[Row], int] = dict.fromkeys(_COUNTED, 0)
        """The highest id ever used, per table."""
        self.space_heads: dict[int, int] = {}
        """The last `space_seq`, per space that ever was."""
        self.epoch = 0
        """Grows with every change that may alter who sees what; for caches only."""
        self._rows: dict[type[Row], dict[Key, Row]] = {row: {} for row in ROWS}
        self._indexes: dict[tuple[type[Row], tuple[str, ...]], dict[Key, dict[Key, None]]] = {
            (row, fields): {} for row in ROWS for fields in row.INDEXES
        }
        self._orders: dict[tuple[type[Row], tuple[str, ...]], dict[Key, list[int]]] = {
            (row, fields): {} for row in ROWS for fields in row.ORDERED
        }

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def get(self, table: type[R], key: Key) -> R | None:
        """The row with this key."""
        return cast("R | None", self._rows[table].get(key))

    def table(self, table: type[R]) -> dict[Key, R]:
        """All rows by key; not to be changed."""
        return cast("dict[Key, R]", self._rows[table])

    def count(self, table: type[Row], fields: tuple[str, ...], value: Key) -> int:
        """How many rows `find` would give."""
        return len(self._indexes[table, fields].get(value, ()))

    def find(self, table: type[R], fields: tuple[str, ...], value: Key) -> list[R]:
        """The rows whose indexed fields have this value, in the order of their keys."""
        keys = self._indexes[table, fields].get(value)
        if not keys:
            return []
        rows = self._rows[table]
        if len(keys) == 1:
            return [cast(R, rows[key]) for key in keys]
        return [cast(R, rows[key]) for key in sorted(keys, key=_sortable)]

    def values_of(self, table: type[Row], fields: tuple[str, ...]) -> list[Key]:
        """The values that an index knows, in no order."""
        return list(self._indexes[table, fields])

    def ordered(self, table: type[Row], fields: tuple[str, ...], value: Key) -> list[int]:
        """The keys of an ordered index, ascending; not to be changed."""
        return self._orders[table, fields].get(value, _NONE)

    # ── changing ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

    def apply(self, entry: Entry) -> list[AppliedEvent]:
        """Fold one entry in. Entries come in order; one that was applied already is passed over."""
        if entry.position <= self.position:
            return []
        applied = []
        for event in entry.events:
            gone = [row for removed in event.removed if (row := self._remove(removed)) is not None]
            replaced = [old for row in event.puts if (old := self._put(row)) is not None and type(old) in SIGHT_TABLES]
            if event.space_seq:
                self.space_heads[event.space_id] = event.space_seq
            applied.append(AppliedEvent(event, tuple(gone), tuple(replaced)))
        self.position = entry.position
        if entry.at_us > self.at_us:
            self.at_us = entry.at_us
        return applied

    def load(
        self, rows: Iterable[Row], *, position: int, at_us: int, heads: dict[str, int], space_heads: dict[int, int]
    ) -> None:
        """Fill an empty state from a snapshot."""
        for row in rows:
            self._put(row)
        self.position, self.at_us = position, at_us
        for name, head in heads.items():
            if name in TABLES and TABLES[name] in self.heads:
                self.heads[TABLES[name]] = head
        self.space_heads = dict(space_heads)

    def clear(self) -> None:
        """Back to empty, for an engine that must read everything again."""
        epoch = self.epoch
        self.__init__()  # type: ignore[misc]
        self.epoch = epoch + 1

    def named_heads(self) -> dict[str, int]:
        """`heads` by the tables' names, for a snapshot."""
        return {table_name(row): head for row, head in self.heads.items()}

    def all_rows(self) -> Iterator[Row]:
        """Every row, table by table, in the order of their keys."""
        for table in ROWS:
            rows = self._rows[table]
            for key in sorted(rows, key=_sortable):
                yield rows[key]

    def digest(self) -> str:
        """SHA-256 over everything, in 64 hex digits: equal states have equal digests."""
        hasher = sha256()
        hasher.update(_json.encode([self.position, self.at_us, sorted(self.named_heads().items())]))
        hasher.update(_json.encode(sorted(self.space_heads.items())))
        for row in self.all_rows():
            hasher.update(_json.encode(row))
        return hasher.hexdigest()

    def _put(self, row: Row) -> Row | None:
        table = type(row)
        rows = self._rows[table]
        key = KEY_OF[table](row)
        old = rows.get(key)
        rows[key] = row
        if old is None:
            for fields, getter in _INDEX_OF[table]:
                self._indexes[table, fields].setdefault(getter(row), {})[key] = None
            for fields, getter in _ORDER_OF[table]:
                keys = self._orders[table, fields].setdefault(getter(row), [])
                if not keys or key > keys[-1]:
                    keys.append(key)
                else:
                    insort(keys, key)
            if table in _COUNTED and key > self.heads[table]:
                self.heads[table] = key
        else:
            for fields, getter in _INDEX_OF[table]:
                before, after = getter(old), getter(row)
                if before != after:
                    self._unindex(table, fields, before, key)
                    self._indexes[table, fields].setdefault(after, {})[key] = None
        if table in SIGHT_TABLES:
            self.epoch += 1
        return old

    def _remove(self, removed: RemovedRow) -> Row | None:
        table = TABLES[removed.table]
        key: Key = removed.key[0] if len(removed.key) == 1 else tuple(removed.key)
        row = self._rows[table].pop(key, None)
        if row is None:
            return None
        for fields, getter in _INDEX_OF[table]:
            self._unindex(table, fields, getter(row), key)
        for fields, getter in _ORDER_OF[table]:
            value = getter(row)
            keys = self._orders[table, fields][value]
            del keys[bisect_left(keys, cast(int, key))]
            if not keys:
                del self._orders[table, fields][value]
        if table in SIGHT_TABLES:
            self.epoch += 1
        return row

    def _unindex(self, table: type[Row], fields: tuple[str, ...], value: Key, key: Key) -> None:
        index = self._indexes[table, fields]
        keys = index[value]
        del keys[key]
        if not keys:
            del index[value]

    # ── common questions ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def message_at(self, message_id: int) -> Message | Tombstone | None:
        """A message, or what is left of it."""
        return self.get(Message, message_id) or self.get(Tombstone, message_id)


_NONE: Final[list[int]] = []


def _sortable(key: Key) -> tuple[tuple[bool, int | str], ...]:
    parts = key if isinstance(key, tuple) else (key,)
    return tuple((isinstance(part, str), part) for part in parts)


def removed_row(row: Row) -> RemovedRow:
    """How an event names a row that is no more."""
    return RemovedRow(table_name(row), key_values(row))
