"""The credit example, run as it stands."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.harness.process import ChildProcess

EXAMPLE = Path(__file__).parents[2] / "examples" / "credit_line.py"


def test_the_example_lends_and_is_repaid() -> None:
    """Score, line, a draw that is done once, exact interest, a repayment, a report that verifies."""
    with ChildProcess.spawn([sys.executable, EXAMPLE]) as running:
        assert running.wait() == 0, running.stderr()
        assert running.stdout().splitlines() == [
            "score 0.920000, tier premium, limit 10000000 micro-USD",
            "line active, drew 10000000, 0 left",
            "the same draw again: repeated True, owed 10000000",
            "after 30 days: 10041068 owed, at least 541068 due",
            "repaid: interest 41068, principal 500000",
            "signed report: risk medium, flags high_utilization",
        ]
