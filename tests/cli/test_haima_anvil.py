"""The commands of haima on a real chain: money moves in a token contract, gas is paid, nodes and processes fail."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli.haima_commands import (
    NETWORK,
    PRICE,
    SELLER,
    Daemon,
    Line,
    anvil_facilitator,
    finance_events,
    finished,
    hits,
    in_parallel,
    pay,
    run,
    shop,
    start_pay,
)
from tests.harness.anvil import ACCOUNTS, FACILITATOR, PAYER, Anvil
from tests.harness.fixtures import StartChain, session_chain, start_chain
from tests.peers.processes import free_port

__all__ = ["session_chain", "start_chain"]

pytestmark = [pytest.mark.part("anvil", "solc"), pytest.mark.slow]


class Market(NamedTuple):
    """A chain, a facilitator on it and a shop before that."""

    chain: Anvil
    facilitator: Daemon
    shop: Daemon


@pytest.fixture
def market(session_chain: Anvil, tmp_path: Path) -> Iterator[Market]:
    """A market on a chain that is returned to its first state."""
    before = session_chain.snapshot()
    session_chain.mint(PAYER.address, 1_000_000)
    with (
        anvil_facilitator(tmp_path / "f", session_chain.url, FACILITATOR) as facilitator,
        shop(tmp_path / "s", facilitator.url) as selling,
    ):
        yield Market(session_chain, facilitator, selling)
    session_chain.revert(before)


def test_a_payment_moves_the_token_once(market: Market, tmp_path: Path) -> None:
    """The settlement's transaction is on the chain, holds the transfer, and the shop ran once; /fail moves nothing."""
    paid = pay(market.shop.url + "/paid", PAYER, tmp_path / "w", "--rpc", market.chain.url)
    assert paid.code == 0, paid
    receipt = market.chain.receipt(paid.transaction)
    assert receipt is not None
    assert receipt["status"] == "0x1"
    assert pay(market.shop.url + "/fail", PAYER, tmp_path / "w").code == 1
    assert market.chain.balance_of(SELLER) == PRICE
    assert market.chain.authorizations_used(PAYER.address) == 1
    assert hits(market.shop) == {"paid": 1, "free": 0, "fail": 1}
    assert FACILITATOR.address in market.facilitator.process.stdout()
    assert FACILITATOR.key[2:] not in market.facilitator.process.stdout() + market.facilitator.process.stderr()


def test_a_cap_holds_over_parallel_processes_on_a_chain(market: Market, tmp_path: Path) -> None:
    """Eight at once with a cap for five: exactly five transfers, never one more."""

    def start() -> object:
        return start_pay(market.shop.url + "/paid", PAYER, tmp_path / "w", "--total-cap", str(5 * PRICE))

    ended = in_parallel([start] * 8)  # type: ignore[list-item]
    assert sum(paid.code == 0 for paid in ended) == 5, ended
    assert market.chain.balance_of(SELLER) == 5 * PRICE
    assert market.chain.authorizations_used(PAYER.address) == 5


def test_a_lost_answer_is_found_on_the_chain(market: Market, tmp_path: Path) -> None:
    """The answer is lost and the shop is gone: with --rpc the next command learns from the chain that it was paid."""
    with Line(market.shop.url) as line:
        line.lose_answer()
        lost = pay(line.url + "/paid", PAYER, tmp_path / "w")
        assert lost.error_code == "haima.outcome_unknown"
        url = line.url
    assert "payment_settled" not in finance_events(tmp_path / "w")
    gone = pay(url + "/paid", PAYER, tmp_path / "w", "--rpc", market.chain.url)
    assert gone.code == 1
    assert "payment_settled" in finance_events(tmp_path / "w")
    assert market.chain.balance_of(SELLER) == PRICE


def test_a_node_of_another_chain_is_refused(session_chain: Anvil, tmp_path: Path) -> None:
    """Neither the payer nor the facilitator works with a node that serves another network than the one that was named."""
    base = ("--network", "eip155:8453", "--rpc", session_chain.url)
    payer = pay("http://127.0.0.1:1/", PAYER, tmp_path / "w", "--rpc", session_chain.url, network="eip155:8453")
    assert (payer.code, payer.error_code) == (1, "life.invalid_input")
    settling = run("haima", "facilitator", "--port", "0", "--data-dir", tmp_path / "f", "--key", PAYER.key, *base)
    assert settling.code == 1
    assert "eip155:84532" in settling.stderr


def test_an_empty_gas_account_is_told_at_the_start(start_chain: StartChain, tmp_path: Path) -> None:
    """The facilitator starts, and says that it can't settle; refilled, it settles without a restart."""
    chain = start_chain()
    chain.mint(PAYER.address, 1_000_000)
    chain.set_balance(FACILITATOR.address, 0)
    with (
        anvil_facilitator(tmp_path / "f", chain.url, FACILITATOR) as facilitator,
        shop(tmp_path / "s", facilitator.url) as selling,
    ):
        assert "gas account is empty" in facilitator.process.stderr()
        unpaid = pay(selling.url + "/paid", PAYER, tmp_path / "w")
        assert unpaid.code == 1
        assert chain.balance_of(SELLER) == 0
        chain.set_balance(FACILITATOR.address, 10**18)
        assert pay(selling.url + "/paid", PAYER, tmp_path / "w").code == 0
        assert chain.balance_of(SELLER) == PRICE


def test_a_facilitator_killed_after_the_broadcast_finds_its_transaction(
    start_chain: StartChain, tmp_path: Path
) -> None:
    """kill -9 between sending and mining: after the restart the repeated command is answered, with one transfer."""
    chain = start_chain(automine=False)
    chain.mint(PAYER.address, 1_000_000)
    with (
        anvil_facilitator(tmp_path / "f", chain.url, FACILITATOR) as facilitator,
        shop(tmp_path / "s", facilitator.url) as selling,
    ):
        waiting = start_pay(selling.url + "/paid", PAYER, tmp_path / "w")
        deadline = time.monotonic() + 30
        while not chain.pending_transactions():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        facilitator.kill()
        unknown = finished(waiting)
        assert (unknown.code, unknown.line["status"]) == (1, 503), unknown
        chain.mine()
        facilitator.restart()
        again = pay(selling.url + "/paid", PAYER, tmp_path / "w")
        assert again.code == 0, again
        assert hits(selling)["paid"] == 1
    assert chain.balance_of(SELLER) == PRICE
    assert chain.authorizations_used(PAYER.address) == 1
    assert chain.transaction_count(FACILITATOR.address) == 1


def test_every_process_killed_in_turn_and_the_price_is_paid_once(start_chain: StartChain, tmp_path: Path) -> None:
    """Payer, shop and facilitator die with kill -9 while one payment waits for its block; what is left finishes it."""
    chain = start_chain(automine=False)
    chain.mint(PAYER.address, 1_000_000)
    with (
        anvil_facilitator(tmp_path / "f", chain.url, FACILITATOR) as facilitator,
        shop(tmp_path / "s", facilitator.url) as selling,
    ):
        waiting = start_pay(selling.url + "/paid", PAYER, tmp_path / "w")
        deadline = time.monotonic() + 30
        while not chain.pending_transactions():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        waiting.kill()
        selling.kill()
        facilitator.kill()
        facilitator.restart()
        chain.mine()
        selling.restart()
        paid = pay(selling.url + "/paid", PAYER, tmp_path / "w", "--rpc", chain.url)
        assert paid.code == 0, paid
    assert chain.balance_of(SELLER) == PRICE
    assert chain.authorizations_used() == 1


def test_a_shop_that_restarts_takes_up_its_open_sale(start_chain: StartChain, tmp_path: Path) -> None:
    """The shop dies while the transaction waits; at its next start the sale is booked without anybody asking."""
    chain = start_chain(automine=False)
    chain.mint(PAYER.address, 1_000_000)
    with (
        anvil_facilitator(tmp_path / "f", chain.url, FACILITATOR) as facilitator,
        shop(tmp_path / "s", facilitator.url) as selling,
    ):
        waiting = start_pay(selling.url + "/paid", PAYER, tmp_path / "w")
        deadline = time.monotonic() + 30
        while not chain.pending_transactions():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        selling.kill()
        assert finished(waiting).error_code == "haima.outcome_unknown"
        chain.mine()
        selling.restart()
        assert selling.stop() == 0
    assert finance_events(tmp_path / "s").count("revenue_received") == 1


def test_nobody_pays_over_a_node_that_is_gone(market: Market, tmp_path: Path) -> None:
    """--rpc names a node that does not answer: nothing is asked of the shop, nothing is paid."""
    ended = pay(market.shop.url + "/paid", ACCOUNTS[4], tmp_path / "w", "--rpc", f"http://127.0.0.1:{free_port()}")
    assert ended.error_code == "haima.chain_unavailable"
    assert hits(market.shop)["paid"] == 0
    assert NETWORK in market.facilitator.process.stdout()
