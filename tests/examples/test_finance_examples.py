"""The examples of outcomes and insurance, run as they stand."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.harness.process import ChildProcess

EXAMPLES = Path(__file__).parents[2] / "examples"


def lines(name: str) -> list[str]:
    """What an example prints."""
    with ChildProcess.spawn([sys.executable, EXAMPLES / name]) as running:
        assert running.wait() == 0, running.stderr()
        return running.stdout().splitlines()


def test_work_is_paid_for_by_its_outcome() -> None:
    """The good result is paid, the bad one is refunded, asking again changes nothing, and the books balance."""
    assert lines("outcome_contract.py") == [
        "good: 1660000 micro-credits are put aside",
        "good: success, paid; asked again: paid",
        "bad: 1660000 micro-credits are put aside",
        "bad: failure, refunded; asked again: refunded",
        "worker has 1660000",
        "customer has 8340000",
        "all accounts of the books together: 0",
    ]


def test_a_claim_is_paid_when_the_journal_bears_it_out() -> None:
    """The true claim is paid once, the invented one is not, and the sums are right."""
    told = lines("insured_task.py")
    assert told[1:3] == [
        "true claim: paid, 900000; asked again: 900000",
        "invented claim: denied, 0; asked again: 0",
    ]
    premium = int(told[0].split("premium ")[1].split(",")[0])
    assert told[3] == f"worker has {1_900_000 - premium}: 1000000 - {premium} + 900000"
