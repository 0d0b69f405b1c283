"""Acceptance 4 with real processes: a journal that `kill -9` left at any event of a run of fifteen tools always resumes to the same end,
and no effect is repeated (arcan.md §17.4; performance.md §8.3).

The run has everything in it that can be open when a process dies: calls that can be probed and calls that can't, parallel calls,
approvals (one edited, one for the session), a message that waits, thoughts, a compaction, a subagent. Every process that takes it up is
killed, too, before a last one finishes it. (`test_crash.py` does the same before and after every append, in one process.)
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SAME_AS_EVER = {
    "answer": "The message, too.",
    "files": {"a.txt": "two", "b.txt": "bee", "c.txt": "sea", "d.txt": "dee", "log.txt": "l1\nl2\nl3\n"},
    "effects": sorted(
        [
            *("write:a.txt=one", "write:a.txt=two", "write:b.txt=bee", "write:c.txt=sea", "write:d.txt=dee"),
            *("append:l1", "append:l2", "append:l3", "sign:better", "sign:second", "sign:third"),
            *["transfer"] * 3,
        ]
    ),
    "repeated": [],
    "runs": 2,
    "children": 1,
    "sessions": 2,
    "approvals": 2,
    "compactions": 1,
    "open": [],
    "queue": 0,
    "rules": 1,
    "thoughts": [f"thought {place}" for place in range(10)],
}


def ends(root: Path, *, first: int, step: int) -> list[dict[str, object]]:
    """Kill at these events, each time in fresh processes; what came of each."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.arcan.kill_program", str(root), str(first), str(step)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def judge(found: list[dict[str, object]]) -> None:
    """Each end is the same; each but the last is of a run that was killed, and most of them twice."""
    *killed, whole = found
    assert (whole["died"], whole["recovered"]) == (0, False)
    assert all(end["died"] == -9 for end in killed)
    assert sum(end["again"] == -9 for end in killed) >= len(killed) * 2 // 3
    for end in found:
        assert {name: end[name] for name in SAME_AS_EVER} == SAME_AS_EVER, end["at"]


def test_killed_here_and_there(tmp_path: Path) -> None:
    """A sample of the events, so that the quick suite has one: nine or more of them, spread over the run."""
    found = ends(tmp_path, first=7, step=17)
    assert len(found) > 6
    judge(found)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_every_event(tmp_path: Path) -> None:
    """Every single event, the first and the last included."""
    found = ends(tmp_path, first=1, step=1)
    assert len(found) > 100
    judge(found)
