"""Our commands and the official x402 stacks, each with each, on a chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.haima_commands import PRICE, SELLER, anvil_facilitator, hits, pay, shop
from tests.harness.anvil import FACILITATOR, PAYER, Anvil
from tests.harness.fixtures import session_chain
from tests.peers import processes
from tests.peers.processes import Peer, Purchase

__all__ = ["session_chain"]

pytestmark = [
    pytest.mark.part("anvil", "solc", "node", "npm-peers", "x402-python"),
    pytest.mark.slow,
]

CLIENTS: dict[str, Callable[..., Purchase]] = {"npm": processes.fetch_client, "pypi": processes.python_client}
SERVERS: dict[str, Callable[..., Peer]] = {"npm": processes.express_server, "pypi": processes.python_server}
FACILITATORS: dict[str, Callable[..., Peer]] = {"npm": processes.ts_facilitator, "pypi": processes.python_facilitator}


@pytest.fixture
def chain(session_chain: Anvil) -> Iterator[Anvil]:
    """A chain on which the payer has money, returned to its first state afterwards."""
    before = session_chain.snapshot()
    session_chain.mint(PAYER.address, 1_000_000)
    yield session_chain
    session_chain.revert(before)


def test_official_clients_pay_our_shop(chain: Anvil, tmp_path: Path) -> None:
    """npm's fetch and PyPI's httpx client get the answer of `haima serve`, settled by `haima facilitator`, once each."""
    with (
        anvil_facilitator(tmp_path / "f", chain.url, FACILITATOR) as facilitator,
        shop(tmp_path / "s", facilitator.url) as selling,
    ):
        for number, (language, buy) in enumerate(CLIENTS.items(), start=1):
            purchase = buy(selling.url + "/paid", key=PAYER.key)
            assert purchase.status == 200, language
            assert purchase.body == {"route": "paid", "method": "GET", "runs": number}
            assert purchase.settlement is not None
            assert purchase.settlement["success"] is True
            assert purchase.settlement["network"] == chain.network
            assert chain.balance_of(SELLER) == number * PRICE
        assert buy(selling.url + "/fail", key=PAYER.key).status == 500
        assert buy(selling.url + "/free", key=PAYER.key).settlement is None
        assert hits(selling) == {"paid": 2, "free": 1, "fail": 1}
    assert chain.authorizations_used(PAYER.address) == 2


@pytest.mark.parametrize("language", SERVERS)
def test_official_servers_settle_with_our_facilitator(chain: Anvil, tmp_path: Path, language: str) -> None:
    """@x402/express and PyPI's FastAPI middleware start with `haima facilitator`, and every client pays them."""
    with ExitStack() as running:
        facilitator = running.enter_context(anvil_facilitator(tmp_path / "f", chain.url, FACILITATOR))
        selling = running.enter_context(SERVERS[language](facilitator=facilitator.url, pay_to=SELLER))
        for number, buy in enumerate(CLIENTS.values(), start=1):
            purchase = buy(selling.url + "/paid", key=PAYER.key)
            assert (purchase.status, purchase.body) == (200, {"route": "paid", "method": "GET", "runs": number})
        ours = pay(selling.url + "/paid", PAYER, tmp_path / "w", "--rpc", chain.url)
        assert ours.code == 0, ours
        assert ours.stdout.splitlines()[0].replace(" ", "") == '{"route":"paid","method":"GET","runs":3}'
    assert chain.balance_of(SELLER) == 3 * PRICE
    assert chain.authorizations_used(PAYER.address) == 3


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("facilitator", FACILITATORS)
def test_we_pay_markets_that_are_official_throughout(
    chain: Anvil, tmp_path: Path, server: str, facilitator: str
) -> None:
    """`haima pay` at an official server with an official facilitator."""
    with ExitStack() as running:
        settling = running.enter_context(FACILITATORS[facilitator](rpc=chain.url, key=FACILITATOR.key))
        selling = running.enter_context(SERVERS[server](facilitator=settling.url, pay_to=SELLER))
        paid = pay(selling.url + "/paid", PAYER, tmp_path / "w", "--rpc", chain.url)
        assert paid.code == 0, paid
        receipt = chain.receipt(paid.transaction)
        assert receipt is not None
        assert receipt["status"] == "0x1"
    assert chain.balance_of(SELLER) == PRICE


@pytest.mark.parametrize("language", FACILITATORS)
def test_our_shop_settles_with_official_facilitators(chain: Anvil, tmp_path: Path, language: str) -> None:
    """`haima serve` before an official facilitator: official and own clients are served."""
    with ExitStack() as running:
        settling = running.enter_context(FACILITATORS[language](rpc=chain.url, key=FACILITATOR.key))
        selling = running.enter_context(shop(tmp_path / "s", settling.url))
        for buy in CLIENTS.values():
            assert buy(selling.url + "/paid", key=PAYER.key).status == 200
        assert pay(selling.url + "/paid", PAYER, tmp_path / "w").code == 0
        assert hits(selling)["paid"] == 3
    assert chain.balance_of(SELLER) == 3 * PRICE
