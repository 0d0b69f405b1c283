"""What a daemon does with hiring: it serves its house to others, and takes hires on itself.

    async with serve_hiring(system, hosts, environment) as beside:
        app = beside(app)

`house = "local"` in `[spaces]` serves the house at /v1/house (life.host.hiring.api), `work = true` takes hires on. Our own open hires are looked
after in any case where the agent hires at all; without that nothing is opened.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from starlette.types import ASGIApp

if TYPE_CHECKING:
    from life.host.system import System

Beside = Callable[[ASGIApp], ASGIApp]
"""Puts the house beside an application."""


@asynccontextmanager
async def serve_hiring(system: System, hosts: Sequence[str], environment: Mapping[str, str]) -> AsyncIterator[Beside]:
    """Open what the settings name, until the block ends. Recover the runtime's sessions before."""
    settings, hiring = system.settings.spaces, system.hiring
    beside: Beside = _alone
    async with AsyncExitStack() as stack:
        if hiring is not None and settings.house == "local":
            from life.host.anima_verifier import open_identity_services
            from life.host.hiring.api import BesideHouse
            from life.host.hiring.escrow import AUDIENCE
            from life.host.spaces_routes import admits

            house = await hiring.own_house()
            assert house is not None  # a local house is in this process
            services = await stack.enter_async_context(
                open_identity_services(
                    system.journal,
                    clock=system.clock,
                    directory=system.data.root,
                    daemon=AUDIENCE,
                    environment=environment,
                    registry=system.registry,
                    allow_unregistered=settings.admit_strangers,
                )
            )
            verifier, ours = services.verifier, admits(hosts)

            def beside(app: ASGIApp) -> ASGIApp:
                return BesideHouse(app, house, verifier, admits=ours)

        if hiring is not None:
            await stack.enter_async_context(hiring.watching())
        if hiring is not None and settings.work:
            await stack.enter_async_context(
                hiring.at_work(min_price_micro=settings.min_price_micro, free_per_hour=settings.free_hires_per_hour)
            )
        yield beside


def _alone(app: ASGIApp) -> ASGIApp:
    return app
