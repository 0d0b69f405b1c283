"""The official peers against ours: their clients pay our seller, their servers use our facilitator, our seller uses theirs.

On a local chain with a USDC stand-in, and for the clients also on our local ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from life.haima.x402.networks import BASE_SEPOLIA
from tests.haima.test_middleware_crash import Seller
from tests.harness.anvil import ACCOUNTS, FACILITATOR, MERCHANT, PAYER, Anvil
from tests.harness.rpc_counter import RpcCounter
from tests.peers import processes
from tests.peers.processes import Peer, Purchase, python

pytestmark = [pytest.mark.part("anvil", "solc", "node", "npm-peers", "x402-python"), pytest.mark.slow]

CLIENTS: dict[str, Callable[..., Purchase]] = {"npm": processes.fetch_client, "pypi": processes.python_client}
SERVERS: dict[str, Callable[..., Peer]] = {"npm": processes.express_server, "pypi": processes.python_server}
FACILITATORS: dict[str, Callable[..., Peer]] = {"npm": processes.ts_facilitator, "pypi": processes.python_facilitator}
PRICE_ATOMIC = 10_000


def our_facilitator(folder: Path, rpc_url: str) -> Peer:
    """Our facilitator's process."""
    command = python("x", journal=str(folder / "facilitator.db"), rpc=rpc_url)
    return Peer.start([command[0], "-m", "tests.haima.facilitator_process", *command[3:]])


def our_seller(folder: Path, facilitator: Peer | None, network: str) -> Peer:
    """Our seller's process; without a facilitator it runs its own over a local ledger."""
    seller = Seller(folder, None)
    command = python(
        "x",
        journal=str(seller.journal),
        runs=str(seller.runs_file),
        hold=str(seller.hold_file),
        facilitator=facilitator.url if facilitator else "",
        network=network,
        pay_to=MERCHANT.address,
    )
    return Peer.start([command[0], "-m", "tests.haima.seller_process", *command[3:]])


_BY_THE_CLOCK = ("eth_getTransactionReceipt", "eth_getBlockByNumber", "eth_feeHistory")
"""How often these are asked is a matter of how quick the machine is: waiting for the receipt and the newest block, and fees
that are kept for a few seconds."""


def calls_of_a_payment(counted: RpcCounter) -> int:
    """Calls of the node; those that go by the clock are counted once each."""
    counts = counted.counts
    return counted.total - sum(max(0, counts[method] - 1) for method in _BY_THE_CLOCK)


@pytest.mark.parametrize("client", CLIENTS)
def test_official_client_pays_our_seller(chain: Anvil, counted_chain: RpcCounter, tmp_path: Path, client: str) -> None:
    """Our seller and our facilitator on a chain: the purchase succeeds at the first attempt, one transaction, at most five
    calls of the node after the first payment, waiting for the receipt aside."""
    chain.mint(PAYER.address, 1_000_000)
    with our_facilitator(tmp_path, counted_chain.url) as facilitator:
        with our_seller(tmp_path, facilitator, chain.network) as seller:
            for number in (1, 2):
                counted_chain.reset()
                purchase = CLIENTS[client](seller.url + "/paid", key=PAYER.key)
                assert purchase.status == 200
                assert purchase.body == {"runs": number}
                assert purchase.settlement is not None
                assert purchase.settlement["success"] is True
                assert purchase.headers["cache-control"] == "private"
                receipt = chain.receipt(purchase.transaction)
                assert receipt is not None
                assert receipt["status"] == "0x1"
            assert calls_of_a_payment(counted_chain) <= 5
    assert chain.balance_of(MERCHANT.address) == 2 * PRICE_ATOMIC
    assert chain.authorizations_used(PAYER.address) == 2


@pytest.mark.parametrize("client", CLIENTS)
def test_official_client_pays_on_the_local_ledger(tmp_path: Path, client: str) -> None:
    """Play money works with the official clients as they are. They pay only in the tokens they have compiled in, so the
    ledger plays Base Sepolia."""
    with our_seller(tmp_path, None, BASE_SEPOLIA) as seller:
        purchase = CLIENTS[client](seller.url + "/paid", key=PAYER.key)
    assert (purchase.status, purchase.body) == (200, {"runs": 1})
    assert purchase.transaction.startswith("local:")


@pytest.mark.parametrize("client", CLIENTS)
def test_official_client_without_money_is_refused(chain: Anvil, tmp_path: Path, client: str) -> None:
    """An empty wallet gets 402 and runs nothing; the client sees the reason in the terms."""
    with our_facilitator(tmp_path, chain.url) as facilitator:
        with our_seller(tmp_path, facilitator, chain.network) as seller:
            purchase = CLIENTS[client](seller.url + "/paid", key=ACCOUNTS[5].key)
    assert purchase.status == 402
    assert purchase.settlement is None
    assert not (tmp_path / "runs").exists()
    assert chain.authorizations_used() == 0


@pytest.mark.parametrize("server", SERVERS)
def test_official_server_uses_our_facilitator(
    chain: Anvil, counted_chain: RpcCounter, tmp_path: Path, server: str
) -> None:
    """Both official servers read our /supported, verify and settle with us, for both clients."""
    chain.mint(PAYER.address, 1_000_000)
    with our_facilitator(tmp_path, counted_chain.url) as facilitator:
        with SERVERS[server](facilitator=facilitator.url, pay_to=MERCHANT.address) as shop:
            for number, buy in enumerate(CLIENTS.values(), start=1):
                counted_chain.reset()
                purchase = buy(shop.url + "/paid", key=PAYER.key)
                assert purchase.status == 200
                assert purchase.settlement is not None
                assert purchase.settlement["success"] is True
                assert chain.balance_of(MERCHANT.address) == number * PRICE_ATOMIC
            assert calls_of_a_payment(counted_chain) <= 5
            poor = processes.python_client(shop.url + "/paid", key=ACCOUNTS[5].key)
            assert poor.status == 402


@pytest.mark.parametrize("facilitator", FACILITATORS)
def test_our_seller_uses_an_official_facilitator(chain: Anvil, tmp_path: Path, facilitator: str) -> None:
    """Our seller sells with both official facilitators, to both clients."""
    chain.mint(PAYER.address, 1_000_000)
    with FACILITATORS[facilitator](rpc=chain.url, key=FACILITATOR.key) as theirs:
        with our_seller(tmp_path, theirs, chain.network) as seller:
            for number, buy in enumerate(CLIENTS.values(), start=1):
                purchase = buy(seller.url + "/paid", key=PAYER.key)
                assert (purchase.status, purchase.body) == (200, {"runs": number})
                assert chain.balance_of(MERCHANT.address) == number * PRICE_ATOMIC
