"""`haima facilitator` on Solana and its catalogue, as real processes over a node that runs the real token program."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from solders.keypair import Keypair

from life.haima.x402.bazaar import Discovery, declare_route
from life.haima.x402.networks import SOLANA_DEVNET, USDC_SOLANA_DEVNET
from life.haima.x402.wire import PaymentPayload, to_raw
from tests.cli.haima_commands import Daemon, get_json, local_facilitator, run
from tests.cli.test_haima_facilitator_program import fetch
from tests.haima.solana.kit import FEE_SEED, PAYEE, fee_payer, pay, payer, prepare, terms
from tests.harness.solana_node import SolanaNode

KEY = str(Keypair.from_seed(FEE_SEED))
"""Base58 of 64 bytes, as wallets export it."""
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def node() -> Iterator[SolanaNode]:
    with SolanaNode(mint=USDC_SOLANA_DEVNET.address) as running:
        prepare(running)
        yield running


def start(node: SolanaNode, folder: Path, *more: str | Path, key: str = KEY) -> Daemon:
    """The program on this node."""
    argv = ("--port", "0", "--network", "solana-devnet", "--rpc", node.url, "--data-dir", folder, *more)
    return Daemon.start("haima", "facilitator", *argv, env={"HAIMA_SOLANA_KEY": key})


def body_of(payment: PaymentPayload) -> bytes:
    """What a seller sends to /verify and /settle."""
    return json.dumps(
        {
            "x402Version": 2,
            "paymentPayload": json.loads(msgspec.json.encode(payment)),
            "paymentRequirements": json.loads(bytes(payment.accepted)),
        }
    ).encode()


async def test_it_settles_on_solana_once(node: SolanaNode, tmp_path: Path) -> None:
    """/supported names the fee payer, /ready and /metrics know its account; a payment settles, and again after kill -9 the
    same one has the same answer and moves nothing."""
    payment = await pay(node, terms(node))
    with start(node, tmp_path) as daemon:
        supported = get_json(daemon.url + "/supported")
        assert supported["kinds"] == [
            {"x402Version": 2, "scheme": "exact", "network": SOLANA_DEVNET, "extra": {"feePayer": fee_payer().address}}
        ]
        assert supported["signers"] == {"solana:*": [fee_payer().address]}
        assert get_json(daemon.url + "/ready") == {"ready": True, "networks": {SOLANA_DEVNET: "ready"}}
        assert json.loads(fetch(daemon.url + "/verify", JSON, body_of(payment))[1])["isValid"] is True
        settled = json.loads(fetch(daemon.url + "/settle", JSON, body_of(payment))[1])
        assert settled["success"] is True, settled
        assert (node.tokens_of(PAYEE), node.tokens_of(payer().address)) == (10_000, 990_000)
        metrics = fetch(daemon.url + "/metrics")[1]
        assert f'haima_facilitator_settlements_total{{network="{SOLANA_DEVNET}",reason="ok"}} 1' in metrics
        assert f'haima_facilitator_fee_balance_lamports{{network="{SOLANA_DEVNET}",account=' in metrics
        daemon.kill()
        daemon.restart()
        assert json.loads(fetch(daemon.url + "/settle", JSON, body_of(payment))[1]) == settled
        assert node.tokens_of(PAYEE) == 10_000
        refused = json.loads(fetch(daemon.url + "/verify", JSON, body_of(payment))[1])
        assert refused["isValid"] is False
        assert KEY not in daemon.process.stdout() + daemon.process.stderr()


async def test_kill_9_between_sending_and_the_answer(node: SolanaNode, tmp_path: Path) -> None:
    """What was sent and not told is found by the next start, and the seller's repetition gets it."""
    payment = await pay(node, terms(node))
    node.hide = True
    with start(node, tmp_path) as daemon:
        asking = threading.Thread(target=lambda: _ask(daemon.url, payment))
        asking.start()
        node.wait_executed(1)
        daemon.kill()
        asking.join()
        node.hide = False
        daemon.restart()
        settled = json.loads(fetch(daemon.url + "/settle", JSON, body_of(payment))[1])
        assert settled["success"] is True
        assert node.tokens_of(PAYEE) == 10_000
        assert list(node.executed.values()) == [1]


async def test_evm_and_solana_in_one_process(node: SolanaNode, tmp_path: Path) -> None:
    """From one file: play money on the local ledger beside Solana; each payment goes to its own network."""
    config = tmp_path / "facilitator.toml"
    config.write_text(
        '[[network]]\nnetwork = "solana-devnet"\nrpc_env = "SOLANA_RPC"\n[[network]]\nnetwork = "local"\n'
    )
    key = json.dumps(list(bytes(Keypair.from_seed(FEE_SEED))))
    environment = {"HAIMA_SOLANA_KEY": key, "SOLANA_RPC": node.url}
    with Daemon.start(
        "haima", "facilitator", "--port", "0", "--config", config, "--data-dir", tmp_path / "f", env=environment
    ) as daemon:
        kinds = get_json(daemon.url + "/supported")["kinds"]
        assert isinstance(kinds, list)
        assert {kind["network"] for kind in kinds if kind["x402Version"] == 2} == {SOLANA_DEVNET, "eip155:4020402"}
        payment = await pay(node, terms(node))
        assert json.loads(fetch(daemon.url + "/settle", JSON, body_of(payment))[1])["success"] is True
        elsewhere = json.loads(body_of(payment))
        for part in (elsewhere["paymentRequirements"], elsewhere["paymentPayload"]["accepted"]):
            part["network"] = "eip155:1"
        refused = json.loads(fetch(daemon.url + "/settle", JSON, json.dumps(elsewhere).encode())[1])
        assert (refused["success"], refused["errorReason"]) == (False, "invalid_network")
        node.down = True
        assert json.loads(fetch(daemon.url + "/supported")[1])["kinds"] == kinds


@pytest.mark.parametrize(
    ("more", "key", "words"),
    [
        ((), "", "HAIMA_SOLANA_KEY"),
        ((), "0x" + "37" * 32, "neither base58 nor"),
        ((), "[1, 2, 3]", "32 bytes"),
        (("--fee-bps", "10"), KEY, "No fee is recorded"),
        (("--max-fee-gwei", "10"), KEY, "mean nothing on Solana"),
        (("--fund", "x=1"), KEY, "address"),
    ],
)
def test_what_it_refuses(node: SolanaNode, tmp_path: Path, more: tuple[str, ...], key: str, words: str) -> None:
    """One sentence; the key in none."""
    argv = ("--port", "0", "--network", "solana-devnet", "--rpc", node.url, "--data-dir", str(tmp_path), *more)
    ended = run("haima", "facilitator", *argv, env={"HAIMA_SOLANA_KEY": key})
    assert ended.code == 1
    assert words in ended.stderr
    assert not key or key not in ended.stderr


def test_a_node_of_another_network_is_refused(tmp_path: Path) -> None:
    """The genesis hash says which network it is."""
    with SolanaNode(genesis="5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d") as node:
        argv = ("--port", "0", "--network", "solana-devnet", "--rpc", node.url, "--data-dir", tmp_path)
        ended = run("haima", "facilitator", *argv, env={"HAIMA_SOLANA_KEY": KEY})
    assert ended.code == 1
    assert "serves solana:5eykt4" in ended.stderr


async def test_what_settled_is_listed(node: SolanaNode, tmp_path: Path) -> None:
    """A payment that says how its resource is called puts it into the catalogue when it settles, and the answer says so; the
    catalogue is still there after kill -9."""
    declared = declare_route(Discovery(query={"city": "Oslo"}), method="GET", template=None, path_params={})
    payment = msgspec.structs.replace(
        await pay(node, terms(node)),
        resource=to_raw({"url": "https://weather.example/now", "description": "The weather"}),
        extensions=to_raw({"bazaar": declared}),
    )
    with start(node, tmp_path) as daemon:
        fetch(daemon.url + "/verify", JSON, body_of(payment))
        assert get_json(daemon.url + "/discovery/resources")["items"] == [], "a check lists nobody"
        settled = json.loads(fetch(daemon.url + "/settle", JSON, body_of(payment))[1])
        assert settled["extensions"] == {"bazaar": {"status": "success"}}
        daemon.kill()
        daemon.restart()
        found = get_json(daemon.url + "/discovery/search?query=weather")["resources"]
        assert isinstance(found, list)
        assert [entry["resource"] for entry in found] == ["https://weather.example/now"]
        assert found[0]["accepts"][0]["network"] == SOLANA_DEVNET


def test_the_catalogue_is_open_and_limited(tmp_path: Path) -> None:
    """/discovery answers everybody, and counts against a client's limit."""
    with local_facilitator(tmp_path / "f", "--proxy-host", "pay.example", "--rate", "1") as daemon:
        page = get_json(daemon.url + "/discovery/resources")
        assert (page["items"], page["pagination"]) == ([], {"limit": 20, "offset": 0, "total": 0})
        assert get_json(daemon.url + "/discovery/search?query=weather")["resources"] == []
        assert fetch(daemon.url + "/discovery/search")[0] == 400
        assert "bazaar" in json.dumps(get_json(daemon.url + "/supported"))
        stranger = {"X-Forwarded-For": "203.0.113.9"}
        statuses = {fetch(daemon.url + "/discovery/resources", stranger)[0] for _ in range(203)}
        assert statuses == {200, 429}


def _ask(url: str, payment: PaymentPayload) -> None:
    try:
        fetch(url + "/settle", JSON, body_of(payment))
    except OSError:
        pass  # it was killed
