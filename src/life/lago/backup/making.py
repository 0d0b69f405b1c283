"""Making a backup while the journal is in use.

The journal comes first, through SQLite's backup interface under one reading transaction, so it is one moment of the file whatever
is written meanwhile. Blobs are copied after it: a blob is always stored before the event that mentions it, so every blob of that
moment is there. Blobs never change, so only new ones are copied; of the journal only pieces that no earlier backup has.

The copy is verified before anything is kept: a damaged journal is named and not backed up. Killed anywhere, a backup leaves pieces
without a manifest, which the next one uses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal, NamedTuple

from life.aios.errors import NotFoundError
from life.aios.ports.clock import Clock, Entropy
from life.aios.record import format_timestamp
from life.lago.backup.journal_copy import (
    Progress,
    blob_of,
    copy_journal,
    heads_of,
    lines_of,
    place_for_copy,
    remove_copy,
)
from life.lago.backup.repository import (
    PIECE_BYTES,
    BlobsEntry,
    JournalEntry,
    Manifest,
    Repository,
    StoredBlobObject,
)
from life.lago.backup.side_files import SideFile, keep_files
from life.lago.blobs.objects import Objects, StoredObject, explain
from life.lago.blobs.store import BlobStore
from life.lago.errors import BackupError, BlobDamagedError, BlobKeyMissingError, BlobNotFoundError
from life.lago.journal.verification import Verified, verify_file

_TABLE_OF_BLOBS: Final = (".zst", ".raw", ".sealed")


class Made(NamedTuple):
    """A backup that was made."""

    backup: str
    events: int
    streams: int
    journal_bytes: int
    pieces_new: int
    blobs: int
    blobs_new: int
    damaged: tuple[str, ...]
    """Blobs that are damaged here, and of which the place of backups has no copy."""
    files: tuple[str, ...] = ()
    """What else is in it, by name."""


async def create_backup(
    repository: Repository,
    journal: Path,
    blobs: Objects | None,
    *,
    clock: Clock,
    entropy: Entropy,
    repair: bool = False,
    on_progress: Progress | None = None,
    files: Sequence[SideFile] = (),
) -> Made:
    """Back up a journal and its blobs, and the other `files` that are there. With `repair`, pieces and blobs that are there already are read, and written again when
    they are damaged.

    NotFoundError when there is no journal, JournalDamagedError when it is damaged, BlobStoreFullError or BackupError when
    something can't be written; then there is no new backup.
    """
    if not journal.exists() or not journal.stat().st_size:
        raise NotFoundError(f"There is no journal {journal}.")
    progress = on_progress or silent
    moment_us = clock.now_us()
    copy: Path | None = None
    try:
        copy = place_for_copy(repository.scratch, entropy=entropy, now_us=moment_us)
        await asyncio.to_thread(copy_journal, journal, copy, progress)
        verified = await asyncio.to_thread(verify_file, copy)
        entry, pieces_new = await _keep_journal(repository, copy, verified, repair, progress)
    except OSError as error:
        raise BackupError(f"The copy of the journal can't be written: {error.strerror}.") from None
    finally:
        if copy is not None:
            await asyncio.to_thread(remove_copy, copy)
    index, blobs_new, damaged = await _keep_blobs(repository, blobs, entropy, repair, progress)
    kept = await keep_files(repository, files, entropy)
    listed = await repository.pieces.put(lines_of([list(one) for one in index]))
    size = sum(one.size_bytes for one in index)
    manifest = Manifest(
        created_at=format_timestamp(moment_us),
        journal=entry,
        blobs=BlobsEntry(objects=len(index), size_bytes=size, index=listed.hash),
        files=kept,
    )
    backup = await repository.add(manifest)
    return Made(
        backup,
        entry.events,
        entry.streams,
        entry.size_bytes,
        pieces_new,
        len(index),
        blobs_new,
        tuple(damaged),
        tuple(file.name for file in kept),
    )


async def _keep_journal(
    repository: Repository, copy: Path, verified: Verified, repair: bool, progress: Progress
) -> tuple[JournalEntry, int]:
    known: set[str] = set() if repair else {piece.hash async for piece in repository.pieces.stored()}
    total, whole, pieces, new = copy.stat().st_size, sha256(), [], 0
    with copy.open("rb") as file:
        while content := await asyncio.to_thread(file.read, PIECE_BYTES):
            whole.update(content)
            name = sha256(content).hexdigest()
            if name not in known:
                await repository.pieces.put(content)
                known.add(name)
                new += 1
            pieces.append(name)
            progress("pieces", min(len(pieces) * PIECE_BYTES, total), total)
    position, digest, heads = await asyncio.to_thread(heads_of, copy)
    entry = JournalEntry(
        size_bytes=total,
        sha256=whole.hexdigest(),
        pieces=tuple(pieces),
        events=verified.events,
        streams=verified.streams,
        position=position,
        digest=digest,
        heads=(await repository.pieces.put(lines_of(heads))).hash,
    )
    return entry, new


async def _keep_blobs(
    repository: Repository, source: Objects | None, entropy: Entropy, repair: bool, progress: Progress
) -> tuple[list[StoredBlobObject], int, list[str]]:
    """Copy what is new; the index of all, how many were new, and which are damaged."""
    if source is None:
        return [], 0, []
    there = {found.name async for found in repository.blobs.listing()}
    hashes = await _known_hashes(repository)
    listed = sorted([found async for found in source.listing() if found.name.endswith(_TABLE_OF_BLOBS)])
    store = BlobStore(source, entropy)
    index: list[StoredBlobObject] = []
    new, damaged = 0, []
    for number, found in enumerate(listed, 1):
        progress("blobs", number, len(listed))
        if found.name in there and not repair:
            index.append(hashes.get(found.name) or await _hash_of(repository.blobs, found))
            continue
        copied = await _copy(repository, source, store, found, entropy)
        if isinstance(copied, str) and found.name in there:
            index.append(hashes.get(found.name) or await _hash_of(repository.blobs, found))
        elif isinstance(copied, str):
            damaged.append(blob_of(found.name))
        elif copied is not None:
            index.append(copied)
            new += found.name not in there
    return index, new, damaged


async def _copy(
    repository: Repository, source: Objects, store: BlobStore, found: StoredObject, entropy: Entropy
) -> StoredBlobObject | Literal["damaged"] | None:
    """Copy one object; "damaged" when its content is not what its name says, None when it was collected meanwhile."""
    try:
        await store.verify(blob_of(found.name))
    except BlobDamagedError:
        return "damaged"
    except BlobNotFoundError:
        return None
    except BlobKeyMissingError:
        pass  # sealed: its content is checked by whoever has the key; the stored bytes are hashed all the same
    file = repository.scratch / entropy.token_bytes(16).hex()
    hashed, size = sha256(), 0
    try:
        with file.open("xb") as writing:
            async for piece in source.stream(found.name):
                hashed.update(piece)
                size += len(piece)
                await asyncio.to_thread(writing.write, piece)
        if not size:
            return None
        await repository.blobs.put_file(found.name, file)
    except OSError as error:
        raise explain(error) from None
    finally:
        file.unlink(missing_ok=True)
    return StoredBlobObject(found.name, size, hashed.hexdigest())


async def _known_hashes(repository: Repository) -> dict[str, StoredBlobObject]:
    """What the newest backup says of the objects that it has."""
    backups = await repository.backups()
    if not backups:
        return {}
    try:
        manifest = await repository.read(backups[-1])
        return {one.name: one for one in await repository.blob_index(backups[-1], manifest)}
    except BackupError:  # damaged: then everything is hashed once more
        return {}


async def _hash_of(objects: Objects, found: StoredObject) -> StoredBlobObject:
    hashed, size = sha256(), 0
    async for piece in objects.stream(found.name):
        hashed.update(piece)
        size += len(piece)
    return StoredBlobObject(found.name, size, hashed.hexdigest())


def silent(_what: str, _done: int, _total: int) -> None:
    """Nobody watches."""
