"""Every backend against the conformance suite of the port."""

from __future__ import annotations

import pytest

from life.aios.ports.sandbox import Sandbox
from life.host.clock import SystemClock
from life.praxis.sandbox.bubblewrap import open_bubblewrap
from life.praxis.sandbox.landlock import open_landlock
from life.praxis.sandbox.process import open_process
from life.testing.sandbox import SandboxSuite


@pytest.mark.part("bubblewrap")
class TestBubblewrap(SandboxSuite):
    """The default."""

    async def open_sandbox(self) -> Sandbox:
        """Tried and opened."""
        return await open_bubblewrap(clock=SystemClock())


@pytest.mark.part("landlock")
class TestLandlock(SandboxSuite):
    """Without namespaces."""

    async def open_sandbox(self) -> Sandbox:
        """Tried and opened."""
        return await open_landlock(clock=SystemClock())


class TestProcess(SandboxSuite):
    """No protection, and says so."""

    async def open_sandbox(self) -> Sandbox:
        """Tried and opened."""
        return await open_process(clock=SystemClock())
