"""Networks and tokens: constants, and that terms can't redefine a known token."""

from __future__ import annotations

from life.crypto.address import format_address
from life.crypto.keccak import keccak256
from life.haima.x402.networks import (
    BASE,
    BUILT_IN,
    LOCAL,
    NETWORKS,
    PLAY_MONEY,
    TOKENS,
    KnownToken,
    Network,
    NetworkRegistry,
    chain_id_of,
    is_solana,
)


def test_token_addresses_are_checksummed() -> None:
    """Every built-in contract is spelled as EIP-55 says."""
    for token in TOKENS:
        if is_solana(token.network):
            continue
        assert token.address == format_address(bytes.fromhex(token.address[2:]))


def test_play_money_is_nowhere_else() -> None:
    """The play token's address comes from its name, and its chain id is no real chain's."""
    assert PLAY_MONEY.address == format_address(keccak256(b"life local ledger: play money")[12:])
    local = BUILT_IN.network(LOCAL)
    assert local is not None and not local.real_money and chain_id_of(LOCAL) == 4020402


def test_lookup_by_alias_and_any_case() -> None:
    """Networks are found by CAIP-2 name or alias, tokens in any spelling of their address."""
    network = BUILT_IN.network("base")
    assert network is not None and network.caip2 == BASE
    assert BUILT_IN.network("nowhere") is None
    for token in TOKENS:
        other_case = BUILT_IN.token(token.network, token.address.upper().replace("0X", "0x"))
        assert other_case == (None if is_solana(token.network) else token), "base58 has one spelling"
        assert BUILT_IN.token(token.network, token.address) == token
    usdc = BUILT_IN.default_token(BASE)
    assert usdc is not None and usdc.name == "USD Coin"


def test_chain_ids() -> None:
    """Only EVM names have a chain id, in canonical decimal."""
    assert chain_id_of("eip155:1") == 1
    for name in ("eip155:", "eip155:0", "eip155:01", "eip155:-1", "solana:x", "1", f"eip155:{2**256}", "eip155:1 "):
        assert chain_id_of(name) is None


def test_configuration_adds_and_replaces() -> None:
    """An installation can add networks and tokens, and correct a built-in one."""
    token = KnownToken("eip155:7", "0x1111111111111111111111111111111111111111", "T", "Token", "1", 18)
    registry = NetworkRegistry(networks=[Network("eip155:7", "Seven", "seven", False)], tokens=[token])
    seven = registry.network("seven")
    assert seven is not None and seven.caip2 == "eip155:7"
    assert registry.default_token("eip155:7") == token
    assert len(registry.tokens) == len(TOKENS) + 1 and len(registry.networks) == len(NETWORKS) + 1
