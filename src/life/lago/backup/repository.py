"""Where backups are kept: three spaces of objects, and the manifests in one of them.

    blobs       the blobs' objects, byte for byte as the store keeps them: a sealed one stays sealed, and no key is needed
    pieces      content-addressed pieces of 1 MiB of journal files, and lists; equal pieces of several backups are kept once
    manifests   one small JSON object per backup, written last: a backup without one does not exist

A backup's id is its time and the beginning of its manifest's SHA-256, so a manifest that was changed is not found under its id.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from life.aios.ports.clock import Entropy
from life.crypto.canonical import canonical_json
from life.lago.blobs.directory import DirectoryObjects
from life.lago.blobs.objects import Objects
from life.lago.blobs.store import BlobStore
from life.lago.errors import BackupDamagedError, BackupNotFoundError, BlobError, BlobNotFoundError

TYPE: Final = "life.backup"
PIECE_BYTES: Final = 1 << 20


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The journal's file, and what it holds."""

    size_bytes: int
    sha256: str
    pieces: tuple[str, ...]
    """SHA-256 of each 1 MiB, in order."""
    events: int
    streams: int
    position: int
    digest: str
    """Of the event at `position`, the newest; zeros for an empty journal."""
    heads: str
    """A piece with one line of JSON per branch: [session, branch, sequence, digest]."""


class BlobsEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The blobs' objects."""

    objects: int
    size_bytes: int
    index: str
    """A piece with one line of JSON per object: [name, bytes, SHA-256 of the stored bytes]."""


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A file beside journal and blobs (life.lago.backup.side_files)."""

    name: str
    size_bytes: int
    sha256: str
    pieces: tuple[str, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One backup."""

    type: str = TYPE
    version: int = 1
    created_at: str
    journal: JournalEntry
    blobs: BlobsEntry
    files: tuple[FileEntry, ...] = ()


class StoredBlobObject(NamedTuple):
    """One line of the index."""

    name: str
    size_bytes: int
    sha256: str


class Repository:
    """The place of backups."""

    def __init__(self, blobs: Objects, pieces: Objects, manifests: Objects, entropy: Entropy) -> None:
        self.blobs = blobs
        self.pieces = BlobStore(pieces, entropy)
        self._manifests = manifests

    @classmethod
    def in_directory(cls, root: Path, entropy: Entropy) -> Repository:
        """In a directory, which is made when the first backup is."""
        blobs, pieces, manifests = (DirectoryObjects(root / name, entropy) for name in ("blobs", "pieces", "manifests"))
        return cls(blobs, pieces, manifests, entropy)

    @property
    def scratch(self) -> Path:
        """A local folder for files on their way in."""
        return self.blobs.scratch

    async def add(self, manifest: Manifest) -> str:
        """Keep a manifest: now the backup exists. Its id."""
        content = canonical_json(msgspec.to_builtins(manifest))
        backup = f"{_compact_time(manifest.created_at)}-{sha256(content).hexdigest()[:16]}"
        await self._manifests.put(_object(backup), content)
        return backup

    async def backups(self) -> list[str]:
        """The ids of all backups, oldest first."""
        return sorted([backup async for backup in self._ids()])

    async def read(self, backup: str) -> Manifest:
        """One manifest; BackupNotFoundError, BackupDamagedError."""
        if backup not in await self.backups():
            raise BackupNotFoundError(f"There is no backup {backup} here.", next_step="life backup list")
        content = await self._manifests.get(_object(backup)) or b""
        try:
            manifest = msgspec.json.decode(content, type=Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BackupDamagedError(backup, "its manifest", f"can't be read ({error})") from None
        if sha256(content).hexdigest()[:16] != backup.rpartition("-")[2]:
            raise BackupDamagedError(backup, "its manifest", "was changed")
        if (manifest.type, manifest.version) != (TYPE, 1):
            raise BackupDamagedError(backup, "its manifest", "is of a version that is not known here")
        return manifest

    async def newest(self) -> str:
        """The id of the newest backup; BackupNotFoundError when there is none."""
        backups = await self.backups()
        if not backups:
            raise BackupNotFoundError("There is no backup here.", next_step="life backup create")
        return backups[-1]

    async def piece(self, backup: str, piece: str, *, what: str) -> bytes:
        """A piece, verified; BackupDamagedError when it is not what it was, or gone."""
        try:
            return await self.pieces.get(piece)
        except (BlobError, BlobNotFoundError) as error:
            if error.status == 503:
                raise
            raise BackupDamagedError(backup, what, f"has a piece that can't be read ({error.message})") from None

    async def blob_index(self, backup: str, manifest: Manifest) -> list[StoredBlobObject]:
        """The objects of a backup's blobs."""
        content = await self.piece(backup, manifest.blobs.index, what="the list of its blobs")
        return [StoredBlobObject(*line) for line in _lines(content)]

    async def _ids(self) -> AsyncIterator[str]:
        async for found in self._manifests.listing():
            if found.name.endswith(".json"):
                yield found.name.replace("/", "", 1).removesuffix(".json")


def _lines(content: bytes) -> list[tuple[str, int, str]]:
    decode = msgspec.json.Decoder(tuple[str, int, str]).decode
    return [decode(line) for line in content.splitlines()]


def _object(backup: str) -> str:
    return f"{backup[:2]}/{backup[2:]}.json"


def _compact_time(created_at: str) -> str:
    """`2026-11-20T07:23:00.000001Z` as `20261120T072300.000001Z`: it sorts, and is a file name everywhere."""
    return created_at.replace("-", "").replace(":", "")
