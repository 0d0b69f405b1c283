"""Where projections keep their snapshots. A snapshot is a cache: it may be thrown away at any time."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Snapshot(NamedTuple):
    """A projection's state as of a position of the journal."""

    position: int
    state: bytes


class Snapshots(Protocol):
    """Snapshots by name and version of the projection; another version is another snapshot."""

    async def load(self, name: str, version: int) -> Snapshot | None:
        """The newest snapshot, or None."""
        ...

    async def save(self, name: str, version: int, snapshot: Snapshot) -> None:
        """Keep this snapshot instead of the older one. Not durable on return; losing it costs a replay."""
        ...
