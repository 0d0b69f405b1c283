"""One line to sell and one to pay on Solana: `Charge`, `open_till` and `open_payer`, through our facilitator as a process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from solders.keypair import Keypair
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message

import life
from life.aios.errors import InvalidInputError, UnavailableError
from life.haima.errors import PolicyDeniedError
from life.haima.x402 import paid_routes
from life.haima.x402.networks import SOLANA_DEVNET, USDC_SOLANA_DEVNET
from life.host.haima_seller import Charge, open_till
from tests.cli.test_haima_facilitator_solana import start
from tests.haima.solana.kit import PAYEE, PAYER_SEED, fee_payer, payer, prepare
from tests.harness.solana_node import SolanaNode

KEY = str(Keypair.from_seed(PAYER_SEED))


@pytest.fixture
def node() -> Iterator[SolanaNode]:
    with SolanaNode(mint=USDC_SOLANA_DEVNET.address) as running:
        prepare(running)
        yield running


async def _report(_: Request) -> PlainTextResponse:
    return PlainTextResponse("all is well")


@asynccontextmanager
async def living(app: Charge) -> AsyncIterator[None]:
    """The application's life, as a server with lifespan events gives it one."""
    inbox: asyncio.Queue[Message] = asyncio.Queue()
    outbox: asyncio.Queue[Message] = asyncio.Queue()
    task = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}}, inbox.get, outbox.put))
    await inbox.put({"type": "lifespan.startup"})
    assert (await outbox.get())["type"] == "lifespan.startup.complete"
    yield
    await inbox.put({"type": "lifespan.shutdown"})
    await task


async def test_charge_and_open_payer(node: SolanaNode, tmp_path: Path) -> None:
    """A paid route of a Starlette application, bought with a wallet that has caps."""
    with start(node, tmp_path / "f") as facilitator:
        app = Charge(
            Starlette(routes=[Route("/report", _report)]),
            routes={"GET /report": "$0.01"},
            pay_to=PAYEE,
            network="solana-devnet",
            facilitator=facilitator.url,
            directory=tmp_path / "shop",
        )
        async with (
            living(app),
            life.open_payer(
                tmp_path / "w", key=KEY, network="solana-devnet", rpc_url=node.url, total_cap_atomic=15_000
            ) as wallet,
        ):
            assert wallet.address == payer().address
            transport = life.AsyncPayingTransport(wallet, httpx2.ASGITransport(app))
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
                assert (await client.get("/report")).text == "all is well"
                with pytest.raises(PolicyDeniedError) as denied:
                    await client.get("/report")
        assert denied.value.verdict == "total_cap"
        assert node.tokens_of(PAYEE) == 10_000


async def test_open_till_has_its_offers_when_the_facilitator_has_spoken(node: SolanaNode, tmp_path: Path) -> None:
    """The fee payer stands in the offer; before it is known there is none."""
    with start(node, tmp_path / "f") as facilitator:
        async with open_till(
            pay_to=PAYEE, network="solana-devnet", facilitator=facilitator.url, directory=tmp_path / "shop"
        ) as till:
            with pytest.raises(UnavailableError):
                till.offers("$0.01", paid_routes.Route("$0.01"))
            await till.start()
            (offer,) = till.offers("$0.01", paid_routes.Route("$0.01"))
            assert offer.requirements.network == SOLANA_DEVNET
            assert offer.requirements.extra == {"feePayer": fee_payer().address}


@pytest.mark.parametrize(
    "options", [{}, {"key": KEY}, {"rpc_url": "http://127.0.0.1:9"}, {"key": KEY, "rpc_url": "NODE", "gas_key": "x"}]
)
async def test_what_open_payer_needs(node: SolanaNode, tmp_path: Path, options: dict[str, str]) -> None:
    """A key and a node, and nothing that means nothing there."""
    given = {name: node.url if value == "NODE" else value for name, value in options.items()}
    with pytest.raises(InvalidInputError):
        async with life.open_payer(tmp_path, network="solana-devnet", **given):  # type: ignore[arg-type]
            pass


@pytest.mark.parametrize(
    "route",
    [
        paid_routes.Route("$0.01", scheme="upto"),
        paid_routes.Route("$0.01", transfer="permit2"),
        paid_routes.Route("$0.01", transfer="permit2", sponsor_allowance=True),
    ],
)
async def test_what_is_not_sold_there(tmp_path: Path, route: paid_routes.Route) -> None:
    """Options that Solana has no word for are errors where the route is declared."""
    async with open_till(
        pay_to=PAYEE, network="solana-devnet", facilitator="http://127.0.0.1:9", directory=tmp_path
    ) as till:
        with pytest.raises(InvalidInputError):
            till.table({"GET /report": route})
