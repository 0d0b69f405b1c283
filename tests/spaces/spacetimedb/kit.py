"""An embedded engine behind the listener, on a real port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from life.host.clock import SystemClock, SystemEntropy
from life.host.http.server import bind
from life.spaces.commands import JoinServer
from life.spaces.engine.embedded import EmbeddedEngine, Owner
from life.spaces.engine.port import Session
from life.spaces.listeners.spacetimedb.listener import SpacetimeDbListener
from life.spaces.listeners.spacetimedb.messages import MAX_FRAME_BYTES
from life.spaces.model import Member
from life.testing.spaces import OPERATOR, ScriptedTokens


class Hub(NamedTuple):
    """What a test looks at."""

    address: str
    engine: EmbeddedEngine
    listener: SpacetimeDbListener
    tokens: ScriptedTokens

    @property
    def ws(self) -> str:
        """The WebSocket's address."""
        return self.address.replace("http", "ws", 1) + "/v1/database/spaces/subscribe"

    async def login(self, name: str) -> Session:
        """Somebody who is a member of the Hub, past the WebSocket."""
        session = await self.engine.login(self.tokens.token(name, kind="person"))
        if self.engine.state.get(Member, (1, session.caller.identity)) is None:
            await self.engine.submit(JoinServer(server_id=1), session.caller)
        return session


@asynccontextmanager
async def hub(
    root: Path, *, send_timeout_us: int = 10_000_000, tokens: ScriptedTokens | None = None
) -> AsyncIterator[Hub]:
    """The Hub, served."""
    clock, entropy, tokens = SystemClock(), SystemEntropy(), tokens or ScriptedTokens()
    async with EmbeddedEngine.open(
        root / "spaces.db",
        clock=clock,
        entropy=entropy,
        tokens=tokens,
        owner=Owner(OPERATOR),
        limits=None,
        synchronous=False,
    ) as engine:
        listener = SpacetimeDbListener(engine, clock=clock, entropy=entropy, send_timeout_us=send_timeout_us)
        async with serving_sockets(Starlette(routes=listener.routes())) as address:
            yield Hub(address, engine, listener, tokens)
            await listener.aclose()


@asynccontextmanager
async def serving_sockets(app: ASGIApp) -> AsyncIterator[str]:
    """An application with WebSockets on a real port."""
    socket = bind("127.0.0.1", 0)
    config = uvicorn.Config(
        app,
        log_config=None,
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]
    task = asyncio.create_task(server.serve(sockets=[socket]))
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        socket.close()
