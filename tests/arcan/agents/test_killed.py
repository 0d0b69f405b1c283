"""A process with a fleet, killed for real (arcan.md §17.4, §17.14)."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def process(folder: Path, when: str, number: int) -> subprocess.CompletedProcess[str]:
    """One life of the process."""
    command = [sys.executable, "-m", "tests.arcan.agents.fleet_process", str(folder), when, str(number)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_within_a_childs_tool_and_again_while_it_is_taken_up(tmp_path: Path, when: str) -> None:
    """Killed at every one of its four effects in turn, each life a new process: in the end one answer, five sessions, and each
    transfer once."""
    for number in (1, 2, 3, 4):
        folder = tmp_path / str(number)
        folder.mkdir()
        for died_at in (number, 1):
            died = process(folder, when, died_at)
            assert died.returncode == -signal.SIGKILL, died.stderr
            if (folder / "effects.log").exists() and len((folder / "effects.log").read_text().splitlines()) == 4:
                break
        last = process(folder, when, 99)
        assert last.stdout.strip() == "All done. 5", last.stderr
        effects = (folder / "effects.log").read_text().splitlines()
        assert len(effects) == len(set(effects)) == 4
