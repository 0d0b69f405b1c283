"""kill -9 at every commit between a message and its answer: no task is lost, none is worked twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]


def run(folder: Path, number: int) -> subprocess.CompletedProcess[str]:
    """One life of the agent."""
    command = [sys.executable, "-m", "tests.spaces.a2a.crash_process", str(folder), str(number)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.slow
def test_a_task_survives_kill_9_at_every_commit(tmp_path: Path) -> None:
    """After each: one task, one session, one effect, COMPLETED, with its artifact."""
    number = 1
    while True:
        folder = tmp_path / str(number)
        folder.mkdir()
        first = run(folder, number)
        if first.returncode == 0:
            break  # it took fewer commits than that
        assert first.returncode == -signal.SIGKILL, first.stderr
        second = run(folder, 0)
        assert second.returncode == 0, second.stderr
        seen: dict[str, Any] = json.loads(second.stdout.splitlines()[-1])
        assert seen["task"]["status"]["state"] == "TASK_STATE_COMPLETED", (number, seen)
        assert seen["task"]["artifacts"][0]["parts"][0]["text"] == "It is transferred."
        assert seen["tasks"] == seen["sessions"] == 1
        assert len(set(seen["effects"])) == len(seen["effects"]) == 1, (number, seen["effects"])
        number += 1
    assert number >= 6
