"""A facilitator as a process: on EVM networks and Solana through their nodes, or on the local ledger with play money.

POST /verify, POST /settle, GET /supported   x402's facilitator API, open to everybody, limited per client
GET /discovery/resources, /discovery/search  the paid resources whose payments settled here
GET /health                                  alive
GET /ready                                   200 when every network's node answers and has gas, 503 otherwise
GET /metrics                                 Prometheus text; to this machine only unless told otherwise
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

import life
from life.aios.errors import InvalidInputError, NotFoundError
from life.aios.money import MAX_ATOMIC, parse_atomic
from life.aios.ports.chain import Chain
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.http import Operation
from life.aios.ports.journal import Journal
from life.anima.custody.process_hardening import harden_process
from life.anima.custody.wallet_rules import WalletRules
from life.haima.api import HttpOperation, facilitator_operations, health_operations, routes
from life.haima.chain.evm import EvmChain
from life.haima.chain.json_rpc import JsonRpc
from life.haima.chain.local_ledger import DEVELOPMENT_ACCOUNTS, LocalLedger
from life.haima.discovery_api import discovery_operations, with_extension_responses
from life.haima.facilitator.by_network import FacilitatorByNetwork
from life.haima.facilitator.port import Facilitator
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.x402.catalogue import Catalogue, CataloguingFacilitator
from life.haima.x402.networks import BUILT_IN, chain_id_of
from life.host.clock import SystemClock, SystemEntropy
from life.host.facilitator_metrics import CONTENT_TYPE, FacilitatorMetrics, FeeAccount, HealthWatch
from life.host.facilitator_settings import GWEI, FacilitatorSettings, Settlement, check_settings
from life.host.haima_chain import check_chain
from life.host.haima_directory import JOURNAL_FILE, lock_directory, open_directory
from life.host.haima_wallet import read_address, read_any_network, read_network, wallet_of_key
from life.host.http.problem import EXCEPTION_HANDLERS, UnexpectedErrors
from life.host.http.rate_limit import RateLimit, TokenBuckets, is_local
from life.host.http.server import bind, check_bind, serve
from life.host.solana_wallet import require_solana, wallet_of_solana_key
from life.lago.journal.sqlite import SqliteJournal

if TYPE_CHECKING:
    from life.haima.solana.facilitator import SolanaFacilitator

LIMITED_PATHS: Final = (
    "/verify",
    "/settle",
    "/supported",
    "/ready",
    "/discovery/resources",
    "/discovery/search",
)


class Place(NamedTuple):
    """One network of an open facilitator, and what people are told about it."""

    network: str
    node: str | None
    """Host of the node; None on the local ledger."""
    gas_address: str | None
    gas_wei: int | None
    asset: str | None
    """The play money; None on a real chain."""
    chain: EvmChain | None
    """None on the local ledger."""
    max_fee_gwei: int = 0
    confirmations: int = 1
    solana: FeeAccount | None = None
    """On Solana, who is asked about the fee payer's account."""
    lamports: int | None = None
    """What that account held at the start."""


class Settler(NamedTuple):
    """An open facilitator. The properties are its first network's, for those that have one only."""

    facilitator: Facilitator
    places: tuple[Place, ...]
    left_open: int
    """Settlements of earlier runs that are still being watched."""
    metrics: FacilitatorMetrics
    fee_bps: int = 0
    count_open: Callable[[], int] = lambda: 0

    @property
    def open_settlements(self) -> int:
        """How many settlements are under way."""
        return self.count_open()

    @property
    def network(self) -> str:
        """CAIP-2."""
        return self.places[0].network

    @property
    def node(self) -> str | None:
        """Host of the node; None on the local ledger."""
        return self.places[0].node

    @property
    def gas_address(self) -> str | None:
        """The account that pays gas."""
        return self.places[0].gas_address

    @property
    def gas_wei(self) -> int | None:
        """What it held at the start."""
        return self.places[0].gas_wei

    @property
    def asset(self) -> str | None:
        """The play money; None on a real chain."""
        return self.places[0].asset


class Started(NamedTuple):
    """The daemon answers."""

    address: str
    directory: Path
    settler: Settler
    settings: FacilitatorSettings


def parse_funds(texts: tuple[str, ...]) -> dict[str, int]:
    """`ADDRESS=ATOMIC` options as EIP-55 addresses and amounts; InvalidInputError for one that can't be right."""
    funds: dict[str, int] = {}
    for text in texts:
        address, equals, amount = text.partition("=")
        if not equals:
            raise InvalidInputError("Play money is given as ADDRESS=ATOMIC, like 0xf39F…=1000000.")
        funds[read_address(address, "funded address")] = parse_atomic(amount.strip())
    return funds


@asynccontextmanager
async def open_settler(where: Settlement, journal: Journal, clock: Clock, entropy: Entropy) -> AsyncIterator[Settler]:
    """The facilitator of one network; see `open_settlers`."""
    async with open_settlers(FacilitatorSettings((where,)), journal, clock, entropy) as settler:
        yield settler


@asynccontextmanager
async def open_settlers(
    settings: FacilitatorSettings, journal: Journal, clock: Clock, entropy: Entropy
) -> AsyncIterator[Settler]:
    """The facilitator over this journal, with everything that an earlier run left open taken up.

    InvalidInputError when network, key, asset and node don't fit together; ChainUnavailableError when a node does not
    answer.
    """
    metrics = FacilitatorMetrics()
    async with AsyncExitStack() as opened:
        by_network: dict[str, Facilitator] = {}
        places: list[Place] = []
        counts: list[Callable[[], int]] = []
        left_open = 0
        evm = [where for where in settings.settlements if not where.on_solana]
        if evm:
            chains: list[Chain] = []
            signers: dict[str, list[str]] = {}
            for where in evm:
                chain, place = await _open_chain(where, journal, clock, entropy, opened)
                chains.append(chain)
                places.append(place)
                if place.gas_address is not None:
                    signers.setdefault("eip155:*", [])
                    if place.gas_address not in signers["eip155:*"]:
                        signers["eip155:*"].append(place.gas_address)
            hosted = SelfHostedFacilitator(
                chains, journal, clock, entropy, signers=signers, fee_bps=settings.fee_bps, observer=metrics
            )
            opened.push_async_callback(hosted.aclose)
            left_open += await hosted.start()
            counts.append(lambda: hosted.open_settlements)
            by_network.update({place.network: hosted for place in places})
        for where in settings.settlements:
            if where.on_solana:
                account, place = await _on_solana(where, journal, clock, entropy, metrics, opened)
                left_open += await account.start()
                counts.append(lambda account=account: account.open_settlements)  # type: ignore[misc]
                by_network[place.network] = account
                places.append(place)
        hosts = tuple({id(each): each for each in by_network.values()}.values())
        facilitator = hosts[0] if len(hosts) == 1 else FacilitatorByNetwork(by_network)
        yield Settler(
            facilitator,
            tuple(places),
            left_open,
            metrics,
            settings.fee_bps,
            lambda: sum(count() for count in counts),
        )


async def _on_solana(
    where: Settlement,
    journal: Journal,
    clock: Clock,
    entropy: Entropy,
    metrics: FacilitatorMetrics,
    opened: AsyncExitStack,
) -> tuple[SolanaFacilitator, Place]:
    network = read_any_network(where.network).caip2
    if where.rpc_url is None or where.funds or where.asset is not None:
        raise InvalidInputError(f"There is no play money on {network}.", next_step="Name its node, or another network.")
    if where.key is None:
        raise InvalidInputError(
            "A facilitator on Solana needs the key of the account that pays the fees.",
            next_step="Export HAIMA_SOLANA_KEY, as solana-keygen writes it or in base58.",
        )
    require_solana()
    from life.haima.solana.facilitator import SolanaFacilitator
    from life.haima.solana.rpc import SolanaRpc

    wallet = wallet_of_solana_key(where.key, role="fee_payer")
    opened.callback(wallet.close)
    rpc = SolanaRpc(JsonRpc(where.rpc_url))
    facilitator = SolanaFacilitator(rpc, wallet, journal, clock, entropy, network=network, observer=metrics)
    opened.push_async_callback(facilitator.aclose)
    lamports = await facilitator.fee_lamports()
    return facilitator, Place(
        network, rpc.host, wallet.address, None, None, None, solana=facilitator, lamports=lamports
    )


async def _open_chain(
    where: Settlement, journal: Journal, clock: Clock, entropy: Entropy, opened: AsyncExitStack
) -> tuple[Chain, Place]:
    if where.rpc_url is None:
        return await _on_local_ledger(where, journal, clock, entropy)
    return await _on_evm(where, where.rpc_url, clock, opened)


async def _on_evm(where: Settlement, rpc_url: str, clock: Clock, opened: AsyncExitStack) -> tuple[Chain, Place]:
    network = read_network(where.network).caip2
    if where.funds or where.asset is not None:
        raise InvalidInputError("Play money is for the local ledger; with a node, the chain has its own tokens.")
    if where.key is None:
        raise InvalidInputError(
            "A facilitator on a chain needs the key of the account that pays gas.",
            next_step="Export HAIMA_PRIVATE_KEY, or leave out the node to settle with play money.",
        )
    chain_id = chain_id_of(network)
    assert chain_id is not None  # read_network has seen to it
    rules = WalletRules(chain_ids=frozenset({chain_id}))
    wallet = wallet_of_key(where.key, clock=clock, rules=rules, agent_id="facilitator")
    opened.callback(wallet.custody.close)
    rpc = JsonRpc(rpc_url)
    opened.push_async_callback(rpc.aclose)
    await check_chain(rpc, network)
    chain = EvmChain(
        rpc,
        network=network,
        gas_custody=wallet.custody,
        clock=clock,
        max_fee_per_gas_wei=where.max_fee_gwei * GWEI,
        confirmations=where.confirmations,
        final_depth=where.final_depth,
        wallet_factories=where.wallet_factories,
    )
    gas_wei = await chain.gas_balance_wei()
    place = Place(network, rpc.host, chain.gas_address, gas_wei, None, chain, where.max_fee_gwei, where.confirmations)
    return chain, place


async def _on_local_ledger(where: Settlement, journal: Journal, clock: Clock, entropy: Entropy) -> tuple[Chain, Place]:
    network = read_network(where.network)
    if network.real_money:
        raise InvalidInputError(
            f"On {network.title} a signature moves real money, so it is not settled with play money.",
            next_step="Name a node of that network, or a test network.",
        )
    token = BUILT_IN.default_token(network.caip2)
    asset = where.asset or (token.address if token is not None else None)
    if asset is None:
        raise InvalidInputError(f"No token is known on {network.caip2}.", next_step="Name one with its address.")
    asset = read_address(asset, "asset")
    ledger = LocalLedger(journal, clock, entropy, network=network.caip2)
    await ledger.fund_development_accounts(asset)
    for address, balance in where.funds.items():
        missing = min(balance, MAX_ATOMIC) - await ledger.balance(address, asset=asset)
        if missing > 0:
            await ledger.fund(address, missing, asset=asset, reason="topped up at the start")
    return ledger, Place(network.caip2, None, None, None, asset, None)


def facilitator_app(
    settler: Settler,
    catalogue: Catalogue,
    clock: Clock,
    settings: FacilitatorSettings,
    *,
    behind_proxy: bool = False,
) -> ASGIApp:
    """The application: open to everybody, as x402 facilitators are, but not as often as anybody likes. What settles and says
    that it wants to be found is listed in the catalogue."""
    listing = CataloguingFacilitator(settler.facilitator, catalogue)
    watched = {place.network: place.solana or place.chain for place in settler.places}
    buckets = None
    if settings.rate_per_minute:
        buckets = TokenBuckets(clock, per_minute=settings.rate_per_minute, burst=settings.burst)
    operations = [
        *with_extension_responses(facilitator_operations(listing)),
        *discovery_operations(catalogue),
        *health_operations("haima-facilitator", life.__version__),
        *_operations(settler, HealthWatch(watched, clock), buckets, settings),
    ]
    app: ASGIApp = Starlette(routes=routes(operations), exception_handlers=EXCEPTION_HANDLERS)
    if buckets is not None:
        app = RateLimit(app, buckets, paths=LIMITED_PATHS, behind_proxy=behind_proxy)
    return UnexpectedErrors(app)


class _Readiness(msgspec.Struct, frozen=True):
    """`networks` maps each network to `ready`, or to what is in the way."""

    ready: bool
    networks: dict[str, str]


def _operations(
    settler: Settler, watch: HealthWatch, buckets: TokenBuckets | None, settings: FacilitatorSettings
) -> list[HttpOperation]:
    async def ready(_: Request) -> Response:
        health = await watch.look()
        answer = _Readiness(
            all(not each.problem for each in health.values()),
            {network: each.problem or "ready" for network, each in health.items()},
        )
        headers = {"cache-control": "no-store", **({} if answer.ready else {"retry-after": "5"})}
        status = 200 if answer.ready else 503
        return Response(msgspec.json.encode(answer), status, headers, "application/json")

    async def metrics(request: Request) -> Response:
        if not settings.public_metrics and not is_local(request.scope):
            raise NotFoundError("There is nothing here.")
        text = settler.metrics.text(
            open_settlements=settler.open_settlements, health=await watch.look(), buckets=buckets
        )
        return Response(text, headers={"content-type": CONTENT_TYPE, "cache-control": "no-store"})

    return [
        Operation("GET", "/ready", "Whether payments can be settled on every network", ready, result=_Readiness),
        Operation("GET", "/metrics", "Prometheus text, for this machine", metrics),
    ]


async def run_facilitator(
    settings: FacilitatorSettings,
    *,
    directory: Callable[[int], Path],
    host: str,
    port: int,
    proxy_hosts: tuple[str, ...],
    on_ready: Callable[[Started], None],
) -> None:
    """Open everything, serve until SIGINT or SIGTERM, close everything. `directory` gets the port."""
    check_bind(host, proxy_hosts)
    check_settings(settings, host_is_local=not proxy_hosts)
    harden_process()
    clock, entropy = SystemClock(), SystemEntropy()
    with bind(host, port) as listener:
        port = listener.getsockname()[1]
        root = open_directory(directory(port))
        with lock_directory(root, "facilitator"):
            async with (
                SqliteJournal.open(root / JOURNAL_FILE, clock=clock, writer="process") as journal,
                open_settlers(settings, journal, clock, entropy) as settler,
            ):
                started = Started(http_address(host, port), root, settler, settings)
                # What only this machine can reach is worth listing only where nobody else asks.
                catalogue = Catalogue(journal, clock, entropy, allow_local=not proxy_hosts)
                app = facilitator_app(settler, catalogue, clock, settings, behind_proxy=bool(proxy_hosts))
                await serve(app, listener, lambda: on_ready(started))


def http_address(host: str, port: int) -> str:
    """The URL of a listener."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


__all__ = [
    "DEVELOPMENT_ACCOUNTS",
    "FacilitatorSettings",
    "Place",
    "Settlement",
    "Settler",
    "Started",
    "facilitator_app",
    "http_address",
    "open_settler",
    "open_settlers",
    "parse_funds",
    "run_facilitator",
]
