"""Indexes in memory from a few texts, and vaults over a session's files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from life.lago.knowledge.index import NoteIndex, ReadNote
from life.lago.knowledge.note import parse_text
from life.lago.knowledge.source import NoteFile
from life.lago.knowledge.vault import Vault
from life.lago.knowledge.vaults import Vaults
from tests.lago.files.kit import Office, S, open_office


def index_of(notes: Mapping[str, str], *, updated_at_us: int = 0) -> NoteIndex:
    """An index of these notes: path to text."""
    index = NoteIndex(None)
    write(index, notes, updated_at_us=updated_at_us)
    return index


def write(index: NoteIndex, notes: Mapping[str, str], *, updated_at_us: int = 0) -> None:
    """Give notes these texts."""
    index.apply(
        read=[
            ReadNote(NoteFile(path, digest(text), 1, updated_at_us), digest(text), parse_text(path, text))
            for path, text in notes.items()
        ]
    )


def digest(text: str) -> str:
    """SHA-256 of a text, hex."""
    return sha256(text.encode()).hexdigest()


class Library(NamedTuple):
    """An office whose files are notes."""

    office: Office
    vaults: Vaults

    async def vault(self, branch: str = "main") -> Vault:
        """The session's vault."""
        return await self.vaults.vault(S, branch)


@asynccontextmanager
async def open_library(root: Path, *, folder: Path | None = None) -> AsyncIterator[Library]:
    """An empty session, its blobs below `root`, its index files in `folder`."""
    async with open_office(root) as office:
        vaults = Vaults(office.journal, office.blobs, office.clock, folder=folder)
        try:
            yield Library(office, vaults)
        finally:
            await vaults.aclose()
