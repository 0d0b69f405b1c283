"""The journal's conformance suite against each engine of this package."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import cast

import pytest

from life.aios.ports.journal import Journal
from life.lago.journal.memory import MemoryJournal
from life.lago.journal.sqlite import SqliteJournal, WriterHost
from life.testing.clock import ManualClock
from life.testing.journal import Gap, JournalConformance, JournalHarness


class MemoryHarness:
    """Journals in memory; each opening is a new one."""

    gaps: frozenset[Gap] = frozenset({"durable", "shared"})
    model_examples = 25

    def open(self, name: str = "journal") -> AbstractAsyncContextManager[Journal]:
        """An empty journal."""
        return cast(AbstractAsyncContextManager[Journal], MemoryJournal())


class SqliteHarness:
    """Journals as files of one folder."""

    gaps: frozenset[Gap] = frozenset()

    def __init__(self, folder: Path, writer: WriterHost) -> None:
        self._folder = folder
        self._writer = writer
        self.model_examples = 4 if writer == "process" else 25  # each opening starts a process

    def open(self, name: str = "journal") -> AbstractAsyncContextManager[Journal]:
        """The journal `<name>.db`."""
        path = self._folder / f"{name}.db"
        return cast(
            AbstractAsyncContextManager[Journal],
            SqliteJournal.open(path, clock=ManualClock(), writer=self._writer, warm_log=False),
        )


class TestMemoryJournal(JournalConformance):
    """The journal in memory."""

    @pytest.fixture
    def harness(self) -> JournalHarness:
        """A harness whose journals are gone when they are closed."""
        return MemoryHarness()


class TestSqliteJournalInLoop(JournalConformance):
    """The SQLite journal that commits in the event loop."""

    @pytest.fixture
    def harness(self, tmp_path: Path) -> JournalHarness:
        """A harness over the test's folder."""
        return SqliteHarness(tmp_path, "in_loop")


class TestSqliteJournalInProcess(JournalConformance):
    """The SQLite journal that commits in a writer process."""

    @pytest.fixture
    def harness(self, tmp_path: Path) -> JournalHarness:
        """A harness over the test's folder."""
        return SqliteHarness(tmp_path, "process")


async def test_a_gap_must_be_declared_and_be_real(tmp_path: Path) -> None:
    """The suite is red for a gap that is not declared, and for a declared one that the engine does not have."""
    forgetful = MemoryHarness()
    forgetful.gaps = frozenset({"shared"})
    with pytest.raises(AssertionError):
        await JournalConformance().test_31_events_outlive_the_journal_object(forgetful)
    modest = SqliteHarness(tmp_path, "in_loop")
    modest.gaps = frozenset({"durable"})
    with pytest.raises(pytest.fail.Exception, match="declared, but the engine can do it"):
        await JournalConformance().test_31_events_outlive_the_journal_object(modest)
