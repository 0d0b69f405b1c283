"""Wallets, addresses and networks as commands are given them."""

from __future__ import annotations

import pytest

from life.aios.errors import InvalidInputError
from life.anima.custody.wallet_rules import WalletRules
from life.host.haima_wallet import read_address, read_network, wallet_of_key
from life.testing.clock import ManualClock

# The first development account that anvil and Hardhat print at start.
KEY = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


@pytest.mark.parametrize("spelling", [f"0x{KEY}", KEY, f"  0x{KEY}\n", "0X" + KEY.upper()])
def test_a_key_becomes_its_wallet(spelling: str) -> None:
    """With and without 0x, in any case, with the line break that a file leaves."""
    wallet = wallet_of_key(spelling, clock=ManualClock(), rules=WalletRules(), agent_id="test")
    assert wallet.custody.capabilities().wallet_address == ADDRESS
    wallet.custody.close()


@pytest.mark.parametrize(
    "key", ["", "0x", "0x12", KEY + "00", "0x" + "g" * 64, "0x" + "0" * 64, "0x" + "f" * 64, "é" * 64]
)
def test_what_is_no_key_is_refused_and_not_repeated(key: str) -> None:
    """The message says what a key looks like, and nothing of what was given."""
    with pytest.raises(InvalidInputError) as refused:
        wallet_of_key(key, clock=ManualClock(), rules=WalletRules(), agent_id="test")
    assert len(key) < 4 or key not in str(refused.value)
    assert refused.value.__cause__ is None


def test_an_address_is_spelt_as_eip55_and_its_checksum_counts() -> None:
    """Any one case is taken; a mixed one must be right."""
    assert read_address(ADDRESS.lower(), "payee") == ADDRESS
    assert read_address(f" {ADDRESS} ", "payee") == ADDRESS
    for wrong in (ADDRESS[:-1] + "7", ADDRESS.replace("F", "f", 1), "bob", ADDRESS[2:]):
        with pytest.raises(InvalidInputError, match="payee"):
            read_address(wrong, "payee")


def test_a_network_goes_by_name_or_alias() -> None:
    """Known ones by both; unknown EVM ones count as real money; anything else is refused with the known ones."""
    assert read_network("base-sepolia").caip2 == read_network("eip155:84532").caip2 == "eip155:84532"
    assert read_network("eip155:31337").real_money
    for wrong in ("base-sepolio", "eip155:", "eip155:01", "solana:abc", ""):
        with pytest.raises(InvalidInputError) as refused:
            read_network(wrong)
        assert "eip155:84532" in str(refused.value.next_step)
