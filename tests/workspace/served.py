"""A daemon's application on a real port, with a scripted model, for the browser."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import httpx2
import uvicorn
from starlette.types import ASGIApp

from life.host.access import Access
from life.host.arcand import open_application
from life.host.http.server import bind
from life.host.settings import ModelSettings, Settings
from life.host.system import System, open_system
from tests.workspace.faults import BadLine

TOKEN = "t" * 43


class Served(NamedTuple):
    """A running daemon."""

    address: str
    system: System
    access: Access
    line: BadLine

    def link(self) -> str:
        """A one-time login link."""
        return f"{self.address}/login?code={self.access.new_link_code()}"


@asynccontextmanager
async def served(folder: Path, script: str, *, port: int = 0) -> AsyncIterator[Served]:
    """A daemon of its own, with its journal in `folder`."""
    (folder / "script.toml").write_text(script)
    settings = Settings(model=ModelSettings(provider=f"scripted:{folder / 'script.toml'}"))
    environment = {"LIFE_KEY_FILE": str(folder / "key")}
    listener = bind("127.0.0.1", port)
    host = f"127.0.0.1:{listener.getsockname()[1]}"
    async with open_system(folder / "life", settings=settings, environment=environment) as system:
        access = Access(TOKEN, system.clock, system.entropy)
        async with open_application(system, access, TOKEN, hosts=[host], environment={}) as app:
            line = BadLine(app)
            async with _serving(line, listener):
                yield Served(f"http://{host}", system, access, line)


@asynccontextmanager
async def _serving(app: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1)
    )
    server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await task
        listener.close()


async def until(condition: Callable[[], object], *, seconds: float = 20) -> None:
    """Wait for something that happens in this loop."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def client(daemon: Served) -> httpx2.AsyncClient:
    """A program with the daemon's token."""
    return httpx2.AsyncClient(base_url=daemon.address, headers={"authorization": f"Bearer {TOKEN}"})
