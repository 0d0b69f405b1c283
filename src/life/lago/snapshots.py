"""Where projections keep their state, so that a start folds only what came after (life.aios.ports.snapshots.Snapshots)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw

from life.aios.ports.snapshots import Snapshot
from life.lago.journal import acknowledged, schema


class MemorySnapshots:
    """Snapshots that are gone with the process."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], Snapshot] = {}

    async def load(self, name: str, version: int) -> Snapshot | None:
        """The newest snapshot, or None."""
        return self._kept.get((name, version))

    async def save(self, name: str, version: int, snapshot: Snapshot) -> None:
        """Keep this snapshot, unless a newer one is there."""
        kept = self._kept.get((name, version))
        if kept is None or kept.position <= snapshot.position:
            self._kept[(name, version)] = snapshot


class SqliteSnapshots:
    """Snapshots in the journal's own file, which must exist. A save waits for no disk and blocks no loop."""

    def __init__(self, path: Path | str) -> None:
        """JournalUnavailableError or JournalFormatError when `path` is no journal that can be opened."""
        self._path = Path(path)
        self._connection = schema.connect(self._path, purpose="snapshot")
        self._turn = asyncio.Lock()

    async def __aenter__(self) -> SqliteSnapshots:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Wait for a save that is under way, then close the file."""
        async with self._turn:
            self._connection.close()
            acknowledged.discard(self._path)

    async def load(self, name: str, version: int) -> Snapshot | None:
        """The newest snapshot, or None."""
        async with self._turn:
            return await asyncio.to_thread(self._load, name, version)

    async def save(self, name: str, version: int, snapshot: Snapshot) -> None:
        """Keep this snapshot, unless a newer one is there."""
        async with self._turn:
            await asyncio.to_thread(self._save, name, version, snapshot)

    def _load(self, name: str, version: int) -> Snapshot | None:
        try:
            row = schema.fetch_one(
                self._connection,
                "SELECT position, state FROM snapshot WHERE name = ? AND version = ?",
                (name, version),
            )
        except apsw.Error as error:
            raise schema.explain(error, self._path) from None
        return None if row is None else Snapshot(row[0], row[1])

    def _save(self, name: str, version: int, snapshot: Snapshot) -> None:
        try:
            self._connection.execute(
                "INSERT INTO snapshot VALUES (?, ?, ?, ?) ON CONFLICT (name, version) DO UPDATE"
                " SET position = excluded.position, state = excluded.state WHERE position <= excluded.position",
                (name, version, snapshot.position, snapshot.state),
            )
        except apsw.Error as error:
            raise schema.explain(error, self._path) from None
