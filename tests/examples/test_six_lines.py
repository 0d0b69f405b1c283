"""The six lines of the README: they are the example file, and they run as printed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.harness.process import ChildProcess

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "six_lines.py"


def printed() -> str:
    """The first Python block of the README."""
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert block is not None
    return block[1]


def test_the_readme_prints_the_example() -> None:
    """Line for line the same code; only the file's docstring and blank lines differ."""

    def code(text: str) -> list[str]:
        return [line for line in text.split("\n") if line.strip() and not line.startswith('"""')]

    assert code(printed()) == code(EXAMPLE.read_text())
    body = [line for line in code(printed()) if not line.startswith("import")]
    assert len(body) <= 6, "six lines are six lines"


@pytest.mark.parametrize("source", ["README", "file"])
def test_they_run_as_printed(tmp_path: Path, source: str) -> None:
    """In an empty folder, offline, without a key: the events are numbered from the run's first to its last, the file is there,
    and a second time works as well."""
    program = tmp_path / "program.py"
    program.write_text(printed() if source == "README" else EXAMPLE.read_text())
    for _ in range(2):
        with ChildProcess.spawn(
            [sys.executable, str(program)], cwd=tmp_path, env={"LIFE_KEY_FILE": str(tmp_path / "keys" / "key")}
        ) as process:
            assert process.wait(deadline_s=30) == 0, process.stderr()
            assert process.stderr() == ""
            lines = process.stdout().splitlines()
        durable = [int(line.split()[0]) for line in lines if not line.startswith("0 ")]
        assert durable == list(range(durable[0], durable[0] + len(durable)))
        assert "RunFinished" in lines[-1]
    written = list((tmp_path / ".life" / "workspaces").glob("*/hello.txt"))
    assert [file.read_text() for file in written] == ["Hello from an agent"] * 2
