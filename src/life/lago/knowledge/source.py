"""Where notes come from: the port between the index and a folder, or a session's files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeAlias


class NoteFile(NamedTuple):
    """A file that is a note."""

    path: str
    """Begins with `/`."""
    version: str
    """Differs when the content may differ: a blob's hash, or a file's times and size."""
    sequence: int
    """Of the event that gave it this content; 0 outside a journal."""
    updated_at_us: int


class Written(NamedTuple):
    """A note has this content now."""

    file: NoteFile


class Removed(NamedTuple):
    """The note of exactly this path is gone, if there was one."""

    path: str


class RemovedBelow(NamedTuple):
    """Every note below this folder is gone."""

    folder: str


Change: TypeAlias = Written | Removed | RemovedBelow


class Changes(NamedTuple):
    """What happened behind a cursor. When `complete`, the files are all that there are, and what is not among them is gone."""

    cursor: str
    complete: bool
    steps: tuple[Change, ...]


class NoteSource(Protocol):
    """Files that are notes. Paths that lead out of the source never come out of it."""

    async def changes(self, cursor: str | None) -> Changes:
        """What is new behind a cursor that an earlier answer gave; everything, for None or a cursor that does not fit."""
        ...

    async def contents(self, files: Sequence[NoteFile]) -> list[bytes | str]:
        """The content of each file, or why that one can't be read."""
        ...
