"""The facilitator is killed (SIGKILL) at every point of a settlement and started again: the money moves once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import msgspec
import pytest
from msgspec import Raw

from life.aios.ports.custody import TransferAuthorization
from life.haima.x402 import codes, exact, wire
from life.haima.x402.price import make_offer, parse_price
from life.testing.chain import PAYEE, PAYER, sign
from tests.harness.anvil import FACILITATOR, Anvil
from tests.harness.rpc_counter import RpcCounter
from tests.peers.processes import Peer, python

pytestmark = [pytest.mark.part("anvil", "solc"), pytest.mark.slow]

NETWORK = "eip155:84532"
OFFER = make_offer(parse_price("$0.01", network=NETWORK), PAYEE)


def start(journal: Path, counter: RpcCounter, *, wait_us: int = 20_000_000) -> Peer:
    """The facilitator's process."""
    command = python("x", journal=str(journal), rpc=counter.url, wait_us=str(wait_us))
    return Peer.start([command[0], "-m", "tests.haima.facilitator_process", *command[3:]])


def settle_body(anvil: Anvil, number: int) -> bytes:
    """The body of /settle for a payment of the price."""
    terms = OFFER.requirements
    authorization = TransferAuthorization(
        network=NETWORK,
        asset=terms.asset,
        token_name="USDC",
        token_version="2",
        from_address=PAYER,
        to_address=PAYEE,
        value_atomic=10_000,
        valid_after_s=0,
        valid_before_s=anvil.timestamp_s() + 3600,
        nonce=number.to_bytes(32, "big"),
    )
    payload = exact.build_payload(Raw(OFFER.raw), authorization, sign(authorization))
    return msgspec.json.encode(
        wire.FacilitatorRequest(
            x402_version=2, payment_payload=wire.to_raw(payload), payment_requirements=Raw(OFFER.raw)
        )
    )


def settle(peer: Peer, body: bytes) -> dict[str, object]:
    """POST /settle."""
    answer: dict[str, object] = httpx2.post(peer.url + "/settle", content=body, timeout=30, trust_env=False).json()
    return answer


def in_background(call: Callable[[], object]) -> threading.Thread:
    """Run a call that will be cut off."""

    def run() -> None:
        try:
            call()
        except httpx2.HTTPError:
            pass

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll for at most ten seconds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.005)


@pytest.mark.parametrize("point", ["eth_estimateGas", "eth_sendRawTransaction", "eth_getTransactionReceipt"])
def test_killed_at_a_call_of_the_node(chain: Anvil, counted_chain: RpcCounter, tmp_path: Path, point: str) -> None:
    """Killed as soon as a call reaches the node; started again, the same call is settled by one transaction, whose hash
    is the answer, and asked again gives the same."""
    chain.mint(PAYER, 50_000)
    body = settle_body(chain, 1)
    with start(tmp_path / "journal.db", counted_chain) as first:
        asked = in_background(lambda: settle(first, body))
        wait_until(lambda: counted_chain.counts[point] > 0, point)
        first.process.kill()
        asked.join(10)
    with start(tmp_path / "journal.db", counted_chain) as second:
        settled = settle(second, body)
        assert settled["success"] is True
        assert settle(second, body) == settled
    receipt = chain.receipt(str(settled["transaction"]))
    assert receipt is not None
    assert receipt["status"] == "0x1"
    assert chain.balance_of(PAYEE) == 10_000
    assert chain.authorizations_used(PAYER) == 1
    assert chain.transaction_count(FACILITATOR.address) == 1


def test_killed_while_it_waits_for_the_block(start_chain: Callable[..., Anvil], tmp_path: Path) -> None:
    """Killed between broadcast and block; mined while nobody watches; found at the next start (x402.md §12 row 4)."""
    chain = start_chain()
    chain.mint(PAYER, 50_000)
    body = settle_body(chain, 1)
    chain.set_automine(False)
    with RpcCounter(chain.url) as counter:
        with start(tmp_path / "journal.db", counter) as first:
            asked = in_background(lambda: settle(first, body))
            wait_until(lambda: len(chain.pending_transactions()) == 1, "the broadcast")
            first.process.kill()
            asked.join(10)
        chain.mine()
        counter.reset()
        with start(tmp_path / "journal.db", counter) as second:
            assert settle(second, body)["success"] is True
        assert counter.counts["eth_sendRawTransaction"] == 0
    assert chain.balance_of(PAYEE) == 10_000


def test_dropped_transaction_is_sent_again_at_start(start_chain: Callable[..., Anvil], tmp_path: Path) -> None:
    """The broadcast was lost by the pool while the facilitator was dead: the next start sends the same bytes again before
    new work, so that account nonces stay in order."""
    chain = start_chain()
    chain.mint(PAYER, 50_000)
    body = settle_body(chain, 1)
    chain.set_automine(False)
    with RpcCounter(chain.url) as counter:
        with start(tmp_path / "journal.db", counter) as first:
            asked = in_background(lambda: settle(first, body))
            wait_until(lambda: len(chain.pending_transactions()) == 1, "the broadcast")
            (lost,) = chain.pending_transactions()
            first.process.kill()
            asked.join(10)
        chain.drop_all_transactions()
        chain.set_automine(True)
        with start(tmp_path / "journal.db", counter) as second:
            assert settle(second, settle_body(chain, 2))["success"] is True
            settled = settle(second, body)
        assert (settled["success"], settled["transaction"]) == (True, lost)
    assert chain.balance_of(PAYEE) == 20_000


def test_pending_survives_the_kill(start_chain: Callable[..., Anvil], tmp_path: Path) -> None:
    """`settlement_pending` is answered with the hash; after a kill the next process answers with the same hash, pending
    or settled."""
    chain = start_chain()
    chain.mint(PAYER, 50_000)
    body = settle_body(chain, 1)
    chain.set_automine(False)
    with RpcCounter(chain.url) as counter:
        with start(tmp_path / "journal.db", counter, wait_us=300_000) as first:
            pending = settle(first, body)
            assert pending["errorReason"] == codes.SETTLEMENT_PENDING
            first.process.kill()
        with start(tmp_path / "journal.db", counter, wait_us=300_000) as second:
            assert settle(second, body) == pending
            chain.mine()
            deadline = time.monotonic() + 10
            settled = settle(second, body)
            while settled["success"] is not True and time.monotonic() < deadline:
                settled = settle(second, body)
    assert (settled["success"], settled["transaction"]) == (True, pending["transaction"])
    assert chain.balance_of(PAYEE) == 10_000
