"""A daemon's application in this process, and browsers in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from life.host.access import Access
from life.host.arcand import open_application
from life.host.settings import ModelSettings, Settings
from life.host.system import System, open_system
from life.testing.clock import SeededEntropy
from tests.host.pages.reading import HOST, TOKEN


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The model's script; a test may write another one."""
    path = tmp_path / "script.toml"
    path.write_text('[[turns]]\ntext = "done"\n')
    return path


@pytest.fixture
async def system(tmp_path: Path, script: Path) -> AsyncIterator[System]:
    """An open system in a directory of its own, with nobody else's keys or models."""
    settings = Settings(model=ModelSettings(provider=f"scripted:{script}"))
    environment = {
        "LIFE_KEY_FILE": str(tmp_path / "key" / "identity.key"),
        "HOME": str(tmp_path / "home"),
        "OLLAMA_BASE_URL": "http://127.0.0.1:9",
    }
    agents = tmp_path / "life" / "agents"
    agents.mkdir(parents=True)
    (agents / "helper.md").write_text("---\nname: helper\ndescription: Helps.\n---\nYou help.\n")
    async with open_system(tmp_path / "life", settings=settings, environment=environment) as system:
        yield system


@pytest.fixture
async def stranger(system: System) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser without a login."""
    access = Access(TOKEN, system.clock, SeededEntropy())
    async with (
        open_application(system, access, TOKEN, hosts=[HOST], environment={}) as app,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=f"http://{HOST}") as client,
    ):
        yield client


@pytest.fixture
async def browser(stranger: httpx2.AsyncClient) -> httpx2.AsyncClient:
    """A browser that has opened its link."""
    link = (await stranger.post("/login-links", headers={"authorization": "Bearer " + TOKEN})).json()["path"]
    assert (await stranger.get(link)).status_code == 303
    return stranger
