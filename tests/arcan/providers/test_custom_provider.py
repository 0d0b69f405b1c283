"""The example of a provider of one's own: it runs as printed, offline and without a key."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.harness.process import ChildProcess

EXAMPLE = Path(__file__).parents[3] / "examples" / "custom_provider.py"


def test_it_runs(tmp_path: Path) -> None:
    """In an empty folder: the model of the example calls a tool, reads its result and answers."""
    environment = {"LIFE_KEY_FILE": str(tmp_path / "keys" / "key")}
    with ChildProcess.spawn([sys.executable, str(EXAMPLE)], cwd=tmp_path, env=environment) as process:
        assert process.wait(deadline_s=30) == 0, process.stderr()
        assert process.stderr() == ""
        assert process.stdout() == "The number is in words.txt.\n"
    assert [path.read_text() for path in (tmp_path / ".life" / "workspaces").glob("*/words.txt")] == ["7 words\n"]
