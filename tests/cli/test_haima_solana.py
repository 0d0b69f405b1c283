"""The commands of haima on Solana as real processes: facilitator, shop and payer, and the official Python package on either
side, over HTTP and a node that runs the real token program."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from solders.keypair import Keypair

from life.haima.x402.networks import SOLANA_DEVNET, USDC_SOLANA_DEVNET
from tests.cli.haima_commands import BIN, Daemon, Paid, finished, get_json, local_facilitator, run
from tests.cli.test_haima_facilitator_solana import start
from tests.haima.solana.kit import PAYEE, PAYER_SEED, payer, prepare
from tests.harness.process import ChildProcess
from tests.harness.solana_node import SolanaNode
from tests.peers.processes import Peer, run_client

KEY = str(Keypair.from_seed(PAYER_SEED))
GONE = 200
"""Blocks after which an old transaction is certainly too old."""


@pytest.fixture
def node() -> Iterator[SolanaNode]:
    with SolanaNode(mint=USDC_SOLANA_DEVNET.address) as running:
        prepare(running)
        yield running


def shop(facilitator: str, folder: Path, *more: str | Path, network: str = "solana-devnet") -> Daemon:
    """`haima serve` on Solana."""
    argv = ("--port", "0", "--facilitator", facilitator, "--pay-to", PAYEE, "--network", network, "--data-dir", folder)
    return Daemon.start("haima", "serve", *argv, *more)


def start_pay(url: str, state: Path, *more: str, key: str | None = KEY) -> ChildProcess:
    """`haima pay` on Solana, started."""
    argv = [BIN / "haima", "pay", url, "--network", "solana-devnet", "--state", state, *more]
    environment = {} if key is None else {"HAIMA_SOLANA_KEY": key}
    return ChildProcess.spawn([str(part) for part in argv], name="haima pay", env=environment)


def pay(url: str, state: Path, node: SolanaNode, *more: str) -> Paid:
    """`haima pay` on Solana, run to its end."""
    return finished(start_pay(url, state, "--rpc", node.url, *more))


def test_our_client_pays_our_shop(node: SolanaNode, tmp_path: Path) -> None:
    """Bought, told in one line, booked; the shop's repetition after kill -9 is the first answer, and nothing is paid twice."""
    with start(node, tmp_path / "f") as facilitator, shop(facilitator.url, tmp_path / "s") as selling:
        paid = pay(selling.url + "/paid", tmp_path / "w", node)
        assert paid.code == 0, paid.stderr
        assert (paid.line["status"], node.tokens_of(PAYEE)) == (200, 10_000)
        assert paid.transaction in node.executed
        assert "Paid 0.01 USDC" in paid.stderr
        assert KEY not in paid.stdout + paid.stderr
        assert pay(selling.url + "/free", tmp_path / "w", node).line["settlement"] is None
        selling.kill()
        selling.restart()
        again = pay(selling.url + "/paid", tmp_path / "w", node)
        assert again.code == 0
        assert node.tokens_of(PAYEE) == 20_000, "a new purchase is a new payment"
        books = run("haima", "wallet", "books", "--state", tmp_path / "w", "--json")
        assert SOLANA_DEVNET in books.stdout, books
        assert facilitator.stop() == selling.stop() == 0


def test_kill_9_at_the_payer_and_the_facilitator(node: SolanaNode, tmp_path: Path) -> None:
    """The payer dies while the transaction is under way, then the facilitator: the same command ends the purchase, with one
    transaction."""
    with start(node, tmp_path / "f") as facilitator, shop(facilitator.url, tmp_path / "s") as selling:
        node.hide = True
        with start_pay(selling.url + "/paid", tmp_path / "w", "--rpc", node.url) as paying:
            node.wait_executed(1)
            paying.kill()
        facilitator.kill()
        node.hide = False
        facilitator.restart()
        paid = pay(selling.url + "/paid", tmp_path / "w", node)
        assert paid.code == 0, paid.stderr
        assert "Took up the purchase" in paid.stderr
        assert (node.tokens_of(PAYEE), list(node.executed.values())) == (10_000, [1])


def test_kill_9_at_the_shop(node: SolanaNode, tmp_path: Path) -> None:
    """The shop dies while its settlement is under way: its next start finishes the sale, and the payer's repetition gets the
    answer that was kept. One run, one transaction."""
    with start(node, tmp_path / "f") as facilitator, shop(facilitator.url, tmp_path / "s") as selling:
        node.hide = True
        with start_pay(selling.url + "/paid", tmp_path / "w", "--rpc", node.url) as paying:
            node.wait_executed(1)
            selling.kill()
            assert paying.wait(deadline_s=30) == 1
            assert "haima.outcome_unknown" in paying.stdout()
        node.hide = False
        selling.restart()
        paid = pay(selling.url + "/paid", tmp_path / "w", node)
        assert paid.code == 0, paid
        assert get_json(selling.url + "/hits")["paid"] == 0, "it ran in the life before"
        assert (node.tokens_of(PAYEE), list(node.executed.values())) == (10_000, [1])


def test_reconcile_asks_the_chain(node: SolanaNode, tmp_path: Path) -> None:
    """A payment whose seller is gone for good is settled by `haima reconcile`, from the wallet's own history."""
    with start(node, tmp_path / "f") as facilitator, shop(facilitator.url, tmp_path / "s") as selling:
        node.hide = True
        with start_pay(selling.url + "/paid", tmp_path / "w", "--rpc", node.url) as paying:
            node.wait_executed(1)
            paying.kill()
        selling.kill()
        node.hide = False
        done = run("haima", "reconcile", "--data-dir", tmp_path / "w", "--rpc", node.url, "--json")
        assert '"settled"' in done.stdout, done


def test_a_person_approves(node: SolanaNode, tmp_path: Path) -> None:
    """Above --ask-above a payment on Solana waits in the same queue; a grant is good for one, and the books have it."""
    with start(node, tmp_path / "f") as facilitator, shop(facilitator.url, tmp_path / "s") as selling:
        asked = pay(selling.url + "/paid", tmp_path / "w", node, "--ask-above", "10")
        assert asked.error_code == "haima.needs_approval", asked
        (listed,) = run("haima", "approvals", "list", "--state", tmp_path / "w", "--json").stdout.splitlines()
        ticket = json.loads(listed)["ticket_id"]
        assert run("haima", "approvals", "approve", ticket, "--state", tmp_path / "w").code == 0
        assert node.tokens_of(PAYEE) == 0
        assert pay(selling.url + "/paid", tmp_path / "w", node, "--ask-above", "10").code == 0
        assert pay(selling.url + "/paid", tmp_path / "w", node, "--ask-above", "10", "--again").code == 1
        assert node.tokens_of(PAYEE) == 10_000
        ledger = run("haima", "ledger", "--data-dir", tmp_path / "w", "--json")
        assert (ledger.code, "10000" in ledger.stdout) == (0, True), ledger


@pytest.mark.part("x402-python")
def test_the_official_client_pays_our_shop(node: SolanaNode, tmp_path: Path) -> None:
    """PyPI x402's client, over HTTP, through our shop and our facilitator."""
    with start(node, tmp_path / "f") as facilitator, shop(facilitator.url, tmp_path / "s") as selling:
        options = {"url": selling.url + "/paid", "key": KEY, "network": SOLANA_DEVNET, "rpc": node.url}
        argv = [sys.executable, "-m", "tests.haima.solana.official_client"]
        bought = run_client([*argv, *(f"--{name}={value}" for name, value in options.items())])
        assert bought.status == 200, bought
        assert bought.transaction in node.executed
        assert (node.tokens_of(PAYEE), node.tokens_of(payer().address)) == (10_000, 990_000)


@pytest.mark.part("x402-python")
@pytest.mark.parametrize("hints", [False, True], ids=["plain", "block-in-the-terms"])
def test_we_pay_the_official_server(node: SolanaNode, tmp_path: Path, hints: bool) -> None:
    """PyPI x402's server, which asks our facilitator; also one that writes a recent block into its terms."""
    with start(node, tmp_path / "f") as facilitator:
        options = {"facilitator": facilitator.url, "pay-to": PAYEE, "network": SOLANA_DEVNET}
        if hints:
            options["rpc"] = node.url
        argv = [sys.executable, "-m", "tests.haima.solana.official_server"]
        with Peer.start([*argv, *(f"--{name}={value}" for name, value in options.items())]) as peer:
            paid = pay(peer.url + "/paid", tmp_path / "w", node)
            assert paid.code == 0, paid.stderr
            assert '"goods":"official"' in paid.stdout
            assert (paid.transaction in node.executed, node.tokens_of(PAYEE)) == (True, 10_000)


@pytest.mark.parametrize(
    ("more", "key", "words"),
    [
        (("--rpc", "NODE"), None, "HAIMA_SOLANA_KEY"),
        ((), KEY, "a node"),
        (("--rpc", "NODE", "--key", "0x" + "37" * 32), None, "not taken from the command line"),
        (("--rpc", "NODE"), "0x" + "37" * 32, "neither base58 nor"),
    ],
)
def test_what_paying_refuses(
    node: SolanaNode, tmp_path: Path, more: tuple[str, ...], key: str | None, words: str
) -> None:
    """One sentence with the next step, before anything is sent."""
    options = [node.url if part == "NODE" else part for part in more]
    ended = finished(start_pay("http://127.0.0.1:9/paid", tmp_path / "w", *options, key=key))
    assert ended.code == 1
    assert words in ended.stderr
    assert key is None or key not in ended.stderr


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--pay-to", "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"), "no Solana address"),
        (("--accept-v1",), "Version 1"),
        (("--token-name", "USD Coin"), "no EIP-712 domain"),
        (("--realm", "shop.example"), "Machine Payments Protocol"),
    ],
)
def test_what_selling_refuses(tmp_path: Path, more: tuple[str, ...], words: str) -> None:
    """What Solana has no word for is said, not ignored."""
    argv = ("--port", "0", "--facilitator", "http://127.0.0.1:9", "--pay-to", PAYEE, "--network", "solana-devnet")
    ended = run("haima", "serve", *argv, "--data-dir", tmp_path, *more)
    assert ended.code == 1
    assert words in ended.stderr


def test_a_shop_waits_for_its_facilitators_word(node: SolanaNode, tmp_path: Path) -> None:
    """Without its fee payer nobody can be asked for money: 503 until it answers. One that does not settle there is refused."""
    with start(node, tmp_path / "f") as facilitator:
        facilitator.kill()
        with shop(facilitator.url, tmp_path / "s") as selling:
            assert pay(selling.url + "/paid", tmp_path / "w", node).line["status"] == 503
            facilitator.restart()
            deadline = 20
            while (paid := pay(selling.url + "/paid", tmp_path / "w", node)).code != 0 and deadline:
                deadline -= 1
            assert paid.code == 0, paid
    with local_facilitator(tmp_path / "l") as facilitator:
        assert get_json(facilitator.url + "/health")["status"] == "ok"
        argv = ("--port", "0", "--facilitator", facilitator.url, "--pay-to", PAYEE, "--network", "solana-devnet")
        ended = run("haima", "serve", *argv, "--data-dir", tmp_path / "s2")
        assert (ended.code, "does not settle" in ended.stderr) == (1, True)
