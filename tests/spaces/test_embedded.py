"""The embedded engine passes the conformance suite."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import cast

import pytest

from life.spaces.engine.embedded import EmbeddedEngine, Owner
from life.spaces.engine.port import Engine
from life.testing.clock import ManualClock, SeededEntropy
from life.testing.spaces import OPERATOR, ScriptedTokens, SpacesConformance, SpacesHarness


class EmbeddedHarness:
    """A log in a folder of its own, on a clock that the test moves."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "spaces.db"
        self.clock = ManualClock()
        self.entropy = SeededEntropy()
        self.tokens = ScriptedTokens()

    def engine(self) -> AbstractAsyncContextManager[Engine]:
        """See SpacesHarness."""
        opened = EmbeddedEngine.open(
            self.path,
            clock=self.clock,
            entropy=self.entropy,
            tokens=self.tokens,
            owner=Owner(OPERATOR),
            limits=None,
            synchronous=False,
        )
        return cast("AbstractAsyncContextManager[Engine]", opened)

    async def pass_time(self, engine: Engine, duration_us: int) -> None:
        """See SpacesHarness."""
        assert isinstance(engine, EmbeddedEngine)
        self.clock.advance_us(duration_us)
        await engine.look(sweep=True)


class TestEmbeddedEngine(SpacesConformance):
    """The embedded engine."""

    @pytest.fixture
    def harness(self, tmp_path: Path) -> SpacesHarness:
        """A log in a folder of its own."""
        return EmbeddedHarness(tmp_path)
