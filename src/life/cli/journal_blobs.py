"""The contents that go with an export: a folder with one file per blob, named by its SHA-256."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Final

from life.aios.errors import InvalidInputError
from life.cli.identity_opening import ask_passphrase
from life.host.lago_store import open_store
from life.lago.blobs.objects import BLOB_HASH

_PIECE_BYTES: Final = 1 << 18


async def export_blobs(data_dir: Path, mentioned: Collection[str], folder: Path) -> int:
    """Write every mentioned blob that the store has; how many."""
    count = 0
    async with open_store(data_dir, prompt=ask_passphrase) as store:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for blob in sorted(mentioned):
                if not await store.blobs.exists(blob):
                    continue
                partial = folder / f".{blob}"
                with partial.open("wb") as file:
                    async for piece in store.blobs.stream(blob):
                        file.write(piece)
                partial.replace(folder / blob)
                count += 1
        except OSError as error:
            raise InvalidInputError(f"{folder} can't be written: {error.strerror}.") from None
    return count


async def import_blobs(data_dir: Path, folder: Path) -> int:
    """Take in every file whose name is a hash, and whose content has it; how many. InvalidInputError for one that has not."""
    count = 0
    async with open_store(data_dir, create=True, prompt=ask_passphrase) as store:
        for file in sorted(folder.iterdir()):
            if BLOB_HASH.fullmatch(file.name) is None:
                continue
            await store.blobs.put_stream(_pieces(file), expected=file.name)
            count += 1
    return count


async def _pieces(file: Path) -> AsyncIterator[bytes]:
    try:
        with file.open("rb") as reading:
            while piece := reading.read(_PIECE_BYTES):
                yield piece
    except OSError as error:
        raise InvalidInputError(f"{file} can't be read: {error.strerror}.") from None
