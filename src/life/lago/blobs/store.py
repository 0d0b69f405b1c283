"""The Blobs port over named objects: hash, compress, seal, verify (lago.md §4).

Long contents go through a file of the local scratch folder: the hash is known only at the end, and a sealed blob is bound to its
hash, so a second reading seals it. What is read is hashed again, and the last piece is given out only when the hash is right.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final

from life.aios.errors import InvalidInputError
from life.aios.ports.blobs import BlobInfo, StoredBlob
from life.aios.ports.clock import Entropy
from life.lago.blobs import coding
from life.lago.blobs.coding import BlobKeys, Coder, CodingError, KeyNotHereError
from life.lago.blobs.objects import BLOB_HASH, Objects, check_hash, explain
from life.lago.errors import BlobDamagedError, BlobKeyMissingError, BlobNotFoundError

MAX_BLOB_BYTES: Final = 16 * 1024**3
IN_MEMORY_BYTES: Final = 4 * 1024 * 1024
"""Longer contents go through a scratch file."""
_PIECE_BYTES: Final = 256 * 1024
_SHORT_BYTES: Final = 16 * 1024
"""Encoded in less time than a visit to the threads takes."""
_SUFFIXES: Final = (".zst", ".raw", ".sealed")


class BlobStore:
    """Content by its hash. Several stores and processes may share the objects."""

    def __init__(
        self,
        objects: Objects,
        entropy: Entropy,
        *,
        keys: BlobKeys | None = None,
        seal_new: bool = True,
        max_blob_bytes: int = MAX_BLOB_BYTES,
    ) -> None:
        """With `keys` new blobs are sealed, unless `seal_new` is off; without, sealed ones that are there can't be read."""
        self._objects = objects
        self._entropy = entropy
        self._keys = keys
        self._sealing = keys if seal_new else None
        self._max_blob_bytes = max_blob_bytes

    @property
    def seals(self) -> bool:
        """Whether new blobs are sealed."""
        return self._sealing is not None

    async def put(self, content: bytes) -> BlobInfo:
        """See Blobs."""
        if len(content) > IN_MEMORY_BYTES:
            return await self.put_stream(_pieces(content))
        blob = sha256(content).hexdigest()
        if not await self._is_kept(blob):
            compressed = coding.gets_smaller(content)
            coder = self._encoder(blob, compressed=compressed)
            if len(content) <= _SHORT_BYTES:
                stored = coder.feed(content) + coder.finish()
            else:
                stored = await asyncio.to_thread(lambda: coder.feed(content) + coder.finish())
            await self._objects.put(_object(blob, self._suffix(compressed)), stored)
        return BlobInfo(blob, len(content))

    async def put_stream(self, parts: AsyncIterable[bytes], *, expected: str | None = None) -> BlobInfo:
        """See Blobs."""
        if expected is not None:
            check_hash(expected)
        plain = self._objects.scratch / self._entropy.token_bytes(16).hex()
        coded = plain.with_suffix(".coded")
        try:
            size, blob, compressed = await self._take_in(parts, plain)
            if expected is not None and blob != expected:
                raise InvalidInputError("The content is not what its hash says.", details={"expected": expected})
            if not await self._is_kept(blob):
                await asyncio.to_thread(_encode_file, plain, coded, self._encoder(blob, compressed=compressed))
                await self._objects.put_file(_object(blob, self._suffix(compressed)), coded)
            return BlobInfo(blob, size)
        except OSError as error:
            raise explain(error) from None
        finally:
            await asyncio.to_thread(_remove, plain, coded)

    async def get(self, blob: str, *, max_bytes: int | None = None) -> bytes:
        """See Blobs."""
        found = bytearray()
        async for piece in self.stream(blob):
            found += piece
            if max_bytes is not None and len(found) > max_bytes:
                raise InvalidInputError(f"The blob is longer than {max_bytes} bytes.", details={"blob": blob})
        return bytes(found)

    async def stream(self, blob: str) -> AsyncIterator[bytes]:
        """See Blobs."""
        name = await self._name(check_hash(blob))
        if name is None:
            raise BlobNotFoundError(blob)
        coder = self._decoder(blob, name)
        hashed = sha256()
        kept = b""
        try:
            async for stored in self._objects.stream(name):
                piece = coder.feed(stored)
                if piece:
                    if kept:
                        yield kept
                    hashed.update(piece)
                    kept = piece
            rest = coder.finish()
        except CodingError as error:
            raise BlobDamagedError(blob, str(error)) from None
        except KeyNotHereError as error:
            raise BlobKeyMissingError(blob, error.key_id) from None
        hashed.update(rest)
        if hashed.hexdigest() != blob:
            raise BlobDamagedError(blob, "its content has another hash")
        if kept or rest:
            yield kept + rest

    async def exists(self, blob: str) -> bool:
        """See Blobs."""
        return await self._name(check_hash(blob)) is not None

    async def delete(self, blob: str, *, written_before_us: int | None = None) -> bool:
        """See Blobs."""
        check_hash(blob)
        removed = False
        for suffix in _SUFFIXES:
            found = await self._objects.stat(_object(blob, suffix)) if written_before_us is not None else None
            if found is not None and written_before_us is not None and found.written_at_us > written_before_us:
                continue
            removed = await self._objects.delete(_object(blob, suffix)) or removed
        return removed

    async def stored(self) -> AsyncIterator[StoredBlob]:
        """See Blobs. Objects that are no blobs are passed over."""
        async for found in self._objects.listing():
            stem, dot, suffix = found.name.replace("/", "", 1).partition(".")
            if BLOB_HASH.fullmatch(stem) and dot + suffix in _SUFFIXES:
                yield StoredBlob(stem, found.size_bytes, found.written_at_us)

    async def verify(self, blob: str) -> None:
        """Read a blob to its end; the errors of `stream`."""
        async for _ in self.stream(blob):
            pass

    # ---- inside

    async def _take_in(self, parts: AsyncIterable[bytes], file: Path) -> tuple[int, str, bool]:
        """Write the content down as it comes; its length, hash, and whether compressing is worth it."""
        size, hashed, sample = 0, sha256(), b""
        writing: BinaryIO = await asyncio.to_thread(file.open, "xb")
        try:
            async for part in parts:
                size += len(part)
                if size > self._max_blob_bytes:
                    raise InvalidInputError(f"A blob has at most {self._max_blob_bytes} bytes.")
                hashed.update(part)
                if len(sample) < coding.SAMPLE_BYTES:
                    sample += part[: coding.SAMPLE_BYTES - len(sample)]
                await asyncio.to_thread(writing.write, part)
        finally:
            writing.close()
        return size, hashed.hexdigest(), coding.gets_smaller(sample)

    def _encoder(self, blob: str, *, compressed: bool) -> Coder:
        inner: Coder = coding.Compress() if compressed else coding.Plain()
        if self._sealing is None:
            return inner
        form = coding.INNER_ZSTD if compressed else coding.INNER_RAW
        try:
            sealing = coding.Seal(inner, inner_form=form, keys=self._sealing, entropy=self._entropy)
        except KeyNotHereError as error:
            raise BlobKeyMissingError(blob, error.key_id) from None
        sealing.bind(blob)
        return sealing

    def _decoder(self, blob: str, name: str) -> Coder:
        if name.endswith(".sealed"):
            return coding.Unseal(blob, keys=self._keys, limit_bytes=self._max_blob_bytes)
        return coding.Plain() if name.endswith(".raw") else coding.Decompress(self._max_blob_bytes)

    def _suffix(self, compressed: bool) -> str:
        if self._sealing is not None:
            return ".sealed"
        return ".zst" if compressed else ".raw"

    async def _name(self, blob: str) -> str | None:
        """The object that holds a blob. Without keys the open forms come first."""
        order = _SUFFIXES if self._sealing is None else tuple(reversed(_SUFFIXES))
        return await self._objects.first_of([_object(blob, suffix) for suffix in order])

    async def _is_kept(self, blob: str) -> bool:
        """Whether the blob lies there and is good; then it is as young as new, so that no collection takes it away before its
        event is stored. Writing a damaged blob again repairs it."""
        name = await self._name(blob)
        if name is None:
            return False
        try:
            await self.verify(blob)
        except (BlobDamagedError, BlobKeyMissingError, BlobNotFoundError):
            return False
        return await self._objects.refresh(name)


def _object(blob: str, suffix: str) -> str:
    return f"{blob[:2]}/{blob[2:]}{suffix}"


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    view = memoryview(content)
    for start in range(0, len(content), _PIECE_BYTES):
        yield bytes(view[start : start + _PIECE_BYTES])


def _encode_file(plain: Path, coded: Path, coder: Coder) -> None:
    with plain.open("rb") as reading, coded.open("xb") as writing:
        while piece := reading.read(_PIECE_BYTES):
            writing.write(coder.feed(piece))
        writing.write(coder.finish())


def _remove(*files: Path) -> None:
    for file in files:
        file.unlink(missing_ok=True)
