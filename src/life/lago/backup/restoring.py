"""Reading backups: is one whole, and back it goes."""

from __future__ import annotations

import asyncio
import os
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from life.aios.events import FileWrite
from life.aios.ports.clock import Entropy
from life.aios.ports.journal import EventQuery
from life.lago.backup.journal_copy import Progress, blob_of, heads_of, lines_of, place_for_copy, remove_copy, touch
from life.lago.backup.making import silent
from life.lago.backup.repository import Manifest, Repository, StoredBlobObject
from life.lago.backup.side_files import check_files, write_files
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.store import BlobStore
from life.lago.errors import (
    BackupDamagedError,
    BackupError,
    BackupTargetError,
    BlobDamagedError,
    BlobKeyMissingError,
)
from life.lago.journal.reader import Reader
from life.lago.journal.verification import verify_file

_MARKER: Final = "RESTORING"
_PAGE: Final = 1_000


class CheckedBackup(NamedTuple):
    """What was found in order."""

    backup: str
    created_at: str
    events: int
    streams: int
    blobs: int
    sealed: int
    """Blobs whose content could not be looked at, because no key is here; their stored bytes are what they were."""
    missing: tuple[str, ...]
    """Blobs that events say files were written with, and that were not in the store any more when the backup was made."""


async def verify_backup(
    repository: Repository, backup: str, *, entropy: Entropy, on_progress: Progress | None = None
) -> CheckedBackup:
    """Read all of a backup: put the journal together and verify it, read every blob. BackupDamagedError names what is wrong."""
    manifest = await repository.read(backup)
    progress = on_progress or silent
    copy: Path | None = None
    try:
        copy = place_for_copy(repository.scratch, entropy=entropy)
        await _write_journal(repository, backup, manifest, copy, progress)
        index = await repository.blob_index(backup, manifest)
        sealed = 0
        for number, entry in enumerate(index, 1):
            progress("blobs", number, len(index))
            sealed += await _check_blob(repository, backup, entry, entropy)
        await check_files(repository, backup, manifest)
        kept = {blob_of(entry.name) for entry in index}
        missing = await asyncio.to_thread(_missing, copy, kept)
    except OSError as error:
        raise BackupError(f"The backup can't be checked: {error.strerror}.") from None
    finally:
        if copy is not None:
            await asyncio.to_thread(remove_copy, copy)
    return CheckedBackup(
        backup, manifest.created_at, manifest.journal.events, manifest.journal.streams, len(index), sealed, missing
    )


async def restore_backup(
    repository: Repository,
    backup: str,
    target: Path,
    *,
    entropy: Entropy,
    on_progress: Progress | None = None,
) -> CheckedBackup:
    """Put journal and blobs of a backup into the data directory `target`, which must be empty or not be there.

    Everything is written and verified beside it, and gets its name in one step: a restore that is interrupted leaves no data
    directory, and is simply run again. BackupTargetError, BackupDamagedError; the target is then as it was.
    """
    manifest = await repository.read(backup)
    _check_empty(target)
    staging = target.with_name(f".{target.name}.restoring")
    progress = on_progress or silent
    await asyncio.to_thread(_make_staging, staging)
    try:
        index = await repository.blob_index(backup, manifest)
        objects = DirectoryObjects(staging / "blobs", entropy)
        sealed = 0
        for number, entry in enumerate(index, 1):
            progress("blobs", number, len(index))
            sealed += await _restore_blob(repository, backup, entry, objects, entropy)
        await _write_journal(repository, backup, manifest, staging / "journal.db", progress)
        await write_files(repository, backup, manifest, staging)
        missing = await asyncio.to_thread(_missing, staging / "journal.db", {blob_of(entry.name) for entry in index})
        await asyncio.to_thread(_publish, staging, target)
    except OSError as error:
        await asyncio.to_thread(shutil.rmtree, staging, True)
        raise BackupError(f"The backup can't be restored to {target}: {error.strerror}.") from None
    except BaseException:
        await asyncio.to_thread(shutil.rmtree, staging, True)
        raise
    return CheckedBackup(
        backup, manifest.created_at, manifest.journal.events, manifest.journal.streams, len(index), sealed, missing
    )


async def _write_journal(
    repository: Repository, backup: str, manifest: Manifest, path: Path, progress: Progress
) -> None:
    """Put the journal's file together; BackupDamagedError when it is not what it was."""
    entry, whole = manifest.journal, sha256()
    touch(path)
    with path.open("wb") as file:
        for piece in entry.pieces:
            content = await repository.piece(backup, piece, what="the journal")
            whole.update(content)
            await asyncio.to_thread(file.write, content)
            progress("journal", file.tell(), entry.size_bytes)
        file.flush()
        await asyncio.to_thread(os.fsync, file.fileno())
    if (whole.hexdigest(), path.stat().st_size) != (entry.sha256, entry.size_bytes):
        raise BackupDamagedError(backup, "the journal", "is not what the manifest says")
    verified = await asyncio.to_thread(verify_file, path)
    position, digest, heads = await asyncio.to_thread(heads_of, path)
    said = await repository.piece(backup, entry.heads, what="the list of its heads")
    if (verified.events, position, digest, lines_of(heads)) != (entry.events, entry.position, entry.digest, said):
        raise BackupDamagedError(backup, "the journal", "has other heads than the manifest says")
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


async def _check_blob(repository: Repository, backup: str, entry: StoredBlobObject, entropy: Entropy) -> bool:
    """Whether the blob is sealed; BackupDamagedError when it is damaged."""
    hashed, size = sha256(), 0
    async for piece in repository.blobs.stream(entry.name):
        hashed.update(piece)
        size += len(piece)
    if (size, hashed.hexdigest()) != (entry.size_bytes, entry.sha256):
        raise BackupDamagedError(backup, f"the blob {blob_of(entry.name)}", "is missing" if not size else "was changed")
    return await _is_sealed(BlobStore(repository.blobs, entropy), backup, blob_of(entry.name))


async def _restore_blob(
    repository: Repository, backup: str, entry: StoredBlobObject, objects: DirectoryObjects, entropy: Entropy
) -> bool:
    file = objects.scratch / entropy.token_bytes(16).hex()
    hashed, size = sha256(), 0
    with file.open("xb") as writing:
        async for piece in repository.blobs.stream(entry.name):
            hashed.update(piece)
            size += len(piece)
            await asyncio.to_thread(writing.write, piece)
    if (size, hashed.hexdigest()) != (entry.size_bytes, entry.sha256):
        raise BackupDamagedError(backup, f"the blob {blob_of(entry.name)}", "is missing" if not size else "was changed")
    await objects.put_file(entry.name, file)
    return await _is_sealed(BlobStore(objects, entropy), backup, blob_of(entry.name))


async def _is_sealed(store: BlobStore, backup: str, blob: str) -> bool:
    try:
        await store.verify(blob)
    except BlobKeyMissingError:
        return True
    except BlobDamagedError as error:
        raise BackupDamagedError(backup, f"the blob {blob}", f"is damaged ({error.message})") from None
    return False


def _missing(journal: Path, kept: set[str]) -> tuple[str, ...]:
    """Blobs that files were written with and that are not among those kept."""
    reader, query, found, more = Reader(journal), EventQuery(kinds=("FileWrite",)), set[str](), True
    try:
        while more:
            records, query, more = reader.scan(query, _PAGE)
            found |= {record.kind.blob_hash for record in records if isinstance(record.kind, FileWrite)}
    finally:
        reader.close()
    return tuple(sorted(found - kept))


def _check_empty(target: Path) -> None:
    try:
        occupied = target.exists() and (not target.is_dir() or any(target.iterdir()))
    except OSError as error:
        raise BackupTargetError(f"{target} can't be looked at: {error.strerror}.") from None
    if occupied:
        raise BackupTargetError(
            f"{target} is not empty; a restore replaces nothing.", next_step="Name a folder that is not there yet."
        )


def _make_staging(staging: Path) -> None:
    """A fresh folder beside the target; what an interrupted restore left there is removed."""
    if staging.exists() and not (staging / _MARKER).exists():
        raise BackupTargetError(f"{staging} is in the way, and no restore made it.")
    try:
        if staging.exists():
            shutil.rmtree(staging)
        staging.mkdir(mode=0o700, parents=True)
        (staging / _MARKER).touch()
    except OSError as error:
        raise BackupError(f"{staging} can't be written: {error.strerror}.") from None


def _publish(staging: Path, target: Path) -> None:
    shutil.rmtree(staging / "blobs" / "incoming", ignore_errors=True)
    (staging / _MARKER).unlink()
    _check_empty(target)
    if target.exists():
        target.rmdir()
    _sync(staging)
    staging.rename(target)
    _sync(target.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
