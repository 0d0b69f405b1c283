"""What owners use, folded from the journal: a projection with a cursor (life.lago.projection).

A session belongs to whom its first event says, `config.owner` of its SessionCreated; without one to the operator. Later events can't
change that. Bytes are those of event payloads, of files that events write, and of blobs that were put on their own.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from life.aios.events import FileWrite
from life.aios.events.codec import read_custom
from life.aios.record import EventRecord
from life.lago.owners.events import BLOB_STORED, CALLS_COUNTED, BlobStored, CallsCounted, owner_of
from life.lago.owners.names import OPERATOR, OWN_PREFIX

HOUR_US: Final = 3_600_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Use(msgspec.Struct, kw_only=True):
    """One owner's use."""

    sessions: int = 0
    bytes: int = 0
    month: int = 0
    """Which one `events` counts: year × 100 + month, UTC."""
    events: int = 0
    hour: int = 0
    """Which one `calls` counts, from the epoch."""
    calls: int = 0


class Owned(msgspec.Struct):
    """All sessions with their owners, and what these use. `OwnerProjection` folds it in place."""

    owners: dict[str, str] = {}
    use: dict[str, Use] = {}

    def use_of(self, owner: str) -> Use:
        """An owner's use; nothing for one who is not known."""
        return self.use.get(owner) or Use()


class OwnerProjection:
    """Folds `Owned`."""

    name: Final = "lago.owners"
    version: Final = 1
    kinds: Final[tuple[str, ...]] = ()

    def initial(self) -> Owned:
        """Nobody owns anything."""
        return Owned({}, {})

    def apply(self, state: Owned, record: EventRecord) -> Owned:
        """The state after one more event."""
        if record.session_id.startswith(OWN_PREFIX):
            self._apply_own(state, record)
            return state
        owner = state.owners.get(record.session_id)
        if owner is None:
            owner = (owner_of(record.kind) if record.kind_name == "SessionCreated" else None) or OPERATOR
            state.owners[record.session_id] = owner
            _use(state, owner).sessions += 1
        use = _use(state, owner)
        month = month_of(record.timestamp_us)
        if month > use.month:
            use.month, use.events = month, 0
        use.events += 1  # one that claims to be older counts in the newest month there is
        use.bytes += len(record.payload)
        if record.kind_name == "FileWrite" and isinstance(record.kind, FileWrite):
            use.bytes += max(0, record.kind.size_bytes)
        return state

    def encode(self, state: Owned) -> bytes:
        """As MessagePack."""
        return msgspec.msgpack.encode(state)

    def decode(self, state: bytes) -> Owned:
        """What `encode` wrote."""
        return msgspec.msgpack.decode(state, type=Owned)

    def _apply_own(self, state: Owned, record: EventRecord) -> None:
        if record.kind_name != "Custom":
            return
        stored = read_custom(record.kind, BLOB_STORED, BlobStored)
        if stored is not None:
            _use(state, stored.owner).bytes += max(0, stored.size_bytes)
            return
        counted = read_custom(record.kind, CALLS_COUNTED, CallsCounted)
        if counted is not None:
            use = _use(state, counted.owner)
            if counted.hour > use.hour:
                use.hour, use.calls = counted.hour, 0
            if counted.hour == use.hour:
                use.calls += max(0, counted.calls)


def month_of(timestamp_us: int) -> int:
    """Year × 100 + month, UTC; 0 for a time that no calendar has."""
    try:
        moment = _EPOCH + timedelta(microseconds=timestamp_us)
    except OverflowError:
        return 0
    return moment.year * 100 + moment.month


def _use(state: Owned, owner: str) -> Use:
    found = state.use.get(owner)
    if found is None:
        found = state.use[owner] = Use()
    return found
