"""The example of a session as a test, and the first program of docs/branches.md, run as they stand."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tests.harness.process import ChildProcess

ROOT = Path(__file__).parents[2]


def output(program: Path, folder: Path) -> str:
    """What the program prints, run in a folder of its own, offline and without a key."""
    with ChildProcess.spawn(
        [sys.executable, str(program)], cwd=folder, env={"LIFE_KEY_FILE": str(folder / "keys" / "key")}
    ) as process:
        assert process.wait(deadline_s=30) == 0, process.stderr()
        assert process.stderr() == ""
        return process.stdout()


def test_the_example_records_and_replays(tmp_path: Path) -> None:
    """It writes a recording, and the recording replays."""
    printed = output(ROOT / "examples" / "replay_as_test.py", tmp_path)
    assert "2 model calls replayed, byte for byte" in printed
    assert (tmp_path / "hello.jsonl").read_bytes().startswith(b'{"life_recording":1')


def test_the_page_about_branches_runs_as_printed(tmp_path: Path) -> None:
    """The program forks a branch, lists both and compares them."""
    block = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "branches.md").read_text(), re.S)
    assert block is not None
    program = tmp_path / "program.py"
    program.write_text(block[1])
    printed = output(program, tmp_path)
    assert printed.splitlines()[0].startswith("main 0 ")
    assert "turns in common" in printed
