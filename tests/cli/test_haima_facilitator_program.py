"""`haima facilitator` as one would run it for others: several networks, metrics, readiness, limits, what it refuses."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import msgspec
import pytest

from tests.cli.haima_commands import BIN, Daemon, Line, get_json, local_facilitator, run
from tests.haima.test_facilitator_evm import Bench
from tests.harness.anvil import BASE, BASE_SEPOLIA, FACILITATOR, PAYER
from tests.harness.fixtures import StartChain, start_chain
from tests.harness.process import ChildProcess
from tests.harness.rpc_counter import RpcCounter

__all__ = ["start_chain"]

OWN_KEY = "0x" + "37" * 32


def fetch(url: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> tuple[int, str]:
    """Status and text of a GET, or of a POST when there is a body."""
    request = urllib.request.Request(url, body, headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def test_metrics_readiness_and_limits(tmp_path: Path) -> None:
    """Ready and counted; behind a proxy each client has its limit, and /metrics is for this machine only."""
    with local_facilitator(tmp_path / "f", "--proxy-host", "pay.example", "--rate", "1") as daemon:
        assert get_json(daemon.url + "/ready") == {"ready": True, "networks": {"eip155:84532": "ready"}}
        status, _ = fetch(daemon.url + "/verify", body=b"{}")
        assert status == 400
        metrics = fetch(daemon.url + "/metrics")[1]
        assert "# TYPE haima_facilitator_settlements_total counter" in metrics
        assert 'haima_facilitator_ready{network="eip155:84532"} 1' in metrics
        assert "haima_facilitator_open_settlements 0" in metrics
        stranger = {"X-Forwarded-For": "203.0.113.9"}
        assert fetch(daemon.url + "/metrics", stranger)[0] == 404
        statuses = [fetch(daemon.url + "/supported", stranger)[0] for _ in range(203)]
        assert statuses == [200] * 200 + [429] * 3
        assert fetch(daemon.url + "/supported", {"X-Forwarded-For": "203.0.113.10"})[0] == 200
        assert fetch(daemon.url + "/health", stranger)[0] == 200
        assert "haima_facilitator_rate_limited_total 3" in fetch(daemon.url + "/metrics")[1]
        assert daemon.stop() == 0


def test_json_for_programs(tmp_path: Path) -> None:
    """With --json the start is one line that a program reads."""
    argv = [str(BIN / "haima"), "facilitator", "--port", "0", "--json"]
    with ChildProcess.spawn([*argv, "--data-dir", str(tmp_path / "f"), "--fee-bps", "15"], name="facilitator") as child:
        line = json.loads(child.wait_for_line(r"^(\{.*\})$", deadline_s=30)[1])
        assert (line["fee_bps"], line["networks"][0]["node"], line["open_settlements"]) == (15, None, 0)
        kinds = get_json(line["address"] + "/supported")["kinds"]
        assert isinstance(kinds, list)
        assert kinds[0]["extra"] == {"facilitatorFeeBps": 15, "facilitatorFeeCollection": "invoice"}


@pytest.mark.slow
@pytest.mark.part("anvil", "solc")
async def test_several_networks_in_one_process(tmp_path: Path, start_chain: StartChain) -> None:
    """Two chains and play money from one file: each kind is offered, each payment settles on its own chain, and a chain
    whose node is gone makes /ready say so while the other goes on settling."""
    sepolia, base = start_chain(BASE_SEPOLIA), start_chain(BASE)
    sepolia.mint(PAYER.address, 1_000_000)
    with RpcCounter(sepolia.url) as counter, Line(base.url) as line:
        config = tmp_path / "facilitator.toml"
        config.write_text(
            f'[[network]]\nnetwork = "base-sepolia"\nrpc_env = "SEPOLIA_RPC"\n'
            f'[[network]]\nnetwork = "base"\nrpc = "{line.url}"\n[[network]]\nnetwork = "local"\n'
        )
        base.set_balance("0x" + "00" * 20, 0)
        environment = {"HAIMA_PRIVATE_KEY": OWN_KEY, "SEPOLIA_RPC": counter.url}
        started = Daemon.start(
            "haima", "facilitator", "--port", "0", "--config", config, "--data-dir", tmp_path / "f", env=environment
        )
        with started as daemon:
            kinds = get_json(daemon.url + "/supported")["kinds"]
            assert isinstance(kinds, list)
            networks = {kind["network"] for kind in kinds if kind["x402Version"] == 2}
            assert networks == {"eip155:84532", "eip155:8453", "eip155:4020402"}
            status, text = fetch(daemon.url + "/ready")
            assert (status, json.loads(text)["networks"]["eip155:4020402"]) == (503, "ready")
            assert "empty" in json.loads(text)["networks"]["eip155:8453"]
            signers = get_json(daemon.url + "/supported")["signers"]
            assert isinstance(signers, dict)
            (account,) = signers["eip155:*"]
            sepolia.set_balance(account, 10**18)
            bench = Bench(sepolia, counter)
            payment = bench.payment(1)
            body = {
                "x402Version": 2,
                "paymentPayload": json.loads(msgspec.json.encode(payment)),
                "paymentRequirements": json.loads(bytes(payment.accepted)),
            }
            status, text = fetch(
                daemon.url + "/settle", {"Content-Type": "application/json"}, json.dumps(body).encode()
            )
            assert json.loads(text)["success"] is True, text
            assert sepolia.transaction_count(FACILITATOR.address) == 0, "its own key paid"
            assert OWN_KEY[2:] not in daemon.process.stdout() + daemon.process.stderr()


@pytest.mark.parametrize(
    ("argv", "env", "words"),
    [
        (("--network", "base", "--rpc", "http://203.0.113.1:8545"), {"HAIMA_PRIVATE_KEY": OWN_KEY}, "plain HTTP"),
        (
            ("--network", "base", "--rpc", "https://203.0.113.1"),
            {"HAIMA_PRIVATE_KEY": FACILITATOR.key},
            "everybody knows",
        ),
        (("--network", "base", "--network", "base-sepolia", "--rpc", "http://127.0.0.1:9"), {}, "one --rpc for each"),
        (("--rate", "0", "--proxy-host", "pay.example"), {}, "rate limit"),
        (("--config", "/nonexistent.toml"), {}, "can't be read"),
    ],
)
def test_unsafe_settings_do_not_start(tmp_path: Path, argv: tuple[str, ...], env: dict[str, str], words: str) -> None:
    """One sentence and a code, and no key in it."""
    ended = run("haima", "facilitator", "--port", "0", "--data-dir", tmp_path / "f", *argv, env=env)
    assert ended.code == 1
    assert words in ended.stderr
    assert OWN_KEY[2:] not in ended.stderr
