"""Files that belong to a project beside its journal and blobs: keys that things in the journal are sealed under, other databases.

They are kept in pieces, as the journal is. A database in use is copied through SQLite's backup interface, as of one moment, after the
journal: so it has at least what the journal's events tell of it. A file that is not there is left out.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import apsw

from life.aios.ports.clock import Entropy
from life.lago.backup.journal_copy import place_for_copy, remove_copy, touch
from life.lago.backup.repository import PIECE_BYTES, FileEntry, Manifest, Repository
from life.lago.errors import BackupDamagedError, BackupError

_PATIENCE_MS = 10_000


class SideFile(NamedTuple):
    """One of them."""

    name: str
    """Where it stands in the data directory: `a2a.key`, `spaces/spaces.db`."""
    path: Path
    is_database: bool = False


async def keep_files(repository: Repository, files: Sequence[SideFile], entropy: Entropy) -> tuple[FileEntry, ...]:
    """Keep those that are there. BackupError when one can't be read."""
    kept = []
    for file in files:
        if not await asyncio.to_thread(file.path.is_file):
            continue
        if not file.is_database:
            kept.append(await _keep(repository, file.name, file.path))
            continue
        copy = place_for_copy(repository.scratch, entropy=entropy)
        try:
            await asyncio.to_thread(_copy_database, file.path, copy)
            kept.append(await _keep(repository, file.name, copy))
        finally:
            await asyncio.to_thread(remove_copy, copy)
    return tuple(kept)


async def check_files(repository: Repository, backup: str, manifest: Manifest) -> None:
    """BackupDamagedError for one that is not what it was."""
    for entry in manifest.files:
        await _read(repository, backup, entry, None)


async def write_files(repository: Repository, backup: str, manifest: Manifest, root: Path) -> None:
    """Put them below `root`, for their owner only. BackupDamagedError."""
    for entry in manifest.files:
        path = root / entry.name
        if not path.resolve().is_relative_to(root.resolve()):
            raise BackupDamagedError(backup, f"the file {entry.name}", "would stand outside the data directory")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        await _read(repository, backup, entry, path)


async def _keep(repository: Repository, name: str, path: Path) -> FileEntry:
    whole, size, pieces = sha256(), 0, []
    try:
        with path.open("rb") as file:
            while content := await asyncio.to_thread(file.read, PIECE_BYTES):
                whole.update(content)
                size += len(content)
                pieces.append((await repository.pieces.put(content)).hash)
    except OSError as error:
        raise BackupError(f"{name} can't be read: {error.strerror}.") from None
    return FileEntry(name=name, size_bytes=size, sha256=whole.hexdigest(), pieces=tuple(pieces))


async def _read(repository: Repository, backup: str, entry: FileEntry, target: Path | None) -> None:
    what, whole = f"the file {entry.name}", sha256()
    if target is not None:
        touch(target)
    with (target or Path(os.devnull)).open("wb") as file:
        for piece in entry.pieces:
            content = await repository.piece(backup, piece, what=what)
            whole.update(content)
            await asyncio.to_thread(file.write, content)
        file.flush()
        if target is not None:
            await asyncio.to_thread(os.fsync, file.fileno())
    if whole.hexdigest() != entry.sha256:
        raise BackupDamagedError(backup, what, "is not what the manifest says")


def _copy_database(source: Path, target: Path) -> None:
    """One moment of a database, whoever writes it meanwhile."""
    try:
        reading = apsw.Connection(
            f"{source.resolve().as_uri()}?mode=ro", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        )
        try:
            reading.set_busy_timeout(_PATIENCE_MS)
            touch(target)
            writing = apsw.Connection(str(target))
            try:
                with writing.backup("main", reading, "main") as copying:
                    copying.step(-1)
                writing.pragma("journal_mode", "delete")
            finally:
                writing.close()
        finally:
            reading.close()
    except (apsw.Error, OSError) as error:
        raise BackupError(f"{source} can't be copied: {error}.", next_step="Try again, or stop what uses it.") from None
