"""An ASGI application on a real loopback socket, for tests whose client is another process or library."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp


def free_listener() -> socket.socket:
    """A listening socket on a loopback port of the system's choice."""
    return socket.create_server(("127.0.0.1", 0))


@asynccontextmanager
async def served(app: ASGIApp, listener: socket.socket) -> AsyncIterator[str]:
    """The application behind uvicorn, with its lifespan, if it has one; gives its address. Ends with the block."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="auto"))
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listener.close()
