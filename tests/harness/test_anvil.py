"""The local chain: it starts, does what the harness says, forgets what it should, and ends."""

from __future__ import annotations

import os

import pytest

from tests.harness.anvil import ACCOUNTS, BASE, FACILITATOR, MERCHANT, MINTER, PAYER, USDC, Anvil, RpcError
from tests.harness.fixtures import StartChain
from tests.harness.process import ProcessError
from tests.harness.rpc import JsonRpc
from tests.harness.solidity import compile_contracts

pytestmark = pytest.mark.part("anvil", "solc")

SEPARATORS = {
    BASE: "0x02fa7265e7c5d81118673727957699e4d68f74cd74b7db77da710fe8a2c7834f",
    84532: "0x71f17a3b2ff373b803d70a5a07c046c1a2bc8e89c09ef722fcb047abe94c9818",
}
"""Domain separators of USDC on Base and Base Sepolia: eth_call of DOMAIN_SEPARATOR() at Circle's contracts."""


def send_unmined(chain: Anvil, sender: str = PAYER.address) -> str:
    """A transfer of one wei that waits in the pool; its hash."""
    return chain.rpc.text("eth_sendTransaction", {"from": sender, "to": MERCHANT.address, "value": "0x1"})


def test_development_accounts_are_anvils(chain: Anvil) -> None:
    """The constants are the accounts the node holds, each with its balance."""
    listed = chain.rpc.call("eth_accounts")
    assert isinstance(listed, list)
    assert [str(address).lower() for address in listed] == [account.address.lower() for account in ACCOUNTS]
    assert all(chain.balance_wei(account.address) > 10**21 for account in ACCOUNTS)


@pytest.mark.parametrize("chain_id", sorted(SEPARATORS))
def test_token_has_usdcs_domain(start_chain: StartChain, chain_id: int) -> None:
    """Etched at USDC's address, the token has USDC's EIP-712 domain on both networks."""
    chain = start_chain(chain_id)
    assert chain.token == USDC[chain_id]
    assert chain.network == f"eip155:{chain_id}"
    assert chain.domain_separator() == SEPARATORS[chain_id]


def test_mint_and_transfer_change_balances(chain: Anvil) -> None:
    """Tokens appear, move in any account's name, and the other accounts' nonces stay."""
    chain.mint(PAYER.address, 5_000_000)
    chain.transfer(PAYER.address, MERCHANT.address, 2_000_000)
    assert chain.balance_of(PAYER.address) == 3_000_000
    assert chain.balance_of(MERCHANT.address) == 2_000_000
    assert chain.transaction_count(FACILITATOR.address) == 0
    assert chain.transaction_count(MINTER.address) == 1
    with pytest.raises(RuntimeError, match="failed"):
        chain.transfer(PAYER.address, MERCHANT.address, 3_000_001)


def test_snapshot_and_revert(chain: Anvil) -> None:
    """A revert undoes balances and blocks; a snapshot serves once."""
    before = chain.snapshot()
    height = chain.block_number()
    chain.mint(PAYER.address, 1)
    chain.revert(before)
    assert chain.balance_of(PAYER.address) == 0
    assert chain.block_number() == height
    with pytest.raises(RuntimeError, match="no snapshot"):
        chain.revert(before)


@pytest.mark.parametrize("round_", [1, 2])
def test_fixture_undoes_what_a_test_did(chain: Anvil, round_: int) -> None:
    """Each round finds the chain untouched, whatever the round before did to mining, time, pool and balances."""
    assert chain.is_automining()
    assert chain.balance_of(PAYER.address) == 0
    assert chain.pending_transactions() == []
    assert chain.transaction_count(PAYER.address, "pending") == 0
    chain.mint(PAYER.address, 7)
    chain.set_balance(FACILITATOR.address, 0)
    chain.advance_time(3600)
    chain.set_interval_mining(1)
    chain.set_automine(False)
    send_unmined(chain)


def test_automine_off_holds_transactions_until_mine(chain: Anvil) -> None:
    """Without automining a transaction waits; `mine` takes it in."""
    chain.set_automine(False)
    transaction = send_unmined(chain)
    assert chain.receipt(transaction) is None
    assert chain.pending_transactions() == [transaction]
    chain.mine()
    assert chain.wait_for_receipt(transaction)["status"] == "0x1"
    assert chain.pending_transactions() == []


def test_minting_works_in_every_mining_mode(start_chain: StartChain) -> None:
    """The harness's own transactions are mined at once, whether blocks come by clock or never."""
    for chain in (start_chain(automine=False), start_chain(block_time=60)):
        chain.mint(PAYER.address, 3)
        assert chain.balance_of(PAYER.address) == 3


def test_dropped_transaction_never_lands(chain: Anvil) -> None:
    """A dropped transaction leaves the pool and gives its account nonce back."""
    chain.set_automine(False)
    first = send_unmined(chain)
    send_unmined(chain, MERCHANT.address)
    chain.drop_transaction(first)
    chain.drop_all_transactions()
    chain.mine()
    assert chain.receipt(first) is None
    assert chain.transaction_count(PAYER.address, "pending") == 0
    assert chain.pending_transactions() == []


def test_time_moves_forward(chain: Anvil) -> None:
    """The chain's clock can be set for the next block and moved on."""
    start = chain.timestamp_s()
    chain.advance_time(1000)
    assert chain.timestamp_s() >= start + 1000
    chain.set_next_timestamp(start + 5000)
    chain.mine()
    assert chain.timestamp_s() == start + 5000


def test_timestamps_follow_the_clock_after_a_revert(chain: Anvil) -> None:
    """Time that a reverted test moved forward is moved back with everything else."""
    before, start = chain.snapshot(), chain.timestamp_s()
    chain.advance_time(10_000)
    chain.revert(before)
    chain.mine()
    assert start <= chain.timestamp_s() < start + 5_000


def test_gas_money_can_be_taken(chain: Anvil) -> None:
    """An account without native balance cannot send."""
    chain.set_balance(PAYER.address, 0)
    assert chain.balance_wei(PAYER.address) == 0
    with pytest.raises(RpcError, match=r"(?i)insufficient funds"):
        send_unmined(chain)


def test_deploy_gives_a_working_contract(chain: Anvil) -> None:
    """A contract can also be deployed, at an address of its own."""
    address = chain.deploy(compile_contracts()["Token3009"])
    assert address.lower() != chain.token.lower()
    assert int(chain.read("decimals()", token=address), 16) == 6


def test_stop_ends_the_node_itself() -> None:
    """The process that is ended is the node: afterwards neither it nor its port answers."""
    with Anvil.start(1337) as chain:
        assert chain.rpc.quantity("eth_chainId") == 1337
        with pytest.raises(ValueError, match="no USDC address"):
            _ = chain.token
    with pytest.raises(ProcessLookupError):
        os.kill(chain.pid, 0)
    with pytest.raises(OSError):
        JsonRpc(chain.url, timeout_s=1).call("eth_chainId")


def test_suspended_node_does_not_answer(start_chain: StartChain) -> None:
    """A frozen node accepts connections and stays silent, which is a timeout and not a refusal; it can go on later."""
    chain = start_chain()
    chain.process.suspend()
    with pytest.raises(TimeoutError):
        JsonRpc(chain.url, timeout_s=0.3).call("eth_blockNumber")
    chain.process.resume()
    assert chain.block_number() == 0


def test_taken_port_is_said(chain: Anvil) -> None:
    """A node that cannot listen raises with the node's own words."""
    port = int(chain.url.rpartition(":")[2])
    with pytest.raises(ProcessError, match="anvil ended with code"):
        Anvil.start(port=port)
