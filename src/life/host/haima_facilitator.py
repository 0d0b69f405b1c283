"""A facilitator as a process: on an EVM network through a node, or on the local ledger with play money."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from starlette.applications import Starlette
from starlette.types import ASGIApp

import life
from life.aios.errors import InvalidInputError
from life.aios.money import MAX_ATOMIC, parse_atomic
from life.aios.ports.chain import Chain
from life.aios.ports.clock import Clock, Entropy
from life.aios.ports.journal import Journal
from life.anima.custody.process_hardening import harden_process
from life.anima.custody.wallet_rules import WalletRules
from life.haima.api import facilitator_operations, health_operations, routes
from life.haima.chain.evm import EvmChain
from life.haima.chain.json_rpc import JsonRpc
from life.haima.chain.local_ledger import DEVELOPMENT_ACCOUNTS, LocalLedger
from life.haima.facilitator.self_hosted import SelfHostedFacilitator
from life.haima.x402.networks import BUILT_IN, chain_id_of
from life.host.clock import SystemClock, SystemEntropy
from life.host.haima_chain import check_chain
from life.host.haima_directory import JOURNAL_FILE, lock_directory, open_directory
from life.host.haima_wallet import read_address, read_network, wallet_of_key
from life.host.http.problem import EXCEPTION_HANDLERS, UnexpectedErrors
from life.host.http.server import bind, check_bind, serve
from life.lago.journal.sqlite import SqliteJournal


class Settlement(NamedTuple):
    """Where a facilitator settles. Without `rpc_url` on a ledger in its own journal, with play money."""

    network: str
    """CAIP-2 or alias."""
    rpc_url: str | None = None
    key: str | None = None
    """Of the account that pays gas; needed with `rpc_url`."""
    asset: str | None = None
    """Play money only: the token's contract. Default: the first token that is known on the network."""
    funds: Mapping[str, int] = {}
    """Play money only: accounts and the balance, in atomic units, that they are topped up to at the start."""


class Settler(NamedTuple):
    """An open facilitator, and what people are told about it."""

    facilitator: SelfHostedFacilitator
    network: str
    node: str | None
    """Host of the node; None on the local ledger."""
    gas_address: str | None
    gas_wei: int | None
    asset: str | None
    """The play money; None on a real chain."""
    left_open: int
    """Settlements of earlier runs that are still being watched."""


class Started(NamedTuple):
    """The daemon answers."""

    address: str
    directory: Path
    settler: Settler


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
    """The facilitator over this journal, with everything that an earlier run left open taken up.

    InvalidInputError when network, key, asset and node don't fit together; ChainUnavailableError when the node does not
    answer.
    """
    if where.rpc_url is None:
        opening = _on_local_ledger(where, journal, clock, entropy)
    else:
        opening = _on_evm(where, where.rpc_url, journal, clock, entropy)
    async with opening as settler:
        try:
            yield settler._replace(left_open=await settler.facilitator.start())
        finally:
            await settler.facilitator.aclose()


@asynccontextmanager
async def _on_evm(
    where: Settlement, rpc_url: str, journal: Journal, clock: Clock, entropy: Entropy
) -> AsyncIterator[Settler]:
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
    rpc = JsonRpc(rpc_url)
    try:
        await check_chain(rpc, network)
        chain = EvmChain(rpc, network=network, gas_custody=wallet.custody, clock=clock)
        gas_wei = await rpc.quantity("eth_getBalance", chain.gas_address, "latest")
        facilitator = _facilitator(chain, journal, clock, entropy, signers={"eip155:*": [chain.gas_address]})
        yield Settler(facilitator, network, rpc.host, chain.gas_address, gas_wei, None, 0)
    finally:
        await rpc.aclose()
        wallet.custody.close()


@asynccontextmanager
async def _on_local_ledger(
    where: Settlement, journal: Journal, clock: Clock, entropy: Entropy
) -> AsyncIterator[Settler]:
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
    facilitator = _facilitator(ledger, journal, clock, entropy, signers={})
    yield Settler(facilitator, network.caip2, None, None, None, asset, 0)


def _facilitator(
    chain: Chain, journal: Journal, clock: Clock, entropy: Entropy, *, signers: Mapping[str, list[str]]
) -> SelfHostedFacilitator:
    return SelfHostedFacilitator([chain], journal, clock, entropy, signers=signers)


def facilitator_app(facilitator: SelfHostedFacilitator) -> ASGIApp:
    """`/verify`, `/settle`, `/supported` and `/health`, open to everybody as x402 facilitators are."""
    operations = [*facilitator_operations(facilitator), *health_operations("haima-facilitator", life.__version__)]
    return UnexpectedErrors(Starlette(routes=routes(operations), exception_handlers=EXCEPTION_HANDLERS))


async def run_facilitator(
    where: Settlement,
    *,
    directory: Callable[[int], Path],
    host: str,
    port: int,
    proxy_hosts: tuple[str, ...],
    on_ready: Callable[[Started], None],
) -> None:
    """Open everything, serve until SIGINT or SIGTERM, close everything. `directory` gets the port."""
    check_bind(host, proxy_hosts)
    harden_process()
    clock, entropy = SystemClock(), SystemEntropy()
    with bind(host, port) as listener:
        port = listener.getsockname()[1]
        root = open_directory(directory(port))
        with lock_directory(root, "facilitator"):
            async with (
                SqliteJournal.open(root / JOURNAL_FILE, clock=clock, writer="process") as journal,
                open_settler(where, journal, clock, entropy) as settler,
            ):
                started = Started(http_address(host, port), root, settler)
                await serve(facilitator_app(settler.facilitator), listener, lambda: on_ready(started))


def http_address(host: str, port: int) -> str:
    """The URL of a listener."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


__all__ = [
    "DEVELOPMENT_ACCOUNTS",
    "Settlement",
    "Settler",
    "Started",
    "facilitator_app",
    "http_address",
    "open_settler",
    "parse_funds",
    "run_facilitator",
]
