"""The demos' network: only its own hosts, over loopback, labelled; everything else goes on untouched (WS-DEMO-3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from life.host.demos.network import SIMULATED
from life.host.settings import Settings
from life.host.system import System, open_system
from life.workspace.demos.catalogue import demos


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    environment = {"LIFE_KEY_FILE": str(tmp_path / "key")}
    async with open_system(tmp_path / "life", settings=Settings(), environment=environment) as system:
        yield system


async def nowhere(request: httpx2.Request) -> httpx2.Response:
    """What stands behind."""
    return httpx2.Response(418, text=f"{request.url.host} is somebody else's")


async def test_every_stand_in_says_that_it_is_simulated(system: System) -> None:
    """Free pages answer with the label; what costs money asks for it first, on the play-money network alone."""
    async with httpx2.AsyncClient(transport=system.demo_world.network.around(httpx2.MockTransport(nowhere))) as client:
        for demo in demos():
            for fixture in demo.fixtures:
                answer = await client.request(fixture.method, f"http://{fixture.host}{fixture.path}", timeout=10)
                if fixture.price_micro or fixture.micro_per_million_tokens:
                    assert answer.status_code == 402, fixture.host
                    assert "payment-required" in answer.headers
                else:
                    assert answer.status_code == 200, fixture.host
                    assert answer.headers[SIMULATED] == "true"


@pytest.mark.parametrize(
    "url",
    [
        "https://acero-norte.demo.localhost/varilla",
        "http://acero-norte.demo.localhost:8080/varilla",
        "http://demo.localhost/",
        "http://acero-norte.demo.localhost.example.org/",
        "http://example.org/",
    ],
)
async def test_other_addresses_are_not_touched(system: System, url: str) -> None:
    """No port, no TLS and no longer name leads to a stand-in."""
    async with httpx2.AsyncClient(transport=system.demo_world.network.around(httpx2.MockTransport(nowhere))) as client:
        assert (await client.get(url)).status_code == 418


async def test_a_host_that_no_demo_has_is_not_there(system: System) -> None:
    """404 from the stage; and a path that a host does not have."""
    async with httpx2.AsyncClient(transport=system.demo_world.network.around(httpx2.MockTransport(nowhere))) as client:
        assert (await client.get("http://nobody.demo.localhost/")).status_code == 404
        assert (await client.get("http://registry.demo.localhost/nothing")).status_code == 404
