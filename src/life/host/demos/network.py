"""The way to the demos' stand-ins (`life.host.demos.stage`): a transport that costs nothing until a demo is played.

Requests of the agent's client to `http://….demo.localhost` are answered by the stage, which is opened (and imported) with the first of
them; every other request goes on untouched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import httpx2

if TYPE_CHECKING:
    from life.host.demos.stage import DemoStage

SUFFIX: Final = ".demo.localhost"
SIMULATED: Final = "x-life-simulated"
"""The header in every answer of a stand-in."""


class DemoNetwork:
    """The stage, once somebody asks for it. `open_stage` makes it."""

    def __init__(self, open_stage: Callable[[], DemoStage]) -> None:
        self._open_stage = open_stage
        self._stage: DemoStage | None = None

    def around(self, inner: httpx2.AsyncBaseTransport) -> httpx2.AsyncBaseTransport:
        """A transport that brings requests to the stand-ins to them, and all others to `inner`."""
        return _Junction(self, inner)

    def stage(self) -> DemoStage:
        """The stage."""
        if self._stage is None:
            self._stage = self._open_stage()
        return self._stage

    async def aclose(self) -> None:
        """Stop serving, if anything is served."""
        if self._stage is not None:
            await self._stage.aclose()


class _Junction(httpx2.AsyncBaseTransport):
    def __init__(self, network: DemoNetwork, inner: httpx2.AsyncBaseTransport) -> None:
        self._network = network
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """See httpx2."""
        if request.url.scheme == "http" and request.url.port is None and request.url.host.endswith(SUFFIX):
            return await self._network.stage().forward(request)
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close what is around; the stage is closed by its owner."""
        await self._inner.aclose()
