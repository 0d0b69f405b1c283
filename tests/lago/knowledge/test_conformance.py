"""The port's promises, for notes of a folder and notes of a session, with the index in a file and in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from life.lago.knowledge.directory import DirectoryNotes
from life.lago.knowledge.vault import Vault
from life.testing.clock import ManualClock
from life.testing.knowledge import KnowledgeBench, KnowledgeSuite
from tests.lago.files.kit import S
from tests.lago.knowledge.kit import open_library


class TestFolder(KnowledgeSuite):
    """A folder, indexed in a file."""

    @pytest.fixture
    async def bench(self, tmp_path: Path) -> AsyncIterator[KnowledgeBench]:
        """Written to as an editor would."""
        root, clock = tmp_path / "vault", ManualClock()
        root.mkdir()

        async def write(path: str, text: str) -> None:
            (root / path[1:]).parent.mkdir(exist_ok=True)
            (root / path[1:]).write_text(text)

        async def remove(path: str) -> None:
            (root / path[1:]).unlink()

        async with Vault(DirectoryNotes(root, clock), clock, index_file=tmp_path / "i.db") as vault:
            yield KnowledgeBench(vault, write, remove)


class TestSession(KnowledgeSuite):
    """A session's files, indexed in memory."""

    @pytest.fixture
    async def bench(self, tmp_path: Path) -> AsyncIterator[KnowledgeBench]:
        """Written to by events."""
        async with open_library(tmp_path) as library:

            async def write(path: str, text: str) -> None:
                await library.office.put(path, text)

            async def remove(path: str) -> None:
                await library.office.desk.delete(S, path)

            yield KnowledgeBench(await library.vault(), write, remove)
