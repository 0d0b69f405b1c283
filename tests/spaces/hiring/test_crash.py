"""kill -9 at every step of a hire, on every side: nobody pays twice, no escrow is lost, nothing is delivered twice."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.harness.process import ChildProcess


def deaths(folder: Path, story: str, first: int, stride: int) -> int:
    """After how many deaths all was well."""
    command = [sys.executable, "-m", "tests.spaces.hiring.crash_process", str(folder), story, str(first), str(stride)]
    with ChildProcess.spawn(command, cwd=Path(__file__).parents[3]) as process:
        assert process.wait(deadline_s=110) == 0, process.stdout() + process.stderr()
        return int(process.stdout().split()[-1])


def test_some_deaths_in_the_middle_of_a_hire(tmp_path: Path) -> None:
    """A few steps of a hire that is paid and cashed out: at its deposit, its delivery, its payout."""
    assert deaths(tmp_path, "accepted", 8, 19) >= 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("story", "first", "least"),
    [
        ("accepted", 1, 25),
        ("accepted", 2, 25),
        ("rejected", 2, 18),
        ("declined", 2, 15),
    ],
)
def test_a_death_at_every_step(story: str, first: int, least: int, tmp_path: Path) -> None:
    """Before (the odd steps) and after (the even ones) every batch of events in the customer's, the worker's and the house's journals, and
    every command into Spaces: played again under the same ids the story ends the same, and wallets, accounts, escrow and the ledger agree
    to the micro-credit."""
    assert deaths(tmp_path, story, first, 2) >= least
