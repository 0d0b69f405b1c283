"""The JSON-RPC client: results are narrowed, refusals keep what the node said."""

from __future__ import annotations

import pytest

from tests.harness.anvil import MERCHANT, PAYER, Anvil
from tests.harness.rpc import JsonRpc, RpcError


@pytest.mark.part("anvil", "solc")
def test_results_are_narrowed(chain: Anvil) -> None:
    """A result of another type than asked for is an error, null is allowed where a record may be missing."""
    assert chain.rpc.record("eth_getTransactionReceipt", "0x" + "00" * 32) is None
    with pytest.raises(TypeError, match="eth_accounts answered list, not a string"):
        chain.rpc.text("eth_accounts")
    with pytest.raises(TypeError, match="eth_chainId answered str, not an object"):
        chain.rpc.record("eth_chainId")


@pytest.mark.part("anvil", "solc")
def test_revert_carries_the_reason(chain: Anvil) -> None:
    """A reverted call raises with code 3, the reason in words and the encoded reason as data."""
    transfer = "0xa9059cbb" + MERCHANT.address[2:].rjust(64, "0") + "1".rjust(64, "0")
    with pytest.raises(RpcError) as reverted:
        chain.rpc.call("eth_call", {"from": PAYER.address, "to": chain.token, "data": transfer}, "latest")
    assert reverted.value.code == 3
    assert "ERC20: transfer amount exceeds balance" in reverted.value.message
    assert str(reverted.value.data).startswith("0x08c379a0")


@pytest.mark.parametrize("address", ["https://127.0.0.1:1", "127.0.0.1:8545", "http://127.0.0.1", ""])
def test_wrong_address_is_refused(address: str) -> None:
    """Only http://host:port is a node."""
    with pytest.raises(ValueError, match="not an http://host:port address"):
        JsonRpc(address)
