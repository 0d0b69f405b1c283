"""What a daemon needs to check whoever knocks: the registry of identities, the verifier of agent tokens, and that of users' tokens.

    async with open_identity_services(journal, clock=clock, directory=data.root, daemon="haimad", environment=os.environ,
                                      secret_variables=("HAIMA_JWT_SECRET", "AUTH_SECRET")) as services:
        app = Authenticated(guarded, access=access, token=token, services=services, routes=ROUTES)

One verifier per daemon, and one place where used tokens are remembered: `<directory>/replay/<daemon>.used`. Without a directory (a
daemon in memory) they are forgotten with the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from life.aios.ports.clock import Clock
from life.aios.ports.journal import Journal
from life.anima.registry import IdentityRegistry
from life.anima.replay_store import FileReplayStore, MemoryReplayStore
from life.anima.user_tokens import DEFAULT_AUDIENCE, DEFAULT_ISSUER, UserTokenVerifier, user_token_secret
from life.anima.verifier import TokenVerifier
from life.crypto.did import Curve
from life.crypto.jws import P256_ONLY


class IdentityServices(NamedTuple):
    """The open parts."""

    registry: IdentityRegistry
    verifier: TokenVerifier
    user_tokens: UserTokenVerifier | None
    """None where no shared secret is configured: then no user token is accepted."""


@asynccontextmanager
async def open_identity_services(
    journal: Journal,
    *,
    clock: Clock,
    directory: Path | None,
    daemon: str,
    environment: Mapping[str, str],
    secret_variables: Sequence[str] = ("AUTH_SECRET",),
    operators: tuple[str, ...] = (),
    curves: Collection[Curve] = P256_ONLY,
    allow_unregistered: bool = False,
    user_audience: str = DEFAULT_AUDIENCE,
    user_issuer: str = DEFAULT_ISSUER,
    registry: IdentityRegistry | None = None,
) -> AsyncIterator[IdentityServices]:
    """The services of one daemon. Its audience is its name (`haimad`), which agents put into their tokens. `registry` is one that
    is open already; otherwise one is opened, with `operators`.

    UserTokenSettingsError for a shared secret that is empty or too short; ConflictError while another process holds the file of
    used tokens.
    """
    secret = user_token_secret(environment, secret_variables)
    user_tokens = (
        None if secret is None else UserTokenVerifier(secret, clock=clock, audience=user_audience, issuer=user_issuer)
    )
    replay: MemoryReplayStore = MemoryReplayStore(clock)
    if directory is not None:
        replay = await asyncio.to_thread(FileReplayStore.open, directory / "replay" / f"{daemon}.used", clock=clock)
    try:
        async with AsyncExitStack() as stack:
            if registry is None:
                registry = await stack.enter_async_context(IdentityRegistry.open(journal, clock, operators=operators))
            verifier = TokenVerifier(
                audience=daemon,
                identities=registry,
                replay=replay,
                clock=clock,
                curves=curves,
                allow_unregistered=allow_unregistered,
            )
            yield IdentityServices(registry, verifier, user_tokens)
    finally:
        if isinstance(replay, FileReplayStore):
            replay.close()
