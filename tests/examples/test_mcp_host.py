"""The MCP example, run as it stands."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.harness.process import ChildProcess

EXAMPLE = Path(__file__).parents[2] / "examples" / "mcp_host.py"


@pytest.mark.slow
def test_the_example_uses_a_server_and_is_one() -> None:
    """Nothing before acceptance, an approval before the call, and another host sees only what changes nothing."""
    with ChildProcess.spawn([sys.executable, EXAMPLE]) as running:
        assert running.wait() == 0, running.stderr()
        assert running.stdout().splitlines() == [
            "before a person accepts it: []",
            "after: ['mcp__weather__forecast']",
            "the policy asks about mcp__weather__forecast {'city': 'Oslo'}",
            "agent: Sun over Oslo tomorrow; the plan is in plan.txt.",
            "offered to other hosts: read_file True · write_file False",
            "list_dir over MCP is an error: False",
            "sessions in the journal: ['mcp-local-1', 'trip']",
        ]
