"""The two payment examples, run as they stand, against each other and a facilitator with play money."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.cli.haima_commands import Daemon, finished, ledger_balance_on, pay
from tests.harness.anvil import ACCOUNTS
from tests.harness.process import ChildProcess
from tests.peers.processes import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
BUYER, SELLER = ACCOUNTS[3], ACCOUNTS[1]
FUNDED = 10_000_000_000


@pytest.mark.slow
def test_the_examples_sell_and_buy(tmp_path: Path) -> None:
    """The FastAPI application charges, the httpx2 program pays, and the money has moved; the index stays free."""
    ledger = tmp_path / "ledger"
    with Daemon.start("haima", "facilitator", "--port", "0", "--data-dir", ledger) as facilitator:
        port = str(free_port())
        env = {"FACILITATOR": facilitator.url, "PORT": port, "SHOP_DIRECTORY": str(tmp_path / "shop")}
        program = [sys.executable, EXAMPLES / "charge_in_fastapi.py"]
        with ChildProcess.spawn([str(part) for part in program], env=env) as selling:
            _wait_for_words(selling, "Uvicorn running on")
            url = f"http://127.0.0.1:{port}"
            wallet = {"HAIMA_PRIVATE_KEY": BUYER.key, "WALLET_DIRECTORY": str(tmp_path / "wallet")}
            buying = [sys.executable, str(EXAMPLES / "pay_with_httpx2.py"), f"{url}/report"]
            bought = finished(ChildProcess.spawn(buying, env=wallet))
            assert bought.code == 0, bought
            assert bought.stdout.startswith('200 {"report":"All is well."} local:')
            assert BUYER.key[2:] not in bought.stdout + bought.stderr
            free = pay(url, BUYER, tmp_path / "w", network="local")
            assert (free.code, free.line["settlement"]) == (0, None)
        assert ledger_balance_on("eip155:4020402", ledger, SELLER.address) == FUNDED + 10_000
        assert ledger_balance_on("eip155:4020402", ledger, BUYER.address) == FUNDED - 10_000


def _wait_for_words(process: ChildProcess, words: str) -> None:
    """Uvicorn says on standard error when it answers."""
    deadline = time.monotonic() + 30
    while words not in process.stderr():
        assert process.is_running, process.stderr()
        assert time.monotonic() < deadline
        time.sleep(0.02)
