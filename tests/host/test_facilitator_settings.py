"""A facilitator's settings: what a file says, and what is refused because it could cost money."""

from __future__ import annotations

from pathlib import Path

import pytest

from life.aios.errors import InvalidInputError
from life.host.facilitator_settings import (
    FacilitatorSettings,
    Settlement,
    check_settings,
    pair_networks,
    read_settings,
)
from tests.harness.anvil import ACCOUNTS

OWN_KEY = "0x" + "37" * 32
SECRET_RPC = "https://rpc.example.com/v3/project-key-5"


def _write(folder: Path, text: str) -> Path:
    path = folder / "facilitator.toml"
    path.write_text(text)
    return path


def test_a_whole_file(tmp_path: Path) -> None:
    """Every setting is read; nodes come from the file or from the environment; the key goes to those with a node."""
    path = _write(
        tmp_path,
        """
        fee_bps = 10
        rate_per_minute = 100
        burst = 7
        public_metrics = true

        [[network]]
        network = "base"
        rpc_env = "BASE_RPC_URL"
        max_fee_gwei = 5
        confirmations = 2
        final_depth = 20
        wallet_factories = ["0x70997970C51812dc3A010C7d01b50e0d17dc79C8"]

        [[network]]
        network = "local"
        """,
    )
    settings = read_settings(path, key=OWN_KEY, environment={"BASE_RPC_URL": SECRET_RPC})
    assert settings == FacilitatorSettings(
        (
            Settlement(
                "base",
                SECRET_RPC,
                OWN_KEY,
                max_fee_gwei=5,
                confirmations=2,
                final_depth=20,
                wallet_factories=(ACCOUNTS[1].address,),
            ),
            Settlement("local"),
        ),
        fee_bps=10,
        rate_per_minute=100,
        burst=7,
        public_metrics=True,
    )
    check_settings(settings, host_is_local=False)


@pytest.mark.parametrize(
    "text",
    [
        "fees = 3",
        "[[network]]\nnetwork = 'base'\nurl = 'https://x'",
        "fee_bps = 'much'",
        "",
        "[[network]]\nnetwork = 'base'\nrpc = 'https://a'\nrpc_env = 'B'",
        "[[network]]\nnetwork = 'base'\nrpc_env = 'NOT_SET'",
        "not toml",
    ],
)
def test_files_that_can_not_be_meant(tmp_path: Path, text: str) -> None:
    """Unknown keys, wrong types, no network, two nodes, a variable that is not set: one sentence each, no traceback."""
    with pytest.raises(InvalidInputError):
        read_settings(_write(tmp_path, text), key=None, environment={})


def test_missing_files(tmp_path: Path) -> None:
    """A file that is not there is said to be so."""
    with pytest.raises(InvalidInputError, match="can't be read"):
        read_settings(tmp_path / "no.toml", key=None)


def test_networks_and_nodes_come_in_pairs() -> None:
    """The first --rpc belongs to the first --network; without any there is play money."""
    paired = pair_networks(("base", "base-sepolia"), ("https://a", "https://b"), key=OWN_KEY)
    assert [(each.network, each.rpc_url, each.key) for each in paired] == [
        ("base", "https://a", OWN_KEY),
        ("base-sepolia", "https://b", OWN_KEY),
    ]
    assert pair_networks((), (), key=None) == (Settlement("local"),)
    with pytest.raises(InvalidInputError, match="one --rpc for each"):
        pair_networks(("base", "base-sepolia"), ("https://a",), key=None)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (FacilitatorSettings((Settlement("base", "http://rpc.example.com/v3/project-key-5", OWN_KEY),)), "plain HTTP"),
        (FacilitatorSettings((Settlement("base", SECRET_RPC, ACCOUNTS[0].key),)), "everybody knows"),
        (FacilitatorSettings((Settlement("base", SECRET_RPC, OWN_KEY), Settlement("eip155:8453"))), "named twice"),
        (FacilitatorSettings((Settlement("local"),), rate_per_minute=0), "rate limit"),
        (FacilitatorSettings((Settlement("local"),), burst=0), "burst"),
        (FacilitatorSettings((Settlement("local", max_fee_gwei=0),)), "at least 1"),
        (FacilitatorSettings((Settlement("local", wallet_factories=("0x12",)),)), "wallet factory"),
        (FacilitatorSettings((Settlement("bitcoin"),)), "no EVM network"),
    ],
)
def test_what_is_refused(settings: FacilitatorSettings, words: str) -> None:
    """Settings that would put money at risk or can't work; no sentence shows a key or a node's address."""
    with pytest.raises(InvalidInputError) as refused:
        check_settings(settings, host_is_local=False)
    said = str(refused.value) + str(refused.value.next_step)
    assert words in said
    for secret in (OWN_KEY[2:], ACCOUNTS[0].key[2:], "project-key-5"):
        assert secret not in said


def test_what_is_fine_on_this_machine() -> None:
    """Development keys on test networks and on nodes of this machine's own chains, no limit for oneself."""
    settings = FacilitatorSettings(
        (Settlement("base-sepolia", "http://127.0.0.1:8545", ACCOUNTS[0].key), Settlement("local")), rate_per_minute=0
    )
    check_settings(settings, host_is_local=True)
