"""What the pages about the journal alone and about proof say works as it is printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from life.lago.proof.merkle import inclusion_path, root_of

DOCS = Path(__file__).parents[2] / "docs"


def python_blocks(page: str) -> list[str]:
    """The Python of a page."""
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def test_the_ten_lines(tmp_path: Path) -> None:
    """A stranger's first program runs as it stands, and goes on when it is run again."""
    program = python_blocks("journal-alone.md")[0]
    for count in (1, 2):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        assert len(done.stdout.splitlines()) == count
        assert "shop.order_placed" in done.stdout
    assert (tmp_path / "orders.db").exists()


def test_the_blob_store_of_the_page(tmp_path: Path) -> None:
    """It imports and opens what it says."""
    subprocess.run(
        [sys.executable, "-W", "error", "-c", python_blocks("journal-alone.md")[1]], cwd=tmp_path, check=True
    )


def test_the_few_lines_that_check_a_path() -> None:
    """The function that is printed gives the root that the library gives."""
    found: dict[str, Any] = {}
    exec(python_blocks("proof.md")[0], found)
    for size in range(1, 40):
        digests = [bytes([number]) * 32 for number in range(size)]
        for index in range(size):
            assert found["root"](digests[index], index, size, inclusion_path(digests, index)) == root_of(digests)
