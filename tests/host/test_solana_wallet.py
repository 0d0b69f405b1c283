"""Keys and addresses of Solana in commands, and the settings of a facilitator there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from solders.keypair import Keypair

from life.aios.errors import InvalidInputError, MissingExtraError
from life.haima.x402.networks import SOLANA, SOLANA_DEVNET
from life.host.facilitator_settings import (
    FacilitatorSettings,
    Settlement,
    check_settings,
    pair_networks,
    read_settings,
)
from life.host.haima_seller import Charge, ShopTerms, read_payee, shop_price
from life.host.haima_wallet import read_any_network, read_network
from life.host.solana_wallet import read_solana_address, wallet_of_solana_key

PAIR = Keypair.from_seed(bytes([9]) * 32)
ADDRESS = str(PAIR.pubkey())
NODE = "https://api.devnet.solana.com"


@pytest.mark.parametrize("text", [str(PAIR), f"  {PAIR}\n", json.dumps(list(bytes(PAIR)))])
def test_keys_as_their_tools_write_them(text: str) -> None:
    """Base58 of 64 bytes, and the JSON array of solana-keygen."""
    wallet = wallet_of_solana_key(text, role="payer")
    assert wallet.address == ADDRESS
    wallet.close()


@pytest.mark.parametrize(
    "text", ["", "0x" + "37" * 32, "[]", "[1, 2]", "[300]", '["a"]', "{", str(PAIR)[:-1], "1" * 200, str(PAIR) + "0"]
)
def test_what_is_no_key(text: str) -> None:
    """One sentence that does not repeat it."""
    with pytest.raises(InvalidInputError) as refused:
        wallet_of_solana_key(text, role="payer")
    assert len(text) < 6 or text not in refused.value.message


def test_networks_and_addresses() -> None:
    """By short name, CAIP-2 name, or the name of a network of one's own; an address must belong to its network."""
    assert read_any_network("solana").caip2 == SOLANA
    assert read_any_network("solana-devnet").caip2 == SOLANA_DEVNET
    own = "solana:" + "A" * 32
    assert (read_any_network(own).caip2, read_any_network(own).real_money) == (own, True)
    assert read_any_network("base").caip2 == "eip155:8453"
    for name in ("solana:short", "bitcoin"):
        with pytest.raises(InvalidInputError):
            read_any_network(name)
    with pytest.raises(InvalidInputError, match="no EVM network"):
        read_network("solana")
    assert read_payee("solana-devnet", f" {ADDRESS}", "payee") == (SOLANA_DEVNET, ADDRESS)
    for network, address in (("solana", "0x" + "11" * 20), ("base", ADDRESS)):
        with pytest.raises(InvalidInputError):
            read_payee(network, address, "payee")
    with pytest.raises(InvalidInputError):
        read_solana_address("0" * 44, "payee")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence that names it."""
    monkeypatch.setitem(sys.modules, "solders", None)
    monkeypatch.setattr("life.haima.x402.svm.find_spec", lambda name: None)
    for use in (
        lambda: wallet_of_solana_key(str(PAIR), role="payer"),
        lambda: read_solana_address(ADDRESS, "payee"),
        lambda: Charge(_nothing, routes={}, pay_to=ADDRESS, network="solana", facilitator="https://f.example"),
    ):
        with pytest.raises(MissingExtraError, match="solana"):
            use()


async def _nothing(*_: object) -> None:
    """An application."""


def test_settings_of_a_facilitator(tmp_path: Path) -> None:
    """Each network gets the key of its kind, from options as from a file."""
    evm, own = pair_networks(("base", "solana"), ("https://a", "https://b"), key="0x1", solana_key="s")
    assert (evm.key, own.key, evm.on_solana, own.on_solana) == ("0x1", "s", False, True)
    path = tmp_path / "f.toml"
    path.write_text(f'[[network]]\nnetwork = "solana-devnet"\nrpc = "{NODE}"\n[[network]]\nnetwork = "local"\n')
    settings = read_settings(path, key="0x1", solana_key="s", environment={})
    assert [where.key for where in settings.settlements] == ["s", None]
    check_settings(settings, host_is_local=True)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (FacilitatorSettings((Settlement("solana"),)), "no play money"),
        (FacilitatorSettings((Settlement("solana", NODE, "s", confirmations=3),)), "mean nothing"),
        (FacilitatorSettings((Settlement("solana", NODE, "s", max_fee_gwei=3),)), "mean nothing"),
        (FacilitatorSettings((Settlement("solana", NODE, "s"),), fee_bps=1), "No fee"),
        (FacilitatorSettings((Settlement("solana", "http://203.0.113.1", "s"),)), "plain HTTP"),
        (FacilitatorSettings((Settlement("solana", NODE), Settlement(SOLANA, NODE))), "named twice"),
    ],
)
def test_settings_that_mean_nothing_there(settings: FacilitatorSettings, words: str) -> None:
    """Refused, not ignored."""
    with pytest.raises(InvalidInputError, match=words):
        check_settings(settings, host_is_local=True)


def test_prices() -> None:
    """In the network's USDC, or in a mint that is named; its value is known for the former only."""
    price = shop_price(ShopTerms("https://f.example", ADDRESS, "solana"))
    assert (price.network, price.amount_micro) == (SOLANA, 10_000)
    other = shop_price(ShopTerms("https://f.example", ADDRESS, "solana", asset=ADDRESS))
    assert (other.asset, other.amount_micro) == (ADDRESS, None)
    with pytest.raises(InvalidInputError):
        shop_price(ShopTerms("https://f.example", ADDRESS, "solana", asset="0x12"))
