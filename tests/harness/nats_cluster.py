"""NATS servers for the tests of Spaces: one, or three that know each other, and hubs upon them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

from life.aios.ports.clock import Clock
from life.host.clock import SystemClock
from life.lago.journal.nats.access import NatsAccess as ServerAccess
from life.lago.journal.nats.errors import NatsServerError
from life.lago.nats_server import NatsCluster, NatsServer, run_cluster
from life.spaces.engine.embedded import Owner
from life.spaces.engine.nats import opening
from life.spaces.engine.nats.access import NatsAccess
from life.spaces.engine.nats.engine import NatsEngine
from life.spaces.engine.nats.settings import NatsSettings
from life.testing.clock import SeededEntropy
from life.testing.spaces import OPERATOR, ScriptedTokens

T = TypeVar("T")
ATTEMPTS = 3
_openings = itertools.count()


def access_of(access: ServerAccess) -> NatsAccess:
    """How hubs connect to servers that the journal's tools started."""
    return NatsAccess(*access)


@contextmanager
def kept(running: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Servers for a module or session, whose tests each have a loop of their own."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            yield runner.run(stack.enter_async_context(running))
        finally:
            runner.run(stack.aclose())


@asynccontextmanager
async def running_cluster(folder: Path) -> AsyncIterator[NatsCluster]:
    """Three servers. Their ports are chosen before they listen, so somebody else may be quicker: then others are."""
    for attempt in itertools.count():
        async with AsyncExitStack() as stack:
            try:
                running = run_cluster(folder / str(attempt), entropy=SeededEntropy("cluster"))
                cluster = await stack.enter_async_context(running)
            except NatsServerError as error:
                if attempt == ATTEMPTS or "in use" not in str(error):
                    raise
                continue
            yield cluster
            return


def open_hub(
    access: NatsAccess,
    path: Path | None,
    *,
    tokens: ScriptedTokens,
    name: str = "spaces",
    replicas: int = 3,
    clock: Clock | None = None,
    max_skew_us: int | None = None,
    patience_s: float = 10.0,
    seed: str = "",
) -> AbstractAsyncContextManager[NatsEngine]:
    """A hub without rate limits; every opening has other entropy, as every process has (`seed` tells processes apart)."""
    return opening.open_hub(
        access,
        path,
        clock=clock or SystemClock(),
        entropy=SeededEntropy(f"hub {seed} {next(_openings)}"),
        tokens=tokens,
        owner=Owner(OPERATOR),
        settings=NatsSettings(name, replicas, max_skew_us=max_skew_us, patience_s=patience_s),
        limits=None,
    )


async def leader_of(engine: NatsEngine, cluster: NatsCluster) -> NatsServer:
    """The server that leads the log's stream."""
    from life.spaces.engine.nats.stream import stream_info

    info = await stream_info(engine.link, engine.names.stream)
    assert info.cluster is not None
    return next(node for node in cluster.nodes if node.name == info.cluster.leader)
