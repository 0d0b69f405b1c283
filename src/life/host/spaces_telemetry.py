"""Spaces on the metrics of telemetry (spaces.md §7), looked up every so often; nothing of it is on the path of a command.

    spaces.module.init                   1 while Spaces runs in this process
    spaces.module.client_connected       sessions opened, and closed again
    spaces.module.client_disconnected
    spaces.reducer.success               commands carried out, refused, and refused for want of a right
    spaces.reducer.error
    spaces.reducer.auth_denied
    spaces.client.connect                of this agent's connection elsewhere: connections made, topics followed,
    spaces.client.subscribe              requests sent, and commands among them
    spaces.client.command
    spaces.client.reducer_call
    spaces.sessions, spaces.subscriptions, spaces.position, spaces.export_lag

Alert when more than 5 % of reducer calls fail. No metric has a name, an identity or a word of a message.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from life.host.spaces_link import SpacesLink
from life.vigil.exports import Reading

if TYPE_CHECKING:
    from life.vigil.telemetry import LiveTelemetry

EVERY_S: Final = 10
_DETAILS: Final = {
    "accepted": "spaces.reducer.success",
    "refused": "spaces.reducer.error",
    "denied": "spaces.reducer.auth_denied",
    "opened": "spaces.module.client_connected",
    "ended": "spaces.module.client_disconnected",
}
_log: Final = logging.getLogger("life.spaces")


async def readings(link: SpacesLink) -> list[Reading]:
    """Everything as it stands now."""
    found = [Reading(f"spaces.client.{name}", count) for name, count in link.client_counts().items()]
    spaces = link.spaces
    if spaces is None:
        return found
    health = await spaces.engine.health()
    found += [
        Reading("spaces.module.init", 1),
        Reading("spaces.sessions", health.sessions),
        Reading("spaces.subscriptions", health.subscriptions),
        Reading("spaces.position", health.position),
        Reading("spaces.export_lag", max(0, health.position - spaces.export.position)),
    ]
    for detail, name in _DETAILS.items():
        count = health.detail.get(detail)
        if isinstance(count, int):
            found.append(Reading(name, count))
    return found


@asynccontextmanager
async def spaces_shown(link: SpacesLink, telemetry: LiveTelemetry | None) -> AsyncIterator[None]:
    """Hand the readings over for the length of the block. Without telemetry, or with Spaces off, nothing runs."""
    if telemetry is None or not link.is_on:
        yield
        return

    async def show() -> None:
        while True:
            try:
                telemetry.exports.readings(await readings(link))
            except Exception as error:  # a defect here must end neither the agent nor what is shown later
                _log.warning("Spaces can't be measured: %s.", type(error).__name__)
            await asyncio.sleep(EVERY_S)

    task = asyncio.create_task(show())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
