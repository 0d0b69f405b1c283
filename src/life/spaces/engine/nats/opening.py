"""Opening a hub: connect, find or make the log, take up the projection, read on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from life.aios.ports.clock import Clock, Entropy
from life.spaces.engine.embedded import Owner
from life.spaces.engine.embedded_store import EmbeddedStore
from life.spaces.engine.nats.access import NatsAccess
from life.spaces.engine.nats.engine import NatsEngine
from life.spaces.engine.nats.errors import NotDurableError
from life.spaces.engine.nats.link import Link, connect, patiently
from life.spaces.engine.nats.names import Names
from life.spaces.engine.nats.replica import SEQUENCE_MARK
from life.spaces.engine.nats.settings import NatsSettings
from life.spaces.engine.nats.stream import ensure_stream, judge
from life.spaces.errors import LogDamagedError
from life.spaces.limits import Limits
from life.spaces.sessions import TokenCheck
from life.spaces.state import State


@asynccontextmanager
async def open_hub(
    access: NatsAccess,
    path: Path | None,
    *,
    clock: Clock,
    entropy: Entropy,
    tokens: TokenCheck,
    owner: Owner,
    settings: NatsSettings = NatsSettings(),  # noqa: B008  # an immutable value
    limits: Limits | None = Limits(),  # noqa: B008  # an immutable value
) -> AsyncIterator[NatsEngine]:
    """Join the deployment with the projection at `path` (None: in memory), and begin one with a Hub if there is none.

    SpacesUnavailableError when no server answers or the file is in use, NotDurableError, StreamUnfitError, and LogDamagedError
    when the file is not a part of the log on the servers.
    """
    names = Names(settings.name)
    async with AsyncExitStack() as stack:
        held: list[NatsEngine] = []
        links: list[Link] = []

        def broke() -> None:
            for link in links:
                link.broken()

        def reconnected() -> None:
            for engine in held:
                engine.reconnected()

        client = await stack.enter_async_context(
            connect(
                access,
                name=f"life spaces {settings.name}",
                patience_s=settings.patience_s,
                on_break=broke,
                on_reconnect=reconnected,
            )
        )
        link = Link(client)
        links.append(link)
        await link.listen()
        await patiently(link.find_api, settings.name, settings.patience_s)
        info = await patiently(
            lambda: ensure_stream(link, names, replicas=settings.replicas, deployment=entropy.token_bytes(8).hex()),
            settings.name,
            settings.patience_s,
        )
        durability = await judge(info, access, replicas=settings.replicas, patience_s=settings.patience_s)
        if durability.doubts and not settings.accept_unverified:
            raise NotDurableError(durability.doubts)
        state = State()
        store = EmbeddedStore(path, deployment=info.deployment, synchronous=False)
        stack.callback(store.close)
        loaded = store.load(state)
        if loaded.deployment != info.deployment:
            raise LogDamagedError(
                f"{path} is the projection of another deployment.",
                next_step="Use another data directory, or move the file away; it is read again from the servers.",
            )
        engine = NatsEngine(
            link,
            names,
            store,
            state,
            deployment=info.deployment,
            sequence=loaded.marks.get(SEQUENCE_MARK, 0),
            durability=durability,
            settings=settings,
            clock=clock,
            entropy=entropy,
            tokens=tokens,
            limits=limits,
        )
        held.append(engine)
        stack.push_async_callback(engine.aclose)
        await engine.begin(info, owner)
        yield engine
