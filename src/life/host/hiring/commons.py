"""A common: a place where agents of several households meet, and a house that they trust with money, in one process.

    async with open_commons(Path("common")) as common:
        settings = common.settings()          # for an agent that joins: open_system(…, settings=settings)

It is an `arcand` with `[spaces] place = "embedded", admit_strangers = true, house = "local"`, without its daemon: for examples, demonstrations and
tests. It listens on loopback and is served over real HTTP and WebSockets.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import uvicorn
from starlette.types import ASGIApp

from life.aios.errors import ConflictError
from life.haima.x402.networks import PLAY_MONEY
from life.host.access import Access, load_or_create_token
from life.host.anima_verifier import open_identity_services
from life.host.arcand import open_application
from life.host.hiring.api import BesideHouse
from life.host.hiring.escrow import AUDIENCE
from life.host.hiring.house import HireHouse
from life.host.http.server import bind, host_names
from life.host.settings import A2aSettings, PaymentSettings, Settings, SpacesSettings
from life.host.spaces_link import open_for_daemon
from life.host.spaces_routes import MAX_FRAME_BYTES, admits
from life.host.system import System, open_system


class Money(Protocol):
    """What the money of a common is made of."""

    async def balance(self, wallet: str) -> int:
        """What a wallet holds, in micro-USDC."""
        ...

    async def fund(self, wallet: str, amount_micro: int) -> None:
        """Give a wallet something to begin with."""
        ...


OpenHouse = Callable[[System, str], AbstractAsyncContextManager[tuple[HireHouse, Money]]]
"""(system, address) → a house over the common's journal."""


class Commons(NamedTuple):
    """An open common."""

    address: str
    system: System
    house: HireHouse
    money: Money

    def settings(self, *, auto_approve_micro: int = 100, work: bool = False) -> Settings:
        """Settings of an agent that meets others here, and uses this house."""
        return Settings(
            spaces=SpacesSettings(place=self.address, tools="on", house=self.address, work=work),
            payments=PaymentSettings(network=self.house.network, auto_approve_cap_micro=auto_approve_micro),
            a2a=A2aSettings(enabled=False),
        )

    async def check_books(self) -> str:
        """What the house's books say, when they are right: all accounts sum to zero, and its wallet has exactly what it owes. ConflictError
        when they are not."""
        balances = (await self.house.books.catch_up()).accounts.balances
        total = sum(balances.values())
        owed = sum(amount for name, amount in balances.items() if name.partition(":")[0] in ("wallet", "escrow"))
        held = await self.money.balance(self.house.name.rpartition(":")[2])
        if total or owed != held:
            raise ConflictError(f"The books are wrong: together {total}, owed {owed}, in the wallet {held}.")
        return f"all accounts together {total}; owed {owed}, in the wallet {held}"


@asynccontextmanager
async def open_commons(
    root: Path, *, environment: Mapping[str, str] | None = None, house: OpenHouse | None = None
) -> AsyncIterator[Commons]:
    """Open and serve it. Without a `house` of one's own it has one on the local ledger."""
    environment = os.environ if environment is None else environment
    spaces = SpacesSettings(place="embedded", tools="off", house="off" if house else "local", admit_strangers=True)
    settings = Settings(spaces=spaces, a2a=A2aSettings(enabled=False))
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(bind("127.0.0.1", 0))
        port = listener.getsockname()[1]
        address, hosts = f"http://127.0.0.1:{port}", host_names("127.0.0.1", port, ())
        system = await stack.enter_async_context(open_system(root, settings=settings, environment=environment))
        token = load_or_create_token(system.data.token, system.entropy)
        access = Access(token, system.clock, system.entropy)
        served, _ = await open_for_daemon(system.spaces, access, hosts)
        assert served is not None  # nobody else can have a directory that was just made
        app = await stack.enter_async_context(
            open_application(system, access, token, hosts=hosts, environment=environment, address=address)
        )
        if house is None:
            assert system.hiring is not None
            own = await system.hiring.own_house()
            assert own is not None  # it is local
            opened = own
            money: Money = _PlayMoney(system)
        else:
            opened, money = await stack.enter_async_context(house(system, address))
            services = await stack.enter_async_context(
                open_identity_services(
                    system.journal,
                    clock=system.clock,
                    directory=system.data.root,
                    daemon=AUDIENCE,
                    environment=environment,
                    registry=system.registry,
                    allow_unregistered=True,
                )
            )
            app = BesideHouse(app, opened, services.verifier, admits=admits(hosts))
        async with _served(app, listener):
            yield Commons(address, system, opened, money)
            await served.disconnect()


class _PlayMoney:
    """Of the local ledger."""

    def __init__(self, system: System) -> None:
        self._ledger = system.ledger

    async def balance(self, wallet: str) -> int:
        """See Money."""
        return await self._ledger.balance(wallet, asset=PLAY_MONEY.address)

    async def fund(self, wallet: str, amount_micro: int) -> None:
        """See Money."""
        await self._ledger.fund(wallet, amount_micro, asset=PLAY_MONEY.address, reason="commons")


class _Server(uvicorn.Server):
    """Uvicorn that leaves signals to the program around it, and says when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answers.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _served(app: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=MAX_FRAME_BYTES,
        ws_per_message_deflate=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await server.answers.wait()
    try:
        yield
    finally:
        server.should_exit = True
        await serving
