"""The NATS engine passes the same suite as the embedded one."""

from __future__ import annotations

import itertools
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import cast

import pytest

from life.spaces.engine.nats.access import NatsAccess
from life.spaces.engine.nats.engine import NatsEngine
from life.spaces.engine.port import Engine
from life.testing.clock import ManualClock
from life.testing.spaces import ScriptedTokens, SpacesConformance, SpacesHarness
from tests.harness.nats_cluster import open_hub

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning")

_names = itertools.count()


class NatsHarness:
    """A deployment of its own on one server, on a clock that the test moves."""

    def __init__(self, access: NatsAccess, folder: Path) -> None:
        self.clock = ManualClock()
        self.tokens = ScriptedTokens()
        self._access = access
        self._path = folder / "hub.db"
        self._name = f"suite-{next(_names)}"

    def engine(self) -> AbstractAsyncContextManager[Engine]:
        """See SpacesHarness."""
        opened = open_hub(self._access, self._path, tokens=self.tokens, name=self._name, replicas=1, clock=self.clock)
        return cast("AbstractAsyncContextManager[Engine]", opened)

    async def pass_time(self, engine: Engine, duration_us: int) -> None:
        """See SpacesHarness."""
        assert isinstance(engine, NatsEngine)
        self.clock.advance_us(duration_us)
        await engine.look(sweep=True)


class TestNatsEngine(SpacesConformance):
    """One hub on one server."""

    @pytest.fixture
    def harness(self, access: NatsAccess, tmp_path: Path) -> SpacesHarness:
        """A deployment of its own."""
        return NatsHarness(access, tmp_path)
