"""A client of the daemon that serves a data directory's Spaces (`spacesd` or `arcand`): as its operator, or as the project's own agent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from life.aios.errors import InvalidInputError, UnavailableError
from life.aios.ports.custody import Custody
from life.anima.tokens import issue_agent_token
from life.host.access import read_token
from life.host.audiences import audience_at
from life.host.clock import SystemClock, SystemEntropy
from life.host.data_directory import DataDirectory
from life.host.spaces import AUDIENCE
from life.host.spaces_link import DAEMONS
from life.host.spaces_routes import SOCKET_PATH
from life.spaces.errors import UnauthenticatedError
from life.spaces.listeners.websocket.client import SpacesClient


def socket_address(data_dir: Path, address: str | None) -> str:
    """The WebSocket of the daemon: of the one that works in the data directory, unless an `http(s)://host:port` is named."""
    data = DataDirectory(data_dir)
    found = address or next((known for name in DAEMONS if (known := data.address_of(name))), None)
    if found is None:
        raise UnavailableError(
            f"Neither spacesd nor arcand works in {data_dir}.",
            next_step="Start one with `life spaces up` or `life up`, or name its --data-dir.",
        )
    return socket_of(found)


def socket_of(address: str) -> str:
    """The WebSocket of the daemon at `http(s)://host:port`."""
    scheme, _, rest = address.rstrip("/").partition("://")
    if scheme not in ("http", "https", "ws", "wss") or not rest:
        raise InvalidInputError(
            f"{address!r} is no address of a daemon.",
            next_step="It looks like http://127.0.0.1:3004 or https://spaces.example.",
        )
    return f"{'wss' if scheme in ('https', 'wss') else 'ws'}://{rest}{SOCKET_PATH}"


@asynccontextmanager
async def operator_client(data_dir: Path, address: str | None = None) -> AsyncIterator[SpacesClient]:
    """Logged in with the daemon's own token. The token is sent only to the daemon that holds the directory's lock, or that is named."""
    where = socket_address(data_dir, address)

    async def token() -> str:
        return read_token(DataDirectory(data_dir).token)

    try:
        async with SpacesClient.connect(where, token, clock=SystemClock(), entropy=SystemEntropy()) as client:
            yield client
    except UnauthenticatedError:
        raise UnauthenticatedError(
            f"The daemon at {where} does not know the operator's token of {data_dir}.",
            next_step="Name its own --data-dir to be its operator, or --as-agent to come as this project's agent.",
        ) from None


@asynccontextmanager
async def agent_client(
    custody: Custody, agent_id: str, data_dir: Path, address: str | None = None
) -> AsyncIterator[SpacesClient]:
    """Logged in as an agent, with a fresh token for every connection and renewal."""
    where = socket_address(data_dir, address)
    clock, entropy = SystemClock(), SystemEntropy()

    async def token() -> str:
        audience = audience_at(AUDIENCE, where)  # worth nothing at another daemon
        return await issue_agent_token(custody, agent_id=agent_id, audience=audience, clock=clock, entropy=entropy)

    async with SpacesClient.connect(where, token, clock=clock, entropy=entropy) as client:
        yield client
