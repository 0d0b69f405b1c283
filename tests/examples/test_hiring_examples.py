"""The hiring examples, run as they stand: offline on the local ledger, and on a chain."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.harness.anvil import PAYER, Anvil
from tests.harness.process import ChildProcess

EXAMPLES = Path(__file__).parents[2] / "examples"
TWO = [
    "Ada's wallet has 1000000 micro-USDC",
    "Ben says: good day",
    "Ben's account at the house has 250000 micro-USDC",
    "Ada's wallet has 750000 micro-USDC; trust in the other: 550000",
    "Ben's wallet has 250000 micro-USDC; trust in the other: 550000",
    "the house's books: all accounts together 0; owed 0, in the wallet 0",
]
FIVE = [
    "ben: paid, 100000 paid, 0 back",
    "cleo: paid, 120000 paid, 0 back",
    "dan: rejected, 0 paid, 90000 back",
    "eve: late, 0 paid, 150000 back",
    "ben's wallet has 100000 micro-USDC",
    "cleo's wallet has 120000 micro-USDC",
    "dan's wallet has 0 micro-USDC",
    "eve's wallet has 0 micro-USDC",
    "ada's wallet has 780000 micro-USDC again, 240000 of it refunds",
    "ada's trust after 3 verified hires: [400000, 550000, 550000]",
    "the house's books: all accounts together 0; owed 0, in the wallet 0",
]


def told(name: str, folder: Path, *arguments: str, url: str = "") -> list[str]:
    """What the example prints."""
    environment = {"LIFE_KEY_FILE": str(folder / "keys" / "key"), "ANVIL_URL": url}
    with ChildProcess.spawn([sys.executable, str(EXAMPLES / name), *arguments], cwd=folder, env=environment) as process:
        assert process.wait(deadline_s=100) == 0, process.stderr()
        return process.stdout().splitlines()


@pytest.mark.slow
def test_one_agent_hires_another(tmp_path: Path) -> None:
    """Found, hired, delivered, accepted, rated, paid out; both trust each other more, and the books balance."""
    assert told("hire_two.py", tmp_path) == TWO


@pytest.mark.slow
def test_one_agent_hires_four(tmp_path: Path) -> None:
    """Two are paid, one's work is rejected, one is late and never took the hire on, which says nothing about it."""
    assert told("hire_five.py", tmp_path) == FIVE


@pytest.mark.slow
@pytest.mark.part("anvil")
@pytest.mark.parametrize(("name", "said"), [("hire_two.py", TWO), ("hire_five.py", FIVE)])
def test_the_same_on_a_chain(tmp_path: Path, name: str, said: list[str]) -> None:
    """The same stories, with USDC on anvil: deposits and payouts are transfers that the chain knows."""
    with Anvil.start() as chain:
        chain.etch_contracts()
        chain.mint(PAYER.address, 5_000_000)
        assert told(name, tmp_path, "--chain", "anvil", url=chain.url) == said
