"""Objects as files of a directory: `<root>/<first two hex>/<the rest>.<suffix>` (lago.md §4).

A file is written under a name that nobody else uses, flushed, renamed and its directory flushed, so an object is there whole
or not at all, also after a power failure. Two writers of the same object write the same bytes; the later rename wins and
changes nothing. Disk work happens in threads.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from life.aios.ports.clock import Entropy
from life.lago.blobs.objects import StoredObject, explain

_PIECE_BYTES: Final = 256 * 1024
SCRATCH: Final = "incoming"


class DirectoryObjects:
    """The Objects port over a local directory."""

    def __init__(self, root: Path, entropy: Entropy) -> None:
        """The directory is made when the first object is written; 0700, because blobs are private content."""
        self._root = root
        self._entropy = entropy

    @property
    def scratch(self) -> Path:
        """See Objects. On the same file system as the objects, so that taking a file over is a rename."""
        folder = self._root / SCRATCH
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    async def put(self, name: str, content: bytes) -> None:
        """See Objects."""
        await asyncio.to_thread(self._put, name, content)

    async def put_file(self, name: str, file: Path) -> None:
        """See Objects."""
        await asyncio.to_thread(self._take, name, file)

    async def get(self, name: str) -> bytes | None:
        """See Objects."""
        return await asyncio.to_thread(self._get, name)

    async def stream(self, name: str) -> AsyncIterator[bytes]:
        """See Objects."""
        try:
            file = await asyncio.to_thread((self._root / name).open, "rb")
        except FileNotFoundError:
            return
        except OSError as error:
            raise explain(error) from None
        try:
            while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
                yield piece
        finally:
            file.close()

    async def stat(self, name: str) -> StoredObject | None:
        """See Objects."""
        try:
            found = await asyncio.to_thread(os.stat, self._root / name)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise explain(error) from None
        return StoredObject(name, found.st_size, found.st_mtime_ns // 1000)

    async def first_of(self, names: Sequence[str]) -> str | None:
        """See Objects. One visit to the threads for all of them."""
        return await asyncio.to_thread(self._first_of, names)

    async def refresh(self, name: str) -> bool:
        """See Objects."""
        try:
            await asyncio.to_thread(os.utime, self._root / name)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise explain(error) from None
        return True

    async def delete(self, name: str) -> bool:
        """See Objects."""
        try:
            await asyncio.to_thread(os.unlink, self._root / name)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise explain(error) from None
        return True

    async def listing(self) -> AsyncIterator[StoredObject]:
        """See Objects. One folder at a time."""
        for folder in await asyncio.to_thread(_folders, self._root):
            for entry in await asyncio.to_thread(_entries, folder):
                yield entry

    def _first_of(self, names: Sequence[str]) -> str | None:
        for name in names:
            try:
                (self._root / name).stat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise explain(error) from None
            return name
        return None

    def _put(self, name: str, content: bytes) -> None:
        partial = self._partial()
        try:
            with partial.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            self._publish(name, partial)
        except OSError as error:
            raise explain(error) from None
        finally:
            partial.unlink(missing_ok=True)

    def _take(self, name: str, file: Path) -> None:
        try:
            descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._publish(name, file)
        except OSError as error:
            raise explain(error) from None

    def _publish(self, name: str, file: Path) -> None:
        target = self._root / name
        made = not target.parent.exists()
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.replace(target)
        _flush_folder(target.parent)
        if made:
            _flush_folder(self._root)

    def _partial(self) -> Path:
        return self.scratch / self._entropy.token_bytes(16).hex()

    def _get(self, name: str) -> bytes | None:
        try:
            return (self._root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise explain(error) from None


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(entry for entry in root.iterdir() if entry.is_dir() and len(entry.name) == 2)
    except FileNotFoundError:
        return []


def _entries(folder: Path) -> list[StoredObject]:
    found: list[StoredObject] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                state = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # collected meanwhile
            found.append(StoredObject(f"{folder.name}/{entry.name}", state.st_size, state.st_mtime_ns // 1000))
    return found


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
