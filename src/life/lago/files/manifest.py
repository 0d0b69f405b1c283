"""A manifest: which path has which content, folded from file events (lago.md §5).

    FileWrite    the path has this content from now on
    FileDelete   the path, or everything below it, is gone
    FileRename   the path, or everything below it, has another name; what stood there is replaced

A path begins with `/`, has no empty part, no `.` and no `..`, and is at most 4,096 bytes of UTF-8. Events with a path that is
none change nothing: a journal from elsewhere may hold them, and nobody may be led out of the tree by one. Folders are not kept:
they are there as long as something is in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Final, NamedTuple

import msgspec

from life.aios.errors import InvalidInputError
from life.aios.events import FileDelete, FileRename, FileWrite, Kind

MAX_PATH_BYTES: Final = 4_096
_NOT_A_PATH: Final = re.compile(r"/\.{0,2}(?:/|\Z)|\0")
FILE_KINDS: Final = ("FileWrite", "FileDelete", "FileRename")


class FileEntry(NamedTuple):
    """One file."""

    path: str
    blob_hash: str
    size_bytes: int
    content_type: str | None
    updated_at_us: int
    sequence: int
    """Of the event on its branch that gave it this content or name."""


class Manifest(Mapping[str, FileEntry]):
    """An immutable manifest: path to entry."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping[str, FileEntry] | None = None) -> None:
        self._entries = dict(entries or {})

    def __getitem__(self, path: str) -> FileEntry:
        return self._entries[path]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def below(self, folder: str) -> list[FileEntry]:
        """Every file below a folder (`/` for all), in the order of their paths."""
        prefix = folder.rstrip("/") + "/"
        return [self._entries[path] for path in sorted(self._entries) if path.startswith(prefix)]

    def children(self, folder: str) -> list[str]:
        """Names right below a folder; those of folders end in `/`."""
        prefix = folder.rstrip("/") + "/"
        names = set()
        for path in self._entries:
            if path.startswith(prefix):
                name, slash, _ = path[len(prefix) :].partition("/")
                names.add(name + slash)
        return sorted(names)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical form: equal contents have equal digests, whenever they were written."""
        return sha256(self.canonical()).hexdigest()

    def canonical(self) -> bytes:
        """JSON of path, hash, length and type in the order of the paths."""
        return msgspec.json.encode(
            [
                [entry.path, entry.blob_hash, entry.size_bytes, entry.content_type]
                for entry in map(self.__getitem__, self)
            ]
        )


class ManifestFold:
    """A manifest in the making. `manifest` copies it out."""

    __slots__ = ("_folders", "entries")

    def __init__(self, start: Mapping[str, FileEntry] | None = None) -> None:
        self.entries: dict[str, FileEntry] = dict(start or {})
        self._folders: set[str] | None = None
        """Every folder that something is in, and some that are empty by now; made when it is first needed. It tells without
        a look at every path that nothing is below one."""

    def copy(self) -> ManifestFold:
        """The same state, to go on from."""
        other = ManifestFold()
        other.entries = self.entries.copy()
        other._folders = None if self._folders is None else self._folders.copy()
        return other

    def apply(self, kind: Kind, *, sequence: int, at_us: int) -> None:
        """Fold one event in."""
        match kind:
            case FileWrite() if kind.path in self.entries or is_path(kind.path):
                entry = FileEntry(kind.path, kind.blob_hash, kind.size_bytes, kind.content_type, at_us, sequence)
                if kind.path not in self.entries:
                    self._make_room(kind.path)
                self.entries[kind.path] = entry
            case FileDelete() if is_path(kind.path):
                for path in self._under(kind.path):
                    del self.entries[path]
            case FileRename() if is_path(kind.old_path) and is_path(kind.new_path):
                self._rename(kind.old_path, kind.new_path, sequence=sequence, at_us=at_us)
            case _:
                pass

    def manifest(self) -> Manifest:
        """What it is now."""
        return Manifest(self.entries)

    def _rename(self, old: str, new: str, *, sequence: int, at_us: int) -> None:
        if old == new or new.startswith(old + "/"):
            return
        moved = {path: self.entries.pop(path) for path in self._under(old)}
        if not moved:
            return
        for path in self._under(new):
            del self.entries[path]
        for path, entry in moved.items():
            target = new + path[len(old) :]
            self._make_room(target)
            self.entries[target] = entry._replace(path=target, sequence=sequence, updated_at_us=at_us)

    def _under(self, path: str) -> list[str]:
        """The file of this name, or all files below the folder of this name."""
        if path in self.entries:
            return [path]
        if path not in self._known_folders():
            return []
        prefix = path + "/"
        return [other for other in self.entries if other.startswith(prefix)]

    def _make_room(self, path: str) -> None:
        """A file can't be in a file, nor stand where a folder was: what is in the way goes."""
        for other in self._under(path):
            if other != path:
                del self.entries[other]
        folders = self._known_folders()
        parent = path
        while (parent := parent.rpartition("/")[0]) != "":
            self.entries.pop(parent, None)
            folders.add(parent)

    def _known_folders(self) -> set[str]:
        if self._folders is None:
            self._folders = set()
            for path in self.entries:
                parent = path
                while (parent := parent.rpartition("/")[0]) != "" and parent not in self._folders:
                    self._folders.add(parent)
        return self._folders


def is_path(path: str) -> bool:
    """Whether `path` is one of a manifest."""
    if not path.startswith("/") or len(path) > MAX_PATH_BYTES or _NOT_A_PATH.search(path) is not None:
        return False
    try:
        return path.isascii() or len(path.encode()) <= MAX_PATH_BYTES
    except UnicodeEncodeError:
        return False


def check_path(path: str) -> str:
    """`path`, with a leading `/` where it has none; InvalidInputError for one that can't be."""
    full = path if path.startswith("/") else "/" + path
    if not is_path(full):
        raise InvalidInputError(
            "This is no path of a file: it begins with '/', has no '.', '..' or empty parts, and does not end in '/'.",
            details={"path": path[:200]},
        )
    return full


def entries_of(kinds: Iterable[Kind]) -> Manifest:
    """The manifest of bare events, numbered from 1. For tests and small tools."""
    fold = ManifestFold()
    for sequence, kind in enumerate(kinds, 1):
        fold.apply(kind, sequence=sequence, at_us=sequence)
    return fold.manifest()
