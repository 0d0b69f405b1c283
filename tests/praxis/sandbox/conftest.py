"""Opened sandboxes and small scripts for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from life.aios.ports.sandbox import Sandbox
from life.host.clock import SystemClock
from life.praxis.sandbox.bubblewrap import open_bubblewrap
from life.praxis.sandbox.landlock import open_landlock

CONFINING: Mapping[str, Callable[[], Awaitable[Sandbox]]] = {
    "bubblewrap": lambda: open_bubblewrap(clock=SystemClock()),
    "landlock": lambda: open_landlock(clock=SystemClock()),
}


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.part(name)) for name in CONFINING],
)
async def confining(request: pytest.FixtureRequest) -> Sandbox:
    """Each sandbox that protects, opened."""
    name: str = request.param
    return await CONFINING[name]()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with something outside it."""
    place = tmp_path / "workspace"
    place.mkdir()
    return place
