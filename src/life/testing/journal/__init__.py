"""What every journal engine must do: the conformance suite of life.aios.ports.journal.

To run it against an engine, give it a harness::

    class TestMyJournal(JournalConformance):
        @pytest.fixture
        def harness(self, tmp_path: Path) -> JournalHarness:
            return MyHarness(tmp_path)

The scenarios are numbered and stand on their own. A harness declares as gaps what its engine cannot do by its nature; a
gap that is not declared fails, and so does a declared one that works after all. Needs pytest, pytest-asyncio (auto mode)
and hypothesis.
"""

from __future__ import annotations

import pytest

_PARTS = ("appending", "concurrency", "lifetime", "making", "model", "reading")
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS))  # so that a failure shows the values

from life.testing.journal.appending import AppendingScenarios  # noqa: E402
from life.testing.journal.concurrency import ConcurrencyScenarios  # noqa: E402
from life.testing.journal.lifetime import LifetimeScenarios  # noqa: E402
from life.testing.journal.making import Gap, JournalHarness, Maker  # noqa: E402
from life.testing.journal.model import ModelScenario  # noqa: E402
from life.testing.journal.reading import ReadingScenarios  # noqa: E402

__all__ = ["Gap", "JournalConformance", "JournalHarness", "Maker"]


class JournalConformance(AppendingScenarios, ConcurrencyScenarios, ReadingScenarios, LifetimeScenarios, ModelScenario):
    """The scenarios. A subclass gives the fixture `harness`."""
