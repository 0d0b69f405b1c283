"""Where blobs lie: named objects, whole or as files. The store above gives names and makes sense of the bytes."""

from __future__ import annotations

import errno
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from life.aios.errors import InvalidInputError
from life.lago.errors import BlobStoreFullError, BlobStoreUnavailableError

BLOB_HASH: Final = re.compile(r"[0-9a-f]{64}")
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StoredObject(NamedTuple):
    """One object."""

    name: str
    size_bytes: int
    written_at_us: int


class Objects(Protocol):
    """A flat space of objects. Names are relative, `/` between their parts; the store makes only safe ones."""

    async def put(self, name: str, content: bytes) -> None:
        """Write a whole object; durable and visible only as a whole. BlobStoreFullError; BlobStoreUnavailableError."""
        ...

    async def put_file(self, name: str, file: Path) -> None:
        """Take over a file, which is gone afterwards. Otherwise as `put`."""
        ...

    async def get(self, name: str) -> bytes | None:
        """The whole object; None when there is none."""
        ...

    def stream(self, name: str) -> AsyncIterator[bytes]:
        """The object in pieces; nothing at all when there is none."""
        ...

    async def stat(self, name: str) -> StoredObject | None:
        """Its length and age; None when there is none."""
        ...

    async def first_of(self, names: Sequence[str]) -> str | None:
        """The first of these names under which there is an object; None when there is none."""
        ...

    async def refresh(self, name: str) -> bool:
        """Make it as young as if it had been written now; False when there is none."""
        ...

    async def delete(self, name: str) -> bool:
        """Remove it; False when there was none."""
        ...

    def listing(self) -> AsyncIterator[StoredObject]:
        """Every object."""
        ...

    @property
    def scratch(self) -> Path:
        """A local folder for files on their way in."""
        ...


def check_hash(blob: str) -> str:
    """`blob`, when it is 64 lower-case hex digits; otherwise an InvalidInputError."""
    if BLOB_HASH.fullmatch(blob) is None:
        raise InvalidInputError("A blob's id is 64 lower-case hex digits.")
    return blob


def explain(error: OSError) -> BlobStoreFullError | BlobStoreUnavailableError:
    """What the operating system said, as an error of ours."""
    if error.errno in _FULL:
        return BlobStoreFullError()
    return BlobStoreUnavailableError(f"The blob store can't be used: {error.strerror}.")
