"""How a process of a project comes to its Spaces: opened in it, found at the daemon next door, or joined by address.

    link = SpacesLink(parts)           # opens and imports nothing
    seat = await link.seat()           # the project's own agent in Spaces (life.spaces.seat); opened at the first call
    await link.aclose()

Where (`[spaces] place`, docs/spaces.md):

    auto       a spacesd or arcand that works in the data directory is joined; otherwise the log is opened here
    embedded   the same; but a daemon (`open_here`) opens the log itself, or does not start
    https://…  joined as the project's agent
    off        nothing
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from life.aios.errors import ConflictError, LifeError
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.custody import Custody
from life.aios.ports.journal import Journal
from life.anima.registry import IdentityRegistry
from life.host.data_directory import DataDirectory
from life.host.settings import SpacesSettings

if TYPE_CHECKING:
    from life.host.access import Access
    from life.host.spaces import OpenSpaces
    from life.spaces.listeners.websocket.client import SpacesClient
    from life.spaces.seat import Seat

DAEMONS: Final = ("spacesd", "arcand")
"""Who may serve the Spaces of a data directory; the first that works there is asked."""
CLOSE_PATIENCE_S: Final = 1.0
_log: Final = logging.getLogger(__name__)


class LinkParts(NamedTuple):
    """What the link is made of: parts of one open system."""

    settings: SpacesSettings
    data: DataDirectory
    journal: Journal
    registry: IdentityRegistry
    custody: Custody
    """The agent's keys; guarded, so that a revoked identity signs nothing."""
    agent_id: str
    did: str
    name: str
    """The agent's; what it calls itself in Spaces until it chooses another name."""
    clock: Clock
    entropy: Entropy
    environment: Mapping[str, str]


class SpacesLink:
    """See the module. Close it with `aclose`, after whatever uses its seat."""

    def __init__(self, parts: LinkParts) -> None:
        self._parts = parts
        self._stack = AsyncExitStack()
        self._opening = asyncio.Lock()
        self._spaces: OpenSpaces | None = None
        self._seat: Seat | None = None
        self._client: SpacesClient | None = None
        self._joins = True
        self._closed = False

    @property
    def settings(self) -> SpacesSettings:
        """As it was told."""
        return self._parts.settings

    @property
    def is_on(self) -> bool:
        """Whether there is a place at all."""
        return self._parts.settings.is_on

    @property
    def offers_tools(self) -> bool:
        """Whether the agent's toolbox has tools for it."""
        return self._parts.settings.offers_tools

    @property
    def spaces(self) -> OpenSpaces | None:
        """What runs in this process, if it does."""
        return self._spaces

    @property
    def agent_identity(self) -> str:
        """Who the project's agent is in Spaces, 64 hex digits: by the root of its rotation chain."""
        from life.spaces.identity import identity_of

        standing = self._parts.registry.standing(self._parts.did)
        return identity_of(self._parts.did if standing is None else standing.root_did)

    def client_counts(self) -> dict[str, int]:
        """What the agent's connection to a daemon did so far; empty without one."""
        return {} if self._client is None else dict(self._client.counts)

    async def seat(self) -> Seat:
        """The agent's own seat, the same at every call. SpacesUnavailableError when Spaces is off, nobody answers, or the log is in use;
        UnauthenticatedError and its leaves when the agent is not let in. After an error the next call tries again."""
        if self._seat is None:
            async with self._opening:
                if self._seat is None:
                    self._require_open()
                    seat = await self._take_seat()
                    await _introduce(seat, self._parts.name)
                    self._seat = seat
        return self._seat

    async def open_here(self, access: Access, hosts: Sequence[str]) -> OpenSpaces | None:
        """For a daemon that serves Spaces: run it in this process. None when it is off, joined by address, or (with `auto`) served by
        another daemon of the directory already. SpacesUnavailableError when it can't be opened."""
        async with self._opening:
            self._require_open(or_off=True)
            settings = self._parts.settings
            if not settings.is_on or settings.url:
                return None
            if settings.place == "auto" and self._parts.data.address_of("spacesd") is not None:
                return None
            self._joins = False  # what answers in this directory from now on is ourselves
            self._spaces = await self._open(access, hosts)
            return self._spaces

    async def aclose(self) -> None:
        """Leave, and close what was opened here. A connection that is being made is not waited for."""
        self._closed = True
        is_mine = False
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_PATIENCE_S):
                is_mine = await self._opening.acquire()
        self._seat = None
        await self._stack.aclose()
        self._spaces = None
        if is_mine:
            self._opening.release()

    def _require_open(self, *, or_off: bool = False) -> None:
        from life.spaces.errors import SpacesUnavailableError

        if self._closed:
            raise SpacesUnavailableError("Spaces is closed.")
        if not self.is_on and not or_off:
            raise SpacesUnavailableError("Spaces is off here.", next_step="Set spaces.place in config.toml.")

    async def _take_seat(self) -> Seat:
        address = self._parts.settings.url or self._neighbour()
        if address:
            return await self._join(address)
        if self._spaces is None:
            from life.host.access import Access, load_or_create_token

            parts = self._parts
            token = load_or_create_token(parts.data.token, parts.entropy)
            self._spaces = await self._open(Access(token, parts.clock, parts.entropy), ())
        return await self._enter(self._spaces)

    def _neighbour(self) -> str:
        """The daemon that serves this directory's Spaces; empty when none does, or we do."""
        if self._spaces is not None or not self._joins:
            return ""
        return next((found for name in DAEMONS if (found := self._parts.data.address_of(name))), "")

    async def _open(self, access: Access, hosts: Sequence[str]) -> OpenSpaces:
        from life.host.anima_verifier import open_identity_services
        from life.host.spaces import AUDIENCE, SpacesParts, open_spaces
        from life.host.spaces_routes import admits
        from life.spaces.errors import SpacesUnavailableError

        parts = self._parts
        async with AsyncExitStack() as stack:
            try:
                services = await stack.enter_async_context(
                    open_identity_services(
                        parts.journal,
                        clock=parts.clock,
                        directory=parts.data.root,
                        daemon=AUDIENCE,
                        environment=parts.environment,
                        registry=parts.registry,
                        allow_unregistered=parts.settings.admit_strangers,
                    )
                )
            except ConflictError:
                raise SpacesUnavailableError(
                    f"The Spaces of {parts.data.root} is in use by another process.",
                    next_step="Stop it, or serve it with `life up` or `life spaces up`, so that others can join.",
                ) from None
            spaces = await stack.enter_async_context(
                open_spaces(
                    SpacesParts(parts.data.root, parts.journal, access, services, hosts=tuple(hosts)),
                    clock=parts.clock,
                    entropy=parts.entropy,
                    admits=admits(hosts),
                )
            )
            self._stack.push_async_exit(stack.pop_all())
        return spaces

    async def _enter(self, spaces: OpenSpaces) -> Seat:
        from life.spaces.seat import LocalSeat

        parts = self._parts
        return await self._stack.enter_async_context(
            LocalSeat.open(spaces.engine, self._token, parts.custody, clock=parts.clock, entropy=parts.entropy)
        )

    async def _join(self, address: str) -> Seat:
        from life.host.spaces_client import socket_of
        from life.spaces.listeners.websocket.client import SpacesClient
        from life.spaces.seat import RemoteSeat

        parts = self._parts
        client = await self._stack.enter_async_context(
            SpacesClient.connect(
                socket_of(address), lambda: self._token(address), clock=parts.clock, entropy=parts.entropy
            )
        )
        if self._closed:  # nobody waited for it
            await self._stack.aclose()
            self._require_open()
        self._client = client
        return RemoteSeat(client, address, parts.custody, parts.clock)

    async def _token(self, address: str = "") -> str:
        """A token for the Spaces at an address, and for no other; without one for ours, in this process."""
        from life.anima.tokens import issue_agent_token
        from life.host.audiences import audience_at
        from life.host.spaces import AUDIENCE

        parts = self._parts
        audience = audience_at(AUDIENCE, address) if address else AUDIENCE
        return await issue_agent_token(
            parts.custody, agent_id=parts.agent_id, audience=audience, clock=parts.clock, entropy=parts.entropy
        )


async def _introduce(seat: Seat, name: str) -> None:
    """Give a newcomer, who has a made-up name, the agent's own; where that does not fit or is taken, it stays as it is."""
    from life.spaces.commands import SetProfile
    from life.spaces.errors import SpacesError
    from life.spaces.identity import default_username
    from life.spaces.model import Profile
    from life.spaces.queries import Rows, TableQuery

    with suppress(SpacesError):
        found = await seat.query(Rows(tables=(TableQuery(table="user_profile", where={"identity": seat.identity}),)))
        profile = next((row for row in found.rows if isinstance(row, Profile)), None)
        if profile is not None and profile.username == default_username(seat.identity, is_agent=True):
            await seat.submit(SetProfile(username=name))


def serves_sockets() -> bool:
    """Whether the library for WebSockets is there (the extra `spaces`)."""
    return importlib.util.find_spec("websockets") is not None


async def open_for_daemon(link: SpacesLink, access: Access, hosts: Sequence[str]) -> tuple[OpenSpaces | None, str]:
    """`open_here`, and what a person has to be told about it. With `auto` a log that can't be opened leaves the daemon without Spaces;
    otherwise the error is the daemon's."""
    settings = link.settings
    try:
        spaces = await link.open_here(access, hosts)
    except LifeError as error:
        if settings.place != "auto":
            raise
        _log.warning("Spaces is not open here: %s", error.message)
        return None, f"Spaces is not open here: {error.message}"
    if spaces is not None and not serves_sockets():
        return spaces, "Spaces takes no connections: pip install 'lifeos[spaces]'."
    return spaces, ""
