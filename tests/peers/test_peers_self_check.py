"""The official peers pay each other on the local chain, so that a later failure against them is ours and not the harness's."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.harness.anvil import ACCOUNTS, FACILITATOR, MERCHANT, PAYER, Anvil
from tests.harness.process import ProcessError
from tests.harness.rpc_counter import RpcCounter
from tests.peers import processes
from tests.peers.processes import ClientError, Peer, Purchase

pytestmark = [
    pytest.mark.part("anvil", "solc", "node", "npm-peers", "x402-python"),
    pytest.mark.slow,
]

CLIENTS: dict[str, Callable[..., Purchase]] = {"npm": processes.fetch_client, "pypi": processes.python_client}
SERVERS: dict[str, Callable[..., Peer]] = {"npm": processes.express_server, "pypi": processes.python_server}
FACILITATORS: dict[str, Callable[..., Peer]] = {"npm": processes.ts_facilitator, "pypi": processes.python_facilitator}
PRICE_ATOMIC = 10_000
NEEDED_CALLS = {"eth_getCode", "eth_call", "eth_sendRawTransaction", "eth_getTransactionReceipt"}


@dataclass(frozen=True)
class Market:
    """A chain whose calls are counted, a facilitator on it and a shop before it, all official."""

    chain: Anvil
    counter: RpcCounter
    shop: Peer


@pytest.fixture
def market(chain: Anvil, counted_chain: RpcCounter, request: pytest.FixtureRequest) -> Iterator[Market]:
    """The market of `request.param`: languages of facilitator and server."""
    facilitator_language, server_language = request.param
    chain.mint(PAYER.address, 1_000_000)
    with ExitStack() as running:
        start_facilitator, start_server = FACILITATORS[facilitator_language], SERVERS[server_language]
        facilitator = running.enter_context(start_facilitator(rpc=counted_chain.url, key=FACILITATOR.key))
        shop = running.enter_context(start_server(facilitator=facilitator.url, pay_to=MERCHANT.address))
        yield Market(chain, counted_chain, shop)


EVERY_MARKET = pytest.mark.parametrize(
    "market", [(facilitator, server) for facilitator in FACILITATORS for server in SERVERS], indirect=True, ids="-".join
)
EACH_LANGUAGE = pytest.mark.parametrize("market", [("npm", "npm"), ("pypi", "pypi")], indirect=True, ids="-".join)


@EVERY_MARKET
def test_official_peers_pay_once(market: Market, record_property: Callable[[str, object], None]) -> None:
    """Both clients pay any server through any facilitator: one run of the handler, one transfer of the price each."""
    chain = market.chain
    for number, (language, buy) in enumerate(CLIENTS.items(), start=1):
        market.counter.reset()
        purchase = buy(market.shop.url + "/paid", key=PAYER.key)
        assert purchase.status == 200
        assert purchase.body == {"route": "paid", "method": "GET", "runs": number}
        assert purchase.settlement is not None
        assert purchase.settlement["success"] is True
        assert purchase.settlement["network"] == chain.network
        receipt = chain.receipt(purchase.transaction)
        assert receipt is not None
        assert receipt["status"] == "0x1"
        assert chain.balance_of(MERCHANT.address) == number * PRICE_ATOMIC
        assert chain.balance_of(PAYER.address) == 1_000_000 - number * PRICE_ATOMIC
        assert chain.authorizations_used(PAYER.address) == number
        counts = market.counter.counts
        assert set(counts) >= NEEDED_CALLS
        assert counts["eth_sendRawTransaction"] == 1
        record_property(f"rpc calls of a payment by the {language} client", market.counter.total)
        print(f"{language} client: {market.counter.total} chain calls, {dict(counts)}")


@EACH_LANGUAGE
def test_free_route_and_unpaid_request_touch_no_chain(market: Market) -> None:
    """The free route is open; an unpaid request gets an offer for the price in USDC; neither asks the chain."""
    free = processes.fetch_client(market.shop.url + "/free", key=PAYER.key, method="POST", body='{"a": 1}')
    assert (free.status, free.body) == (200, {"route": "free", "method": "POST", "runs": 1})
    assert free.settlement is None
    assert free.transaction == ""
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(market.shop.url + "/paid", timeout=10)
    with refused.value as answer:
        assert answer.code == 402
        (offer,) = json.loads(base64.b64decode(answer.headers["PAYMENT-REQUIRED"]))["accepts"]
    assert offer["amount"] == str(PRICE_ATOMIC)
    assert offer["asset"] == market.chain.token
    assert offer["payTo"] == MERCHANT.address
    assert offer["extra"] == {"name": "USDC", "version": "2"}
    assert market.counter.total == 0


@EACH_LANGUAGE
def test_payer_without_money_is_refused(market: Market) -> None:
    """Without tokens behind the signature there is a second 402, no run of the handler and no transaction."""
    purchase = processes.python_client(market.shop.url + "/paid", key=ACCOUNTS[5].key)
    assert purchase.status == 402
    explained = json.loads(base64.b64decode(purchase.headers["payment-required"]))
    assert explained["error"] == "invalid_exact_evm_insufficient_balance"
    assert market.counter.counts["eth_sendRawTransaction"] == 0
    assert market.chain.authorizations_used() == 0


@pytest.mark.parametrize("language", CLIENTS)
def test_client_reports_what_failed(language: str) -> None:
    """A client that reaches nobody raises its own words."""
    with pytest.raises(ClientError):
        CLIENTS[language](f"http://127.0.0.1:{processes.free_port()}/paid", key=PAYER.key)


@pytest.mark.parametrize("language", SERVERS)
def test_server_without_facilitator_does_not_start(language: str) -> None:
    """A shop whose facilitator cannot be reached ends, and the error carries what it wrote."""
    nowhere = f"http://127.0.0.1:{processes.free_port()}"
    with pytest.raises(ProcessError, match="ended with code 1 before it was ready"):
        SERVERS[language](facilitator=nowhere, pay_to=MERCHANT.address)


@pytest.mark.parametrize("language", FACILITATORS)
def test_facilitator_lists_its_chain(chain: Anvil, language: str) -> None:
    """/supported names scheme, network and signer."""
    with FACILITATORS[language](rpc=chain.url, key=FACILITATOR.key) as facilitator:
        with urllib.request.urlopen(facilitator.url + "/supported", timeout=10) as answer:
            supported = json.load(answer)
    kinds = [kind for kind in supported["kinds"] if kind["x402Version"] == 2]
    assert {(kind["scheme"], kind["network"]) for kind in kinds} == {("exact", chain.network), ("upto", chain.network)}
    assert supported["signers"] == {"eip155:*": [FACILITATOR.address]}
